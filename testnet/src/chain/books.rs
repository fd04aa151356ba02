//! What has arrived, kept for as long as it may arrive again.

use std::collections::BTreeMap;

use flotilla_types::{DutyKind, Slot, ValidatorIndex};

use super::Arrival;

/// One thing due: whose, and for contributions which subcommittee (0 for other kinds).
pub type Part = (ValidatorIndex, u64);

/// First valid arrivals by slot and kind: at most one for each validator, slot and part.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pages: BTreeMap<(Slot, DutyKind), BTreeMap<Part, Arrival>>,
}

impl Books {
    /// Notes an arrival. `false` if it had been noted before: the first one stays.
    pub fn note(&mut self, kind: DutyKind, slot: Slot, part: Part, arrival: Arrival) -> bool {
        let page = self.pages.entry((slot, kind)).or_default();
        if page.contains_key(&part) {
            return false;
        }
        page.insert(part, arrival);
        true
    }

    /// When something first arrived.
    pub fn arrival(&self, kind: DutyKind, slot: Slot, part: Part) -> Option<Arrival> {
        self.page(kind, slot)
            .and_then(|page| page.get(&part))
            .copied()
    }

    /// All of one kind and slot.
    pub fn page(&self, kind: DutyKind, slot: Slot) -> Option<&BTreeMap<Part, Arrival>> {
        self.pages.get(&(slot, kind))
    }

    /// Whether a validator was heard of in one of these slots.
    pub fn is_live(&self, validator: ValidatorIndex, slots: std::ops::Range<u64>) -> bool {
        let from = (Slot(slots.start), DutyKind::ALL[0]);
        let to = (Slot(slots.end), DutyKind::ALL[0]);
        let mut pages = self.pages.range(from..to).map(|(_, page)| page);
        pages.any(|page| {
            page.range((validator, 0)..=(validator, u64::MAX))
                .next()
                .is_some()
        })
    }

    /// Forgets everything before a slot.
    pub fn trim(&mut self, oldest: Slot) {
        self.pages = self.pages.split_off(&(oldest, DutyKind::ALL[0]));
    }

    /// Pages kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::Timestamp;

    use super::*;

    fn arrival(seconds: u64) -> Arrival {
        Arrival {
            at: Timestamp::from_secs(seconds),
            endpoint: 0,
        }
    }

    #[test]
    fn the_first_arrival_stays() {
        let mut books = Books::default();
        let part = (ValidatorIndex(3), 1);
        assert!(books.note(DutyKind::SyncContribution, Slot(5), part, arrival(1)));
        assert!(!books.note(DutyKind::SyncContribution, Slot(5), part, arrival(2)));
        assert_eq!(
            books.arrival(DutyKind::SyncContribution, Slot(5), part),
            Some(arrival(1))
        );
        assert_eq!(books.arrival(DutyKind::Attester, Slot(5), part), None);
    }

    #[test]
    fn a_validator_is_live_in_the_slots_it_was_heard_of() {
        let mut books = Books::default();
        books.note(
            DutyKind::Attester,
            Slot(5),
            (ValidatorIndex(3), 0),
            arrival(1),
        );
        assert!(books.is_live(ValidatorIndex(3), 0..8));
        assert!(!books.is_live(ValidatorIndex(3), 6..8));
        assert!(!books.is_live(ValidatorIndex(4), 0..8));
    }

    #[test]
    fn trimmed_slots_are_gone() {
        let mut books = Books::default();
        for slot in 0..10 {
            books.note(
                DutyKind::Attester,
                Slot(slot),
                (ValidatorIndex(3), 0),
                arrival(1),
            );
        }
        books.trim(Slot(7));
        assert_eq!(books.len(), 3);
    }
}
