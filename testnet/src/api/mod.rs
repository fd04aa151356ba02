//! The Beacon API of the simulated chain: one port for each operator, all over the same chain.
//!
//! Served is what a distributed-validator node asks for, with the statuses and bodies of the Beacon API specification,
//! so that any client of it can be pointed here. What to answer is decided by [`Simulator`]; this module knows paths,
//! JSON and SSZ.

mod attestations;
mod config;
mod duties;
mod error;
mod events;
mod faults;
mod node;
mod preparations;
mod validators;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::Faults;

use crate::chain::Simulator;

/// The largest request body accepted: some twenty thousand attestations.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// What every request handler sees: the chain, and whose beacon node this is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    simulator: Arc<Simulator>,
    operator: usize,
}

/// One operator's beacon node, served until dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    faults: Faults,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `simulator` to one operator on a free port of the loopback interface.
    ///
    /// # Errors
    /// The operating system gave no port.
    pub async fn start(simulator: Arc<Simulator>, operator: usize) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let routes = router(
            Endpoint {
                simulator,
                operator,
            },
            faults.clone(),
        );
        // Two events in a row must not wait for each other's acknowledgement. If it cannot be set they are just slower.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let task = tokio::spawn(async move {
            // `serve` itself retries failed accepts and never returns.
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(operator, %error, "the beacon endpoint has stopped");
            }
        });
        Ok(Server {
            address,
            faults,
            task,
        })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The knobs that make this beacon node slow or wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(endpoint: Endpoint, faults: Faults) -> Router {
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
            get(validators::finality),
        )
        .route(
            "/eth/v1/beacon/states/{state}/validators",
            get(validators::by_query).post(validators::by_body),
        )
        .route(
            "/eth/v1/beacon/states/{state}/validators/{id}",
            get(validators::one),
        )
        .route("/eth/v1/beacon/headers/{block}", get(validators::header))
        .route(
            "/eth/v1/beacon/blocks/{block}/root",
            get(validators::block_root),
        )
        .route("/eth/v1/node/version", get(node::version))
        .route("/eth/v1/node/syncing", get(node::syncing))
        .route("/eth/v1/node/health", get(node::health))
        .route("/eth/v1/node/peer_count", get(node::peer_count))
        .route("/eth/v1/node/identity", get(node::identity))
        .route(
            "/eth/v1/validator/duties/attester/{epoch}",
            post(duties::attester),
        )
        .route(
            "/eth/v1/validator/duties/proposer/{epoch}",
            get(duties::proposer),
        )
        .route("/eth/v1/validator/duties/sync/{epoch}", post(duties::sync))
        .route(
            "/eth/v1/validator/attestation_data",
            get(attestations::data),
        )
        .route(
            "/eth/v2/beacon/pool/attestations",
            post(attestations::submit),
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
        .route("/eth/v1/events", get(events::stream))
        .fallback(error::unknown_path)
        .layer(middleware::from_fn_with_state(faults, faults::spoil))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(endpoint)
}

#[cfg(test)]
mod tests;
