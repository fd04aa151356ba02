//! The monitoring server: metrics, health, status, and the stream of outcomes.
//!
//! It only shows what others hand it: text from [`Telemetry`], the last [`Readiness`], the last [`Status`], and outcomes as they
//! happen. A slow or stuck reader can never hold up a duty: what it cannot take is dropped, and it is told so.
//!
//! | path | answer |
//! |---|---|
//! | `/metrics` | all series, OpenMetrics text |
//! | `/livez` | `ok` whenever the process serves |
//! | `/readyz` | `ok`, or 500 with the reason and the next step |
//! | `/flotilla/status` | the node's state, JSON |
//! | `/flotilla/outcomes` | one JSON line per outcome, for as long as the reader stays |

mod calls;
mod outcomes;
mod readiness;
mod status;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Telemetry;
pub use calls::CallWatch;
pub use outcomes::{Kind, OutcomeStream};
pub use readiness::{BeaconState, Readiness, ReadyCheck, ReadyFacts};
pub use status::{
    BeaconNodeStatus, ClusterStatus, PeerStatus, ReadyStatus, SlashingStatus, Status,
};

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub enum MonitoringError {
    /// The address is taken.
    #[error(
        "monitoring address {address} is in use; stop what uses it, or choose another with --monitoring-address"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be used.
    #[error("cannot serve monitoring at {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// It ran and failed.
    #[error("the monitoring server failed: {0}")]
    Serve(#[source] io::Error),
}

/// What the server shows.
#[derive(Clone)]
pub struct Sources {
    /// Metrics.
    pub telemetry: Telemetry,
    /// Whether the node is ready.
    pub readiness: watch::Receiver<Readiness>,
    /// The node's state.
    pub status: watch::Receiver<Status>,
    /// Outcomes as they happen.
    pub outcomes: OutcomeStream,
}

/// A server that has its address and does not serve yet.
pub struct Server {
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// Takes the address, so that a taken one is told at start.
    pub async fn bind(address: SocketAddr, sources: Sources) -> Result<Self, MonitoringError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => MonitoringError::InUse { address },
                _ => MonitoringError::Bind { address, source },
            })?;
        Ok(Self {
            listener,
            router: router(sources),
        })
    }

    /// Where it listens; tells the port if 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`. Readers of endless streams are cut off then.
    pub async fn run(self, stop: CancellationToken) -> Result<(), MonitoringError> {
        tokio::select! {
            result = axum::serve(self.listener, self.router) => result.map_err(MonitoringError::Serve),
            () = stop.cancelled() => Ok(()),
        }
    }
}

fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/flotilla/status", get(show_status))
        .route("/flotilla/outcomes", get(stream_outcomes))
        .with_state(sources)
}

async fn metrics(State(sources): State<Sources>) -> impl IntoResponse {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, content_type)],
        sources.telemetry.encode(),
    )
}

async fn readyz(State(sources): State<Sources>) -> Response {
    let readiness = *sources.readiness.borrow();
    match readiness {
        Readiness::Ready => "ok".into_response(),
        reason => {
            let text = format!("{reason}: {}", reason.next_step());
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

async fn show_status(State(sources): State<Sources>) -> impl IntoResponse {
    axum::Json(sources.status.borrow().clone())
}

async fn stream_outcomes(State(sources): State<Sources>) -> Response {
    match sources.outcomes.body() {
        Some(body) => ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response(),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "too many readers of outcomes",
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests;
