//! The chain-split guard: a vote must build on the chain that our own beacon nodes follow.
//!
//! Agreement settles on one value, not on a good one: with most members behind one beacon node software, a fault in it could
//! lead the others' shares onto a chain they would refuse. So a vote whose checkpoints are not those our own beacon nodes
//! gave is held up until they have said what they know of them. Only a *conflict* is a reason to refuse: a late block at an
//! epoch's border must not cost a duty. What is never signed is a vote from a source that nobody here has heard of, since
//! a validator that has voted so can not safely come back.
//!
//! The module knows no beacon node: it asks with [`Output::Examine`](crate::Output::Examine) and remembers.

use std::collections::BTreeSet;

use flotilla_types::{AttestationData, Checkpoint, Epoch, Root, SignedData, Slot, UnsignedData};

use crate::io::UnsignedSet;

/// What the own beacon nodes are asked about a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// Does a vote from `source` to `target` fit the chain? An unknown target is waited for, up to a sixth of the slot.
    Vote {
        /// The justified checkpoint voted from.
        source: Checkpoint,
        /// The checkpoint voted for.
        target: Checkpoint,
    },
    /// Does a block of `slot` on `parent` fit the chain? Nothing is waited for.
    Block {
        /// The block's slot.
        slot: Slot,
        /// The block before it.
        parent: Root,
    },
}

/// What the own beacon nodes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It descends from their justified checkpoint.
    Fits,
    /// It conflicts with their justified or finalised checkpoint.
    Conflicts,
    /// They do not know it, even after the wait.
    Unknown,
    /// None of them answered.
    Silent,
}

/// Epochs of which checkpoints are remembered.
const REMEMBERED: u64 = 4;

/// The checkpoints that our own beacon nodes have given.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    votes: BTreeSet<(Epoch, Checkpoint, Checkpoint)>,
}

impl Guard {
    /// Takes attestation data of our own beacon nodes.
    pub fn learn(&mut self, set: &UnsignedSet) {
        let data = set.values().filter_map(UnsignedData::attester);
        for AttestationData { source, target, .. } in data.map(|value| value.data) {
            self.votes.insert((target.epoch, source, target));
        }
        let newest = self.votes.last().map_or(0, |(epoch, ..)| epoch.0);
        self.votes
            .retain(|(epoch, ..)| epoch.0 + REMEMBERED > newest);
    }

    /// Whether our own beacon nodes have given exactly this.
    pub fn knows(&self, question: &Question) -> bool {
        match question {
            Question::Vote { source, target } => {
                self.votes.contains(&(target.epoch, *source, *target))
            }
            Question::Block { .. } => false,
        }
    }

    /// Whether a value may be voted for and signed, now that the beacon nodes have answered.
    pub fn permits(&self, question: &Question, verdict: Verdict) -> bool {
        match (verdict, question) {
            (Verdict::Fits, _) => true,
            (Verdict::Conflicts, _) => false,
            (Verdict::Unknown | Verdict::Silent, Question::Block { .. }) => true,
            (Verdict::Unknown, Question::Vote { source, .. }) => self.knows_source(source),
            // Without a beacon node and without a memory there is nothing to conflict with.
            (Verdict::Silent, Question::Vote { source, .. }) => {
                self.votes.is_empty() || self.knows_source(source)
            }
        }
    }

    /// Whether our own beacon nodes have given another target for the same epoch. Then a target that they do not know is not
    /// voted for: others may be ahead of us, and their votes suffice; or the leader follows a chain of its own.
    pub fn has_other_target(&self, question: &Question) -> bool {
        let Question::Vote { target, .. } = question else {
            return false;
        };
        let of_epoch = || {
            self.votes
                .iter()
                .filter(|(epoch, ..)| *epoch == target.epoch)
        };
        of_epoch().next().is_some() && of_epoch().all(|(_, _, known)| known != target)
    }

    fn knows_source(&self, wanted: &Checkpoint) -> bool {
        self.votes
            .iter()
            .any(|(_, source, target)| source == wanted || target == wanted)
    }
}

/// What has to be asked about a value.
pub(crate) fn questions(set: &UnsignedSet) -> BTreeSet<Question> {
    let question = |data: &UnsignedData| match data {
        UnsignedData::Attester(value) => Some(Question::Vote {
            source: value.data.source,
            target: value.data.target,
        }),
        UnsignedData::Proposer(proposal) => Some(Question::Block {
            slot: proposal.slot(),
            parent: proposal.facts().header.parent_root,
        }),
        UnsignedData::Aggregator(_) | UnsignedData::SyncContribution(_) => None,
    };
    set.values().filter_map(question).collect()
}

/// What has to be asked about an object that the cluster has decided.
pub(crate) fn question_of(data: &SignedData) -> Option<Question> {
    match data {
        SignedData::Attester(signed) => Some(Question::Vote {
            source: signed.data().source,
            target: signed.data().target,
        }),
        SignedData::Proposer(signed) => Some(Question::Block {
            slot: signed.proposal.slot(),
            parent: signed.proposal.facts().header.parent_root,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::{AttesterDuty, AttesterValue, PublicKeyBytes};

    use super::*;

    fn checkpoint(epoch: u64, byte: u8) -> Checkpoint {
        Checkpoint {
            epoch: Epoch(epoch),
            root: Root([byte; 32]),
        }
    }

    fn vote(source: Checkpoint, target: Checkpoint) -> Question {
        Question::Vote { source, target }
    }

    fn after(votes: &[(Checkpoint, Checkpoint)]) -> Guard {
        let mut guard = Guard::default();
        for &(source, target) in votes {
            let data = AttestationData {
                source,
                target,
                ..AttestationData::default()
            };
            let value = AttesterValue {
                data,
                duty: AttesterDuty::default(),
            };
            guard.learn(&UnsignedSet::from([(
                PublicKeyBytes([1; 48]),
                UnsignedData::Attester(value),
            )]));
        }
        guard
    }

    #[test]
    fn what_our_beacon_nodes_gave_is_not_asked_again() {
        let guard = after(&[(checkpoint(3, 1), checkpoint(4, 2))]);
        assert!(guard.knows(&vote(checkpoint(3, 1), checkpoint(4, 2))));
        assert!(!guard.knows(&vote(checkpoint(3, 1), checkpoint(4, 3))));
    }

    #[test]
    fn a_late_target_on_a_known_source_is_voted_for_and_an_unknown_source_never() {
        let guard = after(&[(checkpoint(3, 1), checkpoint(4, 2))]);
        let late = vote(checkpoint(4, 2), checkpoint(5, 9));
        let strange = vote(checkpoint(4, 7), checkpoint(5, 9));
        for verdict in [Verdict::Unknown, Verdict::Silent] {
            assert!(guard.permits(&late, verdict));
            assert!(!guard.permits(&strange, verdict));
        }
        assert!(guard.permits(&strange, Verdict::Fits));
        assert!(!guard.permits(&late, Verdict::Conflicts));
    }

    #[test]
    fn a_target_beside_our_own_is_told_apart_from_a_first_one() {
        let guard = after(&[(checkpoint(3, 1), checkpoint(4, 2))]);
        assert!(guard.has_other_target(&vote(checkpoint(3, 1), checkpoint(4, 9))));
        assert!(!guard.has_other_target(&vote(checkpoint(3, 1), checkpoint(4, 2))));
        assert!(!guard.has_other_target(&vote(checkpoint(4, 2), checkpoint(5, 9))));
    }

    #[test]
    fn a_node_that_has_seen_nothing_can_only_be_told_of_a_conflict() {
        let guard = Guard::default();
        let any = vote(checkpoint(4, 7), checkpoint(5, 9));
        assert!(guard.permits(&any, Verdict::Silent));
        assert!(!guard.permits(&any, Verdict::Unknown));
        assert!(!guard.permits(&any, Verdict::Conflicts));
    }

    #[test]
    fn memory_reaches_back_a_few_epochs() {
        let votes: Vec<_> = (0..9)
            .map(|epoch| (checkpoint(epoch, 1), checkpoint(epoch + 1, 1)))
            .collect();
        let guard = after(&votes);
        assert!(!guard.knows(&vote(votes[0].0, votes[0].1)));
        assert_eq!(guard.votes.len() as u64, REMEMBERED);
    }
}
