//! What this process has said, so that it never says the opposite, not even after a crash.

use crate::{Draft, Hash, Message, MessageKind};
use std::collections::BTreeMap;

/// The own votes of an instance as its log tells them.
///
/// The caller appends every [`Output::Send`](crate::Output::Send) addressed to all, and every
/// [`Output::Prepared`](crate::Output::Prepared), to a log before it acts on later outputs. After a
/// crash it replays that log into this type with [`note`](Self::note) and
/// [`note_prepared`](Self::note_prepared) and hands it to
/// [`Instance::restore`](crate::Instance::restore).
///
/// It grows with the number of own votes, so with the rounds this process has gone through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteState<S> {
    /// The highest round voted in or moved to; 0 if there is none.
    pub round: u64,
    /// What this process proposed, by round.
    pub pre_prepares: BTreeMap<u64, Hash>,
    /// What it sent a PREPARE for, by round.
    pub prepares: BTreeMap<u64, Hash>,
    /// What it sent a COMMIT for, by round.
    pub commits: BTreeMap<u64, Hash>,
    /// The latest prepared certificate: round, value and the quorum of PREPAREs.
    pub prepared: Option<(u64, Hash, Vec<Message<S>>)>,
}

impl<S> Default for VoteState<S> {
    fn default() -> Self {
        Self {
            round: 0,
            pre_prepares: BTreeMap::new(),
            prepares: BTreeMap::new(),
            commits: BTreeMap::new(),
            prepared: None,
        }
    }
}

impl<S: Clone> VoteState<S> {
    /// Takes in one logged vote with what was shown with it. The first vote of a kind and round
    /// stands; a DECIDED is no vote.
    pub fn note(&mut self, draft: &Draft, justification: &[Message<S>]) {
        match (draft.kind, draft.value) {
            (MessageKind::PrePrepare, Some(value)) => {
                self.pre_prepares.entry(draft.round).or_insert(value);
            }
            (MessageKind::Prepare, Some(value)) => {
                self.prepares.entry(draft.round).or_insert(value);
            }
            (MessageKind::Commit, Some(value)) => {
                self.commits.entry(draft.round).or_insert(value);
            }
            (MessageKind::RoundChange, _) => {
                if let Some(value) = draft.prepared_value {
                    self.note_prepared(draft.prepared_round, value, justification);
                }
            }
            (MessageKind::Decided, _) => return,
            (MessageKind::PrePrepare | MessageKind::Prepare | MessageKind::Commit, None) => {}
        }
        self.round = self.round.max(draft.round);
    }

    /// Takes in one logged prepared certificate; the one of the highest round stands.
    pub fn note_prepared(&mut self, round: u64, value: Hash, certificate: &[Message<S>]) {
        self.round = self.round.max(round);
        if self
            .prepared
            .as_ref()
            .is_none_or(|(known, ..)| *known < round)
        {
            self.prepared = Some((round, value, certificate.to_vec()));
        }
    }

    /// The round to re-enter: the highest one anywhere in the record, at least 1.
    pub(crate) fn resume_round(&self) -> u64 {
        let last =
            |votes: &BTreeMap<u64, Hash>| votes.last_key_value().map_or(0, |(round, _)| *round);
        let votes = last(&self.pre_prepares)
            .max(last(&self.prepares))
            .max(last(&self.commits));
        let prepared = self.prepared.as_ref().map_or(0, |(round, ..)| *round);
        self.round.max(votes).max(prepared).max(1)
    }

    /// The own votes of `round`.
    pub(crate) fn of_round(&self, round: u64) -> OwnVotes {
        let slot = |votes: &BTreeMap<u64, Hash>| {
            votes
                .get(&round)
                .map_or(Slot::Free, |value| Slot::Recorded(*value))
        };
        OwnVotes {
            pre_prepare: slot(&self.pre_prepares),
            prepare: slot(&self.prepares),
            commit: slot(&self.commits),
        }
    }
}

/// The votes of this process in one round: one slot per kind, so that a second value has no place.
///
/// Own votes are only ever cast in the current round, and rounds only grow until the decision, so
/// the slots of earlier rounds need not be kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OwnVotes {
    pub(crate) pre_prepare: Slot,
    pub(crate) prepare: Slot,
    pub(crate) commit: Slot,
}

/// Room for one vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing was said yet.
    #[default]
    Free,
    /// Said before a crash: may be said again, word for word, in case nobody heard it.
    Recorded(Hash),
    /// Said by this instance.
    Cast(Hash),
}

impl Slot {
    /// Takes the slot for `value`; false if it must not be sent (again).
    pub(crate) fn cast(&mut self, value: Hash) -> bool {
        match *self {
            Self::Free => {}
            Self::Recorded(recorded) if recorded == value => {}
            Self::Recorded(_) | Self::Cast(_) => return false,
        }
        *self = Self::Cast(value);
        true
    }

    /// Whether this instance has said something.
    pub(crate) fn is_cast(self) -> bool {
        matches!(self, Self::Cast(_))
    }

    /// Whether something else than `value` was said.
    pub(crate) fn contradicts(self, value: Hash) -> bool {
        match self {
            Self::Free => false,
            Self::Recorded(said) | Self::Cast(said) => said != value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kind: MessageKind, round: u64, value: Hash) -> Draft {
        Draft {
            kind,
            round,
            value: Some(value),
            prepared_round: 0,
            prepared_value: None,
        }
    }

    #[test]
    fn a_slot_is_cast_once() {
        let mut slot = Slot::Free;
        assert!(slot.cast([1; 32]));
        assert!(!slot.cast([1; 32]));
        assert!(!slot.cast([2; 32]));
    }

    #[test]
    fn a_recorded_vote_may_be_repeated_but_not_contradicted() {
        let mut slot = Slot::Recorded([1; 32]);
        assert!(!slot.cast([2; 32]));
        assert!(slot.cast([1; 32]));
        assert!(!slot.cast([1; 32]));
    }

    #[test]
    fn the_log_is_replayed_into_votes_by_round() {
        let mut state = VoteState::<()>::default();
        state.note(&draft(MessageKind::PrePrepare, 1, [1; 32]), &[]);
        state.note(&draft(MessageKind::Prepare, 1, [1; 32]), &[]);
        state.note(&draft(MessageKind::Prepare, 2, [2; 32]), &[]);
        state.note(&draft(MessageKind::Commit, 2, [2; 32]), &[]);
        state.note(&draft(MessageKind::Decided, 9, [2; 32]), &[]);
        assert_eq!(state.round, 2);
        assert_eq!(state.pre_prepares, BTreeMap::from([(1, [1; 32])]));
        assert_eq!(state.prepares, BTreeMap::from([(1, [1; 32]), (2, [2; 32])]));
        assert_eq!(state.commits, BTreeMap::from([(2, [2; 32])]));
    }

    #[test]
    fn the_highest_certificate_stands() {
        let mut state = VoteState::<()>::default();
        state.note_prepared(2, [2; 32], &[]);
        state.note_prepared(1, [1; 32], &[]);
        assert_eq!(state.prepared, Some((2, [2; 32], vec![])));
        let move_on = Draft {
            kind: MessageKind::RoundChange,
            round: 4,
            value: None,
            prepared_round: 3,
            prepared_value: Some([3; 32]),
        };
        state.note(&move_on, &[]);
        assert_eq!(state.prepared, Some((3, [3; 32], vec![])));
        assert_eq!(state.resume_round(), 4);
    }
}
