//! What to attest, and attestations brought in.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flotilla_types::{CommitteeIndex, SingleAttestation, Slot};
use serde::Deserialize;
use serde_json::json;

use super::Endpoint;
use super::error::ApiError;
use crate::chain::{Arrival, Judgement, now};

/// Header that names the fork of the body.
const CONSENSUS_VERSION: &str = "eth-consensus-version";
/// SSZ's media type.
const OCTETS: &str = "application/octet-stream";

#[derive(Debug, Deserialize)]
pub(crate) struct DataQuery {
    slot: Slot,
    committee_index: Option<CommitteeIndex>,
}

/// `GET /eth/v1/validator/attestation_data?slot=…&committee_index=…`: the head as seen at this moment.
pub(crate) async fn data(
    State(endpoint): State<Endpoint>,
    Query(query): Query<DataQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let committees = endpoint
        .simulator
        .chain()
        .spec
        .sizes
        .max_committees_per_slot;
    if let Some(index) = query.committee_index.filter(|index| index.0 >= committees) {
        return Err(ApiError::bad_request(format!(
            "there is no committee {index}"
        )));
    }
    let data = endpoint.simulator.attestation_data(now(), query.slot);
    let data = data.map_err(|fault| ApiError::bad_request(fault.to_string()))?;
    if prefers_ssz(&headers) {
        return Ok((
            [(CONTENT_TYPE, HeaderValue::from_static(OCTETS))],
            data.encode(),
        )
            .into_response());
    }
    Ok(Json(json!({ "data": data })).into_response())
}

/// Whether `Accept` names SSZ with at least the weight of JSON.
fn prefers_ssz(headers: &HeaderMap) -> bool {
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
    match (weight(OCTETS), weight("application/json")) {
        (Some(ssz), Some(json)) => ssz >= json,
        (ssz, _) => ssz.is_some(),
    }
}

/// `POST /eth/v2/beacon/pool/attestations`: a list of `SingleAttestation` (EIP-7549), in JSON or SSZ.
pub(crate) async fn submit(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    // The clock is read before the body, so that neither parsing nor checking counts as latency.
    let arrival = Arrival {
        at: now(),
        endpoint: endpoint.operator,
    };
    let (parts, body) = request.into_parts();
    check_version(&endpoint, &parts.headers)?;
    let body = axum::body::to_bytes(body, super::BODY_LIMIT).await;
    let body = body
        .map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?;
    let attestations = parse(&parts.headers, &body)?;
    let judgements = endpoint.simulator.submit(arrival, &attestations).await;
    let failures: Vec<_> = judgements
        .iter()
        .enumerate()
        .filter_map(|(index, judgement)| match judgement {
            Judgement::Refused(fault) => Some((index, fault.to_string())),
            Judgement::Included | Judgement::Late | Judgement::Duplicate => None,
        })
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(ApiError::failures(&failures))
    }
}

fn check_version(endpoint: &Endpoint, headers: &HeaderMap) -> Result<(), ApiError> {
    let chain = endpoint.simulator.chain();
    let expected = chain
        .fork_at(chain.epoch_of(endpoint.simulator.current_slot()))
        .name();
    match headers.get(CONSENSUS_VERSION).map(HeaderValue::to_str) {
        Some(Ok(found)) if found.eq_ignore_ascii_case(expected) => Ok(()),
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

fn parse(headers: &HeaderMap, body: &Bytes) -> Result<Vec<SingleAttestation>, ApiError> {
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(OCTETS.as_bytes()))
    {
        // A list of fixed-size objects is their concatenation.
        let parsed = body
            .chunks(SINGLE_ATTESTATION_BYTES)
            .map(SingleAttestation::decode)
            .collect::<Result<_, _>>();
        return parsed.map_err(|error| {
            ApiError::bad_request(format!("the body is no list of attestations: {error}"))
        });
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is no list of attestations: {error}"))
    })
}

/// Committee index, attester index, data and signature.
const SINGLE_ATTESTATION_BYTES: usize = 8 + 8 + flotilla_types::AttestationData::SSZ_BYTES + 96;
