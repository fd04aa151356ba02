//! Every node's beacon node: what it answers follows from its view of the one simulated chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_duty::guard::{Question, Verdict};
use flotilla_duty::io::{
    AggregateRequest, Assignments, ContributionRequest, Request, Roster, UnsignedSet,
};
use flotilla_types::{
    AggregateValue, Attestation, AttestationData, AttesterDuty, AttesterValue, Bitlist, Chain,
    CommitteeBits, CommitteeIndex, Epoch, ExecutionAddress, ListSizes, ProposerDuty,
    PublicKeyBytes, Root, SignatureBytes, Slot, SubcommitteeBits, SyncCommitteeContribution,
    SyncCommitteeDuty, SyncContributions, Timestamp, UnsignedData, ValidatorIndex,
};
use sha2::{Digest, Sha256};

use crate::block::Draft;
use crate::blocks::{BlockId, Tree};
use crate::dice::Dice;
use crate::scenario::Scenario;

/// Validators in a committee of the simulated chain: about every second one aggregates.
const COMMITTEE: u64 = 32;
/// Committees of a slot.
const COMMITTEES: u64 = 4;
/// The chain's index of our first validator.
const FIRST_INDEX: u64 = 1000;
/// Seats in the sync committee of our first member, then of the second: several subcommittees, and twice one of them.
const SEATS: [&[u64]; 2] = [&[3, 130, 140, 400], &[200]];

/// The beacon nodes of a run.
#[derive(Debug)]
pub struct Beacons {
    chain: Arc<Chain>,
    validators: Vec<PublicKeyBytes>,
    scenario: Scenario,
    reorg_epoch: Option<Epoch>,
    tree: Tree,
    dice: Dice,
}

/// A root that follows from some numbers.
pub fn root(parts: &[u64]) -> Root {
    let mut hasher = Sha256::new();
    parts
        .iter()
        .for_each(|part| hasher.update(part.to_le_bytes()));
    Root(hasher.finalize().into())
}

/// A number that follows from a root and another number.
fn number(of: Root, salt: u64) -> u64 {
    first_word(root(&[first_word(of), salt]))
}

fn first_word(of: Root) -> u64 {
    u64::from_le_bytes(of.0[..8].try_into().expect("a root has 32 bytes"))
}

/// Who receives the fees of a validator's blocks.
pub fn fee_recipient(validator: &PublicKeyBytes) -> ExecutionAddress {
    let mut address = [0; 20];
    address.copy_from_slice(&validator.0[..20]);
    ExecutionAddress(address)
}

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
        let end = scenario.judged().end + scenario.slots_per_epoch;
        Self {
            chain,
            validators,
            reorg_epoch,
            tree: Tree::grown(scenario, end, dice.fork()),
            scenario: scenario.clone(),
            dice,
        }
    }

    /// The validators' numbers on the chain.
    pub fn indexes(&self) -> BTreeMap<PublicKeyBytes, ValidatorIndex> {
        let numbered = self.validators.iter().zip(FIRST_INDEX..);
        numbered
            .map(|(validator, index)| (*validator, ValidatorIndex(index)))
            .collect()
    }

    /// The blocks.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    fn since_genesis(&self, at: Timestamp) -> Duration {
        at.saturating_since(self.chain.genesis_time)
    }

    fn slot(&self, at: Timestamp) -> Slot {
        self.chain.slot_at(at).unwrap_or_default()
    }

    /// The head that a node's beacon node follows.
    pub fn head(&self, node: usize, at: Timestamp) -> BlockId {
        self.tree.head(node, self.since_genesis(at))
    }

    /// The root of that head.
    pub fn head_root(&self, node: usize, at: Timestamp) -> Root {
        self.tree.root_of(self.head(node, at))
    }

    /// Whether the second half of `epoch` has other duties than were known at first, as after a reorg that is deeper than the
    /// branches of the tree.
    fn reorged(&self, epoch: Epoch, at: Timestamp) -> bool {
        let half = self.chain.first_slot(epoch).0 + self.chain.spec.slots_per_epoch / 2;
        self.reorg_epoch == Some(epoch) && self.slot(at).0 >= half
    }

    /// The root that attester duties of `epoch` depend on: the last block two epochs before.
    fn dependent_root(&self, head: BlockId, epoch: Epoch, at: Timestamp) -> Root {
        let before = self.chain.first_slot(Epoch(epoch.0.saturating_sub(1)));
        let block = self.tree.ancestor(head, Slot(before.0.saturating_sub(1)));
        match self.reorged(epoch, at) {
            true => root(&[number(self.tree.root_of(block), 0), epoch.0]),
            false => self.tree.root_of(block),
        }
    }

    /// What the event of a new head says: its epoch, what attesters of that epoch and of the next one depend on.
    pub fn head_event(&self, node: usize, at: Timestamp) -> (Epoch, Root, Root) {
        let head = self.head(node, at);
        let epoch = self.chain.epoch_of(self.tree.slot_of(head));
        let dependent = |epoch| self.dependent_root(head, epoch, at);
        (epoch, dependent(epoch), dependent(Epoch(epoch.0 + 1)))
    }

    /// One of a node's lists of duties, with the root it says that the list depends on.
    pub fn duties(
        &self,
        node: usize,
        epoch: Epoch,
        roster: Roster,
        at: Timestamp,
    ) -> (Root, Assignments) {
        let head = self.head(node, at);
        let shuffling = self.dependent_root(head, epoch, at);
        match roster {
            Roster::Attesters => (
                shuffling,
                Assignments::Attesters(self.attesters(epoch, shuffling)),
            ),
            Roster::Proposers => {
                let stated = match self.scenario.short_lookahead {
                    true => self.dependent_root(head, Epoch(epoch.0 + 1), at),
                    false => shuffling,
                };
                let duties = self.proposers(epoch, shuffling);
                (stated, Assignments::Proposers(duties))
            }
            Roster::SyncCommittee => (
                Root::default(),
                Assignments::SyncCommittee(self.sync_committee(epoch)),
            ),
        }
    }

    fn is_judged(&self, slot: Slot) -> bool {
        slot.0 < self.scenario.judged().end
    }

    fn attesters(&self, epoch: Epoch, shuffling: Root) -> Vec<AttesterDuty> {
        let slots = self.chain.spec.slots_per_epoch;
        let shuffle = number(shuffling, epoch.0) % slots;
        let duty = |(index, pubkey): (usize, &PublicKeyBytes)| {
            let seat = index as u64 + shuffle;
            AttesterDuty {
                pubkey: *pubkey,
                slot: Slot(self.chain.first_slot(epoch).0 + seat % slots),
                validator_index: ValidatorIndex(FIRST_INDEX + index as u64),
                committee_index: CommitteeIndex(seat % COMMITTEES),
                committee_length: COMMITTEE,
                committees_at_slot: COMMITTEES,
                validator_committee_index: (seat * 7) % COMMITTEE,
            }
        };
        let duties = self.validators.iter().enumerate().map(duty);
        // No duties after the judged slots, so that every map must return to its floor.
        duties.filter(|duty| self.is_judged(duty.slot)).collect()
    }

    /// About every second slot is one of ours.
    fn proposers(&self, epoch: Epoch, shuffling: Root) -> Vec<ProposerDuty> {
        let first = self.chain.first_slot(epoch).0;
        let slots = (first..first + self.chain.spec.slots_per_epoch).map(Slot);
        let ours = |slot: Slot| {
            let drawn = number(shuffling, slot.0) as usize % (2 * self.validators.len());
            Some(ProposerDuty {
                pubkey: *self.validators.get(drawn)?,
                validator_index: ValidatorIndex(FIRST_INDEX + drawn as u64),
                slot,
            })
        };
        let wanted = |slot: &Slot| self.scenario.proposals && slot.0 > 0 && self.is_judged(*slot);
        slots.filter(wanted).filter_map(ours).collect()
    }

    fn sync_committee(&self, epoch: Epoch) -> Vec<SyncCommitteeDuty> {
        if !self.is_judged(self.chain.first_slot(epoch)) {
            return vec![];
        }
        let members = self.validators.iter().take(self.scenario.sync_members);
        let duty = |(index, pubkey): (usize, &PublicKeyBytes)| SyncCommitteeDuty {
            pubkey: *pubkey,
            validator_index: ValidatorIndex(FIRST_INDEX + index as u64),
            positions: SEATS[index % SEATS.len()].to_vec(),
        };
        members.enumerate().map(duty).collect()
    }

    /// The attestation data that a node's beacon node gives: mostly of the head, sometimes of a block before it.
    pub fn attestation_data(&mut self, node: usize, slot: Slot, at: Timestamp) -> AttestationData {
        let head = self.head(node, at);
        let epoch = self.chain.epoch_of(slot);
        let troubled = slot.0 < self.scenario.troubled_slots;
        let voted = match troubled && self.dice.permille(self.scenario.disagreement) {
            true => self.tree.parent(head),
            false => head,
        };
        AttestationData {
            slot,
            index: CommitteeIndex(0),
            beacon_block_root: self.tree.root_of(voted),
            source: self.tree.justified(head, epoch, &self.chain),
            target: self.tree.checkpoint(head, epoch, &self.chain),
        }
    }

    /// A beacon node's answer to [`Output::Fetch`](flotilla_duty::Output::Fetch).
    pub fn fetch(
        &mut self,
        node: usize,
        slot: Slot,
        request: &Request,
        plural: bool,
        at: Timestamp,
    ) -> UnsignedSet {
        match request {
            Request::Attestations(duties) => {
                let data = self.attestation_data(node, slot, at);
                let value = |duty: &AttesterDuty| AttesterValue { data, duty: *duty };
                let values = duties.iter().map(value);
                values
                    .map(|value| (value.duty.pubkey, UnsignedData::Attester(value)))
                    .collect()
            }
            Request::Block { proposer, randao } => {
                let block = self.block(node, proposer, *randao, at);
                let proposal = block.proposal(&self.chain.spec.sizes);
                [(proposer.pubkey, UnsignedData::Proposer(proposal))].into()
            }
            Request::Aggregates(requests) => {
                let values = requests.iter().map(|request| {
                    let value = self.aggregate(node, request);
                    (request.validator, UnsignedData::Aggregator(value))
                });
                values.collect()
            }
            Request::Contributions(requests) => self.contributions(node, slot, requests, plural),
        }
    }

    fn block(
        &mut self,
        node: usize,
        proposer: &ProposerDuty,
        randao: SignatureBytes,
        at: Timestamp,
    ) -> Draft {
        Draft {
            fork: self.chain.fork_at(self.chain.epoch_of(proposer.slot)),
            slot: proposer.slot,
            proposer: proposer.validator_index,
            parent: self.head_root(node, at),
            randao,
            fee_recipient: fee_recipient(&proposer.pubkey),
            graffiti: root(&[5, node as u64]),
            blinded: self.dice.permille(self.scenario.builders),
        }
    }

    /// What this node's beacon node has gathered: each has heard other members of the committee.
    fn aggregate(&self, node: usize, request: &AggregateRequest) -> AggregateValue {
        let epoch = self.chain.epoch_of(request.data.slot);
        AggregateValue {
            fork: Some(self.chain.fork_at(epoch)),
            aggregate: aggregate(request.committee, request.data, node as u64),
        }
    }

    fn contributions(
        &self,
        node: usize,
        slot: Slot,
        requests: &[ContributionRequest],
        plural: bool,
    ) -> UnsignedSet {
        let mut lists: BTreeMap<PublicKeyBytes, Vec<SyncCommitteeContribution>> = BTreeMap::new();
        for request in requests {
            let contribution = self.contribution(node, slot, request);
            lists
                .entry(request.validator)
                .or_default()
                .push(contribution);
        }
        let value = |mut list: Vec<SyncCommitteeContribution>| match plural {
            true => SyncContributions::plural(list),
            false => list.pop().map(SyncContributions::single),
        };
        lists
            .into_iter()
            .filter_map(|(validator, list)| {
                Some((validator, UnsignedData::SyncContribution(value(list)?)))
            })
            .collect()
    }

    fn contribution(
        &self,
        node: usize,
        slot: Slot,
        request: &ContributionRequest,
    ) -> SyncCommitteeContribution {
        let sizes = &self.chain.spec.sizes;
        SyncCommitteeContribution {
            slot,
            beacon_block_root: request.block_root,
            subcommittee_index: request.subcommittee,
            aggregation_bits: subcommittee_bits(node as u64, sizes),
            signature: SignatureBytes([6; 96]),
        }
    }

    /// What a node's beacon node says of the chain that a value builds on, and how long it takes to say so.
    pub fn examine(&self, node: usize, question: &Question, at: Timestamp) -> (Duration, Verdict) {
        let since = self.since_genesis(at);
        let wanted = match question {
            Question::Vote { target, .. } => target.root,
            Question::Block { parent, .. } => *parent,
        };
        let patience = match question {
            Question::Vote { .. } => self.scenario.slot / 6,
            Question::Block { .. } => Duration::ZERO,
        };
        let Some(comes) = self.tree.comes(node, wanted, since, patience) else {
            return (patience, Verdict::Unknown);
        };
        (comes - since, self.verdict(node, question, comes))
    }

    fn verdict(&self, node: usize, question: &Question, at: Duration) -> Verdict {
        let head = self.tree.head(node, at);
        let known = |root| self.tree.known(node, root, at);
        let (wanted, slot) = match question {
            Question::Vote { target, .. } => {
                (known(target.root), self.chain.first_slot(target.epoch))
            }
            Question::Block { slot, parent } => (known(*parent), *slot),
        };
        let Some(wanted) = wanted else {
            return Verdict::Unknown;
        };
        let epoch = self.chain.epoch_of(slot);
        let justified = self.tree.justified(head, epoch, &self.chain);
        let fits = known(justified.root).is_some_and(|root| self.tree.descends(wanted, root));
        let from_there = match question {
            Question::Vote { source, .. } => {
                let own = self.tree.checkpoint(wanted, source.epoch, &self.chain);
                own.root == source.root
            }
            Question::Block { .. } => true,
        };
        match fits && from_there {
            true => Verdict::Fits,
            false => Verdict::Conflicts,
        }
    }

    /// How long a beacon node takes to answer; `None` when it does not within two slots.
    pub fn delay(&mut self, node: usize, slot: Slot) -> Option<Duration> {
        let mut slow = self.scenario.slow_beacons.iter();
        let slow = slow.find(|&&(slow, from, to, _)| slow == node && (from..to).contains(&slot.0));
        let usual = self
            .dice
            .between(Duration::from_millis(1), Duration::from_millis(30));
        let delay = slow.map_or(usual, |&(_, _, _, delay)| delay);
        (delay < self.scenario.slot * 2).then_some(delay)
    }
}

/// An aggregate in which one member of the committee beside ours has voted; `voice` tells which.
pub fn aggregate(committee: CommitteeIndex, data: AttestationData, voice: u64) -> Attestation {
    Attestation::Electra {
        aggregation_bits: Bitlist::with_one(COMMITTEE, voice % COMMITTEE)
            .expect("a position in the committee"),
        data,
        signature: SignatureBytes([7; 96]),
        committee_bits: CommitteeBits::one(committee.0 % COMMITTEES)
            .expect("a committee of the slot"),
    }
}

/// Bits of a sync subcommittee in which one member has signed; `voice` tells which.
pub fn subcommittee_bits(voice: u64, sizes: &ListSizes) -> SubcommitteeBits {
    let size = sizes.sync_subcommittee_size();
    let mut bytes = vec![0; size.div_ceil(8) as usize];
    let place = voice % size;
    bytes[(place / 8) as usize] |= 1 << (place % 8);
    SubcommitteeBits::from_bytes(&bytes, sizes).expect("a bit for each member")
}
