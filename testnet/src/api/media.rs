//! JSON or SSZ: what a body is, and what an answer shall be.

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flotilla_types::{DecodeError, Fork};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use crate::chain::{Arrival, now};

/// Header that names the fork of the body.
pub(crate) const CONSENSUS_VERSION: &str = "eth-consensus-version";
/// SSZ's media type.
const OCTETS: &str = "application/octet-stream";
/// JSON's media type.
const JSON: &str = "application/json";
/// Bytes of an offset.
const OFFSET: usize = 4;

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `application/json`, or no media type at all.
    Json,
    /// `application/octet-stream`.
    Ssz,
}

/// A request whose body has been read.
pub(crate) struct Received {
    /// When it came and where. The clock is read before the body, so that neither parsing nor checking counts as latency.
    pub(crate) arrival: Arrival,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// The encoding of its body.
    pub(crate) format: Format,
    /// Its body.
    pub(crate) body: Bytes,
}

impl Received {
    /// Reads a request.
    ///
    /// # Errors
    /// 415 for another media type, 400 for a body that is too long or breaks off.
    pub(crate) async fn read(endpoint: &Endpoint, request: Request) -> Result<Self, ApiError> {
        let arrival = Arrival {
            at: now(),
            endpoint: endpoint.operator,
        };
        let (parts, body) = request.into_parts();
        let format = format_of(&parts.headers)?;
        let body = axum::body::to_bytes(body, super::BODY_LIMIT).await;
        let body = body.map_err(|error| {
            ApiError::bad_request(format!("the body could not be read: {error}"))
        })?;
        Ok(Received {
            arrival,
            headers: parts.headers,
            format,
            body,
        })
    }

    /// Checks that the header names the fork of the chain.
    ///
    /// # Errors
    /// 400 if it does not.
    pub(crate) fn check_version(&self, endpoint: &Endpoint) -> Result<Fork, ApiError> {
        let fork = current_fork(endpoint);
        let expected = fork.name();
        match self.headers.get(CONSENSUS_VERSION).map(HeaderValue::to_str) {
            Some(Ok(found)) if found.eq_ignore_ascii_case(expected) => Ok(fork),
            Some(found) => {
                let found = found.unwrap_or("unreadable");
                Err(ApiError::bad_request(format!(
                    "Eth-Consensus-Version is {found}, the chain is at {expected}"
                )))
            }
            None => Err(ApiError::bad_request(
                "the header Eth-Consensus-Version is missing",
            )),
        }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, ApiError> {
        serde_json::from_slice(&self.body)
            .map_err(|error| ApiError::bad_request(format!("the body is no {what}: {error}")))
    }

    /// The items of a list, each read from JSON or from SSZ. `size` is that of an item in SSZ, if all have the same.
    ///
    /// # Errors
    /// 400 for anything else.
    pub(crate) fn list<T>(
        &self,
        what: &str,
        size: Option<usize>,
        from_json: impl Fn(&Value) -> Result<T, DecodeError>,
        from_ssz: impl Fn(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, ApiError> {
        let items: Result<Vec<T>, DecodeError> = match self.format {
            Format::Json => self
                .json::<Vec<Value>>(what)?
                .iter()
                .map(from_json)
                .collect(),
            Format::Ssz => match size {
                Some(size) => self.body.chunks(size.max(1)).map(from_ssz).collect(),
                None => variable_items(&self.body)
                    .ok_or_else(|| {
                        ApiError::bad_request(format!("the offsets of the {what} are wrong"))
                    })?
                    .into_iter()
                    .map(from_ssz)
                    .collect(),
            },
        };
        items.map_err(|error| ApiError::bad_request(format!("the body is no {what}: {error}")))
    }
}

/// Items of a list of things of variable size: offsets first.
fn variable_items(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let word = |at: usize| {
        let word = bytes.get(at..at + OFFSET)?;
        Some(u32::from_le_bytes(word.try_into().ok()?) as usize)
    };
    let first = word(0)?;
    if first == 0 || !first.is_multiple_of(OFFSET) || first > bytes.len() {
        return None;
    }
    let offsets: Vec<usize> = (0..first / OFFSET)
        .map(|place| word(place * OFFSET))
        .collect::<Option<_>>()?;
    let ends = offsets.iter().copied().skip(1).chain([bytes.len()]);
    offsets
        .iter()
        .zip(ends)
        .map(|(start, end)| bytes.get(*start..end))
        .collect()
}

/// An item of a list from JSON that needs no preset.
pub(crate) fn from_json<T: DeserializeOwned>(json: &Value) -> Result<T, DecodeError> {
    T::deserialize(json).map_err(|error: serde_json::Error| DecodeError::Json {
        what: "item",
        problem: error.to_string(),
    })
}

/// The fork of the current slot.
pub(crate) fn current_fork(endpoint: &Endpoint) -> Fork {
    let chain = endpoint.simulator.chain();
    chain.fork_at(chain.epoch_of(endpoint.simulator.current_slot()))
}

fn format_of(headers: &HeaderMap) -> Result<Format, ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(Format::Json);
    };
    let media = value.to_str().unwrap_or_default();
    match media.split(';').next().map(str::trim) {
        Some(JSON) => Ok(Format::Json),
        Some(OCTETS) => Ok(Format::Ssz),
        _ => Err(ApiError::unsupported_media(format!(
            "unsupported media type {media}"
        ))),
    }
}

/// Refuses bodies that are not JSON, for endpoints that take nothing else.
pub(crate) fn only_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match format_of(headers)? {
        Format::Json => Ok(()),
        Format::Ssz => Err(ApiError::unsupported_media(
            "Cannot read the supplied content type.",
        )),
    }
}

/// Whether `Accept` gives SSZ at least the weight of JSON.
pub(crate) fn prefers_ssz(headers: &HeaderMap) -> bool {
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let weight = |media: &str| {
        let range = accept
            .split(',')
            .map(str::trim)
            .find(|range| range.split(';').next().map(str::trim) == Some(media))?;
        let quality = range
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("q="));
        Some(quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0)))
    };
    match (weight(OCTETS), weight(JSON)) {
        (Some(ssz), Some(json)) => ssz >= json && ssz > 0.0,
        (ssz, _) => ssz.is_some_and(|ssz| ssz > 0.0),
    }
}

/// An answer in SSZ.
pub(crate) fn ssz(bytes: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static(OCTETS))], bytes).into_response()
}

/// An answer that names its fork, in the encoding the client prefers.
pub(crate) fn versioned(
    fork: Fork,
    headers: &HeaderMap,
    data: impl serde::Serialize,
    bytes: impl FnOnce() -> Vec<u8>,
) -> Response {
    let mut response = if prefers_ssz(headers) {
        ssz(bytes())
    } else {
        Json(json!({
            "version": fork.name(), "execution_optimistic": false, "finalized": false, "data": data,
        }))
        .into_response()
    };
    response
        .headers_mut()
        .insert(CONSENSUS_VERSION, HeaderValue::from_static(fork.name()));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn accepting(text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(text))])
    }

    #[test]
    fn ssz_is_answered_when_it_weighs_at_least_as_much() {
        for ssz in [
            "application/octet-stream",
            "application/octet-stream;q=1,application/json;q=0.9",
            "application/json, application/octet-stream",
        ] {
            assert!(prefers_ssz(&accepting(ssz)), "{ssz}");
        }
        for json in [
            "application/json",
            "*/*",
            "application/octet-stream;q=0.5,application/json",
            "application/octet-stream;q=0",
        ] {
            assert!(!prefers_ssz(&accepting(json)), "{json}");
        }
    }

    #[test]
    fn other_media_types_are_refused() {
        let of = |text| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
        assert_eq!(
            format_of(&of("application/json; charset=utf-8")).unwrap(),
            Format::Json
        );
        assert_eq!(format_of(&of(OCTETS)).unwrap(), Format::Ssz);
        assert!(format_of(&of("text/plain")).is_err());
        assert!(only_json(&of(OCTETS)).is_err());
    }

    #[test]
    fn variable_items_lie_between_their_offsets() {
        let bytes = [8, 0, 0, 0, 10, 0, 0, 0, 1, 2, 3];
        assert_eq!(variable_items(&bytes).unwrap(), [&[1, 2][..], &[3]]);
        assert_eq!(variable_items(&[]).unwrap().len(), 0);
        for wrong in [&[1][..], &[5, 0, 0, 0, 0], &[0, 0, 0, 0], &[255, 0, 0, 0]] {
            assert!(variable_items(wrong).is_none());
        }
    }
}
