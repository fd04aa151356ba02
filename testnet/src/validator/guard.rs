//! Protection against own slashable signatures, in memory only: enough for a test tool, and for nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flotilla_types::{AttestationData, Epoch, Root, Slot, ValidatorIndex};

/// A signature that could be slashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Slashable {
    /// A vote that does not come after the last one.
    #[error(
        "validator {validator}: a vote from {source_epoch} to {target} after one from {last_source} to {last_target}"
    )]
    Vote {
        validator: ValidatorIndex,
        source_epoch: Epoch,
        target: Epoch,
        last_source: Epoch,
        last_target: Epoch,
    },
    /// A block that does not come after the last one.
    #[error("validator {validator}: a block of slot {slot} after one of slot {last}")]
    Block {
        validator: ValidatorIndex,
        slot: Slot,
        last: Slot,
    },
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    source: Epoch,
    target: Epoch,
    root: Root,
}

/// The last vote and the last block of each validator.
#[derive(Debug, Default)]
pub(super) struct Guard {
    votes: Mutex<BTreeMap<ValidatorIndex, Vote>>,
    blocks: Mutex<BTreeMap<ValidatorIndex, (Slot, Root)>>,
}

impl Guard {
    /// Allows a vote that is the last one again, or has a later target and no earlier source.
    pub(super) fn vote(
        &self,
        validator: ValidatorIndex,
        data: &AttestationData,
    ) -> Result<(), Slashable> {
        let vote = Vote {
            source: data.source.epoch,
            target: data.target.epoch,
            root: data.tree_hash_root(),
        };
        let mut votes = locked(&self.votes);
        if let Some(last) = votes.get(&validator) {
            let again = vote.root == last.root;
            let later = vote.target > last.target && vote.source >= last.source;
            if !again && !later {
                return Err(Slashable::Vote {
                    validator,
                    source_epoch: vote.source,
                    target: vote.target,
                    last_source: last.source,
                    last_target: last.target,
                });
            }
        }
        votes.insert(validator, vote);
        Ok(())
    }

    /// Allows a block that is the last one again, or of a later slot.
    pub(super) fn block(
        &self,
        validator: ValidatorIndex,
        slot: Slot,
        root: Root,
    ) -> Result<(), Slashable> {
        let mut blocks = locked(&self.blocks);
        if let Some(&(last, last_root)) = blocks.get(&validator)
            && slot <= last
            && root != last_root
        {
            return Err(Slashable::Block {
                validator,
                slot,
                last,
            });
        }
        blocks.insert(validator, (slot, root));
        Ok(())
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flotilla_types::Checkpoint;

    const WHO: ValidatorIndex = ValidatorIndex(3);

    fn data(source: u64, target: u64, head: u8) -> AttestationData {
        let checkpoint = |epoch| Checkpoint {
            epoch: Epoch(epoch),
            root: Root::default(),
        };
        AttestationData {
            beacon_block_root: Root([head; 32]),
            source: checkpoint(source),
            target: checkpoint(target),
            ..AttestationData::default()
        }
    }

    #[test]
    fn double_and_surround_votes_are_refused() {
        let guard = Guard::default();
        assert!(guard.vote(WHO, &data(1, 2, 0)).is_ok());
        assert!(guard.vote(WHO, &data(1, 2, 0)).is_ok(), "the same again");
        assert!(guard.vote(WHO, &data(1, 2, 1)).is_err(), "double");
        assert!(guard.vote(WHO, &data(0, 3, 0)).is_err(), "surrounding");
        assert!(guard.vote(WHO, &data(1, 3, 0)).is_ok());
        assert!(guard.vote(WHO, &data(2, 2, 0)).is_err(), "back");
    }

    #[test]
    fn a_second_block_of_a_slot_is_refused() {
        let guard = Guard::default();
        assert!(guard.block(WHO, Slot(5), Root([1; 32])).is_ok());
        assert!(guard.block(WHO, Slot(5), Root([1; 32])).is_ok());
        assert!(guard.block(WHO, Slot(5), Root([2; 32])).is_err());
        assert!(guard.block(WHO, Slot(6), Root([2; 32])).is_ok());
    }
}
