//! A message in flight that cannot get lost without a word.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use bytes::Bytes;

use crate::{Protocol, RequestError, outbox::Outgoing, peer::Peer};

/// A message is written on at most this many streams (spec 20 §2.2: one retry).
const MAX_ATTEMPTS: u8 = 2;

/// A message that has left the outbox. However its stream ends, the ticket settles it: by one of
/// the methods, or, when it is merely dropped (a connection that goes away drops all of its
/// streams), by returning the message to the outbox for its second attempt.
#[derive(Debug)]
pub(crate) struct Ticket {
    peer: Arc<Peer>,
    outgoing: Option<Outgoing>,
    protocol: Protocol,
    bytes: Bytes,
    expects_response: bool,
}

impl Ticket {
    pub(super) fn new(peer: Arc<Peer>, mut outgoing: Outgoing) -> Self {
        outgoing.attempts += 1;
        peer.counters.streams_out.up();
        Self {
            peer,
            protocol: outgoing.protocol,
            bytes: outgoing.bytes.clone(),
            expects_response: outgoing.reply.is_some(),
            outgoing: Some(outgoing),
        }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(super) fn expects_response(&self) -> bool {
        self.expects_response
    }

    /// The peer took the message.
    pub(super) fn delivered(mut self) {
        self.outgoing = None;
        self.peer.counters.sent(self.protocol, self.bytes.len());
    }

    /// The request was taken, and this came of it.
    pub(super) fn answered(mut self, response: Result<Bytes, RequestError>) {
        self.peer.counters.sent(self.protocol, self.bytes.len());
        match &response {
            Ok(bytes) => self.peer.counters.received(self.protocol, bytes.len()),
            Err(RequestError::Malformed(fault)) => self.peer.counters.fault(*fault),
            Err(_) => {}
        }
        self.reply(response);
    }

    /// The peer does not speak the protocol.
    pub(super) fn unsupported(mut self) {
        self.peer.counters.unsupported.fetch_add(1, Relaxed);
        self.reply(Err(RequestError::Unsupported));
    }

    fn reply(&mut self, response: Result<Bytes, RequestError>) {
        if let Some(reply) = self.outgoing.take().and_then(|outgoing| outgoing.reply) {
            // A requester that has gone away does not want to know.
            let _gone = reply.send(response);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.peer.counters.streams_out.down();
        match self.outgoing.take() {
            None => {}
            Some(outgoing) if outgoing.attempts < MAX_ATTEMPTS => self.peer.send_again(outgoing),
            Some(outgoing) => self.peer.count_dropped(&[outgoing]),
        }
    }
}
