//! The chain itself: one block per slot, no forks, and for each the moment it is seen.
//!
//! Nothing is stored. Every root and every moment follows from the seed, so that the whole past and future of the chain
//! can be asked for at no cost in memory.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    AttestationData, Chain, Checkpoint, CommitteeIndex, Epoch, Root, Slot, Timestamp,
};
use rand::RngExt;

use super::Seed;

/// The earliest a block is seen, in hundredths of its slot.
const EARLIEST_PERCENT: u64 = 5;
/// The latest a block is seen, in hundredths of its slot: before attestations are due.
const LATEST_PERCENT: u64 = 25;

/// The blocks of a chain and when they are seen.
#[derive(Clone, Debug)]
pub struct History {
    chain: Arc<Chain>,
    seed: Seed,
}

impl History {
    /// The history that follows from `seed`.
    pub fn new(chain: Arc<Chain>, seed: Seed) -> Self {
        History { chain, seed }
    }

    /// Times, forks and domains.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The root of the block of a slot. Slot 0 has the genesis block.
    pub fn block_root(&self, slot: Slot) -> Root {
        Root(self.seed.bytes("block", slot.0))
    }

    /// When the block of a slot becomes the head: at a random moment between 5 % and 25 % of the slot; the genesis
    /// block at genesis.
    pub fn seen_at(&self, slot: Slot) -> Timestamp {
        let start = self.chain.slot_start(slot);
        if slot.0 == 0 {
            return start;
        }
        let slot_ns =
            u64::try_from(self.chain.spec.slot_duration.as_nanos()).unwrap_or(u64::MAX / 100);
        let percent = slot_ns / 100;
        let delay = self
            .seed
            .rng("seen", slot.0)
            .random_range(EARLIEST_PERCENT * percent..=LATEST_PERCENT * percent);
        start + Duration::from_nanos(delay)
    }

    /// The slot of the head at `now`; the genesis block before and just after genesis.
    pub fn head_at(&self, now: Timestamp) -> Slot {
        match self.chain.slot_at(now) {
            Some(slot) if self.seen_at(slot) <= now => slot,
            Some(slot) => Slot(slot.0.saturating_sub(1)),
            None => Slot(0),
        }
    }

    /// Whether what arrives at `at` is early enough for the next slot's block: inclusion distance 1.
    pub fn in_time(&self, slot: Slot, at: Timestamp) -> bool {
        at < self.chain.slot_start(Slot(slot.0 + 1))
    }

    /// The checkpoint of an epoch: the block of its first slot.
    pub fn checkpoint(&self, epoch: Epoch) -> Checkpoint {
        Checkpoint {
            epoch,
            root: self.block_root(self.chain.first_slot(epoch)),
        }
    }

    /// The justified checkpoint during an epoch: the previous epoch's, as on a chain where everybody attests. As on a
    /// real chain nothing is justified in epochs 0 and 1: the zero root stands for genesis.
    pub fn justified(&self, epoch: Epoch) -> Checkpoint {
        match epoch.0 {
            0 | 1 => Checkpoint {
                epoch: Epoch(0),
                root: Root([0; 32]),
            },
            later => self.checkpoint(Epoch(later - 1)),
        }
    }

    /// The finalised checkpoint during an epoch: two epochs back.
    pub fn finalized(&self, epoch: Epoch) -> Checkpoint {
        match epoch.0 {
            0..=2 => Checkpoint {
                epoch: Epoch(0),
                root: Root([0; 32]),
            },
            later => self.checkpoint(Epoch(later - 2)),
        }
    }

    /// The block that decides the attester duties of an epoch: the last one before the previous epoch.
    pub fn dependent_root(&self, epoch: Epoch) -> Root {
        let previous = Epoch(epoch.0.saturating_sub(1));
        self.block_root(Slot(self.chain.first_slot(previous).0.saturating_sub(1)))
    }

    /// What an attester of `slot` sees when `head` is the head: the answer of a beacon node.
    ///
    /// The target is the head itself while the first block of the epoch has not been seen.
    pub fn attestation_data(&self, slot: Slot, head: Slot) -> AttestationData {
        let epoch = self.chain.epoch_of(slot);
        let head = head.min(slot);
        let target_slot = self.chain.first_slot(epoch).min(head);
        AttestationData {
            slot,
            index: CommitteeIndex(0), // EIP-7549: the committee is outside the signed data since Electra.
            beacon_block_root: self.block_root(head),
            source: self.justified(epoch),
            target: Checkpoint {
                epoch,
                root: self.block_root(target_slot),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::judge::tests::chain;

    fn history() -> History {
        History::new(Arc::new(chain()), Seed(7))
    }

    #[test]
    fn heads_appear_between_5_and_25_percent_of_their_slot() {
        let history = history();
        let slot = history.chain().spec.slot_duration;
        for number in 1..200 {
            let delay = history
                .seen_at(Slot(number))
                .saturating_since(history.chain().slot_start(Slot(number)));
            assert!(
                delay >= slot * 5 / 100 && delay <= slot * 25 / 100,
                "slot {number}: {delay:?}"
            );
        }
    }

    #[test]
    fn the_head_changes_at_the_moment_it_is_seen() {
        let history = history();
        let seen = history.seen_at(Slot(5));
        assert_eq!(history.head_at(seen - Duration::from_nanos(1)), Slot(4));
        assert_eq!(history.head_at(seen), Slot(5));
    }

    #[test]
    fn before_genesis_the_head_is_the_genesis_block() {
        assert_eq!(history().head_at(Timestamp::from_secs(1)), Slot(0));
    }

    #[test]
    fn source_is_the_previous_epochs_checkpoint_from_epoch_two() {
        let history = history();
        assert_eq!(history.justified(Epoch(1)).root, Root([0; 32]));
        assert_eq!(history.justified(Epoch(2)), history.checkpoint(Epoch(1)));
        assert_eq!(history.finalized(Epoch(3)), history.checkpoint(Epoch(1)));
    }

    #[test]
    fn an_early_attester_of_an_epochs_first_slot_targets_the_old_head() {
        let history = history();
        let early = history.attestation_data(Slot(8), Slot(7));
        assert_eq!(early.target.root, history.block_root(Slot(7)));
        let timely = history.attestation_data(Slot(8), Slot(8));
        assert_eq!(timely.target, history.checkpoint(Epoch(1)));
    }
}
