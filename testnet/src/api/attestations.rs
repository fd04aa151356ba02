//! What to attest and to aggregate, and attestations and aggregates brought in.

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use flotilla_types::{
    AttestationData, CommitteeIndex, DutyKind, Fork, Root, SignedAggregateAndProof,
    SingleAttestation, Slot,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media::{self, Received};
use super::submission::answer;

/// Committee index, attester index, data and signature.
const SINGLE_ATTESTATION_BYTES: usize = 8 + 8 + AttestationData::SSZ_BYTES + 96;

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
    check_committee(&endpoint, query.committee_index)?;
    let data = endpoint.view().attestation_data(query.slot);
    let data = data.map_err(|fault| ApiError::bad_request(fault.to_string()))?;
    if media::prefers_ssz(&headers) {
        return Ok(media::ssz(data.encode()));
    }
    Ok(Json(json!({ "data": data })).into_response())
}

fn check_committee(endpoint: &Endpoint, index: Option<CommitteeIndex>) -> Result<(), ApiError> {
    let committees = endpoint
        .simulator
        .chain()
        .spec
        .sizes
        .max_committees_per_slot;
    match index.filter(|index| index.0 >= committees) {
        Some(index) => Err(ApiError::bad_request(format!(
            "there is no committee {index}"
        ))),
        None => Ok(()),
    }
}

/// `POST /eth/v2/beacon/pool/attestations`: a list of `SingleAttestation` (EIP-7549), in JSON or SSZ.
pub(crate) async fn submit(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    let received = Received::read(&endpoint, request).await?;
    received.check_version(&endpoint)?;
    let attestations = received.list(
        "list of attestations",
        Some(SINGLE_ATTESTATION_BYTES),
        media::from_json,
        SingleAttestation::decode,
    );
    let attestations = endpoint.counted(DutyKind::Attester, attestations)?;
    answer(
        endpoint
            .simulator
            .submit(received.arrival, &attestations)
            .await,
    )
}

#[derive(Debug, Deserialize)]
pub(crate) struct AggregateQuery {
    attestation_data_root: Root,
    slot: Slot,
    committee_index: CommitteeIndex,
}

/// `GET /eth/v2/validator/aggregate_attestation?attestation_data_root=…&slot=…&committee_index=…`.
pub(crate) async fn aggregate(
    State(endpoint): State<Endpoint>,
    Query(query): Query<AggregateQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    check_committee(&endpoint, Some(query.committee_index))?;
    let aggregate = endpoint.simulator.world().aggregate(
        query.slot,
        query.attestation_data_root,
        query.committee_index,
    );
    let aggregate = aggregate.ok_or_else(|| {
        ApiError::not_found(format!(
            "no attestations of committee {} for {} in slot {}",
            query.committee_index, query.attestation_data_root, query.slot
        ))
    })?;
    let fork = media::current_fork(&endpoint);
    Ok(media::versioned(fork, &headers, &aggregate, || {
        aggregate.encode()
    }))
}

/// `GET /eth/v1/validator/aggregate_attestation`: gone with Electra, as on real beacon nodes.
pub(crate) async fn aggregate_v1() -> ApiError {
    ApiError::bad_request("use /eth/v2/validator/aggregate_attestation from Electra on")
}

/// `POST /eth/v2/validator/aggregate_and_proofs`, in JSON or SSZ.
pub(crate) async fn submit_aggregates(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    let received = Received::read(&endpoint, request).await?;
    let fork = received.check_version(&endpoint)?;
    let sizes = endpoint.simulator.chain().spec.sizes;
    let aggregates = received.list(
        "list of signed aggregates",
        None,
        |json: &Value| SignedAggregateAndProof::from_json(fork, json, &sizes),
        |bytes| SignedAggregateAndProof::decode(&headed(fork, bytes), &sizes),
    );
    let aggregates = endpoint.counted(DutyKind::Aggregator, aggregates)?;
    answer(
        endpoint
            .simulator
            .submit(received.arrival, &aggregates)
            .await,
    )
}

/// The header that members of a cluster put before SSZ, which the reader expects: fork and offset.
fn headed(fork: Fork, bytes: &[u8]) -> Vec<u8> {
    let mut headed = fork.wire().to_le_bytes().to_vec();
    headed.extend_from_slice(&12_u32.to_le_bytes());
    headed.extend_from_slice(bytes);
    headed
}
