//! The cluster's validators in a state.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use flotilla_types::{Epoch, PublicKeyBytes, Root, ValidatorIndex};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::states::{answer, slot_of};
use super::view::View;

/// A validator's balance: 32 ether in Gwei.
const BALANCE: &str = "32000000000";
/// From a validator's exit until its balance may be withdrawn.
const WITHDRAWABLE_EPOCHS: u64 = 256;

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
    select(&endpoint.view(), &state, &filter)
}

/// `GET /eth/v1/beacon/states/{state}/validators?id=…&status=…`.
pub(crate) async fn by_query(
    State(endpoint): State<Endpoint>,
    Path(state): Path<String>,
    Query(query): Query<FilterQuery>,
) -> Result<Json<Value>, ApiError> {
    let split = |text: String| text.split(',').map(str::to_owned).collect();
    select(
        &endpoint.view(),
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
    let view = endpoint.view();
    let epoch = view.world.chain().epoch_of(slot_of(&view, &state)?);
    let member =
        member(&view, &id)?.ok_or_else(|| ApiError::not_found(format!("no validator {id}")))?;
    Ok(answer(validator(&view, member, epoch)))
}

fn select(view: &View<'_>, state: &str, filter: &Filter) -> Result<Json<Value>, ApiError> {
    let epoch = view.world.chain().epoch_of(slot_of(view, state)?);
    let members: Vec<_> = match filter.ids.as_deref() {
        None | Some([]) => view.world.registry().members().collect(),
        // Unknown validators are left out of the answer, as real beacon nodes do.
        Some(ids) => {
            let found = ids
                .iter()
                .map(|id| member(view, id))
                .collect::<Result<Vec<_>, _>>()?;
            found.into_iter().flatten().collect()
        }
    };
    let shown = members
        .into_iter()
        .filter(|(index, _)| filter.wants(status(view, *index, epoch)))
        .map(|member| validator(view, member, epoch));
    Ok(answer(shown.collect()))
}

impl Filter {
    /// Whether a validator of this status is asked for: by the status itself or by the part before its underscore.
    fn wants(&self, status: &str) -> bool {
        let mut asked = self
            .statuses
            .iter()
            .flatten()
            .filter(|asked| !asked.is_empty());
        let general = status.split('_').next().unwrap_or_default();
        asked.clone().next().is_none() || asked.any(|asked| asked == status || asked == general)
    }
}

/// A member of the cluster by index or public key.
fn member(view: &View<'_>, id: &str) -> Result<Option<(ValidatorIndex, PublicKeyBytes)>, ApiError> {
    let registry = view.world.registry();
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

/// Every validator is active from genesis until it leaves.
fn status(view: &View<'_>, index: ValidatorIndex, epoch: Epoch) -> &'static str {
    match view.world.exit_epoch(index) {
        None => "active_ongoing",
        Some(exit) if epoch < exit => "active_exiting",
        Some(_) => "exited_unslashed",
    }
}

fn validator(
    view: &View<'_>,
    (index, key): (ValidatorIndex, PublicKeyBytes),
    epoch: Epoch,
) -> Value {
    let exit = view.world.exit_epoch(index);
    json!({
        "index": index,
        "balance": BALANCE,
        "status": status(view, index, epoch),
        "validator": {
            "pubkey": key,
            "withdrawal_credentials": Root([0; 32]),
            "effective_balance": BALANCE,
            "slashed": false,
            "activation_eligibility_epoch": "0",
            "activation_epoch": "0",
            "exit_epoch": exit.unwrap_or(Epoch::FAR_FUTURE),
            "withdrawable_epoch": exit
                .map_or(Epoch::FAR_FUTURE, |exit| Epoch(exit.0 + WITHDRAWABLE_EPOCHS)),
        },
    })
}
