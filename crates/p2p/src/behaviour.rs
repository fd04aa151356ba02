//! Who is let in, which connections stand, who is dialled.
//!
//! Why it exists: the swarm asks a behaviour to admit each connection right after its handshake
//! and tells it of every change. This one admits the cluster's peers and nobody else (spec 20
//! §1.5), keeps the list of connections and runs the dialling schedule. It must not know streams.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{ConnectedPoint, Endpoint, transport::PortUse},
    swarm::{
        ConnectionClosed, ConnectionDenied, ConnectionId, DialFailure, FromSwarm, NetworkBehaviour,
        THandlerInEvent, ToSwarm,
        behaviour::ConnectionEstablished,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::time::{Instant, Sleep};

use crate::{
    Path,
    connection::{Handler, Shared},
    dialler::Schedule,
    peer::{Link, Peer, PeerTable},
};

/// The first connection to a peer stands, or the last is gone.
#[derive(Debug)]
pub(crate) enum Change {
    Connected {
        peer: usize,
        path: Path,
        address: Multiaddr,
    },
    Disconnected {
        peer: usize,
    },
}

/// A connection was refused because its other end is not of this cluster.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a peer of this cluster")]
struct Stranger(PeerId);

/// See the module.
pub(crate) struct Behaviour {
    peers: Arc<PeerTable>,
    shared: Shared,
    addresses: BTreeMap<usize, Vec<Multiaddr>>,
    schedule: Schedule,
    /// Wakes the task for the next dial.
    alarm: Pin<Box<Sleep>>,
    /// At most one entry for each connection that opened or closed since the last poll.
    changes: VecDeque<Change>,
}

impl Behaviour {
    pub(crate) fn new(
        own: PeerId,
        peers: Arc<PeerTable>,
        shared: Shared,
        addresses: BTreeMap<usize, Vec<Multiaddr>>,
    ) -> Self {
        let now = Instant::now();
        let mut schedule = Schedule::new(peers.len());
        for peer in peers.iter() {
            if addresses
                .get(&peer.index)
                .is_some_and(|list| !list.is_empty())
            {
                let yields = own.to_bytes() > peer.id.to_bytes();
                schedule.add(peer.index, yields, now);
            }
        }
        Self {
            peers,
            shared,
            addresses,
            schedule,
            alarm: Box::pin(tokio::time::sleep_until(now)),
            changes: VecDeque::new(),
        }
    }

    fn admit(&self, id: ConnectionId, peer: PeerId) -> Result<Handler, ConnectionDenied> {
        let Some(peer) = self.peers.find(&peer) else {
            tracing::debug!(%peer, "connection of a stranger refused");
            return Err(ConnectionDenied::new(Stranger(peer)));
        };
        Ok(Handler::new(id, Arc::clone(peer), self.shared.clone()))
    }

    fn on_established(&mut self, established: &ConnectionEstablished<'_>) {
        let Some(peer) = self.peers.find(&established.peer_id) else {
            return;
        };
        let address = established.endpoint.get_remote_address().clone();
        let path = Path::of(&address);
        let now = Instant::now();
        peer.link_up(Link {
            id: established.connection_id,
            path,
            dialled: matches!(established.endpoint, ConnectedPoint::Dialer { .. }),
            address: address.clone(),
            heard: now,
        });
        if established.other_established == 0 {
            self.schedule.connected(peer.index, now);
            self.changes.push_back(Change::Connected {
                peer: peer.index,
                path,
                address,
            });
        }
    }

    fn on_closed(&mut self, closed: &ConnectionClosed<'_>) {
        let Some(peer) = self.peers.find(&closed.peer_id) else {
            return;
        };
        if peer.link_down(closed.connection_id) {
            self.schedule
                .lost(peer.index, Instant::now(), rand::random());
            self.changes
                .push_back(Change::Disconnected { peer: peer.index });
        }
    }

    fn on_dial_failure(&mut self, failure: &DialFailure<'_>) {
        let Some(peer) = failure.peer_id.and_then(|id| self.peers.find(&id)) else {
            return;
        };
        peer.counters.dial_failures.fetch_add(1, Relaxed);
        tracing::debug!(peer = peer.index, error = %failure.error, "dial failed");
        self.schedule
            .failed(peer.index, Instant::now(), rand::random());
    }

    fn dial(&self, peer: &Peer) -> DialOpts {
        let addresses = self.addresses.get(&peer.index).cloned().unwrap_or_default();
        DialOpts::peer_id(peer.id)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(addresses)
            // From the listening port, a quick reconnect would meet the old connection's remains
            // in the kernel. Hole punching will need the opposite.
            .allocate_new_port()
            .build()
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>) -> Poll<DialOpts> {
        loop {
            if let Some(index) = self.schedule.due(Instant::now()) {
                if let Some(peer) = self.peers.get(index) {
                    return Poll::Ready(self.dial(peer));
                }
                continue;
            }
            let Some(next) = self.schedule.next() else {
                return Poll::Pending;
            };
            self.alarm.as_mut().reset(next);
            if self.alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Change;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.admit(id, peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        self.admit(id, peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.on_established(&established),
            FromSwarm::ConnectionClosed(closed) => self.on_closed(&closed),
            FromSwarm::DialFailure(failure) => self.on_dial_failure(&failure),
            // Addresses and listeners are the network's task's concern.
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: Infallible) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Change, THandlerInEvent<Self>>> {
        if let Some(change) = self.changes.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(change));
        }
        self.poll_dial(cx).map(|opts| ToSwarm::Dial { opts })
    }
}
