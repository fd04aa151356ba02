//! Looks for slashable pairs among everything a validator has validly signed.

use std::collections::{BTreeMap, VecDeque};

use flotilla_types::{AttestationData, Epoch, Root, Slot, ValidatorIndex};

/// Votes remembered for each validator. One vote an epoch is normal, so this covers 256 epochs.
const VOTES_KEPT: usize = 256;

/// One attestation as the slashing conditions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Vote {
    source: Epoch,
    target: Epoch,
    root: Root,
}

impl Vote {
    /// `is_slashable_attestation_data` of the consensus specs, both ways round.
    fn conflicts(&self, other: &Vote) -> bool {
        let double = self.target == other.target && self.root != other.root;
        double || self.surrounds(other) || other.surrounds(self)
    }

    fn surrounds(&self, other: &Vote) -> bool {
        self.source < other.source && other.target < self.target
    }
}

/// Blocks remembered for each validator. A validator proposes seldom, so this covers a long time.
const BLOCKS_KEPT: usize = 256;

/// The votes and blocks of every validator, newest last, and how many conflicting pairs there were among them.
#[derive(Clone, Debug, Default)]
pub struct SlashingWatch {
    votes: BTreeMap<ValidatorIndex, VecDeque<Vote>>,
    blocks: BTreeMap<ValidatorIndex, VecDeque<(Slot, Root)>>,
    pairs: u64,
}

impl SlashingWatch {
    /// Takes note of a vote whose signature is valid, whether or not the chain accepts it. Returns the number of
    /// earlier votes it conflicts with; the same vote again conflicts with nothing.
    pub fn note(&mut self, validator: ValidatorIndex, data: &AttestationData) -> u64 {
        let vote = Vote {
            source: data.source.epoch,
            target: data.target.epoch,
            root: data.tree_hash_root(),
        };
        let votes = self.votes.entry(validator).or_default();
        if votes.contains(&vote) {
            return 0;
        }
        let conflicts = votes
            .iter()
            .filter(|earlier| earlier.conflicts(&vote))
            .count() as u64;
        if votes.len() == VOTES_KEPT {
            votes.pop_front();
        }
        votes.push_back(vote);
        self.pairs += conflicts;
        conflicts
    }

    /// Takes note of a block whose signature is valid. Returns the number of earlier blocks of its proposer for the same
    /// slot with another root.
    pub fn note_block(&mut self, validator: ValidatorIndex, slot: Slot, root: Root) -> u64 {
        let blocks = self.blocks.entry(validator).or_default();
        if blocks.contains(&(slot, root)) {
            return 0;
        }
        let conflicts = blocks.iter().filter(|(other, _)| *other == slot).count() as u64;
        if blocks.len() == BLOCKS_KEPT {
            blocks.pop_front();
        }
        blocks.push_back((slot, root));
        self.pairs += conflicts;
        conflicts
    }

    /// Conflicting pairs seen so far.
    pub fn pairs(&self) -> u64 {
        self.pairs
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::{Checkpoint, CommitteeIndex, Slot};

    use super::*;

    fn data(slot: u64, source: u64, target: u64, head: u8) -> AttestationData {
        AttestationData {
            slot: Slot(slot),
            index: CommitteeIndex(0),
            beacon_block_root: Root([head; 32]),
            source: Checkpoint {
                epoch: Epoch(source),
                root: Root([0; 32]),
            },
            target: Checkpoint {
                epoch: Epoch(target),
                root: Root([1; 32]),
            },
        }
    }

    fn pairs(votes: &[AttestationData]) -> u64 {
        let mut watch = SlashingWatch::default();
        for vote in votes {
            watch.note(ValidatorIndex(4), vote);
        }
        watch.pairs()
    }

    #[test]
    fn a_second_root_for_a_target_is_a_double_vote() {
        assert_eq!(pairs(&[data(8, 0, 1, 1), data(8, 0, 1, 2)]), 1);
        assert_eq!(pairs(&[data(8, 0, 1, 1), data(9, 0, 1, 1)]), 1);
    }

    #[test]
    fn the_same_vote_again_is_harmless() {
        assert_eq!(pairs(&[data(8, 0, 1, 1), data(8, 0, 1, 1)]), 0);
    }

    #[test]
    fn surround_votes_are_seen_in_either_order() {
        assert_eq!(pairs(&[data(24, 2, 3, 1), data(32, 1, 4, 1)]), 1);
        assert_eq!(pairs(&[data(32, 1, 4, 1), data(24, 2, 3, 1)]), 1);
    }

    #[test]
    fn successive_votes_do_not_conflict() {
        assert_eq!(
            pairs(&[data(8, 0, 1, 1), data(16, 1, 2, 1), data(24, 2, 3, 1)]),
            0
        );
    }

    #[test]
    fn a_second_block_of_a_slot_conflicts_and_the_same_again_does_not() {
        let mut watch = SlashingWatch::default();
        let mut note = |validator, slot, root| {
            watch.note_block(ValidatorIndex(validator), Slot(slot), Root([root; 32]))
        };
        assert_eq!(note(1, 5, 1), 0);
        assert_eq!(note(1, 5, 1), 0);
        assert_eq!(note(1, 6, 2), 0);
        assert_eq!(note(2, 5, 2), 0);
        assert_eq!(note(1, 5, 2), 1);
        assert_eq!(watch.pairs(), 1);
    }

    #[test]
    fn validators_are_watched_apart() {
        let mut watch = SlashingWatch::default();
        watch.note(ValidatorIndex(1), &data(8, 0, 1, 1));
        watch.note(ValidatorIndex(2), &data(8, 0, 1, 2));
        assert_eq!(watch.pairs(), 0);
    }

    #[test]
    fn memory_is_bounded() {
        let mut watch = SlashingWatch::default();
        for epoch in 1..2_000 {
            watch.note(ValidatorIndex(1), &data(8 * epoch, epoch - 1, epoch, 1));
        }
        assert_eq!(watch.votes[&ValidatorIndex(1)].len(), VOTES_KEPT);
    }
}
