//! Voluntary exits.

use axum::Json;
use axum::extract::{Request, State};
use flotilla_types::{DutyKind, SignedVoluntaryExit};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media::{self, Received};
use crate::chain::Judgement;

/// `POST /eth/v1/beacon/pool/voluntary_exits`, in JSON.
pub(crate) async fn submit(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<(), ApiError> {
    media::only_json(request.headers())?;
    let received = Received::read(&endpoint, request).await?;
    let exit: SignedVoluntaryExit =
        endpoint.counted(DutyKind::Exit, received.json("voluntary exit"))?;
    match endpoint.simulator.submit_exit(received.arrival, exit).await {
        Judgement::Refused(fault) => Err(ApiError::bad_request(fault.to_string())),
        Judgement::Included | Judgement::Late | Judgement::Duplicate => Ok(()),
    }
}

/// `GET /eth/v1/beacon/pool/voluntary_exits`: none waits, since exits take effect at once.
pub(crate) async fn pool() -> Json<Value> {
    Json(json!({ "data": [] }))
}
