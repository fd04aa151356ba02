//! The event loop of a run, and how a node's outputs are carried out in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_crypto::{IdentityKey, ShareIndex};
use flotilla_duty::Cluster;
use flotilla_duty::io::{HANDLED_KINDS, Input, PartialSet, Value};
use flotilla_duty::slashing::Embargo;
use flotilla_types::{
    Chain, ChainSpec, Duty, DutyKind, ForkVersion, PeerIndex, PublicKeyBytes, Root, Slot,
    Timestamp, ValidatorIndex,
};
use flotilla_wire::consensus::Codec;
use flotilla_wire::signatures;
use sha2::{Digest, Sha256};

use crate::beacon::{Beacons, fee_recipient};
use crate::checkers::{Checkers, Measure, Violation};
use crate::client::{Call, Client, Errand};
use crate::dice::Dice;
use crate::disk::{Commit, Disk};
use crate::links::Links;
use crate::machine::Machine;
use crate::scenario::{CrashKind, CrashMoment, Lie, Pause, Scenario};
use crate::scheme::Scheme;

mod clients;
mod judge;
mod lies;
mod perform;
mod text;

use text::describe_input;

/// Genesis of every simulated chain, in seconds since the Unix epoch.
const GENESIS: u64 = 1_700_000_000;
/// Nodes start this long before genesis.
const EARLY: Duration = Duration::from_secs(1);
/// More events than any run needs; a run that reaches it has a loop.
const EVENT_LIMIT: u64 = 20_000_000;
/// One in so many of a committee, and of a sync subcommittee, aggregates: fewer than on a real chain, so that there is work.
const AGGREGATES: u64 = 2;

/// What travels on a link.
#[derive(Clone, Debug)]
enum Packet {
    Consensus(Bytes),
    Partials(Bytes),
}

/// What happens at a time.
#[derive(Debug)]
enum Event {
    /// A packet arrives.
    Deliver {
        from: usize,
        to: usize,
        packet: Packet,
    },
    /// Something a node had asked for is there.
    Answer {
        node: usize,
        incarnation: u64,
        input: Box<Input>,
    },
    /// A database commit has been synced.
    Synced {
        node: usize,
        incarnation: u64,
        duty: Duty,
        commit: Commit,
    },
    /// A node's deadline.
    Wake { node: usize, incarnation: u64 },
    /// A planned crash, by its place in the scenario.
    Crash(usize),
    /// A node starts.
    Start(usize),
    /// A node's operator stops all signing, or allows it again.
    Pause { node: usize, paused: bool },
    /// The head of a node's beacon node may have moved.
    Head(usize),
    /// The clock sets a node's validator client to work.
    Errand {
        node: usize,
        errand: Errand,
        slot: Slot,
    },
    /// A validator client's call reaches its node.
    Call { node: usize, call: Call },
    /// A node's operator asks for an exit, by its place in the scenario.
    Leave { node: usize, exit: usize },
}

#[derive(Debug)]
struct Scheduled {
    at: Timestamp,
    sequence: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Scheduled {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.sequence)
    }
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Everything that must never happen and did.
    pub violations: Vec<Violation>,
    /// Events processed.
    pub events: u64,
    /// Simulated time of the whole cluster.
    pub simulated: Duration,
    /// How many items of each kind were submitted.
    pub submissions: BTreeMap<DutyKind, usize>,
    /// The rounds in which honest nodes decided, by duty and node.
    pub rounds: BTreeMap<Duty, BTreeMap<usize, u64>>,
    /// Hash over the log of all events, equal for equal runs.
    pub fingerprint: [u8; 32],
}

/// A cluster, its network and its chain, in one run.
pub struct World {
    scenario: Scenario,
    chain: Arc<Chain>,
    scheme: Scheme,
    machines: Vec<Machine>,
    clients: BTreeMap<usize, Client>,
    indexes: BTreeMap<PublicKeyBytes, ValidatorIndex>,
    validators: Vec<PublicKeyBytes>,
    beacons: Beacons,
    links: Links,
    dice: Dice,
    checkers: Checkers,
    heap: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    now: Timestamp,
    events: u64,
    crashed: BTreeSet<usize>,
    /// The second value that a lying leader has made up for a duty.
    doubles: BTreeMap<(usize, Duty), Value>,
    heard: VecDeque<Packet>,
    /// Exits that have ended, by node.
    ended_exits: BTreeSet<(usize, Duty)>,
    digest: Sha256,
    log: Option<String>,
}

impl World {
    /// The world of a scenario, at the moment before its nodes start.
    pub fn new(scenario: Scenario, log: bool) -> Self {
        let mut dice = Dice::seeded(scenario.seed);
        let chain = Arc::new(chain(&scenario, &mut dice));
        let (scheme, validators) = match scenario.real_signatures {
            true => Scheme::real(
                scenario.threshold,
                scenario.nodes,
                scenario.validators,
                &mut dice,
            ),
            false => Scheme::stand_in(scenario.threshold, scenario.validators, &mut dice),
        };
        let keys: Vec<IdentityKey> = (0..scenario.nodes)
            .map(|_| IdentityKey::generate(dice.generator()))
            .collect();
        let peers: Vec<_> = keys.iter().map(IdentityKey::public).collect();
        let codec = Arc::new(Codec::new(peers, HANDLED_KINDS, chain.spec.sizes));
        let everybody = validators.iter().copied().collect();
        let machines = machines(&scenario, keys, &codec, &everybody);
        let clients = scenario.clients.iter();
        let clients = clients.map(|&(node, _)| (node, Client::new(ShareIndex::from_peer(node))));
        let beacons = Beacons::new(
            Arc::clone(&chain),
            validators.clone(),
            &scenario,
            dice.fork(),
        );
        let links = Links::new(dice.fork());
        let mut world = Self {
            chain,
            scheme,
            machines,
            clients: clients.collect(),
            indexes: beacons.indexes(),
            validators,
            beacons,
            links,
            dice,
            checkers: Checkers::default(),
            heap: BinaryHeap::new(),
            sequence: 0,
            now: Timestamp::from_secs(GENESIS) - EARLY,
            events: 0,
            crashed: BTreeSet::new(),
            doubles: BTreeMap::new(),
            heard: VecDeque::new(),
            ended_exits: BTreeSet::new(),
            digest: Sha256::new(),
            log: log.then(String::new),
            scenario,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for node in 0..self.scenario.nodes {
            self.schedule(Duration::ZERO, Event::Start(node));
        }
        for (index, crash) in self.scenario.crashes.clone().into_iter().enumerate() {
            if let CrashMoment::At(at) = crash.moment {
                self.schedule(EARLY + at, Event::Crash(index));
            }
        }
        for Pause { node, start, end } in self.scenario.pauses.clone() {
            for (at, paused) in [(start, true), (end, false)] {
                self.schedule(EARLY + at, Event::Pause { node, paused });
            }
        }
        for node in 0..self.scenario.nodes {
            for at in self.beacons.tree().moves(node) {
                self.schedule(EARLY + at, Event::Head(node));
            }
        }
        for (exit, leaving) in self.scenario.exits.clone().into_iter().enumerate() {
            for (node, at) in leaving.asked {
                self.schedule(EARLY + at, Event::Leave { node, exit });
            }
        }
        self.plan_errands();
    }

    /// Runs to the end and tells what was found.
    pub fn run(mut self) -> (Report, Option<String>) {
        let end = self.chain.genesis_time + self.scenario.ends_at();
        while let Some(Reverse(next)) = self.heap.pop() {
            if next.at > end {
                break;
            }
            self.now = next.at;
            self.events += 1;
            assert!(
                self.events < EVENT_LIMIT,
                "seed {}: more than {EVENT_LIMIT} events",
                self.scenario.seed
            );
            self.happen(next.event);
        }
        self.judge();
        let report = Report {
            violations: self.checkers.violations().to_vec(),
            events: self.events,
            simulated: self.scenario.ends_at(),
            submissions: self.checkers.submissions(),
            rounds: self.checkers.rounds().clone(),
            fingerprint: self.digest.finalize().into(),
        };
        (report, self.log)
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.heap.push(Reverse(Scheduled {
            at: self.now + after,
            sequence: self.sequence,
            event,
        }));
    }

    fn note(&mut self, line: impl FnOnce(&mut String)) {
        let mut text = String::new();
        let since = self.now.as_nanos() as i128 - self.chain.genesis_time.as_nanos() as i128;
        let _ = write!(text, "{:>12.6} ", since as f64 / 1e9);
        line(&mut text);
        text.push('\n');
        self.digest.update(text.as_bytes());
        if let Some(log) = &mut self.log {
            log.push_str(&text);
        }
    }

    fn honest(&self, node: usize) -> bool {
        self.scenario.lie(node).is_none()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Event::Answer {
                node,
                incarnation,
                input,
            } => self.step_if(node, incarnation, *input),
            Event::Synced {
                node,
                incarnation,
                duty,
                commit,
            } => {
                if self.machines[node].incarnation == incarnation
                    && self.machines[node].engine.is_some()
                {
                    self.machines[node].disk.sync(&commit);
                    self.step(
                        node,
                        Input::Recorded {
                            duty,
                            results: commit.results,
                        },
                    );
                }
            }
            Event::Wake { node, incarnation } => {
                if self.machines[node].incarnation == incarnation {
                    self.machines[node].waking = None;
                    self.step_if(node, incarnation, Input::Wake);
                }
            }
            Event::Crash(index) => self.crash(index),
            Event::Start(node) => self.start(node),
            Event::Pause { node, paused } => {
                self.machines[node].paused = paused;
                self.step(node, Input::Pause(paused));
            }
            Event::Head(node) => self.tell_head(node),
            Event::Errand { node, errand, slot } => self.run_errand(node, errand, slot),
            Event::Call { node, call } => self.call(node, call),
            Event::Leave { node, exit } => self.leave(node, exit),
        }
    }

    fn tell_head(&mut self, node: usize) {
        let (epoch, previous, current) = self.beacons.head_event(node, self.now);
        let input = Input::Head {
            epoch,
            previous,
            current,
        };
        self.step(node, input);
    }

    fn start(&mut self, node: usize) {
        self.note(|line| _ = write!(line, "start      n{node}"));
        let chain = Arc::clone(&self.chain);
        let fault = self
            .scenario
            .fault
            .filter(|_| self.scenario.lie(node).is_none());
        self.machines[node].start(self.now, &chain, fault);
        if self.machines[node].paused {
            self.step(node, Input::Pause(true));
        }
        let recipients = self.validators.iter();
        let recipients = recipients.map(|validator| (*validator, fee_recipient(validator)));
        let recipients = recipients.collect();
        self.step(node, Input::FeeRecipients(recipients));
        self.step(node, Input::Plural(self.scenario.plural));
        let kept: Vec<PartialSet> = self.machines[node].disk.kept().cloned().collect();
        for set in kept {
            self.step(node, Input::Kept(set));
        }
        self.step(node, Input::Wake);
    }

    fn crash(&mut self, index: usize) {
        let crash = self.scenario.crashes[index];
        if !self.crashed.insert(index) || self.machines[crash.node].engine.is_none() {
            return;
        }
        self.note(|line| _ = write!(line, "crash      n{} {:?}", crash.node, crash.kind));
        let slot = self.chain.slot_at(self.now).unwrap_or(Slot(0));
        self.checkers.crashed(crash.node);
        let machine = &mut self.machines[crash.node];
        machine.engine = None;
        match crash.kind {
            CrashKind::Process => machine.disk.process_died(),
            CrashKind::Machine => {
                machine.disk.machine_died();
                machine.votes_known = false;
            }
            CrashKind::Disk => {
                machine.disk.disk_died();
                machine.votes_known = false;
                // S4: what may have been signed until the node is back is not signed again. The restart is within `down`.
                let back = self.chain.slot_at(self.now + crash.down).unwrap_or(slot);
                machine.disk.place_embargo(Embargo {
                    epoch: self.chain.epoch_of(back),
                    slot: back,
                });
            }
        }
        self.schedule(crash.down, Event::Start(crash.node));
    }

    /// The crash that is planned for this moment, if any.
    fn trigger(&self, node: usize, matches: impl Fn(CrashMoment) -> bool) -> Option<usize> {
        let planned = |(index, crash): &(usize, &crate::scenario::Crash)| {
            crash.node == node && matches(crash.moment) && !self.crashed.contains(index)
        };
        self.scenario
            .crashes
            .iter()
            .enumerate()
            .find(planned)
            .map(|(index, _)| index)
    }

    fn deliver(&mut self, from: usize, to: usize, packet: Packet) {
        if self.machines[to].engine.is_none() {
            return;
        }
        let now = self.machines[to].local(self.now);
        let input = match &packet {
            Packet::Consensus(bytes) => self.machines[to]
                .codec
                .decode(bytes, now, &self.chain)
                .map(Input::Consensus),
            Packet::Partials(bytes) => {
                let validators = &self.machines[to].cluster.validators;
                let from = PeerIndex::new(from);
                signatures::decode(bytes, from, validators, HANDLED_KINDS, &self.chain, now)
                    .map(|set| Input::Partials { from, set })
            }
        };
        if let Ok(Input::Consensus(message)) = &input {
            self.pass_on(to, from, message.duty, &packet);
        }
        if self.scenario.lie(to) == Some(Lie::Replay) {
            self.remember(packet);
        }
        match input {
            Ok(input) => self.step(to, input),
            Err(reject) => self.note(|line| _ = write!(line, "drop       n{from}->n{to} {reject}")),
        }
    }

    fn step_if(&mut self, node: usize, incarnation: u64, input: Input) {
        if self.machines[node].incarnation == incarnation {
            self.step(node, input);
        }
    }

    fn step(&mut self, node: usize, input: Input) {
        let now = self.machines[node].local(self.now);
        self.note(|line| describe_input(line, node, &input));
        let Some(engine) = self.machines[node].engine.as_mut() else {
            return;
        };
        let mut outputs = Vec::new();
        engine.step(now, input, &mut outputs);
        for output in outputs {
            self.perform(node, output);
            if self.machines[node].engine.is_none() {
                return; // It has just crashed; the rest was never carried out.
            }
        }
        let Some(engine) = self.machines[node].engine.as_ref() else {
            return;
        };
        let (duties, limit, deadline) = (engine.duties(), engine.duties_limit(), engine.deadline());
        self.checkers.remembers(node, duties, limit);
        let at = self.machines[node].true_time(deadline).max(self.now);
        if self.machines[node].waking.is_none_or(|waking| at < waking) {
            self.machines[node].waking = Some(at);
            let incarnation = self.machines[node].incarnation;
            self.schedule(
                at.saturating_since(self.now),
                Event::Wake { node, incarnation },
            );
        }
    }

    fn answer(&mut self, node: usize, after: Duration, input: Input) {
        let incarnation = self.machines[node].incarnation;
        self.schedule(
            after,
            Event::Answer {
                node,
                incarnation,
                input: Box::new(input),
            },
        );
    }

    fn slot(&self) -> Slot {
        self.chain.slot_at(self.now).unwrap_or(Slot(0))
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        (0..self.scenario.nodes)
            .filter(|&peer| peer != node)
            .collect()
    }
}

/// The nodes' machines, all of them off.
fn machines(
    scenario: &Scenario,
    keys: Vec<IdentityKey>,
    codec: &Arc<Codec>,
    validators: &BTreeSet<PublicKeyBytes>,
) -> Vec<Machine> {
    let machine = |(node, key)| Machine {
        engine: None,
        incarnation: 0,
        disk: Disk::default(),
        key,
        codec: Arc::clone(codec),
        cluster: Cluster {
            me: PeerIndex::new(node),
            nodes: scenario.nodes,
            threshold: scenario.threshold,
            validators: validators.clone(),
        },
        builtin: match scenario.manners(node) {
            None => validators.clone(),
            Some(_) => BTreeSet::new(),
        },
        offset: scenario.offsets_ms[node] * 1_000_000,
        waking: None,
        votes_known: true,
        paused: false,
    };
    keys.into_iter().enumerate().map(machine).collect()
}

/// The chain of a scenario.
fn chain(scenario: &Scenario, dice: &mut Dice) -> Chain {
    let mut spec = ChainSpec::mainnet_like(
        scenario.slot,
        scenario.slots_per_epoch,
        ForkVersion([0x10, 0, 0, 0]),
    );
    let sizes = &mut spec.sizes;
    sizes.target_aggregators_per_sync_subcommittee = sizes.sync_subcommittee_size() / AGGREGATES;
    Chain {
        spec,
        genesis_time: Timestamp::from_secs(GENESIS),
        genesis_validators_root: Root(dice.bytes()),
    }
}
