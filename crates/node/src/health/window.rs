//! What was counted over the last minutes.

use std::collections::VecDeque;

use super::Facts;
use crate::telemetry::{Counts, Timing};

/// Samples of the short window: five minutes, one each half minute.
const SHORT: usize = 10;
/// Samples of the long window: an hour.
const LONG: usize = 120;

/// One look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The cluster's counters.
    pub counts: Counts,
    /// Peers connected, ourselves not counted.
    pub connected: usize,
}

/// The last samples, oldest first.
#[derive(Debug, Default)]
pub struct Window(VecDeque<Sample>);

impl Window {
    /// Adds a sample, and drops what is older than an hour.
    pub fn push(&mut self, sample: Sample) {
        self.0.push_back(sample);
        while self.0.len() > LONG {
            self.0.pop_front();
        }
    }

    /// What checks look at. An empty window shows nothing but zeros.
    pub fn view<'a>(&'a self, facts: &'a Facts) -> View<'a> {
        View {
            samples: &self.0,
            facts,
        }
    }
}

/// What checks look at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    samples: &'a VecDeque<Sample>,
    /// What is true at the moment.
    pub facts: &'a Facts,
}

impl View<'_> {
    /// The newest counters.
    pub fn now(&self) -> Option<&Counts> {
        self.samples.back().map(|sample| &sample.counts)
    }

    /// Most peers connected at once in the last five minutes; `None` at the first look, when connections are being made.
    pub fn most_connected(&self) -> Option<usize> {
        let most = self.short().map(|sample| sample.connected).max();
        most.filter(|_| self.samples.len() > 1)
    }

    /// How much a counter has grown in five minutes.
    pub fn grown(&self, counter: impl Fn(&Counts) -> u64) -> u64 {
        self.change(SHORT, counter)
    }

    /// How much a counter has grown in an hour.
    pub fn grown_in_hour(&self, counter: impl Fn(&Counts) -> u64) -> u64 {
        self.change(LONG, counter)
    }

    /// What was measured in five minutes.
    pub fn measured(&self, timing: impl Fn(&Counts) -> Option<Timing>) -> Timing {
        let of = |sample: Option<&Sample>| {
            sample
                .and_then(|sample| timing(&sample.counts))
                .unwrap_or_default()
        };
        of(self.samples.back()).since(&of(self.short().next()))
    }

    fn change(&self, samples: usize, counter: impl Fn(&Counts) -> u64) -> u64 {
        let of = |sample: Option<&Sample>| sample.map_or(0, |sample| counter(&sample.counts));
        of(self.samples.back()).saturating_sub(of(self.last(samples).next()))
    }

    fn short(&self) -> impl Iterator<Item = &Sample> {
        self.last(SHORT)
    }

    fn last(&self, samples: usize) -> impl Iterator<Item = &Sample> {
        self.samples
            .iter()
            .skip(self.samples.len().saturating_sub(samples))
    }
}
