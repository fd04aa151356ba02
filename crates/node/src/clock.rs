//! Wall time that moves like monotonic time (S6).
//!
//! Slots follow the wall clock, but a wall clock steps: after a suspend, when NTP sets it late, when somebody sets it by hand. So
//! it is read once, advanced by the monotonic clock, and small differences are worked off slowly, so that time never goes back.
//! A difference of more than half a slot is no drift but a step: it is taken over at once and reported, since the node must then
//! behave as after a restart (S3, S4).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flotilla_types::Timestamp;

/// Differences are worked off at one part in this many: 5 ms a second, ten times what a bad crystal drifts.
const SLEW: i128 = 200;

/// Both clocks, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The system's wall clock.
    pub system: Timestamp,
    /// The monotonic clock, since any fixed instant.
    pub monotonic: Duration,
}

/// The wall clock has jumped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What this clock said before.
    pub from: Timestamp,
    /// What it says from now on.
    pub to: Timestamp,
}

/// The arithmetic of [`Clock`], with readings as arguments.
#[derive(Clone, Debug)]
pub struct Anchor {
    wall: Timestamp,
    monotonic: Duration,
    /// How far the system clock was ahead at the anchor, in nanoseconds; worked off from there.
    ahead: i128,
    /// A larger difference is a step.
    tolerance: Duration,
}

impl Anchor {
    /// Starts at the system clock's time. `slot_duration` is the chain's.
    pub fn new(reading: Reading, slot_duration: Duration) -> Self {
        Self {
            wall: reading.system,
            monotonic: reading.monotonic,
            ahead: 0,
            tolerance: slot_duration / 2,
        }
    }

    /// The time at a monotonic reading; never less than at an earlier one, except across a [`Step`].
    pub fn at(&self, monotonic: Duration) -> Timestamp {
        let elapsed = monotonic.saturating_sub(self.monotonic);
        let limit = nanos(elapsed) / SLEW;
        let correction = self.ahead.clamp(-limit, limit);
        let total = i128::from(self.wall.as_nanos()) + nanos(elapsed) + correction;
        Timestamp::from_nanos(u64::try_from(total.max(0)).unwrap_or(u64::MAX))
    }

    /// Compares with the system clock and anchors anew: smoothly, or at once if it has stepped.
    pub fn observe(&mut self, reading: Reading) -> Option<Step> {
        let here = self.at(reading.monotonic);
        let ahead = i128::from(reading.system.as_nanos()) - i128::from(here.as_nanos());
        self.monotonic = reading.monotonic;
        if ahead.unsigned_abs() > self.tolerance.as_nanos() {
            self.wall = reading.system;
            self.ahead = 0;
            return Some(Step {
                from: here,
                to: reading.system,
            });
        }
        self.wall = here;
        self.ahead = ahead;
        None
    }
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

/// The node's clock. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    anchor: Arc<Mutex<Anchor>>,
}

impl Clock {
    /// Anchors to the system clock.
    pub fn start(slot_duration: Duration) -> Self {
        let origin = Instant::now();
        Self {
            origin,
            anchor: Arc::new(Mutex::new(Anchor::new(read(origin), slot_duration))),
        }
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.anchor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .at(self.origin.elapsed())
    }

    /// How long until `instant`; zero if it has passed.
    pub fn until(&self, instant: Timestamp) -> Duration {
        instant.saturating_since(self.now())
    }

    /// Compares with the system clock; to be called about once a second.
    pub fn observe(&self) -> Option<Step> {
        self.anchor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .observe(read(self.origin))
    }
}

/// The system clock as it stands: for what is compared with other programs' clocks, never for duties. A clock before 1970 is one
/// at 1970.
pub fn wall_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp::from(since_epoch.unwrap_or_default())
}

fn read(origin: Instant) -> Reading {
    Reading {
        // One before 1970 is far off, which the next observation reports.
        system: wall_clock(),
        monotonic: origin.elapsed(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const SLOT: Duration = Duration::from_secs(12);

    fn reading(system_ms: u64, monotonic_ms: u64) -> Reading {
        Reading {
            system: Timestamp::from_millis(system_ms),
            monotonic: Duration::from_millis(monotonic_ms),
        }
    }

    #[test]
    fn small_differences_are_worked_off_without_a_jump() {
        let mut anchor = Anchor::new(reading(1_000_000, 0), SLOT);
        // The system clock is 20 ms ahead of what the monotonic clock says.
        assert_eq!(anchor.observe(reading(1_010_020, 10_000)), None);
        assert_eq!(
            anchor.at(Duration::from_millis(10_000)),
            Timestamp::from_millis(1_010_000)
        );
        assert_eq!(
            anchor.at(Duration::from_millis(12_000)),
            Timestamp::from_millis(1_012_010)
        );
        assert_eq!(
            anchor.at(Duration::from_millis(14_000)),
            Timestamp::from_millis(1_014_020)
        );
        assert_eq!(
            anchor.at(Duration::from_millis(20_000)),
            Timestamp::from_millis(1_020_020)
        );
    }

    #[test]
    fn step_of_more_than_half_a_slot_is_taken_over_and_reported() {
        let mut anchor = Anchor::new(reading(1_000_000, 0), SLOT);
        assert_eq!(
            anchor.observe(reading(1_016_000, 10_000)),
            None,
            "half a slot is no step"
        );
        let mut anchor = Anchor::new(reading(1_000_000, 0), SLOT);
        let step = anchor.observe(reading(1_016_001, 10_000)).unwrap();
        assert_eq!(
            step,
            Step {
                from: Timestamp::from_millis(1_010_000),
                to: Timestamp::from_millis(1_016_001)
            }
        );
        assert_eq!(
            anchor.at(Duration::from_millis(10_000)),
            Timestamp::from_millis(1_016_001)
        );
        assert!(
            anchor.observe(reading(900_000, 11_000)).is_some(),
            "backwards, too"
        );
    }

    proptest! {
        #[test]
        fn time_never_goes_back_without_a_step(steps in proptest::collection::vec((0u64..5_000, -500i64..500), 1..50)) {
            let mut anchor = Anchor::new(reading(1_000_000, 0), SLOT);
            let (mut monotonic, mut last) = (0, Timestamp::from_millis(1_000_000));
            for (elapsed, drift) in steps {
                monotonic += elapsed;
                let now = anchor.at(Duration::from_millis(monotonic));
                prop_assert!(now >= last);
                let system = (1_000_000 + monotonic).saturating_add_signed(drift);
                prop_assert_eq!(anchor.observe(reading(system, monotonic)), None);
                prop_assert_eq!(anchor.at(Duration::from_millis(monotonic)), now);
                last = now;
            }
        }
    }
}
