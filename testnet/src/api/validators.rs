//! States and blocks: the cluster's validators, checkpoints, block roots.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot, ValidatorIndex};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use crate::chain::Simulator;

/// A validator's balance: 32 ether in Gwei.
const BALANCE: &str = "32000000000";
/// Epoch that never comes.
const FAR_FUTURE_EPOCH: u64 = u64::MAX;
/// Every validator of the chain is active from genesis.
const STATUS: &str = "active_ongoing";

#[derive(Debug, Default, Deserialize)]
struct Filter {
    #[serde(default)]
    ids: Option<Vec<String>>,
    #[serde(default)]
    statuses: Option<Vec<String>>,
}

/// The same filter in a URL, with commas.
#[derive(Debug, Deserialize)]
pub(crate) struct FilterQuery {
    id: Option<String>,
    status: Option<String>,
}

/// `POST /eth/v1/beacon/states/{state}/validators`.
pub(crate) async fn by_body(
    State(endpoint): State<Endpoint>,
    Path(state): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let filter = match body.is_empty() {
        true => Filter::default(),
        false => serde_json::from_slice(&body).map_err(|error| {
            ApiError::bad_request(format!("the body is no validator filter: {error}"))
        })?,
    };
    select(&endpoint.simulator, &state, &filter)
}

/// `GET /eth/v1/beacon/states/{state}/validators?id=…&status=…`.
pub(crate) async fn by_query(
    State(endpoint): State<Endpoint>,
    Path(state): Path<String>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Value>, ApiError> {
    let split = |text: String| text.split(',').map(str::to_owned).collect();
    select(
        &endpoint.simulator,
        &state,
        &Filter {
            ids: query.id.map(split),
            statuses: query.status.map(split),
        },
    )
}

/// `GET /eth/v1/beacon/states/{state}/validators/{id}`.
pub(crate) async fn one(
    State(endpoint): State<Endpoint>,
    Path((state, id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    slot_of(&endpoint.simulator, &state)?;
    let member = member(&endpoint.simulator, &id)?
        .ok_or_else(|| ApiError::not_found(format!("no validator {id}")))?;
    Ok(answer(validator(member)))
}

fn select(simulator: &Simulator, state: &str, filter: &Filter) -> Result<Json<Value>, ApiError> {
    slot_of(simulator, state)?;
    let wanted = filter
        .statuses
        .iter()
        .flatten()
        .all(|status| status.is_empty())
        || filter
            .statuses
            .iter()
            .flatten()
            .any(|status| status == STATUS || status == "active");
    let members: Vec<_> = match filter.ids.as_deref() {
        _ if !wanted => Vec::new(),
        None | Some([]) => simulator.registry().members().collect(),
        // Unknown validators are left out of the answer, as real beacon nodes do.
        Some(ids) => {
            let found = ids
                .iter()
                .map(|id| member(simulator, id))
                .collect::<Result<Vec<_>, _>>()?;
            found.into_iter().flatten().collect()
        }
    };
    Ok(answer(members.into_iter().map(validator).collect()))
}

/// A member of the cluster by index or public key.
fn member(
    simulator: &Simulator,
    id: &str,
) -> Result<Option<(ValidatorIndex, PublicKeyBytes)>, ApiError> {
    let registry = simulator.registry();
    if id.starts_with("0x") {
        let key: PublicKeyBytes = id
            .parse()
            .map_err(|error| ApiError::bad_request(format!("{id} is no public key: {error}")))?;
        return Ok(registry.index(&key).map(|index| (index, key)));
    }
    let index: ValidatorIndex = id
        .parse()
        .map_err(|error| ApiError::bad_request(format!("{id} is no validator index: {error}")))?;
    Ok(registry.key(index).map(|key| (index, key)))
}

fn validator((index, key): (ValidatorIndex, PublicKeyBytes)) -> Value {
    json!({
        "index": index,
        "balance": BALANCE,
        "status": STATUS,
        "validator": {
            "pubkey": key,
            "withdrawal_credentials": Root([0; 32]),
            "effective_balance": BALANCE,
            "slashed": false,
            "activation_eligibility_epoch": "0",
            "activation_epoch": "0",
            "exit_epoch": FAR_FUTURE_EPOCH.to_string(),
            "withdrawable_epoch": FAR_FUTURE_EPOCH.to_string(),
        },
    })
}

fn answer(data: Value) -> Json<Value> {
    Json(json!({ "execution_optimistic": false, "finalized": false, "data": data }))
}

/// The slot that a state or block identifier stands for.
fn slot_of(simulator: &Simulator, id: &str) -> Result<Slot, ApiError> {
    let head = simulator.head_root().0;
    let epoch = simulator.chain().epoch_of(head);
    let start = |epoch: Epoch| simulator.chain().first_slot(epoch);
    match id {
        "head" => Ok(head),
        "genesis" => Ok(Slot(0)),
        "justified" => Ok(start(simulator.history().justified(epoch).epoch)),
        "finalized" => Ok(start(simulator.history().finalized(epoch).epoch)),
        // States of the current slot exist (empty so far) before its block is seen.
        number => match number.parse::<Slot>() {
            Ok(slot) if slot <= simulator.current_slot() => Ok(slot),
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
    let simulator = &endpoint.simulator;
    let epoch = simulator.chain().epoch_of(slot_of(simulator, &state)?);
    let history = simulator.history();
    let data = json!({
        "previous_justified": history.justified(Epoch(epoch.0.saturating_sub(1))),
        "current_justified": history.justified(epoch),
        "finalized": history.finalized(epoch),
    });
    Ok(answer(data))
}

/// The slot of a block that has been seen.
fn block_slot(simulator: &Simulator, id: &str) -> Result<Slot, ApiError> {
    let slot = slot_of(simulator, id)?;
    match slot <= simulator.head_root().0 {
        true => Ok(slot),
        false => Err(ApiError::not_found(format!(
            "no block of slot {slot} has been seen"
        ))),
    }
}

/// `GET /eth/v1/beacon/blocks/{block}/root`.
pub(crate) async fn block_root(
    State(endpoint): State<Endpoint>,
    Path(block): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let slot = block_slot(&endpoint.simulator, &block)?;
    Ok(answer(
        json!({ "root": endpoint.simulator.history().block_root(slot) }),
    ))
}

/// `GET /eth/v1/beacon/headers/{block}`.
pub(crate) async fn header(
    State(endpoint): State<Endpoint>,
    Path(block): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let simulator = &endpoint.simulator;
    let slot = block_slot(simulator, &block)?;
    let message = json!({
        "slot": slot,
        "proposer_index": simulator.registry().proposer(slot),
        "parent_root": simulator.history().block_root(Slot(slot.0.saturating_sub(1))),
        "state_root": Root([0; 32]),
        "body_root": Root([0; 32]),
    });
    let signature = flotilla_types::SignatureBytes([0; 96]);
    let data = json!({
        "root": simulator.history().block_root(slot),
        "canonical": true,
        "header": { "message": message, "signature": signature },
    });
    Ok(answer(data))
}
