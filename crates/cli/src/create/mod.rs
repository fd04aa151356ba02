//! `flotilla create …`: what is made once.

pub mod cluster;
pub mod dkg;
mod existing;
mod handover;
mod terms;

use std::time::{SystemTime, UNIX_EPOCH};

use flotilla_types::Timestamp;

/// The time that files are dated with.
pub fn now() -> Timestamp {
    Timestamp::from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
