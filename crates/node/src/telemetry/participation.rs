//! Which peers took part in which duty.
//!
//! Partial signatures may come before a duty's outcome here and, from slower peers, well after it. So both are noted, and the
//! count is made once the duty is [`SETTLE_SLOTS`] old.

use std::collections::BTreeMap;

use flotilla_types::{Duty, Slot};

/// Slots after which nothing more is expected for a duty; an attestation is worth little by then.
const SETTLE_SLOTS: u64 = 16;

/// Slots ahead for which partial signatures may be here already.
const AHEAD_SLOTS: u64 = 64;

/// Duties noted at most; a newcomer is not counted then. A slot has a handful of kinds.
const LIMIT: usize = (SETTLE_SLOTS + AHEAD_SLOTS) as usize * 16;

/// Duties whose count is still open.
#[derive(Debug, Default)]
pub struct Participation {
    now: Slot,
    duties: BTreeMap<Duty, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Validators in the outcome; `None` until the duty has ended here.
    expected: Option<usize>,
    /// Validators signed for, by peer.
    seen: BTreeMap<usize, usize>,
}

/// A duty's final count.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    pub duty: Duty,
    /// Partial signatures expected from each peer.
    pub expected: usize,
    seen: BTreeMap<usize, usize>,
}

impl Settled {
    /// Partial signatures that came from a peer, at most those expected.
    pub fn seen_of(&self, peer: usize) -> usize {
        self.seen
            .get(&peer)
            .copied()
            .unwrap_or(0)
            .min(self.expected)
    }
}

impl Participation {
    /// A peer's partial signatures for `validators` validators are here.
    pub fn seen(&mut self, duty: Duty, peer: usize, validators: usize) {
        if let Some(entry) = self.entry(duty) {
            let seen = entry.seen.entry(peer).or_default();
            *seen = seen.saturating_add(validators);
        }
    }

    /// The duty has ended here, for this many validators.
    pub fn ended(&mut self, duty: Duty, validators: usize) {
        if let Some(entry) = self.entry(duty) {
            entry.expected = Some(validators);
        }
    }

    /// Takes out what is old enough. Duties that never ended here were not ours to expect.
    pub fn settle(&mut self, now: Slot) -> Vec<Settled> {
        self.now = now;
        let mut settled = Vec::new();
        while let Some(first) = self.duties.first_entry()
            && first.key().slot.0.saturating_add(SETTLE_SLOTS) <= now.0
        {
            let (duty, entry) = first.remove_entry();
            settled.extend(entry.expected.map(|expected| Settled {
                duty,
                expected,
                seen: entry.seen,
            }));
        }
        settled
    }

    fn entry(&mut self, duty: Duty) -> Option<&mut Entry> {
        let is_near = duty.slot.0.saturating_add(SETTLE_SLOTS) > self.now.0
            && duty.slot.0 <= self.now.0.saturating_add(AHEAD_SLOTS);
        let has_room = self.duties.len() < LIMIT || self.duties.contains_key(&duty);
        (is_near && has_room).then(|| self.duties.entry(duty).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_partials_count_until_the_duty_settles() {
        let mut book = Participation::default();
        let duty = Duty::attester(Slot(20));
        assert_eq!(book.settle(Slot(20)), Vec::new());
        book.seen(duty, 0, 3);
        book.ended(duty, 3);
        assert_eq!(book.settle(Slot(35)), Vec::new());
        book.seen(duty, 2, 2);
        book.seen(duty, 0, 3);
        let settled = book.settle(Slot(36)).remove(0);
        assert_eq!(
            [settled.seen_of(0), settled.seen_of(1), settled.seen_of(2)],
            [3, 0, 2]
        );
        book.seen(duty, 1, 3);
        assert_eq!(book.settle(Slot(90)), Vec::new());
    }

    #[test]
    fn duties_far_off_and_duties_not_ours_take_no_room() {
        let mut book = Participation::default();
        book.seen(Duty::attester(Slot(u64::MAX)), 0, 1);
        book.seen(Duty::attester(Slot(65)), 0, 1);
        assert!(book.duties.is_empty());
        book.seen(Duty::attester(Slot(1)), 0, 1);
        assert_eq!(book.settle(Slot(17)), Vec::new());
        assert!(book.duties.is_empty());
    }
}
