//! What can go wrong, as facts with the next step where there is one.

use std::time::Duration;

use libp2p::Multiaddr;

/// Why a network did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identity is not a secp256k1 scalar.
    #[error("the identity key is not a valid secp256k1 secret key")]
    Identity,
    /// A peer's key is not a point of the curve.
    #[error("the key of peer {peer} is not a valid compressed secp256k1 public key")]
    PeerKey {
        /// Index of the peer in the cluster.
        peer: usize,
    },
    /// Two operators have one key.
    #[error("peers {first} and {second} have the same key")]
    DuplicatePeer {
        /// The lower index.
        first: usize,
        /// The higher index.
        second: usize,
    },
    /// The identity belongs to nobody, or to another operator of the cluster.
    #[error(
        "the identity key is not that of peer {me}; use the key whose ENR is in the cluster's lock"
    )]
    NotMe {
        /// The index given as our own.
        me: usize,
    },
    /// An address is given for a peer that the cluster does not have.
    #[error("an address is given for peer {peer}, but the cluster has peers 0 to {last}")]
    UnknownPeer {
        /// The index given.
        peer: usize,
        /// The highest index of the cluster.
        last: usize,
    },
    /// An address names another peer than the one it is given for.
    #[error("address {address} of peer {peer} names another peer ID than the cluster's {expected}")]
    AddressOfAnother {
        /// Index of the peer.
        peer: usize,
        /// The address as given.
        address: Multiaddr,
        /// The ID that the cluster has for this index.
        expected: libp2p::PeerId,
    },
    /// A port is taken.
    #[error(
        "cannot listen on {address}: another process uses this port; stop it or choose another port"
    )]
    PortInUse {
        /// The address as given.
        address: Multiaddr,
    },
    /// An address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address as given.
        address: Multiaddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Noise, Yamux or name resolution could not be set up.
    #[error("cannot set up the transport: {0}")]
    Transport(#[source] std::io::Error),
}

/// Why a request has no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The cluster has no such peer, or it is this node itself.
    #[error("there is no peer {peer} to ask")]
    UnknownPeer {
        /// The index given.
        peer: usize,
    },
    /// There is no connection to the peer now.
    #[error("peer {peer} is not connected")]
    NotConnected {
        /// Index of the peer.
        peer: usize,
    },
    /// The protocol has no responses, or this network does not serve it.
    #[error("{id} is not a protocol to ask with")]
    NotARequest {
        /// Name of the protocol.
        id: &'static str,
    },
    /// The request is longer than the protocol allows.
    #[error("the request has {length} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the request in bytes.
        length: usize,
        /// The protocol's limit in bytes.
        limit: usize,
    },
    /// The peer does not speak the protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The peer closed the stream without an answer: its handler failed.
    #[error("the peer closed the stream without a response")]
    NoResponse,
    /// The response broke the framing rules.
    #[error("the response is malformed: {0}")]
    Malformed(crate::Fault),
    /// The connection went away, or the request was pushed out of a full queue.
    #[error("the connection was lost before the response came")]
    ConnectionLost,
    /// Nothing came in time.
    #[error("no response within {}", humantime(.0))]
    Timeout(Duration),
    /// The network has been stopped.
    #[error("the network is stopped")]
    Stopped,
}

fn humantime(duration: &Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
