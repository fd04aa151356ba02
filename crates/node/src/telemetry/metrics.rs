//! Every metric with its name and meaning: names and buckets of spec 30 §8.4, and our own under `flotilla_`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::Labels;

pub type Counters = Family<Labels, Counter>;
pub type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
pub type Histograms = Family<Labels, Histogram, Buckets>;

/// Upper bounds of a histogram's buckets, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

const DEFAULT: Buckets = Buckets(&[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
]);
const AGREEMENT: Buckets = Buckets(&[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 5.0,
]);
const PARTIALS: Buckets = Buckets(&[
    0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 5.0,
]);
const WORK: Buckets = Buckets(&[
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
]);
const SUBMISSION: Buckets = Buckets(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0]);
const HEAD: Buckets = Buckets(&[2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
/// Our own stages: fine where a healthy cluster lives, and up to a slot.
const STAGE: Buckets = Buckets(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 12.0,
]);
const SYNC: Buckets = Buckets(&[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
]);

/// A gauge that is 1 for the one value of a label that holds now.
#[derive(Debug)]
pub struct Info {
    family: Gauges,
    /// The series shown now, by the labels of its subject.
    shown: Mutex<HashMap<Labels, Labels>>,
}

impl Info {
    /// Shows `labels` for `subject`, and hides what was shown for it before.
    pub fn replace(&self, subject: Labels, labels: Labels) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // One entry per peer of a cluster, so that this stays small.
        if let Some(old) = shown.insert(subject, labels.clone())
            && old != labels
        {
            self.family.remove(&old);
        }
        self.family.get_or_create(&labels).set(1.0);
    }
}

/// Brings a counter up to a total that is counted elsewhere.
pub fn raise(family: &Counters, labels: &Labels, total: u64) {
    family
        .get_or_create(labels)
        .inner()
        .fetch_max(total, Ordering::Relaxed);
}

/// Registers families and hands them out.
struct Table<'a>(&'a mut Registry);

impl Table<'_> {
    /// `name` without `_total`, which the encoder adds.
    fn counter(&mut self, name: &str, help: &str) -> Counters {
        let family = Counters::default();
        self.0.register(name, help, family.clone());
        family
    }

    fn gauge(&mut self, name: &str, help: &str) -> Gauges {
        let family = Gauges::default();
        self.0.register(name, help, family.clone());
        family
    }

    fn info(&mut self, name: &str, help: &str) -> Info {
        Info {
            family: self.gauge(name, help),
            shown: Mutex::default(),
        }
    }

    fn histogram(&mut self, name: &str, help: &str, buckets: Buckets) -> Histograms {
        let family = Histograms::new_with_constructor(buckets);
        self.0.register(name, help, family.clone());
        family
    }
}

macro_rules! metrics {
    ($($field:ident: $kind:ident $method:ident($name:literal, $help:literal $(, $buckets:expr)?);)*) => {
        /// All families.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $kind,)*
        }

        impl Metrics {
            /// Registers all of them, in the order of this file.
            pub fn register(registry: &mut Registry) -> Self {
                let mut table = Table(registry);
                Self { $($field: table.$method($name, $help $(, $buckets)?),)* }
            }
        }
    };
}

metrics! {
    app_version: Gauges gauge("app_version", "1 for the running version");
    app_peer_name: Gauges gauge("app_peer_name", "1 for this node's name");
    app_start_time: Gauges gauge("app_start_time_secs", "Start of the process, Unix seconds");
    readyz: Gauges gauge("app_monitoring_readyz", "1 ready, other numbers as /readyz says");
    cluster_network: Gauges gauge("cluster_network", "1 for the cluster's network");
    cluster_operators: Gauges gauge("cluster_operators", "Operators in the cluster");
    cluster_threshold: Gauges gauge("cluster_threshold", "Shares that make a signature");
    cluster_validators: Gauges gauge("cluster_validators", "Validators in the cluster");

    beacon_peers: Gauges gauge("app_beacon_node_peers", "Peers of the beacon node");
    sse_head_slot: Gauges gauge("app_beacon_node_sse_head_slot", "Slot of the last head event");
    sse_head_delay: Histograms histogram("app_beacon_node_sse_head_delay", "Seconds from the slot's start to its head event", HEAD);
    beacon_latency: Histograms histogram("flotilla_beacon_node_latency_seconds", "Duration of requests to each beacon node", AGREEMENT);
    beacon_errors: Counters counter("flotilla_beacon_node_errors", "Failed requests to each beacon node");
    registrations: Counters counter("core_scheduler_submit_registration", "Handovers of builder registrations to the beacon node");
    registration_errors: Counters counter("core_scheduler_submit_registration_errors", "Those that no beacon node took");
    eth2_requests: Counters counter("app_eth2_requests", "Requests to the beacon node");
    eth2_errors: Counters counter("app_eth2_errors", "Failed requests to the beacon node");
    eth2_latency: Histograms histogram("app_eth2_latency_seconds", "Duration of requests to the beacon node", AGREEMENT);

    peerinfo_index: Gauges gauge("app_peerinfo_index", "Index of the peer");
    peerinfo_version: Info info("app_peerinfo_version", "1 for the peer's version");
    peerinfo_git_commit: Info info("app_peerinfo_git_commit", "1 for the peer's commit");
    peerinfo_nickname: Info info("app_peerinfo_nickname", "1 for the peer's nickname");
    peerinfo_client: Info info("app_peerinfo_dv_client", "1 for the peer's software");
    peerinfo_start_time: Gauges gauge("app_peerinfo_start_time_secs", "Start of the peer, Unix seconds");
    peerinfo_clock_offset: Gauges gauge("app_peerinfo_clock_offset_seconds", "The peer's clock minus ours");
    peerinfo_builder_api: Gauges gauge("app_peerinfo_builder_api_enabled", "1 if the peer uses external block builders");
    peerinfo_supported: Gauges gauge("app_peerinfo_version_support", "1 if the peer's version works with ours");

    scheduled: Counters counter("core_scheduler_duty", "Duties assigned to the cluster's validators");
    current_slot: Gauges gauge("core_scheduler_current_slot", "The current slot");
    current_epoch: Gauges gauge("core_scheduler_current_epoch", "The current epoch");
    consensus_duration: Histograms histogram("core_consensus_duration_seconds", "Seconds from the start of agreement to its decision", AGREEMENT);
    consensus_rounds: Gauges gauge("core_consensus_decided_rounds", "Round of the last decision");
    consensus_leader: Gauges gauge("core_consensus_decided_leader_index", "Leader of the last decision");
    consensus_timeout: Counters counter("core_consensus_timeout", "Duties without agreement at their deadline");
    parsigdb_store: Histograms histogram("core_parsigdb_store", "Seconds from the due point to a peer's partial signatures", PARTIALS);
    sigagg: Histograms histogram("core_sigagg_slot_aggregation_seconds", "Seconds to combine a duty's signatures", WORK);
    bcast_delay: Histograms histogram("core_bcast_broadcast_delay_seconds", "Seconds from the due point to the beacon node's answer", SUBMISSION);
    bcast_total: Counters counter("core_bcast_broadcast", "Duties brought to the beacon node");

    expected: Counters counter("core_tracker_expect_duties", "Duties that ended");
    succeeded: Counters counter("core_tracker_success_duties", "Duties that were submitted");
    failed: Counters counter("core_tracker_failed_duties", "Duties that were not submitted");
    failed_reasons: Counters counter("core_tracker_failed_duty_reasons", "Duties that were not submitted, by reason");
    participation: Gauges gauge("core_tracker_participation", "1 if the peer took part in the last settled duty");
    participation_expected: Counters counter("core_tracker_participation_expected", "Partial signatures expected from the peer");
    participation_success: Counters counter("core_tracker_participation_success", "Partial signatures that came from the peer");
    participation_total: Counters counter("core_tracker_participation", "The same under its old name");
    participation_missed: Counters counter("core_tracker_participation_missed", "Partial signatures that did not come from the peer");

    connections: Counters counter("p2p_peer_connection", "Connections made with the peer");
    connection_types: Gauges gauge("p2p_peer_connection_types", "Open connections to the peer, by type");
    sent_bytes: Counters counter("p2p_peer_network_sent_bytes", "Bytes sent to the peer");
    received_bytes: Counters counter("p2p_peer_network_receive_bytes", "Bytes received from the peer");
    ping_success: Gauges gauge("p2p_ping_success", "1 if the last ping was answered");
    ping_errors: Counters counter("p2p_ping_error", "Pings without answer");
    ping_latency: Histograms histogram("p2p_ping_latency_secs", "Round trip to the peer", DEFAULT);

    stage: Histograms histogram("flotilla_duty_stage_seconds", "Seconds from the due point to a stage of the duty", STAGE);
    validator_duties: Counters counter("flotilla_validator_duties", "Duties of single validators, by fate");
    missed: Counters counter("flotilla_duty_missed", "Missed duties of single validators, by step and reason");
    duty_late: Counters counter("flotilla_duty_late", "Duties not complete when the next slot began");
    round_changes: Counters counter("flotilla_round_changes", "Rounds of agreement after the first");
    client_requests: Counters counter("core_validatorapi_request", "Requests of validator clients");
    client_errors: Counters counter("core_validatorapi_request_error", "Requests of validator clients that were not answered well");
    client_latency: Histograms histogram("core_validatorapi_request_latency_seconds", "Duration of validator clients' requests", DEFAULT);
    examined: Counters counter("flotilla_chain_guard", "Values that build on another chain than our beacon nodes gave, by what these know of it");
    rejected: Counters counter("flotilla_rejected_messages", "Messages of peers that were dropped, by reason");
    dropped: Counters counter("flotilla_dropped_messages", "Messages dropped because a queue was full");
    slashing_sync: Histograms histogram("flotilla_slashing_sync_seconds", "Duration of a transaction of the slashing database, sync included", SYNC);
    slashing_failing: Gauges gauge("flotilla_slashing_failing", "1 while the slashing database cannot be written and nothing is signed");
    slashing_embargo: Gauges gauge("flotilla_slashing_embargo_epoch", "Last epoch of the embargo in force");
    paused: Gauges gauge("flotilla_paused", "1 while signing is stopped by the operator");
    vote_log: Gauges gauge("flotilla_vote_log_bytes", "Size of the vote log");
    clock_steps: Counters counter("flotilla_clock_steps", "Steps of the wall clock");
}
