//! A beacon node that answers late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

/// How late each answer of an endpoint is; clones share the value.
#[derive(Clone, Debug, Default)]
pub struct Delay(Arc<AtomicU64>);

impl Delay {
    /// From now on every answer is this late, to whole milliseconds.
    pub fn set(&self, delay: Duration) {
        self.0.store(
            u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    fn duration(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Handles a request as it arrives and holds its answer back.
pub(crate) async fn answer_late(
    State(delay): State<Delay>,
    request: Request,
    next: Next,
) -> Response {
    let duration = delay.duration();
    let response = next.run(request).await;
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
    response
}
