//! A muxer around Yamux that closes in bounded time.
//!
//! Why it exists: an orderly close flushes what is queued, which a stopped peer never takes, and
//! until it is done the swarm counts the connection as standing. Here the close is given up after
//! [`CLOSE_TIMEOUT`].

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::ready;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use tokio::time::Sleep;

use crate::slashless::Translated;

/// The time an orderly close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Muxer<M> {
    inner: M,
    closing: Option<Pin<Box<Sleep>>>,
}

impl<M> Muxer<M> {
    pub(crate) fn new(inner: M) -> Self {
        Self {
            inner,
            closing: None,
        }
    }
}

impl<M> StreamMuxer for Muxer<M>
where
    M: StreamMuxer + Unpin,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
{
    type Substream = Translated<M::Substream>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_inbound(cx));
        Poll::Ready(stream.map(Translated::inbound).map_err(io::Error::other))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        let stream = ready!(Pin::new(&mut self.inner).poll_outbound(cx));
        Poll::Ready(stream.map(Translated::outbound).map_err(io::Error::other))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let closing = this
            .closing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_TIMEOUT)));
        if closing.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut this.inner)
            .poll_close(cx)
            .map_err(io::Error::other)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Pin::new(&mut self.inner).poll(cx).map_err(io::Error::other)
    }
}
