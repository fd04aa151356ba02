//! Links between nodes: delay, loss, duplication, reordering, one-way partitions.

use std::time::Duration;

use crate::dice::Dice;
use crate::scenario::Scenario;

/// All links of a run.
#[derive(Debug)]
pub struct Links {
    dice: Dice,
}

impl Links {
    /// Links with dice of their own.
    pub fn new(dice: Dice) -> Self {
        Self { dice }
    }

    /// The delays after which copies of a message sent `at` (after genesis) arrive: none, one, or two. Since each copy has its
    /// own delay, messages overtake each other.
    pub fn delays(
        &mut self,
        scenario: &Scenario,
        from: usize,
        to: usize,
        at: Option<Duration>,
    ) -> Vec<Duration> {
        let troubled = at.is_some_and(|at| at < scenario.heals_at());
        let cut = scenario.partitions.iter().any(|cut| {
            (cut.from, cut.to) == (from, to) && at.is_some_and(|at| cut.start <= at && at < cut.end)
        });
        if troubled && (cut || self.dice.permille(scenario.loss)) {
            return vec![];
        }
        let copies = if self.dice.permille(scenario.duplication) {
            2
        } else {
            1
        };
        (0..copies)
            .map(|_| self.dice.between(scenario.delay.0, scenario.delay.1))
            .collect()
    }
}
