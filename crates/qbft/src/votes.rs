//! Who has said what: the messages kept, counted as they come.
//!
//! Everything kept is counted flat: a message and the messages shown with it are votes alike, one
//! per source and statement. What is kept is the last [`KEPT_PER_SOURCE`] messages of each sender,
//! so a flood pushes out the flooder's own words only; the counts follow what is kept. Bounded by
//! `nodes · KEPT_PER_SOURCE · (2 · nodes + 1)` votes.

use crate::{Hash, Message, MessageKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Messages kept of each sender; the oldest makes room.
pub(crate) const KEPT_PER_SOURCE: usize = 100;

/// A statement without its speaker: what two votes must share to count together.
///
/// The order matters: statements of one kind and round are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ballot {
    kind: MessageKind,
    round: u64,
    value: Option<Hash>,
    prepared_round: u64,
    prepared_value: Option<Hash>,
}

impl Ballot {
    fn of<S>(message: &Message<S>) -> Self {
        match message.kind {
            MessageKind::RoundChange => Self {
                prepared_round: message.prepared_round,
                prepared_value: message.prepared_value,
                ..Self::about(message.kind, message.round, None)
            },
            kind => Self::about(kind, message.round, message.value),
        }
    }

    const fn about(kind: MessageKind, round: u64, value: Option<Hash>) -> Self {
        Self {
            kind,
            round,
            value,
            prepared_round: 0,
            prepared_value: None,
        }
    }
}

/// One source's vote for a ballot: the first message that said so, and how many kept ones do.
#[derive(Clone, Debug)]
struct Vote<S> {
    message: Message<S>,
    copies: usize,
}

/// A kept message: the ballots it counts for, its own first.
type Kept = Vec<(Ballot, usize)>;

/// What a leader may propose, and the messages that show it.
#[derive(Clone, Debug)]
pub(crate) struct JustifiedSet<S> {
    /// The value the set binds the leader to; `None` leaves the choice free.
    pub(crate) value: Option<Hash>,
    pub(crate) messages: Vec<Message<S>>,
}

/// The votes of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Votes<S> {
    tally: BTreeMap<Ballot, BTreeMap<usize, Vote<S>>>,
    kept: Vec<VecDeque<Kept>>,
}

impl<S: Clone> Votes<S> {
    /// No votes yet of `nodes` processes.
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            tally: BTreeMap::new(),
            kept: vec![VecDeque::new(); nodes],
        }
    }

    /// Keeps and counts a message and what it shows. Returns whether the sender's oldest message
    /// had to go.
    ///
    /// A repetition that adds nothing is not kept again, or anyone could push out another's
    /// messages by replaying one of them.
    pub(crate) fn add(&mut self, message: &Message<S>, shown: &[Message<S>]) -> bool {
        let Some(kept) = self.kept.get(message.source) else {
            return false;
        };
        let ballot = Ballot::of(message);
        let is_repeated = kept
            .iter()
            .any(|entry| entry.first() == Some(&(ballot, message.source)));
        if is_repeated && shown.iter().all(|shown| self.is_counted(shown)) {
            return false;
        }
        let entry: Kept = std::iter::once(message)
            .chain(shown)
            .map(|vote| (Ballot::of(vote), vote.source))
            .collect();
        std::iter::once(message)
            .chain(shown)
            .for_each(|vote| self.count(vote));
        let kept = &mut self.kept[message.source];
        kept.push_back(entry);
        let oldest = if kept.len() > KEPT_PER_SOURCE {
            kept.pop_front()
        } else {
            None
        };
        let is_full = oldest.is_some();
        oldest
            .into_iter()
            .flatten()
            .for_each(|(ballot, source)| self.discount(ballot, source));
        is_full
    }

    /// How many sources have said this.
    pub(crate) fn count_of(&self, kind: MessageKind, round: u64, value: Hash) -> usize {
        self.tally
            .get(&Ballot::about(kind, round, Some(value)))
            .map_or(0, BTreeMap::len)
    }

    /// The messages that say this, one per source.
    pub(crate) fn messages(&self, kind: MessageKind, round: u64, value: Hash) -> Vec<Message<S>> {
        let votes = self.tally.get(&Ballot::about(kind, round, Some(value)));
        votes
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(|vote| vote.message.clone())
            .collect()
    }

    /// A value with a quorum of PREPAREs in `round`.
    pub(crate) fn prepared_in(&self, round: u64, quorum: usize) -> Option<Hash> {
        self.ballots(MessageKind::Prepare, round)
            .find(|(_, votes)| votes.len() >= quorum)
            .and_then(|(ballot, _)| ballot.value)
    }

    /// The highest round above `round` that at least `sources` processes have reached, going by
    /// their ROUND-CHANGEs: the minimum of the `sources` highest.
    pub(crate) fn reached_above(&self, round: u64, sources: usize) -> Option<u64> {
        let lowest = Ballot::about(MessageKind::RoundChange, round.checked_add(1)?, None);
        let beyond = Ballot::about(MessageKind::Decided, 0, None);
        let mut ahead: BTreeSet<usize> = BTreeSet::new();
        for (ballot, votes) in self.tally.range(lowest..beyond).rev() {
            ahead.extend(votes.keys());
            if ahead.len() >= sources {
                return Some(ballot.round);
            }
        }
        None
    }

    /// What the leader of `round` can show for a proposal, if a quorum has moved to the round.
    ///
    /// A quorum that has prepared nothing comes first; else the latest prepared value that a
    /// quorum's ROUND-CHANGEs do not contradict, with all its PREPAREs.
    pub(crate) fn justified_set(&self, round: u64, quorum: usize) -> Option<JustifiedSet<S>> {
        let unprepared = self
            .tally
            .get(&Ballot::about(MessageKind::RoundChange, round, None));
        if let Some(votes) = unprepared.filter(|votes| votes.len() >= quorum) {
            let messages = votes.values().map(|vote| vote.message.clone()).collect();
            return Some(JustifiedSet {
                value: None,
                messages,
            });
        }
        let claims: BTreeSet<(u64, Hash)> = self
            .ballots(MessageKind::RoundChange, round)
            .filter_map(|(ballot, _)| Some((ballot.prepared_round, ballot.prepared_value?)))
            .collect();
        claims
            .into_iter()
            .rev()
            .find_map(|claim| self.set_for_claim(round, claim, quorum))
    }

    /// The justified set around a claimed prepared certificate, if it holds.
    fn set_for_claim(
        &self,
        round: u64,
        claim: (u64, Hash),
        quorum: usize,
    ) -> Option<JustifiedSet<S>> {
        let (prepared_round, value) = claim;
        if self.count_of(MessageKind::Prepare, prepared_round, value) < quorum {
            return None;
        }
        let mut round_changes: BTreeMap<usize, &Message<S>> = BTreeMap::new();
        for (ballot, votes) in self.ballots(MessageKind::RoundChange, round) {
            let makes_claim =
                (ballot.prepared_round, ballot.prepared_value) == (prepared_round, Some(value));
            for (source, vote) in votes
                .iter()
                .filter(|_| ballot.prepared_round <= prepared_round)
            {
                // Of a source that has said two things, the one that makes the claim counts.
                let chosen = round_changes.entry(*source).or_insert(&vote.message);
                if makes_claim {
                    *chosen = &vote.message;
                }
            }
        }
        if round_changes.len() < quorum {
            return None;
        }
        let mut messages: Vec<_> = round_changes.into_values().cloned().collect();
        messages.extend(self.messages(MessageKind::Prepare, prepared_round, value));
        Some(JustifiedSet {
            value: Some(value),
            messages,
        })
    }

    /// All ballots of one kind and round.
    fn ballots(
        &self,
        kind: MessageKind,
        round: u64,
    ) -> impl Iterator<Item = (&Ballot, &BTreeMap<usize, Vote<S>>)> {
        self.tally
            .range(Ballot::about(kind, round, None)..)
            .take_while(move |(ballot, _)| ballot.kind == kind && ballot.round == round)
    }

    fn is_counted(&self, message: &Message<S>) -> bool {
        self.tally
            .get(&Ballot::of(message))
            .is_some_and(|votes| votes.contains_key(&message.source))
    }

    fn count(&mut self, message: &Message<S>) {
        let votes = self.tally.entry(Ballot::of(message)).or_default();
        votes
            .entry(message.source)
            .or_insert_with(|| Vote {
                message: message.clone(),
                copies: 0,
            })
            .copies += 1;
    }

    fn discount(&mut self, ballot: Ballot, source: usize) {
        let Some(votes) = self.tally.get_mut(&ballot) else {
            return;
        };
        if let Some(vote) = votes.get_mut(&source) {
            vote.copies -= 1;
            if vote.copies == 0 {
                votes.remove(&source);
            }
        }
        if votes.is_empty() {
            self.tally.remove(&ballot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: Hash = [1; 32];
    const W: Hash = [2; 32];

    fn vote(kind: MessageKind, source: usize, round: u64, value: Hash) -> Message<u32> {
        Message {
            kind,
            source,
            round,
            value: Some(value),
            prepared_round: 0,
            prepared_value: None,
            seal: 0,
        }
    }
    fn commit(source: usize, round: u64, value: Hash) -> Message<u32> {
        vote(MessageKind::Commit, source, round, value)
    }
    fn prepare(source: usize, round: u64, value: Hash) -> Message<u32> {
        vote(MessageKind::Prepare, source, round, value)
    }
    fn moved(source: usize, round: u64, prepared: Option<(u64, Hash)>) -> Message<u32> {
        Message {
            kind: MessageKind::RoundChange,
            source,
            round,
            value: None,
            prepared_round: prepared.map_or(0, |(round, _)| round),
            prepared_value: prepared.map(|(_, value)| value),
            seal: 0,
        }
    }

    #[test]
    fn a_source_counts_once_per_statement_and_keeps_its_first_words() {
        let mut votes = Votes::new(4);
        votes.add(&commit(1, 1, V), &[]);
        votes.add(
            &Message {
                seal: 9,
                ..commit(1, 1, V)
            },
            &[],
        );
        assert_eq!(votes.count_of(MessageKind::Commit, 1, V), 1);
        assert_eq!(votes.messages(MessageKind::Commit, 1, V)[0].seal, 0);
        assert_eq!(votes.kept[1].len(), 1, "a repetition is not kept again");
    }

    #[test]
    fn an_equivocating_source_counts_for_both_values() {
        let mut votes = Votes::new(4);
        votes.add(&commit(1, 1, V), &[]);
        votes.add(&commit(1, 1, W), &[]);
        assert_eq!(votes.count_of(MessageKind::Commit, 1, V), 1);
        assert_eq!(votes.count_of(MessageKind::Commit, 1, W), 1);
    }

    #[test]
    fn shown_messages_are_votes() {
        let mut votes = Votes::new(4);
        let shown: Vec<_> = (0..3).map(|source| prepare(source, 1, V)).collect();
        votes.add(&moved(3, 2, Some((1, V))), &shown);
        assert_eq!(votes.prepared_in(1, 3), Some(V));
        assert_eq!(votes.prepared_in(2, 3), None);
    }

    #[test]
    fn a_flood_pushes_out_the_flooders_own_words_only() {
        let mut votes = Votes::new(4);
        votes.add(&commit(2, 1, V), &[]);
        votes.add(&commit(1, 1, V), &[]);
        for round in 2..100 {
            assert!(!votes.add(&commit(1, round + 1, W), &[]));
        }
        assert_eq!(votes.count_of(MessageKind::Commit, 1, V), 2);
        assert!(!votes.add(&commit(1, 500, W), &[]));
        assert!(votes.add(&commit(1, 501, W), &[]), "the 101st");
        assert_eq!(votes.count_of(MessageKind::Commit, 1, V), 1);
        assert_eq!(votes.kept[1].len(), KEPT_PER_SOURCE);
        assert_eq!(
            votes.tally.values().map(BTreeMap::len).sum::<usize>(),
            KEPT_PER_SOURCE + 1
        );
    }

    #[test]
    fn replaying_a_message_does_not_push_out_its_authors_others() {
        let mut votes = Votes::new(4);
        votes.add(&commit(1, 1, V), &[]);
        for _ in 0..1_000 {
            votes.add(&moved(1, 2, None), &[]);
        }
        assert_eq!(votes.count_of(MessageKind::Commit, 1, V), 1);
    }

    #[test]
    fn a_vote_stays_while_any_kept_message_holds_it() {
        let mut votes = Votes::new(4);
        votes.add(&prepare(0, 1, V), &[]);
        votes.add(&moved(1, 2, Some((1, V))), &[prepare(0, 1, V)]);
        for round in 10..=109 {
            votes.add(&moved(1, round, None), &[]);
        }
        assert_eq!(votes.count_of(MessageKind::Prepare, 1, V), 1);
        for round in 10..=109 {
            votes.add(&moved(0, round, None), &[]);
        }
        assert_eq!(votes.count_of(MessageKind::Prepare, 1, V), 0);
    }

    #[test]
    fn the_round_reached_is_the_minimum_of_the_highest() {
        let mut votes = Votes::new(7);
        assert_eq!(votes.reached_above(1, 3), None);
        votes.add(&moved(0, u64::MAX, None), &[]);
        votes.add(&moved(1, u64::MAX, None), &[]);
        votes.add(&moved(1, 9, None), &[]);
        assert_eq!(votes.reached_above(1, 3), None, "two liars are not enough");
        votes.add(&moved(2, 4, None), &[]);
        votes.add(&moved(3, 3, None), &[]);
        assert_eq!(votes.reached_above(1, 3), Some(4));
        assert_eq!(votes.reached_above(4, 3), None);
        assert_eq!(votes.reached_above(u64::MAX, 1), None);
    }

    #[test]
    fn an_unprepared_quorum_leaves_the_choice_free() {
        let mut votes = Votes::new(4);
        votes.add(&moved(0, 2, None), &[]);
        votes.add(&moved(1, 2, None), &[]);
        assert!(votes.justified_set(2, 3).is_none());
        votes.add(&moved(2, 2, None), &[]);
        let set = votes.justified_set(2, 3).expect("a quorum");
        assert_eq!((set.value, set.messages.len()), (None, 3));
        assert!(votes.justified_set(3, 3).is_none());
    }

    #[test]
    fn the_latest_prepared_value_is_chosen_and_shown() {
        let mut votes = Votes::new(4);
        let old: Vec<_> = (0..3).map(|source| prepare(source, 1, V)).collect();
        let new: Vec<_> = (0..3).map(|source| prepare(source, 2, W)).collect();
        votes.add(&moved(0, 3, Some((1, V))), &old);
        votes.add(&moved(1, 3, Some((2, W))), &new);
        votes.add(&moved(2, 3, None), &[]);
        let set = votes.justified_set(3, 3).expect("a quorum");
        assert_eq!((set.value, set.messages.len()), (Some(W), 6));
        assert!(crate::justification::proposal(3, W, &set.messages, 3));
    }

    #[test]
    fn of_two_justified_values_the_later_one_is_chosen() {
        let mut votes = Votes::new(4);
        let old: Vec<_> = (0..3).map(|source| prepare(source, 1, V)).collect();
        let new: Vec<_> = (0..3).map(|source| prepare(source, 2, W)).collect();
        votes.add(&moved(0, 3, Some((1, V))), &old);
        votes.add(&moved(1, 3, None), &[]);
        votes.add(&moved(2, 3, None), &[]);
        assert_eq!(votes.justified_set(3, 3).and_then(|set| set.value), Some(V));
        votes.add(&moved(3, 3, Some((2, W))), &new);
        assert_eq!(votes.justified_set(3, 3).and_then(|set| set.value), Some(W));
    }

    #[test]
    fn a_liars_second_word_cannot_spoil_the_set() {
        let mut votes = Votes::new(4);
        let shown: Vec<_> = (0..3).map(|source| prepare(source, 1, V)).collect();
        votes.add(&moved(0, 2, None), &[]);
        votes.add(&moved(0, 2, Some((1, V))), &shown);
        votes.add(&moved(1, 2, None), &[]);
        votes.add(&moved(3, 2, Some((1, W))), &[]);
        let set = votes.justified_set(2, 3).expect("a quorum");
        assert_eq!(set.value, Some(V));
        assert!(crate::justification::proposal(2, V, &set.messages, 3));
    }
}
