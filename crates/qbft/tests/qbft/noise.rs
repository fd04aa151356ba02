//! One instance in a storm of arbitrary messages.

use flotilla_qbft::{
    Config, Faults, Hash, Input, Instance, Message, MessageKind, Mode, Output, Recipients,
    RoundTimer, quorum,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const START: Duration = Duration::from_secs(1_000);

fn kind() -> impl Strategy<Value = MessageKind> {
    prop_oneof![
        Just(MessageKind::PrePrepare),
        Just(MessageKind::Prepare),
        Just(MessageKind::Commit),
        Just(MessageKind::RoundChange),
        Just(MessageKind::Decided),
    ]
}

/// Few values and rounds, so that they meet; and some that nobody sends.
fn hash() -> impl Strategy<Value = Option<Hash>> {
    prop_oneof![1 => Just(None), 1 => Just(Some([0; 32])), 8 => (1..3u8).prop_map(|it| Some([it; 32]))]
}
fn round() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 1..4u64, 1 => Just(0), 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1)]
}
fn source(nodes: usize) -> impl Strategy<Value = usize> {
    prop_oneof![30 => 0..nodes, 1 => Just(nodes), 1 => Just(usize::MAX)]
}

fn message(nodes: usize) -> BoxedStrategy<Message<()>> {
    let prepared = prop_oneof![2 => Just((0, None)), 1 => (round(), hash())];
    (kind(), source(nodes), round(), hash(), prepared)
        .prop_map(|(kind, source, round, value, prepared)| {
            let (prepared_round, prepared_value) = prepared;
            Message {
                kind,
                source,
                round,
                value,
                prepared_round,
                prepared_value,
                seal: (),
            }
        })
        .boxed()
}

/// The same statement of all, which is what quorums are made of.
fn chorus(nodes: usize) -> BoxedStrategy<Vec<Message<()>>> {
    message(nodes)
        .prop_map(move |message| {
            (0..nodes)
                .map(|source| Message {
                    source,
                    ..message.clone()
                })
                .collect()
        })
        .boxed()
}

fn shown(nodes: usize) -> BoxedStrategy<Vec<Message<()>>> {
    let few = proptest::collection::vec(message(nodes), 0..2 * nodes + 2);
    let two = (chorus(nodes), chorus(nodes)).prop_map(|(one, other)| [one, other].concat());
    prop_oneof![3 => Just(Vec::new()), 1 => few, 2 => chorus(nodes), 2 => two].boxed()
}

fn inputs(nodes: usize) -> impl Strategy<Value = Vec<Input<()>>> {
    let heard = (message(nodes), shown(nodes)).prop_map(|(message, justification)| {
        vec![Input::Message {
            message,
            justification,
        }]
    });
    let all = (chorus(nodes), shown(nodes)).prop_map(|(messages, justification)| {
        let input = |message| Input::Message {
            message,
            justification: justification.clone(),
        };
        messages.into_iter().map(input).collect()
    });
    let other = prop_oneof![
        Just(Input::Start),
        (1..3u8).prop_map(|it| Input::Propose([it; 32])),
        ((0..3u8), any::<bool>()).prop_map(|(it, good)| Input::Verdict {
            value: [it; 32],
            good
        }),
        Just(Input::Timeout),
    ];
    let some = prop_oneof![4 => heard, 2 => all, 3 => other.prop_map(|input| vec![input])];
    proptest::collection::vec(some, 0..60).prop_map(|inputs| inputs.concat())
}

/// What must hold for the outputs of one instance, whatever it is fed.
#[derive(Default)]
struct Checker {
    votes: BTreeMap<(MessageKind, u64), Hash>,
    good: BTreeSet<Hash>,
    judged: BTreeSet<Hash>,
    asked: BTreeSet<Hash>,
    is_decided: bool,
}

impl Checker {
    fn hear(&mut self, input: &Input<()>) {
        if let Input::Verdict { value, good } = input
            && self.judged.insert(*value)
            && *good
        {
            self.good.insert(*value);
        }
    }

    fn see(&mut self, output: &Output<()>, nodes: usize) {
        match output {
            Output::Send {
                to: Recipients::All,
                draft,
                justification,
            } => {
                assert!(!self.is_decided, "no votes after the decision");
                assert!(justification.len() <= 2 * nodes);
                if let Some(value) = draft.value {
                    let said = self.votes.insert((draft.kind, draft.round), value);
                    assert_eq!(said, None, "{draft:?} after another vote");
                }
                if matches!(draft.kind, MessageKind::Prepare | MessageKind::Commit) {
                    assert!(
                        self.good.contains(&draft.value.unwrap()),
                        "{draft:?} without a verdict"
                    );
                }
            }
            Output::Send {
                to: Recipients::One(_),
                draft,
                ..
            } => {
                assert!(self.is_decided && draft.kind == MessageKind::Decided);
            }
            Output::Validate(value) => assert!(self.asked.insert(*value), "asked twice"),
            Output::Decided {
                value,
                round,
                commits,
            } => {
                assert!(
                    !std::mem::replace(&mut self.is_decided, true),
                    "decided twice"
                );
                let sources: BTreeSet<usize> = commits.iter().map(|commit| commit.source).collect();
                assert!(sources.len() == commits.len() && sources.len() >= quorum(nodes));
                assert!(commits.iter().all(|commit| {
                    commit.kind == MessageKind::Commit
                        && (commit.round, commit.value) == (*round, Some(*value))
                }));
            }
            Output::Prepared { .. } | Output::RoundChanged { .. } | Output::Rejected { .. } => {}
        }
    }
}

fn storm(nodes: usize, me: usize, inputs: &[Input<()>]) {
    let timer = RoundTimer::Increasing {
        first_extra: Duration::ZERO,
    };
    let config = Config {
        nodes,
        me,
        leader_offset: 0,
        timer,
        mode: Mode::Voting,
        faults: Faults::default(),
    };
    let mut instance = Instance::new(config, START);
    let mut checker = Checker::default();
    let mut now = START;
    let mut out = Vec::new();
    for input in std::iter::once(&Input::Start).chain(inputs) {
        now = match (input, instance.deadline()) {
            (Input::Timeout, Some(due)) => now.max(due),
            _ => now,
        };
        checker.hear(input);
        instance.step(now, input.clone(), &mut out);
        out.drain(..).for_each(|output| checker.see(&output, nodes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Q5, Q9, Q10, Q12: no panic, one vote per round, none without a verdict, decisions with proof.
    #[test]
    fn a_storm_of_messages_moves_no_rule_4(me in 0..4usize, inputs in inputs(4)) {
        storm(4, me, &inputs);
    }

    #[test]
    fn a_storm_of_messages_moves_no_rule_7(me in 0..7usize, inputs in inputs(7)) {
        storm(7, me, &inputs);
    }
}
