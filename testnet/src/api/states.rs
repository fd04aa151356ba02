//! States: which one an identifier stands for, and its checkpoints.

use axum::Json;
use axum::extract::{Path, State};
use flotilla_types::{Epoch, Slot};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::view::View;

/// An answer of the kind that says how sure it is.
pub(crate) fn answer(data: Value) -> Json<Value> {
    Json(json!({ "execution_optimistic": false, "finalized": false, "data": data }))
}

/// The slot that a state or block identifier stands for, other than a root.
///
/// # Errors
/// 404 for a slot that has not begun, 400 for anything else.
pub(crate) fn slot_of(view: &View<'_>, id: &str) -> Result<Slot, ApiError> {
    let head = view.head().0;
    let chain = view.world.chain();
    let epoch = chain.epoch_of(head);
    match id {
        "head" => Ok(head),
        "genesis" => Ok(Slot(0)),
        "justified" => Ok(chain.first_slot(view.history().justified(epoch).epoch)),
        "finalized" => Ok(chain.first_slot(view.history().finalized(epoch).epoch)),
        // States of the current slot exist (empty so far) before its block is seen.
        number => match number.parse::<Slot>() {
            Ok(slot) if slot <= view.current_slot() => Ok(slot),
            Ok(slot) => Err(ApiError::not_found(format!("slot {slot} has not begun"))),
            Err(_) => Err(ApiError::bad_request(format!(
                "{number} names no state or block"
            ))),
        },
    }
}

/// `GET /eth/v1/beacon/states/{state}/finality_checkpoints`.
pub(crate) async fn finality(
    State(endpoint): State<Endpoint>,
    Path(state): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let view = endpoint.view();
    let epoch = view.world.chain().epoch_of(slot_of(&view, &state)?);
    let history = view.history();
    let data = json!({
        "previous_justified": view.checkpoint(history.justified(Epoch(epoch.0.saturating_sub(1)))),
        "current_justified": view.checkpoint(history.justified(epoch)),
        "finalized": view.checkpoint(history.finalized(epoch)),
    });
    Ok(answer(data))
}
