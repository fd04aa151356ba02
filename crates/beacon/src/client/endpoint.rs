//! One endpoint: its address, its health, and how a request to it is made within bounds.

use std::{
    error::Error as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use flotilla_types::Fork;
use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use tokio::time::Instant;

use super::{
    error::{ConfigError, Failure, Reason, excerpt},
    observer::{Observer, Request},
};

/// The header that names the fork of a body.
const CONSENSUS_VERSION: &str = "Eth-Consensus-Version";
/// Most bytes read of a body that comes with an error: enough for a list of failed items.
const MAX_ERROR_BODY: usize = 1 << 20;

/// Whether an endpoint is asked first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The address, without credentials.
    pub endpoint: String,
    /// `false` after a failure that speaks against the endpoint, until it answers again, and while it is not in sync.
    pub healthy: bool,
}

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
            Self::Json => "application/json",
            Self::SszOrJson => "application/octet-stream;q=1,application/json;q=0.9",
        }
    }
}

/// One request, the same for every endpoint.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) label: &'static str,
    pub(super) method: Method,
    /// Path and query, from the slash on.
    pub(super) path: String,
    /// JSON to send.
    pub(super) body: Option<Bytes>,
    /// The fork of what is sent.
    pub(super) fork: Option<Fork>,
    pub(super) accept: Accept,
    /// Most bytes of an answer.
    pub(super) limit: usize,
    pub(super) timeout: Duration,
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) is_ssz: bool,
    pub(super) body: Vec<u8>,
}

/// An unsuccessful exchange, with the whole error body where there is one.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) failure: Failure,
    pub(super) body: Vec<u8>,
}

/// One configured address.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// With credentials, without a trailing slash.
    base: String,
    /// Without credentials.
    label: String,
    is_https: bool,
    /// Its last answer was one, of any kind.
    answers: AtomicBool,
    /// It is in sync, as far as it was asked.
    ready: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(url: &Url) -> Result<Self, ConfigError> {
        let mut shown = url.clone();
        // Both fail only for addresses without a host, which are refused below.
        let _ = shown
            .set_username("")
            .and_then(|()| shown.set_password(None));
        shown.set_query(None);
        shown.set_fragment(None);
        let label = shown.as_str().trim_end_matches('/').to_owned();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(ConfigError::NotHttp { endpoint: label });
        }
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            base,
            label,
            is_https: url.scheme() == "https",
            answers: AtomicBool::new(true),
            ready: AtomicBool::new(true),
        })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether it is worth asking before others.
    pub(super) fn is_healthy(&self) -> bool {
        self.answers.load(Ordering::Relaxed) && self.ready.load(Ordering::Relaxed)
    }

    /// Notes an answer or a failure; a change is worth a line in the log.
    fn set_answers(&self, answers: bool) {
        match (self.answers.swap(answers, Ordering::Relaxed), answers) {
            (false, true) => tracing::info!(endpoint = self.label, "beacon node answers again"),
            (true, false) => tracing::warn!(
                endpoint = self.label,
                "beacon node fails, others are asked first"
            ),
            _ => {}
        }
    }

    /// Notes what the endpoint said about its state; a change is worth a line in the log.
    pub(super) fn set_ready(&self, ready: bool) {
        match (self.ready.swap(ready, Ordering::Relaxed), ready) {
            (false, true) => tracing::info!(endpoint = self.label, "beacon node is in sync"),
            (true, false) => tracing::warn!(
                endpoint = self.label,
                "beacon node is not in sync, others are asked first"
            ),
            _ => {}
        }
    }

    pub(super) fn status(&self) -> EndpointStatus {
        EndpointStatus {
            endpoint: self.label.clone(),
            healthy: self.is_healthy(),
        }
    }

    /// A request to a path of this endpoint.
    pub(super) fn request(&self, client: &Client, method: Method, path: &str) -> RequestBuilder {
        client.request(method, format!("{}{path}", self.base))
    }

    /// Sends a call and reads its answer with `parse`, all within the call's bounds. Tells the observer, and notes health.
    pub(super) async fn ask<T>(
        &self,
        client: &Client,
        observer: Option<&dyn Observer>,
        call: &Call,
        parse: impl FnOnce(Answer) -> Result<T, String>,
    ) -> Result<T, Refusal> {
        let start = Instant::now();
        let result = match self.exchange(client, call).await {
            Ok(answer) => parse(answer).map_err(|problem| (Reason::Malformed(problem), Vec::new())),
            Err(refused) => Err(refused),
        };
        if let Some(observer) = observer {
            let (label, endpoint) = (call.label, self.label());
            observer.request(&Request {
                label,
                endpoint,
                latency: start.elapsed(),
                ok: result.is_ok(),
            });
        }
        match &result {
            Ok(_) => self.set_answers(true),
            Err((reason, _)) if reason.is_endpoint_fault() => self.set_answers(false),
            Err(_) => {}
        }
        result.map_err(|(reason, body)| Refusal {
            failure: self.failure(call, reason),
            body,
        })
    }

    fn failure(&self, call: &Call, reason: Reason) -> Failure {
        let method = if call.method == Method::POST {
            "POST"
        } else {
            "GET"
        };
        Failure {
            endpoint: self.label.clone(),
            method,
            path: call.path.clone(),
            reason,
        }
    }

    async fn exchange(&self, client: &Client, call: &Call) -> Result<Answer, (Reason, Vec<u8>)> {
        let mut request = self.request(client, call.method.clone(), &call.path);
        request = request
            .timeout(call.timeout)
            .header(ACCEPT, call.accept.header());
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
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
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let is_ssz =
            content_type.is_some_and(|value| value.starts_with("application/octet-stream"));
        let body = read(response, call.limit, call.timeout)
            .await
            .map_err(|reason| (reason, Vec::new()))?;
        Ok(Answer { is_ssz, body })
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
    let mut body = Vec::with_capacity(announced);
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_queries_are_never_shown() {
        let endpoint = Endpoint::new(
            &"https://user:secret@host:8443/key/?token=1"
                .parse()
                .unwrap(),
        )
        .unwrap();
        assert_eq!(endpoint.label(), "https://host:8443/key");
        assert_eq!(endpoint.base, "https://user:secret@host:8443/key");
    }

    #[test]
    fn only_http_addresses_are_endpoints() {
        for text in ["ftp://host", "unix:/socket", "data:text/plain,x"] {
            let error = Endpoint::new(&text.parse().unwrap()).unwrap_err();
            assert!(matches!(error, ConfigError::NotHttp { .. }), "{text}");
        }
    }
}
