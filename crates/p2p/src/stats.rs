//! Counters of each peer, and the picture of them for metrics.
//!
//! Why it exists: operators' dashboards know these figures under the field's names
//! (`p2p_peer_network_sent_bytes_total` and its family, spec 30 §8.4); naming them is the node's
//! work, counting them is done here, without locks.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use libp2p::Multiaddr;

use crate::{Fault, Path, Protocol};

/// Messages and bytes of one protocol in one direction, frames' prefixes not included. Requests
/// and responses count as messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whole messages.
    pub messages: u64,
    /// Their content in bytes.
    pub bytes: u64,
}

/// A connection that stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Direct or through a relay.
    pub path: Path,
    /// Whether this node dialled it.
    pub dialled: bool,
    /// The other end's address.
    pub address: Multiaddr,
    /// Whether messages leave on this one.
    pub preferred: bool,
}

/// What is known of one peer at one moment. Counters run from the start of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// The peer's index in the cluster.
    pub peer: usize,
    /// Connections that stand now.
    pub connections: Vec<ConnectionStats>,
    /// Connections ever made.
    pub connections_total: u64,
    /// Attempts to dial that failed.
    pub dial_failures: u64,
    /// The latest ping's round trip.
    pub rtt: Option<Duration>,
    /// Pings that came back.
    pub pings: u64,
    /// Pings that failed.
    pub ping_failures: u64,
    /// What was sent and seen through to the end of the stream.
    pub sent: BTreeMap<Protocol, Traffic>,
    /// What was received whole.
    pub received: BTreeMap<Protocol, Traffic>,
    /// Messages that were never delivered: pushed out of the full queue, or failed twice.
    pub dropped: u64,
    /// Messages that were tried a second time.
    pub retried: u64,
    /// Messages of a protocol that the peer does not speak.
    pub unsupported: u64,
    /// Frames over the limit.
    pub oversized: u64,
    /// Frames that were truncated, badly prefixed or too slow, and streams over the bound.
    pub malformed: u64,
    /// Messages that wait now.
    pub queued_messages: usize,
    /// Their bytes.
    pub queued_bytes: usize,
    /// Streams that this node has open to the peer now.
    pub streams_out: u64,
    /// Streams of the peer that are being read or answered now.
    pub streams_in: u64,
}

#[derive(Debug, Default)]
struct TrafficCounter {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl TrafficCounter {
    fn add(&self, bytes: usize) {
        self.messages.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    fn read(&self) -> Traffic {
        Traffic {
            messages: self.messages.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
        }
    }
}

/// The running counters of one peer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sent: [TrafficCounter; Protocol::ALL.len()],
    received: [TrafficCounter; Protocol::ALL.len()],
    pub(crate) connections_total: AtomicU64,
    pub(crate) dial_failures: AtomicU64,
    rtt_nanos: AtomicU64,
    pings: AtomicU64,
    pub(crate) ping_failures: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) retried: AtomicU64,
    pub(crate) unsupported: AtomicU64,
    oversized: AtomicU64,
    malformed: AtomicU64,
    pub(crate) streams_out: Gauge,
    pub(crate) streams_in: Gauge,
}

impl Counters {
    pub(crate) fn sent(&self, protocol: Protocol, bytes: usize) {
        self.sent[protocol.position()].add(bytes);
    }

    pub(crate) fn received(&self, protocol: Protocol, bytes: usize) {
        self.received[protocol.position()].add(bytes);
    }

    pub(crate) fn ping(&self, rtt: Duration) {
        self.pings.fetch_add(1, Relaxed);
        let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        self.rtt_nanos.store(nanos, Relaxed);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        let counter = match fault {
            Fault::Oversized { .. } => &self.oversized,
            Fault::Truncated { .. } | Fault::BadLength | Fault::TooSlow | Fault::TooManyStreams => {
                &self.malformed
            }
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Fills in what the counters know.
    pub(crate) fn read(&self, stats: &mut PeerStats) {
        let table = |counters: &[TrafficCounter; Protocol::ALL.len()]| {
            let rows = Protocol::ALL.iter().zip(counters);
            rows.map(|(protocol, counter)| (*protocol, counter.read()))
                .collect()
        };
        stats.sent = table(&self.sent);
        stats.received = table(&self.received);
        stats.connections_total = self.connections_total.load(Relaxed);
        stats.dial_failures = self.dial_failures.load(Relaxed);
        stats.pings = self.pings.load(Relaxed);
        stats.rtt = (stats.pings > 0).then(|| Duration::from_nanos(self.rtt_nanos.load(Relaxed)));
        stats.ping_failures = self.ping_failures.load(Relaxed);
        stats.dropped = self.dropped.load(Relaxed);
        stats.retried = self.retried.load(Relaxed);
        stats.unsupported = self.unsupported.load(Relaxed);
        stats.oversized = self.oversized.load(Relaxed);
        stats.malformed = self.malformed.load(Relaxed);
        stats.streams_out = self.streams_out.read();
        stats.streams_in = self.streams_in.read();
    }
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Relaxed);
    }

    fn read(&self) -> u64 {
        u64::try_from(self.0.load(Relaxed)).unwrap_or(0)
    }
}
