//! The chain itself: the blocks there are, and when each was seen.
//!
//! Strangers' blocks are seen at a seeded moment of their slot; a proposal of the cluster when it is brought. A slot may
//! stay empty. There are no forks: a block that comes too late is in nobody's chain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    AttestationData, BlockHeader, Chain, Checkpoint, CommitteeIndex, Duty, DutyKind, Epoch, Root,
    SignedProposal, Slot, Timestamp, ValidatorIndex,
};
use rand::RngExt;

use super::Seed;

/// The earliest a stranger's block is seen, in hundredths of its slot.
const EARLIEST_PERCENT: u64 = 5;
/// The latest a stranger's block is seen, in hundredths of its slot: before attestations are due.
const LATEST_PERCENT: u64 = 25;
/// Blocks whose roots are remembered, at least.
const ROOTS_KEPT: u64 = 2_048;
/// Blocks that are remembered whole.
const BLOCKS_KEPT: u64 = 64;

/// A block of the chain.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its header.
    pub header: BlockHeader,
    /// Its root.
    pub root: Root,
    /// When it became the head.
    pub seen_at: Timestamp,
    /// The whole of it; the genesis block and old ones have none.
    pub signed: Option<Arc<SignedProposal>>,
}

/// The blocks of a chain and when they were seen.
#[derive(Clone, Debug)]
pub struct History {
    chain: Arc<Chain>,
    seed: Seed,
    blocks: BTreeMap<Slot, Block>,
}

impl History {
    /// A chain with nothing but the genesis block, whose root follows from `seed`.
    pub fn new(chain: Arc<Chain>, seed: Seed) -> Self {
        let header = BlockHeader {
            slot: Slot(0),
            proposer_index: ValidatorIndex(0),
            parent_root: Root([0; 32]),
            state_root: Root([0; 32]),
            body_root: Root([0; 32]),
        };
        let genesis = Block {
            header,
            root: Root(seed.bytes("block", 0)),
            seen_at: chain.genesis_time,
            signed: None,
        };
        History {
            chain,
            seed,
            blocks: BTreeMap::from([(Slot(0), genesis)]),
        }
    }

    /// Times, forks and domains.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Makes a block the head. Its slot is after the head's.
    pub(super) fn push(&mut self, block: Block) {
        let slot = block.header.slot;
        self.blocks.insert(slot, block);
        let kept = ROOTS_KEPT.max(4 * self.chain.spec.slots_per_epoch);
        self.blocks = self
            .blocks
            .split_off(&Slot(slot.0.saturating_sub(kept)).min(slot));
        if let Some(old) = slot.0.checked_sub(BLOCKS_KEPT)
            && let Some((_, block)) = self.blocks.range_mut(..=Slot(old)).next_back()
        {
            block.signed = None;
        }
    }

    /// When a stranger's block of a slot becomes the head: at a random moment between 5 % and 25 % of the slot.
    pub fn seen_at(&self, slot: Slot) -> Timestamp {
        let percent = self.percent();
        let delay = self
            .seed
            .rng("seen", slot.0)
            .random_range(EARLIEST_PERCENT * percent..=LATEST_PERCENT * percent);
        self.chain.slot_start(slot) + Duration::from_nanos(delay)
    }

    /// A hundredth of a slot in nanoseconds.
    fn percent(&self) -> u64 {
        u64::try_from(self.chain.spec.slot_duration.as_nanos()).unwrap_or(u64::MAX / 100) / 100
    }

    /// The newest block.
    pub fn head(&self) -> &Block {
        self.blocks
            .last_key_value()
            .map(|(_, block)| block)
            .expect("the newest block is never dropped")
    }

    /// The block of a slot, if there is one.
    pub fn block(&self, slot: Slot) -> Option<&Block> {
        self.blocks.get(&slot)
    }

    /// The newest block up to a slot; the oldest one remembered if there is none.
    pub fn block_by(&self, slot: Slot) -> &Block {
        let found = self.blocks.range(..=slot).next_back();
        let found = found.or_else(|| self.blocks.first_key_value());
        found
            .map(|(_, block)| block)
            .expect("the newest block is never dropped")
    }

    /// Root of the newest block up to a slot.
    pub fn root_by(&self, slot: Slot) -> Root {
        self.block_by(slot).root
    }

    /// The blocks remembered, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values().rev()
    }

    /// Until when something counts as in time. A proposal and its reveal until attestations are due, everything else until
    /// the next slot begins (inclusion distance 1).
    pub fn deadline(&self, kind: DutyKind, slot: Slot) -> Timestamp {
        match kind {
            // Late, votes are for its parent then, but still a block: a leader who is away costs a cluster 1.5 s.
            DutyKind::Proposer => self.chain.due(Duty::new(slot, DutyKind::Aggregator)),
            DutyKind::Randao => self.chain.due(Duty::attester(slot)),
            _ => self.chain.slot_start(Slot(slot.0.saturating_add(1))),
        }
    }

    /// The checkpoint of an epoch: the block of its first slot, or the last one before it.
    pub fn checkpoint(&self, epoch: Epoch) -> Checkpoint {
        Checkpoint {
            epoch,
            root: self.root_by(self.chain.first_slot(epoch)),
        }
    }

    /// The justified checkpoint during an epoch: the previous epoch's, as on a chain where everybody attests. As on a
    /// real chain nothing is justified in epochs 0 and 1: the zero root stands for genesis.
    pub fn justified(&self, epoch: Epoch) -> Checkpoint {
        self.settled(epoch, 1)
    }

    /// The finalised checkpoint during an epoch: two epochs back.
    pub fn finalized(&self, epoch: Epoch) -> Checkpoint {
        self.settled(epoch, 2)
    }

    fn settled(&self, epoch: Epoch, back: u64) -> Checkpoint {
        match epoch.0.checked_sub(back) {
            Some(earlier) if earlier > 0 => self.checkpoint(Epoch(earlier)),
            _ => Checkpoint {
                epoch: Epoch(0),
                root: Root([0; 32]),
            },
        }
    }

    /// The block that decides the attester duties of an epoch, and since Fulu its proposers: the last one before the
    /// previous epoch.
    pub fn dependent_root(&self, epoch: Epoch) -> Root {
        let previous = Epoch(epoch.0.saturating_sub(1));
        self.root_by(Slot(self.chain.first_slot(previous).0.saturating_sub(1)))
    }

    /// What an attester of `slot` sees when `head` is the slot of the head: the answer of a beacon node.
    ///
    /// The target is the head itself while the first block of the epoch has not been seen.
    pub fn attestation_data(&self, slot: Slot, head: Slot) -> AttestationData {
        let epoch = self.chain.epoch_of(slot);
        let head = head.min(slot);
        AttestationData {
            slot,
            index: CommitteeIndex(0), // EIP-7549: the committee is outside the signed data since Electra.
            beacon_block_root: self.root_by(head),
            source: self.justified(epoch),
            target: Checkpoint {
                epoch,
                root: self.root_by(self.chain.first_slot(epoch).min(head)),
            },
        }
    }

    /// Slots of the heads that may rightly be voted for in `slot`, by something that arrived at `at`.
    ///
    /// That is the block of the slot; the one before it if there is none and votes are due. A proposal that was seen only
    /// after 25 % of the slot leaves too little time to be sure that everybody has it, so the one before it is right too.
    pub fn right_heads(&self, slot: Slot, at: Timestamp) -> Vec<Slot> {
        let before = |slot: Slot| self.block_by(Slot(slot.0.saturating_sub(1))).header.slot;
        match self.block(slot) {
            Some(block) if block.seen_at <= self.latest_usual(slot) || slot.0 == 0 => vec![slot],
            Some(_) => vec![slot, before(slot)],
            None if at >= self.chain.due(Duty::attester(slot)) => vec![before(slot)],
            None => Vec::new(),
        }
    }

    fn latest_usual(&self, slot: Slot) -> Timestamp {
        self.chain.slot_start(slot) + Duration::from_nanos(LATEST_PERCENT * self.percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::fixture::chain;

    fn history() -> History {
        History::new(Arc::new(chain()), Seed(7))
    }

    /// A history with a block in each of these slots, seen so late after its start.
    fn with_blocks(slots: &[u64], after: Duration) -> History {
        let mut history = history();
        for slot in slots {
            let header = BlockHeader {
                slot: Slot(*slot),
                parent_root: history.head().root,
                ..history.head().header
            };
            history.push(Block {
                header,
                root: Root([*slot as u8; 32]),
                seen_at: history.chain().slot_start(Slot(*slot)) + after,
                signed: None,
            });
        }
        history
    }

    const EARLY: Duration = Duration::from_millis(300);

    #[test]
    fn strangers_blocks_appear_between_5_and_25_percent_of_their_slot() {
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
    fn an_empty_slot_has_the_block_before_it() {
        let history = with_blocks(&[1, 2, 4], EARLY);
        assert_eq!(history.root_by(Slot(3)), Root([2; 32]));
        assert!(history.block(Slot(3)).is_none());
        assert_eq!(history.head().header.slot, Slot(4));
    }

    #[test]
    fn source_is_the_previous_epochs_checkpoint_from_epoch_two() {
        let history = with_blocks(&[8, 16, 23], EARLY);
        assert_eq!(history.justified(Epoch(1)).root, Root([0; 32]));
        assert_eq!(history.justified(Epoch(2)), history.checkpoint(Epoch(1)));
        assert_eq!(history.finalized(Epoch(3)), history.checkpoint(Epoch(1)));
        // Slot 24 is empty: the last block before it begins the epoch.
        assert_eq!(history.checkpoint(Epoch(3)).root, Root([23; 32]));
    }

    #[test]
    fn an_early_attester_of_an_epochs_first_slot_targets_the_old_head() {
        let history = with_blocks(&[7, 8], EARLY);
        let early = history.attestation_data(Slot(8), Slot(7));
        assert_eq!(early.target.root, Root([7; 32]));
        let timely = history.attestation_data(Slot(8), Slot(8));
        assert_eq!(timely.target, history.checkpoint(Epoch(1)));
    }

    #[test]
    fn a_late_block_leaves_two_right_heads_and_an_empty_slot_one_when_votes_are_due() {
        let (start, due) = (Duration::from_millis(100), Duration::from_millis(1_100));
        let early = with_blocks(&[1, 2], EARLY);
        let at = |history: &History, slot, after| history.chain().slot_start(Slot(slot)) + after;
        assert_eq!(early.right_heads(Slot(2), at(&early, 2, due)), [Slot(2)]);
        let late = with_blocks(&[1, 2], Duration::from_millis(900));
        assert_eq!(
            late.right_heads(Slot(2), at(&late, 2, due)),
            [Slot(2), Slot(1)]
        );
        assert!(early.right_heads(Slot(3), at(&early, 3, start)).is_empty());
        assert_eq!(early.right_heads(Slot(3), at(&early, 3, due)), [Slot(2)]);
    }

    #[test]
    fn memory_is_bounded() {
        let history = with_blocks(&(1..5_000).collect::<Vec<_>>(), EARLY);
        assert!(history.blocks.len() as u64 <= ROOTS_KEPT + 1);
    }
}
