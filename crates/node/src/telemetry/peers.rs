//! What is seen of the other members' nodes.

use std::time::Duration;

use flotilla_types::PeerIndex;

use super::ClusterTelemetry;
use super::families::{flag, raise};

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

impl ClusterTelemetry {
    /// A peer's connection, by kind; both false when it is gone. `total` counts connections since start.
    pub fn connections(&self, peer: PeerIndex, direct: bool, relayed: bool, total: u64) {
        let name = self.peer_name(peer);
        for (kind, is_open) in [("direct", direct), ("relay", relayed)] {
            let labels = self.labels([("peer", &name), ("type", kind), ("protocol", "tcp")]);
            flag(&self.metrics.connection_types, &labels, is_open);
        }
        let labels = self.labels([("peer", &name)]);
        raise(&self.metrics.connections, &labels, total);
    }

    /// Streams that are open with a peer now: those we opened, and those it did.
    pub fn streams(&self, peer: PeerIndex, outbound: u64, inbound: u64) {
        let name = self.peer_name(peer);
        for (direction, count) in [("outbound", outbound), ("inbound", inbound)] {
            let labels = self.labels([
                ("peer", &name),
                ("direction", direction),
                ("protocol", "all"),
                ("transport", "tcp"),
            ]);
            self.metrics
                .streams
                .get_or_create(&labels)
                .set(count as f64);
        }
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
        raise(&self.metrics.ping_errors, &labels, total);
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
        raise(&self.metrics.sent_bytes, &labels, traffic.sent);
        raise(&self.metrics.received_bytes, &labels, traffic.received);
    }

    /// What a peer has said about itself.
    pub fn peer_info(&self, peer: PeerIndex, info: &PeerInfo) {
        let name = self.peer_name(peer);
        let metrics = &self.metrics;
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
        flag(&metrics.peerinfo_builder_api, &labels, info.builder_api);
        flag(&metrics.peerinfo_supported, &labels, info.supported);
        if let Some(started) = info.started_at {
            metrics
                .peerinfo_start_time
                .get_or_create(&labels)
                .set(started as f64);
        }
    }
}
