//! How long to wait between attempts to reach a peer.
//!
//! Why it exists: a restarted peer should be found again within a second or two, and one that is
//! down for days should cost nothing. A pure function of what has failed so far.

use std::time::Duration;

/// The wait before the first attempt after a connection was lost.
pub(crate) const AFTER_LOSS: Duration = Duration::from_millis(100);

/// The wait after the first failure, multiplied by [`FACTOR`] with each further one.
const FIRST: Duration = Duration::from_secs(1);
const FACTOR: f64 = 1.6;

/// No wait is longer while the peer has been away for less than [`RECENT`].
const CAP_RECENT: Duration = Duration::from_secs(2);
const CAP: Duration = Duration::from_secs(30);
const RECENT: Duration = Duration::from_secs(60);

/// Waits are spread by this share in either direction, so that nodes do not keep in step.
const JITTER: f64 = 0.2;

/// The wait after `failures` attempts in a row (at least 1) at a peer that has been away for
/// `away`. `random` is uniform in 0..1.
pub(crate) fn delay(failures: u32, away: Duration, random: f64) -> Duration {
    let cap = if away < RECENT { CAP_RECENT } else { CAP };
    // Thirty steps pass every cap; a larger exponent would only lose precision.
    let steps = i32::try_from(failures.saturating_sub(1).min(30)).expect("at most 30");
    let grown = FIRST.as_secs_f64() * FACTOR.powi(steps);
    let spread = 1.0 - JITTER + 2.0 * JITTER * random;
    Duration::from_secs_f64(grown.min(cap.as_secs_f64()) * spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(failures: u32, away_seconds: u64) -> f64 {
        delay(failures, Duration::from_secs(away_seconds), 0.5).as_secs_f64()
    }

    #[test]
    fn waits_grow_by_a_factor_to_the_cap() {
        assert!((seconds(1, 100) - 1.0).abs() < 1e-9);
        assert!((seconds(2, 100) - 1.6).abs() < 1e-9);
        assert!((seconds(3, 100) - 2.56).abs() < 1e-9);
        assert!((seconds(u32::MAX, 100) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn first_minute_has_a_lower_cap() {
        assert!((seconds(20, 59) - 2.0).abs() < 1e-9);
        assert!((seconds(20, 60) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let low = delay(1, Duration::ZERO, 0.0).as_secs_f64();
        let high = delay(1, Duration::ZERO, 1.0).as_secs_f64();
        assert!((low - 0.8).abs() < 1e-9 && (high - 1.2).abs() < 1e-9);
    }
}
