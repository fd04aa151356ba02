//! Follows a request to its very end: the last byte of the answer, or the client's leaving.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    StatusCode,
    body::{Body, Frame, SizeHint},
    header::HeaderMap,
};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    client_names::{content_type, user_agent},
    observer::{Observer, Served},
};

/// Any error of a body.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// Any body.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, BodyError>;

/// What will be told of a request when it is dropped.
pub(super) struct Report {
    observer: Arc<dyn Observer>,
    start: Instant,
    endpoint: &'static str,
    path: Option<String>,
    user_agent: Option<String>,
    status: StatusCode,
    content_type: Option<String>,
}

impl Report {
    /// A request that begins now. Until it is answered, its client counts as gone.
    pub(super) fn new(
        observer: Arc<dyn Observer>,
        endpoint: &'static str,
        path: Option<String>,
        headers: &HeaderMap,
    ) -> Self {
        Self {
            observer,
            start: Instant::now(),
            endpoint,
            path,
            user_agent: user_agent(headers),
            status: StatusCode::REQUEST_TIMEOUT,
            content_type: content_type(headers),
        }
    }

    /// The answer's head is known.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.observer.served(&Served {
            endpoint: self.endpoint,
            path: self.path.as_deref(),
            status: self.status,
            latency: self.start.elapsed(),
            content_type: self.content_type.as_deref(),
            user_agent: self.user_agent.as_deref(),
        });
    }
}

/// A body that holds its request's report and place until its end.
pub(super) struct Reported {
    body: AnyBody,
    _report: Report,
    _place: Option<OwnedSemaphorePermit>,
}

impl Reported {
    pub(super) fn new(body: AnyBody, report: Report, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            body,
            _report: report,
            _place: place,
        }
    }
}

impl Body for Reported {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
