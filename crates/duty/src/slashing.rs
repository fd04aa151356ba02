//! The rules of the slashing database (S2, S4), pure: what a share may sign given what its validator has signed before.
//!
//! The file and its sync belong to `node`; the simulator runs crashes between the two. Rows belong to a *group* public key,
//! never to a share's: shares are replaced, history is not. The rules are those of EIP-3076, over complete history where it is
//! known and over a [`Floor`] for everything older.

use std::collections::BTreeMap;

use flotilla_types::{Epoch, Root, Slot};

/// What a share is about to sign, as far as slashing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vote {
    /// An attestation.
    Attestation(Attestation),
    /// A block.
    Block(Block),
}

/// The slashable part of an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attestation {
    /// Justified checkpoint's epoch.
    pub source: Epoch,
    /// Voted checkpoint's epoch.
    pub target: Epoch,
    /// What is signed.
    pub signing_root: Root,
}

/// The slashable part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The block's slot.
    pub slot: Slot,
    /// What is signed.
    pub signing_root: Root,
}

/// Why a vote must not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Source later than target: no valid attestation.
    #[error("source epoch {source_epoch} is later than target epoch {target_epoch}")]
    SourceAfterTarget {
        /// The vote's source.
        source_epoch: Epoch,
        /// The vote's target.
        target_epoch: Epoch,
    },
    /// Another root was signed for the same target.
    #[error("another attestation with target epoch {0} was signed before")]
    DoubleVote(Epoch),
    /// The vote would surround an earlier one.
    #[error("it surrounds an earlier attestation {source_epoch} -> {target_epoch}")]
    Surrounds {
        /// The earlier vote's source.
        source_epoch: Epoch,
        /// The earlier vote's target.
        target_epoch: Epoch,
    },
    /// An earlier vote surrounds this one.
    #[error("an earlier attestation {source_epoch} -> {target_epoch} surrounds it")]
    Surrounded {
        /// The earlier vote's source.
        source_epoch: Epoch,
        /// The earlier vote's target.
        target_epoch: Epoch,
    },
    /// The source lies before what is known in full.
    #[error("source epoch {found} is below {floor}, the earliest that is known to be safe")]
    SourceBelowFloor {
        /// The vote's source.
        found: Epoch,
        /// The floor.
        floor: Epoch,
    },
    /// The target does not lie after everything that is not known in full.
    #[error(
        "target epoch {found} is not above {floor}, up to which something may have been signed"
    )]
    TargetNotAboveFloor {
        /// The vote's target.
        found: Epoch,
        /// The floor.
        floor: Epoch,
    },
    /// Another block was signed for the same slot.
    #[error("another block of slot {0} was signed before")]
    DoubleBlock(Slot),
    /// The slot does not lie after everything that is not known in full.
    #[error("slot {found} is not above {floor}, up to which something may have been signed")]
    SlotNotAboveFloor {
        /// The block's slot.
        found: Slot,
        /// The floor.
        floor: Slot,
    },
    /// The database may have been restored, copied or lost; signing waits (S4).
    #[error(
        "the slashing database may be older than the last signature; signing starts with epoch {0}"
    )]
    Embargo(Epoch),
    /// The database cannot be read or written; nothing is signed without it.
    #[error("the slashing database failed: {0}")]
    Database(String),
}

/// Whether a permitted vote is new or was signed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Must be written and synced before its signature leaves.
    New,
    /// The same root was signed before; signing it again is harmless.
    Repeat,
}

/// Everything at or below may have been signed, without being known in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floor {
    /// Attestations need a source of at least this epoch.
    pub source: Option<Epoch>,
    /// Attestations need a target above this epoch.
    pub target: Option<Epoch>,
    /// Blocks need a slot above this one.
    pub slot: Option<Slot>,
}

/// How much of a validator's history is kept in full: attestations by target epoch, and blocks.
pub const HISTORY_LIMIT: usize = 512;

/// What one validator has signed: complete above the floor, bounded by [`HISTORY_LIMIT`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    floor: Floor,
    attestations: BTreeMap<Epoch, (Epoch, Root)>,
    blocks: BTreeMap<Slot, Root>,
}

impl History {
    /// A history of which only the floor is known, as after an import of the minimal form.
    pub fn with_floor(floor: Floor) -> Self {
        Self {
            floor,
            ..Self::default()
        }
    }

    /// The floor in force.
    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// Attestations known in full, by ascending target.
    pub fn attestations(&self) -> impl Iterator<Item = Attestation> + '_ {
        self.attestations
            .iter()
            .map(|(&target, &(source, signing_root))| Attestation {
                source,
                target,
                signing_root,
            })
    }

    /// Blocks known in full, by ascending slot.
    pub fn blocks(&self) -> impl Iterator<Item = Block> + '_ {
        self.blocks
            .iter()
            .map(|(&slot, &signing_root)| Block { slot, signing_root })
    }

    /// Whether anything was ever signed or imported.
    pub fn is_empty(&self) -> bool {
        self.floor == Floor::default() && self.attestations.is_empty() && self.blocks.is_empty()
    }

    /// Raises the floor; it never sinks.
    pub fn raise(&mut self, floor: Floor) {
        self.floor.source = self.floor.source.max(floor.source);
        self.floor.target = self.floor.target.max(floor.target);
        self.floor.slot = self.floor.slot.max(floor.slot);
    }

    /// Whether `vote` may be signed (EIP-3076, conditions for signing).
    pub fn check(&self, vote: &Vote) -> Result<Permission, Refusal> {
        match vote {
            Vote::Attestation(attestation) => self.check_attestation(attestation),
            Vote::Block(block) => self.check_block(block),
        }
    }

    fn check_attestation(&self, vote: &Attestation) -> Result<Permission, Refusal> {
        if vote.source > vote.target {
            return Err(Refusal::SourceAfterTarget {
                source_epoch: vote.source,
                target_epoch: vote.target,
            });
        }
        if let Some(&(source, root)) = self.attestations.get(&vote.target) {
            return match source == vote.source && root == vote.signing_root {
                true => Ok(Permission::Repeat),
                false => Err(Refusal::DoubleVote(vote.target)),
            };
        }
        if let Some(floor) = self.floor.source.filter(|&floor| vote.source < floor) {
            return Err(Refusal::SourceBelowFloor {
                found: vote.source,
                floor,
            });
        }
        if let Some(floor) = self.floor.target.filter(|&floor| vote.target <= floor) {
            return Err(Refusal::TargetNotAboveFloor {
                found: vote.target,
                floor,
            });
        }
        for earlier in self.attestations() {
            let (source_epoch, target_epoch) = (earlier.source, earlier.target);
            if vote.source < source_epoch && target_epoch < vote.target {
                return Err(Refusal::Surrounds {
                    source_epoch,
                    target_epoch,
                });
            }
            if source_epoch < vote.source && vote.target < target_epoch {
                return Err(Refusal::Surrounded {
                    source_epoch,
                    target_epoch,
                });
            }
        }
        Ok(Permission::New)
    }

    fn check_block(&self, block: &Block) -> Result<Permission, Refusal> {
        if let Some(&root) = self.blocks.get(&block.slot) {
            return match root == block.signing_root {
                true => Ok(Permission::Repeat),
                false => Err(Refusal::DoubleBlock(block.slot)),
            };
        }
        match self.floor.slot.filter(|&floor| block.slot <= floor) {
            Some(floor) => Err(Refusal::SlotNotAboveFloor {
                found: block.slot,
                floor,
            }),
            None => Ok(Permission::New),
        }
    }

    /// Notes a vote that [`check`](Self::check) permitted. The oldest votes past [`HISTORY_LIMIT`] sink into the floor.
    pub fn insert(&mut self, vote: &Vote) {
        match vote {
            Vote::Attestation(vote) => {
                self.attestations
                    .insert(vote.target, (vote.source, vote.signing_root));
                while self.attestations.len() > HISTORY_LIMIT {
                    let Some((target, (source, _))) = self.attestations.pop_first() else {
                        break;
                    };
                    self.raise(Floor {
                        source: Some(source),
                        target: Some(target),
                        slot: None,
                    });
                }
            }
            Vote::Block(block) => {
                self.blocks.insert(block.slot, block.signing_root);
                while self.blocks.len() > HISTORY_LIMIT {
                    let Some((slot, _)) = self.blocks.pop_first() else {
                        break;
                    };
                    self.raise(Floor {
                        slot: Some(slot),
                        ..Floor::default()
                    });
                }
            }
        }
    }
}

/// Until when nothing of the past is signed, because the database may be older than the last signature (S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embargo {
    /// The current epoch when the doubt arose: no attestation with a target up to it.
    pub epoch: Epoch,
    /// The current slot then: no block up to it.
    pub slot: Slot,
}

impl Embargo {
    /// Whether `vote` lies in the time of doubt.
    pub fn check(&self, vote: &Vote) -> Result<(), Refusal> {
        let in_doubt = match vote {
            Vote::Attestation(attestation) => attestation.target <= self.epoch,
            Vote::Block(block) => block.slot <= self.slot,
        };
        if in_doubt {
            Err(Refusal::Embargo(Epoch(self.epoch.0 + 1)))
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(byte: u8) -> Root {
        Root([byte; 32])
    }

    fn attestation(source: u64, target: u64, byte: u8) -> Vote {
        Vote::Attestation(Attestation {
            source: Epoch(source),
            target: Epoch(target),
            signing_root: root(byte),
        })
    }

    fn block(slot: u64, byte: u8) -> Vote {
        Vote::Block(Block {
            slot: Slot(slot),
            signing_root: root(byte),
        })
    }

    fn history(votes: &[Vote]) -> History {
        let mut history = History::default();
        for vote in votes {
            assert_eq!(history.check(vote), Ok(Permission::New));
            history.insert(vote);
        }
        history
    }

    #[test]
    fn same_root_may_be_signed_again() {
        let history = history(&[attestation(1, 2, 7), block(9, 7)]);
        assert_eq!(history.check(&attestation(1, 2, 7)), Ok(Permission::Repeat));
        assert_eq!(history.check(&block(9, 7)), Ok(Permission::Repeat));
    }

    #[test]
    fn second_root_for_one_target_or_slot_is_refused() {
        let history = history(&[attestation(1, 2, 7), block(9, 7)]);
        assert_eq!(
            history.check(&attestation(1, 2, 8)),
            Err(Refusal::DoubleVote(Epoch(2)))
        );
        assert_eq!(
            history.check(&attestation(0, 2, 7)),
            Err(Refusal::DoubleVote(Epoch(2)))
        );
        assert_eq!(
            history.check(&block(9, 8)),
            Err(Refusal::DoubleBlock(Slot(9)))
        );
    }

    #[test]
    fn surround_votes_are_refused_both_ways() {
        let history = history(&[attestation(3, 5, 1)]);
        assert!(matches!(
            history.check(&attestation(2, 6, 2)),
            Err(Refusal::Surrounds { .. })
        ));
        assert!(matches!(
            history.check(&attestation(4, 4, 2)),
            Err(Refusal::Surrounded { .. })
        ));
        assert_eq!(history.check(&attestation(3, 6, 2)), Ok(Permission::New));
    }

    #[test]
    fn source_after_target_is_refused() {
        assert!(matches!(
            History::default().check(&attestation(3, 2, 1)),
            Err(Refusal::SourceAfterTarget { .. })
        ));
    }

    #[test]
    fn floor_guards_what_is_not_known_in_full() {
        let history = History::with_floor(Floor {
            source: Some(Epoch(4)),
            target: Some(Epoch(5)),
            slot: Some(Slot(100)),
        });
        assert!(matches!(
            history.check(&attestation(3, 9, 1)),
            Err(Refusal::SourceBelowFloor { .. })
        ));
        assert!(matches!(
            history.check(&attestation(4, 5, 1)),
            Err(Refusal::TargetNotAboveFloor { .. })
        ));
        assert_eq!(history.check(&attestation(4, 6, 1)), Ok(Permission::New));
        assert!(matches!(
            history.check(&block(100, 1)),
            Err(Refusal::SlotNotAboveFloor { .. })
        ));
        assert_eq!(history.check(&block(101, 1)), Ok(Permission::New));
    }

    #[test]
    fn oldest_votes_sink_into_the_floor_and_stay_guarded() {
        let mut history = History::default();
        for epoch in 0..=HISTORY_LIMIT as u64 {
            history.insert(&attestation(epoch, epoch + 1, 1));
        }
        assert_eq!(history.attestations().count(), HISTORY_LIMIT);
        assert!(history.check(&attestation(0, 1, 2)).is_err());
        assert_eq!(history.floor().target, Some(Epoch(1)));
    }

    #[test]
    fn embargo_covers_the_epoch_of_doubt_and_no_more() {
        let embargo = Embargo {
            epoch: Epoch(7),
            slot: Slot(230),
        };
        assert!(embargo.check(&attestation(6, 7, 1)).is_err());
        assert!(embargo.check(&attestation(7, 8, 1)).is_ok());
        assert!(embargo.check(&block(230, 1)).is_err());
        assert!(embargo.check(&block(231, 1)).is_ok());
    }
}
