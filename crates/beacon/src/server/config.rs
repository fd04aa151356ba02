//! What a server is told at its start.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use flotilla_types::Chain;

/// Certificate chain and private key, both in PEM.
#[derive(Clone)]
pub struct Tls {
    /// The chain, the server's own certificate first.
    pub certificates: Vec<u8>,
    /// The key.
    pub key: Vec<u8>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certificates = self.certificates.len();
        write!(f, "Tls({certificates} bytes of certificates, a key)")
    }
}

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// From a request's head to its answer; later it is 408. Events and long downloads go on beyond.
    pub deadline: Duration,
    /// For sending a request's head, from its first byte on, and from connecting on for the first.
    pub header: Duration,
    /// How long a connection may stay open between requests.
    pub keep_alive: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// Without a byte of a forwarded answer, except of events.
    pub idle: Duration,
    /// How long a client may take nothing of an answer.
    pub stall: Duration,
    /// Connections at a time; more are closed at once.
    pub connections: usize,
    /// Requests at a time; more are answered with 503.
    pub requests: usize,
    /// Requests with a large body, or one of unknown size, at a time; more are answered with 503.
    pub large_bodies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            header: Duration::from_secs(1),
            keep_alive: Duration::from_secs(120),
            handshake: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            connections: 1024,
            requests: 512,
            large_bodies: 8,
        }
    }
}

/// A server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub address: SocketAddr,
    /// Serves TLS instead of plain HTTP.
    pub tls: Option<Tls>,
    /// What `node/version` answers. Clients recognise a distributed validator by the word `charon` in it, and without it
    /// insist that a block carries the randao reveal they sent (spec 30 §3.4).
    pub version: String,
    /// The chain.
    pub chain: Arc<Chain>,
    /// Bounds.
    pub limits: Limits,
}

impl Config {
    /// How long a request waits for the validators' indices: a slot, and well within the deadline.
    pub(super) fn roster_wait(&self) -> Duration {
        self.chain
            .spec
            .slot_duration
            .min(self.limits.deadline.mul_f64(0.8))
    }

    /// How long selections are waited for: what is complete by then can still be answered within the deadline.
    pub(super) fn selection_wait(&self) -> Duration {
        self.limits.deadline.mul_f64(0.9)
    }
}
