//! One duty's agreement: a [`qbft::Instance`] together with the values behind its hashes.
//!
//! The instance knows hashes only. This module keeps the values that peers and our own beacon node brought, answers the
//! instance's question whether a value is one we would vote for, and adds to each outgoing message the values it names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use flotilla_crypto::Verified;
use flotilla_qbft::{self as qbft, Hash, Instance, Mode, RoundTimer};
use flotilla_types::{Chain, Duty, DutyKind, PeerIndex, Timestamp};

use crate::engine::Facts;
use crate::io::{ConsensusDraft, ConsensusMessage, Output, QbftMessage, Rejected, Seal, Value};
use crate::kinds;
use crate::knowledge::{Knowledge, Weighed};

/// Messages of one source that are kept before the instance starts (the bound of spec 20 §4.6).
const EARLY_LIMIT: usize = 100;

/// What the cluster decided.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub value: Value,
    pub round: u64,
    pub leader: PeerIndex,
}

/// What the vote log knew of an instance (S3).
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub votes: qbft::VoteState<Seal>,
    pub values: BTreeMap<Hash, Value>,
}

pub(crate) struct Agreement {
    duty: Duty,
    nodes: usize,
    instance: Instance<Seal>,
    started: bool,
    proposed: bool,
    decided: bool,
    round: u64,
    values: BTreeMap<Hash, Value>,
    /// How many values each source was the first to bring; bounds `values`.
    introduced: BTreeMap<usize, usize>,
    early: VecDeque<ConsensusMessage>,
    /// Values whose verdict hangs on something that is still on its way.
    open: BTreeSet<Hash>,
    heard: BTreeSet<usize>,
}

impl Agreement {
    /// An instance that has not started. `memory` holds the votes of this process's previous life, if any.
    pub fn new(
        duty: Duty,
        facts: &Facts<'_>,
        mode: Mode,
        memory: Option<Memory>,
        now: Timestamp,
    ) -> Self {
        let config = qbft::Config {
            nodes: facts.cluster.nodes,
            me: facts.cluster.me.get(),
            leader_offset: leader_offset(duty),
            timer: round_timer(duty, facts.chain),
            mode,
            faults: facts.faults.agreement,
        };
        let mut instance = Instance::new(config, since_epoch(now));
        let mut values = BTreeMap::new();
        if let Some(memory) = memory {
            instance.restore(memory.votes);
            values = memory.values;
        }
        Self {
            duty,
            nodes: facts.cluster.nodes,
            instance,
            started: false,
            proposed: false,
            decided: false,
            round: 1,
            values,
            introduced: BTreeMap::new(),
            early: VecDeque::new(),
            open: BTreeSet::new(),
            heard: BTreeSet::new(),
        }
    }

    /// Peers heard from, ourselves included once a message of ours has come back.
    pub fn heard(&self) -> &BTreeSet<usize> {
        &self.heard
    }

    /// The round the instance is in.
    pub fn round(&self) -> u64 {
        self.round
    }

    /// Whether a decision was reached.
    pub fn decided(&self) -> bool {
        self.decided
    }

    /// Whether the own value was handed in.
    pub fn proposed(&self) -> bool {
        self.proposed
    }

    /// When the instance wants to be woken.
    pub fn deadline(&self) -> Option<Timestamp> {
        if !self.started {
            return None;
        }
        self.instance
            .deadline()
            .map(|at| Timestamp::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Starts the instance and plays what arrived before.
    pub fn start(
        &mut self,
        now: Timestamp,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        if self.started {
            return None;
        }
        self.started = true;
        let mut inputs = vec![qbft::Input::Start];
        inputs.extend(self.early.drain(..).map(|early| qbft::Input::Message {
            message: early.message,
            justification: early.justification,
        }));
        self.drive(now, inputs, facts, knowledge, out)
    }

    /// Hands in the own value. Only the first one counts.
    pub fn propose(
        &mut self,
        now: Timestamp,
        value: Value,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        if self.proposed {
            return None;
        }
        self.proposed = true;
        let hash = value.hash;
        self.values.insert(hash, value);
        self.drive(now, vec![qbft::Input::Propose(hash)], facts, knowledge, out)
    }

    /// Takes a message; keeps it when the instance has not started yet.
    pub fn message(
        &mut self,
        now: Timestamp,
        message: Verified<ConsensusMessage>,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        let message = message.into_inner();
        let source = message.message.source;
        if !self.remember(source, &message.values) {
            out.push(Output::Rejected {
                from: PeerIndex::new(source),
                duty: self.duty,
                reason: Rejected::TooManyValues,
            });
            return None;
        }
        self.heard.insert(source);
        if self.started {
            let ConsensusMessage {
                message,
                justification,
                ..
            } = message;
            return self.drive(
                now,
                vec![qbft::Input::Message {
                    message,
                    justification,
                }],
                facts,
                knowledge,
                out,
            );
        }
        if self
            .early
            .iter()
            .filter(|early| early.message.source == source)
            .count()
            < EARLY_LIMIT
        {
            self.early.push_back(message);
        }
        None
    }

    /// Time has passed.
    pub fn wake(
        &mut self,
        now: Timestamp,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        match self.deadline().is_some_and(|deadline| deadline <= now) {
            true => self.drive(now, vec![qbft::Input::Timeout], facts, knowledge, out),
            false => None,
        }
    }

    /// Keeps a message's values. An honest source brings at most one new value per leader.
    fn remember(&mut self, source: usize, values: &[Value]) -> bool {
        for value in values
            .iter()
            .filter(|value| !self.values.contains_key(&value.hash))
            .collect::<Vec<_>>()
        {
            let introduced = self.introduced.entry(source).or_default();
            if *introduced >= 2 * self.nodes {
                return false;
            }
            *introduced += 1;
            self.values.insert(value.hash, value.clone());
        }
        true
    }

    fn drive(
        &mut self,
        now: Timestamp,
        inputs: Vec<qbft::Input<Seal>>,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        let mut inputs = VecDeque::from(inputs);
        let mut outputs = Vec::new();
        let mut decision = None;
        while let Some(input) = inputs.pop_front() {
            self.instance.step(since_epoch(now), input, &mut outputs);
            for output in outputs.drain(..) {
                match output {
                    qbft::Output::Validate(value) => {
                        inputs.extend(self.judge(value, facts, knowledge, out));
                    }
                    qbft::Output::Send {
                        to,
                        draft,
                        justification,
                    } => {
                        out.extend(self.draft(to, draft, justification));
                    }
                    qbft::Output::Prepared {
                        round,
                        value,
                        certificate,
                    } => {
                        out.extend(self.prepared(round, value, certificate));
                    }
                    qbft::Output::Decided { value, round, .. } => {
                        decision = self.decide(value, round, out);
                    }
                    qbft::Output::RoundChanged { round, .. } => {
                        self.round = round;
                        let leader = self.leader(round);
                        out.push(Output::RoundChanged {
                            duty: self.duty,
                            round,
                            leader,
                        });
                    }
                    qbft::Output::Rejected { source, reason } => out.push(Output::Rejected {
                        from: PeerIndex::new(source),
                        duty: self.duty,
                        reason: Rejected::Agreement(reason),
                    }),
                }
            }
        }
        decision
    }

    /// More has become known: values that were held up are weighed again.
    pub fn reconsider(
        &mut self,
        now: Timestamp,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<Decision> {
        let open = std::mem::take(&mut self.open);
        let verdicts = open
            .into_iter()
            .filter_map(|value| self.judge(value, facts, knowledge, out))
            .collect();
        self.drive(now, verdicts, facts, knowledge, out)
    }

    /// S1, and for our vote also that the value is worth something by our own beacon node.
    fn judge(
        &mut self,
        hash: Hash,
        facts: &Facts<'_>,
        knowledge: &mut Knowledge,
        out: &mut Vec<Output>,
    ) -> Option<qbft::Input<Seal>> {
        let verdict = |good| Some(qbft::Input::Verdict { value: hash, good });
        #[cfg(feature = "faults")]
        if facts.faults.agreement.accept_null_value && hash == [0; 32] {
            return verdict(true);
        }
        let Some(value) = self.values.get(&hash) else {
            return verdict(false);
        };
        if kinds::check_worth(&value.set, knowledge).is_err() {
            return verdict(false);
        }
        match knowledge.weigh(&value.set, facts, out) {
            Weighed::Good => verdict(knowledge.vouches_for(&value.set, facts)),
            Weighed::Bad(_) => verdict(false),
            Weighed::Open => {
                self.open.insert(hash);
                None
            }
        }
    }

    /// Announces the decision before looking for its value, so that one without a value (which no rule allows) is seen too.
    fn decide(&mut self, hash: Hash, round: u64, out: &mut Vec<Output>) -> Option<Decision> {
        assert!(!self.decided, "an instance decides once");
        self.decided = true;
        self.round = round;
        out.push(Output::Decided {
            duty: self.duty,
            round,
            leader: self.leader(round),
            value: hash,
        });
        let value = self.values.get(&hash)?.clone();
        Some(Decision {
            value,
            round,
            leader: self.leader(round),
        })
    }

    fn draft(
        &self,
        to: qbft::Recipients,
        draft: qbft::Draft,
        justification: Vec<QbftMessage>,
    ) -> Option<Output> {
        let nested = justification
            .iter()
            .flat_map(|message| [message.value, message.prepared_value]);
        let hashes: BTreeSet<Hash> = [draft.value, draft.prepared_value]
            .into_iter()
            .chain(nested)
            .flatten()
            .collect();
        // Null has no value; only a deliberate fault takes it for a hash.
        #[cfg(feature = "faults")]
        let hashes: BTreeSet<Hash> = hashes.into_iter().filter(|hash| *hash != [0; 32]).collect();
        // Every hash came with its value (spec 20 §4.6 step 7), so nothing is ever missing here.
        let values = hashes
            .iter()
            .map(|hash| self.values.get(hash).cloned())
            .collect::<Option<Vec<_>>>()?;
        let draft = ConsensusDraft {
            duty: self.duty,
            draft,
            justification,
            values,
        };
        Some(Output::SendConsensus { to, draft })
    }

    fn prepared(&self, round: u64, hash: Hash, certificate: Vec<QbftMessage>) -> Option<Output> {
        let value = self.values.get(&hash)?.clone();
        Some(Output::LogPrepared {
            duty: self.duty,
            round,
            value,
            certificate,
        })
    }

    fn leader(&self, round: u64) -> PeerIndex {
        let nodes = self.nodes as u64;
        let index = (leader_offset(self.duty) % nodes + round % nodes) % nodes;
        PeerIndex::new(index as usize)
    }
}

/// `leader(duty, round) = (slot + duty type + round) mod n` (spec 20 §4.2); this is the part without the round.
fn leader_offset(duty: Duty) -> u64 {
    duty.slot.0.wrapping_add(duty.kind.wire() as u64)
}

/// The round timer of a duty (spec 20 §4.3).
fn round_timer(duty: Duty, chain: &Chain) -> RoundTimer {
    let extra = match duty.kind {
        DutyKind::Proposer => Duration::from_millis(500),
        _ => Duration::ZERO,
    };
    RoundTimer::EagerDoubleLinear {
        start: since_epoch(chain.timer_start(duty)),
        extra,
    }
}

fn since_epoch(at: Timestamp) -> Duration {
    Duration::from_nanos(at.as_nanos())
}
