//! One test per rule and per mistake that implementations are known to make.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Faults, RoundTimer};

const V: Hash = [1; 32];
const W: Hash = [2; 32];
const OWN: Hash = [9; 32];
const START: Duration = Duration::from_secs(1_000);

/// Process 0 of 4; process 1 leads round 1, 2 leads 2, 3 leads 3, and it leads 4 itself.
struct Node {
    instance: Instance<()>,
    now: Duration,
}

fn config() -> Config {
    Config {
        nodes: 4,
        me: 0,
        leader_offset: 0,
        timer: RoundTimer::EagerDoubleLinear {
            start: START,
            extra: Duration::ZERO,
        },
        mode: Mode::Voting,
        faults: Faults::default(),
    }
}

impl Node {
    fn new(config: Config) -> Self {
        Self {
            instance: Instance::new(config, START),
            now: START,
        }
    }

    /// A started node that finds V, W and its own value good.
    fn started() -> Self {
        let mut node = Self::unsure();
        for value in [V, W, OWN] {
            assert_eq!(node.verdict(value, true), []);
        }
        node
    }

    /// A started node that has no verdicts yet.
    fn unsure() -> Self {
        let mut node = Self::new(config());
        assert_eq!(node.step(Input::Start), []);
        node
    }

    fn step(&mut self, input: Input<()>) -> Vec<Output<()>> {
        let mut out = Vec::new();
        self.instance.step(self.now, input, &mut out);
        out
    }

    fn hear(&mut self, message: Message<()>) -> Vec<Output<()>> {
        self.hear_with(message, Vec::new())
    }

    fn hear_with(
        &mut self,
        message: Message<()>,
        justification: Vec<Message<()>>,
    ) -> Vec<Output<()>> {
        self.step(Input::Message {
            message,
            justification,
        })
    }

    fn verdict(&mut self, value: Hash, good: bool) -> Vec<Output<()>> {
        self.step(Input::Verdict { value, good })
    }

    fn time_out(&mut self) -> Vec<Output<()>> {
        self.now = self.now.max(self.instance.deadline().unwrap());
        self.step(Input::Timeout)
    }
}

fn say(kind: MessageKind, source: usize, round: u64, value: Hash) -> Message<()> {
    let value = Some(value);
    Message {
        kind,
        source,
        round,
        value,
        prepared_round: 0,
        prepared_value: None,
        seal: (),
    }
}
fn propose(source: usize, round: u64, value: Hash) -> Message<()> {
    say(MessageKind::PrePrepare, source, round, value)
}
fn prepare(source: usize, round: u64, value: Hash) -> Message<()> {
    say(MessageKind::Prepare, source, round, value)
}
fn commit(source: usize, round: u64, value: Hash) -> Message<()> {
    say(MessageKind::Commit, source, round, value)
}
fn moved(source: usize, round: u64) -> Message<()> {
    Message {
        value: None,
        ..say(MessageKind::RoundChange, source, round, V)
    }
}
fn moved_prepared(source: usize, round: u64, prepared_round: u64, value: Hash) -> Message<()> {
    Message {
        prepared_round,
        prepared_value: Some(value),
        ..moved(source, round)
    }
}
fn prepares(round: u64, value: Hash) -> Vec<Message<()>> {
    (1..4).map(|source| prepare(source, round, value)).collect()
}
fn commits(round: u64, value: Hash) -> Vec<Message<()>> {
    (1..4).map(|source| commit(source, round, value)).collect()
}
fn all_moved(round: u64) -> Vec<Message<()>> {
    (1..4).map(|source| moved(source, round)).collect()
}

fn sent(kind: MessageKind, round: u64, value: Hash) -> Output<()> {
    let draft = Draft {
        kind,
        round,
        value: Some(value),
        prepared_round: 0,
        prepared_value: None,
    };
    Output::Send {
        to: Recipients::All,
        draft,
        justification: vec![],
    }
}
fn gave_up(round: u64) -> Output<()> {
    let kind = MessageKind::RoundChange;
    let draft = Draft {
        kind,
        round,
        value: None,
        prepared_round: 0,
        prepared_value: None,
    };
    Output::Send {
        to: Recipients::All,
        draft,
        justification: vec![],
    }
}
fn gave_up_prepared(round: u64, prepared_round: u64, value: Hash) -> Output<()> {
    let kind = MessageKind::RoundChange;
    let draft = Draft {
        kind,
        round,
        value: None,
        prepared_round,
        prepared_value: Some(value),
    };
    Output::Send {
        to: Recipients::All,
        draft,
        justification: prepares(prepared_round, value),
    }
}
fn entered(round: u64, reason: RoundChangeReason) -> Output<()> {
    Output::RoundChanged { round, reason }
}
fn prepared(round: u64, value: Hash) -> Output<()> {
    Output::Prepared {
        round,
        value,
        certificate: prepares(round, value),
    }
}
fn decided(round: u64, value: Hash) -> Output<()> {
    Output::Decided {
        value,
        round,
        commits: commits(round, value),
    }
}
fn rejected(source: usize, reason: Rejection) -> Vec<Output<()>> {
    vec![Output::Rejected { source, reason }]
}

// Q1 Start

#[test]
fn q1_construction_is_silent_and_the_start_arms_the_timer() {
    let mut node = Node::new(config());
    assert_eq!(node.instance.deadline(), None);
    assert_eq!(node.step(Input::Timeout), []);
    assert_eq!(node.step(Input::Start), []);
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(1))
    );
    assert_eq!(
        node.step(Input::Start),
        [],
        "a second start changes nothing"
    );
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(1))
    );
}

#[test]
fn q1_the_first_leader_proposes_when_it_has_started_and_has_a_value() {
    let leader = Config {
        leader_offset: 3,
        ..config()
    };
    let proposal = [sent(MessageKind::PrePrepare, 1, OWN)];
    let mut node = Node::new(leader);
    assert_eq!(node.step(Input::Propose(OWN)), []);
    assert_eq!(node.step(Input::Start), proposal);
    let mut node = Node::new(leader);
    assert_eq!(node.step(Input::Start), []);
    assert_eq!(node.step(Input::Propose(OWN)), proposal);
    assert_eq!(node.step(Input::Propose(V)), [], "the first value counts");
}

#[test]
fn q1_what_arrived_before_the_start_is_looked_at_then() {
    let mut node = Node::new(config());
    node.verdict(V, true);
    assert_eq!(node.hear(propose(1, 1, V)), []);
    for message in prepares(1, V).into_iter().chain(commits(1, V)) {
        assert_eq!(node.hear(message), []);
    }
    let expected = [
        sent(MessageKind::Prepare, 1, V),
        prepared(1, V),
        sent(MessageKind::Commit, 1, V),
        decided(1, V),
    ];
    assert_eq!(node.step(Input::Start), expected);
}

// Q2 Proposal

#[test]
fn q2_a_proposal_gets_a_prepare_and_more_time() {
    let mut node = Node::started();
    assert_eq!(
        node.hear(propose(1, 1, V)),
        [sent(MessageKind::Prepare, 1, V)]
    );
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(2))
    );
}

#[test]
fn q2_an_equivocating_leader_gets_one_prepare() {
    let mut node = Node::started();
    node.hear(propose(1, 1, V));
    assert_eq!(node.hear(propose(1, 1, W)), []);
    assert_eq!(node.hear(propose(1, 1, V)), []);
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(2))
    );
}

#[test]
fn q2_an_equivocating_leader_gets_one_prepare_after_a_jump_too() {
    let mut node = Node::started();
    let jump = [
        entered(2, RoundChangeReason::Proposal),
        sent(MessageKind::Prepare, 2, V),
    ];
    assert_eq!(node.hear_with(propose(2, 2, V), all_moved(2)), jump);
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(2))
    );
    assert_eq!(node.hear_with(propose(2, 2, W), all_moved(2)), []);
}

#[test]
fn q2_a_second_proposal_buys_no_time_and_asks_nothing() {
    let timer = RoundTimer::Increasing {
        first_extra: Duration::ZERO,
    };
    let mut node = Node::new(Config { timer, ..config() });
    node.step(Input::Start);
    assert_eq!(node.hear(propose(1, 1, V)), [Output::Validate(V)]);
    let due = node.instance.deadline();
    node.now += Duration::from_millis(100);
    assert_eq!(node.hear(propose(1, 1, W)), []);
    assert_eq!(node.instance.deadline(), due);
    assert_eq!(node.verdict(W, true), []);
    assert_eq!(node.verdict(V, true), [sent(MessageKind::Prepare, 1, V)]);
}

#[test]
fn q2_a_proposal_of_a_round_left_behind_gets_nothing() {
    let mut node = Node::started();
    node.time_out();
    assert_eq!(node.hear(propose(1, 1, V)), []);
}

#[test]
fn q2_votes_that_came_before_the_round_are_counted_on_entering_it() {
    let mut node = Node::started();
    for message in prepares(2, V) {
        assert_eq!(node.hear(message), []);
    }
    let expected = [
        entered(2, RoundChangeReason::Proposal),
        sent(MessageKind::Prepare, 2, V),
        prepared(2, V),
        sent(MessageKind::Commit, 2, V),
    ];
    assert_eq!(node.hear_with(propose(2, 2, V), all_moved(2)), expected);
}

// Q3 Prepared

#[test]
fn q3_a_quorum_of_prepares_gets_a_commit_without_the_proposal() {
    let mut node = Node::started();
    assert_eq!(node.hear(prepare(1, 1, V)), []);
    assert_eq!(node.hear(prepare(2, 1, V)), []);
    assert_eq!(
        node.hear(prepare(3, 1, V)),
        [prepared(1, V), sent(MessageKind::Commit, 1, V)]
    );
    assert_eq!(node.hear(prepare(0, 1, V)), [], "once per round");
}

#[test]
fn q3_a_quorum_of_prepares_without_the_proposal_waits_for_the_verdict() {
    let mut node = Node::unsure();
    node.hear(prepare(1, 1, V));
    node.hear(prepare(2, 1, V));
    assert_eq!(
        node.hear(prepare(3, 1, V)),
        [prepared(1, V), Output::Validate(V)]
    );
    assert_eq!(node.verdict(V, true), [sent(MessageKind::Commit, 1, V)]);
    assert_eq!(node.verdict(V, true), []);
}

#[test]
fn q3_prepares_for_different_values_or_rounds_or_by_one_source_are_no_quorum() {
    let mut node = Node::started();
    let votes = [
        prepare(1, 1, V),
        prepare(2, 1, W),
        prepare(3, 2, V),
        prepare(1, 1, V),
        prepare(2, 1, V),
    ];
    for message in votes {
        assert_eq!(node.hear(message), []);
    }
}

#[test]
fn q3_prepares_shown_in_a_round_change_count() {
    let mut node = Node::started();
    let lagging = moved_prepared(3, 2, 1, V);
    assert_eq!(node.hear_with(lagging, prepares(1, V)), []);
    let certificate: Vec<_> = (0..4).map(|source| prepare(source, 1, V)).collect();
    let expected = [
        Output::Prepared {
            round: 1,
            value: V,
            certificate,
        },
        sent(MessageKind::Commit, 1, V),
    ];
    assert_eq!(node.hear(prepare(0, 1, V)), expected);
}

// Q4 Decision

#[test]
fn q4_a_quorum_of_commits_decides() {
    let mut node = Node::started();
    node.hear(commit(1, 1, V));
    node.hear(commit(2, 1, V));
    assert_eq!(node.hear(commit(3, 1, V)), [decided(1, V)]);
    assert_eq!(node.instance.deadline(), None);
}

#[test]
fn q4_a_quorum_of_commits_of_another_round_decides() {
    let mut node = Node::started();
    node.time_out();
    node.hear(commit(1, 1, V));
    node.hear(commit(2, 1, V));
    let expected = [entered(1, RoundChangeReason::Decision), decided(1, V)];
    assert_eq!(node.hear(commit(3, 1, V)), expected);
}

#[test]
fn q4_another_value_than_we_committed_to_is_learnt_without_a_second_commit() {
    let mut node = Node::started();
    for message in prepares(1, V) {
        node.hear(message);
    }
    for message in prepares(1, W) {
        assert_eq!(node.hear(message), []);
    }
    node.hear(commit(1, 1, W));
    node.hear(commit(2, 1, W));
    assert_eq!(node.hear(commit(3, 1, W)), [decided(1, W)]);
}

#[test]
fn q4_a_decided_needs_a_quorum_of_its_own_commits() {
    let mut node = Node::started();
    let claim = say(MessageKind::Decided, 3, 1, V);
    let too_few = |found| rejected(3, Rejection::TooFewCommits { found, quorum: 3 });
    assert_eq!(
        node.hear_with(claim.clone(), commits(1, W)),
        too_few(0),
        "another value"
    );
    assert_eq!(
        node.hear_with(claim.clone(), commits(2, V)),
        too_few(0),
        "another round"
    );
    let doubled = vec![commit(1, 1, V), commit(1, 1, V), commit(2, 1, V)];
    assert_eq!(
        node.hear_with(claim.clone(), doubled),
        too_few(2),
        "one source twice"
    );
    let mut mixed = commits(1, V);
    mixed.insert(0, commit(0, 1, W));
    assert_eq!(
        node.hear_with(claim, mixed),
        [decided(1, V)],
        "only matching ones are kept"
    );
}

#[test]
fn q4_after_the_decision_nothing_of_ours_is_said() {
    let mut node = Node::new(Config {
        leader_offset: 3,
        ..config()
    });
    node.step(Input::Start);
    for message in commits(1, V) {
        node.hear(message);
    }
    assert_eq!(node.step(Input::Propose(OWN)), []);
    assert_eq!(node.verdict(V, true), []);
    assert_eq!(node.hear(propose(0, 1, V)), []);
    for message in prepares(1, V).into_iter().chain(commits(1, W)) {
        assert_eq!(node.hear(message), []);
    }
    node.now += Duration::from_secs(60);
    assert_eq!(node.step(Input::Timeout), []);
}

// Q5 Justification

#[test]
fn q5_only_the_leader_proposes() {
    let mut node = Node::started();
    assert_eq!(
        node.hear(propose(2, 1, V)),
        rejected(2, Rejection::NotLeader { leader: 1 })
    );
}

#[test]
fn q5_null_is_no_value() {
    for kind in [
        MessageKind::PrePrepare,
        MessageKind::Prepare,
        MessageKind::Commit,
        MessageKind::Decided,
    ] {
        let mut node = Node::started();
        assert_eq!(
            node.hear(say(kind, 1, 1, [0; 32])),
            rejected(1, Rejection::NullValue)
        );
        let null = Message {
            value: None,
            ..say(kind, 1, 1, V)
        };
        assert_eq!(node.hear(null), rejected(1, Rejection::NullValue));
    }
}

#[test]
fn q5_a_proposal_of_a_later_round_shows_its_quorum() {
    let mut node = Node::started();
    let unjustified = rejected(2, Rejection::UnjustifiedProposal);
    assert_eq!(node.hear(propose(2, 2, V)), unjustified);
    assert_eq!(
        node.hear_with(propose(2, 2, V), all_moved(3)),
        unjustified,
        "of another round"
    );
    let doubled = vec![moved(1, 2), moved(2, 2), moved(2, 2)];
    assert_eq!(
        node.hear_with(propose(2, 2, V), doubled),
        unjustified,
        "one source twice"
    );
    assert_eq!(node.instance.round(), 1);
}

#[test]
fn q5_a_proposal_is_bound_by_the_value_prepared_last() {
    let mut shown = vec![moved_prepared(1, 2, 1, V), moved(2, 2), moved(3, 2)];
    shown.extend(prepares(1, V));
    let mut node = Node::started();
    assert_eq!(
        node.hear_with(propose(2, 2, W), shown.clone()),
        rejected(2, Rejection::UnjustifiedProposal)
    );
    assert_eq!(node.hear_with(propose(2, 2, V), shown).len(), 2);
}

#[test]
fn q5_a_round_change_with_a_bad_certificate_is_dropped() {
    let mut node = Node::started();
    let bad = rejected(1, Rejection::BadCertificate);
    assert_eq!(node.hear(moved_prepared(1, 2, 1, V)), bad);
    assert_eq!(
        node.hear_with(moved_prepared(1, 3, 2, V), prepares(1, V)),
        bad,
        "of another round"
    );
    assert_eq!(
        node.hear_with(moved_prepared(1, 2, 1, W), prepares(1, V)),
        bad,
        "for another value"
    );
    assert_eq!(
        node.hear_with(moved(1, 2), prepares(1, V)),
        bad,
        "claims nothing, shows something"
    );
    let doubled = vec![prepare(1, 1, V), prepare(2, 1, V), prepare(2, 1, V)];
    assert_eq!(
        node.hear_with(moved_prepared(1, 2, 1, V), doubled),
        bad,
        "one source twice"
    );
    assert_eq!(
        node.hear(moved(2, 2)),
        [],
        "none of them counted towards f + 1"
    );
}

// Q6 Timeout

#[test]
fn q6_a_timeout_moves_one_round() {
    let mut node = Node::started();
    assert_eq!(node.step(Input::Timeout), [], "too early");
    assert_eq!(
        node.time_out(),
        [entered(2, RoundChangeReason::Timeout), gave_up(2)]
    );
    assert_eq!(node.step(Input::Timeout), [], "repeated");
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(2))
    );
}

#[test]
fn q6_a_late_start_runs_through_expired_rounds_one_at_a_time() {
    let mut node = Node::new(config());
    node.now = START + Duration::from_millis(2_500);
    node.step(Input::Start);
    assert_eq!(
        node.step(Input::Timeout),
        [entered(2, RoundChangeReason::Timeout), gave_up(2)]
    );
    assert_eq!(
        node.step(Input::Timeout),
        [entered(3, RoundChangeReason::Timeout), gave_up(3)]
    );
    assert_eq!(node.step(Input::Timeout), []);
}

#[test]
fn q6_the_round_change_shows_the_latest_certificate() {
    let mut node = Node::started();
    for message in prepares(1, V) {
        node.hear(message);
    }
    let expected = [
        entered(2, RoundChangeReason::Timeout),
        gave_up_prepared(2, 1, V),
    ];
    assert_eq!(node.time_out(), expected);
}

#[test]
fn q6_prepares_that_came_before_the_round_are_counted_on_moving_to_it() {
    let mut node = Node::started();
    for message in prepares(2, V) {
        assert_eq!(node.hear(message), []);
    }
    let expected = [
        entered(2, RoundChangeReason::Timeout),
        gave_up(2),
        prepared(2, V),
        sent(MessageKind::Commit, 2, V),
    ];
    assert_eq!(node.time_out(), expected);
}

// Q7 Others ahead

#[test]
fn q7_f_plus_1_ahead_are_followed_to_the_minimum() {
    let mut node = Node::started();
    assert_eq!(node.hear(moved(3, u64::MAX)), []);
    assert_eq!(node.hear(moved(3, 9)), [], "one source, twice");
    let expected = [entered(4, RoundChangeReason::OthersAhead), gave_up(4)];
    assert_eq!(node.hear(moved(1, 4)), expected);
    assert_eq!(
        node.instance.deadline(),
        Some(START + Duration::from_secs(4))
    );
}

// Q8 New leader

/// A node in round 4, which it leads.
fn leading(mut node: Node) -> Node {
    for _ in 1..4 {
        node.time_out();
    }
    node
}

#[test]
fn q8_an_unprepared_quorum_gets_our_own_value() {
    let mut node = leading(Node::started());
    node.step(Input::Propose(OWN));
    node.hear(moved(1, 4));
    node.hear(moved(2, 4));
    let out = node.hear(moved(3, 4));
    let [
        Output::Send {
            draft,
            justification,
            ..
        },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(
        (draft.kind, draft.round, draft.value),
        (MessageKind::PrePrepare, 4, Some(OWN))
    );
    assert_eq!(*justification, all_moved(4));
    assert_eq!(node.hear(moved(0, 4)), [], "once per round");
}

#[test]
fn q8_a_late_value_is_proposed_with_the_quorum_that_was_there() {
    let mut node = leading(Node::started());
    for message in all_moved(4).into_iter().chain([moved(0, 4)]) {
        assert_eq!(node.hear(message), []);
    }
    let out = node.step(Input::Propose(OWN));
    let [Output::Send { justification, .. }] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(*justification, all_moved(4));
}

#[test]
fn q8_a_promised_proposal_ends_with_its_round() {
    let mut node = leading(Node::started());
    for message in all_moved(4) {
        node.hear(message);
    }
    node.time_out();
    assert_eq!(node.step(Input::Propose(OWN)), []);
}

#[test]
fn q8_a_prepared_value_is_proposed_again_once_it_is_found_good() {
    let mut node = leading(Node::unsure());
    node.step(Input::Propose(OWN));
    node.hear(moved(1, 4));
    node.hear(moved(2, 4));
    assert_eq!(
        node.hear_with(moved_prepared(3, 4, 2, V), prepares(2, V)),
        [Output::Validate(V)]
    );
    let out = node.verdict(V, true);
    let [
        Output::Send {
            draft,
            justification,
            ..
        },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(
        (draft.kind, draft.value),
        (MessageKind::PrePrepare, Some(V))
    );
    assert!(justification::proposal(4, V, justification, 3));
}

#[test]
fn q8_a_prepared_value_found_bad_is_not_proposed_again() {
    let mut node = leading(Node::unsure());
    node.step(Input::Propose(OWN));
    node.verdict(V, false);
    node.hear(moved(1, 4));
    node.hear(moved(2, 4));
    assert_eq!(
        node.hear_with(moved_prepared(3, 4, 2, V), prepares(2, V)),
        []
    );
}

#[test]
fn q8_a_quorum_that_came_first_is_used_on_entering_the_round() {
    let mut node = Node::started();
    node.step(Input::Propose(OWN));
    node.hear(moved(1, 4));
    let out = node.hear(moved(2, 4));
    assert_eq!(
        out,
        [entered(4, RoundChangeReason::OthersAhead), gave_up(4)]
    );
    assert_eq!(
        node.hear(moved(0, 4)).len(),
        1,
        "our own ROUND-CHANGE completes the quorum"
    );
}

// Q9 Verdict

#[test]
fn q9_a_value_is_asked_for_once_and_voted_for_when_found_good() {
    let mut node = Node::unsure();
    assert_eq!(node.hear(propose(1, 1, V)), [Output::Validate(V)]);
    assert_eq!(node.hear(propose(1, 1, V)), []);
    assert_eq!(node.verdict(V, true), [sent(MessageKind::Prepare, 1, V)]);
    assert_eq!(node.verdict(V, true), []);
}

#[test]
fn q9_a_bad_verdict_ends_the_round_without_our_votes_but_not_the_decision() {
    let mut node = Node::unsure();
    node.hear(propose(1, 1, V));
    let expected = [entered(2, RoundChangeReason::Timeout), gave_up(2)];
    assert_eq!(node.verdict(V, false), expected);
    for source in 1..=3 {
        assert_eq!(node.hear(prepare(source, 1, V)), []);
    }
    assert_eq!(node.verdict(V, true), [], "the first verdict stands");
    node.hear(commit(1, 1, V));
    node.hear(commit(2, 1, V));
    let back = entered(1, RoundChangeReason::Decision);
    assert_eq!(node.hear(commit(3, 1, V)), [back, decided(1, V)]);
}

#[test]
fn q9_a_missing_verdict_does_not_hold_up_anything_else() {
    let mut node = Node::unsure();
    node.hear(propose(1, 1, V));
    for message in prepares(1, V) {
        node.hear(message);
    }
    assert_eq!(
        node.time_out(),
        [
            entered(2, RoundChangeReason::Timeout),
            gave_up_prepared(2, 1, V)
        ]
    );
    assert_eq!(node.verdict(V, true), [], "it comes too late for the round");
}

#[test]
fn q9_a_late_verdict_lets_both_votes_go() {
    let mut node = Node::unsure();
    node.hear(propose(1, 1, V));
    for message in prepares(1, V) {
        node.hear(message);
    }
    let expected = [
        sent(MessageKind::Prepare, 1, V),
        sent(MessageKind::Commit, 1, V),
    ];
    assert_eq!(node.verdict(V, true), expected);
}

// Q10 One vote

fn recorded(kind: MessageKind, round: u64, value: Hash) -> VoteState<()> {
    let mut state = VoteState::default();
    let draft = Draft {
        kind,
        round,
        value: Some(value),
        prepared_round: 0,
        prepared_value: None,
    };
    state.note(&draft, &[]);
    state
}

fn restored(state: VoteState<()>) -> Node {
    restored_as(config(), state)
}

fn restored_as(config: Config, state: VoteState<()>) -> Node {
    let mut node = Node::new(config);
    node.instance.restore(state);
    for value in [V, W, OWN] {
        node.verdict(value, true);
    }
    assert_eq!(node.step(Input::Start), []);
    node
}

#[test]
fn q10_a_restored_prepare_is_repeated_but_never_contradicted() {
    let state = recorded(MessageKind::Prepare, 1, V);
    assert_eq!(restored(state.clone()).hear(propose(1, 1, W)), []);
    assert_eq!(
        restored(state).hear(propose(1, 1, V)),
        [sent(MessageKind::Prepare, 1, V)]
    );
}

#[test]
fn q10_a_restored_commit_is_repeated_but_never_contradicted() {
    let mut state = recorded(MessageKind::Commit, 1, V);
    state.note_prepared(1, V, &prepares(1, V));
    let mut node = restored(state.clone());
    let out: Vec<_> = prepares(1, W)
        .into_iter()
        .flat_map(|message| node.hear(message))
        .collect();
    assert_eq!(out, []);
    assert_eq!(
        node.time_out()[1],
        gave_up_prepared(2, 1, V),
        "nor is its certificate replaced"
    );
    let mut node = restored(state);
    let out: Vec<_> = prepares(1, V)
        .into_iter()
        .flat_map(|message| node.hear(message))
        .collect();
    assert_eq!(out, [prepared(1, V), sent(MessageKind::Commit, 1, V)]);
}

#[test]
fn q10_a_restored_leader_does_not_propose_in_a_round_it_proposed_in() {
    let leader = Config {
        leader_offset: 3,
        ..config()
    };
    let mut node = restored_as(leader, recorded(MessageKind::PrePrepare, 1, V));
    assert_eq!(node.step(Input::Propose(OWN)), []);
    assert_eq!(
        node.hear(propose(0, 1, V)),
        [sent(MessageKind::Prepare, 1, V)],
        "its own, shown to it"
    );
}

#[test]
fn q10_a_restored_leader_may_propose_the_same_again() {
    let leader = Config {
        leader_offset: 3,
        ..config()
    };
    let mut node = restored_as(leader, recorded(MessageKind::PrePrepare, 1, OWN));
    let expected = [sent(MessageKind::PrePrepare, 1, OWN)];
    assert_eq!(node.step(Input::Propose(OWN)), expected);
}

#[test]
fn q10_a_certificate_that_shows_too_little_is_not_restored() {
    let mut state = recorded(MessageKind::Prepare, 1, V);
    state.note_prepared(1, V, &prepares(1, V)[..2]);
    let mut node = restored(state.clone());
    let expected = [entered(2, RoundChangeReason::Timeout), gave_up(2)];
    assert_eq!(node.time_out(), expected);
    state.commits.insert(1, V);
    let expected = [entered(2, RoundChangeReason::Timeout)];
    assert_eq!(
        restored(state).time_out(),
        expected,
        "and with a COMMIT we only listen"
    );
}

#[test]
fn q10_a_restored_instance_re_enters_its_round_with_its_certificate() {
    let mut state = VoteState::default();
    let [
        _,
        Output::Send {
            draft,
            justification,
            ..
        },
    ] = &{
        let mut node = Node::started();
        for message in prepares(1, V) {
            node.hear(message);
        }
        node.time_out()
    }[..]
    else {
        panic!("a ROUND-CHANGE")
    };
    state.note(draft, justification);
    let mut node = restored(state);
    assert_eq!(node.instance.round(), 2);
    assert_eq!(node.hear(propose(1, 1, W)), [], "round 1 is left behind");
    assert_eq!(
        node.time_out(),
        [
            entered(3, RoundChangeReason::Timeout),
            gave_up_prepared(3, 1, V)
        ]
    );
}

#[test]
fn q10_a_commit_without_its_certificate_in_the_log_silences_us() {
    let mut node = restored(recorded(MessageKind::Commit, 1, V));
    assert_eq!(node.hear(propose(1, 1, V)), []);
    assert_eq!(node.time_out(), [entered(2, RoundChangeReason::Timeout)]);
}

#[test]
fn q10_listening_says_nothing_but_learns_and_helps() {
    let mut node = Node::new(Config {
        mode: Mode::ListenOnly,
        leader_offset: 3,
        ..config()
    });
    node.step(Input::Propose(OWN));
    node.verdict(V, true);
    assert_eq!(node.step(Input::Start), []);
    assert_eq!(node.hear(propose(0, 1, V)), []);
    for message in prepares(1, V) {
        assert_eq!(node.hear(message), []);
    }
    assert_eq!(node.time_out(), [entered(2, RoundChangeReason::Timeout)]);
    node.hear(commit(1, 2, V));
    node.hear(commit(2, 2, V));
    assert_eq!(node.hear(commit(3, 2, V)), [decided(2, V)]);
    assert_eq!(node.hear(moved(2, 3)).len(), 1);
}

// Q11 Catch-up

#[test]
fn q11_a_lagging_process_is_shown_the_decision() {
    let mut node = Node::started();
    for message in commits(1, V) {
        node.hear(message);
    }
    let kind = MessageKind::Decided;
    let draft = Draft {
        kind,
        round: 1,
        value: Some(V),
        prepared_round: 0,
        prepared_value: None,
    };
    let answer = Output::Send {
        to: Recipients::One(2),
        draft,
        justification: commits(1, V),
    };
    assert_eq!(node.hear(moved(2, 2)), [answer]);
    assert_eq!(node.hear(moved(2, 2)), []);
    assert_eq!(node.hear(moved(0, 2)), [], "not ourselves");
}

// Q12 Bounds

#[test]
fn q12_malformed_messages_are_refused() {
    let mut node = Node::started();
    assert_eq!(
        node.hear(commit(4, 1, V)),
        rejected(4, Rejection::UnknownSource { named: 4 })
    );
    assert_eq!(
        node.hear(commit(1, 0, V)),
        rejected(1, Rejection::RoundZero)
    );
    let stranger = vec![commit(usize::MAX, 1, V)];
    let unknown = rejected(1, Rejection::UnknownSource { named: usize::MAX });
    assert_eq!(
        node.hear_with(say(MessageKind::Decided, 1, 1, V), stranger),
        unknown
    );
    let too_many = rejected(1, Rejection::TooManyJustifications { count: 9, limit: 8 });
    assert_eq!(
        node.hear_with(say(MessageKind::Decided, 1, 1, V), vec![commit(1, 1, V); 9]),
        too_many
    );
}

#[test]
fn q12_absurd_rounds_overflow_nothing() {
    let mut node = Node::started();
    node.hear(moved(1, u64::MAX));
    let expected = [
        entered(u64::MAX, RoundChangeReason::OthersAhead),
        gave_up(u64::MAX),
    ];
    assert_eq!(node.hear(moved(2, u64::MAX)), expected);
    node.time_out();
    assert_eq!(node.instance.round(), u64::MAX);
}

#[test]
fn q12_a_flood_is_reported_and_costs_its_sender_only() {
    let mut node = Node::started();
    node.hear(commit(2, 1, V));
    node.hear(commit(3, 1, V));
    for round in 2..102 {
        assert_eq!(node.hear(commit(1, round, W)), []);
    }
    let expected = rejected(1, Rejection::BufferFull);
    assert_eq!(node.hear(commit(1, 102, W)), expected);
    assert_eq!(node.hear(commit(1, 1, V))[1..], [decided(1, V)]);
}

#[cfg(feature = "faults")]
mod faults {
    use super::*;

    fn faulty(faults: Faults) -> Node {
        let mut node = Node::new(Config { faults, ..config() });
        node.step(Input::Start);
        node
    }

    #[test]
    fn one_vote_too_few_decides() {
        let mut node = faulty(Faults {
            quorum_one_too_low: true,
            ..Faults::default()
        });
        node.hear(commit(1, 1, V));
        assert!(matches!(
            node.hear(commit(2, 1, V))[..],
            [Output::Decided { .. }]
        ));
    }

    #[test]
    fn an_unjustified_proposal_is_taken() {
        let mut node = faulty(Faults {
            skip_justification_check: true,
            ..Faults::default()
        });
        assert_eq!(node.hear(propose(3, 2, V))[1..], [Output::Validate(V)]);
    }

    #[test]
    fn null_is_taken_for_a_value() {
        let mut node = faulty(Faults {
            accept_null_value: true,
            ..Faults::default()
        });
        assert_eq!(
            node.hear(propose(1, 1, [0; 32])),
            [Output::Validate([0; 32])]
        );
    }
}
