//! Requests to one beacon node: JSON or SSZ, each with a time limit and a size limit.
//!
//! Written apart from the node's own Beacon API client, so that a misreading of the API on one side is found by the
//! other. It knows nothing of duties.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use flotilla_types::Fork;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Largest body read: a Fulu block with its blobs in hex, several times over.
const BODY_LIMIT: usize = 64 << 20;
/// Characters of a refusal's text that are kept.
const TEXT_KEPT: usize = 400;
/// Header that names the fork of a body.
const VERSION: &str = "Eth-Consensus-Version";
/// Header that tells whether a block is blinded.
const BLINDED: &str = "Eth-Execution-Payload-Blinded";
const JSON: &str = "application/json";
const SSZ: &str = "application/octet-stream";

/// A request without a usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// Nothing came, or it broke off.
    #[error("{path}: {source}")]
    Transport {
        path: String,
        source: reqwest::Error,
    },
    /// The node said no.
    #[error("{path}: status {status}: {text}")]
    Status {
        path: String,
        status: u16,
        text: String,
        /// How many items of the list the node named as bad; 0 when it named none.
        failures: usize,
    },
    /// More bytes than any answer has.
    #[error("{path}: the answer has more than {BODY_LIMIT} bytes")]
    TooLarge { path: String },
    /// An answer of another form.
    #[error("{path}: {source}")]
    Json {
        path: String,
        source: serde_json::Error,
    },
}

impl HttpError {
    /// How many items of a list of `sent` were not taken: those the node named, else all.
    pub(super) fn refused_of(&self, sent: u64) -> u64 {
        match self {
            Self::Status { failures, .. } if *failures > 0 => sent.min(*failures as u64),
            _ => sent,
        }
    }
}

/// An answer that may be SSZ.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether the body is SSZ instead of JSON.
    pub(super) ssz: bool,
    /// The fork that the header names, if any.
    pub(super) fork: Option<Fork>,
    /// Whether the header calls the block blinded.
    pub(super) blinded: bool,
    /// The body.
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `path` is for the error.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, HttpError> {
        parse(path, &self.bytes)
    }
}

/// A body to post, in one form or both.
#[derive(Debug)]
pub(super) struct Post {
    json: Vec<u8>,
    ssz: Option<Vec<u8>>,
    fork: Option<Fork>,
}

impl Post {
    /// A body that is JSON only.
    pub(super) fn json(body: &impl Serialize) -> Self {
        let json = serde_json::to_vec(body).expect("texts, numbers and lists have a JSON form");
        Self {
            json,
            ssz: None,
            fork: None,
        }
    }

    /// The same in SSZ, for nodes that take it.
    pub(super) fn or_ssz(self, ssz: Vec<u8>) -> Self {
        Self {
            ssz: Some(ssz),
            ..self
        }
    }

    /// The fork that the header names.
    pub(super) fn of_fork(self, fork: Fork) -> Self {
        Self {
            fork: Some(fork),
            ..self
        }
    }
}

/// A beacon node, or a middleware that looks like one.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: String,
    ssz: bool,
    /// Paths that answered 415 to SSZ; they get JSON from then on. As many as there are places that post SSZ.
    json_only: Mutex<BTreeSet<String>>,
}

impl Http {
    /// The node under a URL. With `ssz`, bodies are SSZ wherever the API has that, and answers as the node likes.
    pub(super) fn new(base: &str, ssz: bool) -> Self {
        Self {
            client: crate::http::client(),
            base: base.trim_end_matches('/').to_owned(),
            ssz,
            json_only: Mutex::default(),
        }
    }

    /// A JSON answer.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<T, HttpError> {
        let request = self.request(Method::GET, path).header(ACCEPT, JSON);
        let (_, bytes) = exchange(path, request, limit).await?;
        parse(path, &bytes)
    }

    /// An answer in SSZ, if this client wants it and the node has it, else in JSON.
    pub(super) async fn get_either(
        &self,
        path: &str,
        limit: Duration,
    ) -> Result<Answer, HttpError> {
        let accepted = match self.ssz {
            true => "application/octet-stream;q=1,application/json;q=0.9",
            false => JSON,
        };
        let request = self.request(Method::GET, path).header(ACCEPT, accepted);
        let (headers, bytes) = exchange(path, request, limit).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Answer {
            ssz: text(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with(SSZ)),
            fork: text(VERSION).and_then(Fork::from_name),
            blinded: text(BLINDED).is_some_and(|value| value.eq_ignore_ascii_case("true")),
            bytes,
        })
    }

    /// Posts, and takes any answer.
    pub(super) async fn post(
        &self,
        path: &str,
        body: Post,
        limit: Duration,
    ) -> Result<(), HttpError> {
        self.post_bytes(path, body, limit).await.map(|_| ())
    }

    /// Posts JSON for a JSON answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        limit: Duration,
    ) -> Result<T, HttpError> {
        let bytes = self.post_bytes(path, Post::json(body), limit).await?;
        parse(path, &bytes)
    }

    /// The answer to a request for events, whose body has no end.
    pub(super) async fn stream(&self, path: &str, limit: Duration) -> Result<Response, HttpError> {
        let request = self
            .request(Method::GET, path)
            .header(ACCEPT, "text/event-stream");
        // The limit is on the head of the answer alone.
        let answer = tokio::time::timeout(limit, request.send()).await;
        let answer = answer.map_err(|_| HttpError::Status {
            path: bare(path),
            status: 0,
            text: format!("no answer within {limit:?}"),
            failures: 0,
        })?;
        let answer = answer.map_err(|source| transport(path, source))?;
        checked(path, answer).await
    }

    async fn post_bytes(
        &self,
        path: &str,
        body: Post,
        limit: Duration,
    ) -> Result<Vec<u8>, HttpError> {
        let request = |kind: &'static str, bytes: Vec<u8>| {
            let request = self
                .request(Method::POST, path)
                .header(CONTENT_TYPE, kind)
                .header(ACCEPT, JSON)
                .body(bytes);
            match body.fork {
                Some(fork) => request.header(VERSION, fork.name()),
                None => request,
            }
        };
        if let Some(ssz) = body.ssz.filter(|_| self.ssz && !self.is_json_only(path)) {
            match exchange(path, request(SSZ, ssz), limit).await {
                Err(HttpError::Status { status: 415, .. }) => self.remember_json_only(path),
                result => return result.map(|(_, bytes)| bytes),
            }
        }
        let (_, bytes) = exchange(path, request(JSON, body.json), limit).await?;
        Ok(bytes)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    fn is_json_only(&self, path: &str) -> bool {
        let paths = self.json_only.lock();
        paths.unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn remember_json_only(&self, path: &str) {
        let mut paths = self
            .json_only
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        paths.insert(path.to_owned());
    }
}

/// A path without its query, which is long and holds signatures.
fn bare(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

fn transport(path: &str, source: reqwest::Error) -> HttpError {
    HttpError::Transport {
        path: bare(path),
        source: source.without_url(),
    }
}

fn parse<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, HttpError> {
    serde_json::from_slice(bytes).map_err(|source| HttpError::Json {
        path: bare(path),
        source,
    })
}

async fn exchange(
    path: &str,
    request: RequestBuilder,
    limit: Duration,
) -> Result<(HeaderMap, Vec<u8>), HttpError> {
    let answer = request.timeout(limit).send().await;
    let answer = answer.map_err(|source| transport(path, source))?;
    let mut answer = checked(path, answer).await?;
    let headers = std::mem::take(answer.headers_mut());
    Ok((headers, body(path, answer).await?))
}

/// The body, unless it is too large.
async fn body(path: &str, mut answer: Response) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|source| transport(path, source))?
    {
        if bytes.len() + piece.len() > BODY_LIMIT {
            return Err(HttpError::TooLarge { path: bare(path) });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// The answer if it is a success, else the node's text.
async fn checked(path: &str, answer: Response) -> Result<Response, HttpError> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        #[serde(default)]
        failures: Vec<serde_json::Value>,
    }
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let bytes = body(path, answer).await?;
    let refusal = serde_json::from_slice::<Refusal>(&bytes);
    Err(HttpError::Status {
        path: bare(path),
        status: status.as_u16(),
        text: String::from_utf8_lossy(&bytes)
            .chars()
            .take(TEXT_KEPT)
            .collect(),
        failures: refusal.map_or(0, |refusal| refusal.failures.len()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use tokio::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn serve(router: Router, ssz: bool) -> Http {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Http::new(&base, ssz)
    }

    #[tokio::test]
    async fn after_a_415_a_path_gets_json() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kinds = Arc::clone(&seen);
        let answer = move |headers: axum::http::HeaderMap| async move {
            let kind = headers[CONTENT_TYPE].to_str().unwrap().to_owned();
            let refused = kind == SSZ;
            kinds.lock().unwrap().push(kind);
            if refused {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            } else {
                StatusCode::OK
            }
        };
        let http = serve(Router::new().route("/x", post(answer)), true).await;
        for _ in 0..2 {
            let body = Post::json(&[1]).or_ssz(vec![1]);
            http.post("/x", body, LIMIT).await.unwrap();
        }
        assert_eq!(*seen.lock().unwrap(), [SSZ, JSON, JSON]);
    }

    #[tokio::test]
    async fn a_refused_list_counts_the_items_the_node_names() {
        let text = r#"{"code":400,"message":"bad","failures":[{"index":1,"message":"late"}]}"#;
        let answer = move || async move { (StatusCode::BAD_REQUEST, text) };
        let http = serve(Router::new().route("/x", post(answer)), false).await;
        let posted = http
            .post("/x?secret=1", Post::json(&[1, 2, 3]), LIMIT)
            .await;
        let error = posted.unwrap_err();
        assert_eq!((error.refused_of(3), error.refused_of(0)), (1, 0));
        let told = error.to_string();
        assert!(told.contains("late") && !told.contains("secret"), "{told}");
    }

    #[tokio::test]
    async fn a_refusal_without_a_list_counts_all_items() {
        let answer = || async { (StatusCode::INTERNAL_SERVER_ERROR, "no") };
        let http = serve(Router::new().route("/x", get(answer)), false).await;
        let error = http.get::<()>("/x", LIMIT).await.unwrap_err();
        assert_eq!(error.refused_of(3), 3);
        assert!(error.to_string().contains("status 500: no"), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_never_comes_ends_with_the_limit() {
        let http = serve(
            Router::new().route("/x", get(std::future::pending::<()>)),
            false,
        )
        .await;
        let error = http.get::<()>("/x", Duration::from_millis(20)).await;
        assert!(
            matches!(error, Err(HttpError::Transport { .. })),
            "{error:?}"
        );
    }
}
