//! Receiving one message, or one request.
//!
//! A frame counts against its peer's memory budget from the moment its length is known until the
//! consumer takes it. When the budget is used up, streams wait in the muxer's windows; when the
//! consumer is slow, the peer does not see its streams close and sends no more.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::AsyncWriteExt;
use libp2p::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::Shared;
use crate::{Event, Fault, Protocol, Style, frame, peer::Peer};

/// Time to get the closing of a stream into the connection's queue.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of a stream that the peer opened.
pub(super) struct Inbound {
    pub(super) protocol: Protocol,
    pub(super) peer: Arc<Peer>,
    pub(super) shared: Shared,
}

/// A received frame with its share of the peer's budget.
type Received = (Bytes, Option<OwnedSemaphorePermit>);

impl Inbound {
    /// Reads the stream and hands on what it carries.
    pub(super) async fn receive(self, mut stream: Stream) {
        let _open = OpenStream::new(&self.peer);
        let deadline = Instant::now() + self.shared.limits.receive_timeout;
        let read = timeout_at(deadline, self.read(&mut stream)).await;
        let (bytes, budget) = match read.unwrap_or(Err(Fault::TooSlow)) {
            Ok(received) => received,
            Err(fault) => {
                // Dropped unclosed, the stream is reset: the sender need not wait for more window.
                drop(stream);
                return self.blame(fault).await;
            }
        };
        self.peer.counters.received(self.protocol, bytes.len());
        match self.protocol.style() {
            Style::OneWay => self.hand_on(bytes, budget).await,
            Style::RequestResponse => self.answer(&mut stream, deadline, bytes, budget).await,
        }
        // Best effort: the connection may be gone.
        let _closed = timeout(CLOSE_TIMEOUT, stream.close()).await;
    }

    async fn read(&self, stream: &mut Stream) -> Result<Received, Fault> {
        let reader = frame::Reader::begin(stream, self.protocol.limit()).await?;
        let share = reader.length().min(self.shared.limits.inbound_bytes);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let budget = Arc::clone(&self.peer.inbound)
            .acquire_many_owned(share)
            .await;
        let bytes = reader.content().await?;
        Ok((bytes, budget.ok()))
    }

    async fn hand_on(&self, bytes: Bytes, budget: Option<OwnedSemaphorePermit>) {
        let message = Event::Message {
            from: self.peer.index,
            protocol: self.protocol,
            bytes,
        };
        self.shared.events.send(message, budget).await;
    }

    /// Hands on a request and writes the response, if the consumer has one in time.
    async fn answer(
        &self,
        stream: &mut Stream,
        deadline: Instant,
        bytes: Bytes,
        budget: Option<OwnedSemaphorePermit>,
    ) {
        let (reply, response) = oneshot::channel();
        let request = Event::Request {
            from: self.peer.index,
            protocol: self.protocol,
            bytes,
            reply,
        };
        self.shared.events.send(request, budget).await;
        let Ok(Ok(response)) = timeout_at(deadline, response).await else {
            return;
        };
        let budget = self.shared.limits.send_timeout;
        if let Ok(Ok(())) = timeout(budget, frame::write(stream, &response)).await {
            self.peer.counters.sent(self.protocol, response.len());
        }
    }

    async fn blame(&self, reason: Fault) {
        self.peer.counters.fault(reason);
        let peer = self.peer.index;
        let protocol = self.protocol;
        tracing::debug!(peer, protocol = protocol.id(), %reason, "frame refused");
        let event = match reason {
            Fault::Oversized { .. } => Event::Oversized {
                peer,
                protocol,
                reason,
            },
            Fault::Truncated { .. } | Fault::BadLength | Fault::TooSlow | Fault::TooManyStreams => {
                Event::Malformed {
                    peer,
                    protocol,
                    reason,
                }
            }
        };
        self.shared.events.send(event, None).await;
    }
}

/// Counts a stream as open for as long as it is.
struct OpenStream<'peer>(&'peer Peer);

impl<'peer> OpenStream<'peer> {
    fn new(peer: &'peer Peer) -> Self {
        peer.counters.streams_in.up();
        Self(peer)
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.counters.streams_in.down();
    }
}
