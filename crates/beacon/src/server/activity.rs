//! When a client was last seen, for readiness.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// What the server has seen of its clients. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Activity(Arc<Mutex<Option<Instant>>>);

impl Activity {
    /// When the last request came, if any has.
    pub fn last_request(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}
