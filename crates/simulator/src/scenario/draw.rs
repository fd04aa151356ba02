//! Scenarios from a seed: mostly of everything, some about one danger.

use std::time::Duration;

use super::{
    Crash, CrashKind, CrashMoment, Fork, Lag, Leaving, Lie, Manners, Partition, Pause, Scenario,
    Weather,
};
use crate::dice::Dice;

impl Scenario {
    /// A scenario drawn from a seed, for `nodes` if given.
    pub fn drawn(seed: u64, nodes: Option<usize>) -> Self {
        let mut dice = Dice::seeded(seed ^ 0x5ce0_a110);
        let nodes = nodes.unwrap_or_else(|| [3, 4, 4, 4, 4, 4, 5, 6, 7, 7][dice.index(10)]);
        let mut scenario = Self::healthy(seed, nodes);
        scenario.validators = 1 + dice.index(8);
        scenario.slot = Duration::from_secs([2, 3, 6, 12][dice.index(4)]);
        scenario.troubled_slots = 6 + dice.below(10);
        scenario.recovery_slots = 3;
        scenario.healed_slots = 4;
        scenario.draw_network(&mut dice);
        scenario.draw_chain(&mut dice);
        scenario.draw_liars(&mut dice);
        scenario.draw_crashes(&mut dice);
        scenario.draw_pause(&mut dice);
        scenario.draw_clients(&mut dice);
        scenario.draw_exits(&mut dice);
        scenario
    }

    /// A scenario in which a node forgets what it voted in the middle of an equivocation, with the rest drawn from a seed.
    pub fn forgetful(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed ^ 0xf0_49e7);
        let mut scenario = Self::healthy(seed, 4);
        scenario.troubled_slots = 8;
        scenario.recovery_slots = 3;
        scenario.healed_slots = 2;
        scenario.delay = (Duration::from_millis(2), Duration::from_millis(120));
        let liar = dice.index(4);
        scenario.liars = vec![(liar, Lie::Divide)];
        for slot in 1..scenario.troubled_slots {
            let node = (liar + 1 + dice.index(3)) % 4;
            let moment = CrashMoment::AfterVote {
                slot,
                commit: dice.permille(700),
            };
            let down = dice.between(Duration::from_millis(1), Duration::from_millis(60));
            scenario.crashes.push(Crash {
                node,
                kind: CrashKind::Process,
                moment,
                down,
            });
        }
        scenario
    }

    /// A scenario in which one liar does nothing but `lie`, on links that lose a quarter of all messages.
    pub fn besieged(seed: u64, lie: Lie) -> Self {
        let mut dice = Dice::seeded(seed ^ 0xbe51_e6ed);
        let mut scenario = Self::healthy(seed, 4);
        scenario.troubled_slots = 8;
        scenario.recovery_slots = 3;
        scenario.healed_slots = 4;
        scenario.loss = 250;
        scenario.delay = (Duration::from_millis(5), Duration::from_millis(300));
        scenario.liars = vec![(dice.index(4), lie)];
        scenario
    }

    /// A scenario in which one beacon node follows a branch of its own for more than an epoch, long enough for the branch to
    /// have a justified checkpoint of its own.
    pub fn split(seed: u64) -> Self {
        let mut dice = Dice::seeded(seed ^ 0x05b1_17ed);
        let mut scenario = Self::healthy(seed, 4);
        scenario.troubled_slots = 20;
        scenario.recovery_slots = 3;
        scenario.healed_slots = 4;
        scenario.weather = Weather {
            missing: 100,
            late: 150,
            ..Weather::default()
        };
        let ever = scenario.judged().end + scenario.slots_per_epoch;
        scenario.forks.push(Fork {
            node: dice.index(4),
            from: 2 + dice.below(5),
            // The three others must do without it, or it comes back.
            to: [ever, scenario.troubled_slots][dice.index(2)],
            seen: dice.permille(700),
        });
        scenario
    }

    /// The scenario that `cargo sim` runs for a seed: mostly drawn, some about one danger.
    pub fn of_seed(seed: u64, nodes: Option<usize>) -> Self {
        let free = nodes.is_none_or(|nodes| nodes == 4);
        match (seed % 8, seed % 16) {
            (5, _) if free => Self::besieged(seed, Lie::Usurp),
            (6, _) if free => Self::besieged(seed, Lie::Null),
            (3 | 7, _) if free => Self::forgetful(seed),
            (_, 12) if free => Self::split(seed),
            _ => Self::drawn(seed, nodes),
        }
    }

    fn draw_network(&mut self, dice: &mut Dice) {
        let base = dice.between(Duration::from_millis(1), Duration::from_millis(150));
        self.delay = (
            base,
            base + dice.between(Duration::ZERO, Duration::from_millis(400)),
        );
        self.loss = [0, 0, 10, 50, 150][dice.index(5)];
        self.duplication = [0, 20, 100, 300][dice.index(4)];
        self.disagreement = [0, 0, 200, 500][dice.index(4)];
        self.reorg = dice.permille(400);
        self.offsets_ms = (0..self.nodes)
            .map(|_| dice.below(400) as i64 - 200)
            .collect();
        let trouble = self.slot * self.troubled_slots as u32;
        for _ in 0..dice.below(4) {
            let start = dice.between(Duration::ZERO, trouble);
            let end = (start + dice.between(Duration::ZERO, self.slot * 3)).min(trouble);
            let (from, to) = (dice.index(self.nodes), dice.index(self.nodes));
            self.partitions.push(Partition {
                from,
                to,
                start,
                end,
            });
        }
        if dice.permille(300) {
            let from = dice.below(self.troubled_slots);
            let delay = dice.between(Duration::from_millis(100), self.slot * 2);
            self.slow_beacons.push((
                dice.index(self.nodes),
                from,
                from + 1 + dice.below(4),
                delay,
            ));
        }
    }

    fn draw_liars(&mut self, dice: &mut Dice) {
        let faulty = flotilla_qbft::faulty(self.nodes);
        let lies = [
            Lie::Equivocate,
            Lie::Divide,
            Lie::BadValue,
            Lie::Usurp,
            Lie::Null,
            Lie::WrongRoot,
            Lie::Replay,
            Lie::Silent,
        ];
        let count = dice.below(faulty as u64 + 1) as usize;
        let first = dice.index(self.nodes);
        self.liars = (0..count)
            .map(|offset| ((first + offset) % self.nodes, lies[dice.index(lies.len())]))
            .collect();
    }

    fn draw_crashes(&mut self, dice: &mut Dice) {
        for _ in 0..dice.below(4) {
            let node = dice.index(self.nodes);
            let kind = match dice.below(10) {
                0..6 => CrashKind::Process,
                6..9 => CrashKind::Machine,
                _ => CrashKind::Disk,
            };
            let slot = 1 + dice.below(self.troubled_slots - 1);
            let moment = match dice.below(4) {
                0 => CrashMoment::At(
                    dice.between(Duration::ZERO, self.slot * self.troubled_slots as u32),
                ),
                1 => CrashMoment::DuringSync { slot },
                _ => CrashMoment::AfterVote {
                    slot,
                    commit: dice.permille(500),
                },
            };
            let down = match dice.permille(500) {
                true => dice.between(Duration::from_millis(1), Duration::from_millis(300)),
                false => dice.between(Duration::ZERO, self.slot * 2),
            };
            self.crashes.push(Crash {
                node,
                kind,
                moment,
                down,
            });
        }
    }

    fn draw_pause(&mut self, dice: &mut Dice) {
        if dice.permille(250) {
            let start = dice.between(Duration::ZERO, self.heals_at());
            let end = (start + dice.between(Duration::ZERO, self.slot * 4)).min(self.heals_at());
            let node = dice.index(self.nodes);
            self.pauses.push(Pause { node, start, end });
        }
    }

    /// How blocks come, and who follows them how.
    fn draw_chain(&mut self, dice: &mut Dice) {
        self.weather = Weather {
            missing: [0, 50, 150][dice.index(3)],
            late: [0, 50, 200][dice.index(3)],
            ill_timed: [0, 300, 1000][dice.index(3)],
            orphaned: [0, 0, 150][dice.index(3)],
        };
        self.short_lookahead = dice.permille(500);
        self.builders = [0, 300, 1000][dice.index(3)];
        self.sync_members = dice.index(3).min(self.validators);
        self.plural = dice.permille(600);
        if dice.permille(300) {
            let from = dice.below(self.troubled_slots);
            self.lags.push(Lag {
                node: dice.index(self.nodes),
                from,
                to: (from + 1 + dice.below(8)).min(self.troubled_slots),
                slots: 1 + dice.below(self.slots_per_epoch),
            });
        }
        if dice.permille(300) {
            self.draw_fork(dice);
        }
    }

    fn draw_fork(&mut self, dice: &mut Dice) {
        let from = 1 + dice.below(self.troubled_slots - 1);
        self.forks.push(Fork {
            node: dice.index(self.nodes),
            from,
            to: self.troubled_slots,
            seen: dice.permille(600),
        });
    }

    /// Some nodes leave signing to a validator client.
    fn draw_clients(&mut self, dice: &mut Dice) {
        if !dice.permille(500) {
            return;
        }
        let count = 1 + dice.index(self.nodes);
        for node in (0..count)
            .filter(|&node| self.lie(node).is_none())
            .collect::<Vec<_>>()
        {
            let manners = match dice.below(8) {
                0 | 1 => Manners::Punctual,
                2 => Manners::Early,
                3 => Manners::Late(dice.between(Duration::ZERO, self.slot)),
                4 => Manners::Twice,
                5 => Manners::Never,
                6 => Manners::Other,
                _ => Manners::WrongSlot,
            };
            self.clients.push((node, manners));
        }
    }

    /// A threshold of honest operators, or more, ask for an exit, each at a time of its own.
    fn draw_exits(&mut self, dice: &mut Dice) {
        if !dice.permille(400) {
            return;
        }
        let mut nodes: Vec<usize> = (0..self.nodes)
            .filter(|&node| self.lie(node).is_none())
            .collect();
        dice.shuffle(&mut nodes);
        let count = (self.threshold + dice.index(2)).min(nodes.len());
        let asked = nodes.into_iter().take(count);
        let until = self.slot * self.judged().start as u32;
        self.exits.push(Leaving {
            validator: dice.index(self.validators),
            epoch: dice.below(2),
            asked: asked
                .map(|node| (node, dice.between(Duration::ZERO, until)))
                .collect(),
        });
    }
}
