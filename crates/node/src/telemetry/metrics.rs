//! Every metric with its name, labels and meaning: names and buckets of spec 30 §8.4, and our own under `flotilla_`.
//!
//! `docs/metrics.md` is made from this table: see [`reference`](super::reference).

use prometheus_client::registry::Registry;

use super::families::{Buckets, Counters, Gauges, Histograms, Info, Table};

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
const BLOCK: Buckets = Buckets(&[
    0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 10.0, 12.0,
]);
const PROCESSING: Buckets = Buckets(&[
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 4.0,
]);
/// In slots.
const DEPTH: Buckets = Buckets(&[1.0, 2.0, 4.0, 6.0, 8.0, 16.0]);
/// Our own stages: fine where a healthy cluster lives, and up to a slot.
const STAGE: Buckets = Buckets(&[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 12.0,
]);
const SYNC: Buckets = Buckets(&[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
]);

/// What the reference says of a metric.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its name in the registry; counters gain `_total` when scraped.
    pub name: &'static str,
    /// `counter`, `gauge`, `info` (a gauge that is always 1) or `histogram`.
    pub kind: &'static str,
    /// Its own labels, beside those of the cluster.
    pub labels: &'static [&'static str],
    /// Its meaning.
    pub help: &'static str,
}

/// Metrics of one subject.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The subject.
    pub title: &'static str,
    /// Its metrics, in the order of this file.
    pub metrics: &'static [Description],
}

macro_rules! metrics {
    ($($title:literal {
        $($field:ident: $kind:ident $method:ident($name:literal, [$($label:literal),*], $help:literal $(, $buckets:expr)?);)*
    })*) => {
        /// All families.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[doc = $help] pub $field: $kind,)*)*
        }

        impl Metrics {
            /// Registers all of them, in the order of this file.
            pub fn register(registry: &mut Registry) -> Self {
                let mut table = Table(registry);
                Self { $($($field: table.$method($name, $help $(, $buckets)?),)*)* }
            }
        }

        /// The table in words.
        pub const SECTIONS: &[Section] = &[$(Section {
            title: $title,
            metrics: &[$(Description {
                name: $name,
                kind: stringify!($method),
                labels: &[$($label),*],
                help: $help,
            },)*],
        },)*];
    };
}

metrics! {
    "Node" {
        app_version: Gauges gauge("app_version", ["version"], "1 for the running version");
        git_commit: Gauges gauge("app_git_commit", ["git_hash"], "1 for the commit it was built from");
        feature_flags: Gauges gauge("app_feature_flags", ["feature_flags"], "1 for the list of features that differ from the default");
        app_peer_name: Gauges gauge("app_peer_name", ["peer_name"], "1 for this node's name");
        app_start_time: Gauges gauge("app_start_time_secs", [], "Start of the process, Unix seconds");
        readyz: Gauges gauge("app_monitoring_readyz", [], "1 ready, other numbers as for /readyz");
        health_checks: Gauges gauge("app_health_checks", ["severity", "name", "description"], "1 while the check fails");
        health_failed: Counters counter("app_health_checks_failed", ["severity", "name", "description"], "Looks at which the check failed");
        cluster_network: Gauges gauge("cluster_network", ["network"], "1 for the cluster's network");
        cluster_operators: Gauges gauge("cluster_operators", [], "Operators in the cluster");
        cluster_threshold: Gauges gauge("cluster_threshold", [], "Shares that make a signature");
        cluster_validators: Gauges gauge("cluster_validators", [], "Validators in the cluster");
    }

    "Beacon nodes" {
        beacon_peers: Gauges gauge("app_beacon_node_peers", [], "Peers of the beacon node, counted once a minute");
        beacon_version: Info info("app_beacon_node_version", ["version", "beacon_id"], "1 for the version of the beacon node that was asked");
        sse_head_slot: Gauges gauge("app_beacon_node_sse_head_slot", ["addr"], "Slot of the last head event");
        sse_head_delay: Histograms histogram("app_beacon_node_sse_head_delay", ["addr"], "Seconds from the slot's start to its head event", HEAD);
        sse_block: Histograms histogram("app_beacon_node_sse_block", ["addr"], "Seconds from the slot's start to the event of its block's import", BLOCK);
        sse_block_gossip: Histograms histogram("app_beacon_node_sse_block_gossip", ["addr"], "Seconds from the slot's start to the event of its block's arrival", BLOCK);
        sse_block_processing: Histograms histogram("app_beacon_node_sse_block_processing_time", ["addr"], "Seconds from a block's arrival to its being the head", PROCESSING);
        sse_reorg_depth: Histograms histogram("app_beacon_node_sse_chain_reorg_depth", ["addr"], "Depth of reorganisations, in slots", DEPTH);
        using_fallback: Gauges gauge("app_eth2_using_fallback", [], "1 while no primary beacon node is healthy and a fallback is");
        cache_hits: Counters counter("app_cache_hits", ["endpoint"], "Answers from the caches of validators and duties");
        cache_misses: Counters counter("app_cache_misses", ["endpoint"], "Questions that these caches could not answer");
        cache_invalidated: Counters counter("app_cache_invalidated_reorg", ["endpoint"], "Entries of these caches that a moved head made stale");
        eth2_requests: Counters counter("app_eth2_requests", ["endpoint"], "Requests to beacon nodes; the process's, shown with every cluster");
        eth2_errors: Counters counter("app_eth2_errors", ["endpoint"], "Those that failed");
        eth2_latency: Histograms histogram("app_eth2_latency_seconds", ["endpoint"], "Their duration", AGREEMENT);
        beacon_latency: Histograms histogram("flotilla_beacon_node_latency_seconds", ["addr", "endpoint"], "Duration of requests to each beacon node", AGREEMENT);
        beacon_errors: Counters counter("flotilla_beacon_node_errors", ["addr", "endpoint"], "Failed requests to each beacon node");
        beacon_healthy: Gauges gauge("flotilla_beacon_node_healthy", ["addr"], "1 while the beacon node answers and is in sync on our chain");
        registrations: Counters counter("core_scheduler_submit_registration", [], "Handovers of builder registrations to the beacon node");
        registration_errors: Counters counter("core_scheduler_submit_registration_errors", [], "Those that no beacon node took");
    }

    "Peers" {
        peerinfo_index: Gauges gauge("app_peerinfo_index", ["peer"], "Index of the peer");
        peerinfo_version: Info info("app_peerinfo_version", ["peer", "version"], "1 for the peer's version; asked ten seconds after start, then every minute");
        peerinfo_git_commit: Info info("app_peerinfo_git_commit", ["peer", "git_hash"], "1 for the peer's commit");
        peerinfo_nickname: Info info("app_peerinfo_nickname", ["peer", "peer_nickname"], "1 for the peer's nickname");
        peerinfo_client: Info info("app_peerinfo_dv_client", ["peer", "dv_client"], "1 for the peer's software");
        peerinfo_start_time: Gauges gauge("app_peerinfo_start_time_secs", ["peer"], "Start of the peer, Unix seconds");
        peerinfo_clock_offset: Gauges gauge("app_peerinfo_clock_offset_seconds", ["peer"], "The peer's clock minus ours");
        peerinfo_builder_api: Gauges gauge("app_peerinfo_builder_api_enabled", ["peer"], "1 if the peer uses external block builders");
        peerinfo_supported: Gauges gauge("app_peerinfo_version_support", ["peer"], "1 if the peer's version works with ours");
        connections: Counters counter("p2p_peer_connection", ["peer"], "Connections made with the peer since start");
        connection_types: Gauges gauge("p2p_peer_connection_types", ["peer", "type", "protocol"], "1 while a connection of the type is open");
        streams: Gauges gauge("p2p_peer_streams", ["peer", "direction", "protocol", "transport"], "Open streams with the peer; not told apart by protocol");
        sent_bytes: Counters counter("p2p_peer_network_sent_bytes", ["peer", "protocol", "transport"], "Bytes of messages to the peer");
        received_bytes: Counters counter("p2p_peer_network_receive_bytes", ["peer", "protocol", "transport"], "Bytes of messages from the peer");
        ping_success: Gauges gauge("p2p_ping_success", ["peer"], "1 if the last ping was answered");
        ping_errors: Counters counter("p2p_ping_error", ["peer"], "Pings without answer since start");
        ping_latency: Histograms histogram("p2p_ping_latency_secs", ["peer"], "Round trip to the peer", DEFAULT);
        rejected: Counters counter("flotilla_rejected_messages", ["peer", "reason"], "Messages of the peer that were dropped");
        dropped: Counters counter("flotilla_dropped_messages", ["queue"], "Messages to peers that were never delivered: pushed out of a full queue, or failed twice");
    }

    "Duties" {
        scheduled: Counters counter("core_scheduler_duty", ["duty"], "Duties of single validators for which data was fetched; repeated fetches count again");
        current_slot: Gauges gauge("core_scheduler_current_slot", [], "The current slot");
        current_epoch: Gauges gauge("core_scheduler_current_epoch", [], "The current epoch");
        skipped_slots: Counters counter("core_scheduler_skipped_slots", [], "Slots whose beginning this process slept through");
        validators_active: Gauges gauge("core_scheduler_validators_active", [], "Validators of the cluster that are active");
        validator_balance: Gauges gauge("core_scheduler_validator_balance_gwei", ["pubkey_full", "pubkey"], "Balance, once an epoch");
        validator_status: Gauges gauge("core_scheduler_validator_status", ["pubkey_full", "pubkey", "status"], "1 for the validator's status, 0 for those before");
        proposal_blinded: Gauges gauge("core_fetcher_proposal_blinded", [], "Of the last block that our beacon node gave: 1 a builder's, 2 its own");
        proposal_recipient: Gauges gauge("core_fetcher_proposal_local_mismatch_fee_recipient", [], "Of the last block of its own that our beacon node gave: 1 pays the configured fee recipient, 2 somebody else");
        consensus_duration: Histograms histogram("core_consensus_duration_seconds", ["protocol", "duty", "timer"], "Seconds from our data, else the due point, to the decision", AGREEMENT);
        consensus_rounds: Gauges gauge("core_consensus_decided_rounds", ["protocol", "duty", "timer"], "Round of the last decision");
        consensus_leader: Gauges gauge("core_consensus_decided_leader_index", ["protocol", "duty"], "Leader of the last decision");
        consensus_timeout: Counters counter("core_consensus_timeout", ["protocol", "duty", "timer"], "Duties without agreement at their deadline");
        parsigdb_store: Histograms histogram("core_parsigdb_store", ["duty", "peer_idx"], "Seconds to a peer's partial signatures, from the slot's start or one or two thirds into it", PARTIALS);
        parsigdb_exits: Counters counter("core_parsigdb_exit", ["pubkey"], "Partial signatures of exits that came in");
        sigagg: Histograms histogram("core_sigagg_slot_aggregation_seconds", ["duty"], "Seconds from the last validator's threshold-th partial to the last group signature", WORK);
        bcast_delay: Histograms histogram("core_bcast_broadcast_delay_seconds", ["duty"], "Seconds from the due point to the beacon node's answer", SUBMISSION);
        bcast_total: Counters counter("core_bcast_broadcast", ["duty"], "Duties brought to the beacon node");
        stage: Histograms histogram("flotilla_duty_stage_seconds", ["duty", "stage"], "Seconds from the due point to fetched, agreed, record, signed, quorum, aggregated, submitted; the last three per validator", STAGE);
        validator_duties: Counters counter("flotilla_validator_duties", ["duty", "fate"], "Duties of single validators: submitted or missed");
        missed: Counters counter("flotilla_duty_missed", ["duty", "step", "reason"], "Missed duties of single validators");
        duty_late: Counters counter("flotilla_duty_late", ["duty"], "Duties not complete when the next slot began");
        slowest: Counters counter("flotilla_duty_slow", ["duty", "step"], "Duties that were submitted after half of their useful time, by the step that cost the most");
        round_changes: Counters counter("flotilla_round_changes", ["duty"], "Rounds of agreement after the first");
        examined: Counters counter("flotilla_chain_guard", ["duty", "verdict"], "Values that build on another chain than our beacon nodes gave, by what these know of it");
    }

    "Tracker" {
        expected: Counters counter("core_tracker_expect_duties", ["duty"], "Duties that ended");
        succeeded: Counters counter("core_tracker_success_duties", ["duty"], "Duties that were submitted for any of their validators");
        failed: Counters counter("core_tracker_failed_duties", ["duty"], "Duties that were submitted for none");
        failed_reasons: Counters counter("core_tracker_failed_duty_reasons", ["duty", "reason"], "Duties that were submitted for none, by Charon's codes");
        participation: Gauges gauge("core_tracker_participation", ["duty", "peer"], "1 if the peer signed anything of the last settled duty; duties settle after 16 slots");
        participation_expected: Counters counter("core_tracker_participation_expected", ["duty", "peer"], "Partial signatures expected from the peer, one per validator");
        participation_success: Counters counter("core_tracker_participation_success", ["duty", "peer"], "Partial signatures that came from the peer");
        participation_total: Counters counter("core_tracker_participation", ["duty", "peer"], "The same under its old name");
        participation_missed: Counters counter("core_tracker_participation_missed", ["duty", "peer"], "Partial signatures that did not come from the peer");
        unexpected: Counters counter("core_tracker_unexpected_events", ["peer"], "Duties that the peer signed and that were not ours to expect");
        inconsistent: Counters counter("core_tracker_inconsistent_parsigs", ["duty"], "Duties for which peers signed different roots");
        cohort_rank: Counters counter("core_tracker_parsig_cohort_rank", ["duty", "peer_idx", "rank"], "Sync committee messages of the peer, by how common their head was: rank 0 is the majority's");
        attestation_expect: Counters counter("core_tracker_attestation_expect", [], "Attestations of single validators whose fate on the chain is known");
        attestation_success: Counters counter("core_tracker_attestation_success", [], "Those that were included in time");
        inclusion_missed: Counters counter("core_tracker_inclusion_missed", ["duty"], "Submitted blocks, and attestations, that are not on the chain");
        votes: Counters counter("flotilla_attestation_votes", ["vote", "result"], "Votes of included attestations for source, target and head: rewarded, or unrewarded since wrong or late");
        heads: Counters counter("flotilla_attested_heads", ["result"], "Heads that validators attested to, by what beacon nodes told of the chain since: correct, wrong, unknown");
        blocks: Counters counter("flotilla_blocks", ["fate"], "Submitted blocks a few slots later: included, missed, unknown");
    }

    "Validator API" {
        api_requests: Counters counter("core_validatorapi_request", ["endpoint", "content_type"], "Requests of validator clients, by the answer's content type");
        api_errors: Counters counter("core_validatorapi_request_error", ["endpoint", "status_code"], "Those that were answered with an error");
        api_latency: Histograms histogram("core_validatorapi_request_latency_seconds", ["endpoint"], "Seconds from a request's head to the last byte of its answer", DEFAULT);
        api_proxy_latency: Histograms histogram("core_validatorapi_proxy_request_latency_seconds", ["path"], "The same for requests that were passed on to a beacon node", DEFAULT);
        api_user_agent: Info info("core_validatorapi_vc_user_agent", ["user_agent"], "1 for the validator client that called last");
        api_refused: Counters counter("flotilla_validator_api_refused_connections", [], "Connections closed unheard, because there were as many as there may be");
    }

    "Safety" {
        slashing_sync: Histograms histogram("flotilla_slashing_sync_seconds", [], "Duration of a transaction of the slashing database, sync included", SYNC);
        slashing_failing: Gauges gauge("flotilla_slashing_failing", [], "1 while the slashing database cannot be written and nothing is signed");
        slashing_embargo: Gauges gauge("flotilla_slashing_embargo_epoch", [], "Nothing with a target up to this epoch is signed (S4); stays shown when it is past, absent if there never was one");
        paused: Gauges gauge("flotilla_paused", [], "1 while signing is stopped by the operator (S11)");
        unknown_fork: Gauges gauge("flotilla_unknown_fork_epoch", [], "From this epoch on nothing is signed, since this version does not know the fork (S11); absent without one");
        vote_log: Gauges gauge("flotilla_vote_log_bytes", [], "Size of votes/ (S3)");
        clock_steps: Counters counter("flotilla_clock_steps", [], "Steps of the wall clock (S6); the node stops after one");
    }
}
