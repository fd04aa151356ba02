//! The messages that wait for one peer.
//!
//! Why it exists: sending must never block and never grow without bound, whether the peer is
//! fast, stopped or gone for a week. The outbox outlives connections; the connection that is
//! preferred at the moment takes messages from it. It must not know streams or sockets.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;

use crate::{Protocol, RequestError};

/// One message or request on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) protocol: Protocol,
    pub(crate) bytes: Bytes,
    /// Streams on which this message was begun.
    pub(crate) attempts: u8,
    /// Where a response goes; `None` for one-way messages.
    pub(crate) reply: Option<oneshot::Sender<Result<Bytes, RequestError>>>,
}

impl Outgoing {
    /// Whether nobody waits for the response any more.
    fn abandoned(&self) -> bool {
        self.reply.as_ref().is_some_and(oneshot::Sender::is_closed)
    }
}

/// A bounded queue with the connection that serves it.
#[derive(Debug)]
pub(crate) struct Outbox {
    most_messages: usize,
    most_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Outgoing>,
    bytes: usize,
    preferred: Option<ConnectionId>,
    /// At most one for each connection of the peer.
    wakers: BTreeMap<ConnectionId, Waker>,
}

impl Outbox {
    /// An empty queue for `most_messages` and `most_bytes`; one message of any size always fits.
    pub(crate) fn new(most_messages: usize, most_bytes: usize) -> Self {
        Self {
            most_messages: most_messages.max(1),
            most_bytes,
            state: Mutex::default(),
        }
    }

    /// Takes a new message. Returns what had to go for it, oldest first.
    #[must_use]
    pub(crate) fn push(&self, outgoing: Outgoing) -> Vec<Outgoing> {
        let mut state = self.lock();
        state.bytes += outgoing.bytes.len();
        state.queue.push_back(outgoing);
        let dropped = self.shrink(&mut state);
        state.wake_preferred();
        dropped
    }

    /// Takes back a message whose stream failed; it is the oldest again. Returns what had to go,
    /// which is this message itself when the queue has filled in the meantime.
    #[must_use]
    pub(crate) fn put_back(&self, outgoing: Outgoing) -> Vec<Outgoing> {
        let mut state = self.lock();
        state.bytes += outgoing.bytes.len();
        state.queue.push_front(outgoing);
        let dropped = self.shrink(&mut state);
        state.wake_preferred();
        dropped
    }

    /// The oldest message, for the preferred connection only; others are woken when they become
    /// preferred.
    pub(crate) fn poll_take(&self, connection: ConnectionId, cx: &Context<'_>) -> Poll<Outgoing> {
        let mut state = self.lock();
        if state.preferred == Some(connection) {
            while let Some(outgoing) = state.pop() {
                if !outgoing.abandoned() {
                    return Poll::Ready(outgoing);
                }
            }
        }
        match state.wakers.get_mut(&connection) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                state.wakers.insert(connection, cx.waker().clone());
            }
        }
        Poll::Pending
    }

    /// Lets `connection` serve the queue from now on.
    pub(crate) fn prefer(&self, connection: Option<ConnectionId>) {
        let mut state = self.lock();
        state.preferred = connection;
        state.wake_preferred();
    }

    /// Forgets a connection that has ended.
    pub(crate) fn forget(&self, connection: ConnectionId) {
        self.lock().wakers.remove(&connection);
    }

    /// The connection that serves the queue.
    pub(crate) fn preferred(&self) -> Option<ConnectionId> {
        self.lock().preferred
    }

    /// Messages and bytes that wait.
    pub(crate) fn size(&self) -> (usize, usize) {
        let state = self.lock();
        (state.queue.len(), state.bytes)
    }

    fn shrink(&self, state: &mut State) -> Vec<Outgoing> {
        let mut dropped = Vec::new();
        while state.queue.len() > self.most_messages
            || (state.bytes > self.most_bytes && state.queue.len() > 1)
        {
            dropped.extend(state.pop());
        }
        dropped
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pop(&mut self) -> Option<Outgoing> {
        let outgoing = self.queue.pop_front()?;
        self.bytes -= outgoing.bytes.len();
        Some(outgoing)
    }

    fn wake_preferred(&self) {
        if let Some(waker) = self.preferred.and_then(|id| self.wakers.get(&id)) {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use futures::task::{ArcWake, noop_waker_ref, waker};

    use super::*;

    fn one() -> ConnectionId {
        ConnectionId::new_unchecked(1)
    }

    fn two() -> ConnectionId {
        ConnectionId::new_unchecked(2)
    }

    fn message(content: &'static str) -> Outgoing {
        Outgoing {
            protocol: Protocol::Qbft,
            bytes: Bytes::from_static(content.as_bytes()),
            attempts: 0,
            reply: None,
        }
    }

    fn take(outbox: &Outbox, connection: ConnectionId) -> Option<Bytes> {
        match outbox.poll_take(connection, &Context::from_waker(noop_waker_ref())) {
            Poll::Ready(outgoing) => Some(outgoing.bytes),
            Poll::Pending => None,
        }
    }

    fn contents(outgoing: &[Outgoing]) -> Vec<&[u8]> {
        outgoing
            .iter()
            .map(|outgoing| &outgoing.bytes[..])
            .collect()
    }

    #[test]
    fn oldest_message_goes_at_the_message_bound() {
        let outbox = Outbox::new(2, 1000);
        assert!(outbox.push(message("a")).is_empty());
        assert!(outbox.push(message("b")).is_empty());
        assert_eq!(contents(&outbox.push(message("c"))), [b"a"]);
        assert_eq!(outbox.size(), (2, 2));
    }

    #[test]
    fn oldest_messages_go_at_the_byte_bound() {
        let outbox = Outbox::new(10, 6);
        assert!(outbox.push(message("aaa")).is_empty());
        assert!(outbox.push(message("bbb")).is_empty());
        assert_eq!(contents(&outbox.push(message("cccc"))), [b"aaa", b"bbb"]);
        assert_eq!(outbox.size(), (1, 4));
    }

    #[test]
    fn one_message_over_the_byte_bound_is_taken() {
        let outbox = Outbox::new(10, 2);
        assert!(outbox.push(message("large")).is_empty());
        assert_eq!(outbox.size(), (1, 5));
    }

    #[test]
    fn message_put_back_is_the_oldest() {
        let outbox = Outbox::new(2, 1000);
        outbox.prefer(Some(one()));
        assert!(outbox.push(message("b")).is_empty());
        assert!(outbox.put_back(message("a")).is_empty());
        assert_eq!(contents(&outbox.put_back(message("z"))), [b"z"]);
        assert_eq!(take(&outbox, one()).unwrap(), "a");
        assert_eq!(take(&outbox, one()).unwrap(), "b");
        assert_eq!(outbox.size(), (0, 0));
    }

    #[test]
    fn only_the_preferred_connection_takes_messages() {
        let outbox = Outbox::new(2, 1000);
        assert!(outbox.push(message("a")).is_empty());
        assert_eq!(take(&outbox, one()), None);
        outbox.prefer(Some(two()));
        assert_eq!(take(&outbox, one()), None);
        assert_eq!(take(&outbox, two()).unwrap(), "a");
    }

    #[test]
    fn request_that_nobody_waits_for_is_skipped() {
        let outbox = Outbox::new(3, 1000);
        outbox.prefer(Some(one()));
        let (reply, waiting) = oneshot::channel();
        let request = Outgoing {
            reply: Some(reply),
            ..message("request")
        };
        assert!(outbox.push(request).is_empty());
        assert!(outbox.push(message("a")).is_empty());
        drop(waiting);
        assert_eq!(take(&outbox, one()).unwrap(), "a");
    }

    #[test]
    fn push_wakes_the_preferred_connection() {
        struct Flag(AtomicBool);
        impl ArcWake for Flag {
            fn wake_by_ref(flag: &Arc<Self>) {
                flag.0.store(true, SeqCst);
            }
        }
        let outbox = Outbox::new(3, 1000);
        outbox.prefer(Some(one()));
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = waker(Arc::clone(&flag));
        assert!(
            outbox
                .poll_take(one(), &Context::from_waker(&waker))
                .is_pending()
        );
        assert!(outbox.push(message("a")).is_empty());
        assert!(flag.0.load(SeqCst));
    }
}
