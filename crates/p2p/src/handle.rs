//! The caller's end of a network.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Limits, PeerStats, Protocol, RequestError, Style, outbox::Outgoing, peer::PeerTable};

/// Sends messages and requests, and reads the network's state. Clones share one network, which
/// stops when the last of them is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    peers: Arc<PeerTable>,
    own: PeerId,
    listening: Arc<Listening>,
    request_timeout: Duration,
    stopped: CancellationToken,
    _stop_when_dropped: Arc<DropGuard>,
}

/// The addresses that this node is reachable at, as the task learns them.
#[derive(Debug, Default)]
pub(crate) struct Listening(RwLock<Vec<Multiaddr>>);

impl Listening {
    pub(crate) fn set(&self, addresses: Vec<Multiaddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn read(&self) -> Vec<Multiaddr> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Handle {
    pub(crate) fn new(
        peers: Arc<PeerTable>,
        own: PeerId,
        listening: Arc<Listening>,
        limits: &Limits,
        stop: CancellationToken,
    ) -> Self {
        Self {
            peers,
            own,
            listening,
            request_timeout: limits.open_timeout + limits.send_timeout,
            stopped: stop.clone(),
            _stop_when_dropped: Arc::new(stop.drop_guard()),
        }
    }

    /// Queues a message for a peer; never waits. It is sent when there is a connection, and is
    /// dropped and counted when it has become the oldest of a full queue or failed twice.
    /// Messages may arrive in any order, and after a lost connection one may arrive twice.
    ///
    /// A message that no peer would take (an index outside the cluster or this node's own, or
    /// more bytes than [`Protocol::limit`]) is left out with a warning.
    pub fn send(&self, peer: usize, protocol: Protocol, bytes: Bytes) {
        let Some(target) = self.peers.get(peer) else {
            tracing::warn!(peer, "there is no such peer to send to");
            return;
        };
        let outgoing = Outgoing {
            protocol,
            bytes,
            attempts: 0,
            reply: None,
        };
        if outgoing.bytes.len() > protocol.limit() {
            let length = outgoing.bytes.len();
            tracing::warn!(
                peer,
                length,
                protocol = protocol.id(),
                "message is too long"
            );
            target.count_dropped(&[outgoing]);
            return;
        }
        target.send(outgoing);
    }

    /// Asks a peer and waits for its response.
    ///
    /// # Errors
    ///
    /// At once when the peer is not connected or cannot be asked so; otherwise as the exchange
    /// goes, at the latest after the times of [`Limits`] to open and to send.
    pub async fn request(
        &self,
        peer: usize,
        protocol: Protocol,
        bytes: Bytes,
    ) -> Result<Bytes, RequestError> {
        let target = self
            .peers
            .get(peer)
            .ok_or(RequestError::UnknownPeer { peer })?;
        if protocol.style() != Style::RequestResponse {
            return Err(RequestError::NotARequest { id: protocol.id() });
        }
        if bytes.len() > protocol.limit() {
            return Err(RequestError::TooLong {
                length: bytes.len(),
                limit: protocol.limit(),
            });
        }
        if self.stopped.is_cancelled() {
            return Err(RequestError::Stopped);
        }
        if !target.is_connected() {
            return Err(RequestError::NotConnected { peer });
        }
        let (reply, response) = oneshot::channel();
        target.send(Outgoing {
            protocol,
            bytes,
            attempts: 0,
            reply: Some(reply),
        });
        tokio::select! {
            response = timeout(self.request_timeout, response) => match response {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => Err(RequestError::ConnectionLost),
                Err(_) => Err(RequestError::Timeout(self.request_timeout)),
            },
            () = self.stopped.cancelled() => Err(RequestError::Stopped),
        }
    }

    /// The addresses listened on, with the ports that the system chose. Addresses of a wildcard
    /// (`0.0.0.0`) appear one by one shortly after the start.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listening.read()
    }

    /// This node's ID.
    pub fn peer_id(&self) -> PeerId {
        self.own
    }

    /// The ID of the peer at an index; `None` outside the cluster and for this node.
    pub fn id_of(&self, peer: usize) -> Option<PeerId> {
        self.peers.get(peer).map(|peer| peer.id)
    }

    /// Peers that are connected now, by index.
    pub fn connected(&self) -> Vec<usize> {
        let connected = self.peers.iter().filter(|peer| peer.is_connected());
        connected.map(|peer| peer.index).collect()
    }

    /// The state of all peers, by index; this node is left out.
    pub fn stats(&self) -> Vec<PeerStats> {
        self.peers.iter().map(|peer| peer.stats()).collect()
    }

    /// Stops the network: connections are closed and [`crate::Events`] ends.
    pub fn stop(&self) {
        self.stopped.cancel();
    }
}
