//! How duties ended, for the status page: counted by kind in this epoch and the one before.

use std::collections::BTreeMap;

use flotilla_duty::Outcome;
use flotilla_duty::outcome::ItemOutcome;
use flotilla_types::{Duty, DutyKind, Epoch, Slot};
use serde::Serialize;

/// Duties of single validators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// Accepted by a beacon node, or made if only the cluster needs them.
    pub submitted: u64,
    /// Not so.
    pub missed: u64,
}

/// The ends of one kind of duty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindEnds {
    /// Of duties in the newest epoch of which any has ended.
    pub current_epoch: Ends,
    /// Of those in the epoch before.
    pub previous_epoch: Ends,
}

/// Counts by epoch and kind.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    ends: BTreeMap<(Epoch, DutyKind), Ends>,
}

impl Tally {
    /// A duty has ended. An exit is counted in the epoch it asks for, which may be long past.
    pub fn ended(&mut self, epoch: Epoch, outcome: &Outcome) {
        let ends = self.ends.entry((epoch, outcome.duty.kind)).or_default();
        let done = outcome.items.values().filter_map(ItemOutcome::done).count();
        ends.submitted += done as u64;
        ends.missed += (outcome.items.len() - done) as u64;
        let newest = self.newest();
        self.ends.retain(|(epoch, _), _| epoch.0 + 1 >= newest.0);
    }

    /// The counts by the kind's name.
    pub fn by_kind(&self) -> BTreeMap<&'static str, KindEnds> {
        let newest = self.newest();
        let mut kinds: BTreeMap<&'static str, KindEnds> = BTreeMap::new();
        for (&(epoch, kind), &ends) in &self.ends {
            let both = kinds.entry(kind.name()).or_default();
            match epoch == newest {
                true => both.current_epoch = ends,
                false => both.previous_epoch = ends,
            }
        }
        kinds
    }

    fn newest(&self) -> Epoch {
        self.ends
            .last_key_value()
            .map_or(Epoch(0), |((epoch, _), _)| *epoch)
    }
}

/// The epoch of a duty on a chain with so many slots in each.
pub fn epoch_of(duty: Duty, slots_per_epoch: u64) -> Epoch {
    let Slot(slot) = duty.slot;
    Epoch(slot / slots_per_epoch.max(1))
}

#[cfg(test)]
mod tests {
    use flotilla_duty::io::{Item, Stages};
    use flotilla_duty::outcome::{Fate, Reason, Step};
    use flotilla_types::{PublicKeyBytes, Timestamp};

    use super::*;

    fn outcome(done: u8, missed: u8) -> Outcome {
        let item = |number: u8| {
            let fate = match number < done {
                true => Fate::Submitted,
                false => Fate::Missed {
                    step: Step::Submit,
                    reason: Reason::NoAnswer,
                    peers: Vec::new(),
                },
            };
            let ended = ItemOutcome {
                quorum: None,
                aggregated: None,
                submitted: Some(Timestamp::from_millis(1)),
                fate,
            };
            (Item::whole(PublicKeyBytes([number; 48])), ended)
        };
        Outcome {
            duty: Duty::attester(Slot(1)),
            due: Timestamp::from_millis(0),
            round: None,
            leader: None,
            stages: Stages::default(),
            items: (0..done + missed).map(item).collect(),
        }
    }

    #[test]
    fn two_epochs_are_counted_and_earlier_ones_forgotten() {
        let mut tally = Tally::default();
        for (epoch, done, missed) in [(4, 9, 9), (5, 3, 0), (6, 2, 1), (5, 0, 1), (4, 1, 1)] {
            tally.ended(Epoch(epoch), &outcome(done, missed));
        }
        let expected = KindEnds {
            current_epoch: Ends {
                submitted: 2,
                missed: 1,
            },
            previous_epoch: Ends {
                submitted: 3,
                missed: 1,
            },
        };
        assert_eq!(tally.by_kind(), [("attester", expected)].into());
        assert_eq!(tally.ends.len(), 2);
    }
}
