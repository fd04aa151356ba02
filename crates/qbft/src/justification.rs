//! What a message must show to be believed.
//!
//! Every count here is a count of *sources*: a message shown twice, or two by one source, is one
//! vote. Messages of other kinds, rounds or values never help (a replayed justification).

use crate::{Hash, Message, MessageKind};
use std::collections::BTreeSet;

/// Whether `shown` is a justified quorum of ROUND-CHANGEs for proposing `value` in `round`.
///
/// Either a quorum moved to `round` without having prepared anything, or the quorum of PREPAREs
/// shown is for `value` and nobody in the quorum of ROUND-CHANGEs has prepared in a later round.
pub(crate) fn proposal<S>(round: u64, value: Hash, shown: &[Message<S>], quorum: usize) -> bool {
    let mut sources = BTreeSet::new();
    let round_changes: Vec<&Message<S>> = shown
        .iter()
        .filter(|message| message.kind == MessageKind::RoundChange && message.round == round)
        .filter(|message| sources.insert(message.source))
        .collect();
    if round_changes.len() < quorum {
        return false;
    }
    if round_changes
        .iter()
        .all(|message| has_prepared(message, 0, None))
    {
        return true;
    }
    let prepares: Vec<&Message<S>> = shown
        .iter()
        .filter(|message| message.kind == MessageKind::Prepare)
        .collect();
    let Some(prepared_round) = prepares.first().map(|message| message.round) else {
        return false;
    };
    is_certificate(prepared_round, value, prepares, quorum)
        && round_changes
            .iter()
            .all(|message| message.prepared_round <= prepared_round)
        && round_changes
            .iter()
            .any(|message| has_prepared(message, prepared_round, Some(value)))
}

/// Whether a ROUND-CHANGE that claims to have prepared (`round`, `value`) shows it in `shown`.
pub(crate) fn round_change<S>(
    round: u64,
    value: Option<Hash>,
    shown: &[Message<S>],
    quorum: usize,
) -> bool {
    match value {
        None => round == 0 && shown.is_empty(),
        Some(value) => is_certificate(round, value, shown, quorum),
    }
}

/// Whether `shown` is a prepared certificate: nothing but PREPAREs for exactly this round and
/// value, all of different sources, at least a quorum.
pub(crate) fn is_certificate<'a, S: 'a>(
    round: u64,
    value: Hash,
    shown: impl IntoIterator<Item = &'a Message<S>>,
    quorum: usize,
) -> bool {
    let mut sources = BTreeSet::new();
    let all_fit = shown.into_iter().all(|message| {
        message.kind == MessageKind::Prepare
            && message.round == round
            && message.value == Some(value)
            && sources.insert(message.source)
    });
    all_fit && sources.len() >= quorum
}

/// The COMMITs in `shown` for exactly this round and value, one per source; others are left out.
pub(crate) fn matching_commits<S: Clone>(
    round: u64,
    value: Hash,
    shown: &[Message<S>],
) -> Vec<Message<S>> {
    let mut sources = BTreeSet::new();
    shown
        .iter()
        .filter(|message| {
            message.kind == MessageKind::Commit
                && message.round == round
                && message.value == Some(value)
        })
        .filter(|message| sources.insert(message.source))
        .cloned()
        .collect()
}

fn has_prepared<S>(message: &Message<S>, round: u64, value: Option<Hash>) -> bool {
    message.prepared_round == round && message.prepared_value == value
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: Hash = [1; 32];
    const W: Hash = [2; 32];

    fn vote(kind: MessageKind, source: usize, round: u64, value: Hash) -> Message<()> {
        Message {
            kind,
            source,
            round,
            value: Some(value),
            prepared_round: 0,
            prepared_value: None,
            seal: (),
        }
    }
    fn prepare(source: usize, round: u64, value: Hash) -> Message<()> {
        vote(MessageKind::Prepare, source, round, value)
    }
    fn commit(source: usize, round: u64, value: Hash) -> Message<()> {
        vote(MessageKind::Commit, source, round, value)
    }
    fn moved(source: usize, round: u64, prepared: Option<(u64, Hash)>) -> Message<()> {
        Message {
            kind: MessageKind::RoundChange,
            source,
            round,
            value: None,
            prepared_round: prepared.map_or(0, |(round, _)| round),
            prepared_value: prepared.map(|(_, value)| value),
            seal: (),
        }
    }
    fn prepares(round: u64, value: Hash) -> Vec<Message<()>> {
        (0..3).map(|source| prepare(source, round, value)).collect()
    }

    #[test]
    fn a_quorum_that_prepared_nothing_frees_the_choice() {
        let shown: Vec<_> = (0..3).map(|source| moved(source, 2, None)).collect();
        assert!(proposal(2, V, &shown, 3));
        assert!(!proposal(2, V, &shown[..2], 3));
        assert!(!proposal(3, V, &shown, 3), "ROUND-CHANGEs of another round");
    }

    #[test]
    fn one_source_shown_twice_is_one_vote() {
        let shown = [moved(0, 2, None), moved(1, 2, None), moved(1, 2, None)];
        assert!(!proposal(2, V, &shown, 3));
        let doubled = [
            prepare(0, 1, V),
            prepare(1, 1, V),
            prepare(1, 1, V),
            prepare(2, 1, V),
        ];
        assert!(!is_certificate(1, V, &doubled, 3));
        let doubled = [commit(0, 1, V), commit(0, 1, V), commit(1, 1, V)];
        assert_eq!(matching_commits(1, V, &doubled).len(), 2);
    }

    #[test]
    fn a_prepared_value_binds_the_proposal() {
        let mut shown = vec![
            moved(0, 2, Some((1, V))),
            moved(1, 2, None),
            moved(2, 2, None),
        ];
        assert!(!proposal(2, V, &shown, 3), "the PREPAREs are missing");
        shown.extend(prepares(1, V));
        assert!(proposal(2, V, &shown, 3));
        assert!(!proposal(2, W, &shown, 3));
    }

    #[test]
    fn a_later_prepared_round_overrides_an_earlier_one() {
        let mut shown = vec![
            moved(0, 4, Some((1, V))),
            moved(1, 4, Some((2, W))),
            moved(2, 4, None),
        ];
        shown.extend(prepares(1, V));
        assert!(!proposal(4, V, &shown, 3));
    }

    #[test]
    fn prepares_nobody_claims_prove_nothing() {
        let mut shown = vec![
            moved(0, 4, Some((1, W))),
            moved(1, 4, None),
            moved(2, 4, None),
        ];
        shown.extend(prepares(1, V));
        assert!(!proposal(4, V, &shown, 3));
        shown.push(prepare(3, 2, V));
        assert!(!proposal(4, V, &shown, 3), "PREPAREs of two rounds");
    }

    #[test]
    fn a_round_change_shows_what_it_claims_and_nothing_else() {
        assert!(round_change::<()>(0, None, &[], 3));
        assert!(!round_change::<()>(1, None, &[], 3));
        assert!(!round_change(0, None, &prepares(1, V), 3));
        assert!(round_change(1, Some(V), &prepares(1, V), 3));
        assert!(!round_change(2, Some(V), &prepares(1, V), 3));
        assert!(!round_change(1, Some(W), &prepares(1, V), 3));
        assert!(!round_change(1, Some(V), &prepares(1, V)[..2], 3));
        let mut mixed = prepares(1, V);
        mixed.push(commit(3, 1, V));
        assert!(!round_change(1, Some(V), &mixed, 3));
    }

    #[test]
    fn only_commits_for_the_very_decision_count() {
        let shown = [
            commit(0, 1, V),
            commit(1, 1, W),
            commit(2, 2, V),
            prepare(3, 1, V),
            commit(3, 1, V),
        ];
        let found: Vec<_> = matching_commits(1, V, &shown)
            .iter()
            .map(|message| message.source)
            .collect();
        assert_eq!(found, [0, 3]);
    }
}
