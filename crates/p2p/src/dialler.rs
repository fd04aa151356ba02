//! When to dial whom.
//!
//! Why it exists: one schedule for all peers keeps the rules of reconnecting in one place and
//! free of tasks and clocks: time comes in as `now` and goes out as [`Schedule::next`].

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff;

/// The side with the larger ID lets the other dial first, so that two nodes that see each other
/// seldom end up with two connections.
const YIELD: Duration = Duration::from_millis(250);

/// A connection that lasted less than this does not reset the back-off: its other end may have
/// refused us.
const LASTING: Duration = Duration::from_secs(5);

/// The dialling plan of every peer that has an address.
#[derive(Debug)]
pub(crate) struct Schedule {
    entries: Vec<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    yields: bool,
    failures: u32,
    /// Since when there is no connection.
    away_since: Instant,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting { until: Instant },
    Dialling,
    Connected { since: Instant },
}

impl Schedule {
    /// A plan for `peers` peers, none of which is dialled.
    pub(crate) fn new(peers: usize) -> Self {
        Self {
            entries: (0..peers).map(|_| None).collect(),
        }
    }

    /// Dials a peer from now on. `yields` lets the peer go first.
    pub(crate) fn add(&mut self, peer: usize, yields: bool, now: Instant) {
        if let Some(entry) = self.entries.get_mut(peer) {
            let wait = if yields { YIELD } else { Duration::ZERO };
            *entry = Some(Entry {
                yields,
                failures: 0,
                away_since: now,
                state: State::Waiting { until: now + wait },
            });
        }
    }

    /// A peer to dial now, which then counts as being dialled.
    pub(crate) fn due(&mut self, now: Instant) -> Option<usize> {
        let is_due = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.state) {
            Some(State::Waiting { until }) => *until <= now,
            Some(State::Dialling | State::Connected { .. }) | None => false,
        };
        let peer = self.entries.iter().position(is_due)?;
        self.entry(peer)?.state = State::Dialling;
        Some(peer)
    }

    /// When [`Schedule::due`] has something next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let waiting = self
            .entries
            .iter()
            .flatten()
            .filter_map(|entry| match entry.state {
                State::Waiting { until } => Some(until),
                State::Dialling | State::Connected { .. } => None,
            });
        waiting.min()
    }

    /// A dial failed. `random` is uniform in 0..1. A connection that the peer made meanwhile
    /// stands.
    pub(crate) fn failed(&mut self, peer: usize, now: Instant, random: f64) {
        if let Some(entry) = self.entry(peer)
            && entry.state == State::Dialling
        {
            entry.back_off(now, random);
        }
    }

    /// A first connection stands, whoever dialled it.
    pub(crate) fn connected(&mut self, peer: usize, now: Instant) {
        if let Some(entry) = self.entry(peer) {
            entry.state = State::Connected { since: now };
        }
    }

    /// The last connection is gone.
    pub(crate) fn lost(&mut self, peer: usize, now: Instant, random: f64) {
        let Some(entry) = self.entry(peer) else {
            return;
        };
        let lasted = match entry.state {
            State::Connected { since } => now.saturating_duration_since(since) >= LASTING,
            State::Waiting { .. } | State::Dialling => false,
        };
        if !lasted && entry.failures > 0 {
            return entry.back_off(now, random);
        }
        // The first short connection is forgiven: it is most often the loser of two dials.
        entry.failures = u32::from(!lasted);
        entry.away_since = now;
        let wait = backoff::AFTER_LOSS + if entry.yields { YIELD } else { Duration::ZERO };
        entry.state = State::Waiting { until: now + wait };
    }

    fn entry(&mut self, peer: usize) -> Option<&mut Entry> {
        self.entries.get_mut(peer)?.as_mut()
    }
}

impl Entry {
    fn back_off(&mut self, now: Instant, random: f64) {
        self.failures = self.failures.saturating_add(1);
        let away = now.saturating_duration_since(self.away_since);
        let wait = backoff::delay(self.failures, away, random);
        self.state = State::Waiting { until: now + wait };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn schedule(yields: bool) -> (Schedule, Instant) {
        let now = Instant::now();
        let mut schedule = Schedule::new(2);
        schedule.add(1, yields, now);
        (schedule, now)
    }

    #[test]
    fn smaller_id_dials_at_once_and_larger_id_yields() {
        let (mut first, now) = schedule(false);
        assert_eq!(first.due(now), Some(1));
        assert_eq!(first.due(now), None);
        let (mut second, now) = schedule(true);
        assert_eq!(second.due(now), None);
        assert_eq!(second.next(), Some(now + YIELD));
        assert_eq!(second.due(now + YIELD), Some(1));
    }

    #[test]
    fn failed_dials_back_off() {
        let (mut schedule, now) = schedule(false);
        assert_eq!(schedule.due(now), Some(1));
        schedule.failed(1, now, 0.5);
        assert_eq!(schedule.next(), Some(now + 1000 * MILLISECOND));
        assert_eq!(schedule.due(now + 1000 * MILLISECOND), Some(1));
        schedule.failed(1, now, 0.5);
        assert_eq!(schedule.next(), Some(now + 1600 * MILLISECOND));
    }

    #[test]
    fn peer_that_comes_in_is_dialled_no_more() {
        let (mut schedule, now) = schedule(true);
        schedule.connected(1, now);
        assert_eq!(schedule.next(), None);
        schedule.failed(1, now, 0.5);
        assert_eq!(schedule.next(), None);
    }

    #[test]
    fn lost_connection_is_dialled_quickly() {
        let (mut schedule, now) = schedule(false);
        assert_eq!(schedule.due(now), Some(1));
        schedule.failed(1, now, 0.5);
        schedule.connected(1, now);
        schedule.lost(1, now + LASTING, 0.5);
        assert_eq!(schedule.next(), Some(now + LASTING + backoff::AFTER_LOSS));
    }

    #[test]
    fn connections_that_never_last_back_off() {
        let (mut schedule, now) = schedule(false);
        schedule.connected(1, now);
        schedule.lost(1, now, 0.5);
        assert_eq!(schedule.next(), Some(now + backoff::AFTER_LOSS));
        schedule.connected(1, now);
        schedule.lost(1, now, 0.5);
        assert_eq!(schedule.next(), Some(now + 1600 * MILLISECOND));
    }

    #[test]
    fn peer_without_an_address_is_never_due() {
        let (mut schedule, now) = schedule(false);
        schedule.lost(0, now, 0.5);
        schedule.failed(0, now, 0.5);
        assert_eq!(schedule.due(now), Some(1));
        assert_eq!(schedule.next(), None);
    }
}
