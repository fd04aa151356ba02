//! Passes a client's raw request on to the endpoints, for everything that the server does not answer itself.
//!
//! The answer is the endpoint's own, byte for byte and as a stream: status, headers and text, so that a missing block
//! stays a 404. Questions go to one endpoint after the other until one is no failure; whatever tells something (a
//! subscription, a preparation) goes to all at once, since each endpoint needs it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream::FuturesUnordered};
use hyper::Response;
use reqwest::{
    Body, Method, StatusCode,
    header::{self, HeaderMap, HeaderName},
};

use super::{endpoint::Endpoint, error::Reason, exchange::reason_of, node::BeaconNode};

/// Headers that belong to one connection, not to the message (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Headers of a request that are made anew for the endpoint; its credentials are its own.
const REPLACED: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::AUTHORIZATION,
    header::EXPECT,
];

/// What a client asked, to be passed on.
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query, from the slash on.
    pub path: String,
    /// The headers as the client sent them.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Whether to wait for the beginning of the answer without a limit, as for events: some nodes send nothing before
    /// the first event.
    pub patient: bool,
}

/// An endpoint's answer: its head, and its body as it comes.
pub type Forwarded = Response<Body>;

/// No endpoint gave any answer.
#[derive(Debug, thiserror::Error)]
#[error("no beacon node answered: {}", .failures.join("; "))]
pub struct ForwardError {
    /// Endpoint and reason, in the order in which they failed.
    failures: Vec<String>,
}

/// Passes requests on. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    node: BeaconNode,
    answer: Duration,
}

impl Forwarder {
    /// Passes on to the endpoints of a beacon node, the best-placed first, whose health it shares. An endpoint has `answer`
    /// for the head of its answer.
    pub const fn new(node: BeaconNode, answer: Duration) -> Self {
        Self { node, answer }
    }

    /// Passes a request on. An endpoint's 5xx counts as a failure as long as another endpoint is left to ask; the first
    /// of them is the answer if there is no better one.
    ///
    /// # Errors
    /// [`ForwardError`] if no endpoint answered at all.
    pub async fn forward(&self, request: RawRequest) -> Result<Forwarded, ForwardError> {
        let tells = request.method == Method::POST && self.node.endpoints.len() > 1;
        let request = Arc::new(cleaned(request));
        let mut best = Best {
            needs_success: tells,
            ..Best::default()
        };
        if tells {
            // Tasks, so that slower endpoints are told too when this returns or its client leaves.
            let told = self.node.endpoints.iter().cloned();
            let mut told: FuturesUnordered<_> = told
                .map(|endpoint| tokio::spawn(self.clone().attempt(endpoint, request.clone())))
                .collect();
            while let Some(result) = told.next().await {
                let result = result.unwrap_or_else(|error| Err(error.to_string()));
                if let Some(answer) = best.offer(result) {
                    return Ok(answer);
                }
            }
        } else {
            for endpoint in self.node.by_standing() {
                let attempt = self.clone().attempt(endpoint.clone(), request.clone());
                let result = attempt.await;
                if let Some(answer) = best.offer(result) {
                    return Ok(answer);
                }
            }
        }
        best.end()
    }

    async fn attempt(
        self,
        endpoint: Arc<Endpoint>,
        request: Arc<RawRequest>,
    ) -> Result<Forwarded, String> {
        if endpoint.is_of_other_chain() {
            return Err(format!("{}: {}", endpoint.label(), Reason::OtherChain));
        }
        let sent = endpoint
            .request(&self.node.client, request.method.clone(), &request.path)
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send();
        let result = match request.patient {
            true => sent.await.map_err(|error| reason_of(error, self.answer)),
            false => match tokio::time::timeout(self.answer, sent).await {
                Ok(result) => result.map_err(|error| reason_of(error, self.answer)),
                Err(_) => Err(Reason::Timeout(self.answer)),
            },
        };
        match &result {
            Ok(response) if response.status().is_success() => endpoint.set_answers(true),
            // 501 and 4xx are about the question.
            Ok(response) if !response.status().is_server_error() => {}
            Ok(response) if response.status() == StatusCode::NOT_IMPLEMENTED => {}
            Ok(_) | Err(_) => endpoint.set_answers(false),
        }
        let mut answer: Forwarded = result
            .map_err(|reason| format!("{}: {reason}", endpoint.label()))?
            .into();
        remove(answer.headers_mut(), &HOP_BY_HOP);
        Ok(answer)
    }
}

/// The answers so far.
#[derive(Default)]
struct Best {
    /// Whether another endpoint's success is better than this one's 4xx.
    needs_success: bool,
    refusal: Option<Forwarded>,
    failures: Vec<String>,
}

impl Best {
    /// Gives an answer back if it is no failure.
    fn offer(&mut self, result: Result<Forwarded, String>) -> Option<Forwarded> {
        match result {
            Ok(answer) if answer.status().is_success() => return Some(answer),
            Ok(answer) if !self.needs_success && !answer.status().is_server_error() => {
                return Some(answer);
            }
            Ok(answer) => {
                self.refusal.get_or_insert(answer);
            }
            Err(failure) => self.failures.push(failure),
        }
        None
    }

    fn end(self) -> Result<Forwarded, ForwardError> {
        self.refusal.ok_or(ForwardError {
            failures: self.failures,
        })
    }
}

fn cleaned(mut request: RawRequest) -> RawRequest {
    remove(&mut request.headers, &HOP_BY_HOP);
    remove(&mut request.headers, &REPLACED);
    request
}

fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
    }
}
