//! One connection to a peer: the streams on it.
//!
//! Why it exists: the swarm runs a task per connection, and everything that concerns a stream is
//! done in that task, from the outbox to the consumer's channel. So peers do not wait for each
//! other, a burst of streams is never dropped on a hand-over, and back-pressure ends at the peer
//! that causes it. It must not know which connection is preferred or when peers are dialled.

mod inbound;
mod outbound;
mod ticket;
mod upgrade;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::swarm::{
    ConnectionHandler, ConnectionHandlerEvent, ConnectionId, StreamUpgradeError, SubstreamProtocol,
    handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};

use self::{
    ticket::Ticket,
    upgrade::{Listen, Propose},
};
use crate::{Fault, Limits, Protocol, event::EventSender, peer::Peer};

/// What handlers of all connections share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) protocols: Arc<[Protocol]>,
    pub(crate) events: EventSender,
}

/// The streams of one connection.
pub(crate) struct Handler {
    id: ConnectionId,
    peer: Arc<Peer>,
    shared: Shared,
    /// Streams asked for and not yet there.
    requested: usize,
    outbound: FuturesUnordered<BoxFuture<'static, ()>>,
    inbound: FuturesUnordered<BoxFuture<'static, ()>>,
}

impl Handler {
    pub(crate) fn new(id: ConnectionId, peer: Arc<Peer>, shared: Shared) -> Self {
        Self {
            id,
            peer,
            shared,
            requested: 0,
            outbound: FuturesUnordered::new(),
            inbound: FuturesUnordered::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.requested + self.outbound.len() < self.shared.limits.streams_out
    }

    fn on_opened(&mut self, stream: libp2p::Stream, ticket: Ticket) {
        self.requested -= 1;
        let budget = self.shared.limits.send_timeout;
        self.outbound
            .push(Box::pin(outbound::send(stream, ticket, budget)));
    }

    fn on_not_opened(&mut self, error: &StreamUpgradeError<Infallible>, ticket: Ticket) {
        self.requested -= 1;
        match error {
            StreamUpgradeError::NegotiationFailed => ticket.unsupported(),
            StreamUpgradeError::Timeout | StreamUpgradeError::Io(_) => {
                self.outbound.push(Box::pin(outbound::retry_later(ticket)));
            }
            StreamUpgradeError::Apply(never) => match *never {},
        }
    }

    fn on_accepted(&mut self, stream: libp2p::Stream, protocol: Protocol) {
        let inbound = inbound::Inbound {
            protocol,
            peer: Arc::clone(&self.peer),
            shared: self.shared.clone(),
        };
        if self.inbound.len() < self.shared.limits.streams_in {
            self.inbound.push(Box::pin(inbound.receive(stream)));
        } else {
            // Dropping the stream resets it, and the peer tries once more.
            self.peer.counters.fault(Fault::TooManyStreams);
            tracing::debug!(peer = self.peer.index, "{}", Fault::TooManyStreams);
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Listen;
    type OutboundProtocol = Propose;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Ticket;

    fn listen_protocol(&self) -> SubstreamProtocol<Listen> {
        SubstreamProtocol::new(Listen::new(&self.shared.protocols), ())
            .with_timeout(self.shared.limits.open_timeout)
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Propose, Ticket, Infallible>> {
        while let Poll::Ready(Some(())) = self.inbound.poll_next_unpin(cx) {}
        while let Poll::Ready(Some(())) = self.outbound.poll_next_unpin(cx) {}
        if self.has_room()
            && let Poll::Ready(outgoing) = self.peer.outbox.poll_take(self.id, cx)
        {
            self.requested += 1;
            let propose = Propose(outgoing.protocol);
            let ticket = Ticket::new(Arc::clone(&self.peer), outgoing);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(propose, ticket)
                    .with_timeout(self.shared.limits.open_timeout),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        match event {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Listen, Propose, (), Ticket>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.on_accepted(stream, protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: ticket,
            }) => self.on_opened(stream, ticket),
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                info: ticket,
                error,
            }) => self.on_not_opened(&error, ticket),
            // A stream that the peer opened for nothing we serve was answered by negotiation, and
            // addresses and lists of protocols change nothing here.
            _ => {}
        }
    }
}
