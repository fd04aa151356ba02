//! Vectors that are tables: formulas, leaders, timers, and single nodes that hear a few messages.

use crate::files::{files, hash, index, list, message, number, shown};
use flotilla_qbft::{
    Config, Faults, Input, Instance, Message, Mode, Output, RoundTimer, faulty, quorum,
};
use serde_json::Value;
use std::time::Duration;

const START: Duration = Duration::from_secs(1_000);

fn config(nodes: usize, me: usize, leader_offset: u64) -> Config {
    let timer = RoundTimer::EagerDoubleLinear {
        start: START,
        extra: Duration::ZERO,
    };
    Config {
        nodes,
        me,
        leader_offset,
        timer,
        mode: Mode::Voting,
        faults: Faults::default(),
    }
}

#[test]
fn formulas_match_the_vectors() {
    for file in files("qbft_formulas") {
        for case in list(&file, "cases") {
            let nodes = index(case, "n");
            assert_eq!(quorum(nodes), index(case, "quorum"), "{case}");
            assert_eq!(faulty(nodes), index(case, "faulty"), "{case}");
        }
    }
}

#[test]
fn leaders_match_the_vectors() {
    for file in files("qbft_leader") {
        for case in list(&file, "cases") {
            let offset = number(case, "slot") + number(case, "duty_type");
            let leader = config(index(case, "nodes"), 0, offset).leader(number(case, "round"));
            assert_eq!(leader, index(case, "leader_peer_idx"), "{case}");
        }
    }
}

#[test]
fn round_timers_match_the_vectors() {
    let extra = Duration::from_millis(500);
    let step = Duration::from_millis(200);
    let none = Duration::ZERO;
    let relative = [
        ("increasing", RoundTimer::Increasing { first_extra: none }),
        (
            "increasing_proposer_with_proposal_timeout",
            RoundTimer::Increasing { first_extra: extra },
        ),
        (
            "linear",
            RoundTimer::Linear {
                first_extra: none,
                step,
            },
        ),
    ];
    let eager = [
        ("eager_dlinear_non_proposer", none),
        ("eager_dlinear_proposer_with_proposal_timeout", extra),
    ];
    let now = START + Duration::from_millis(70);
    for file in files("round_timers") {
        for (name, timer) in relative {
            for case in list(&file, name) {
                let due = now + Duration::from_millis(number(case, "ms"));
                for again in [false, true] {
                    assert_eq!(
                        timer.deadline(now, number(case, "round"), again),
                        due,
                        "{name} {case}"
                    );
                }
            }
        }
        for (name, extra) in eager {
            let timer = RoundTimer::EagerDoubleLinear {
                start: START,
                extra,
            };
            for case in list(&file, name) {
                for (field, again) in [("first", false), ("again", true)] {
                    let due = START + Duration::from_millis(number(case, field));
                    assert_eq!(
                        timer.deadline(now, number(case, "round"), again),
                        due,
                        "{name} {case}"
                    );
                }
            }
        }
    }
}

#[test]
fn decisions_match_the_vectors() {
    for file in files("qbft_decide_scenarios") {
        for scenario in list(&file, "scenarios") {
            // Process 0 of 4, without a value, so that it can lead without consequence.
            let mut instance = Instance::new(config(4, 0, 3), START);
            let mut out = Vec::new();
            instance.step(START, Input::Start, &mut out);
            for said in list(scenario, "messages") {
                for _ in 0..said["repeat"].as_u64().unwrap_or(1) {
                    let (message, justification) = (message(said, 4), shown(said, 4));
                    instance.step(
                        START,
                        Input::Message {
                            message,
                            justification,
                        },
                        &mut out,
                    );
                }
            }
            let decisions: Vec<_> = out.into_iter().filter_map(decision).collect();
            let expected = hash(&scenario["decided_value"]).map(|value| {
                (
                    value,
                    number(scenario, "decided_round"),
                    index(scenario, "qcommit_len"),
                )
            });
            assert_eq!(decisions, Vec::from_iter(expected), "{}", scenario["name"]);
        }
    }
}

fn decision(output: Output<Vec<u8>>) -> Option<([u8; 32], u64, usize)> {
    match output {
        Output::Decided {
            value,
            round,
            commits,
        } => Some((value, round, commits.len())),
        _ => None,
    }
}

#[test]
fn a_justified_proposal_is_accepted_as_the_vectors_say() {
    for file in files("qbft_justified_pre_prepare") {
        let mut instance = Instance::new(config(4, 0, 1), START);
        let mut out = Vec::new();
        instance.step(START, Input::Start, &mut out);
        let justification = shown(&file, 4);
        let message: Message<Vec<u8>> = message(&with_type(&file["pre_prepare"], 1), 4);
        instance.step(
            START,
            Input::Message {
                message,
                justification,
            },
            &mut out,
        );
        let is_rejected = out
            .iter()
            .any(|output| matches!(output, Output::Rejected { .. }));
        assert_eq!(Value::Bool(!is_rejected), file["justified"]);
    }
}

fn with_type(value: &Value, kind: u64) -> Value {
    let mut value = value.clone();
    value["type"] = kind.into();
    value
}
