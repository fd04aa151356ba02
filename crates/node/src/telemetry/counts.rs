//! Numbers of the metrics for those that look at their change over time.

use std::collections::BTreeMap;

use flotilla_types::DutyKind;

use super::families::{Gauges, Histograms};
use super::labels::Labels;
use super::{ClusterTelemetry, PROTOCOL};

/// How often something happened, and how long it took in all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// How often.
    pub count: u64,
    /// Seconds in all.
    pub seconds: f64,
}

impl Timing {
    /// Seconds on average; `None` if it never happened.
    pub fn average(&self) -> Option<f64> {
        (self.count > 0).then(|| self.seconds / self.count as f64)
    }

    /// What happened since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            seconds: (self.seconds - before.seconds).max(0.0),
        }
    }
}

/// What a cluster's metrics say at one moment; counters run from the start of the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Requests to beacon nodes, by name.
    pub requests: BTreeMap<&'static str, Timing>,
    /// Partial signatures of all peers, by kind of duty.
    pub partials: BTreeMap<DutyKind, Timing>,
    /// Round trips, by peer.
    pub pings: BTreeMap<usize, Timing>,
    /// Peers whose clock is known, and its offset in seconds.
    pub clock_offsets: BTreeMap<usize, f64>,
    /// Transactions of the slashing database.
    pub slashing: Timing,
    /// Registrations that no beacon node took.
    pub registration_errors: u64,
    /// Head events.
    pub heads: u64,
    /// Those that came after a third of their slot.
    pub late_heads: u64,
    /// The round that decided last, by kind of duty.
    pub rounds: BTreeMap<DutyKind, u64>,
    /// Whether the last block of our beacon node was its own and not a builder's.
    pub is_block_local: bool,
    /// Whether that block pays somebody else than configured.
    pub pays_somebody_else: bool,
    /// Agreements that heard from too few peers.
    pub without_quorum: u64,
    /// Values that conflict with the chain of our own beacon nodes.
    pub chain_conflicts: u64,
    /// Submitted blocks that are not on the chain.
    pub missed_blocks: u64,
    /// Validators that wait for their activation.
    pub pending_validators: usize,
    /// Duties with sync committee messages of each peer, and those in which its head was not the majority's.
    pub heads_signed: BTreeMap<usize, (u64, u64)>,
}

/// Kinds whose partial signatures and rounds are watched.
const WATCHED: [DutyKind; 2] = [DutyKind::Proposer, DutyKind::Attester];

impl ClusterTelemetry {
    /// The numbers now.
    pub fn counts(&self) -> Counts {
        let metrics = &self.metrics;
        let peers = 0..self.names.peers.len();
        let seen = self.seen();
        let requests = seen.requests.iter().map(|&name| {
            let labels = self.labels([("endpoint", name)]);
            (name, timing(&metrics.eth2_latency, &labels))
        });
        let pings = peers.clone().map(|peer| {
            let labels = self.labels([("peer", &self.names.peers[peer])]);
            (peer, timing(&metrics.ping_latency, &labels))
        });
        let offsets = peers.clone().filter_map(|peer| {
            let labels = self.labels([("peer", &self.names.peers[peer])]);
            Some((peer, value(&metrics.peerinfo_clock_offset, &labels)?))
        });
        let own = self.labels([]);
        Counts {
            requests: requests.collect(),
            partials: WATCHED.map(|kind| (kind, self.partials_of(kind))).into(),
            pings: pings.collect(),
            clock_offsets: offsets.collect(),
            slashing: timing(&metrics.slashing_sync, &own),
            registration_errors: metrics
                .registration_errors
                .get(&own)
                .map_or(0, |counter| counter.get()),
            heads: seen.heads,
            late_heads: seen.late_heads,
            rounds: WATCHED.map(|kind| (kind, self.round_of(kind))).into(),
            is_block_local: value(&metrics.proposal_blinded, &own) == Some(2.0),
            pays_somebody_else: value(&metrics.proposal_recipient, &own) == Some(2.0),
            without_quorum: seen.without_quorum,
            chain_conflicts: seen.chain_conflicts,
            missed_blocks: seen.missed_blocks,
            pending_validators: seen.pending_validators,
            heads_signed: peers
                .map(|peer| (peer, self.heads_signed_by(peer)))
                .collect(),
        }
    }

    fn partials_of(&self, kind: DutyKind) -> Timing {
        let mut all = Timing::default();
        for peer in 0..self.names.peers.len() {
            let peer = peer.to_string();
            let labels = self.labels([("duty", kind.name()), ("peer_idx", &peer)]);
            let of_peer = timing(&self.metrics.parsigdb_store, &labels);
            all.count += of_peer.count;
            all.seconds += of_peer.seconds;
        }
        all
    }

    fn round_of(&self, kind: DutyKind) -> u64 {
        let labels = self.labels([
            ("protocol", PROTOCOL),
            ("duty", kind.name()),
            ("timer", self.names.timer),
        ]);
        value(&self.metrics.consensus_rounds, &labels).unwrap_or_default() as u64
    }

    fn heads_signed_by(&self, peer: usize) -> (u64, u64) {
        let peer = peer.to_string();
        let of_rank = |rank: usize| {
            let rank = rank.to_string();
            let own = [
                ("duty", DutyKind::SyncMessage.name()),
                ("peer_idx", peer.as_str()),
                ("rank", rank.as_str()),
            ];
            let counter = self.metrics.cohort_rank.get(&self.labels(own));
            counter.map_or(0, |counter| counter.get())
        };
        let minority: u64 = (1..self.names.peers.len()).map(of_rank).sum();
        (of_rank(0) + minority, minority)
    }
}

fn timing(family: &Histograms, labels: &Labels) -> Timing {
    family
        .get(labels)
        .map_or_else(Timing::default, |observed| observed.total())
}

fn value(family: &Gauges, labels: &Labels) -> Option<f64> {
    family.get(labels).map(|gauge| gauge.get())
}
