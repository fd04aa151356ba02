//! Who has which duty.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use flotilla_types::{AttesterDuty, Epoch, ProposerDuty, Slot, SyncCommitteeDuty, ValidatorIndex};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media;
use super::view::View;
use crate::chain::{Proposer, SyncCommittees};

/// `POST /eth/v1/validator/duties/attester/{epoch}` with a list of validator indices.
pub(crate) async fn attester(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    media::only_json(&headers)?;
    let mut view = endpoint.view();
    let epoch = known_epoch(&view, &epoch)?;
    let indices = indices(&body)?;
    let duties = view.world.duties(epoch);
    let asked: Vec<&AttesterDuty> = indices
        .iter()
        .filter_map(|index| duties.get(index))
        .collect();
    Ok(Json(json!({
        "dependent_root": view.dependent_root(epoch),
        "execution_optimistic": false,
        "data": asked,
    })))
}

/// `GET /eth/v2/validator/duties/proposer/{epoch}`: the dependent root is that of Fulu's lookahead.
pub(crate) async fn proposer(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = endpoint.view();
    let epoch = known_epoch(&view, &epoch)?;
    let root = view.dependent_root(epoch);
    Ok(proposers(&view, epoch, root))
}

/// `GET /eth/v1/validator/duties/proposer/{epoch}`: the dependent root is, as ever, the last block before the epoch.
pub(crate) async fn proposer_v1(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = endpoint.view();
    let epoch = known_epoch(&view, &epoch)?;
    let root = view.dependent_root(Epoch(epoch.0 + 1));
    Ok(proposers(&view, epoch, root))
}

/// The cluster's proposers. Strangers are left out: their keys are nobody's.
fn proposers(view: &View<'_>, epoch: Epoch, dependent_root: flotilla_types::Root) -> Json<Value> {
    let first = view.world.chain().first_slot(epoch).0;
    let slots = first.max(1)..first + view.world.chain().spec.slots_per_epoch;
    let duties = slots.filter_map(|slot| match view.world.proposer(Slot(slot)) {
        Proposer::Cluster(validator_index) => Some(ProposerDuty {
            pubkey: view.world.registry().key(validator_index)?,
            validator_index,
            slot: Slot(slot),
        }),
        Proposer::Stranger(_) => None,
    });
    Json(json!({
        "dependent_root": dependent_root,
        "execution_optimistic": false,
        "data": duties.collect::<Vec<_>>(),
    }))
}

/// `POST /eth/v1/validator/duties/sync/{epoch}` with a list of validator indices: known to the end of the next period.
pub(crate) async fn sync(
    State(endpoint): State<Endpoint>,
    Path(text): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    media::only_json(&headers)?;
    let mut view = endpoint.view();
    let epoch: Epoch = parse_epoch(&text)?;
    let current = view.world.chain().epoch_of(view.current_slot());
    if SyncCommittees::period(epoch) > SyncCommittees::period(current) + 1 {
        return Err(unknown_duties(epoch, current));
    }
    let committee = view.world.sync_committee(epoch);
    let duty = |index: ValidatorIndex| {
        let positions = committee.positions(index);
        let is_due = !positions.is_empty() && view.world.is_active(index, epoch);
        is_due.then_some(SyncCommitteeDuty {
            pubkey: view.world.registry().key(index)?,
            validator_index: index,
            positions: positions.to_vec(),
        })
    };
    let duties: Vec<_> = indices(&body)?.into_iter().filter_map(duty).collect();
    Ok(Json(
        json!({ "execution_optimistic": false, "data": duties }),
    ))
}

fn parse_epoch(text: &str) -> Result<Epoch, ApiError> {
    text.parse()
        .map_err(|error| ApiError::bad_request(format!("{text} is no epoch: {error}")))
}

fn unknown_duties(epoch: Epoch, current: Epoch) -> ApiError {
    ApiError::bad_request(format!(
        "duties of epoch {epoch} are not known in epoch {current}"
    ))
}

/// Duties are known up to the next epoch.
fn known_epoch(view: &View<'_>, text: &str) -> Result<Epoch, ApiError> {
    let epoch = parse_epoch(text)?;
    let current = view.world.chain().epoch_of(view.current_slot());
    if epoch.0 > current.0 + 1 {
        return Err(unknown_duties(epoch, current));
    }
    Ok(epoch)
}

/// A list of validator indices.
///
/// # Errors
/// 400 for anything else.
pub(crate) fn indices(body: &[u8]) -> Result<Vec<ValidatorIndex>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is no list of validator indices: {error}"))
    })
}
