//! The wall clock, which is what tells a validator client the slot.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_types::Timestamp;

/// Now.
pub(super) fn now() -> Timestamp {
    // A clock before 1970 reads as 1970: genesis is then far away, and nothing is due.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from(since_epoch.unwrap_or_default())
}

/// Waits for an instant; returns at once when it has passed.
pub(super) async fn sleep_until(instant: Timestamp) {
    tokio::time::sleep(instant.saturating_since(now())).await;
}

/// How long there is until an instant, at least a millisecond, so that a late request still says that it was late.
pub(super) fn left_until(instant: Timestamp) -> Duration {
    instant
        .saturating_since(now())
        .max(Duration::from_millis(1))
}
