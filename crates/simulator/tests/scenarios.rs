//! Scenarios with a known end. Each names the behaviour that must hold; the checkers assert safety in all of them.

use std::time::Duration;

use flotilla_simulator::scenario::{Crash, CrashKind, CrashMoment, Lie};
use flotilla_simulator::{Fault, Report, Scenario, World};

fn run(scenario: Scenario) -> Report {
    World::new(scenario, false).run().0
}

fn expect_clean(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = run(scenario);
    assert_eq!(report.violations, [], "seed {seed}");
    report
}

#[test]
fn a_healthy_cluster_completes_every_duty() {
    for nodes in [3, 4, 7] {
        let report = expect_clean(Scenario::healthy(1, nodes));
        // Ten judged slots, six validators, one duty each in every epoch of eight slots.
        assert!(
            report.submissions >= 6,
            "{} submissions with {nodes} nodes",
            report.submissions
        );
    }
}

#[test]
fn silent_liars_up_to_f_cost_rounds_not_duties() {
    for liar in 0..4 {
        expect_clean(Scenario {
            liars: vec![(liar, Lie::Silent)],
            ..Scenario::healthy(2, 4)
        });
    }
}

#[test]
fn equivocating_leaders_and_bad_values_cannot_break_agreement() {
    for lie in [
        Lie::Equivocate,
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
    for seed in 1..=12 {
        expect_clean(Scenario::drawn(seed, None));
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

/// The mistake is found by one of these seeds, and its replay finds the same.
fn expect_found(fault: Fault, scenarios: impl Iterator<Item = Scenario>) {
    let faulty = scenarios.map(|scenario| Scenario {
        fault: Some(fault),
        ..scenario
    });
    let found = faulty
        .into_iter()
        .find(|scenario| !run(scenario.clone()).violations.is_empty());
    let scenario = found.unwrap_or_else(|| panic!("{} was not found", fault.name()));
    assert_eq!(run(scenario.clone()), run(scenario));
}

#[test]
fn forgotten_votes_are_found() {
    expect_found(
        Fault::VotesForgotten,
        (0..80).map(|step| Scenario::forgetful(3 + 4 * step)),
    );
}

#[test]
fn a_quorum_one_too_low_is_found() {
    expect_found(
        Fault::QuorumTooLow,
        (1..60).map(|seed| Scenario::drawn(seed, Some(4))),
    );
}

#[test]
fn an_unchecked_justification_is_found() {
    expect_found(
        Fault::JustificationUnchecked,
        (0..40).map(|seed| Scenario::besieged(seed, Lie::Usurp)),
    );
}

#[test]
fn an_accepted_null_is_found() {
    expect_found(
        Fault::NullAccepted,
        (0..10).map(|seed| Scenario::besieged(seed, Lie::Null)),
    );
}

#[test]
fn an_ignored_database_is_found() {
    expect_found(
        Fault::DatabaseIgnored,
        (1..60).map(|seed| Scenario::drawn(seed, Some(4))),
    );
}
