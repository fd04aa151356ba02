//! What can go wrong with an endpoint, in facts an operator can act on.

use std::{fmt, time::Duration};

use flotilla_types::{Epoch, Slot};

/// Most characters of a foreign body that an error shows.
const EXCERPT: usize = 256;

/// Endpoints or headers that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// No endpoint at all.
    #[error("no beacon node endpoint is given")]
    NoEndpoint,
    /// A scheme other than http or https, or an address that has no host.
    #[error("beacon node endpoint {endpoint}: expected http://HOST or https://HOST")]
    NotHttp {
        /// The address, without credentials.
        endpoint: String,
    },
    /// An https endpoint, and no TLS provider. `main` must install one (`rustls::crypto::CryptoProvider`) before.
    #[error(
        "beacon node endpoint {endpoint} needs TLS, and this process has no TLS provider installed"
    )]
    NoTlsProvider {
        /// The address, without credentials.
        endpoint: String,
    },
    /// An extra header whose name or value HTTP does not allow.
    #[error("beacon node header {name:?}: not a valid HTTP header")]
    Header {
        /// The header's name. The value may be a secret.
        name: String,
    },
    /// The HTTP client could not be set up.
    #[error("HTTP client: {0}")]
    Client(String),
}

/// Why one endpoint gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No complete answer in time.
    Timeout(Duration),
    /// Not reached, or the connection broke.
    Network(String),
    /// Another status than success.
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        body: String,
    },
    /// A body above the limit for this question.
    Oversized {
        /// Bytes allowed.
        limit: usize,
    },
    /// A body of another form, or an answer to another question.
    Malformed(String),
    /// Duties outside the epoch that was asked for: some nodes give the current epoch's slots for the next one.
    OtherEpoch {
        /// The epoch asked for.
        epoch: Epoch,
        /// A slot that is not in it.
        slot: Slot,
    },
    /// The endpoint serves another chain, so nothing was sent to it.
    OtherChain,
}

impl From<String> for Reason {
    fn from(problem: String) -> Self {
        Self::Malformed(problem)
    }
}

impl Reason {
    /// Whether this speaks against the endpoint itself rather than against one question.
    pub(crate) fn is_endpoint_fault(&self) -> bool {
        match self {
            Self::Timeout(_)
            | Self::Network(_)
            | Self::Oversized { .. }
            | Self::Malformed(_)
            | Self::OtherChain => true,
            // A known flaw of nodes that are well otherwise.
            Self::OtherEpoch { .. } => false,
            // Neither a refusal of our credentials nor a limit on our requests depends on the question.
            Self::Status { status, .. } => match status {
                401 | 403 | 407 | 408 | 429 => true,
                // A node of another make, which is well.
                501 => false,
                _ => *status >= 500,
            },
        }
    }

    /// Whether the endpoint answered that it does not know this kind of request.
    pub(crate) fn is_unknown_request(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 404 | 405 | 415 | 501,
                ..
            }
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(limit) => write!(f, "no complete answer within {limit:?}"),
            Self::Network(problem) => f.write_str(problem),
            Self::Status { status, body } if body.is_empty() => write!(f, "status {status}"),
            Self::Status { status, body } => write!(f, "status {status}: {body}"),
            Self::Oversized { limit } => write!(f, "answer of more than {limit} bytes"),
            Self::Malformed(problem) => write!(f, "unusable answer: {problem}"),
            Self::OtherEpoch { epoch, slot } => {
                write!(
                    f,
                    "unusable answer: a duty of slot {slot}, which is not in epoch {epoch}"
                )
            }
            Self::OtherChain => f.write_str("not asked, for it serves another chain"),
        }
    }
}

/// One endpoint's failure to answer one request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{method} {endpoint}{path}: {reason}")]
pub struct Failure {
    /// The endpoint, without credentials.
    pub endpoint: String,
    /// The HTTP method.
    pub method: &'static str,
    /// Path and query, cut where they are long.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// No endpoint gave a usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Each endpoint's failure, in the order they were asked. Never empty.
    pub failures: Vec<Failure>,
}

impl QueryError {
    /// Whether asking again may help: the node was not reached or not ready, or says that the question comes too early
    /// (spec 30 §1.7).
    pub fn is_temporary(&self) -> bool {
        self.failures.iter().any(|failure| match &failure.reason {
            Reason::Timeout(_) | Reason::Network(_) | Reason::OtherEpoch { .. } => true,
            Reason::Status { status, body } => {
                *status >= 500
                    || matches!(status, 408 | 429)
                    || ["future", "current or previous"]
                        .iter()
                        .any(|hint| body.contains(hint))
            }
            Reason::Oversized { .. } | Reason::Malformed(_) | Reason::OtherChain => false,
        })
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_failures(f, &self.failures)
    }
}

impl std::error::Error for QueryError {}

pub(crate) fn write_failures(f: &mut fmt::Formatter<'_>, failures: &[Failure]) -> fmt::Result {
    for (position, failure) in failures.iter().enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        write!(f, "{separator}{failure}")?;
    }
    Ok(())
}

/// The beginning of a foreign body in one printable line.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * EXCERPT)]);
    let printable = |character: char| {
        if character.is_control() {
            ' '
        } else {
            character
        }
    };
    text.chars()
        .take(EXCERPT)
        .map(printable)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_printable() {
        assert_eq!(excerpt(b"{\"code\":500}\n"), "{\"code\":500}");
        assert_eq!(excerpt(b"a\r\nb\x1b[31m"), "a  b [31m");
        assert_eq!(excerpt(&[0xff; 100_000]).chars().count(), EXCERPT);
    }

    #[test]
    fn a_refusal_of_whoever_asks_speaks_against_the_endpoint() {
        let fault = |status| {
            let body = String::new();
            Reason::Status { status, body }.is_endpoint_fault()
        };
        for status in [401, 403, 429, 500, 503] {
            assert!(fault(status), "{status}");
        }
        for status in [400, 404, 405, 415, 501] {
            assert!(!fault(status), "{status}");
        }
    }

    #[test]
    fn questions_that_come_too_early_may_be_repeated() {
        let error = |reason| {
            let (endpoint, path) = ("http://one".to_owned(), "/eth".to_owned());
            QueryError {
                failures: vec![Failure {
                    endpoint,
                    method: "GET",
                    path,
                    reason,
                }],
            }
        };
        let status = |status, body: &str| {
            error(Reason::Status {
                status,
                body: body.to_owned(),
            })
        };
        assert!(status(400, "slot is in the future").is_temporary());
        assert!(status(503, "").is_temporary());
        assert!(status(429, "").is_temporary());
        assert!(!status(400, "bad").is_temporary());
        assert!(error(Reason::Timeout(Duration::from_secs(2))).is_temporary());
        assert_eq!(
            status(400, "bad").to_string(),
            "GET http://one/eth: status 400: bad"
        );
    }
}
