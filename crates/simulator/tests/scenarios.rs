//! Scenarios with a known end. Each names the behaviour that must hold; the checkers assert safety in all of them.

#![allow(clippy::unwrap_used)] // Tests may.

use std::time::Duration;

use flotilla_simulator::checkers::Violation;
use flotilla_simulator::scenario::{
    Crash, CrashKind, CrashMoment, Fork, Lag, Leaving, Lie, Manners, Pause, Weather,
};
use flotilla_simulator::{Fault, Report, Scenario, World};
use flotilla_types::{Duty, DutyKind, Slot};

fn run(scenario: Scenario) -> Report {
    World::new(scenario, false).run().0
}

fn expect_clean(scenario: Scenario) -> Report {
    let seed = scenario.seed;
    let report = run(scenario);
    assert_eq!(report.violations, [], "seed {seed}");
    report
}

/// How many items of a kind were submitted.
fn submitted(report: &Report, kind: DutyKind) -> usize {
    report.submissions.get(&kind).copied().unwrap_or(0)
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
        // Six validators attest in the whole epoch of eight slots; two slots of the next epoch are judged too.
        for (kind, least) in [
            (DutyKind::Attester, 6),
            (DutyKind::Aggregator, 1),
            (DutyKind::Proposer, 2),
            (DutyKind::SyncMessage, 10),
            (DutyKind::SyncContribution, 5),
        ] {
            assert!(submitted(&report, kind) >= least, "{kind}: {report:?}");
        }
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
        slow_beacons: vec![(1, 0, 100, Duration::from_secs(5))],
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
        // Of the slot in which it starts it signs no head (S8): the process before may have signed another.
        sync_members: 0,
        proposals: false,
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
    assert!(submitted(&report, DutyKind::Attester) >= 6, "{report:?}");
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
    assert!(report.submissions.is_empty(), "{report:?}");
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
fn a_lagging_beacon_node_costs_its_own_share_only() {
    let lag = |slots| Lag {
        node: 2,
        from: 0,
        to: 20,
        slots,
    };
    // Two slots behind: its targets and heads differ. Nine: its justified checkpoint too.
    for slots in [2, 9] {
        expect_clean(Scenario {
            lags: vec![lag(slots)],
            healed_slots: 18,
            sync_members: 0,
            ..Scenario::healthy(12, 4)
        });
    }
}

fn fork(seen: bool) -> Fork {
    Fork {
        node: 1,
        from: 3,
        to: 40,
        seen,
    }
}

#[test]
fn three_nodes_do_every_duty_without_the_fourth_on_its_own_fork() {
    for seen in [true, false] {
        let scenario = Scenario {
            forks: vec![fork(seen)],
            healed_slots: 30,
            ..Scenario::healthy(13, 4)
        };
        let (report, log) = World::new(scenario, true).run();
        assert_eq!(report.violations, []);
        // Once its branch has a justified checkpoint of its own, it is led by nobody and leads nobody.
        let log = log.unwrap();
        let refusals = log.lines().filter(|line| {
            line.contains("examined") && (line.ends_with("Conflicts") || line.ends_with("Unknown"))
        });
        assert!(refusals.count() > 0);
        assert!(log.contains("it does not fit the chain of our own beacon nodes"));
    }
}

#[test]
fn late_and_missing_blocks_at_an_epochs_border_cost_no_duty() {
    for seed in 20..26 {
        expect_clean(Scenario {
            weather: Weather {
                missing: 250,
                late: 500,
                ..Weather::default()
            },
            healed_slots: 18,
            ..Scenario::healthy(seed, 4)
        });
    }
}

#[test]
fn reorganisations_and_ill_timed_blocks_leave_no_stale_duties() {
    for (seed, short_lookahead) in [(30, false), (31, true), (32, true)] {
        expect_clean(Scenario {
            weather: Weather {
                missing: 100,
                late: 200,
                ill_timed: 500,
                orphaned: 300,
            },
            reorg: true,
            short_lookahead,
            troubled_slots: 12,
            recovery_slots: 3,
            healed_slots: 8,
            ..Scenario::healthy(seed, 4)
        });
    }
}

#[test]
fn a_beacon_node_that_answers_two_seconds_late_costs_no_duty() {
    expect_clean(Scenario {
        slow_beacons: vec![(3, 0, 100, Duration::from_secs(2))],
        // When it leads the first round, its own proposals come too late.
        proposals: false,
        sync_members: 0,
        ..Scenario::healthy(14, 4)
    });
}

/// Every node signs with a validator client, one of them with these manners for two epochs.
fn with_clients(seed: u64, manners: Manners) -> Scenario {
    let punctual = |node| (node, Manners::Punctual);
    Scenario {
        clients: vec![(0, manners), punctual(1), punctual(2), punctual(3)],
        troubled_slots: 16,
        recovery_slots: 1,
        healed_slots: 8,
        sync_members: 2,
        ..Scenario::healthy(seed, 4)
    }
}

#[test]
fn validator_clients_do_every_duty() {
    let report = expect_clean(Scenario {
        troubled_slots: 0,
        ..with_clients(15, Manners::Punctual)
    });
    for kind in [
        DutyKind::Attester,
        DutyKind::Aggregator,
        DutyKind::Proposer,
        DutyKind::SyncMessage,
        DutyKind::SyncContribution,
    ] {
        assert!(submitted(&report, kind) > 0, "{kind}: {report:?}");
    }
}

#[test]
fn a_client_without_manners_changes_nothing_for_the_cluster() {
    let punctual = expect_clean(with_clients(16, Manners::Punctual));
    for manners in [
        Manners::Early,
        Manners::Late(Duration::from_secs(3)),
        Manners::Late(Duration::from_secs(12)),
        Manners::Twice,
        Manners::Never,
        Manners::Other,
        Manners::WrongSlot,
    ] {
        let found = expect_clean(with_clients(16, manners));
        let counts = |report: &Report| {
            let kinds = [
                DutyKind::Attester,
                DutyKind::SyncMessage,
                DutyKind::Proposer,
            ];
            kinds.map(|kind| submitted(report, kind))
        };
        assert_eq!(counts(&found), counts(&punctual), "{manners:?}");
    }
}

#[test]
fn what_a_client_signs_beside_the_agreement_is_refused() {
    let (report, log) = World::new(with_clients(17, Manners::Other), true).run();
    assert_eq!(report.violations, []);
    let log = log.unwrap();
    assert!(log.contains("not taken: it is not what the cluster agreed to sign"));
    let (report, log) = World::new(with_clients(17, Manners::WrongSlot), true).run();
    assert_eq!(report.violations, []);
    assert!(log.unwrap().contains("not taken: the duty is over"));
}

#[test]
fn several_subcommittees_are_served_with_and_without_the_plural_form() {
    let run = |plural| {
        let report = expect_clean(Scenario {
            plural,
            sync_members: 2,
            ..Scenario::healthy(18, 4)
        });
        submitted(&report, DutyKind::SyncContribution)
    };
    let (plural, single) = (run(true), run(false));
    assert!(single > 0 && plural > single, "{plural} {single}");
}

/// Operators of three nodes ask for an exit, at these slots.
fn leaving(asked: [u32; 3]) -> Scenario {
    let slot = Duration::from_secs(12);
    let asked = (0..3).zip(asked).map(|(node, at)| (node, slot * at));
    Scenario {
        exits: vec![Leaving {
            validator: 1,
            epoch: 0,
            asked: asked.collect(),
        }],
        ..Scenario::healthy(19, 4)
    }
}

#[test]
fn a_validator_leaves_once_a_threshold_of_operators_has_asked() {
    let report = expect_clean(leaving([1, 4, 7]));
    assert!(submitted(&report, DutyKind::Exit) > 0);
    let mut two = leaving([1, 4, 7]);
    two.exits[0].asked.pop();
    let report = expect_clean(two);
    assert_eq!(submitted(&report, DutyKind::Exit), 0);
}

#[test]
fn a_node_that_was_down_contributes_to_an_exit_after_its_restart() {
    // Node 2 knows of node 0's wish when it goes down, is away when node 1's operator asks, and when its own does.
    let down = Crash {
        node: 2,
        kind: CrashKind::Machine,
        moment: CrashMoment::At(Duration::from_secs(13)),
        down: Duration::from_secs(100),
    };
    let scenario = Scenario {
        crashes: vec![down],
        troubled_slots: 10,
        recovery_slots: 2,
        ..leaving([1, 3, 5])
    };
    let (report, log) = World::new(scenario, true).run();
    assert_eq!(report.violations, []);
    let log = log.unwrap();
    let at = |word: &str| log.lines().position(|line| line.contains(word));
    let restart = log
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("start      n2"))
        .last()
        .unwrap()
        .0;
    assert!(at("kept       n2 0/exit share 1").unwrap() > restart);
    assert!(at(" 0/exit 1 items").unwrap() > restart);
}

#[test]
fn bad_values_of_every_kind_are_voted_down() {
    for seed in [41, 43, 45] {
        for lie in [Lie::BadValue, Lie::WrongRoot] {
            expect_clean(Scenario {
                liars: vec![(2, lie)],
                sync_members: 2,
                builders: 500,
                ..Scenario::healthy(seed, 4)
            });
        }
    }
}

#[test]
fn drawn_scenarios_find_nothing() {
    for seed in 1..=16 {
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

/// One of these scenarios of `cargo sim` finds the mistake, says how, and finds nothing without it; its replay is the same.
///
/// Which of them does changes with every throw of the dice that a change of the engine adds or saves.
fn expect_found(fault: Fault, seeds: &[u64], how: fn(&Violation) -> bool) {
    let faulty = |seed| Scenario {
        fault: Some(fault),
        ..Scenario::of_seed(seed, None)
    };
    let reports = seeds.iter().map(|&seed| (seed, run(faulty(seed))));
    let found = |(_, report): &(u64, Report)| report.violations.iter().any(how);
    let Some((seed, report)) = reports.into_iter().find(found) else {
        panic!("{} is not found in seeds {seeds:?}", fault.name());
    };
    assert_eq!(run(faulty(seed)), report);
    expect_clean(Scenario::of_seed(seed, None));
}

#[test]
fn forgotten_votes_are_found() {
    expect_found(
        Fault::VotesForgotten,
        &[7, 15, 27, 31, 51, 71, 83],
        |found| matches!(found, Violation::Disagreement(_)),
    );
}

#[test]
fn a_quorum_one_too_low_is_found() {
    expect_found(Fault::QuorumTooLow, &[7, 11, 15, 19], |found| {
        matches!(found, Violation::Disagreement(_))
    });
}

#[test]
fn an_unchecked_justification_is_found() {
    expect_found(Fault::JustificationUnchecked, &[5, 13, 21, 29], |found| {
        matches!(found, Violation::Disagreement(_))
    });
}

#[test]
fn an_accepted_null_is_found() {
    expect_found(Fault::NullAccepted, &[6, 14, 22], |found| {
        matches!(found, Violation::NullDecided(_))
    });
}

#[test]
fn an_ignored_database_is_found() {
    expect_found(Fault::DatabaseIgnored, &[8, 9, 18, 41], |found| {
        matches!(found, Violation::TwoTargets(..))
    });
}

#[test]
fn a_guard_that_is_off_is_found() {
    expect_found(Fault::GuardOff, &[44, 60, 76, 92], |found| {
        matches!(found, Violation::AgainstOwnChain(..))
    });
}

#[test]
fn randomness_that_is_revealed_too_early_is_found() {
    expect_found(Fault::RandaoEarly, &[1, 2], |found| {
        matches!(found, Violation::EarlyRandao(..))
    });
}
