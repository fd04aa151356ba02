//! Blocks that are there: headers, roots, whole ones, and the attestations in them.

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use flotilla_types::{Root, SignatureBytes, SignedProposal, Slot};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media;
use super::states;
use super::view::View;
use crate::chain::Block;

/// Offset and signature: where the block begins in a signed block.
const MESSAGE_AT: usize = 4 + SignatureBytes::LENGTH;

/// The block that an identifier stands for.
fn find(view: &View<'_>, id: &str) -> Result<Block, ApiError> {
    let nothing = || ApiError::not_found(format!("no block {id} has been seen"));
    if id.starts_with("0x") {
        let root: Root = id
            .parse()
            .map_err(|error| ApiError::bad_request(format!("{id} is no block root: {error}")))?;
        return view.find(root).cloned().ok_or_else(nothing);
    }
    let slot = states::slot_of(view, id)?;
    let block = match id.parse::<Slot>() {
        Ok(slot) => view.history().block(slot),
        // Names are of checkpoints, whose first slot may be empty.
        Err(_) => Some(view.history().block_by(slot)),
    };
    block.cloned().ok_or_else(nothing)
}

/// `GET /eth/v1/beacon/blocks/{block}/root`.
pub(crate) async fn root(
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = endpoint.view();
    let block = find(&view, &id)?;
    Ok(states::answer(json!({ "root": view.root_of(&block) })))
}

/// `GET /eth/v1/beacon/headers/{block}`.
pub(crate) async fn header(
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = endpoint.view();
    let block = find(&view, &id)?;
    Ok(states::answer(header_json(&view, &block)))
}

#[derive(Debug, Deserialize)]
pub(crate) struct HeadersQuery {
    slot: Option<Slot>,
    parent_root: Option<Root>,
}

/// `GET /eth/v1/beacon/headers?slot=…&parent_root=…`: the head without either.
pub(crate) async fn headers(
    State(endpoint): State<Endpoint>,
    Query(query): Query<HeadersQuery>,
) -> Json<Value> {
    let view = endpoint.view();
    let found = view.history().newest_first().find(|block| {
        let slot = query.slot.is_none_or(|slot| block.header.slot == slot);
        let parent = query.parent_root;
        slot && parent.is_none_or(|parent| block.header.parent_root == parent)
    });
    let list: Vec<Value> = found
        .into_iter()
        .map(|block| header_json(&view, block))
        .collect();
    states::answer(json!(list))
}

fn header_json(view: &View<'_>, block: &Block) -> Value {
    let header = &block.header;
    let parent = view
        .history()
        .block_by(Slot(header.slot.0.saturating_sub(1)));
    let signature = block.signed.as_ref().map(|signed| signed.signature);
    json!({
        "root": view.root_of(block),
        "canonical": true,
        "header": {
            "message": {
                "slot": header.slot,
                "proposer_index": header.proposer_index,
                "parent_root": view.root_of(parent),
                "state_root": header.state_root,
                "body_root": header.body_root,
            },
            "signature": signature.unwrap_or(SignatureBytes([0; 96])),
        },
    })
}

fn whole(endpoint: &Endpoint, id: &str) -> Result<std::sync::Arc<SignedProposal>, ApiError> {
    let block = find(&endpoint.view(), id)?;
    let slot = block.header.slot;
    let gone = || ApiError::not_found(format!("the block of slot {slot} is not kept"));
    block.signed.ok_or_else(gone)
}

/// The signed block without what travels beside it.
fn block_json(endpoint: &Endpoint, signed: &SignedProposal) -> Result<Value, ApiError> {
    let sizes = endpoint.simulator.chain().spec.sizes;
    let mut json = serde_json::to_value(signed.to_json(&sizes))
        .map_err(|error| ApiError::internal(format!("the block cannot be written: {error}")))?;
    Ok(match json.get_mut("signed_block") {
        Some(block) => block.take(),
        None => json,
    })
}

/// `GET /eth/v2/beacon/blocks/{block}`.
pub(crate) async fn block(
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let signed = whole(&endpoint, &id)?;
    let data = block_json(&endpoint, &signed)?;
    let bytes = || {
        let mut bytes = (MESSAGE_AT as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&signed.signature.0);
        bytes.extend_from_slice(signed.proposal.block());
        bytes
    };
    Ok(media::versioned(
        signed.proposal.fork(),
        &headers,
        data,
        bytes,
    ))
}

/// `GET /eth/v2/beacon/blocks/{block}/attestations`.
pub(crate) async fn attestations(
    State(endpoint): State<Endpoint>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let signed = whole(&endpoint, &id)?;
    let mut block = block_json(&endpoint, &signed)?;
    Ok(Json(json!({
        "version": signed.proposal.fork().name(),
        "execution_optimistic": false,
        "finalized": false,
        "data": block["message"]["body"]["attestations"].take(),
    })))
}
