//! The state of the chain: its blocks, who has which duty, and what has arrived. It knows time only as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{Chain, DutyKind, Epoch, SignatureBytes, Slot, Timestamp, ValidatorIndex};

use super::books::Part;
use super::due::Selections;
use super::{
    Arrival, Block, Books, EpochDuties, Fault, History, Ingredients, Intents, Judgement, Kitchen,
    Maker, MessagePool, Proposer, Proposers, Registry, SlashingWatch, SyncCommittee,
    SyncCommittees, Totals, VotePool,
};

/// Slots whose books are kept, at least: two epochs of the mainnet preset.
const SLOTS_KEPT: u64 = 64;
/// Epochs whose shuffling is remembered.
const EPOCHS_KEPT: usize = 6;
/// Sync committees remembered.
const COMMITTEES_KEPT: usize = 4;

/// The whole state.
#[derive(Debug)]
pub struct World {
    pub(super) history: History,
    pub(super) registry: Arc<Registry>,
    pub(super) proposers: Proposers,
    pub(super) committees: SyncCommittees,
    pub(super) kitchen: Kitchen,
    pub(super) books: Books,
    pub(super) votes: VotePool,
    pub(super) messages: MessagePool,
    pub(super) intents: Intents,
    pub(super) watch: SlashingWatch,
    pub(super) selections: Selections,
    duties: BTreeMap<Epoch, Arc<EpochDuties>>,
    sync: BTreeMap<u64, Arc<SyncCommittee>>,
    pub(super) totals: Totals,
    /// The first slot that may still get a block.
    open: Slot,
}

impl World {
    /// A chain at its genesis.
    pub fn new(
        history: History,
        registry: Arc<Registry>,
        kitchen: Kitchen,
        selections: Selections,
    ) -> Self {
        let sizes = kitchen.sizes;
        World {
            proposers: Proposers::new(registry.clone(), kitchen.seed),
            committees: SyncCommittees::new(registry.clone(), kitchen.seed, &sizes),
            history,
            registry,
            kitchen,
            books: Books::default(),
            votes: VotePool::default(),
            messages: MessagePool::default(),
            intents: Intents::default(),
            watch: SlashingWatch::default(),
            selections,
            duties: BTreeMap::new(),
            sync: BTreeMap::new(),
            totals: Totals::default(),
            open: Slot(1),
        }
    }

    /// Blocks and when they were seen.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Times, forks and domains.
    pub fn chain(&self) -> &Chain {
        self.history.chain()
    }

    /// The cluster's validators.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether a validator still has duties in an epoch.
    pub fn is_active(&self, validator: ValidatorIndex, epoch: Epoch) -> bool {
        self.intents.is_active(validator, epoch)
    }

    /// The epoch from which a validator is gone, if it has said that it leaves.
    pub fn exit_epoch(&self, validator: ValidatorIndex) -> Option<Epoch> {
        self.intents.exit_epoch(validator)
    }

    /// Whether a validator was heard of in an epoch.
    pub fn is_live(&self, validator: ValidatorIndex, epoch: Epoch) -> bool {
        let next = Epoch(epoch.0.saturating_add(1));
        let slots = self.chain().first_slot(epoch).0..self.chain().first_slot(next).0;
        self.books.is_live(validator, slots)
    }

    /// When something first arrived, if it is in the books.
    pub fn arrival(&self, kind: DutyKind, slot: Slot, part: Part) -> Option<Arrival> {
        self.books.arrival(kind, slot, part)
    }

    /// What validators have said ahead.
    pub fn intents(&mut self) -> &mut Intents {
        &mut self.intents
    }

    /// Lets time pass: strangers' blocks are seen, and slots without a block in time stay empty. Returns the slots that
    /// have got a block.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Slot> {
        let mut seen = Vec::new();
        let Some(current) = self.chain().slot_at(now) else {
            return seen;
        };
        while self.open <= current {
            let slot = self.open;
            let over = match self.proposer(slot) {
                Proposer::Stranger(proposer) if self.history.seen_at(slot) <= now => {
                    seen.extend(self.strangers_block(slot, proposer));
                    true
                }
                Proposer::Stranger(_) => false,
                Proposer::Cluster(_) => now >= self.history.deadline(DutyKind::Proposer, slot),
            };
            if !over {
                break;
            }
            self.open = Slot(slot.0 + 1);
            self.trim(slot);
        }
        seen
    }

    /// When the next block may be seen by itself.
    pub fn next_seen_at(&self) -> Timestamp {
        match self.proposer(self.open) {
            Proposer::Stranger(_) => self.history.seen_at(self.open),
            Proposer::Cluster(_) => self.history.deadline(DutyKind::Proposer, self.open),
        }
    }

    fn strangers_block(&mut self, slot: Slot, proposer: ValidatorIndex) -> Option<Slot> {
        let ingredients = Ingredients {
            slot,
            proposer,
            parent: self.history.head().root,
            randao: SignatureBytes([0; 96]),
            graffiti: [0; 32],
            fee_recipient: Default::default(),
            timestamp: self.chain().slot_start(slot).as_secs(),
            attestations: self.attestations_for(slot),
            maker: Maker::Builder,
        };
        // The limits are kept where attestations are joined, so this always succeeds; else the slot stays empty.
        let proposal = self.kitchen.full(&ingredients).ok()?;
        let facts = *proposal.facts();
        let signature = SignatureBytes([0; 96]);
        self.history.push(Block {
            header: facts.header,
            root: facts.root,
            seen_at: self.history.seen_at(slot),
            signed: Some(Arc::new(flotilla_types::SignedProposal {
                proposal,
                signature,
            })),
        });
        Some(slot)
    }

    /// The attestations that a block of a slot holds: those since the block before it.
    pub(super) fn attestations_for(&self, slot: Slot) -> Vec<flotilla_types::Attestation> {
        let from = self.history.head().header.slot.min(slot);
        self.votes.for_block(from..slot, &self.kitchen.sizes)
    }

    /// The proposer of a slot. The turn of a validator that has exited is a stranger's.
    pub fn proposer(&self, slot: Slot) -> Proposer {
        let epoch = self.chain().epoch_of(slot);
        match self.proposers.of(slot) {
            Proposer::Cluster(index) if !self.intents.is_active(index, epoch) => {
                Proposer::Stranger(index)
            }
            drawn => drawn,
        }
    }

    /// The attester duties of the cluster's validators in an epoch.
    pub fn duties(&mut self, epoch: Epoch) -> Arc<EpochDuties> {
        if let Some(duties) = self.duties.get(&epoch) {
            return duties.clone();
        }
        let mut duties = self.registry.duties(epoch);
        duties.retain(|index, _| self.intents.is_active(*index, epoch));
        let duties = Arc::new(duties);
        self.duties.insert(epoch, duties.clone());
        if self.duties.len() > EPOCHS_KEPT {
            self.duties.pop_first();
        }
        duties
    }

    /// The sync committee that serves in an epoch.
    pub fn sync_committee(&mut self, epoch: Epoch) -> Arc<SyncCommittee> {
        let period = SyncCommittees::period(epoch);
        if let Some(committee) = self.sync.get(&period) {
            return committee.clone();
        }
        let committee = Arc::new(self.committees.of(period));
        self.sync.insert(period, committee.clone());
        if self.sync.len() > COMMITTEES_KEPT {
            self.sync.pop_first();
        }
        committee
    }

    /// The sync committee whose signatures of a slot go into the next block: that of the next slot.
    pub fn sync_committee_of(&mut self, slot: Slot) -> Arc<SyncCommittee> {
        let epoch = self.chain().epoch_of(Slot(slot.0.saturating_add(1)));
        self.sync_committee(epoch)
    }

    /// Notes the first arrival of something, and whether it was in time.
    pub(super) fn note(
        &mut self,
        kind: DutyKind,
        slot: Slot,
        part: Part,
        arrival: Arrival,
    ) -> Judgement {
        if !self.books.note(kind, slot, part, arrival) {
            Judgement::Duplicate
        } else if arrival.at < self.history.deadline(kind, slot) {
            Judgement::Included
        } else {
            Judgement::Late
        }
    }

    /// Checks that a slot has begun and is no more than `window` slots back.
    pub(super) fn check_slot(&self, slot: Slot, now: Timestamp, window: u64) -> Result<(), Fault> {
        let current = self.chain().slot_at(now).ok_or(Fault::TooEarly(slot.0))?;
        if slot > current {
            return Err(Fault::TooEarly(slot.0));
        }
        if slot.0.saturating_add(window) < current.0 {
            return Err(Fault::TooOld(slot.0));
        }
        Ok(())
    }

    /// How many slots back attestations are accepted and remembered.
    pub fn slots_kept(&self) -> u64 {
        SLOTS_KEPT.max(2 * self.chain().spec.slots_per_epoch)
    }

    fn trim(&mut self, current: Slot) {
        let oldest = Slot(current.0.saturating_sub(self.slots_kept()));
        self.books.trim(oldest);
        self.votes.trim(oldest);
        self.messages.trim(oldest);
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        Totals {
            slashable: self.watch.pairs(),
            ..self.totals.clone()
        }
    }
}
