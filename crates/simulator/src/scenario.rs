//! What a run is: a cluster, a network, and faults, drawn from a seed or written down by a test.

use std::time::Duration;

use crate::dice::Dice;

/// A deliberate mistake in our own code, which the checkers must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A quorum is one vote too low.
    QuorumTooLow,
    /// Justifications are not looked at.
    JustificationUnchecked,
    /// The null value is taken for a value.
    NullAccepted,
    /// What the slashing database refuses is signed all the same.
    DatabaseIgnored,
    /// A restarted node has forgotten its votes and does not know it.
    VotesForgotten,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 5] = [
        Fault::QuorumTooLow,
        Fault::JustificationUnchecked,
        Fault::NullAccepted,
        Fault::DatabaseIgnored,
        Fault::VotesForgotten,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::QuorumTooLow => "quorum-too-low",
            Fault::JustificationUnchecked => "justification-unchecked",
            Fault::NullAccepted => "null-accepted",
            Fault::DatabaseIgnored => "database-ignored",
            Fault::VotesForgotten => "votes-forgotten",
        }
    }

    /// The fault of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// The process dies; what it wrote is still in the machine's cache, so the vote log survives, and so may a database
    /// commit that was not yet synced.
    Process,
    /// The machine dies; only what was synced is left, and the vote log counts as incomplete.
    Machine,
    /// The machine dies and the database is gone with its disk.
    Disk,
}

/// When a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMoment {
    /// At a time after genesis.
    At(Duration),
    /// In a slot, the moment it has sent its vote.
    AfterVote {
        /// The slot.
        slot: u64,
        /// COMMIT rather than PREPARE.
        commit: bool,
    },
    /// In a slot, while a database commit is between write and sync.
    DuringSync {
        /// The slot.
        slot: u64,
    },
}

/// One crash with its restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// Which node.
    pub node: usize,
    /// How.
    pub kind: CrashKind,
    /// When.
    pub moment: CrashMoment,
    /// How long it stays down.
    pub down: Duration,
}

/// A link that delivers nothing in one direction for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Sender.
    pub from: usize,
    /// Receiver.
    pub to: usize,
    /// From when, after genesis.
    pub start: Duration,
    /// Until when.
    pub end: Duration,
}

/// A while in which a node's operator has stopped all signing (S11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Which node.
    pub node: usize,
    /// From when, after genesis.
    pub start: Duration,
    /// Until when.
    pub end: Duration,
}

/// What a liar does. Liars also do what honest nodes do, most of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// As leader, proposes different values to different peers and votes for all of them.
    Equivocate,
    /// As leader, keeps two camps apart, each with its own value, and wins a node that restarts over to the other camp.
    Divide,
    /// As leader, proposes a value nobody should sign.
    BadValue,
    /// As leader of a later round, proposes without justification.
    Usurp,
    /// As leader, proposes the null value.
    Null,
    /// Signs other roots, or sends garbage signatures.
    WrongRoot,
    /// Sends old messages again, its own and others'.
    Replay,
    /// Says nothing.
    Silent,
}

/// Everything that defines a run besides the seed of its dice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Seed of the run's dice.
    pub seed: u64,
    /// Nodes in the cluster.
    pub nodes: usize,
    /// Shares needed for a signature.
    pub threshold: usize,
    /// Validators of the cluster.
    pub validators: usize,
    /// Length of a slot.
    pub slot: Duration,
    /// Slots in an epoch.
    pub slots_per_epoch: u64,
    /// Slots with faults.
    pub troubled_slots: u64,
    /// Slots after that, in which every duty must complete.
    pub healed_slots: u64,
    /// Slots to get well in between.
    pub recovery_slots: u64,
    /// Shortest and longest one-way delay.
    pub delay: (Duration, Duration),
    /// Lost messages, in thousandths, during trouble.
    pub loss: u64,
    /// Duplicated messages, in thousandths.
    pub duplication: u64,
    /// Clock offset of each node, in milliseconds.
    pub offsets_ms: Vec<i64>,
    /// Partitions during trouble.
    pub partitions: Vec<Partition>,
    /// Crashes during trouble.
    pub crashes: Vec<Crash>,
    /// Pauses; none lasts beyond the trouble in a drawn scenario.
    pub pauses: Vec<Pause>,
    /// Slow beacon nodes: node, from slot, to slot, delay.
    pub slow_beacons: Vec<(usize, u64, u64, Duration)>,
    /// Beacon nodes that see another head: node and probability in thousandths.
    pub disagreement: u64,
    /// A reorg in the middle of an epoch gives validators a second duty with the same target.
    pub reorg: bool,
    /// The liars, at most `f`.
    pub liars: Vec<(usize, Lie)>,
    /// Real BLS instead of the stand-in.
    pub real_signatures: bool,
    /// A deliberate mistake in our own code.
    pub fault: Option<Fault>,
}

impl Scenario {
    /// A healthy cluster: every duty must complete in round 1.
    pub fn healthy(seed: u64, nodes: usize) -> Self {
        Self {
            seed,
            nodes,
            threshold: flotilla_qbft::quorum(nodes),
            validators: 6,
            slot: Duration::from_secs(12),
            slots_per_epoch: 8,
            troubled_slots: 0,
            healed_slots: 10,
            recovery_slots: 0,
            delay: (Duration::from_millis(5), Duration::from_millis(80)),
            loss: 0,
            duplication: 0,
            offsets_ms: vec![0; nodes],
            partitions: vec![],
            crashes: vec![],
            pauses: vec![],
            slow_beacons: vec![],
            disagreement: 0,
            reorg: false,
            liars: vec![],
            real_signatures: false,
            fault: None,
        }
    }

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
        scenario.draw_liars(&mut dice);
        scenario.draw_crashes(&mut dice);
        scenario.draw_pause(&mut dice);
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

    /// The scenario that `cargo sim` runs for a seed: mostly drawn, some about one danger.
    pub fn of_seed(seed: u64, nodes: Option<usize>) -> Self {
        let free = nodes.is_none_or(|nodes| nodes == 4);
        match seed % 8 {
            5 if free => Self::besieged(seed, Lie::Usurp),
            6 if free => Self::besieged(seed, Lie::Null),
            3 | 7 if free => Self::forgetful(seed),
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

    /// What `node` lies about, if it is a liar.
    pub fn lie(&self, node: usize) -> Option<Lie> {
        self.liars
            .iter()
            .find(|(liar, _)| *liar == node)
            .map(|(_, lie)| *lie)
    }

    /// When trouble ends, after genesis.
    pub fn heals_at(&self) -> Duration {
        self.slot * self.troubled_slots as u32
    }

    /// The slots in which every duty must complete.
    pub fn judged(&self) -> std::ops::Range<u64> {
        // S4: a node whose disk was lost is silent for the rest of the epoch, which counts as being down.
        let disk_lost = self
            .crashes
            .iter()
            .any(|crash| crash.kind == CrashKind::Disk);
        let silent = if disk_lost { self.slots_per_epoch } else { 0 };
        let first = self.troubled_slots + self.recovery_slots + silent;
        first..first + self.healed_slots
    }

    /// When the run ends, after genesis: every duty's deadline has passed by then.
    pub fn ends_at(&self) -> Duration {
        self.slot * (self.judged().end + self.slots_per_epoch + 2) as u32
    }
}
