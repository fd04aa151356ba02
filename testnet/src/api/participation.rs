//! Who took part: liveness and the rewards of attesters.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use flotilla_types::{DutyKind, Epoch, ValidatorIndex};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::{duties, media, states};

/// The reward of each right vote (source, target, head) in Gwei; a missed one costs as much, a head nothing.
const REWARD: i64 = 2_000;

/// `POST /eth/v1/validator/liveness/{epoch}` with a list of validator indices.
pub(crate) async fn liveness(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<Epoch>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    media::only_json(&headers)?;
    let world = endpoint.simulator.world();
    let answers: Vec<Value> = duties::indices(&body)?
        .into_iter()
        .map(|index| json!({ "index": index, "is_live": world.is_live(index, epoch) }))
        .collect();
    Ok(Json(json!({ "data": answers })))
}

/// `POST /eth/v1/beacon/rewards/attestations/{epoch}` with a list of validator indices; all of the cluster's if it is
/// empty.
pub(crate) async fn rewards(
    State(endpoint): State<Endpoint>,
    Path(epoch): Path<Epoch>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    media::only_json(&headers)?;
    let mut indices = duties::indices(&body)?;
    let mut world = endpoint.simulator.world();
    let current = endpoint.simulator.current_slot();
    if epoch >= world.chain().epoch_of(current) {
        return Err(ApiError::not_found(format!("epoch {epoch} is not over")));
    }
    if indices.is_empty() {
        indices = world.registry().members().map(|(index, _)| index).collect();
    }
    let duties = world.duties(epoch);
    let total = |index: ValidatorIndex| {
        let duty = duties.get(&index)?;
        let arrival = world.arrival(DutyKind::Attester, duty.slot, (index, 0));
        let in_time = arrival.is_some_and(|arrival| {
            arrival.at < world.history().deadline(DutyKind::Attester, duty.slot)
        });
        let gain = if arrival.is_some() { REWARD } else { -REWARD };
        let head = if in_time { REWARD } else { 0 };
        Some(json!({
            "validator_index": index,
            "head": head.to_string(), "target": gain.to_string(), "source": gain.to_string(),
            "inclusion_delay": null, "inactivity": "0",
        }))
    };
    let totals: Vec<Value> = indices.into_iter().filter_map(total).collect();
    let reward = REWARD.to_string();
    let ideal = json!([{
        "effective_balance": "32000000000",
        "head": reward, "target": reward, "source": reward,
        "inclusion_delay": null, "inactivity": "0",
    }]);
    Ok(states::answer(
        json!({ "ideal_rewards": ideal, "total_rewards": totals }),
    ))
}
