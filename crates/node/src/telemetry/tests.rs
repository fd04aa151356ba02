#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use flotilla_duty::io::{Item, Stages};
use flotilla_duty::outcome::{Fate, ItemOutcome, Reason, Step};
use flotilla_types::PublicKeyBytes;

use super::*;

fn names(hash: &str) -> ClusterNames {
    ClusterNames {
        hash: hash.to_owned(),
        name: "test".to_owned(),
        network: "hoodi".to_owned(),
        peer: "red-fox".to_owned(),
        nickname: String::new(),
        version: "v1.7.0".to_owned(),
        peers: vec![
            "red-fox".to_owned(),
            "blue-owl".to_owned(),
            "grey-cat".to_owned(),
        ],
        timer: "eager_dlinear",
    }
}

fn cluster(telemetry: &Telemetry, hash: &str) -> ClusterTelemetry {
    let size = ClusterSize {
        operators: 3,
        threshold: 2,
        validators: 2,
    };
    telemetry.cluster(names(hash), size, Timestamp::from_secs(1_700_000_000))
}

fn at(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis))
}

/// Due at 1000 s; one validator submitted half a second later, one short of partial signatures.
fn outcome() -> Outcome {
    let submitted = ItemOutcome {
        quorum: at(1_000_300),
        aggregated: at(1_000_310),
        submitted: at(1_000_500),
        fate: Fate::Submitted,
    };
    let missed = Fate::Missed {
        step: Step::Exchange,
        reason: Reason::TooFewPartials { have: 1, needed: 2 },
        peers: vec![PeerIndex::new(1), PeerIndex::new(2)],
    };
    let missed = ItemOutcome {
        quorum: None,
        aggregated: None,
        submitted: None,
        fate: missed,
    };
    Outcome {
        duty: Duty::attester(Slot(5)),
        due: Timestamp::from_millis(1_000_000),
        round: Some(2),
        leader: Some(PeerIndex::new(1)),
        stages: Stages {
            fetched: at(1_000_050),
            agreed: at(1_000_200),
            ..Stages::default()
        },
        items: BTreeMap::from([
            (Item::whole(PublicKeyBytes([1; 48])), submitted),
            (Item::whole(PublicKeyBytes([2; 48])), missed),
        ]),
    }
}

/// The value of the one series whose line begins with `name` and contains all of `parts`.
fn value(text: &str, name: &str, parts: &[&str]) -> f64 {
    let is_it = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{'))
            && parts.iter().all(|part| line.contains(part))
    };
    let lines: Vec<&str> = text.lines().filter(is_it).collect();
    assert_eq!(lines.len(), 1, "{name} {parts:?} in\n{text}");
    lines[0].rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn outcome_feeds_the_names_that_dashboards_know() {
    let telemetry = Telemetry::new();
    cluster(&telemetry, "abcdef0").ended(&outcome());
    let text = telemetry.encode();
    let attester = [r#"duty="attester""#];
    assert_eq!(
        value(&text, "core_tracker_success_duties_total", &attester),
        1.0
    );
    assert_eq!(
        value(
            &text,
            "core_consensus_decided_rounds",
            &[r#"timer="eager_dlinear""#]
        ),
        2.0
    );
    assert_eq!(
        value(&text, "core_consensus_decided_leader_index", &attester),
        1.0
    );
    assert_eq!(
        value(&text, "core_consensus_duration_seconds_sum", &attester),
        0.15
    );
    assert_eq!(
        value(&text, "core_bcast_broadcast_delay_seconds_sum", &attester),
        0.5
    );
    assert_eq!(
        value(&text, "core_sigagg_slot_aggregation_seconds_sum", &attester),
        0.01
    );
    assert_eq!(
        value(
            &text,
            "flotilla_duty_stage_seconds_sum",
            &[r#"stage="quorum""#]
        ),
        0.3
    );
    let missed = [r#"step="exchange""#, r#"reason="too_few_partials""#];
    assert_eq!(value(&text, "flotilla_duty_missed_total", &missed), 1.0);
    assert_eq!(
        value(
            &text,
            "flotilla_validator_duties_total",
            &[r#"fate="missed""#]
        ),
        1.0
    );
}

#[test]
fn missed_duty_is_counted_under_the_code_of_the_field() {
    let telemetry = Telemetry::new();
    let mut outcome = outcome();
    outcome
        .items
        .retain(|_, validator| validator.submitted.is_none());
    cluster(&telemetry, "abcdef0").ended(&outcome);
    let text = telemetry.encode();
    assert_eq!(
        value(
            &text,
            "core_tracker_failed_duty_reasons_total",
            &[r#"reason="no_peer_signatures""#]
        ),
        1.0
    );
}

#[test]
fn clusters_of_one_process_share_families_and_keep_their_labels() {
    let telemetry = Telemetry::new();
    for hash in ["abcdef0", "1234567"] {
        cluster(&telemetry, hash).ended(&outcome());
    }
    let text = telemetry.encode();
    for hash in ["abcdef0", "1234567"] {
        let labels = [
            &*format!(r#"cluster_hash="{hash}""#),
            r#"cluster_peer="red-fox""#,
            r#"charon_version="v1.7.0""#,
        ];
        assert_eq!(
            value(&text, "core_tracker_expect_duties_total", &labels),
            1.0
        );
    }
    assert_eq!(
        text.matches("# TYPE core_tracker_expect_duties counter")
            .count(),
        1
    );
    assert!(text.contains("process_cpu_seconds_total"));
}

#[test]
fn participation_is_settled_for_every_peer() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    let duty = Duty::attester(Slot(5));
    cluster.slot(Slot(5), Epoch(0));
    cluster.ended(&outcome());
    cluster.partials(PeerIndex::new(0), duty, 2, Duration::from_millis(100));
    cluster.partials(PeerIndex::new(1), duty, 1, Duration::from_millis(400));
    cluster.slot(Slot(40), Epoch(1));
    let text = telemetry.encode();
    for (peer, seen) in [("red-fox", 2.0), ("blue-owl", 1.0), ("grey-cat", 0.0)] {
        // The comma keeps `cluster_peer` out.
        let peer = format!(r#",peer="{peer}""#);
        let labels = [peer.as_str(), r#"duty="attester""#];
        assert_eq!(
            value(&text, "core_tracker_participation_success_total", &labels),
            seen
        );
        assert_eq!(
            value(&text, "core_tracker_participation_missed_total", &labels),
            2.0 - seen
        );
    }
    assert_eq!(
        value(&text, "core_parsigdb_store_sum", &[r#"peer_idx="1""#]),
        0.4
    );
}

#[test]
fn peer_that_changes_its_version_leaves_one_series() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    for version in ["v1.7.0", "v1.7.1"] {
        let info = PeerInfo {
            version: version.to_owned(),
            git_hash: "abcdef1".to_owned(),
            started_at: Some(1_700_000_000),
            clock_offset_seconds: -0.25,
            builder_api: false,
            nickname: "owl".to_owned(),
            client: String::new(),
            supported: true,
        };
        cluster.peer_info(PeerIndex::new(1), &info);
    }
    let text = telemetry.encode();
    assert_eq!(
        value(&text, "app_peerinfo_version", &[r#"peer="blue-owl""#]),
        1.0
    );
    assert_eq!(
        value(&text, "app_peerinfo_version", &[r#"version="v1.7.1""#]),
        1.0
    );
    assert_eq!(
        value(&text, "app_peerinfo_dv_client", &[r#"dv_client="charon""#]),
        1.0
    );
    assert_eq!(
        value(&text, "app_peerinfo_clock_offset_seconds", &[]),
        -0.25
    );
}

#[test]
fn traffic_totals_never_count_twice() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    for sent in [10, 30, 30] {
        cluster.traffic(PeerIndex::new(2), "qbft", Traffic { sent, received: 1 });
    }
    let text = telemetry.encode();
    assert_eq!(
        value(
            &text,
            "p2p_peer_network_sent_bytes_total",
            &[r#"peer="grey-cat""#]
        ),
        30.0
    );
}
