//! Which path is answered where.

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::{
    BODY_LIMIT, Endpoint, attestations, blocks, config, duties, error, events, exits, faults, node,
    participation, preparations, proposals, states, statistics, sync, validators,
};

/// All paths of an endpoint.
pub(super) fn router(endpoint: Endpoint) -> Router {
    let faults = endpoint.faults.clone();
    facts()
        .merge(duty_paths())
        .merge(submissions())
        .fallback(error::unknown_path)
        .layer(middleware::from_fn_with_state(faults, faults::spoil))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(endpoint)
}

/// The chain, its blocks and states, and the node.
fn facts() -> Router<Endpoint> {
    Router::new()
        .route("/eth/v1/config/spec", get(config::spec))
        .route("/eth/v1/config/fork_schedule", get(config::fork_schedule))
        .route(
            "/eth/v1/config/deposit_contract",
            get(config::deposit_contract),
        )
        .route("/eth/v1/beacon/genesis", get(config::genesis))
        .route("/eth/v1/beacon/states/{state}/fork", get(config::fork))
        .route(
            "/eth/v1/beacon/states/{state}/finality_checkpoints",
            get(states::finality),
        )
        .route(
            "/eth/v1/beacon/states/{state}/validators",
            get(validators::by_query).post(validators::by_body),
        )
        .route(
            "/eth/v1/beacon/states/{state}/validators/{id}",
            get(validators::one),
        )
        .route("/eth/v1/beacon/headers", get(blocks::headers))
        .route("/eth/v1/beacon/headers/{block}", get(blocks::header))
        .route("/eth/v1/beacon/blocks/{block}/root", get(blocks::root))
        .route("/eth/v2/beacon/blocks/{block}", get(blocks::block))
        .route(
            "/eth/v2/beacon/blocks/{block}/attestations",
            get(blocks::attestations),
        )
        .route("/eth/v1/node/version", get(node::version))
        .route("/eth/v1/node/syncing", get(node::syncing))
        .route("/eth/v1/node/health", get(node::health))
        .route("/eth/v1/node/peer_count", get(node::peer_count))
        .route("/eth/v1/node/identity", get(node::identity))
        .route("/eth/v1/events", get(events::stream))
        .route("/flotilla/stats", get(statistics::show))
}

/// Who has which duty, and what to sign.
fn duty_paths() -> Router<Endpoint> {
    Router::new()
        .route(
            "/eth/v1/validator/duties/attester/{epoch}",
            post(duties::attester),
        )
        .route(
            "/eth/v1/validator/duties/proposer/{epoch}",
            get(duties::proposer_v1),
        )
        .route(
            "/eth/v2/validator/duties/proposer/{epoch}",
            get(duties::proposer),
        )
        .route("/eth/v1/validator/duties/sync/{epoch}", post(duties::sync))
        .route(
            "/eth/v1/validator/attestation_data",
            get(attestations::data),
        )
        .route(
            "/eth/v1/validator/aggregate_attestation",
            get(attestations::aggregate_v1),
        )
        .route(
            "/eth/v2/validator/aggregate_attestation",
            get(attestations::aggregate),
        )
        .route(
            "/eth/v1/validator/sync_committee_contribution",
            get(sync::contribution),
        )
        .route("/eth/v3/validator/blocks/{slot}", get(proposals::produce))
        .route(
            "/eth/v1/validator/liveness/{epoch}",
            post(participation::liveness),
        )
        .route(
            "/eth/v1/beacon/rewards/attestations/{epoch}",
            post(participation::rewards),
        )
        .route(
            "/eth/v1/validator/beacon_committee_selections",
            post(error::selections),
        )
        .route(
            "/eth/v1/validator/sync_committee_selections",
            post(error::selections),
        )
}

/// What is brought in.
fn submissions() -> Router<Endpoint> {
    Router::new()
        .route(
            "/eth/v2/beacon/pool/attestations",
            post(attestations::submit),
        )
        .route(
            "/eth/v2/validator/aggregate_and_proofs",
            post(attestations::submit_aggregates),
        )
        .route(
            "/eth/v1/beacon/pool/sync_committees",
            post(sync::submit_messages),
        )
        .route(
            "/eth/v1/validator/contribution_and_proofs",
            post(sync::submit_contributions),
        )
        .route(
            "/eth/v1/beacon/pool/voluntary_exits",
            get(exits::pool).post(exits::submit),
        )
        .route("/eth/v1/beacon/blocks", post(proposals::publish))
        .route("/eth/v2/beacon/blocks", post(proposals::publish))
        .route(
            "/eth/v1/beacon/blinded_blocks",
            post(proposals::publish_blinded),
        )
        .route(
            "/eth/v2/beacon/blinded_blocks",
            post(proposals::publish_blinded),
        )
        .route(
            "/eth/v1/validator/prepare_beacon_proposer",
            post(preparations::prepare),
        )
        .route(
            "/eth/v1/validator/beacon_committee_subscriptions",
            post(node::accepted),
        )
        .route(
            "/eth/v1/validator/sync_committee_subscriptions",
            post(node::accepted),
        )
        .route(
            "/eth/v1/validator/register_validator",
            post(preparations::register),
        )
}
