//! What is due in a slot, by kind.
//!
//! Who aggregates is decided by a signature that only the validator can make. If the chain was given the validators' keys,
//! as the testnet does when it has dealt them, it makes the proofs itself and knows who should have aggregated; otherwise
//! only what was brought counts as due.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flotilla_crypto::SecretKey;
use flotilla_types::{
    DomainType, DutyKind, Root, SignatureBytes, Slot, SyncAggregatorSelectionData, ValidatorIndex,
    is_attestation_aggregator, is_sync_aggregator, signing_root,
};

use super::books::Part;
use super::{Arrival, Proposer, World};

/// The kinds of duty that a run is judged by: the others are served and checked, but not missed.
pub const JUDGED: &[DutyKind] = &[
    DutyKind::Proposer,
    DutyKind::Attester,
    DutyKind::Aggregator,
    DutyKind::SyncMessage,
    DutyKind::SyncContribution,
    DutyKind::Exit,
];

/// Slots whose aggregators are remembered.
const SLOTS_REMEMBERED: usize = 256;

/// Who is selected to aggregate, as far as keys are known.
#[derive(Default)]
pub struct Selections {
    keys: BTreeMap<ValidatorIndex, Arc<SecretKey>>,
    known: BTreeMap<(Slot, DutyKind), Vec<Part>>,
}

impl fmt::Debug for Selections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selections({} keys)", self.keys.len())
    }
}

impl Selections {
    /// Selections of the validators whose keys are known.
    pub fn new(keys: BTreeMap<ValidatorIndex, Arc<SecretKey>>) -> Self {
        Selections {
            keys,
            known: BTreeMap::new(),
        }
    }

    fn proof(&self, validator: ValidatorIndex, root: Root) -> Option<SignatureBytes> {
        let key = self.keys.get(&validator)?;
        Some(SignatureBytes(key.sign(&root.0).to_bytes()))
    }
}

impl World {
    /// The cluster's duties of a kind in a recent slot, each with its first valid arrival.
    pub fn results(&mut self, kind: DutyKind, slot: Slot) -> Vec<(Part, Option<Arrival>)> {
        let due = self.due(kind, slot);
        let arrival = |part: Part| self.books.arrival(kind, slot, part);
        due.into_iter().map(|part| (part, arrival(part))).collect()
    }

    fn due(&mut self, kind: DutyKind, slot: Slot) -> Vec<Part> {
        match kind {
            DutyKind::Attester => self.attesters(slot),
            DutyKind::Proposer | DutyKind::Randao => match self.proposer(slot) {
                Proposer::Cluster(index) if slot.0 > 0 => vec![(index, 0)],
                _ => Vec::new(),
            },
            DutyKind::SyncMessage => self.sync_members(slot),
            DutyKind::Aggregator | DutyKind::SyncContribution
                if self.selections.keys.is_empty() =>
            {
                self.brought(kind, slot)
            }
            DutyKind::Aggregator | DutyKind::SyncContribution => self.selected(kind, slot),
            DutyKind::Exit => self.brought(kind, slot),
            _ => Vec::new(),
        }
    }

    fn brought(&self, kind: DutyKind, slot: Slot) -> Vec<Part> {
        let page = self.books.page(kind, slot);
        page.into_iter()
            .flat_map(|page| page.keys())
            .copied()
            .collect()
    }

    fn attesters(&mut self, slot: Slot) -> Vec<Part> {
        let duties = self.duties(self.chain().epoch_of(slot));
        let due = duties.values().filter(|duty| duty.slot == slot);
        due.map(|duty| (duty.validator_index, 0)).collect()
    }

    /// In the last slot of a period clients differ on which committee is to sign; due are the members of both.
    fn sync_members(&mut self, slot: Slot) -> Vec<Part> {
        let epoch = self.chain().epoch_of(slot);
        let (serving, next) = (self.sync_committee(epoch), self.sync_committee_of(slot));
        let members = serving.members().map(|(index, _)| index);
        members
            .filter(|index| !next.positions(*index).is_empty())
            .filter(|index| self.intents.is_active(*index, epoch))
            .map(|index| (index, 0))
            .collect()
    }

    fn selected(&mut self, kind: DutyKind, slot: Slot) -> Vec<Part> {
        if let Some(known) = self.selections.known.get(&(slot, kind)) {
            return known.clone();
        }
        let selected = match kind {
            DutyKind::Aggregator => self.aggregators(slot),
            _ => self.contributors(slot),
        };
        let known = &mut self.selections.known;
        known.insert((slot, kind), selected.clone());
        if known.len() > SLOTS_REMEMBERED {
            known.pop_first();
        }
        selected
    }

    fn aggregators(&mut self, slot: Slot) -> Vec<Part> {
        let epoch = self.chain().epoch_of(slot);
        let duties = self.duties(epoch);
        let domain = self.chain().domain(DomainType::SELECTION_PROOF, epoch);
        let root = signing_root(slot.tree_hash_root(), domain);
        let target = self.kitchen.sizes.target_aggregators_per_committee;
        let due = duties.values().filter(|duty| duty.slot == slot);
        due.filter(|duty| {
            self.selections
                .proof(duty.validator_index, root)
                .is_some_and(|proof| {
                    is_attestation_aggregator(&proof, duty.committee_length, target)
                })
        })
        .map(|duty| (duty.validator_index, 0))
        .collect()
    }

    fn contributors(&mut self, slot: Slot) -> Vec<Part> {
        let epoch = self.chain().epoch_of(slot);
        let (serving, next) = (self.sync_committee(epoch), self.sync_committee_of(slot));
        let domain = self
            .chain()
            .domain(DomainType::SYNC_COMMITTEE_SELECTION_PROOF, epoch);
        let mut selected = Vec::new();
        for (index, _) in self.sync_members(slot) {
            let next = next.subcommittees(index);
            for subcommittee_index in serving.subcommittees(index) {
                let data = SyncAggregatorSelectionData {
                    slot,
                    subcommittee_index,
                };
                let root = signing_root(data.tree_hash_root(), domain);
                let proof = self.selections.proof(index, root);
                let is_selected =
                    proof.is_some_and(|proof| is_sync_aggregator(&proof, &self.kitchen.sizes));
                if is_selected && next.contains(&subcommittee_index) {
                    selected.push((index, subcommittee_index));
                }
            }
        }
        selected
    }
}
