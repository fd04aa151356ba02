//! Which step cost the time.
//!
//! What a duty makes is wanted a third of a slot after its due point: the block by attesters, attestations and sync committee
//! messages by aggregators, aggregates and contributions by the next proposer. What is there after half of that is late enough
//! to be told, with the step that took longest.

use std::time::Duration;

use flotilla_duty::Outcome;
use flotilla_duty::outcome::{ItemOutcome, Step};
use flotilla_types::Timestamp;

/// The step that took longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// The step.
    pub step: Step,
    /// How long it took, after the due point and after the steps before it.
    pub took: Duration,
}

/// The slowest step of a duty that was done after half of its useful time; `None` if it was done earlier or not at all.
pub fn of(outcome: &Outcome, slot_duration: Duration) -> Option<Slow> {
    let done = outcome.items.values().filter_map(ItemOutcome::done).max()?;
    let useful = slot_duration / 3;
    let is_slow = done.saturating_since(outcome.due) > useful / 2;
    is_slow.then(|| slowest(outcome)).flatten()
}

/// The step that took longest of those that were completed; `None` if none was completed after the due point.
pub fn slowest(outcome: &Outcome) -> Option<Slow> {
    let last = outcome.items.values().max_by_key(|item| item.done());
    let mut before = outcome.due;
    let mut slowest: Option<Slow> = None;
    for (step, reached) in steps(outcome, last) {
        let Some(reached) = reached else { continue };
        let took = reached.saturating_since(before);
        if took > slowest.map_or(Duration::ZERO, |slow| slow.took) {
            slowest = Some(Slow { step, took });
        }
        before = before.max(reached);
    }
    slowest
}

fn steps(outcome: &Outcome, item: Option<&ItemOutcome>) -> [(Step, Option<Timestamp>); 7] {
    let stages = &outcome.stages;
    let of_item = |stage: fn(&ItemOutcome) -> Option<Timestamp>| item.and_then(stage);
    [
        (Step::Fetch, stages.fetched),
        (Step::Agree, stages.agreed),
        (Step::Record, stages.recorded),
        (Step::Sign, stages.signed),
        (Step::Exchange, of_item(|item| item.quorum)),
        (Step::Aggregate, of_item(|item| item.aggregated)),
        (Step::Submit, of_item(|item| item.submitted)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use flotilla_duty::io::{Item, Stages};
    use flotilla_duty::outcome::Fate;
    use flotilla_types::{Duty, DutyKind, PublicKeyBytes, Slot};

    use super::*;

    const DUE_MS: u64 = 1_000_000;

    fn at(after_due: u64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(DUE_MS + after_due))
    }

    fn proposal(fetched: u64, agreed: u64, submitted: u64) -> Outcome {
        let item = ItemOutcome {
            quorum: at(agreed + 10),
            aggregated: at(agreed + 20),
            submitted: at(submitted),
            fate: Fate::Submitted,
        };
        Outcome {
            duty: Duty::new(Slot(5), DutyKind::Proposer),
            due: Timestamp::from_millis(DUE_MS),
            round: Some(1),
            leader: None,
            stages: Stages {
                fetched: at(fetched),
                agreed: at(agreed),
                ..Stages::default()
            },
            items: BTreeMap::from([(Item::whole(PublicKeyBytes([1; 48])), item)]),
        }
    }

    #[test]
    fn a_block_in_the_second_half_of_its_time_names_the_step_that_cost_it() {
        let slot = Duration::from_secs(12);
        assert_eq!(of(&proposal(1_500, 1_600, 2_000), slot), None);
        let late_builder = of(&proposal(1_500, 1_600, 2_001), slot);
        assert_eq!(
            late_builder,
            Some(Slow {
                step: Step::Fetch,
                took: Duration::from_millis(1_500)
            })
        );
        let slow_node = of(&proposal(300, 400, 3_000), slot).map(|slow| slow.step);
        assert_eq!(slow_node, Some(Step::Submit));
    }

    #[test]
    fn what_never_began_has_no_slowest_step() {
        let mut outcome = proposal(0, 0, 0);
        outcome.items.clear();
        outcome.stages = Stages::default();
        assert_eq!(slowest(&outcome), None);
    }
}
