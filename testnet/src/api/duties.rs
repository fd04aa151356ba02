//! Who has which duty.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use flotilla_types::{AttesterDuty, Epoch, Slot, ValidatorIndex};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;

/// `POST /eth/v1/validator/duties/attester/{epoch}` with a list of validator indices.
pub(crate) async fn attester(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let epoch = known_epoch(&endpoint, &epoch)?;
    let indices = indices(&body)?;
    let duties = endpoint.simulator.duties(epoch);
    let asked: Vec<&AttesterDuty> = indices
        .iter()
        .filter_map(|index| duties.get(index))
        .collect();
    Ok(Json(json!({
        "dependent_root": endpoint.simulator.history().dependent_root(epoch),
        "execution_optimistic": false,
        "data": asked,
    })))
}

/// `GET /eth/v1/validator/duties/proposer/{epoch}`: proposers of the chain that this cluster runs have no duty here, so
/// the list is empty; the blocks of the chain come from nobody.
pub(crate) async fn proposer(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let epoch = known_epoch(&endpoint, &epoch)?;
    let simulator = &endpoint.simulator;
    let before = Slot(simulator.chain().first_slot(epoch).0.saturating_sub(1));
    Ok(Json(json!({
        "dependent_root": simulator.history().block_root(before),
        "execution_optimistic": false,
        "data": [],
    })))
}

/// `POST /eth/v1/validator/duties/sync/{epoch}`: the cluster is in no sync committee.
pub(crate) async fn sync(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    known_epoch(&endpoint, &epoch)?;
    indices(&body)?;
    Ok(Json(json!({ "execution_optimistic": false, "data": [] })))
}

/// Duties are known up to the next epoch.
fn known_epoch(endpoint: &Endpoint, text: &str) -> Result<Epoch, ApiError> {
    let epoch: Epoch = text
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{text} is no epoch: {error}")))?;
    let current = endpoint
        .simulator
        .chain()
        .epoch_of(endpoint.simulator.current_slot());
    if epoch.0 > current.0 + 1 {
        let message = format!("duties of epoch {epoch} are not known in epoch {current}");
        return Err(ApiError::bad_request(message));
    }
    Ok(epoch)
}

fn indices(body: &[u8]) -> Result<Vec<ValidatorIndex>, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        ApiError::bad_request(format!("the body is no list of validator indices: {error}"))
    })
}
