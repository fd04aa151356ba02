//! Scenarios with a known end. Each names the behaviour that must hold; the checkers assert safety in all of them.

#![allow(clippy::unwrap_used)] // Tests may.

use std::time::Duration;

use flotilla_simulator::checkers::Violation;
use flotilla_simulator::scenario::{Crash, CrashKind, CrashMoment, Lie, Pause};
use flotilla_simulator::{Fault, Report, Scenario, World};
use flotilla_types::{Duty, Slot};

fn run(scenario: Scenario) -> Report {
    World::new(scenario, false).run().0
}

fn expect_clean(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = run(scenario);
    assert_eq!(report.violations, [], "seed {seed}");
    report
}

/// Whether `node` leads the first round of a duty in a cluster of four (spec 20 §4.2).
fn leads(node: usize, duty: Duty) -> bool {
    (duty.slot.0 + duty.kind.wire() as u64 + 1) % 4 == node as u64
}

/// Every duty was decided by all of `deciders`: in round 2 where `absent` leads round 1, else in round 1.
fn expect_one_round_lost(report: &Report, absent: usize, deciders: &[usize]) {
    let mut led = 0;
    for (&duty, rounds) in &report.rounds {
        let expected = if leads(absent, duty) { 2 } else { 1 };
        led += usize::from(expected == 2);
        for node in deciders {
            assert_eq!(rounds.get(node), Some(&expected), "{duty}, node {node}");
        }
    }
    assert!(led > 0, "node {absent} never led");
}

#[test]
fn a_healthy_cluster_completes_every_duty_in_the_first_round() {
    for nodes in [3, 4, 7] {
        let report = expect_clean(Scenario::healthy(1, nodes));
        // Six validators have a duty each in the whole epoch of eight slots; two slots of the next epoch are judged too.
        assert!(report.submissions >= 6, "{}", report.submissions);
        assert!(report.rounds.len() >= 6, "{}", report.rounds.len());
        for (duty, rounds) in &report.rounds {
            assert_eq!(rounds.len(), nodes, "{duty}");
            assert!(
                rounds.values().all(|&round| round == 1),
                "{duty}: {rounds:?}"
            );
        }
    }
}

#[test]
fn a_silent_leader_costs_one_round() {
    for liar in 0..4 {
        let report = expect_clean(Scenario {
            liars: vec![(liar, Lie::Silent)],
            ..Scenario::healthy(2, 4)
        });
        let honest: Vec<usize> = (0..4).filter(|&node| node != liar).collect();
        expect_one_round_lost(&report, liar, &honest);
    }
}

#[test]
fn a_leader_whose_beacon_node_stalls_costs_one_round() {
    let report = expect_clean(Scenario {
        slow_beacons: vec![(1, 0, 10, Duration::from_secs(5))],
        ..Scenario::healthy(2, 4)
    });
    expect_one_round_lost(&report, 1, &[0, 2, 3]);
}

/// Node 2 is down from the middle of slot 1 until four seconds into slot 3, past that slot's due point.
fn late_in_slot_3() -> Crash {
    Crash {
        node: 2,
        kind: CrashKind::Process,
        moment: CrashMoment::At(Duration::from_secs(18)),
        down: Duration::from_secs(24),
    }
}

#[test]
fn a_node_that_starts_late_learns_the_decision() {
    let report = expect_clean(Scenario {
        crashes: vec![late_in_slot_3()],
        ..Scenario::healthy(7, 4)
    });
    let rounds = &report.rounds[&Duty::attester(Slot(3))];
    assert_eq!(rounds.len(), 4, "{rounds:?}");
}

#[test]
fn a_duty_that_waits_for_a_late_node_still_completes() {
    // With another node silent, nothing can be agreed or combined before node 2 is back. Slots 1 and 2 lie in the trouble.
    let report = expect_clean(Scenario {
        troubled_slots: 3,
        crashes: vec![late_in_slot_3()],
        liars: vec![(0, Lie::Silent)],
        ..Scenario::healthy(7, 4)
    });
    assert!(report.rounds[&Duty::attester(Slot(3))].contains_key(&2));
}

#[test]
fn a_paused_node_signs_nothing_and_the_others_complete() {
    let pause = Pause {
        node: 1,
        start: Duration::from_secs(25),
        end: Duration::from_secs(75),
    };
    let paused = Scenario {
        pauses: vec![pause],
        ..Scenario::healthy(8, 4)
    };
    let (report, log) = World::new(paused, true).run();
    assert_eq!(report.violations, []);
    let log = log.unwrap();
    let signs = |line: &&str| line.contains("sign       n1");
    let at = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let times: Vec<f64> = log.lines().filter(signs).map(at).collect();
    assert!(times.iter().any(|&at| at < 25.0), "{times:?}");
    assert!(
        times.iter().all(|at| !(25.0..75.0).contains(at)),
        "{times:?}"
    );
    assert!(times.iter().any(|&at| at >= 75.0), "{times:?}");
}

#[test]
fn a_pause_survives_a_restart() {
    let report = expect_clean(Scenario {
        pauses: vec![Pause {
            node: 2,
            start: Duration::from_secs(10),
            end: Duration::from_secs(100),
        }],
        crashes: vec![late_in_slot_3()],
        ..Scenario::healthy(9, 4)
    });
    assert!(report.submissions >= 6, "{}", report.submissions);
}

#[test]
fn with_two_of_four_paused_nothing_is_submitted() {
    let pause = |node| Pause {
        node,
        start: Duration::ZERO,
        end: Duration::from_secs(1000),
    };
    let report = run(Scenario {
        pauses: vec![pause(0), pause(1)],
        ..Scenario::healthy(10, 4)
    });
    assert_eq!(report.submissions, 0);
    assert!(
        !report.rounds.is_empty(),
        "pausing stops signing, not agreeing"
    );
}

#[test]
fn equivocating_leaders_and_bad_values_cannot_break_agreement() {
    for lie in [
        Lie::Equivocate,
        Lie::Divide,
        Lie::BadValue,
        Lie::Usurp,
        Lie::Null,
        Lie::WrongRoot,
        Lie::Replay,
    ] {
        expect_clean(Scenario {
            liars: vec![(1, lie)],
            ..Scenario::healthy(3, 4)
        });
    }
}

#[test]
fn a_crash_between_write_and_sync_never_leads_to_a_second_root() {
    for kind in [CrashKind::Process, CrashKind::Machine] {
        let crash = |slot| Crash {
            node: (slot % 4) as usize,
            kind,
            moment: CrashMoment::DuringSync { slot },
            down: Duration::from_millis(120),
        };
        let crashes = (1..8).map(crash).collect();
        let scenario = Scenario {
            troubled_slots: 8,
            recovery_slots: 2,
            crashes,
            ..Scenario::healthy(4, 4)
        };
        expect_clean(scenario);
    }
}

#[test]
fn a_lost_disk_is_silent_until_the_next_epoch() {
    let lost = Crash {
        node: 2,
        kind: CrashKind::Disk,
        moment: CrashMoment::At(Duration::from_secs(30)),
        down: Duration::from_secs(1),
    };
    let scenario = Scenario {
        troubled_slots: 8,
        recovery_slots: 2,
        crashes: vec![lost],
        ..Scenario::healthy(5, 4)
    };
    expect_clean(scenario);
}

#[test]
fn real_signatures_combine_and_verify() {
    let scenario = Scenario {
        real_signatures: true,
        validators: 2,
        healed_slots: 4,
        ..Scenario::healthy(6, 4)
    };
    expect_clean(scenario);
}

#[test]
fn drawn_scenarios_find_nothing() {
    for seed in 1..=25 {
        expect_clean(Scenario::of_seed(seed, None));
    }
}

#[test]
fn equal_seeds_give_equal_runs_byte_for_byte() {
    for scenario in [Scenario::drawn(11, None), Scenario::forgetful(7)] {
        let (first, first_log) = World::new(scenario.clone(), true).run();
        let (second, second_log) = World::new(scenario, true).run();
        assert_eq!(first, second);
        assert_eq!(first_log, second_log);
        assert!(first_log.is_some_and(|log| log.lines().count() > 1000));
    }
}

/// A scenario of `cargo sim` finds the mistake, says how, and finds nothing without it; its replay is the same.
fn expect_found(fault: Fault, seed: u64, how: fn(&Violation) -> bool) {
    let sound = Scenario::of_seed(seed, None);
    let faulty = Scenario {
        fault: Some(fault),
        ..sound.clone()
    };
    let report = run(faulty.clone());
    assert!(
        report.violations.iter().any(how),
        "{} in seed {seed}: {:?}",
        fault.name(),
        report.violations
    );
    assert_eq!(run(faulty), report);
    expect_clean(sound);
}

#[test]
fn forgotten_votes_are_found() {
    expect_found(Fault::VotesForgotten, 3, |found| {
        matches!(found, Violation::Disagreement(_))
    });
}

#[test]
fn a_quorum_one_too_low_is_found() {
    expect_found(Fault::QuorumTooLow, 7, |found| {
        matches!(found, Violation::Disagreement(_))
    });
}

#[test]
fn an_unchecked_justification_is_found() {
    expect_found(Fault::JustificationUnchecked, 5, |found| {
        matches!(found, Violation::Disagreement(_))
    });
}

#[test]
fn an_accepted_null_is_found() {
    expect_found(Fault::NullAccepted, 6, |found| {
        matches!(found, Violation::NullDecided(_))
    });
}

#[test]
fn an_ignored_database_is_found() {
    expect_found(Fault::DatabaseIgnored, 8, |found| {
        matches!(found, Violation::TwoTargets(..))
    });
}
