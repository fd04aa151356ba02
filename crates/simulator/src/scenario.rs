//! What a run is: a cluster, a network, a chain, and faults, drawn from a seed or written down by a test.

mod draw;

use std::time::Duration;

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
    /// Votes that conflict with the chain of the own beacon nodes are signed.
    GuardOff,
    /// Shares of the reveal of randomness leave as soon as the duty is known.
    RandaoEarly,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 7] = [
        Fault::QuorumTooLow,
        Fault::JustificationUnchecked,
        Fault::NullAccepted,
        Fault::DatabaseIgnored,
        Fault::VotesForgotten,
        Fault::GuardOff,
        Fault::RandaoEarly,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Fault::QuorumTooLow => "quorum-too-low",
            Fault::JustificationUnchecked => "justification-unchecked",
            Fault::NullAccepted => "null-accepted",
            Fault::DatabaseIgnored => "database-ignored",
            Fault::VotesForgotten => "votes-forgotten",
            Fault::GuardOff => "guard-off",
            Fault::RandaoEarly => "randao-early",
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

/// How blocks come, in thousandths of all slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    /// Blocks that never come.
    pub missing: u64,
    /// Blocks that come after the due points of attesters.
    pub late: u64,
    /// During trouble: blocks that come at any time.
    pub ill_timed: u64,
    /// During trouble: blocks that the next block leaves aside.
    pub orphaned: u64,
}

/// A while in which a node's beacon node is behind the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Which node.
    pub node: usize,
    /// From which slot.
    pub from: u64,
    /// Until which slot.
    pub to: u64,
    /// By how many slots.
    pub slots: u64,
}

/// A while in which a node's beacon node follows a branch that nobody else follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Which node.
    pub node: usize,
    /// From which slot.
    pub from: u64,
    /// Until which slot.
    pub to: u64,
    /// Whether all beacon nodes know both branches; else each side takes the other for invalid.
    pub seen: bool,
}

/// How a validator client behaves during trouble; afterwards it is punctual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// It asks when work is due, and hands in at once.
    Punctual,
    /// It asks and signs a slot ahead where it can.
    Early,
    /// It does everything this long after its time.
    Late(Duration),
    /// It asks and hands in everything twice.
    Twice,
    /// It asks, and never hands anything in.
    Never,
    /// It signs something else than it was told.
    Other,
    /// It hands in objects of another slot than their duty's.
    WrongSlot,
}

/// A validator that is to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Its place among the cluster's validators.
    pub validator: usize,
    /// The epoch in the exit.
    pub epoch: u64,
    /// The nodes whose operators ask for it, and when after genesis.
    pub asked: Vec<(usize, Duration)>,
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
    /// How blocks come.
    pub weather: Weather,
    /// Beacon nodes that are behind.
    pub lags: Vec<Lag>,
    /// Beacon nodes on branches of their own.
    pub forks: Vec<Fork>,
    /// Whether validators propose.
    pub proposals: bool,
    /// Whether proposer lists say that they depend on the epoch before, as they did before Fulu.
    pub short_lookahead: bool,
    /// How often a builder has the payload, in thousandths.
    pub builders: u64,
    /// How many of the validators are in the sync committee.
    pub sync_members: usize,
    /// Whether all members read several contributions of one validator.
    pub plural: bool,
    /// Nodes whose share is signed with by a validator client.
    pub clients: Vec<(usize, Manners)>,
    /// Validators that are to leave.
    pub exits: Vec<Leaving>,
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
            weather: Weather::default(),
            lags: vec![],
            forks: vec![],
            proposals: true,
            short_lookahead: false,
            builders: 300,
            sync_members: 1,
            plural: true,
            clients: vec![],
            exits: vec![],
            liars: vec![],
            real_signatures: false,
            fault: None,
        }
    }

    /// What `node` lies about, if it is a liar.
    pub fn lie(&self, node: usize) -> Option<Lie> {
        self.liars
            .iter()
            .find(|(liar, _)| *liar == node)
            .map(|(_, lie)| *lie)
    }

    /// How the validator client of `node` behaves, if it has one.
    pub fn manners(&self, node: usize) -> Option<Manners> {
        let found = self.clients.iter().find(|(client, _)| *client == node);
        found.map(|(_, manners)| *manners)
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

    /// When the run ends, after genesis: the longest-lived duties of the judged epochs have expired by then.
    pub fn ends_at(&self) -> Duration {
        self.slot * (self.judged().end + 4 * self.slots_per_epoch + 2) as u32
    }
}
