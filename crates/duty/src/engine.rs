//! The hub: every input of a cluster, every duty's life, one sweep over time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_crypto::{ShareIndex, Verified};
use flotilla_qbft::{self as qbft, Mode};
use flotilla_types::{Chain, Duty, DutyKind, PeerIndex, PublicKeyBytes, Slot, Timestamp};

use crate::agreement::Memory;
use crate::io::{ConsensusMessage, Input, LoggedVote, Output, PartialSet, QbftMessage, Rejected};
use crate::life::Life;
use crate::schedule::{Definitions, Schedule};

/// What never changes about a cluster while a node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// This node.
    pub me: PeerIndex,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many shares make a group signature.
    pub threshold: usize,
    /// The group public keys of all validators.
    pub validators: BTreeSet<PublicKeyBytes>,
}

impl Cluster {
    /// How many nodes may be faulty without breaking agreement: `floor((n - 1) / 3)`.
    pub fn faulty(&self) -> usize {
        qbft::faulty(self.nodes)
    }

    /// This node's share index.
    pub fn share(&self) -> ShareIndex {
        ShareIndex::from_peer(self.me.get())
    }
}

/// Who makes this node's partial signatures (S7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// This process, with the shares in the data folder: the engine asks with [`Output::Sign`].
    Builtin,
    /// A validator client: the engine waits for [`Input::Signed`].
    ValidatorClient,
}

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster it works for.
    pub cluster: Cluster,
    /// The chain it works on.
    pub chain: Arc<Chain>,
    /// Who signs.
    pub signer: Signer,
    /// When the process started.
    pub started: Timestamp,
    /// Whether the vote log of the previous run is complete (S3). If not, the engine only listens to agreements on duties
    /// that were due before `started`: it casts no votes, yet signs what it learns was decided, guarded by S2.
    pub votes_known: bool,
    /// Deliberate faults for the simulator; `Faults::default()` has none, and without the cargo feature `faults` no others
    /// can be asked for.
    pub faults: Faults,
}

/// Deliberate faults that the simulator must find.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Faults of the agreement.
    pub agreement: qbft::Faults,
    /// Sign what the slashing database has refused.
    #[cfg(feature = "faults")]
    pub ignore_database: bool,
}

/// What the parts of the engine may look at.
pub(crate) struct Facts<'a> {
    pub cluster: &'a Cluster,
    pub chain: &'a Chain,
    pub signer: Signer,
    pub paused: bool,
    pub faults: Faults,
}

/// All duties of one cluster on one node. See the [crate documentation](crate) for how it is driven.
pub struct Engine {
    config: Config,
    paused: bool,
    schedule: Schedule,
    lives: BTreeMap<Duty, Life>,
    memories: BTreeMap<Duty, Memory>,
    /// The schedule's own next deadline, as of the last step.
    schedule_due: Timestamp,
}

/// Peers' messages are taken for duties that are due within this many slots; honest clocks are much closer.
const SLOTS_AHEAD: u64 = 1;

impl Engine {
    /// An engine that has nothing to do yet. Construction is silent; the first [`Input::Wake`] sets it going.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            paused: false,
            schedule: Schedule::default(),
            lives: BTreeMap::new(),
            memories: BTreeMap::new(),
            schedule_due: Timestamp::from_nanos(0),
        }
    }

    /// Takes what the vote log of the previous run knew, before the first step (S3).
    pub fn restore(&mut self, logged: Vec<LoggedVote>) {
        for vote in logged {
            match vote {
                LoggedVote::Sent(message) => {
                    let ConsensusMessage {
                        duty,
                        message,
                        justification,
                        values,
                    } = message.into_inner();
                    let memory = self.memories.entry(duty).or_default();
                    memory
                        .values
                        .extend(values.into_iter().map(|value| (value.hash, value)));
                    memory.votes.note(&draft_of(&message), &justification);
                }
                LoggedVote::Prepared {
                    duty,
                    round,
                    value,
                    certificate,
                } => {
                    let memory = self.memories.entry(duty).or_default();
                    memory.votes.note_prepared(round, value.hash, &certificate);
                    memory.values.insert(value.hash, value);
                }
            }
        }
    }

    /// Takes one input at `now` and appends what follows from it to `out`.
    pub fn step(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        self.take(now, input, out);
        self.sweep(now, out);
    }

    /// When the shell should deliver [`Input::Wake`].
    pub fn deadline(&self) -> Timestamp {
        self.lives
            .values()
            .map(Life::deadline)
            .fold(self.schedule_due, Timestamp::min)
    }

    /// Whether signing is paused.
    pub fn paused(&self) -> bool {
        self.paused
    }

    /// How many duties are being worked on or remembered; the simulator checks that it returns to its floor.
    pub fn duties(&self) -> usize {
        self.lives.len()
    }

    /// The most duties that can be alive at once: those of an epoch back and of the slots ahead.
    pub fn duties_limit(&self) -> usize {
        (self.config.chain.spec.slots_per_epoch + SLOTS_AHEAD + 3) as usize
    }

    fn take(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Wake => {}
            Input::Duties {
                epoch,
                dependent_root,
                mut attesters,
            } => {
                attesters.retain(|duty| self.config.cluster.validators.contains(&duty.pubkey));
                self.schedule
                    .learn(&self.config.chain, epoch, dependent_root, attesters);
            }
            Input::DutiesFailed { epoch, error: _ } => self.schedule.failed(epoch, now),
            Input::Head {
                epoch,
                dependent_root,
            } => self.schedule.head(epoch, dependent_root),
            Input::Fetched { duty, result } => {
                self.with(duty, |life, facts| life.on_fetched(now, result, facts, out));
            }
            Input::Consensus(message) => self.on_consensus(now, message, out),
            Input::Partials { from, set } => self.on_partials(now, from, set, out),
            Input::Recorded { duty, results } => {
                self.with(duty, |life, facts| {
                    life.on_recorded(now, results, facts, out)
                });
            }
            Input::Signed { duty, signatures } => {
                self.with(duty, |life, facts| {
                    life.on_signed(now, signatures, facts, out)
                });
            }
            Input::Checked {
                duty,
                signing_root: _,
                good,
                bad,
            } => {
                self.with(duty, |life, facts| {
                    life.on_checked(now, &good, &bad, facts, out)
                });
            }
            Input::Combined {
                duty,
                signing_root: _,
                results,
            } => {
                self.with(duty, |life, facts| {
                    life.on_combined(now, results, facts, out)
                });
            }
            Input::Submitted {
                duty,
                accepted,
                refused,
            } => {
                self.with(duty, |life, facts| {
                    life.on_submitted(now, accepted, refused, facts, out)
                });
            }
            Input::Pause(paused) => self.on_pause(now, paused, out),
        }
    }

    fn on_pause(&mut self, now: Timestamp, paused: bool, out: &mut Vec<Output>) {
        self.paused = paused;
        let facts = facts(&self.config, paused);
        self.lives
            .values_mut()
            .for_each(|life| life.on_pause(now, &facts, out));
    }

    fn on_consensus(
        &mut self,
        now: Timestamp,
        message: Verified<ConsensusMessage>,
        out: &mut Vec<Output>,
    ) {
        let duty = message.duty;
        let from = PeerIndex::new(message.message.source);
        match self.life(now, duty) {
            Ok(()) => {
                self.with(duty, |life, facts| {
                    life.on_consensus(now, message, facts, out)
                });
                self.join(now, duty, out);
            }
            Err(reason) => out.push(Output::Rejected { from, duty, reason }),
        }
    }

    fn on_partials(
        &mut self,
        now: Timestamp,
        from: PeerIndex,
        set: PartialSet,
        out: &mut Vec<Output>,
    ) {
        let duty = set.duty;
        let known = |set: &PartialSet| {
            set.items
                .keys()
                .all(|key| self.config.cluster.validators.contains(key))
        };
        let checked = if set.share != ShareIndex::from_peer(from.get()) {
            Err(Rejected::ForeignShare)
        } else if !known(&set) {
            Err(Rejected::UnknownValidator)
        } else if set
            .items
            .values()
            .any(|partial| partial.data.slot() != Some(duty.slot))
        {
            Err(Rejected::WrongSlot)
        } else {
            self.life(now, duty)
        };
        match checked {
            Ok(()) => {
                self.with(duty, |life, facts| {
                    life.on_partials(now, from, set, facts, out)
                });
                self.join(now, duty, out);
            }
            Err(reason) => out.push(Output::Rejected { from, duty, reason }),
        }
    }

    /// A peer is at work on a duty that is due, and we have not begun: our beacon node may be slow, down, or we were away.
    fn join(&mut self, now: Timestamp, duty: Duty, out: &mut Vec<Output>) {
        if self.config.chain.due(duty) <= now
            && self.lives.get(&duty).is_some_and(|life| !life.begun())
        {
            let definitions = self.definitions(duty.slot);
            self.with(duty, |life, facts| {
                life.begin(now, &definitions, facts, out)
            });
        }
    }

    /// Makes sure that a duty named by a peer has a life, if it may have one.
    fn life(&mut self, now: Timestamp, duty: Duty) -> Result<(), Rejected> {
        if self.lives.contains_key(&duty) {
            return Ok(());
        }
        let chain = &self.config.chain;
        if duty.kind != DutyKind::Attester {
            return Err(Rejected::UnknownDuty);
        }
        let Some(deadline) = chain.deadline(duty) else {
            return Err(Rejected::UnknownDuty);
        };
        if deadline <= now {
            return Err(Rejected::Expired);
        }
        if chain.slot_at(now).map_or(0, |slot| slot.0 + SLOTS_AHEAD) < duty.slot.0 {
            return Err(Rejected::UnknownDuty);
        }
        if self.lives.len() >= self.duties_limit() {
            return Err(Rejected::TooManyDuties);
        }
        let mode = match self.config.votes_known || chain.due(duty) >= self.config.started {
            true => Mode::Voting,
            false => Mode::ListenOnly,
        };
        let memory = self.memories.remove(&duty);
        let life = Life::new(
            duty,
            deadline,
            &facts(&self.config, self.paused),
            mode,
            memory,
            now,
        );
        self.lives.insert(duty, life);
        Ok(())
    }

    fn with(&mut self, duty: Duty, act: impl FnOnce(&mut Life, &Facts<'_>)) {
        // An answer may come after its duty has expired.
        if let Some(life) = self.lives.get_mut(&duty) {
            act(life, &facts(&self.config, self.paused));
        }
    }

    fn definitions(&self, slot: Slot) -> Definitions {
        self.schedule
            .attesters(slot, &self.config.chain)
            .cloned()
            .unwrap_or_default()
    }

    /// Everything that time alone brings about: asking for duties, beginning them, waking them, dropping them.
    fn sweep(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let chain = Arc::clone(&self.config.chain);
        out.extend(
            self.schedule
                .requests(&chain, now)
                .into_iter()
                .map(Output::FetchDuties),
        );
        let current = chain.slot_at(now);
        if let Some(current) = current {
            // The slot before as well: its duties may just have become known.
            for slot in [current.0.checked_sub(1).map(Slot), Some(current)]
                .into_iter()
                .flatten()
            {
                self.begin(now, slot, out);
            }
        }
        let facts = facts(&self.config, self.paused);
        for life in self
            .lives
            .values_mut()
            .filter(|life| life.deadline() <= now)
        {
            life.wake(now, &facts, out);
        }
        self.lives.retain(|_, life| {
            let alive = now < life.expires();
            if !alive {
                life.expire(&facts, out);
            }
            alive
        });
        self.memories
            .retain(|&duty, _| chain.deadline(duty).is_some_and(|deadline| now <= deadline));
        let next_due = chain.due(Duty::attester(current.unwrap_or(Slot(0))));
        let next_due = match next_due > now {
            true => next_due,
            false => chain.due(Duty::attester(Slot(current.map_or(0, |slot| slot.0) + 1))),
        };
        self.schedule_due = self.schedule.deadline(&chain, now).min(next_due);
    }

    fn begin(&mut self, now: Timestamp, slot: Slot, out: &mut Vec<Output>) {
        let duty = Duty::attester(slot);
        let begun = self.lives.get(&duty).is_some_and(Life::begun);
        if begun
            && self
                .lives
                .get(&duty)
                .is_some_and(|life| life.has_definitions())
        {
            return;
        }
        let before_start = self
            .config
            .chain
            .slot_at(self.config.started)
            .is_some_and(|first| slot < first);
        if self.config.chain.due(duty) > now || before_start {
            return;
        }
        let definitions = self.definitions(slot);
        if !definitions.is_empty() && self.life(now, duty).is_ok() {
            self.with(duty, |life, facts| {
                life.begin(now, &definitions, facts, out)
            });
        }
    }
}

/// What a message of ours said when it was still a draft.
fn draft_of(message: &QbftMessage) -> qbft::Draft {
    qbft::Draft {
        kind: message.kind,
        round: message.round,
        value: message.value,
        prepared_round: message.prepared_round,
        prepared_value: message.prepared_value,
    }
}

fn facts(config: &Config, paused: bool) -> Facts<'_> {
    Facts {
        cluster: &config.cluster,
        chain: &config.chain,
        signer: config.signer,
        paused,
        faults: config.faults,
    }
}
