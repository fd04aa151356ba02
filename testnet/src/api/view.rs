//! What one endpoint shows of the chain: the truth, unless it misbehaves.
//!
//! With `wrong-fork` every root is that of a chain of the endpoint's own, for as long as it lasts. With `reorg` the head is
//! a sibling of the real one for a part of every third slot, between the hours in which votes and aggregates are asked
//! for, and duties hang on other blocks meanwhile.

use std::sync::MutexGuard;

use flotilla_types::{AttestationData, Checkpoint, Epoch, Root, Slot, Timestamp};
use sha2::{Digest, Sha256};

use super::Endpoint;
use crate::chain::{Block, Fault, History, World, now};
use crate::options::Misbehaviour;

/// The part of a slot, in hundredths, in which the head is a sibling.
const SIBLING_PERCENT: std::ops::Range<u32> = 45..65;
/// Every so many slots.
const SIBLING_SLOTS: u64 = 3;

/// The chain as an endpoint shows it now. It holds the chain's state: not for long.
pub(crate) struct View<'a> {
    pub(crate) world: MutexGuard<'a, World>,
    misbehaviour: Option<Misbehaviour>,
    now: Timestamp,
}

impl Endpoint {
    /// The chain as this endpoint shows it now.
    pub(crate) fn view(&self) -> View<'_> {
        View {
            world: self.simulator.world(),
            misbehaviour: self.faults.misbehaviour(),
            now: now(),
        }
    }
}

/// A root of another chain, which nobody else has.
fn of_another_chain(root: Root) -> Root {
    let mut hash = Sha256::new();
    hash.update(b"another chain");
    hash.update(root.0);
    Root(hash.finalize().into())
}

impl View<'_> {
    /// The true chain.
    pub(crate) fn history(&self) -> &History {
        self.world.history()
    }

    /// The slot of the clock; slot 0 before genesis.
    pub(crate) fn current_slot(&self) -> Slot {
        self.world.chain().slot_at(self.now).unwrap_or_default()
    }

    /// Whether the head is a sibling of the real one at this moment.
    fn shows_sibling(&self) -> bool {
        let chain = self.world.chain();
        let slot = self.current_slot();
        let (start, duration) = (chain.slot_start(slot), chain.spec.slot_duration);
        self.misbehaviour == Some(Misbehaviour::Reorg)
            && slot.0.is_multiple_of(SIBLING_SLOTS)
            && self.now >= start + duration * SIBLING_PERCENT.start / 100
            && self.now < start + duration * SIBLING_PERCENT.end / 100
    }

    /// The root under which a block is shown.
    pub(crate) fn root_of(&self, block: &Block) -> Root {
        let is_head = block.header.slot == self.history().head().header.slot;
        let sibling = is_head && self.shows_sibling();
        match sibling || self.misbehaviour == Some(Misbehaviour::WrongFork) {
            true => of_another_chain(block.root),
            false => block.root,
        }
    }

    /// Slot and root of the head.
    pub(crate) fn head(&self) -> (Slot, Root) {
        let head = self.history().head();
        (head.header.slot, self.root_of(head))
    }

    /// The block with a root, as it is shown.
    pub(crate) fn find(&self, root: Root) -> Option<&Block> {
        self.history()
            .newest_first()
            .find(|block| self.root_of(block) == root)
    }

    fn disguise(&self, root: Root, disguised: bool) -> Root {
        match disguised && root != Root([0; 32]) {
            true => of_another_chain(root),
            false => root,
        }
    }

    /// A checkpoint, as it is shown.
    pub(crate) fn checkpoint(&self, checkpoint: Checkpoint) -> Checkpoint {
        let wrong = self.misbehaviour == Some(Misbehaviour::WrongFork);
        Checkpoint {
            root: self.disguise(checkpoint.root, wrong),
            ..checkpoint
        }
    }

    /// The root on which the attester duties of an epoch hang, and since Fulu its proposers.
    pub(crate) fn dependent_root(&self, epoch: Epoch) -> Root {
        let wrong = self.misbehaviour == Some(Misbehaviour::WrongFork) || self.shows_sibling();
        self.disguise(self.history().dependent_root(epoch), wrong)
    }

    /// What a beacon node answers to the question for attestation data of `slot`.
    ///
    /// # Errors
    /// The slot has not begun, or is so old that no attestation for it can be included.
    pub(crate) fn attestation_data(&self, slot: Slot) -> Result<AttestationData, Fault> {
        let chain = self.world.chain();
        let current = chain.slot_at(self.now).ok_or(Fault::TooEarly(slot.0))?;
        if slot > current {
            return Err(Fault::TooEarly(slot.0));
        }
        let oldest_epoch = Epoch(chain.epoch_of(current).0.saturating_sub(1));
        if slot < chain.first_slot(oldest_epoch) {
            return Err(Fault::TooOld(slot.0));
        }
        let head = self.history().head().header.slot;
        let data = self.history().attestation_data(slot, head);
        let block = self.history().block_by(head.min(slot));
        Ok(AttestationData {
            beacon_block_root: self.root_of(block),
            source: self.checkpoint(data.source),
            target: self.checkpoint(data.target),
            ..data
        })
    }
}
