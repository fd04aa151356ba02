//! Logs and metrics, drawn from outcomes and from a few observers in one place.
//!
//! Nothing else in the node touches a counter: the shell hands over each [`Outcome`] and what it sees of peers, beacon nodes and
//! the database, and this module knows the names. They are those operators' dashboards and alerts have already (spec 30 §8.4), and
//! `flotilla_*` for what only we measure. Metric families are registered once per process; each cluster adds its own labels.

mod labels;
mod metrics;
mod participation;
mod process;
mod reasons;
mod report;
pub(crate) mod stages;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flotilla_beacon::server::Served;
use flotilla_duty::Outcome;
use flotilla_duty::guard::Verdict;
use flotilla_duty::io::Rejected;
use flotilla_types::{Duty, DutyKind, Epoch, PeerIndex, Slot, Timestamp};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use crate::monitoring::Readiness;
use crate::slashing;
use labels::{Labels, Shared};
use metrics::Metrics;
use participation::Participation;

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

/// What a peer says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// Its version.
    pub version: String,
    /// Seven hex digits, or `unknown`.
    pub git_hash: String,
    /// When it started, Unix seconds.
    pub started_at: Option<u64>,
    /// Its clock minus ours, in seconds.
    pub clock_offset_seconds: f64,
    /// Whether it uses external block builders.
    pub builder_api: bool,
    /// What its operator calls it.
    pub nickname: String,
    /// Its software; empty means Charon.
    pub client: String,
    /// Whether its version works with ours.
    pub supported: bool,
}

/// What has passed between us and one peer since start, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the peer.
    pub sent: u64,
    /// From the peer.
    pub received: u64,
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
}

impl ClusterTelemetry {
    fn labels<const N: usize>(&self, own: [(&'static str, &str); N]) -> Labels {
        Labels::new(&self.shared, own)
    }

    fn introduce(&self, size: ClusterSize, started: Timestamp) {
        let (metrics, names) = (&self.metrics, &self.names);
        let set = |family: &metrics::Gauges, labels: Labels, value: f64| {
            family.get_or_create(&labels).set(value);
        };
        set(
            &metrics.app_version,
            self.labels([("version", &names.version)]),
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
        report::log_ended(&self.names, outcome);
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
        let verdict = match verdict {
            Verdict::Fits => "fits",
            Verdict::Conflicts => "conflicts",
            Verdict::Unknown => "unknown",
            Verdict::Silent => "silent",
        };
        let labels = self.labels([("duty", duty.kind.name()), ("verdict", verdict)]);
        self.metrics.examined.get_or_create(&labels).inc();
    }

    /// A validator client's request was answered.
    pub fn client_request(&self, request: &Served<'_>) {
        let endpoint = request.endpoint;
        let labels = self.labels([
            ("endpoint", endpoint),
            ("content_type", request.content_type.unwrap_or_default()),
        ]);
        self.metrics.client_requests.get_or_create(&labels).inc();
        self.metrics
            .client_latency
            .get_or_create(&self.labels([("endpoint", endpoint)]))
            .observe(request.latency.as_secs_f64());
        if !request.status.is_success() {
            let status = request.status.as_u16().to_string();
            let labels = self.labels([("endpoint", endpoint), ("status_code", &status)]);
            self.metrics.client_errors.get_or_create(&labels).inc();
        }
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
        for settled in self.book().settle(slot) {
            for index in 0..self.names.peers.len() {
                let peer = self.peer_name(PeerIndex::new(index));
                let labels = self.labels([("duty", settled.duty.kind.name()), ("peer", &peer)]);
                let (expected, seen) = (settled.expected as u64, settled.seen_of(index) as u64);
                self.metrics
                    .participation
                    .get_or_create(&labels)
                    .set(f64::from(u8::from(seen > 0)));
                self.metrics
                    .participation_expected
                    .get_or_create(&labels)
                    .inc_by(expected);
                self.metrics
                    .participation_success
                    .get_or_create(&labels)
                    .inc_by(seen);
                self.metrics
                    .participation_total
                    .get_or_create(&labels)
                    .inc_by(seen);
                self.metrics
                    .participation_missed
                    .get_or_create(&labels)
                    .inc_by(expected - seen);
            }
        }
    }

    /// Partial signatures for a duty are here, from a peer or from ourselves, `since_due` after the duty's due point.
    pub fn partials(&self, peer: PeerIndex, duty: Duty, validators: usize, since_due: Duration) {
        let index = peer.get().to_string();
        let labels = self.labels([("duty", duty.kind.name()), ("peer_idx", &index)]);
        self.metrics
            .parsigdb_store
            .get_or_create(&labels)
            .observe(since_due.as_secs_f64());
        self.book().seen(duty, peer.get(), validators);
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
        metrics::raise(&self.metrics.dropped, &labels, total);
    }

    /// A duty moved to another round of agreement.
    pub fn round_changed(&self, duty: Duty, round: u64, leader: PeerIndex) {
        self.metrics
            .round_changes
            .get_or_create(&self.labels([("duty", duty.kind.name())]))
            .inc();
        let leader = self.peer_name(leader);
        tracing::info!(cluster = self.names.hash, %duty, round, leader, "agreement goes to another round");
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

    /// A peer's connection, by kind; both false when it is gone. `total` counts connections since start.
    pub fn connections(&self, peer: PeerIndex, direct: bool, relayed: bool, total: u64) {
        let name = self.peer_name(peer);
        for (kind, is_open) in [("direct", direct), ("relay", relayed)] {
            let labels = self.labels([("peer", &name), ("type", kind), ("protocol", "tcp")]);
            self.metrics
                .connection_types
                .get_or_create(&labels)
                .set(f64::from(u8::from(is_open)));
        }
        let labels = self.labels([("peer", &name)]);
        metrics::raise(&self.metrics.connections, &labels, total);
    }

    /// A ping was answered.
    pub fn ping(&self, peer: PeerIndex, round_trip: Duration) {
        let name = self.peer_name(peer);
        let labels = self.labels([("peer", &name)]);
        self.metrics.ping_success.get_or_create(&labels).set(1.0);
        self.metrics
            .ping_latency
            .get_or_create(&labels)
            .observe(round_trip.as_secs_f64());
    }

    /// Pings that failed since start, and whether the peer can be pinged at all now.
    pub fn ping_failures(&self, peer: PeerIndex, total: u64, is_connected: bool) {
        let name = self.peer_name(peer);
        let labels = self.labels([("peer", &name)]);
        metrics::raise(&self.metrics.ping_errors, &labels, total);
        if !is_connected {
            self.metrics.ping_success.get_or_create(&labels).set(0.0);
        }
    }

    /// Bytes exchanged with a peer over one protocol since start; totals, not differences.
    pub fn traffic(&self, peer: PeerIndex, protocol: &str, traffic: Traffic) {
        let name = self.peer_name(peer);
        let labels = self.labels([
            ("peer", &name),
            ("protocol", protocol),
            ("transport", "tcp"),
        ]);
        metrics::raise(&self.metrics.sent_bytes, &labels, traffic.sent);
        metrics::raise(&self.metrics.received_bytes, &labels, traffic.received);
    }

    /// What a peer has said about itself.
    pub fn peer_info(&self, peer: PeerIndex, info: &PeerInfo) {
        let name = self.peer_name(peer);
        let metrics = &self.metrics;
        let flag = |value: bool| f64::from(u8::from(value));
        let client = if info.client.is_empty() {
            "charon"
        } else {
            &info.client
        };
        // A peer that changed its version, name or software leaves no second series behind.
        for (family, label, value) in [
            (&metrics.peerinfo_version, "version", info.version.as_str()),
            (
                &metrics.peerinfo_git_commit,
                "git_hash",
                info.git_hash.as_str(),
            ),
            (
                &metrics.peerinfo_nickname,
                "peer_nickname",
                info.nickname.as_str(),
            ),
            (&metrics.peerinfo_client, "dv_client", client),
        ] {
            family.replace(
                self.labels([("peer", &name)]),
                self.labels([("peer", &name), (label, value)]),
            );
        }
        let labels = self.labels([("peer", &name)]);
        metrics
            .peerinfo_clock_offset
            .get_or_create(&labels)
            .set(info.clock_offset_seconds);
        metrics
            .peerinfo_builder_api
            .get_or_create(&labels)
            .set(flag(info.builder_api));
        metrics
            .peerinfo_supported
            .get_or_create(&labels)
            .set(flag(info.supported));
        if let Some(started) = info.started_at {
            metrics
                .peerinfo_start_time
                .get_or_create(&labels)
                .set(started as f64);
        }
    }

    /// A request to a beacon node has ended: `address` is one of those configured, `endpoint` one of a few fixed names.
    pub fn beacon_request(
        &self,
        address: &str,
        endpoint: &'static str,
        took: Duration,
        succeeded: bool,
    ) {
        let labels = self.labels([("addr", address), ("endpoint", endpoint)]);
        self.metrics
            .beacon_latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if !succeeded {
            self.metrics.beacon_errors.get_or_create(&labels).inc();
        }
        let labels = self.labels([("endpoint", endpoint)]);
        self.metrics.eth2_requests.get_or_create(&labels).inc();
        self.metrics
            .eth2_latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if !succeeded {
            self.metrics.eth2_errors.get_or_create(&labels).inc();
        }
    }

    /// Builder registrations were handed to the beacon node.
    pub fn registrations(&self, taken: bool) {
        let labels = self.labels([]);
        self.metrics.registrations.get_or_create(&labels).inc();
        if !taken {
            self.metrics
                .registration_errors
                .get_or_create(&labels)
                .inc();
        }
    }

    /// How many peers the beacon node has.
    pub fn beacon_peers(&self, peers: u64) {
        self.metrics
            .beacon_peers
            .get_or_create(&self.labels([]))
            .set(peers as f64);
    }

    /// The head event of `slot` came this long after its start.
    pub fn beacon_head(&self, address: &str, slot: Slot, delay: Duration) {
        let labels = self.labels([("addr", address)]);
        self.metrics
            .sse_head_slot
            .get_or_create(&labels)
            .set(slot.0 as f64);
        self.metrics
            .sse_head_delay
            .get_or_create(&labels)
            .observe(delay.as_secs_f64());
    }

    /// Whether the node is ready.
    pub fn readiness(&self, readiness: Readiness) {
        self.metrics
            .readyz
            .get_or_create(&self.labels([]))
            .set(f64::from(readiness.code()));
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Participation> {
        self.participation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
