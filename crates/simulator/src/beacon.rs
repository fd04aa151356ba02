//! A chain, and each node's view of it: duties, heads, late answers, a reorg.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_duty::io::UnsignedSet;
use flotilla_types::{
    AttestationData, AttesterDuty, AttesterValue, Chain, Checkpoint, CommitteeIndex, Epoch,
    PublicKeyBytes, Root, Slot, UnsignedData, ValidatorIndex,
};
use sha2::{Digest, Sha256};

use crate::dice::Dice;
use crate::scenario::Scenario;

/// The beacon nodes of a run.
#[derive(Debug)]
pub struct Beacons {
    chain: Arc<Chain>,
    validators: Vec<PublicKeyBytes>,
    reorg_epoch: Option<Epoch>,
    dice: Dice,
}

fn root(parts: &[u64]) -> Root {
    let mut hasher = Sha256::new();
    parts
        .iter()
        .for_each(|part| hasher.update(part.to_le_bytes()));
    Root(hasher.finalize().into())
}

/// Validators in a committee of the simulated chain.
const COMMITTEE: u64 = 128;

impl Beacons {
    /// Beacon nodes that serve `chain` with these validators.
    pub fn new(
        chain: Arc<Chain>,
        validators: Vec<PublicKeyBytes>,
        scenario: &Scenario,
        mut dice: Dice,
    ) -> Self {
        let epochs = scenario.troubled_slots / scenario.slots_per_epoch;
        let reorg_epoch = (scenario.reorg && epochs > 0).then(|| Epoch(dice.below(epochs)));
        Self {
            chain,
            validators,
            reorg_epoch,
            dice,
        }
    }

    /// Whether the second half of `epoch` has other duties than were known at first, as after a reorg.
    fn reorged(&self, epoch: Epoch, now: Slot) -> bool {
        let half = self.chain.first_slot(epoch).0 + self.chain.spec.slots_per_epoch / 2;
        self.reorg_epoch == Some(epoch) && now.0 >= half
    }

    /// The root that the duties of `epoch` depend on, as seen in slot `now`.
    pub fn dependent_root(&self, epoch: Epoch, now: Slot) -> Root {
        root(&[1, epoch.0, u64::from(self.reorged(epoch, now))])
    }

    /// The attester duties of `epoch`, as seen in slot `now`.
    pub fn duties(&self, epoch: Epoch, now: Slot) -> Vec<AttesterDuty> {
        let slots = self.chain.spec.slots_per_epoch;
        let shuffle = u64::from(self.reorged(epoch, now)) * 3;
        let duty = |(index, pubkey): (usize, &PublicKeyBytes)| {
            let seat = index as u64 + epoch.0 * 5 + shuffle;
            AttesterDuty {
                pubkey: *pubkey,
                slot: Slot(self.chain.first_slot(epoch).0 + seat % slots),
                validator_index: ValidatorIndex(1000 + index as u64),
                committee_index: CommitteeIndex(seat % 4),
                committee_length: COMMITTEE,
                committees_at_slot: 4,
                validator_committee_index: (seat * 7) % COMMITTEE,
            }
        };
        self.validators.iter().enumerate().map(duty).collect()
    }

    /// The attestation data that a node's beacon node gives in `slot`. `view` tells different heads apart.
    pub fn data(&self, slot: Slot, view: u64) -> AttestationData {
        let target = self.chain.epoch_of(slot);
        let source = Epoch(target.0.saturating_sub(1));
        AttestationData {
            slot,
            index: CommitteeIndex(0),
            beacon_block_root: root(&[2, slot.0, view]),
            source: Checkpoint {
                epoch: source,
                root: root(&[3, source.0]),
            },
            target: Checkpoint {
                epoch: target,
                root: root(&[3, target.0]),
            },
        }
    }

    /// The unsigned set for validators with a duty in `slot`, with the same data for all.
    pub fn set(duties: &[AttesterDuty], data: AttestationData) -> UnsignedSet {
        duties
            .iter()
            .map(|&duty| {
                (
                    duty.pubkey,
                    UnsignedData::Attester(AttesterValue { data, duty }),
                )
            })
            .collect()
    }

    /// Which head a beacon node sees: mostly the same one.
    pub fn view(&mut self, scenario: &Scenario, slot: Slot) -> u64 {
        let troubled = slot.0 < scenario.troubled_slots;
        if troubled && self.dice.permille(scenario.disagreement) {
            1 + self.dice.below(2)
        } else {
            0
        }
    }

    /// How long a beacon node takes to answer.
    pub fn delay(&mut self, scenario: &Scenario, node: usize, slot: Slot) -> Duration {
        let slow = scenario
            .slow_beacons
            .iter()
            .find(|&&(slow, from, to, _)| slow == node && (from..to).contains(&slot.0));
        let usual = self
            .dice
            .between(Duration::from_millis(1), Duration::from_millis(30));
        slow.map_or(usual, |&(_, _, _, delay)| delay)
    }
}

/// Which validator has duties in which slots, over the whole run and from every point of view: what must be completed.
pub fn due(
    beacons: &Beacons,
    chain: &Chain,
    slots: std::ops::Range<u64>,
) -> BTreeMap<Slot, Vec<PublicKeyBytes>> {
    let mut due: BTreeMap<Slot, Vec<PublicKeyBytes>> = BTreeMap::new();
    for slot in slots.map(Slot) {
        let duties = beacons.duties(chain.epoch_of(slot), slot);
        due.insert(
            slot,
            duties
                .into_iter()
                .filter(|duty| duty.slot == slot)
                .map(|duty| duty.pubkey)
                .collect(),
        );
    }
    due
}
