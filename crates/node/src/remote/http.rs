//! One bounded request.

use std::error::Error as _;
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Client, RequestBuilder, StatusCode, Url, redirect};

/// How much of an unexpected answer an error quotes.
const EXCERPT_BYTES: usize = 200;
/// Redirects followed: a moved file, not a chain.
const MAX_REDIRECTS: usize = 3;

/// A request that brought no usable answer. Credentials in the address are not repeated.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address cannot be used.
    #[error("{address}: expected an http:// or https:// address with a host")]
    Address {
        /// As given.
        address: String,
    },
    /// No connection, or it broke.
    #[error("{address}: {reason}")]
    Unreachable {
        /// Who was asked.
        address: String,
        /// Why.
        reason: String,
    },
    /// No complete answer in time.
    #[error("{address} gave no complete answer within {limit:?}")]
    Timeout {
        /// Who was asked.
        address: String,
        /// How long it had.
        limit: Duration,
    },
    /// The answer does not end where it should.
    #[error("{address} sent more than {limit} bytes")]
    TooLarge {
        /// Who was asked.
        address: String,
        /// Most that is read.
        limit: usize,
    },
    /// A status other than success.
    #[error("{address} answered {status}: {excerpt}")]
    Status {
        /// Who was asked.
        address: String,
        /// HTTP status.
        status: StatusCode,
        /// Beginning of the body.
        excerpt: String,
    },
    /// What was to be sent cannot be written down; nothing was sent.
    #[error("nothing was sent to {address}: {reason}")]
    Unsendable {
        /// Who was to be asked.
        address: String,
        /// What is wrong with the request.
        reason: String,
    },
    /// Success, with a body that is not what was asked for.
    #[error("{address} answered what is not understood: {reason}")]
    Answer {
        /// Who was asked.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// An address that may be asked.
#[derive(Clone, Debug)]
pub(super) struct Address(Url);

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, RemoteError> {
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            Ok(url) => Err(RemoteError::Address {
                address: Self(url).label(),
            }),
            Err(_) => Err(RemoteError::Address {
                address: text.to_owned(),
            }),
        }
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The address without credentials and query, for people.
    pub(super) fn label(&self) -> String {
        let mut shown = self.0.clone();
        // Fails only for addresses without a host, which hold no credentials.
        let _ = shown
            .set_username("")
            .and_then(|()| shown.set_password(None));
        shown.set_query(None);
        shown.set_fragment(None);
        shown.as_str().trim_end_matches('/').to_owned()
    }

    /// `path` behind the path of the address.
    pub(super) fn appended(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
        Self(url)
    }

    /// `path` in place of the path of the address.
    pub(super) fn replaced(&self, path: &str) -> Self {
        let mut url = self.0.clone();
        url.set_path(path);
        Self(url)
    }
}

/// A client that follows few redirects, and none from https to http: what was asked for in confidence is not fetched in the open.
pub(super) fn client() -> Result<Client, RemoteError> {
    // An error means that the process has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = redirect::Policy::custom(|attempt| {
        let was_secure = attempt
            .previous()
            .last()
            .is_some_and(|url| url.scheme() == "https");
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error(format!("more than {MAX_REDIRECTS} redirects"))
        } else if was_secure && attempt.url().scheme() != "https" {
            attempt.error("redirected from https to http")
        } else {
            attempt.follow()
        }
    });
    Client::builder()
        .user_agent(concat!("flotilla/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .build()
        .map_err(|error| RemoteError::Unreachable {
            address: "HTTP client".to_owned(),
            reason: reason(&error),
        })
}

/// Sends, and reads at most `limit` bytes of the answer, all within `timeout`.
pub(super) async fn exchange(
    address: &Address,
    request: RequestBuilder,
    limit: usize,
    timeout: Duration,
) -> Result<(StatusCode, Vec<u8>), RemoteError> {
    let answer = async {
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(address, &error))?;
        let status = response.status();
        let mut chunks = response.bytes_stream();
        let mut body = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| unreachable(address, &error))?;
            if body.len() + chunk.len() > limit {
                return Err(RemoteError::TooLarge {
                    address: address.label(),
                    limit,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    };
    tokio::time::timeout(timeout, answer)
        .await
        .map_err(|_| RemoteError::Timeout {
            address: address.label(),
            limit: timeout,
        })?
}

/// As [`successful`], where "it is there already" is as good: a peer or an earlier attempt has brought it.
pub(super) fn accepted(
    address: &Address,
    answer: (StatusCode, Vec<u8>),
) -> Result<Vec<u8>, RemoteError> {
    match answer {
        (StatusCode::CONFLICT, body) => Ok(body),
        answer => successful(address, answer),
    }
}

/// The body of a successful answer.
pub(super) fn successful(
    address: &Address,
    (status, body): (StatusCode, Vec<u8>),
) -> Result<Vec<u8>, RemoteError> {
    if status.is_success() {
        return Ok(body);
    }
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    Err(RemoteError::Status {
        address: address.label(),
        status,
        excerpt: excerpt.trim().escape_debug().to_string(),
    })
}

fn unreachable(address: &Address, error: &reqwest::Error) -> RemoteError {
    RemoteError::Unreachable {
        address: address.label(),
        reason: reason(error),
    }
}

/// The innermost causes say what happened; the outer ones repeat the address, with its credentials.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match error.source() {
        Some(_) => innermost.to_string(),
        None => "the request failed".to_owned(),
    }
}

/// An error about a request that could not be made.
pub(super) fn unsendable(address: &Address, error: &dyn std::fmt::Display) -> RemoteError {
    RemoteError::Unsendable {
        address: address.label(),
        reason: error.to_string(),
    }
}

/// An error about an answer that is not understood.
pub(super) fn not_understood(address: &Address, error: &dyn std::fmt::Display) -> RemoteError {
    RemoteError::Answer {
        address: address.label(),
        reason: error.to_string(),
    }
}
