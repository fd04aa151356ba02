//! Messages and contributions of the sync committee.

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use flotilla_types::{
    DecodeError, DutyKind, ListSizes, Root, SignedContributionAndProof, Slot, SyncCommitteeMessage,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media::{self, Received};
use super::submission::answer;

/// Slot, root, validator and signature.
const MESSAGE_BYTES: usize = 8 + 32 + 8 + 96;

/// `POST /eth/v1/beacon/pool/sync_committees`, in JSON or SSZ.
pub(crate) async fn submit_messages(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    let received = Received::read(&endpoint, request).await?;
    let messages = received.list(
        "list of sync committee messages",
        Some(MESSAGE_BYTES),
        media::from_json,
        SyncCommitteeMessage::decode,
    );
    let messages = endpoint.counted(DutyKind::SyncMessage, messages)?;
    answer(endpoint.simulator.submit(received.arrival, &messages).await)
}

#[derive(Debug, Deserialize)]
pub(crate) struct ContributionQuery {
    slot: Slot,
    subcommittee_index: u64,
    beacon_block_root: Root,
}

/// `GET /eth/v1/validator/sync_committee_contribution?slot=…&subcommittee_index=…&beacon_block_root=…`.
pub(crate) async fn contribution(
    State(endpoint): State<Endpoint>,
    Query(query): Query<ContributionQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let count = endpoint
        .simulator
        .chain()
        .spec
        .sizes
        .sync_committee_subnet_count;
    if query.subcommittee_index >= count {
        let index = query.subcommittee_index;
        return Err(ApiError::bad_request(format!(
            "there is no subcommittee {index}"
        )));
    }
    let contribution = endpoint.simulator.world().contribution(
        query.slot,
        query.beacon_block_root,
        query.subcommittee_index,
    );
    let contribution = contribution.ok_or_else(|| {
        ApiError::not_found(format!(
            "no messages of subcommittee {} for {} in slot {}",
            query.subcommittee_index, query.beacon_block_root, query.slot
        ))
    })?;
    if media::prefers_ssz(&headers) {
        return Ok(media::ssz(contribution.encode()));
    }
    Ok(Json(json!({ "data": contribution })).into_response())
}

/// `POST /eth/v1/validator/contribution_and_proofs`, in JSON or SSZ.
pub(crate) async fn submit_contributions(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    let received = Received::read(&endpoint, request).await?;
    let sizes = endpoint.simulator.chain().spec.sizes;
    let contributions = received.list(
        "list of signed contributions",
        Some(contribution_bytes(&sizes)),
        |json: &Value| SignedContributionAndProof::from_json(json, &sizes),
        |bytes| -> Result<_, DecodeError> { SignedContributionAndProof::decode(bytes, &sizes) },
    );
    let contributions = endpoint.counted(DutyKind::SyncContribution, contributions)?;
    answer(
        endpoint
            .simulator
            .submit(received.arrival, &contributions)
            .await,
    )
}

/// Aggregator, contribution, proof and signature.
fn contribution_bytes(sizes: &ListSizes) -> usize {
    let bits = sizes.sync_subcommittee_size().div_ceil(8) as usize;
    8 + (8 + 32 + 8 + bits + 96) + 96 + 96
}
