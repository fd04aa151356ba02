#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use flotilla_types::DutyKind;

use super::*;
use crate::telemetry::{Counts, Timing};

/// All is well on mainnet.
fn facts() -> Facts {
    Facts {
        has_beacon_node: true,
        quorum: 3,
        slot_seconds: 12.0,
        ..Facts::default()
    }
}

fn sample(counts: Counts) -> Sample {
    Sample {
        counts,
        connected: 3,
    }
}

fn names(failing: &[Failing]) -> Vec<&'static str> {
    failing.iter().map(|failing| failing.name).collect()
}

/// What fails after counters went from nothing to `counts`.
fn after(counts: Counts) -> Vec<&'static str> {
    let health = Health::default();
    health.evaluate(sample(Counts::default()), &facts());
    health.evaluate(sample(counts), &facts());
    names(&health.failing())
}

/// What fails while `facts` hold and nothing is counted.
fn with(facts: Facts) -> Vec<&'static str> {
    let health = Health::default();
    health.evaluate(sample(Counts::default()), &facts);
    names(&health.failing())
}

fn timing(count: u64, seconds: f64) -> Timing {
    Timing { count, seconds }
}

#[test]
fn nothing_fails_while_all_is_well() {
    assert_eq!(with(facts()), Vec::<&str>::new());
    assert_eq!(after(Counts::default()), Vec::<&str>::new());
}

#[test]
fn facts_of_the_moment_fail_their_checks_at_the_first_look() {
    let cases = [
        (
            Facts {
                has_beacon_node: false,
                ..facts()
            },
            "beacon_node_syncing",
        ),
        (
            Facts {
                uses_fallback: true,
                ..facts()
            },
            "using_fallback_beacon_nodes",
        ),
        (
            Facts {
                on_other_chain: vec!["http://one".into()],
                ..facts()
            },
            "beacon_node_of_another_chain",
        ),
        (
            Facts {
                database_failing: Some("disk full".into()),
                ..facts()
            },
            "slashing_database_failing",
        ),
        (
            Facts {
                is_paused: true,
                ..facts()
            },
            "signing_paused",
        ),
        (
            Facts {
                is_client_silent: true,
                ..facts()
            },
            "validator_client_silent",
        ),
        (
            Facts {
                unknown_fork: Some((Epoch(9000), Epoch(10))),
                ..facts()
            },
            "unknown_fork",
        ),
    ];
    for (facts, expected) in cases {
        assert_eq!(with(facts), [expected]);
    }
}

#[test]
fn counters_that_grew_fail_their_checks() {
    let one = |set: fn(&mut Counts)| {
        let mut counts = Counts::default();
        set(&mut counts);
        after(counts)
    };
    assert_eq!(
        one(|counts| counts.registration_errors = 1),
        ["high_registration_failures_rate"]
    );
    assert_eq!(
        one(|counts| counts.chain_conflicts = 1),
        ["chain_guard_conflicts"]
    );
    assert_eq!(
        one(|counts| counts.without_quorum = 1),
        ["insufficient_round_changes"]
    );
    assert_eq!(
        one(|counts| counts.missed_blocks = 1),
        ["block_not_included"]
    );
    assert_eq!(
        one(|counts| counts.pending_validators = 2),
        ["pending_validators"]
    );
    assert_eq!(
        one(|counts| counts.pays_somebody_else = true),
        ["local_proposal_fee_recipient_mismatch"]
    );
}

#[test]
fn averages_beyond_their_bounds_fail_and_those_at_them_do_not() {
    let request = |name: &'static str, seconds: f64| Counts {
        requests: [(name, timing(10, seconds))].into(),
        ..Counts::default()
    };
    assert_eq!(after(request("validators", 10.0)), Vec::<&str>::new());
    assert_eq!(
        after(request("validators", 10.1)),
        ["high_beacon_node_latency"]
    );
    assert_eq!(after(request("proposal", 20.0)), Vec::<&str>::new());
    assert_eq!(
        after(request("proposal", 20.1)),
        ["high_beacon_node_proposal_latency"]
    );
    let partials = |kind: DutyKind, seconds: f64| Counts {
        partials: [(kind, timing(10, seconds))].into(),
        ..Counts::default()
    };
    let attester = after(partials(DutyKind::Attester, 20.1));
    assert_eq!(attester, ["high_parsigdb_store_latency"]);
    assert_eq!(
        after(partials(DutyKind::Proposer, 20.1)),
        Vec::<&str>::new()
    );
    let proposer = after(partials(DutyKind::Proposer, 30.1));
    assert_eq!(proposer, ["high_parsigdb_store_latency_proposer"]);
    let slow_peer = Counts {
        pings: [(2, timing(4, 0.7))].into(),
        ..Counts::default()
    };
    assert_eq!(after(slow_peer), ["high_peer_ping_latency"]);
    let slow_disk = Counts {
        slashing: timing(4, 0.5),
        ..Counts::default()
    };
    assert_eq!(after(slow_disk), ["slow_disk"]);
}

#[test]
fn clocks_rounds_heads_and_local_blocks_have_their_bounds() {
    let offset = |seconds: f64| Counts {
        clock_offsets: [(1, seconds)].into(),
        ..Counts::default()
    };
    assert_eq!(after(offset(0.2)), Vec::<&str>::new());
    assert_eq!(after(offset(-0.21)), ["high_peer_clock_offset"]);
    let round = Counts {
        rounds: [(DutyKind::Attester, 2)].into(),
        ..Counts::default()
    };
    assert_eq!(after(round), ["high_consensus_rounds"]);
    let heads = |late_heads: u64| Counts {
        heads: 100,
        late_heads,
        ..Counts::default()
    };
    assert_eq!(after(heads(4)), Vec::<&str>::new());
    assert_eq!(after(heads(5)), ["high_beacon_node_sse_head_delay"]);
    let signed = |all: u64, other: u64| Counts {
        heads_signed: [(1, (all, other))].into(),
        ..Counts::default()
    };
    assert_eq!(after(signed(19, 19)), Vec::<&str>::new());
    assert_eq!(after(signed(40, 3)), ["sync_message_head_disagreement"]);
    let local = Counts {
        is_block_local: true,
        ..Counts::default()
    };
    // Without builders every block is local.
    assert_eq!(after(local.clone()), Vec::<&str>::new());
    let health = Health::default();
    let builder_api = Facts {
        builder_api: true,
        ..facts()
    };
    health.evaluate(sample(local), &builder_api);
    assert_eq!(names(&health.failing()), ["local_block_proposal"]);
}

#[test]
fn a_check_is_told_when_it_begins_to_fail_and_when_it_is_over() {
    let health = Health::default();
    let failed = Counts {
        registration_errors: 1,
        ..Counts::default()
    };
    health.evaluate(sample(Counts::default()), &facts());
    let begun = health.evaluate(sample(failed.clone()), &facts());
    assert!(
        matches!(&begun[..], [Change::Fails(failing)] if failing.problem.contains("1 handovers"))
    );
    // The window holds ten samples: five minutes later nothing has grown any more.
    for _ in 0..8 {
        assert_eq!(health.evaluate(sample(failed.clone()), &facts()), []);
    }
    let over = health.evaluate(sample(failed), &facts());
    assert_eq!(over, [Change::Well("high_registration_failures_rate")]);
}

#[test]
fn peers_that_were_there_within_five_minutes_are_enough() {
    let health = Health::default();
    let alone = Sample::default();
    // Connections are being made at the first look.
    assert_eq!(Health::default().evaluate(alone.clone(), &facts()), []);
    health.evaluate(sample(Counts::default()), &facts());
    for _ in 0..9 {
        assert_eq!(health.evaluate(alone.clone(), &facts()), []);
    }
    health.evaluate(alone, &facts());
    assert_eq!(names(&health.failing()), ["insufficient_connected_peers"]);
}

#[test]
fn every_check_is_in_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operating.md");
    let text = fs::read_to_string(path).unwrap();
    for check in CHECKS {
        let row = format!("| `{}` | {} |", check.name, check.severity.label());
        assert!(text.contains(&row), "docs/operating.md lacks a row {row}");
    }
}
