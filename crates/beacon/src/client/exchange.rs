//! One request to one endpoint and its answer, within bounds of time and size.

use std::{error::Error as _, time::Duration};

use bytes::Bytes;
use flotilla_types::Fork;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap},
};
use tokio::time::Instant;

use super::{
    endpoint::Endpoint,
    error::{Failure, Reason, excerpt},
    known::is_known,
    observer::{Observer, Request},
};

/// The header that names the fork of a body.
pub(super) const CONSENSUS_VERSION: &str = "Eth-Consensus-Version";
/// Most bytes read of a body that comes with an error: enough for a list of failed items.
const MAX_ERROR_BODY: usize = 1 << 20;
/// Most bytes set aside for a body before they have come.
const READY_FOR: usize = 1 << 20;
/// Most characters of path and query in an error.
const SHOWN_PATH: usize = 160;
/// The media types of bodies.
const JSON: &str = "application/json";
const SSZ: &str = "application/octet-stream";

/// What the body of an answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    /// JSON alone.
    Json,
    /// SSZ where the node has it, else JSON.
    SszOrJson,
}

impl Accept {
    const fn header(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::SszOrJson => "application/octet-stream;q=1,application/json;q=0.9",
        }
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// JSON.
    Json(Bytes),
    /// SSZ.
    Ssz(Bytes),
}

impl Body {
    const fn parts(&self) -> (&'static str, &Bytes) {
        match self {
            Self::Json(bytes) => (JSON, bytes),
            Self::Ssz(bytes) => (SSZ, bytes),
        }
    }
}

/// One request, the same for every endpoint.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// What the observer is told.
    pub(super) label: &'static str,
    pub(super) method: Method,
    /// Path and query, from the slash on.
    pub(super) path: String,
    pub(super) body: Option<Body>,
    /// The fork of what is sent.
    pub(super) fork: Option<Fork>,
    pub(super) accept: Accept,
    /// Most bytes of an answer.
    pub(super) limit: usize,
    pub(super) timeout: Duration,
}

/// A successful answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) is_ssz: bool,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An unsuccessful exchange, with the whole error body where there is one.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) body: Vec<u8>,
}

impl Endpoint {
    /// A request to a path of this endpoint.
    pub(super) fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        client
            .request(method, format!("{}{path}", self.base()))
            .headers(self.headers().clone())
    }

    /// Sends a call and reads its answer with `parse`, all within the call's bounds. Tells the observer, and notes health.
    /// Nothing goes to an endpoint of another chain.
    pub(super) async fn ask<T, E: Into<Reason>>(
        &self,
        client: &Client,
        observer: Option<&dyn Observer>,
        call: &Call,
        parse: impl FnOnce(Answer) -> Result<T, E>,
    ) -> Result<T, Refusal> {
        if self.is_of_other_chain() {
            return Err(Refusal {
                failure: self.failure(call, Reason::OtherChain),
                body: Vec::new(),
            });
        }
        self.ask_of_any_chain(client, observer, call, parse).await
    }

    /// As [`Self::ask`], whatever chain it serves.
    pub(super) async fn ask_of_any_chain<T, E: Into<Reason>>(
        &self,
        client: &Client,
        observer: Option<&dyn Observer>,
        call: &Call,
        parse: impl FnOnce(Answer) -> Result<T, E>,
    ) -> Result<T, Refusal> {
        let start = Instant::now();
        let result = match self.exchange(client, call).await {
            Ok(answer) => parse(answer).map_err(|problem| (problem.into(), Vec::new())),
            Err(refused) => Err(refused),
        };
        self.tell(observer, call, start.elapsed(), result.is_ok());
        match &result {
            Ok(_) => self.set_answers(true),
            // Some nodes say with 500 that they have a vote already.
            Err((reason, body)) if reason.is_endpoint_fault() && !is_known(body) => {
                self.set_answers(false);
            }
            Err(_) => {}
        }
        result.map_err(|(reason, body)| Refusal {
            failure: self.failure(call, reason),
            body,
        })
    }

    /// Notes that another endpoint has answered a call that this one has been at for so long.
    pub(super) fn overtaken(
        &self,
        observer: Option<&dyn Observer>,
        call: &Call,
        latency: Duration,
    ) {
        self.tell(observer, call, latency, false);
        self.set_answers(false);
    }

    fn tell(&self, observer: Option<&dyn Observer>, call: &Call, latency: Duration, ok: bool) {
        if let Some(observer) = observer {
            let (label, endpoint) = (call.label, self.label());
            observer.request(&Request {
                label,
                endpoint,
                latency,
                ok,
            });
        }
    }

    fn failure(&self, call: &Call, reason: Reason) -> Failure {
        let method = if call.method == Method::POST {
            "POST"
        } else {
            "GET"
        };
        Failure {
            endpoint: self.label().to_owned(),
            method,
            path: shortened(&call.path),
            reason,
        }
    }

    async fn exchange(&self, client: &Client, call: &Call) -> Result<Answer, (Reason, Vec<u8>)> {
        let mut request = self.request(client, call.method.clone(), &call.path);
        request = request
            .timeout(call.timeout)
            .header(ACCEPT, call.accept.header());
        if let Some(body) = &call.body {
            let (content_type, bytes) = body.parts();
            request = request
                .header(CONTENT_TYPE, content_type)
                .body(bytes.clone());
        }
        if let Some(fork) = call.fork {
            request = request.header(CONSENSUS_VERSION, fork.name());
        }
        let response = request
            .send()
            .await
            .map_err(|error| (reason_of(error, call.timeout), Vec::new()))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(status, response, call.timeout).await);
        }
        let headers = response.headers().clone();
        let is_ssz = headers
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(SSZ.as_bytes()));
        let body = read(response, call.limit, call.timeout)
            .await
            .map_err(|reason| (reason, Vec::new()))?;
        Ok(Answer {
            is_ssz,
            headers,
            body,
        })
    }
}

/// A path for an error's text, which needs no list of keys.
fn shortened(path: &str) -> String {
    match path.char_indices().nth(SHOWN_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

/// What an error answer says, as far as it can be read.
async fn refused(status: StatusCode, response: Response, timeout: Duration) -> (Reason, Vec<u8>) {
    let body = read(response, MAX_ERROR_BODY, timeout)
        .await
        .unwrap_or_default();
    (
        Reason::Status {
            status: status.as_u16(),
            body: excerpt(&body),
        },
        body,
    )
}

/// Reads a body up to a limit.
async fn read(mut response: Response, limit: usize, timeout: Duration) -> Result<Vec<u8>, Reason> {
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    if announced > limit {
        return Err(Reason::Oversized { limit });
    }
    let mut body = Vec::with_capacity(announced.min(READY_FOR));
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| reason_of(error, timeout))?
    {
        if body.len() + chunk.len() > limit {
            return Err(Reason::Oversized { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The HTTP library's error, without the address (we name it ourselves) and with its causes.
pub(super) fn reason_of(error: reqwest::Error, timeout: Duration) -> Reason {
    if error.is_timeout() {
        return Reason::Timeout(timeout);
    }
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Reason::Network(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut_in_errors() {
        assert_eq!(shortened("/eth/v1/node/syncing"), "/eth/v1/node/syncing");
        let shown = shortened(&format!("/eth?id={}", "é".repeat(500)));
        assert_eq!(shown.chars().count(), SHOWN_PATH + 1);
        assert!(shown.ends_with('…'));
    }
}
