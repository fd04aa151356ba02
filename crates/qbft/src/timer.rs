//! When a round ends.
//!
//! Processes only help each other if their rounds end at about the same time, so the schedule is
//! part of the protocol between peers. Differences between versions of it are data here.

use std::time::Duration;

/// The schedule of an instance's rounds.
///
/// A timer is requested on entering a round, and a second time when the round's proposal arrives.
/// All durations are lengths of time, `start` is a point in time since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundTimer {
    /// `eager_dlinear`, the default: round `r` ends `T(r) = r` seconds `+ extra` after `start`, or
    /// `2·T(r)` after it once a proposal has arrived. Being absolute, it keeps processes in
    /// lock-step: one that starts late runs through its expired rounds at once.
    EagerDoubleLinear {
        /// When the duty begins.
        start: Duration,
        /// 500 ms for block proposals, else zero.
        extra: Duration,
    },
    /// `eager_dlinear` as up to v1.10: the extra time belonged to round 1 only.
    LegacyEagerDoubleLinear {
        /// When the duty begins.
        start: Duration,
        /// 500 ms for block proposals, else zero.
        first_extra: Duration,
        /// Up to v1.8 the first request of a round counted from the moment it was made.
        first_from_now: bool,
    },
    /// `inc`: `750 ms + 250 ms · r` after each request.
    Increasing {
        /// 500 ms in round 1 of block proposals, else zero.
        first_extra: Duration,
    },
    /// `linear`: 1 s in round 1, then `step · r`, after each request.
    Linear {
        /// 500 ms in round 1 of block proposals, else zero.
        first_extra: Duration,
        /// 200 ms; up to v1.10 in effect zero, by a mistake of units.
        step: Duration,
    },
}

impl RoundTimer {
    /// The deadline of `round` when it is requested at `now`; `again` when it is not the first
    /// request for this round. It may lie in the past: then the round is over.
    #[must_use]
    pub fn deadline(&self, now: Duration, round: u64, again: bool) -> Duration {
        match *self {
            Self::EagerDoubleLinear { start, extra } => {
                let length = Duration::from_secs(round).saturating_add(extra);
                start.saturating_add(if again {
                    length.saturating_mul(2)
                } else {
                    length
                })
            }
            Self::LegacyEagerDoubleLinear {
                start,
                first_extra,
                first_from_now,
            } => {
                let length =
                    Duration::from_secs(round).saturating_add(first_only(first_extra, round));
                match (again, first_from_now) {
                    (true, _) => start.saturating_add(length.saturating_mul(2)),
                    (false, false) => start.saturating_add(length),
                    (false, true) => now.saturating_add(length),
                }
            }
            Self::Increasing { first_extra } => {
                let length = Duration::from_millis(750)
                    .saturating_add(times(Duration::from_millis(250), round));
                now.saturating_add(length)
                    .saturating_add(first_only(first_extra, round))
            }
            Self::Linear { first_extra, step } => {
                let length = if round <= 1 {
                    Duration::from_secs(1)
                } else {
                    times(step, round)
                };
                now.saturating_add(length)
                    .saturating_add(first_only(first_extra, round))
            }
        }
    }
}

fn first_only(extra: Duration, round: u64) -> Duration {
    if round == 1 { extra } else { Duration::ZERO }
}

fn times(length: Duration, round: u64) -> Duration {
    length.saturating_mul(u32::try_from(round).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS_500: Duration = Duration::from_millis(500);
    const NOW: Duration = Duration::from_secs(2_000);

    fn timers() -> [RoundTimer; 4] {
        [
            RoundTimer::EagerDoubleLinear {
                start: Duration::from_secs(1_000),
                extra: MS_500,
            },
            RoundTimer::LegacyEagerDoubleLinear {
                start: Duration::from_secs(1_000),
                first_extra: MS_500,
                first_from_now: false,
            },
            RoundTimer::Increasing {
                first_extra: MS_500,
            },
            RoundTimer::Linear {
                first_extra: MS_500,
                step: Duration::from_millis(200),
            },
        ]
    }

    fn ms(timer: RoundTimer, round: u64, again: bool) -> u128 {
        timer.deadline(NOW, round, again).as_millis()
    }

    #[test]
    fn eager_deadlines_are_absolute_and_double_with_a_proposal() {
        let [timer, ..] = timers();
        assert_eq!(ms(timer, 1, false), 1_001_500);
        assert_eq!(ms(timer, 1, true), 1_003_000);
        assert_eq!(ms(timer, 3, false), 1_003_500);
        assert_eq!(ms(timer, 3, true), 1_007_000);
    }

    #[test]
    fn older_versions_gave_proposers_more_time_in_round_1_only() {
        let [_, timer, ..] = timers();
        assert_eq!(ms(timer, 1, false), 1_001_500);
        assert_eq!(ms(timer, 2, false), 1_002_000);
        assert_eq!(ms(timer, 2, true), 1_004_000);
    }

    #[test]
    fn before_v1_9_the_first_request_counted_from_now() {
        let timer = RoundTimer::LegacyEagerDoubleLinear {
            start: Duration::from_secs(1_000),
            first_extra: Duration::ZERO,
            first_from_now: true,
        };
        assert_eq!(ms(timer, 2, false), 2_002_000);
        assert_eq!(ms(timer, 2, true), 1_004_000);
    }

    #[test]
    fn relative_timers_restart_on_each_request() {
        let [_, _, increasing, linear] = timers();
        assert_eq!(
            (ms(increasing, 1, false), ms(increasing, 1, true)),
            (2_001_500, 2_001_500)
        );
        assert_eq!(ms(increasing, 10, false), 2_003_250);
        assert_eq!(
            (ms(linear, 1, false), ms(linear, 2, true)),
            (2_001_500, 2_000_400)
        );
    }

    #[test]
    fn absurd_rounds_saturate() {
        for timer in timers() {
            assert!(timer.deadline(Duration::MAX, u64::MAX, true) > NOW);
        }
    }
}
