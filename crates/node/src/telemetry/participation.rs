//! Which peers took part in which duty.
//!
//! Partial signatures may come before a duty's outcome here and, from slower peers, well after it. So both are noted, and the
//! count is made once the duty is [`SETTLE_SLOTS`] old.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_duty::io::{Item, PartialSet};
use flotilla_types::{Duty, DutyKind, Root, Slot};

/// Slots after which nothing more is expected for a duty; an attestation is worth little by then.
const SETTLE_SLOTS: u64 = 16;

/// Slots ahead for which partial signatures may be here already.
const AHEAD_SLOTS: u64 = 64;

/// Slots ahead for which roots are compared; those are of every validator, so that the bound is close.
const ROOTS_AHEAD_SLOTS: u64 = 2;

/// Slots at start in which duties may have been begun by others before we were here.
const GRACE_SLOTS: u64 = 2;

/// Different heads of one slot that are told apart.
const COHORTS: usize = 8;

/// Duties noted at most; a newcomer is not counted then. A slot has a handful of kinds.
const LIMIT: usize = (SETTLE_SLOTS + AHEAD_SLOTS) as usize * 16;

/// Duties whose count is still open.
#[derive(Debug, Default)]
pub struct Participation {
    now: Slot,
    /// The first slot that began here.
    first: Option<Slot>,
    duties: BTreeMap<Duty, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Validators in the outcome; `None` until the duty has ended here.
    expected: Option<usize>,
    /// Validators signed for, by peer.
    seen: BTreeMap<usize, usize>,
    /// What was signed first for each item.
    roots: BTreeMap<Item, Root>,
    /// Whether anybody signed something else for one of them.
    differs: bool,
    /// Who signed which root; for sync committee messages, whose root is the same for all validators.
    cohorts: BTreeMap<Root, BTreeSet<usize>>,
}

/// A duty's final count.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled {
    pub duty: Duty,
    /// Partial signatures expected from each peer; `None` if the duty was not ours to expect.
    pub expected: Option<usize>,
    /// Whether peers signed different roots for one item.
    pub differs: bool,
    /// Peers that signed the same head, the largest group first; only for sync committee messages.
    pub cohorts: Vec<BTreeSet<usize>>,
    seen: BTreeMap<usize, usize>,
}

impl Settled {
    /// Partial signatures that came from a peer, at most those expected.
    pub fn seen_of(&self, peer: usize) -> usize {
        let seen = self.seen.get(&peer).copied().unwrap_or(0);
        seen.min(self.expected.unwrap_or(0))
    }

    /// Peers that signed anything.
    pub fn signers(&self) -> impl Iterator<Item = usize> {
        self.seen.keys().copied()
    }
}

impl Entry {
    fn note(&mut self, peer: usize, set: &PartialSet) {
        for (validator, partial) in &set.items {
            let item = Item::of(*validator, &partial.data);
            let first = self.roots.entry(item).or_insert(partial.signing_root);
            self.differs |= *first != partial.signing_root;
            let has_room = self.cohorts.len() < COHORTS;
            let is_known = self.cohorts.contains_key(&partial.signing_root);
            if set.duty.kind == DutyKind::SyncMessage && (has_room || is_known) {
                let cohort = self.cohorts.entry(partial.signing_root).or_default();
                cohort.insert(peer);
            }
        }
    }

    fn settle(self, duty: Duty) -> Settled {
        let mut cohorts: Vec<_> = self.cohorts.into_values().collect();
        // Stable, so that of two equal ones the smaller root stays first.
        cohorts.sort_by_key(|cohort| std::cmp::Reverse(cohort.len()));
        Settled {
            duty,
            expected: self.expected,
            differs: self.differs,
            cohorts,
            seen: self.seen,
        }
    }
}

impl Participation {
    /// A peer's partial signatures are here.
    pub fn seen(&mut self, peer: usize, set: &PartialSet) {
        let compares = set.duty.slot.0 <= self.now.0.saturating_add(ROOTS_AHEAD_SLOTS);
        if let Some(entry) = self.entry(set.duty) {
            let seen = entry.seen.entry(peer).or_default();
            *seen = seen.saturating_add(set.items.len());
            if compares {
                entry.note(peer, set);
            }
        }
    }

    /// The duty has ended here, for this many validators.
    pub fn ended(&mut self, duty: Duty, validators: usize) {
        if let Some(entry) = self.entry(duty) {
            entry.expected = Some(validators);
        }
    }

    /// Takes out what is old enough.
    pub fn settle(&mut self, now: Slot) -> Vec<Settled> {
        self.now = now;
        let first = *self.first.get_or_insert(now);
        let mut settled = Vec::new();
        while let Some(oldest) = self.duties.first_entry()
            && oldest.key().slot.0.saturating_add(SETTLE_SLOTS) <= now.0
        {
            let (duty, entry) = oldest.remove_entry();
            if entry.expected.is_some() || duty.slot.0 >= first.0 + GRACE_SLOTS {
                settled.push(entry.settle(duty));
            }
        }
        settled
    }

    fn entry(&mut self, duty: Duty) -> Option<&mut Entry> {
        // What has no end is never expected, and never unexpected.
        let ends = !matches!(duty.kind, DutyKind::Exit | DutyKind::BuilderRegistration);
        let is_near = duty.slot.0.saturating_add(SETTLE_SLOTS) > self.now.0
            && duty.slot.0 <= self.now.0.saturating_add(AHEAD_SLOTS);
        let has_room = self.duties.len() < LIMIT || self.duties.contains_key(&duty);
        (ends && is_near && has_room).then(|| self.duties.entry(duty).or_default())
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_crypto::ShareIndex;
    use flotilla_duty::io::Partial;
    use flotilla_types::{
        PublicKeyBytes, SignatureBytes, SignedData, SyncCommitteeMessage, ValidatorIndex,
    };

    use super::*;

    /// Partial signatures for validators 1 to `validators`, over `root`.
    pub fn set(duty: Duty, validators: u8, root: u8) -> PartialSet {
        let data = SignedData::SyncMessage(SyncCommitteeMessage {
            slot: duty.slot,
            beacon_block_root: Root([root; 32]),
            validator_index: ValidatorIndex(1),
            signature: SignatureBytes([0; 96]),
        });
        let partial = |validator: u8| {
            let partial = Partial {
                data: data.clone(),
                signing_root: Root([root; 32]),
            };
            (PublicKeyBytes([validator; 48]), partial)
        };
        PartialSet {
            duty,
            share: ShareIndex::new(1).unwrap(),
            items: (1..=validators).map(partial).collect(),
        }
    }

    #[test]
    fn late_partials_count_until_the_duty_settles() {
        let mut book = Participation::default();
        let duty = Duty::attester(Slot(20));
        assert_eq!(book.settle(Slot(20)), Vec::new());
        book.seen(0, &set(duty, 3, 9));
        book.ended(duty, 3);
        assert_eq!(book.settle(Slot(35)), Vec::new());
        book.seen(2, &set(duty, 2, 9));
        book.seen(0, &set(duty, 3, 9));
        let settled = book.settle(Slot(36)).remove(0);
        assert_eq!(
            [settled.seen_of(0), settled.seen_of(1), settled.seen_of(2)],
            [3, 0, 2]
        );
        assert!(!settled.differs);
        book.seen(1, &set(duty, 3, 9));
        assert_eq!(book.settle(Slot(90)), Vec::new());
    }

    #[test]
    fn duties_far_off_take_no_room() {
        let mut book = Participation::default();
        book.seen(0, &set(Duty::attester(Slot(u64::MAX)), 1, 9));
        book.seen(0, &set(Duty::attester(Slot(65)), 1, 9));
        assert!(book.duties.is_empty());
    }

    #[test]
    fn duties_not_ours_are_told_as_such_except_those_of_our_start() {
        let mut book = Participation::default();
        book.settle(Slot(20));
        book.seen(0, &set(Duty::attester(Slot(21)), 1, 9));
        assert_eq!(book.settle(Slot(37)), Vec::new());
        book.seen(0, &set(Duty::attester(Slot(37)), 1, 9));
        let settled = book.settle(Slot(60)).remove(0);
        assert_eq!((settled.expected, settled.seen_of(0)), (None, 0));
        assert_eq!(settled.signers().collect::<Vec<_>>(), [0]);
        assert!(book.duties.is_empty());
    }

    #[test]
    fn heads_of_sync_messages_are_ranked_by_how_many_signed_them() {
        let mut book = Participation::default();
        let duty = Duty::new(Slot(5), DutyKind::SyncMessage);
        book.settle(Slot(5));
        for (peer, root) in [(0, 9), (1, 3), (2, 9), (3, 7)] {
            book.seen(peer, &set(duty, 2, root));
        }
        book.ended(duty, 2);
        let settled = book.settle(Slot(40)).remove(0);
        let ranks: Vec<Vec<usize>> = settled
            .cohorts
            .iter()
            .map(|cohort| cohort.iter().copied().collect())
            .collect();
        assert_eq!(ranks, [vec![0, 2], vec![1], vec![3]]);
        assert!(settled.differs);
    }
}
