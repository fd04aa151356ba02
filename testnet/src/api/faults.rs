//! A beacon node that misbehaves: late, or wrong in one of the ways that real ones are.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;

use crate::options::Misbehaviour;

/// What is wrong with an endpoint; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Current>>);

#[derive(Clone, Copy, Debug, Default)]
struct Current {
    delay: Duration,
    misbehaviour: Option<Misbehaviour>,
}

impl Faults {
    /// From now on every answer is this late.
    pub fn delay(&self, delay: Duration) {
        self.current().delay = delay;
    }

    /// From now on the endpoint misbehaves like this, or no more.
    pub fn misbehave(&self, misbehaviour: Option<Misbehaviour>) {
        self.current().misbehaviour = misbehaviour;
    }

    /// How the endpoint misbehaves now, if it does.
    pub fn misbehaviour(&self) -> Option<Misbehaviour> {
        self.current().misbehaviour
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles a request as it arrives, and spoils its answer.
pub(crate) async fn spoil(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let Current {
        delay,
        misbehaviour,
    } = *faults.current();
    let response = match misbehaviour {
        None => next.run(request).await,
        Some(misbehaviour) => misbehave(misbehaviour, request, next).await,
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    response
}

async fn misbehave(misbehaviour: Misbehaviour, request: Request, next: Next) -> Response {
    match misbehaviour {
        Misbehaviour::Errors => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error").into_response()
        }
        Misbehaviour::Garbage => {
            Json(json!({ "data": "all is well", "version": 7 })).into_response()
        }
        Misbehaviour::Endless => Body::from_stream(stream::repeat_with(|| {
            Ok::<_, Infallible>(Bytes::from_static(&[b'['; 1 << 14]))
        }))
        .into_response(),
        Misbehaviour::Silent => std::future::pending().await,
        // These are wrong in what they answer, not in how; the handlers see to it.
        Misbehaviour::Reorg
        | Misbehaviour::WrongFork
        | Misbehaviour::LateBuilder
        | Misbehaviour::BadBuilder => next.run(request).await,
        Misbehaviour::Lagging => {
            let path = request.uri().path().to_owned();
            if path == "/eth/v1/node/syncing" {
                let state = json!({
                    "head_slot": "1",
                    "sync_distance": "1000",
                    "is_syncing": true,
                    "is_optimistic": true,
                    "el_offline": false,
                });
                Json(json!({ "data": state })).into_response()
            } else if concerns_duties(&path) {
                // The Beacon API's answer of a node that is behind.
                let body = json!({ "code": 503, "message": "Beacon node is currently syncing" });
                (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
            } else {
                next.run(request).await
            }
        }
    }
}

/// What a node that is behind cannot answer: everything for validators, and what it should pass on.
fn concerns_duties(path: &str) -> bool {
    ["/validator/", "/pool/", "/beacon/blocks", "/blinded_blocks"]
        .iter()
        .any(|part| path.contains(part))
}
