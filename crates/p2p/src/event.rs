//! What the network tells its consumer, and the bounded way there.
//!
//! Why it exists: the channel is the one place where a slow consumer is felt. It is bounded in
//! events, and the frames in it stay on their sender's account until they are taken out, so that
//! a peer can hold only its own share of memory.

use std::{fmt, time::Duration};

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::Protocol;

/// Something that happened between this node and a peer. Peers are named by their index in the
/// cluster, from 0.
#[derive(Debug)]
pub enum Event {
    /// A message arrived on a one-way protocol.
    Message {
        /// The peer that sent it.
        from: usize,
        /// The protocol it came on.
        protocol: Protocol,
        /// The frame's content; may be empty.
        bytes: Bytes,
    },
    /// A request arrived. Dropping `reply` closes the stream without a response, which the peer
    /// understands as a failure; so does an answer later than the receive budget.
    Request {
        /// The peer that asks.
        from: usize,
        /// The protocol it came on.
        protocol: Protocol,
        /// The frame's content; may be empty.
        bytes: Bytes,
        /// Where the response goes.
        reply: oneshot::Sender<Bytes>,
    },
    /// The first connection to a peer stands.
    Connected {
        /// The peer.
        peer: usize,
        /// Whether the connection goes to the peer itself rather than through a relay.
        direct: bool,
        /// The other end's address, as this node sees it.
        address: Multiaddr,
    },
    /// The last connection to a peer is gone.
    Disconnected {
        /// The peer.
        peer: usize,
    },
    /// A ping came back. When the consumer is slow, these are the events that are left out.
    Ping {
        /// The peer.
        peer: usize,
        /// The time from sending to the echo.
        rtt: Duration,
    },
    /// A peer announced a frame longer than the protocol allows. Nothing of it was read.
    Oversized {
        /// The peer.
        peer: usize,
        /// The protocol.
        protocol: Protocol,
        /// Announced length and limit.
        reason: Fault,
    },
    /// A peer's frame was broken off, badly prefixed or too slow.
    Malformed {
        /// The peer.
        peer: usize,
        /// The protocol.
        protocol: Protocol,
        /// What was wrong.
        reason: Fault,
    },
}

/// How a frame broke the rules of spec 20 §2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The announced length is over the limit (both in bytes).
    Oversized {
        /// As announced.
        length: u64,
        /// As the protocol allows.
        limit: usize,
    },
    /// The stream ended inside the frame.
    Truncated {
        /// Bytes of content received.
        received: usize,
        /// Bytes of content announced; `None` when not even the length was complete.
        announced: Option<u64>,
    },
    /// The length is not a minimal varint of at most nine bytes.
    BadLength,
    /// The frame was not complete within the receive budget.
    TooSlow,
    /// More streams were open at once than this node reads from one connection.
    TooManyStreams,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversized { length, limit } => {
                write!(f, "frame of {length} bytes is over the limit of {limit}")
            }
            Self::Truncated {
                received,
                announced: Some(announced),
            } => write!(f, "stream ended after {received} of {announced} bytes"),
            Self::Truncated {
                announced: None, ..
            } => f.write_str("stream ended before the frame's length"),
            Self::BadLength => f.write_str("frame length is not a minimal varint"),
            Self::TooSlow => f.write_str("frame was not complete in time"),
            Self::TooManyStreams => f.write_str("too many streams at once"),
        }
    }
}

/// The receiving end of a network's events. A consumer that stops receiving stops the peers'
/// senders, one after the other; nothing grows.
pub struct Events(mpsc::Receiver<Queued>);

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Events").field(&self.0.len()).finish()
    }
}

impl Events {
    /// The next event, or `None` once the network has stopped and all events are taken.
    pub async fn recv(&mut self) -> Option<Event> {
        self.0.recv().await.map(|queued| queued.event)
    }

    /// The next event if one is waiting.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.0.try_recv().ok().map(|queued| queued.event)
    }
}

/// An event on its way, with what it holds of its sender's memory budget.
struct Queued {
    event: Event,
    _budget: Option<OwnedSemaphorePermit>,
}

/// The sending end, one clone per connection.
#[derive(Clone)]
pub(crate) struct EventSender(mpsc::Sender<Queued>);

impl EventSender {
    /// Waits for room. Without a consumer the event is lost, as the network is then stopping.
    pub(crate) async fn send(&self, event: Event, budget: Option<OwnedSemaphorePermit>) {
        let _stopping = self
            .0
            .send(Queued {
                event,
                _budget: budget,
            })
            .await;
    }

    /// Waits until the consumer has gone.
    pub(crate) async fn closed(&self) {
        self.0.closed().await;
    }

    /// Waits for room for one event; `None` when the consumer has gone.
    pub(crate) async fn reserve(&self) -> Option<Room<'_>> {
        self.0.reserve().await.ok().map(Room)
    }
}

/// A place in the channel.
pub(crate) struct Room<'channel>(mpsc::Permit<'channel, Queued>);

impl Room<'_> {
    pub(crate) fn fill(self, event: Event) {
        self.0.send(Queued {
            event,
            _budget: None,
        });
    }
}

/// A channel for `capacity` events.
pub(crate) fn channel(capacity: usize) -> (EventSender, Events) {
    let (sender, receiver) = mpsc::channel(capacity);
    (EventSender(sender), Events(receiver))
}
