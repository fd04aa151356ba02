//! A network of instances on virtual time, reproducible from a seed.

use flotilla_qbft::{
    Config, Draft, Faults, Hash, Input, Instance, Message, MessageKind, Mode, Output, Recipients,
    RoundTimer, VoteState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When the duty starts; far from zero, so that times before it exist.
pub(crate) const START: Duration = Duration::from_secs(1_000);

/// SplitMix64: enough chance for a test, the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
    pub(crate) fn between(&mut self, low: Duration, high: Duration) -> Duration {
        let span = u64::try_from((high - low).as_micros()).unwrap();
        low + Duration::from_micros(self.next() % (span + 1))
    }
}

/// How the network treats messages.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) latency: (Duration, Duration),
    pub(crate) loss_percent: u64,
    pub(crate) repeat_percent: u64,
    /// From when on nothing is lost any more.
    pub(crate) heals_at: Duration,
}

/// What a scenario says of one process.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// Its index; two roles of one index are twins, a liar that says different things to different
    /// processes.
    pub(crate) me: usize,
    pub(crate) starts_at: Duration,
    /// Its value and when it gets it.
    pub(crate) input: Option<(Duration, Hash)>,
    /// The values it finds good; all of them if `None`.
    pub(crate) accepts: Option<Vec<Hash>>,
    /// How long it thinks about a value.
    pub(crate) thinks: Duration,
    /// When it loses its memory, except for its votes.
    pub(crate) crashes_at: Vec<Duration>,
    /// Whether a crash takes its votes too. A correct process never lets that happen.
    pub(crate) forgets: bool,
    /// What it never gets to say.
    pub(crate) mute: fn(&Draft) -> bool,
}

impl Role {
    pub(crate) fn new(me: usize, value: Hash) -> Self {
        Self {
            me,
            starts_at: START,
            input: Some((START, value)),
            accepts: None,
            thinks: Duration::ZERO,
            crashes_at: Vec::new(),
            forgets: false,
            mute: |_| false,
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Start,
    Input(Hash),
    Deliver(Message<()>, Vec<Message<()>>),
    Verdict(Hash, bool),
    Timer { generation: u64 },
    Crash,
}

struct Process {
    role: Role,
    is_liar: bool,
    instance: Instance<()>,
    is_started: bool,
    /// What its timer was last set to, and how often.
    armed: (u64, Option<Duration>),
    generation: u64,
    votes: VoteState<()>,
    said: BTreeMap<(MessageKind, u64), Hash>,
    decision: Option<(u64, Hash)>,
}

/// Processes, and what is going to happen to them.
pub(crate) struct World {
    config: Config,
    /// Round lengths other than the timer's own, relative to each request.
    period: Option<fn(u64) -> Duration>,
    network: Network,
    chance: Chance,
    now: Duration,
    events: BTreeMap<(Duration, u64), (usize, Event)>,
    scheduled: u64,
    processes: Vec<Process>,
    /// The one value that may be decided, once somebody has.
    agreed: Option<Hash>,
    /// The first rule seen broken.
    broken: Option<String>,
}

impl World {
    pub(crate) fn new(
        nodes: usize,
        leader_offset: u64,
        roles: Vec<Role>,
        network: Network,
        seed: u64,
    ) -> Self {
        let timer = RoundTimer::EagerDoubleLinear {
            start: START,
            extra: Duration::ZERO,
        };
        let config = Config {
            nodes,
            me: 0,
            leader_offset,
            timer,
            mode: Mode::Voting,
            faults: Faults::default(),
        };
        let mut world = Self {
            config,
            period: None,
            network,
            chance: Chance(seed),
            now: START,
            events: BTreeMap::new(),
            scheduled: 0,
            processes: Vec::new(),
            agreed: None,
            broken: None,
        };
        for role in &roles {
            let is_liar = roles.iter().filter(|other| other.me == role.me).count() > 1;
            world.add(role.clone(), is_liar);
        }
        world
    }

    /// Gives rounds the lengths `period` says, counted from each request for a timer.
    pub(crate) fn with_period(mut self, period: fn(u64) -> Duration) -> Self {
        // A relative timer, so that each request shows as a new deadline.
        let step = Duration::from_millis(200);
        self.config.timer = RoundTimer::Linear {
            first_extra: Duration::ZERO,
            step,
        };
        self.period = Some(period);
        self.with_config()
    }

    /// Has the processes make deliberate mistakes.
    #[cfg(feature = "faults")]
    pub(crate) fn with_faults(mut self, faults: Faults) -> Self {
        self.config.faults = faults;
        self.with_config()
    }

    fn with_config(mut self) -> Self {
        for process in &mut self.processes {
            let me = process.role.me;
            process.instance = Instance::new(Config { me, ..self.config }, START);
        }
        self
    }

    fn add(&mut self, role: Role, is_liar: bool) {
        let at = self.processes.len();
        self.schedule(role.starts_at, at, Event::Start);
        if let Some((when, value)) = role.input {
            self.schedule(when, at, Event::Input(value));
        }
        for when in role.crashes_at.clone() {
            self.schedule(when, at, Event::Crash);
        }
        self.processes.push(Process {
            instance: Instance::new(
                Config {
                    me: role.me,
                    ..self.config
                },
                START,
            ),
            role,
            is_liar,
            is_started: false,
            armed: (0, None),
            generation: 0,
            votes: VoteState::default(),
            said: BTreeMap::new(),
            decision: None,
        });
    }

    /// Runs until every honest process has decided, and returns the one value and the rounds; or
    /// says what went wrong.
    pub(crate) fn run(mut self, limit: Duration) -> Result<(Hash, BTreeSet<u64>), String> {
        while let Some(((when, _), (at, event))) = self.events.pop_first() {
            self.now = when;
            if when >= START + limit {
                return Err(format!("undecided after {limit:?}: {:?}", self.decisions()));
            }
            self.happen(at, event);
            if let Some(broken) = self.broken {
                return Err(broken);
            }
            if self.decisions().iter().all(Option::is_some) && self.is_past_crashes() {
                break;
            }
        }
        let decided: Vec<_> = self.decisions().into_iter().flatten().collect();
        let value = decided.first().ok_or("nobody decides")?.1;
        Ok((value, decided.iter().map(|(round, _)| *round).collect()))
    }

    fn check(&mut self, holds: bool, rule: &str) {
        if !holds {
            self.broken
                .get_or_insert_with(|| format!("{rule}, at {:?}", self.now - START));
        }
    }

    fn decisions(&self) -> Vec<Option<(u64, Hash)>> {
        self.processes
            .iter()
            .filter(|it| !it.is_liar)
            .map(|it| it.decision)
            .collect()
    }

    fn is_past_crashes(&self) -> bool {
        self.processes
            .iter()
            .flat_map(|it| &it.role.crashes_at)
            .all(|when| *when <= self.now)
    }

    fn schedule(&mut self, when: Duration, at: usize, event: Event) {
        self.scheduled += 1;
        self.events.insert((when, self.scheduled), (at, event));
    }

    fn happen(&mut self, at: usize, event: Event) {
        let process = &mut self.processes[at];
        match event {
            Event::Start => {
                process.is_started = true;
                self.step(at, Input::Start);
            }
            Event::Input(value) => self.step(at, Input::Propose(value)),
            Event::Deliver(..) if !process.is_started => {}
            Event::Deliver(message, justification) => {
                self.step(
                    at,
                    Input::Message {
                        message,
                        justification,
                    },
                );
            }
            Event::Verdict(value, good) => self.step(at, Input::Verdict { value, good }),
            Event::Timer { generation } if generation == process.generation => {
                self.step(at, Input::Timeout);
            }
            Event::Timer { .. } => {}
            Event::Crash => self.crash(at),
        }
    }

    fn crash(&mut self, at: usize) {
        let process = &mut self.processes[at];
        if !process.is_started {
            return;
        }
        let mut instance = Instance::new(
            Config {
                me: process.role.me,
                ..self.config
            },
            self.now,
        );
        if !process.role.forgets {
            instance.restore(process.votes.clone());
        }
        process.instance = instance;
        process.decision = None;
        process.armed = (0, None);
        process.generation += 1;
        self.step(at, Input::Start);
        if let Some((when, value)) = self.processes[at]
            .role
            .input
            .filter(|(when, _)| *when <= self.now)
        {
            self.schedule(self.now.max(when), at, Event::Input(value));
        }
    }

    fn step(&mut self, at: usize, input: Input<()>) {
        let process = &mut self.processes[at];
        // Where rounds have their own lengths, the instance's clock follows them.
        let now = match (&input, process.instance.deadline()) {
            (Input::Timeout, Some(due)) => self.now.max(due),
            _ => self.now,
        };
        let mut out = Vec::new();
        process.instance.step(now, input, &mut out);
        self.rearm(at);
        for output in out {
            self.perform(at, output);
        }
    }

    fn rearm(&mut self, at: usize) {
        let process = &mut self.processes[at];
        let armed = (process.instance.round(), process.instance.deadline());
        if armed == process.armed {
            return;
        }
        process.armed = armed;
        process.generation += 1;
        let generation = process.generation;
        if let (round, Some(due)) = armed {
            let due = self.period.map_or(due, |period| self.now + period(round));
            self.schedule(due.max(self.now), at, Event::Timer { generation });
        }
    }

    fn perform(&mut self, at: usize, output: Output<()>) {
        let process = &mut self.processes[at];
        match output {
            Output::Send { draft, .. } if (process.role.mute)(&draft) => {}
            Output::Send {
                to,
                draft,
                justification,
            } => {
                if to == Recipients::All {
                    process.votes.note(&draft, &justification);
                }
                if let (Some(value), true) = (draft.value, to == Recipients::All) {
                    let said = *process
                        .said
                        .entry((draft.kind, draft.round))
                        .or_insert(value);
                    self.check(said == value, "one vote of a kind per round");
                }
                self.send(at, to, &draft, &justification);
            }
            Output::Prepared {
                round,
                value,
                certificate,
            } => {
                process.votes.note_prepared(round, value, &certificate);
            }
            Output::Validate(value) => {
                let good = process
                    .role
                    .accepts
                    .as_ref()
                    .is_none_or(|good| good.contains(&value));
                let when = self.now + process.role.thinks;
                self.schedule(when, at, Event::Verdict(value, good));
            }
            Output::Decided { value, round, .. } => {
                let is_first = process.decision.replace((round, value)).is_none();
                let is_agreed = process.is_liar || *self.agreed.get_or_insert(value) == value;
                self.check(is_first, "one decision");
                self.check(is_agreed, "agreement");
            }
            Output::RoundChanged { .. } | Output::Rejected { .. } => {}
        }
    }

    fn send(&mut self, from: usize, to: Recipients, draft: &Draft, shown: &[Message<()>]) {
        let (source, is_liar) = (self.processes[from].role.me, self.processes[from].is_liar);
        let message = Message {
            kind: draft.kind,
            source,
            round: draft.round,
            value: draft.value,
            prepared_round: draft.prepared_round,
            prepared_value: draft.prepared_value,
            seal: (),
        };
        for at in 0..self.processes.len() {
            let is_addressed = match to {
                Recipients::All => self.processes[at].role.me != source || at == from,
                Recipients::One(peer) => self.processes[at].role.me == peer,
            };
            // Each twin talks to about half of the others.
            let is_passed_over = is_liar && at != from && self.chance.happens(50);
            if is_addressed && !is_passed_over {
                self.carry(from, at, &message, shown);
            }
        }
    }

    fn carry(&mut self, from: usize, at: usize, message: &Message<()>, shown: &[Message<()>]) {
        let event = Event::Deliver(message.clone(), shown.to_vec());
        if from == at {
            return self.schedule(self.now, at, event);
        }
        let is_lossy = self.now < self.network.heals_at;
        let lost = is_lossy && self.chance.happens(self.network.loss_percent);
        let copies = if lost {
            0
        } else {
            1 + usize::from(self.chance.happens(self.network.repeat_percent))
        };
        for _ in 0..copies {
            let (low, high) = self.network.latency;
            let when = self.now + self.chance.between(low, high);
            self.schedule(when, at, event.clone());
        }
    }
}
