//! What the beacon node says about itself.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use super::media;

/// `GET /eth/v1/node/version`.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({ "data": { "version": concat!("FlotillaTestnet/v", env!("CARGO_PKG_VERSION")) } }))
}

/// `GET /eth/v1/node/syncing`: always in step with the clock.
pub(crate) async fn syncing(State(endpoint): State<Endpoint>) -> Json<Value> {
    Json(json!({ "data": {
        "head_slot": endpoint.simulator.head().header.slot,
        "sync_distance": "0",
        "is_syncing": false,
        "is_optimistic": false,
        "el_offline": false,
    }}))
}

/// `GET /eth/v1/node/health`.
pub(crate) async fn health() -> StatusCode {
    StatusCode::OK
}

/// `GET /eth/v1/node/peer_count`.
pub(crate) async fn peer_count() -> Json<Value> {
    Json(
        json!({ "data": { "disconnected": "0", "connecting": "0", "connected": "50", "disconnecting": "0" } }),
    )
}

/// `GET /eth/v1/node/identity`: a made-up peer on no network.
pub(crate) async fn identity(State(endpoint): State<Endpoint>) -> Json<Value> {
    Json(json!({ "data": {
        "peer_id": format!("testnet-beacon-node-{}", endpoint.operator),
        "enr": "",
        "p2p_addresses": [],
        "discovery_addresses": [],
        "metadata": { "seq_number": "1", "attnets": "0x0000000000000000", "syncnets": "0x00" },
    }}))
}

/// Requests that matter to real networks only (subscriptions): any JSON list will do. SSZ is refused, and clients that try
/// it first send JSON then.
pub(crate) async fn accepted(headers: HeaderMap, body: Bytes) -> Result<StatusCode, ApiError> {
    media::only_json(&headers)?;
    serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&body)
        .map(|_| StatusCode::OK)
        .map_err(|error| ApiError::bad_request(format!("the body is not a JSON list: {error}")))
}
