//! The event loop of a run, and how a node's outputs are carried out in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_crypto::{IdentityKey, ShareIndex, Verified};
use flotilla_duty::io::{
    Claim, ConsensusDraft, FetchError, HANDLED_KINDS, PartialSet, RecordItem, Value,
};
use flotilla_duty::slashing::Embargo;
use flotilla_duty::{Cluster, Input, Output};
use flotilla_qbft::{MessageKind, Recipients};
use flotilla_types::{
    AttesterDuty, Chain, ChainSpec, Duty, Epoch, ForkVersion, PeerIndex, PublicKeyBytes, Root,
    Slot, Timestamp,
};
use flotilla_wire::consensus::Codec;
use flotilla_wire::{signatures, votes};
use sha2::{Digest, Sha256};

use crate::beacon::{self, Beacons};
use crate::checkers::{Checkers, Violation};
use crate::dice::Dice;
use crate::disk::{Commit, Disk};
use crate::links::Links;
use crate::machine::Machine;
use crate::scenario::{CrashKind, CrashMoment, Lie, Pause, Scenario};
use crate::scheme::Scheme;

mod lies;
mod text;

use text::{describe_input, short};

/// Genesis of every simulated chain, in seconds since the Unix epoch.
const GENESIS: u64 = 1_700_000_000;
/// Nodes start this long before genesis.
const EARLY: Duration = Duration::from_secs(1);
/// More events than any run needs; a run that reaches it has a loop.
const EVENT_LIMIT: u64 = 20_000_000;
/// A duty must be submitted this long after its due point once the cluster has healed: the leaders of a few rounds may be liars.
const HEALED_LIMIT: Duration = Duration::from_secs(10);

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
    /// (slot, validator) pairs that were submitted.
    pub submissions: usize,
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
    digest: Sha256,
    log: Option<String>,
}

impl World {
    /// The world of a scenario, at the moment before its nodes start.
    pub fn new(scenario: Scenario, log: bool) -> Self {
        let mut dice = Dice::seeded(scenario.seed);
        let spec = ChainSpec::mainnet_like(
            scenario.slot,
            scenario.slots_per_epoch,
            ForkVersion([0x10, 0, 0, 0]),
        );
        let genesis_time = Timestamp::from_secs(GENESIS);
        let chain = Arc::new(Chain {
            spec,
            genesis_time,
            genesis_validators_root: Root(dice.bytes()),
        });
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
        let machines = keys
            .into_iter()
            .enumerate()
            .map(|(node, key)| Machine {
                engine: None,
                incarnation: 0,
                disk: Disk::default(),
                key,
                codec: Codec::new(peers.clone(), HANDLED_KINDS, chain.spec.sizes),
                cluster: Cluster {
                    me: PeerIndex::new(node),
                    nodes: scenario.nodes,
                    threshold: scenario.threshold,
                    validators: validators.iter().copied().collect(),
                },
                offset: scenario.offsets_ms[node] * 1_000_000,
                waking: None,
                votes_known: true,
                paused: false,
            })
            .collect();
        let beacons = Beacons::new(Arc::clone(&chain), validators, &scenario, dice.fork());
        let links = Links::new(dice.fork());
        let mut world = Self {
            chain,
            scheme,
            machines,
            beacons,
            links,
            dice,
            checkers: Checkers::default(),
            heap: BinaryHeap::new(),
            sequence: 0,
            now: genesis_time - EARLY,
            events: 0,
            crashed: BTreeSet::new(),
            doubles: BTreeMap::new(),
            heard: VecDeque::new(),
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

    fn judge(&mut self) {
        let due = beacon::due(&self.beacons, &self.chain, self.scenario.judged());
        let chain = Arc::clone(&self.chain);
        let by = |slot: Slot| {
            let duty = Duty::attester(slot);
            chain
                .deadline(duty)
                .unwrap_or(Timestamp::MAX)
                .min(chain.due(duty) + HEALED_LIMIT)
        };
        self.checkers.complete(&due, by);
        for node in 0..self.machines.len() {
            // The last duties have expired by now; nothing may be left of them.
            let left = self.machines[node]
                .engine
                .as_ref()
                .map_or(0, |engine| engine.duties());
            self.checkers.remembers(node, left, 0);
        }
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
        }
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
        self.step(node, Input::Wake);
    }

    fn crash(&mut self, index: usize) {
        let crash = self.scenario.crashes[index];
        if !self.crashed.insert(index) || self.machines[crash.node].engine.is_none() {
            return;
        }
        self.note(|line| _ = write!(line, "crash      n{} {:?}", crash.node, crash.kind));
        let slot = self.chain.slot_at(self.now).unwrap_or(Slot(0));
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

    fn perform(&mut self, node: usize, output: Output) {
        if let Output::Sign { duty, .. } | Output::SendPartials(PartialSet { duty, .. }) = &output
            && self.machines[node].paused
            && self.honest(node)
        {
            self.checkers.signed_paused(node, *duty);
        }
        match output {
            Output::FetchDuties(epoch) => self.fetch_duties(node, epoch),
            Output::Fetch { duty, attesters } => self.fetch(node, duty, &attesters),
            Output::LogPrepared {
                value, certificate, ..
            } => {
                let record = votes::prepared(&self.machines[node].codec, &value, &certificate);
                self.machines[node]
                    .disk
                    .append_vote(record.expect("an own certificate can be encoded"));
            }
            Output::SendConsensus { to, draft } => self.send_consensus(node, to, draft),
            Output::Record { duty, items } => self.record(node, duty, &items),
            Output::Sign { duty, items } => self.sign(node, duty, &items),
            Output::SendPartials(set) => self.send_partials(node, set),
            Output::Check {
                duty,
                signing_root,
                claims,
            } => self.check(node, duty, signing_root, claims),
            Output::Combine {
                duty,
                signing_root,
                items,
            } => {
                let results = self.scheme.combine(signing_root, &items);
                let after = self
                    .dice
                    .between(Duration::from_millis(1), Duration::from_millis(8));
                self.answer(
                    node,
                    after,
                    Input::Combined {
                        duty,
                        signing_root,
                        results,
                    },
                );
            }
            Output::Submit { duty, items } => {
                if self.honest(node) {
                    self.checkers.submitted(
                        node,
                        duty,
                        &items,
                        &self.scheme,
                        &self.chain,
                        self.now,
                    );
                }
                let accepted = items.into_iter().map(|(validator, _)| validator).collect();
                let after = self.beacons.delay(&self.scenario, node, duty.slot);
                self.answer(
                    node,
                    after,
                    Input::Submitted {
                        duty,
                        accepted,
                        refused: vec![],
                    },
                );
            }
            Output::Decided {
                duty, round, value, ..
            } => {
                self.note(|line| {
                    _ = write!(
                        line,
                        "decided    n{node} {duty} round {round} {}",
                        short(&value)
                    )
                });
                if self.honest(node) {
                    self.checkers.decided(node, duty, round, value);
                }
                self.usurp_after_decision(node, duty, round);
            }
            Output::Rejected { from, duty, reason } => {
                self.note(|line| {
                    _ = write!(
                        line,
                        "rejected   n{node} {duty} from n{}: {reason}",
                        from.get()
                    )
                });
            }
            Output::RoundChanged { duty, round, .. } => {
                self.note(|line| _ = write!(line, "round      n{node} {duty} {round}"));
            }
            Output::Late(outcome) => {
                self.note(|line| _ = write!(line, "late       n{node} {}", outcome.duty))
            }
            Output::Ended(outcome) => {
                self.note(|line| _ = write!(line, "ended      n{node} {}", outcome.duty));
                let incarnation = self.machines[node].incarnation;
                self.checkers.ended(node, incarnation, &outcome);
            }
        }
    }

    fn slot(&self) -> Slot {
        self.chain.slot_at(self.now).unwrap_or(Slot(0))
    }

    fn fetch_duties(&mut self, node: usize, epoch: Epoch) {
        let slot = self.slot();
        let mut attesters = self.beacons.duties(epoch, slot);
        // No duties after the judged slots, so that every map must return to its floor.
        attesters.retain(|duty| duty.slot.0 < self.scenario.judged().end);
        let dependent_root = self.beacons.dependent_root(epoch, slot);
        let after = self.beacons.delay(&self.scenario, node, slot);
        self.answer(
            node,
            after,
            Input::Duties {
                epoch,
                dependent_root,
                attesters,
            },
        );
    }

    fn fetch(&mut self, node: usize, duty: Duty, attesters: &[AttesterDuty]) {
        let after = self.beacons.delay(&self.scenario, node, duty.slot);
        // The head event of the slot tells of a reorg, if there was one.
        let epoch = self.chain.epoch_of(duty.slot);
        let dependent_root = self.beacons.dependent_root(epoch, duty.slot);
        self.answer(
            node,
            after,
            Input::Head {
                epoch,
                dependent_root,
            },
        );
        let result = match after < self.scenario.slot * 2 {
            true => {
                let view = self.beacons.view(&self.scenario, duty.slot);
                let data = self.beacons.data(duty.slot, view);
                Ok(self.machines[node]
                    .codec
                    .value(Beacons::set(attesters, data)))
            }
            false => Err(FetchError {
                text: "no answer in time".into(),
                temporary: true,
            }),
        };
        self.answer(node, after, Input::Fetched { duty, result });
    }

    fn record(&mut self, node: usize, duty: Duty, items: &[RecordItem]) {
        let commit = self.machines[node].disk.write(items);
        let incarnation = self.machines[node].incarnation;
        let slot = duty.slot.0;
        if let Some(index) = self.trigger(node, |moment| moment == CrashMoment::DuringSync { slot })
        {
            return self.crash(index);
        }
        let after = self
            .dice
            .between(Duration::from_micros(200), Duration::from_millis(20));
        self.schedule(
            after,
            Event::Synced {
                node,
                incarnation,
                duty,
                commit,
            },
        );
    }

    fn sign(&mut self, node: usize, duty: Duty, items: &[(PublicKeyBytes, Root)]) {
        let share = ShareIndex::from_peer(node);
        let signatures = items
            .iter()
            .map(|&(validator, root)| (validator, self.scheme.sign(validator, share, root)))
            .collect();
        let after = self
            .dice
            .between(Duration::from_micros(400), Duration::from_millis(10));
        self.answer(node, after, Input::Signed { duty, signatures });
    }

    fn check(&mut self, node: usize, duty: Duty, signing_root: Root, claims: Vec<Claim>) {
        let holds = |claim: &Claim| {
            self.scheme
                .check(claim.validator, claim.share, signing_root, claim.signature)
        };
        let (good, bad): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(holds);
        let good = Verified::check(good, |claims| {
            if claims.iter().all(holds) {
                Ok(())
            } else {
                Err(())
            }
        });
        let good = good.expect("they were partitioned by the same check");
        let after = self
            .dice
            .between(Duration::from_millis(1), Duration::from_millis(8));
        self.answer(
            node,
            after,
            Input::Checked {
                duty,
                signing_root,
                good,
                bad,
            },
        );
    }

    fn send(&mut self, from: usize, to: usize, packet: &Packet) {
        let at = (self.now >= self.chain.genesis_time)
            .then(|| self.now.saturating_since(self.chain.genesis_time));
        for delay in self.links.delays(&self.scenario, from, to, at) {
            self.schedule(
                delay,
                Event::Deliver {
                    from,
                    to,
                    packet: packet.clone(),
                },
            );
        }
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        (0..self.scenario.nodes)
            .filter(|&peer| peer != node)
            .collect()
    }

    /// As `node` should: sign, log, send, hear oneself.
    fn send_honestly(&mut self, node: usize, to: Recipients, draft: ConsensusDraft) {
        let (duty, kind) = (draft.duty, draft.draft.kind);
        let machine = &mut self.machines[node];
        let sealed = machine
            .codec
            .seal(draft, machine.cluster.me, &machine.key)
            .expect("own drafts can be sealed");
        if to == Recipients::All {
            machine.disk.append_vote(votes::sent(&sealed));
        }
        let packet = Packet::Consensus(sealed.bytes);
        let peers = match to {
            Recipients::All => self.peers(node),
            Recipients::One(peer) => vec![peer],
        };
        for peer in peers {
            self.send(node, peer, &packet);
        }
        if to == Recipients::All {
            self.answer(node, Duration::ZERO, Input::Consensus(sealed.message));
        }
        let slot = duty.slot.0;
        let commit = kind == MessageKind::Commit;
        if (commit || kind == MessageKind::Prepare)
            && let Some(index) = self.trigger(node, |moment| {
                moment == CrashMoment::AfterVote { slot, commit }
            })
        {
            self.crash(index);
        }
    }
}
