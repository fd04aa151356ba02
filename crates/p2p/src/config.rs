//! What a network is started with.

use std::{collections::BTreeMap, fmt, time::Duration};

use libp2p::Multiaddr;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{PeerKey, Protocol};

/// Identity, peers and addresses of one cluster's network.
#[derive(Clone)]
pub struct Config {
    /// This node's secp256k1 secret, the key of its ENR.
    pub identity: Zeroizing<[u8; 32]>,
    /// The keys of all operators in the order of the lock, this node's included.
    pub peers: Vec<PeerKey>,
    /// This node's place in `peers`.
    pub me: usize,
    /// Where to accept connections (`/ip4/…/tcp/…`). Empty: this node only dials.
    pub listen: Vec<Multiaddr>,
    /// Where peers can be dialled, by index. A peer without an address has to dial us.
    pub addresses: BTreeMap<usize, Vec<Multiaddr>>,
    /// Addresses to advertise beside the listening ones.
    pub external: Vec<Multiaddr>,
    /// What identify tells peers about this software; at most a few dozen characters.
    pub agent_version: String,
    /// The protocols answered here. Streams of others are refused in negotiation.
    pub protocols: Vec<Protocol>,
    /// Bounds and times.
    pub limits: Limits,
    /// Stops the network when cancelled.
    pub cancellation: CancellationToken,
}

impl Config {
    /// A network of `peers` without any address, serving consensus, partial signatures and peer
    /// info.
    pub fn new(identity: Zeroizing<[u8; 32]>, peers: Vec<PeerKey>, me: usize) -> Self {
        Self {
            identity,
            peers,
            me,
            listen: Vec::new(),
            addresses: BTreeMap::new(),
            external: Vec::new(),
            agent_version: concat!("flotilla/", env!("CARGO_PKG_VERSION")).to_owned(),
            protocols: vec![
                Protocol::Qbft,
                Protocol::PartialSignatures,
                Protocol::PeerInfo,
            ],
            limits: Limits::default(),
            cancellation: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("identity", &"redacted")
            .field("me", &self.me)
            .field("peers", &self.peers.len())
            .field("listen", &self.listen)
            .field("addresses", &self.addresses)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds on memory, streams and time. The defaults fit a cluster of up to a few dozen nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages waiting for one peer; at the bound the oldest is dropped and counted.
    pub queue_messages: usize,
    /// Bytes waiting for one peer, likewise. A single message of any size is always taken.
    pub queue_bytes: usize,
    /// Streams that this node has open at once towards one peer.
    pub streams_out: usize,
    /// Streams of one connection that may wait to be read; further ones are reset and counted.
    pub streams_in: usize,
    /// Bytes received from one peer that are in memory and not yet taken by the consumer. At the
    /// bound its streams wait. At least the largest frame limit, 32 MiB.
    pub inbound_bytes: usize,
    /// Events waiting for the consumer.
    pub events: usize,
    /// Time to open a stream.
    pub open_timeout: Duration,
    /// Time to send a message and see the stream closed (spec 20 §2.2).
    pub send_timeout: Duration,
    /// Time for a frame to arrive after its stream was accepted, and for a request to be answered.
    pub receive_timeout: Duration,
    /// Time between pings on a connection.
    pub ping_interval: Duration,
    /// A connection on which no ping came back for this long is closed. Less than `send_timeout`,
    /// so that messages to a peer that stopped wait for the next connection instead of failing.
    pub dead_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            queue_messages: 4096,
            queue_bytes: 40 * MIB,
            streams_out: 128,
            streams_in: 1024,
            inbound_bytes: 64 * MIB,
            events: 1024,
            open_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(7),
            receive_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(2),
            dead_after: Duration::from_secs(6),
        }
    }
}
