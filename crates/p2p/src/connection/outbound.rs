//! Sending one message, or one request.
//!
//! The message is written, the writing side closed, and the stream read to its end (spec 20 §1.9
//! row 5): a stream that is dropped earlier is reset, which the peer takes for a failure. The end
//! comes when the peer has handled the message, so the number of streams in flight is what a slow
//! peer is felt by.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{AsyncReadExt, AsyncWriteExt, io::Cursor};
use libp2p::{Stream, core::upgrade::NegotiationError};
use tokio::time::{sleep, timeout};

use super::ticket::Ticket;
use crate::{Fault, RequestError, frame};

/// The pause before a message is tried again on the same connection.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Sends what the ticket is for, within `budget`.
pub(super) async fn send(mut stream: Stream, ticket: Ticket, budget: Duration) {
    let sent = if ticket.expects_response() {
        match timeout(budget, request(&mut stream, &ticket)).await {
            Ok(Ok(response)) => return ticket.answered(response),
            Ok(Err(error)) => error,
            Err(_) => return ticket.answered(Err(RequestError::Timeout(budget))),
        }
    } else {
        match timeout(budget, deliver(&mut stream, &ticket)).await {
            Ok(Ok(())) => return ticket.delivered(),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        }
    };
    if is_unsupported(&sent) {
        return ticket.unsupported();
    }
    tracing::debug!(protocol = ticket.protocol().id(), error = %sent, "stream failed");
    drop(stream);
    retry_later(ticket).await;
}

/// Returns the message to the outbox after a pause. When the connection ends meanwhile, the
/// dropped ticket returns it at once.
pub(super) async fn retry_later(ticket: Ticket) {
    sleep(RETRY_PAUSE).await;
    drop(ticket);
}

/// Writes the message and waits until the peer has closed the stream.
async fn deliver(stream: &mut Stream, ticket: &Ticket) -> io::Result<()> {
    write_all(stream, ticket).await?;
    read_to_end(stream).await
}

/// Writes the request and reads the response. An outer error means that the request did not get
/// through and may be sent again.
async fn request(stream: &mut Stream, ticket: &Ticket) -> io::Result<Result<Bytes, RequestError>> {
    write_all(stream, ticket).await?;
    // The first read also takes the answer to the negotiation; an error in it is one of sending.
    let mut first = [0];
    let received = stream.read(&mut first).await?;
    let mut response = Cursor::new(&first[..received]).chain(stream);
    let limit = ticket.protocol().limit();
    let response = match frame::Reader::begin(&mut response, limit).await {
        Ok(reader) => reader.content().await,
        Err(fault) => Err(fault),
    };
    Ok(match response {
        Ok(bytes) => Ok(bytes),
        Err(Fault::Truncated {
            announced: None, ..
        }) => Err(RequestError::NoResponse),
        Err(fault) => Err(RequestError::Malformed(fault)),
    })
}

async fn write_all(stream: &mut Stream, ticket: &Ticket) -> io::Result<()> {
    frame::write(stream, ticket.bytes()).await?;
    stream.close().await
}

async fn read_to_end(stream: &mut Stream) -> io::Result<()> {
    let mut ignored = [0; 64];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// Whether the other side refused the protocol, which lazy negotiation learns only here.
fn is_unsupported(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(NegotiationError::Failed))
}
