//! Blocks to be proposed, and blocks brought in.

use axum::Json;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flotilla_types::{DutyKind, Proposal, Root, SignatureBytes, SignedProposal, Slot};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media::{self, Format, Received};
use super::submission::answer;
use crate::chain::{Arrival, BlockRequest, now};
use crate::options::Misbehaviour;

/// What a block of the own execution layer is worth, in Wei.
const LOCAL_VALUE: &str = "1000000000000000";
/// What a builder's block is worth, in Wei.
const BUILDER_VALUE: &str = "50000000000000000";
/// What a block is worth on the consensus layer, in Wei.
const CONSENSUS_VALUE: &str = "20000000000000000";

#[derive(Debug, Deserialize)]
pub(crate) struct ProduceQuery {
    randao_reveal: SignatureBytes,
    graffiti: Option<Root>,
    builder_boost_factor: Option<String>,
}

/// `GET /eth/v3/validator/blocks/{slot}?randao_reveal=…&graffiti=…&builder_boost_factor=…`.
///
/// The builder's block is answered if there is a builder, it knows the validator, and the boost factor is not 0.
pub(crate) async fn produce(
    State(endpoint): State<Endpoint>,
    Path(slot): Path<Slot>,
    Query(query): Query<ProduceQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let arrival = Arrival {
        at: now(),
        endpoint: endpoint.operator,
    };
    let boost = query.builder_boost_factor.as_deref().unwrap_or("100");
    let boost: u64 = boost
        .parse()
        .map_err(|error| ApiError::bad_request(format!("builder_boost_factor {boost}: {error}")))?;
    let request = BlockRequest {
        slot,
        randao: query.randao_reveal,
        graffiti: query.graffiti.unwrap_or_default().0,
        builder: boost > 0,
        endpoint: endpoint.operator,
    };
    if boost > 0 && endpoint.faults.misbehaviour() == Some(Misbehaviour::LateBuilder) {
        // The builder is waited for until nobody has a use for its block any more.
        tokio::time::sleep(endpoint.simulator.chain().spec.slot_duration).await;
    }
    let made = endpoint.simulator.make_block(arrival, request).await;
    let proposal = made.map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(produced(&endpoint, &headers, &proposal))
}

fn produced(endpoint: &Endpoint, headers: &HeaderMap, proposal: &Proposal) -> Response {
    let sizes = endpoint.simulator.chain().spec.sizes;
    let blinded = proposal.is_blinded();
    let value = if blinded { BUILDER_VALUE } else { LOCAL_VALUE };
    let mut response = if media::prefers_ssz(headers) {
        media::ssz(proposal.to_ssz())
    } else {
        Json(json!({
            "version": proposal.fork().name(),
            "execution_payload_blinded": blinded,
            "execution_payload_value": value,
            "consensus_block_value": CONSENSUS_VALUE,
            "data": proposal.to_json(&sizes),
        }))
        .into_response()
    };
    let named = [
        (media::CONSENSUS_VERSION, proposal.fork().name()),
        (
            "eth-execution-payload-blinded",
            if blinded { "true" } else { "false" },
        ),
        ("eth-execution-payload-value", value),
        ("eth-consensus-block-value", CONSENSUS_VALUE),
    ];
    let named = named.map(|(name, value)| (name, HeaderValue::from_static(value)));
    for (name, value) in named {
        response.headers_mut().insert(name, value);
    }
    response
}

/// `POST /eth/v1/beacon/blocks` and `/eth/v2/beacon/blocks`: a signed block with what travels beside it.
pub(crate) async fn publish(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    take(&endpoint, request, false).await
}

/// `POST /eth/v1/beacon/blinded_blocks` and `/eth/v2/beacon/blinded_blocks`: a signed block for the builder to reveal.
pub(crate) async fn publish_blinded(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    if endpoint.faults.misbehaviour() == Some(Misbehaviour::BadBuilder) {
        return Err(ApiError::internal("the builder did not reveal its payload"));
    }
    take(&endpoint, request, true).await
}

async fn take(endpoint: &Endpoint, request: Request, blinded: bool) -> Result<(), ApiError> {
    let is_v1 = request.uri().path().starts_with("/eth/v1/");
    let received = Received::read(endpoint, request).await?;
    // The first version of the endpoint needs the header for SSZ only.
    let fork = if is_v1 && received.format == Format::Json {
        media::current_fork(endpoint)
    } else {
        received.check_version(endpoint)?
    };
    let sizes = endpoint.simulator.chain().spec.sizes;
    let block = match received.format {
        Format::Ssz => SignedProposal::from_ssz(fork, blinded, &received.body, &sizes),
        Format::Json => {
            let json: Value =
                endpoint.counted(DutyKind::Proposer, received.json("signed block"))?;
            SignedProposal::from_json(fork, blinded, &json, &sizes)
        }
    };
    let block = block.map_err(|error| ApiError::bad_request(error.to_string()));
    let block = endpoint.counted(DutyKind::Proposer, block)?;
    answer(endpoint.simulator.submit(received.arrival, &[block]).await)
}
