//! The chain as one beacon node's events tell it: which block is at which slot.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{Root, Slot};

use super::Head;

/// Slots that are remembered.
const SLOTS: u64 = 64;

/// What is at a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// This block.
    Known(Root),
    /// No block.
    Empty,
    /// The events do not tell.
    Unknown,
}

/// The last slots of a chain.
#[derive(Debug, Default)]
pub struct Canon {
    blocks: BTreeMap<Slot, Root>,
    /// Slots whose block, if any, came with a reorganisation and was never told.
    untold: BTreeSet<Slot>,
    /// Blocks that were heads and are not on the chain any more.
    left: BTreeMap<Root, Slot>,
}

impl Canon {
    /// The slot of the head; `None` before the first event.
    pub fn tip(&self) -> Option<Slot> {
        self.blocks.last_key_value().map(|(slot, _)| *slot)
    }

    /// Whether the head is past a slot, so that what is there will only change by reorganisation.
    pub fn reaches(&self, slot: Slot) -> bool {
        self.tip().is_some_and(|tip| tip > slot)
    }

    /// A new head. Blocks at later slots have left the chain.
    pub fn head(&mut self, slot: Slot, root: Root) {
        let later = self.blocks.split_off(&slot);
        let left = later.into_iter().filter(|(_, left)| *left != root);
        self.left.extend(left.map(|(slot, root)| (root, slot)));
        self.left.remove(&root);
        self.untold.remove(&slot);
        self.blocks.insert(slot, root);
        self.forget();
    }

    /// The head is no descendant of the one before. Beacon nodes measure `depth` from the old head or from the new one, so
    /// the earlier of the two is taken.
    pub fn reorg(&mut self, slot: Slot, depth: u64, root: Root) {
        let tip = self.tip().unwrap_or(slot).min(slot);
        let ancestor = Slot(tip.0.saturating_sub(depth));
        let first = Slot(ancestor.0.saturating_add(1));
        let changed = self.blocks.split_off(&first);
        let left = changed.into_iter().filter(|(_, left)| *left != root);
        self.left.extend(left.map(|(slot, root)| (root, slot)));
        let oldest = slot.0.saturating_sub(SLOTS);
        self.untold.extend((first.0.max(oldest)..slot.0).map(Slot));
        self.head(slot, root);
    }

    /// What is at a slot.
    pub fn block_at(&self, slot: Slot) -> Block {
        if let Some(root) = self.blocks.get(&slot) {
            return Block::Known(*root);
        }
        let heard = self
            .blocks
            .first_key_value()
            .is_some_and(|(first, _)| *first < slot);
        match heard && self.reaches(slot) && !self.untold.contains(&slot) {
            true => Block::Empty,
            false => Block::Unknown,
        }
    }

    /// Whether a block was the head at a slot.
    pub fn judge_head(&self, slot: Slot, attested: Root) -> Head {
        if self.left.contains_key(&attested) {
            return Head::Wrong;
        }
        let Some((last, root)) = self.blocks.range(..=slot).next_back() else {
            return Head::Unknown;
        };
        let next = Slot(last.0.saturating_add(1));
        let is_told = next > slot || self.untold.range(next..=slot).next().is_none();
        let is_own = *root == attested;
        let is_earlier = self.blocks.values().any(|root| *root == attested);
        match (is_told, is_own, is_earlier) {
            (true, true, _) => Head::Correct,
            // An earlier block of the chain, or a later one.
            (_, false, true) => Head::Wrong,
            _ => Head::Unknown,
        }
    }

    fn forget(&mut self) {
        let Some(tip) = self.tip() else { return };
        let oldest = Slot(tip.0.saturating_sub(SLOTS));
        self.blocks = self.blocks.split_off(&oldest);
        self.untold = self.untold.split_off(&oldest);
        self.left.retain(|_, slot| *slot >= oldest);
        // Heads of one slot that replace each other again and again.
        while self.left.len() > 2 * SLOTS as usize {
            self.left.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(byte: u8) -> Root {
        Root([byte; 32])
    }

    fn chain(blocks: &[(u64, u8)]) -> Canon {
        let mut canon = Canon::default();
        blocks
            .iter()
            .for_each(|&(slot, byte)| canon.head(Slot(slot), root(byte)));
        canon
    }

    #[test]
    fn slots_without_a_head_between_two_heads_are_empty() {
        let canon = chain(&[(10, 1), (12, 2)]);
        assert_eq!(canon.block_at(Slot(10)), Block::Known(root(1)));
        assert_eq!(canon.block_at(Slot(11)), Block::Empty);
        // Before the first event and after the last one nothing is known.
        assert_eq!(canon.block_at(Slot(9)), Block::Unknown);
        assert_eq!(canon.block_at(Slot(13)), Block::Unknown);
    }

    #[test]
    fn the_head_of_a_slot_is_its_block_or_the_last_one_before() {
        let canon = chain(&[(10, 1), (12, 2)]);
        assert_eq!(canon.judge_head(Slot(11), root(1)), Head::Correct);
        assert_eq!(canon.judge_head(Slot(12), root(2)), Head::Correct);
        assert_eq!(canon.judge_head(Slot(12), root(1)), Head::Wrong);
        assert_eq!(canon.judge_head(Slot(12), root(9)), Head::Unknown);
        // Before the first event nothing is known.
        assert_eq!(canon.judge_head(Slot(9), root(1)), Head::Unknown);
    }

    #[test]
    fn a_block_that_was_reorganised_away_was_a_wrong_head_and_is_not_included() {
        let mut canon = chain(&[(10, 1), (11, 2)]);
        // The block of slot 12 builds on that of slot 10.
        canon.reorg(Slot(12), 1, root(3));
        assert_eq!(canon.judge_head(Slot(11), root(2)), Head::Wrong);
        // Whether another block is at slot 11 was not told.
        assert_eq!(canon.block_at(Slot(11)), Block::Unknown);
        assert_eq!(canon.judge_head(Slot(11), root(1)), Head::Unknown);
        assert_eq!(canon.judge_head(Slot(12), root(3)), Head::Correct);
    }

    #[test]
    fn a_block_that_comes_back_was_right_after_all() {
        let mut canon = chain(&[(10, 1), (11, 2)]);
        canon.head(Slot(11), root(3));
        canon.head(Slot(11), root(2));
        assert_eq!(canon.judge_head(Slot(11), root(2)), Head::Correct);
        assert_eq!(canon.judge_head(Slot(11), root(3)), Head::Wrong);
    }

    #[test]
    fn memory_is_bounded() {
        let mut canon = Canon::default();
        for slot in 0..1000 {
            canon.head(Slot(slot), Root([7; 32]));
            canon.reorg(Slot(slot), u64::MAX, Root::default());
            canon.head(Slot(slot), Root([slot as u8; 32]));
        }
        assert!(canon.blocks.len() <= 65 && canon.left.len() <= 128 && canon.untold.len() <= 65);
    }
}
