#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use flotilla_beacon::client::{EndpointStatus, Event, Validator, ValidatorStatus};
use flotilla_beacon::server::{Observer as _, Served};
use flotilla_duty::io::{Item, Stages};
use flotilla_duty::outcome::{Fate, ItemOutcome, Reason, Step};
use flotilla_types::{Chain, ChainSpec, ForkVersion, PublicKeyBytes, Root, ValidatorIndex};

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
    let partials = |validators| participation::tests::set(duty, validators, 9);
    cluster.partials(PeerIndex::new(0), &partials(2), Duration::from_millis(100));
    cluster.partials(PeerIndex::new(1), &partials(1), Duration::from_millis(400));
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

fn chain() -> Chain {
    chain_of(Duration::from_secs(12))
}

/// Genesis at 1000 s.
fn chain_of(slot: Duration) -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(slot, 32, ForkVersion([1, 0, 0, 0])),
        genesis_time: Timestamp::from_secs(1000),
        genesis_validators_root: Root([1; 32]),
    }
}

#[test]
fn events_of_beacon_nodes_are_timed_from_their_slot() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    let (slot, block) = (Slot(5), Root([1; 32]));
    let head = Event::Head {
        slot,
        block,
        previous_duty_dependent_root: Root::default(),
        current_duty_dependent_root: Root::default(),
    };
    for (event, millis) in [
        (Event::BlockGossip { slot, block }, 1_500),
        (Event::Block { slot, block }, 1_750),
        (head, 2_000),
    ] {
        let now = Timestamp::from_millis(1_060_000 + millis);
        cluster.beacon_event("http://one", &event, &chain(), now);
    }
    let text = telemetry.encode();
    let addr = [r#"addr="http://one""#];
    for (name, seconds) in [
        ("app_beacon_node_sse_block_gossip_sum", 1.5),
        ("app_beacon_node_sse_block_sum", 1.75),
        ("app_beacon_node_sse_head_delay_sum", 2.0),
        ("app_beacon_node_sse_block_processing_time_sum", 0.5),
    ] {
        assert_eq!(value(&text, name, &addr), seconds, "{name}");
    }
    assert_eq!(cluster.counts().heads, 1);
}

#[test]
fn fallbacks_serve_when_no_primary_is_healthy() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    let endpoint = |is_fallback: bool, healthy: bool| EndpointStatus {
        endpoint: format!("http://{is_fallback}"),
        healthy,
        is_fallback,
        head_slot: None,
        sync_distance: None,
        other_chain: false,
    };
    for (primary, fallback, expected) in
        [(true, true, 0.0), (false, true, 1.0), (false, false, 0.0)]
    {
        cluster.beacon_nodes(&[endpoint(false, primary), endpoint(true, fallback)]);
        let text = telemetry.encode();
        assert_eq!(value(&text, "app_eth2_using_fallback", &[]), expected);
    }
}

#[test]
fn a_validators_earlier_status_stays_at_zero() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    let mut validator = Validator {
        index: ValidatorIndex(7),
        pubkey: PublicKeyBytes([0xab; 48]),
        status: ValidatorStatus::PendingQueued,
        balance_gwei: 32_000_000_000,
        activation_epoch: Epoch(9),
        exit_epoch: Epoch::FAR_FUTURE,
    };
    cluster.validators(&[validator.clone()], Epoch(1));
    assert_eq!(cluster.counts().pending_validators, 1);
    validator.status = ValidatorStatus::ActiveOngoing;
    cluster.validators(&[validator], Epoch(9));
    let text = telemetry.encode();
    let of = |status: &str| value(&text, "core_scheduler_validator_status", &[status]);
    assert_eq!(of(r#"status="pending_queued""#), 0.0);
    assert_eq!(of(r#"status="active_ongoing""#), 1.0);
    assert_eq!(value(&text, "core_scheduler_validators_active", &[]), 1.0);
    let short = r#"pubkey="abababa""#;
    assert_eq!(
        value(&text, "core_scheduler_validator_balance_gwei", &[short]),
        32e9
    );
}

#[test]
fn requests_of_validator_clients_are_counted_with_their_client() {
    let telemetry = Telemetry::new();
    let observer = cluster(&telemetry, "abcdef0").api_observer();
    for (agent, status) in [("teku/25", 200_u16), ("lodestar/1", 404)] {
        observer.served(&Served {
            endpoint: "proxy",
            path: Some("eth_v1_node_peers_{peer_id}"),
            status: status.try_into().unwrap(),
            latency: Duration::from_millis(250),
            content_type: Some("application/json; charset=utf-8"),
            user_agent: Some(agent),
        });
    }
    observer.connection_refused();
    let text = telemetry.encode();
    let json = [r#"endpoint="proxy""#, r#"content_type="application/json""#];
    assert_eq!(value(&text, "core_validatorapi_request_total", &json), 2.0);
    let not_found = [r#"status_code="404""#];
    let errors = value(&text, "core_validatorapi_request_error_total", &not_found);
    assert_eq!(errors, 1.0);
    let path = [r#"path="eth_v1_node_peers_{peer_id}""#];
    let name = "core_validatorapi_proxy_request_latency_seconds_sum";
    assert_eq!(value(&text, name, &path), 0.5);
    // The latest one only.
    let agent = [r#"user_agent="lodestar/1""#];
    assert_eq!(value(&text, "core_validatorapi_vc_user_agent", &[]), 1.0);
    assert_eq!(value(&text, "core_validatorapi_vc_user_agent", &agent), 1.0);
}

#[test]
fn skipped_slots_and_duties_that_were_not_ours_are_counted() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    cluster.slot(Slot(5), Epoch(0));
    let duty = Duty::attester(Slot(8));
    let set = participation::tests::set(duty, 1, 9);
    cluster.partials(PeerIndex::new(2), &set, Duration::ZERO);
    cluster.slot(Slot(40), Epoch(1));
    let text = telemetry.encode();
    assert_eq!(
        value(&text, "core_scheduler_skipped_slots_total", &[]),
        34.0
    );
    let peer = [r#",peer="grey-cat""#];
    let unexpected = value(&text, "core_tracker_unexpected_events_total", &[]);
    assert_eq!(unexpected, 1.0);
    assert!(text.contains(peer[0]));
}

#[test]
fn peers_that_sign_another_head_are_counted_by_rank() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    let duty = Duty::new(Slot(5), DutyKind::SyncMessage);
    cluster.slot(Slot(5), Epoch(0));
    for (peer, root) in [(0, 9), (1, 9), (2, 3)] {
        let set = participation::tests::set(duty, 1, root);
        cluster.partials(PeerIndex::new(peer), &set, Duration::ZERO);
    }
    cluster.ended(&Outcome { duty, ..outcome() });
    cluster.slot(Slot(21), Epoch(0));
    let text = telemetry.encode();
    let name = "core_tracker_inconsistent_parsigs_total";
    assert_eq!(value(&text, name, &[r#"duty="sync_message""#]), 1.0);
    let counts = cluster.counts();
    assert_eq!(
        counts.heads_signed,
        [(0, (1, 0)), (1, (1, 0)), (2, (1, 1))].into()
    );
}

#[test]
fn a_duty_that_took_more_than_half_its_time_is_counted_by_its_slowest_step() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    // Submitted after half a second, of 0.67 s in a slot of 2 s.
    cluster.chain(&chain_of(Duration::from_secs(2)));
    cluster.ended(&outcome());
    let text = telemetry.encode();
    let step = [r#"step="submit""#, r#"duty="attester""#];
    assert_eq!(value(&text, "flotilla_duty_slow_total", &step), 1.0);
}

/// What all observers together make has the labels that the table names.
#[test]
fn every_series_has_the_labels_of_the_reference() {
    let telemetry = Telemetry::new();
    let cluster = cluster(&telemetry, "abcdef0");
    cluster.chain(&chain_of(Duration::from_secs(2)));
    cluster.ended(&outcome());
    cluster.late(&outcome());
    cluster.slot(Slot(5), Epoch(0));
    cluster.slot(Slot(40), Epoch(1));
    cluster.beacon_request("http://one", "spec", Duration::ZERO, false);
    cluster.block_fetched(false, Some(false));
    cluster.beacon_version("Lodestar/v1");
    cluster.ping(PeerIndex::new(1), Duration::ZERO);
    cluster.streams(PeerIndex::new(1), 1, 2);
    cluster.found(&crate::inclusion::Finding::Block {
        slot: Slot(3),
        validator: PublicKeyBytes([1; 48]),
        fate: crate::inclusion::Fate::Empty,
    });
    cluster.attestations(&crate::inclusion::EpochReport::default());
    let text = telemetry.encode();
    let shared: BTreeSet<&str> = cluster.shared.iter().map(|(name, _)| *name).collect();
    let metrics: Vec<_> = metrics::SECTIONS
        .iter()
        .flat_map(|section| section.metrics)
        .collect();
    let mut checked = 0;
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("process_"))
    {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let labels = rest.rsplit_once('}').unwrap().0;
        let found: BTreeSet<&str> = labels
            .split("\",")
            .filter_map(|pair| pair.split_once('='))
            .map(|(label, _)| label)
            .filter(|label| !shared.contains(label) && *label != "le")
            .collect();
        let is_it = |metric: &&&metrics::Description| {
            let scraped = reference::scraped(metric);
            let series = ["", "_bucket", "_sum", "_count"];
            let series = match metric.kind {
                "histogram" => &series[1..],
                _ => &series[..1],
            };
            series
                .iter()
                .any(|suffix| name == format!("{scraped}{suffix}"))
        };
        let metric = metrics
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        let expected: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(found, expected, "{line}");
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}
