//! A request to one of the server's own endpoints, read within its bounds.

use bytes::Bytes;
use flotilla_types::Fork;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING},
    http::request::Parts,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    answer::CONSENSUS_VERSION, endpoint::Endpoint, parameters::Parameters, problem::Problem,
};

/// How a request's body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Ssz,
}

/// A request with its whole body.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) received: Instant,
    pub(super) endpoint: Endpoint,
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Asked {
    /// The parameters in path and query.
    pub(super) fn parameters(&self) -> Parameters<'_> {
        Parameters {
            endpoint: self.endpoint,
            path: self.parts.uri.path(),
            query: self.parts.uri.query().unwrap_or_default(),
        }
    }

    /// The body's encoding: JSON unless the client says otherwise.
    pub(super) fn encoding(&self) -> Result<Encoding, Problem> {
        let Some(value) = self.parts.headers.get(CONTENT_TYPE) else {
            return Ok(Encoding::Json);
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        let lower = text.to_ascii_lowercase();
        if lower.contains("application/json") {
            Ok(Encoding::Json)
        } else if lower.contains("application/octet-stream") {
            Ok(Encoding::Ssz)
        } else {
            let message = format!("unsupported media type {text:.128}");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
        }
    }

    /// A body that has to be JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match self.encoding()? {
            Encoding::Json => parse(self.body()?),
            Encoding::Ssz => Err(Problem::unsupported()),
        }
    }

    /// A body that has to be there.
    pub(super) fn body(&self) -> Result<&Bytes, Problem> {
        match self.body.is_empty() {
            true => Err(Problem::bad_request("empty request body")),
            false => Ok(&self.body),
        }
    }

    /// The fork that the client names; it must.
    pub(super) fn fork(&self) -> Result<Fork, Problem> {
        let value = self.parts.headers.get(CONSENSUS_VERSION);
        let name = value.and_then(|value| value.to_str().ok());
        let name =
            name.ok_or_else(|| Problem::bad_request("missing header Eth-Consensus-Version"))?;
        Fork::from_name(name).ok_or_else(|| {
            let name: String = name.chars().take(32).collect();
            Problem::bad_request(format!("unknown consensus version [{name}]"))
        })
    }
}

/// Reads JSON.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(unparsed)
}

/// JSON of another form.
pub(super) fn unparsed(problem: impl ToString) -> Problem {
    Problem::bad_request("failed parsing json request body").because(problem)
}

/// From how many bytes on a body counts as large.
const LARGE: u64 = 1 << 20;

/// Whether a request's body is, or may be, large.
pub(super) fn is_large(headers: &HeaderMap) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length {
        Some(length) => length > LARGE,
        None => headers.contains_key(TRANSFER_ENCODING),
    }
}

/// Reads a body up to a limit.
pub(super) async fn read(body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body of more than {limit} bytes"),
        )),
        Err(error) => Err(Problem::cancelled().because(error)),
    }
}
