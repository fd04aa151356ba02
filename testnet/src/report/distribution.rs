//! Percentiles of any number of values in bounded memory.

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use serde::Serialize;

use crate::chain::Seed;

/// Values kept. Up to here percentiles are exact; beyond, they are those of a uniform sample of this size.
const KEPT: usize = 65_536;

/// A growing set of values.
#[derive(Clone, Debug)]
pub struct Distribution {
    kept: Vec<f64>,
    seen: u64,
    max: f64,
    rng: ChaCha12Rng,
}

/// A distribution in four numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Default for Distribution {
    fn default() -> Self {
        Distribution {
            kept: Vec::new(),
            seen: 0,
            max: f64::NEG_INFINITY,
            rng: Seed(0).rng("sample", 0),
        }
    }
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: f64) {
        self.seen += 1;
        self.max = self.max.max(value);
        if self.kept.len() < KEPT {
            self.kept.push(value);
            return;
        }
        // Reservoir sampling (Vitter, algorithm R).
        let place = self.rng.random_range(0..self.seen);
        if let Some(kept) = usize::try_from(place)
            .ok()
            .and_then(|place| self.kept.get_mut(place))
        {
            *kept = value;
        }
    }

    /// How many values were added.
    pub fn count(&self) -> u64 {
        self.seen
    }

    /// The percentiles by nearest rank, or `None` without values.
    pub fn percentiles(&self) -> Option<Percentiles> {
        if self.kept.is_empty() {
            return None;
        }
        let mut sorted = self.kept.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
        Some(Percentiles {
            p50: rank(50),
            p90: rank(90),
            p99: rank(99),
            max: self.max,
        })
    }
}

impl FromIterator<f64> for Distribution {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.add(value));
        distribution
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let distribution: Distribution = (1..=200).map(f64::from).collect();
        let expected = Percentiles {
            p50: 100.0,
            p90: 180.0,
            p99: 198.0,
            max: 200.0,
        };
        assert_eq!(distribution.percentiles(), Some(expected));
    }

    #[test]
    fn one_value_is_every_percentile_and_none_is_none() {
        let one = Distribution::from_iter([3.0]).percentiles().unwrap();
        assert_eq!(
            one,
            Percentiles {
                p50: 3.0,
                p90: 3.0,
                p99: 3.0,
                max: 3.0
            }
        );
        assert_eq!(Distribution::default().percentiles(), None);
    }

    #[test]
    fn memory_is_bounded_and_the_sample_is_fair() {
        let distribution: Distribution = (0..1_000_000).map(f64::from).collect();
        assert_eq!(
            (distribution.kept.len(), distribution.count()),
            (KEPT, 1_000_000)
        );
        let percentiles = distribution.percentiles().unwrap();
        assert_eq!(percentiles.max, 999_999.0);
        assert!(
            (percentiles.p50 - 500_000.0).abs() < 15_000.0,
            "{percentiles:?}"
        );
    }
}
