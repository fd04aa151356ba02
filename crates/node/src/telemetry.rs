//! Logs and metrics, drawn from outcomes and from a few observers in one place.
//!
//! Nothing else in the node touches a counter: the shell hands over each [`Outcome`] and what it sees of peers, beacon nodes and
//! the database, and this module knows the names. They are those operators' dashboards and alerts have already (spec 30 §8.4), and
//! `flotilla_*` for what only we measure. Metric families are registered once per process; each cluster adds its own labels.

mod api;
mod beacon;
mod chain;
mod counts;
mod families;
mod health;
mod labels;
mod log_lines;
mod metrics;
mod participation;
mod peers;
mod process;
mod reasons;
pub mod reference;
mod report;
mod seen;
pub(crate) mod slow;
pub(crate) mod stages;
mod tally;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flotilla_duty::Outcome;
use flotilla_duty::guard::Verdict;
use flotilla_duty::io::{HANDLED_KINDS, PartialSet, Rejected};
use flotilla_types::{Chain, Duty, DutyKind, Epoch, PeerIndex, Slot, Timestamp};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use api::ApiObserver;
pub use counts::{Counts, Timing};
pub use log_lines::log_line;
pub use peers::{PeerInfo, Traffic};
pub use tally::{Ends, KindEnds};

use crate::monitoring::Readiness;
use crate::slashing;
use labels::{Labels, Shared};
use metrics::Metrics;
use participation::{Participation, Settled};
use seen::Seen;

/// The agreement protocol's name in metrics.
const PROTOCOL: &str = "/charon/consensus/qbft/2.0.0";

/// The metrics of a process. Clones are the same metrics.
#[derive(Clone)]
pub struct Telemetry {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
}

/// What tells a cluster's series apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNames {
    /// First 7 hex digits of the lock hash.
    pub hash: String,
    /// The cluster's name, as in its definition.
    pub name: String,
    /// Its network.
    pub network: String,
    /// Our own name among the peers.
    pub peer: String,
    /// What the operator calls this node; may be empty.
    pub nickname: String,
    /// The version that we tell peers and dashboards.
    pub version: String,
    /// All peers' names, by index.
    pub peers: Vec<String>,
    /// Name of the round timer in force.
    pub timer: &'static str,
}

/// The unchanging facts of a cluster's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterSize {
    /// Operators.
    pub operators: usize,
    /// Shares that make a signature.
    pub threshold: usize,
    /// Validators.
    pub validators: usize,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Registers every metric.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let metrics = Arc::new(Metrics::register(&mut registry));
        registry.register_collector(Box::new(process::ProcessCollector));
        registry.register_collector(Box::new(log_lines::LogCollector));
        Self {
            registry: Arc::new(registry),
            metrics,
        }
    }

    /// The metrics of one cluster.
    pub fn cluster(
        &self,
        names: ClusterNames,
        size: ClusterSize,
        started: Timestamp,
    ) -> ClusterTelemetry {
        let shared: Shared = Arc::from([
            ("cluster_hash", names.hash.clone()),
            ("cluster_name", names.name.clone()),
            ("cluster_network", names.network.clone()),
            ("cluster_peer", names.peer.clone()),
            ("nickname", names.nickname.clone()),
            ("charon_version", names.version.clone()),
        ]);
        let cluster = ClusterTelemetry {
            metrics: Arc::clone(&self.metrics),
            shared,
            participation: Arc::new(Mutex::new(Participation::default())),
            seen: Arc::default(),
            names: Arc::new(names),
        };
        cluster.introduce(size, started);
        cluster
    }

    /// All series in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// The metrics and logs of one cluster. Clones are the same cluster.
#[derive(Clone)]
pub struct ClusterTelemetry {
    metrics: Arc<Metrics>,
    shared: Shared,
    names: Arc<ClusterNames>,
    participation: Arc<Mutex<Participation>>,
    seen: Arc<Mutex<Seen>>,
}

impl ClusterTelemetry {
    fn labels<const N: usize>(&self, own: [(&'static str, &str); N]) -> Labels {
        Labels::new(&self.shared, own)
    }

    fn introduce(&self, size: ClusterSize, started: Timestamp) {
        let (metrics, names) = (&self.metrics, &self.names);
        let set = |family: &families::Gauges, labels: Labels, value: f64| {
            family.get_or_create(&labels).set(value);
        };
        set(
            &metrics.app_version,
            self.labels([("version", &names.version)]),
            1.0,
        );
        let commit = option_env!("FLOTILLA_GIT_COMMIT").unwrap_or("unknown");
        set(
            &metrics.git_commit,
            self.labels([("git_hash", commit)]),
            1.0,
        );
        // There are no features to switch on or off yet.
        set(
            &metrics.feature_flags,
            self.labels([("feature_flags", "")]),
            1.0,
        );
        set(
            &metrics.app_peer_name,
            self.labels([("peer_name", &names.peer)]),
            1.0,
        );
        set(
            &metrics.app_start_time,
            self.labels([]),
            started.as_secs() as f64,
        );
        set(
            &metrics.cluster_network,
            self.labels([("network", &names.network)]),
            1.0,
        );
        set(
            &metrics.cluster_operators,
            self.labels([]),
            size.operators as f64,
        );
        set(
            &metrics.cluster_threshold,
            self.labels([]),
            size.threshold as f64,
        );
        set(
            &metrics.cluster_validators,
            self.labels([]),
            size.validators as f64,
        );
        for (index, peer) in names.peers.iter().enumerate() {
            set(
                &metrics.peerinfo_index,
                self.labels([("peer", peer)]),
                index as f64,
            );
        }
        self.begin_participation();
    }

    /// Counters of participation begin at 0, so that the first miss is an increase.
    fn begin_participation(&self) {
        for kind in HANDLED_KINDS {
            for peer in &self.names.peers {
                let labels = self.labels([("duty", kind.name()), ("peer", peer)]);
                for family in [
                    &self.metrics.participation_expected,
                    &self.metrics.participation_success,
                    &self.metrics.participation_total,
                    &self.metrics.participation_missed,
                ] {
                    drop(family.get_or_create(&labels));
                }
            }
        }
    }

    /// What the node learns of the chain before any duty: how long its slots last, and whether a fork comes that this version
    /// does not know (S11).
    pub fn chain(&self, chain: &Chain) {
        self.seen().timing = Some((chain.spec.slot_duration, chain.spec.slots_per_epoch));
        if let Some(epoch) = chain.spec.forks.unknown_after() {
            self.metrics
                .unknown_fork
                .get_or_create(&self.labels([]))
                .set(epoch.0 as f64);
        }
    }

    /// How duties ended in this epoch and the one before, by kind.
    pub fn ends(&self) -> BTreeMap<&'static str, KindEnds> {
        self.seen().tally.by_kind()
    }

    /// A peer's name, or its index if it has none.
    fn peer_name(&self, peer: PeerIndex) -> String {
        self.names
            .peers
            .get(peer.get())
            .cloned()
            .unwrap_or_else(|| peer.get().to_string())
    }

    /// A duty has ended: the counters, and one line in the log per distinct fate.
    pub fn ended(&self, outcome: &Outcome) {
        report::count(&self.metrics, &self.shared, &self.names, outcome);
        let timing = self.seen().timing;
        let slow = timing.and_then(|(slot, _)| slow::of(outcome, slot));
        if let Some(slow) = &slow {
            let labels = self.labels([
                ("duty", outcome.duty.kind.name()),
                ("step", slow.step.name()),
            ]);
            self.metrics.slowest.get_or_create(&labels).inc();
        }
        {
            let mut seen = self.seen();
            seen.without_quorum += u64::from(report::is_without_quorum(outcome));
            if let Some((_, slots_per_epoch)) = timing {
                let epoch = tally::epoch_of(outcome.duty, slots_per_epoch);
                seen.tally.ended(epoch, outcome);
            }
        }
        report::log_ended(&self.names, outcome, slow);
        self.book().ended(outcome.duty, outcome.items.len());
    }

    /// A duty has not been completed within its slot.
    pub fn late(&self, outcome: &Outcome) {
        let labels = self.labels([("duty", outcome.duty.kind.name())]);
        self.metrics.duty_late.get_or_create(&labels).inc();
        report::log_late(&self.names, outcome);
    }

    /// The beacon node assigned `count` duties of a kind to validators of this cluster.
    pub fn scheduled(&self, kind: DutyKind, count: usize) {
        self.metrics
            .scheduled
            .get_or_create(&self.labels([("duty", kind.name())]))
            .inc_by(count as u64);
    }

    /// The own beacon nodes were asked about the chain of a value that was not theirs.
    pub fn examined(&self, duty: Duty, verdict: Verdict) {
        if verdict == Verdict::Conflicts {
            self.seen().chain_conflicts += 1;
        }
        let verdict = match verdict {
            Verdict::Fits => "fits",
            Verdict::Conflicts => "conflicts",
            Verdict::Unknown => "unknown",
            Verdict::Silent => "silent",
        };
        let labels = self.labels([("duty", duty.kind.name()), ("verdict", verdict)]);
        self.metrics.examined.get_or_create(&labels).inc();
    }

    /// A slot has begun. Participation in duties that are long over is settled here.
    pub fn slot(&self, slot: Slot, epoch: Epoch) {
        self.metrics
            .current_slot
            .get_or_create(&self.labels([]))
            .set(slot.0 as f64);
        self.metrics
            .current_epoch
            .get_or_create(&self.labels([]))
            .set(epoch.0 as f64);
        let skipped = self.seen().begin(slot);
        self.metrics
            .skipped_slots
            .get_or_create(&self.labels([]))
            .inc_by(skipped);
        let settled = self.book().settle(slot);
        settled.iter().for_each(|settled| self.settled(settled));
    }

    fn settled(&self, settled: &Settled) {
        let duty = settled.duty.kind.name();
        let Some(expected) = settled.expected else {
            for peer in settled.signers() {
                let peer = self.peer_name(PeerIndex::new(peer));
                let labels = self.labels([("peer", &peer)]);
                self.metrics.unexpected.get_or_create(&labels).inc();
            }
            return;
        };
        for index in 0..self.names.peers.len() {
            self.participated(duty, index, expected as u64, settled.seen_of(index) as u64);
        }
        if settled.differs {
            let labels = self.labels([("duty", duty)]);
            self.metrics.inconsistent.get_or_create(&labels).inc();
        }
        for (rank, cohort) in settled.cohorts.iter().enumerate() {
            for peer in cohort {
                let (peer, rank) = (peer.to_string(), rank.to_string());
                let labels = self.labels([("duty", duty), ("peer_idx", &peer), ("rank", &rank)]);
                self.metrics.cohort_rank.get_or_create(&labels).inc();
            }
        }
    }

    fn participated(&self, duty: &str, index: usize, expected: u64, seen: u64) {
        let peer = self.peer_name(PeerIndex::new(index));
        let labels = self.labels([("duty", duty), ("peer", &peer)]);
        let metrics = &self.metrics;
        families::flag(&metrics.participation, &labels, seen > 0);
        for (family, count) in [
            (&metrics.participation_expected, expected),
            (&metrics.participation_success, seen),
            (&metrics.participation_total, seen),
            (&metrics.participation_missed, expected - seen),
        ] {
            family.get_or_create(&labels).inc_by(count);
        }
    }

    /// Partial signatures are here, from a peer or from ourselves, `after_offset` after the point in the slot from which
    /// the field measures their kind ([`Chain::timer_start`](flotilla_types::Chain::timer_start)).
    pub fn partials(&self, peer: PeerIndex, set: &PartialSet, after_offset: Duration) {
        let duty = set.duty;
        let index = peer.get().to_string();
        let labels = self.labels([("duty", duty.kind.name()), ("peer_idx", &index)]);
        self.metrics
            .parsigdb_store
            .get_or_create(&labels)
            .observe(after_offset.as_secs_f64());
        if duty.kind == DutyKind::Exit {
            for validator in set.items.keys() {
                let name = beacon::short_name(validator);
                let labels = self.labels([("pubkey", &name)]);
                self.metrics.parsigdb_exits.get_or_create(&labels).inc();
            }
        }
        self.book().seen(peer.get(), set);
    }

    /// Something of a peer was dropped.
    pub fn rejected(&self, peer: PeerIndex, duty: Duty, reason: Rejected) {
        let name = self.peer_name(peer);
        let labels = self.labels([("peer", &name), ("reason", reasons::rejected(reason))]);
        self.metrics.rejected.get_or_create(&labels).inc();
        tracing::debug!(cluster = self.names.hash, %duty, peer = name, %reason, "dropped a peer's message");
    }

    /// A message of a peer could not be decoded, or its signature does not hold: `reason` is a short word.
    pub fn malformed(&self, peer: PeerIndex, reason: &'static str) {
        let name = self.peer_name(peer);
        self.metrics
            .rejected
            .get_or_create(&self.labels([("peer", &name), ("reason", reason)]))
            .inc();
    }

    /// Messages that a bounded queue has pushed out since start; `queue` is its name.
    pub fn dropped(&self, queue: &'static str, total: u64) {
        let labels = self.labels([("queue", queue)]);
        families::raise(&self.metrics.dropped, &labels, total);
    }

    /// A duty moved to another round of agreement.
    pub fn round_changed(&self, duty: Duty, round: u64, leader: PeerIndex) {
        self.metrics
            .round_changes
            .get_or_create(&self.labels([("duty", duty.kind.name())]))
            .inc();
        let leader = self.peer_name(leader);
        let cluster = self.names.hash.as_str();
        // Agreements of other kinds may go on for long without harm.
        if matches!(duty.kind, DutyKind::Proposer | DutyKind::Attester) {
            tracing::info!(cluster, %duty, round, leader, "agreement goes to another round");
        } else {
            tracing::debug!(cluster, %duty, round, leader, "agreement goes to another round");
        }
    }

    /// A transaction of the slashing database took this long.
    pub fn slashing_sync(&self, duration: Duration) {
        self.metrics
            .slashing_sync
            .get_or_create(&self.labels([]))
            .observe(duration.as_secs_f64());
    }

    /// The state of the slashing database, and the epoch up to which nothing is signed, if any.
    pub fn slashing(&self, status: &slashing::Status, embargo: Option<Epoch>) {
        let failing = f64::from(u8::from(status.failing.is_some()));
        self.metrics
            .slashing_failing
            .get_or_create(&self.labels([]))
            .set(failing);
        if let Some(epoch) = embargo {
            self.metrics
                .slashing_embargo
                .get_or_create(&self.labels([]))
                .set(epoch.0 as f64);
        }
    }

    /// Whether signing is stopped.
    pub fn paused(&self, paused: bool) {
        self.metrics
            .paused
            .get_or_create(&self.labels([]))
            .set(f64::from(u8::from(paused)));
    }

    /// Size of the vote log in bytes.
    pub fn vote_log(&self, bytes: u64) {
        self.metrics
            .vote_log
            .get_or_create(&self.labels([]))
            .set(bytes as f64);
    }

    /// The wall clock has stepped (S6).
    pub fn clock_stepped(&self) {
        self.metrics
            .clock_steps
            .get_or_create(&self.labels([]))
            .inc();
    }

    /// Whether the node is ready.
    pub fn readiness(&self, readiness: Readiness) {
        self.metrics
            .readyz
            .get_or_create(&self.labels([]))
            .set(f64::from(readiness.code()));
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Participation> {
        self.participation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
