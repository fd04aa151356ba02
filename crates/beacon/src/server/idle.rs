//! Ends a body of which nothing comes any more.

use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::report::BodyError;

/// A body that fails when it is silent for too long.
pub(super) struct Idle<B> {
    body: B,
    limit: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl<B> Idle<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self {
            body,
            limit,
            sleep: Box::pin(sleep(limit)),
        }
    }
}

impl<B: Body<Error: Into<BodyError>> + Unpin> Body for Idle<B> {
    type Data = B::Data;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let until = Instant::now() + self.limit;
            self.sleep.as_mut().reset(until);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.sleep.as_mut().poll(context));
        let limit = self.limit;
        Poll::Ready(Some(Err(format!(
            "beacon node sent nothing more for {limit:?}"
        )
        .into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
