//! Lets the node count requests without this room knowing any metrics library.

use std::time::Duration;

use hyper::StatusCode;

/// One request, done with.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// The endpoint's name in metrics: those of spec 30 §3.3, `events` or `proxy`.
    pub endpoint: &'static str,
    /// For requests that were passed on: the path with placeholders for numbers and hex.
    pub path: Option<&'a str>,
    /// The status; 408 also for clients that left before an answer.
    pub status: StatusCode,
    /// From the request's head to the last byte of the answer, or to the client's leaving.
    pub latency: Duration,
    /// The request's content type, without parameters and at most 64 bytes, if it has one.
    pub content_type: Option<&'a str>,
    /// The client's name, at most 128 bytes.
    pub user_agent: Option<&'a str>,
}

/// Told of every request. Called on the serving task, so it must not block.
pub trait Observer: Send + Sync + 'static {
    /// A request is done with, well or not.
    fn served(&self, request: &Served<'_>);

    /// A connection was closed unheard, because there are as many as there may be.
    fn connection_refused(&self);
}
