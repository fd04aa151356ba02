//! The hub: every input of a cluster, every duty's life, one sweep over time.

mod feeding;

pub(crate) use self::feeding::builds_on_others;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_crypto::{ShareIndex, Verified};
use flotilla_qbft::{self as qbft, Mode};
use flotilla_types::{
    Chain, Duty, DutyKind, Epoch, ExecutionAddress, PeerIndex, PublicKeyBytes, Root, SignedData,
    Slot, Timestamp,
};

use crate::agreement::Memory;
use crate::guard::Guard;
use crate::io::{
    Assignments, ClientRequest, ConsensusMessage, HANDLED_KINDS, Input, Item, LoggedVote, NotTaken,
    Output, PartialSet, QbftMessage, Question, Rejected, Reply,
};
use crate::kinds;
use crate::life::Life;
use crate::schedule::{Definitions, HeadRoots, Schedule};

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

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster it works for.
    pub cluster: Cluster,
    /// The chain it works on.
    pub chain: Arc<Chain>,
    /// The validators that this process signs for with the shares in its data folder: the engine asks with
    /// [`Output::Sign`]. For all others it waits for a validator client's [`Input::Offer`] (S7).
    pub builtin: BTreeSet<PublicKeyBytes>,
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
    /// Vote for and sign what conflicts with the chain of the own beacon nodes.
    #[cfg(feature = "faults")]
    pub ignore_guard: bool,
    /// Begin to reveal randomness a whole slot ahead (against S10).
    #[cfg(feature = "faults")]
    pub randao_early: bool,
}

/// What the parts of the engine may look at.
pub(crate) struct Facts<'a> {
    pub cluster: &'a Cluster,
    pub chain: &'a Chain,
    pub builtin: &'a BTreeSet<PublicKeyBytes>,
    pub guard: &'a Guard,
    pub fee_recipients: &'a BTreeMap<PublicKeyBytes, ExecutionAddress>,
    pub plural: bool,
    pub paused: bool,
    pub faults: Faults,
}

/// All duties of one cluster on one node. See the [crate documentation](crate) for how it is driven.
pub struct Engine {
    state: Shared,
    schedule: Schedule,
    lives: BTreeMap<Duty, Life>,
    /// When each life wants to be woken; one entry per life.
    alarms: BTreeSet<(Timestamp, Duty)>,
    /// Lives that have not been told what others have brought since.
    unfed: BTreeSet<Duty>,
    memories: BTreeMap<Duty, Memory>,
    /// When the clock next begins a duty, as of the last sweep; the past when the schedule has changed since.
    next_beginning: Timestamp,
    /// The schedule's own next deadline, as of the last sweep.
    schedule_due: Timestamp,
    /// When duties without deadline were last sent again.
    resent: Option<Epoch>,
}

/// What all lives look at.
struct Shared {
    config: Config,
    guard: Guard,
    fee_recipients: BTreeMap<PublicKeyBytes, ExecutionAddress>,
    plural: bool,
    paused: bool,
}

impl Shared {
    fn facts(&self) -> Facts<'_> {
        Facts {
            cluster: &self.config.cluster,
            chain: &self.config.chain,
            builtin: &self.config.builtin,
            guard: &self.guard,
            fee_recipients: &self.fee_recipients,
            plural: self.plural,
            paused: self.paused,
            faults: self.config.faults,
        }
    }
}

/// Exits that may be collected at once on peers' wishes. They have no deadline, so peers could otherwise open any number.
const PEERS_EXITS_LIMIT: usize = 64;
/// The same with those that our own operator wishes, whom peers must not be able to shut out.
const EXITS_LIMIT: usize = 2 * PEERS_EXITS_LIMIT;

/// Who opens a duty.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// The clock, our own signer or operator.
    Ourselves,
    /// A peer's message.
    Peer,
}

impl Engine {
    /// An engine that has nothing to do yet. Construction is silent; the first [`Input::Wake`] sets it going.
    pub fn new(config: Config) -> Self {
        let state = Shared {
            config,
            guard: Guard::default(),
            fee_recipients: BTreeMap::new(),
            plural: false,
            paused: false,
        };
        Self {
            state,
            schedule: Schedule::default(),
            lives: BTreeMap::new(),
            alarms: BTreeSet::new(),
            unfed: BTreeSet::new(),
            memories: BTreeMap::new(),
            next_beginning: Timestamp::from_nanos(0),
            schedule_due: Timestamp::from_nanos(0),
            resent: None,
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
        let first = self.alarms.first().map(|&(at, _)| at);
        let schedule = self.schedule_due.min(self.next_beginning);
        first.map_or(schedule, |first| first.min(schedule))
    }

    /// Whether signing is paused.
    pub fn paused(&self) -> bool {
        self.state.paused
    }

    /// How many duties are being worked on or remembered; the simulator checks that it returns to its floor.
    pub fn duties(&self) -> usize {
        self.lives.len()
    }

    /// The most duties that can be alive at once: for every kind those of its lifetime back and of the slots ahead.
    pub fn duties_limit(&self) -> usize {
        let chain = &self.state.config.chain;
        let slots = |&kind: &DutyKind| {
            let duty = Duty::new(Slot(0), kind);
            let lifetime = chain.deadline(duty)?.saturating_since(chain.genesis_time);
            let back = lifetime.as_nanos() / chain.spec.slot_duration.as_nanos().max(1);
            Some(back as u64 + kinds::slots_ahead(chain, kind) + 2)
        };
        HANDLED_KINDS.iter().filter_map(slots).sum::<u64>() as usize + EXITS_LIMIT
    }

    fn take(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Wake => {}
            Input::Duties {
                epoch,
                dependent_root,
                assignments,
            } => self.on_duties(epoch, dependent_root, assignments),
            Input::DutiesFailed { epoch, roster, .. } => self.schedule.failed(epoch, roster, now),
            Input::Head {
                epoch,
                previous,
                current,
            } => {
                let head = HeadRoots {
                    epoch,
                    previous,
                    current,
                };
                self.schedule.head(&self.state.config.chain, &head);
            }
            Input::Fetched { duty, result } => {
                if let Ok(value) = &result {
                    self.state.guard.learn(&value.set);
                }
                self.with(duty, |life, facts| life.on_fetched(now, result, facts, out));
            }
            Input::HeadRoot { duty, result } => {
                self.with(duty, |life, facts| {
                    life.on_head_root(now, result, facts, out)
                });
            }
            Input::Examined {
                duty,
                question,
                verdict,
            } => self.with(duty, |life, facts| {
                life.on_examined(now, question, verdict, facts, out)
            }),
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
                duty, good, bad, ..
            } => {
                self.with(duty, |life, facts| {
                    life.on_checked(now, &good, &bad, facts, out)
                });
            }
            Input::Combined { duty, results } => {
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
            Input::Ask { request, question } => self.on_ask(now, request, question, out),
            Input::Offer { request, set } => self.on_offer(now, request, set.into_inner(), out),
            Input::Forget(request) => self
                .lives
                .values_mut()
                .for_each(|life| life.forget(request)),
            Input::Exit { validator, exit } => {
                let slot = self.state.config.chain.first_slot(exit.epoch);
                let duty = Duty::new(slot, DutyKind::Exit);
                if self.life(now, duty, Opener::Ourselves).is_ok() {
                    self.with(duty, |life, facts| {
                        life.on_exit(now, validator, exit, facts, out)
                    });
                }
            }
            Input::Kept(set) => self.on_kept(now, set, out),
            Input::FeeRecipients(recipients) => self.state.fee_recipients = recipients,
            Input::Plural(plural) => self.state.plural = plural,
            Input::Pause(paused) => self.on_pause(now, paused, out),
        }
    }

    fn on_duties(&mut self, epoch: Epoch, dependent_root: Root, mut assignments: Assignments) {
        let config = &self.state.config;
        let ours = |validator: &PublicKeyBytes| config.cluster.validators.contains(validator);
        match &mut assignments {
            Assignments::Attesters(list) => list.retain(|duty| ours(&duty.pubkey)),
            Assignments::Proposers(list) => list.retain(|duty| ours(&duty.pubkey)),
            Assignments::SyncCommittee(list) => list.retain(|duty| ours(&duty.pubkey)),
        }
        self.schedule
            .learn(&config.chain, epoch, dependent_root, assignments);
        self.next_beginning = Timestamp::from_nanos(0);
    }

    fn on_pause(&mut self, now: Timestamp, paused: bool, out: &mut Vec<Output>) {
        self.state.paused = paused;
        let duties: Vec<Duty> = self.lives.keys().copied().collect();
        for duty in duties {
            self.with(duty, |life, facts| life.on_pause(now, facts, out));
        }
    }

    fn on_consensus(
        &mut self,
        now: Timestamp,
        message: Verified<ConsensusMessage>,
        out: &mut Vec<Output>,
    ) {
        let duty = message.duty;
        let from = PeerIndex::new(message.message.source);
        let checked = match kinds::has_agreement(duty.kind) {
            true => self.life(now, duty, Opener::Peer),
            false => Err(Rejected::UnknownDuty),
        };
        match checked {
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
        let checked = match set.share == ShareIndex::from_peer(from.get()) {
            true => self
                .check_set(&set)
                .and_then(|()| self.life(now, duty, Opener::Peer)),
            false => Err(Rejected::ForeignShare),
        };
        match checked {
            Ok(()) => {
                // What has no deadline outlives this process.
                let open = self.lives.get(&duty).is_some_and(|life| !life.ended());
                if duty.kind == DutyKind::Exit && open {
                    out.push(Output::Keep(set.clone()));
                }
                self.with(duty, |life, facts| {
                    life.on_partials(now, from, set, facts, out)
                });
                self.join(now, duty, out);
            }
            Err(reason) => out.push(Output::Rejected { from, duty, reason }),
        }
    }

    /// Whether a set names validators of ours and objects of its duty.
    fn check_set(&self, set: &PartialSet) -> Result<(), Rejected> {
        let config = &self.state.config;
        let known = |key| config.cluster.validators.contains(key);
        if !set.items.keys().all(known) {
            return Err(Rejected::UnknownValidator);
        }
        let belongs = |data: &SignedData| kinds::belongs(set.duty, data, &config.chain);
        match set.items.values().all(|partial| belongs(&partial.data)) {
            true => Ok(()),
            false => Err(Rejected::WrongSlot),
        }
    }

    fn on_ask(
        &mut self,
        now: Timestamp,
        request: ClientRequest,
        question: Question,
        out: &mut Vec<Output>,
    ) {
        let duty = question.duty();
        match self.life(now, duty, Opener::Ourselves) {
            Ok(()) => self.with(duty, |life, _| life.on_question(request, question, out)),
            Err(_) => out.push(Output::Reply {
                request,
                reply: Box::new(Reply::None),
            }),
        }
    }

    fn on_offer(
        &mut self,
        now: Timestamp,
        request: ClientRequest,
        set: PartialSet,
        out: &mut Vec<Output>,
    ) {
        let duty = set.duty;
        let ours = set.share == self.state.config.cluster.share();
        let open = |engine: &mut Self| engine.life(now, duty, Opener::Ourselves).is_ok();
        if ours && self.check_set(&set).is_ok() && open(self) {
            self.with(duty, |life, facts| {
                life.on_offer(now, request, set, facts, out)
            });
            return;
        }
        let items = set.items.iter();
        let items = items.map(|(validator, partial)| Item::of(*validator, &partial.data));
        let reply = Reply::NotTaken(items.map(|item| (item, NotTaken::NotDue)).collect());
        out.push(Output::Reply {
            request,
            reply: Box::new(reply),
        });
    }

    /// Signatures that the previous run has kept, its own and its peers'.
    fn on_kept(&mut self, now: Timestamp, set: PartialSet, out: &mut Vec<Output>) {
        let duty = set.duty;
        let ours = set.share == self.state.config.cluster.share();
        let opener = match ours {
            true => Opener::Ourselves,
            false => Opener::Peer,
        };
        if self.check_set(&set).is_ok() && self.life(now, duty, opener).is_ok() {
            self.with(duty, |life, facts| match ours {
                true => life.on_kept(now, set, facts, out),
                false => {
                    let from = PeerIndex::new(set.share.peer());
                    life.on_partials(now, from, set, facts, out);
                }
            });
        }
    }

    /// A peer is at work on a duty that is due, and we have not begun: our beacon node may be slow, down, or we were away.
    fn join(&mut self, now: Timestamp, duty: Duty, out: &mut Vec<Output>) {
        let chain = &self.state.config.chain;
        let idle = self.lives.get(&duty).is_some_and(|life| !life.begun());
        if idle && chain.due(duty) <= now && !self.is_before_start(duty) {
            let (definitions, listed) = self.definitions(duty);
            self.with(duty, |life, facts| {
                life.begin(now, &definitions, listed, facts, out)
            });
        }
    }

    /// Makes sure that a duty has a life, if it may have one.
    fn life(&mut self, now: Timestamp, duty: Duty, opener: Opener) -> Result<(), Rejected> {
        if self.lives.contains_key(&duty) {
            return Ok(());
        }
        let chain = &self.state.config.chain;
        if !HANDLED_KINDS.contains(&duty.kind) {
            return Err(Rejected::UnknownDuty);
        }
        if chain.deadline(duty).is_some_and(|deadline| deadline <= now) {
            return Err(Rejected::Expired);
        }
        if duty.kind == DutyKind::Exit {
            // An exit may name any epoch of the past, and the next ones (spec 30 §1.6).
            chain.gate(duty, now).map_err(|_| Rejected::UnknownDuty)?;
            let limit = match opener {
                Opener::Ourselves => EXITS_LIMIT,
                Opener::Peer => PEERS_EXITS_LIMIT,
            };
            if self.exits().count() >= limit {
                return Err(Rejected::TooManyDuties);
            }
        } else {
            let ahead = kinds::slots_ahead(chain, duty.kind);
            if chain.slot_at(now).map_or(0, |slot| slot.0 + ahead) < duty.slot.0 {
                return Err(Rejected::UnknownDuty);
            }
        }
        let config = &self.state.config;
        let mode = match config.votes_known || chain.due(duty) >= config.started {
            true => Mode::Voting,
            false => Mode::ListenOnly,
        };
        let memory = self.memories.remove(&duty);
        let life = Life::new(duty, &self.state.facts(), mode, memory, now);
        self.alarms.insert((life.deadline(), duty));
        self.lives.insert(duty, life);
        Ok(())
    }

    /// Lets a life take something, and notes what it wants next.
    fn with(&mut self, duty: Duty, act: impl FnOnce(&mut Life, &Facts<'_>)) {
        // An answer may come after its duty has expired.
        let Some(life) = self.lives.get_mut(&duty) else {
            return;
        };
        let (before, was_hungry) = (life.deadline(), life.is_hungry());
        act(life, &self.state.facts());
        let (after, is_hungry) = (life.deadline(), life.is_hungry());
        if before != after {
            self.alarms.remove(&(before, duty));
            self.alarms.insert((after, duty));
        }
        if is_hungry && !was_hungry {
            self.unfed.insert(duty);
        }
        if life.take_news() {
            self.unfed.extend(feeding::consumer(duty));
        }
    }

    /// The assignments behind a duty, and whether they are known.
    fn definitions(&self, duty: Duty) -> (Definitions, bool) {
        let chain = &self.state.config.chain;
        let definitions = self.schedule.definitions(duty, chain);
        (
            definitions.cloned().unwrap_or_default(),
            self.schedule.is_listed(duty, chain),
        )
    }

    /// Everything that time alone brings about: asking for duties, beginning them, waking them, dropping them.
    fn sweep(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let chain = Arc::clone(&self.state.config.chain);
        let requests = self.schedule.requests(&chain, now);
        out.extend(
            requests
                .into_iter()
                .map(|(epoch, roster)| Output::FetchDuties { epoch, roster }),
        );
        if self.next_beginning <= now {
            self.begin_due(now, &chain, out);
        }
        self.feed(now, out);
        // Each once: a life that wanted to be woken in the past for ever would otherwise keep the engine here.
        let due = self.alarms.iter().copied();
        let due: Vec<_> = due.take_while(|&(at, _)| at <= now).collect();
        for (at, duty) in due {
            self.alarm(now, at, duty, out);
        }
        self.feed(now, out);
        self.memories
            .retain(|&duty, _| chain.deadline(duty).is_some_and(|deadline| now <= deadline));
        self.schedule_due = self.schedule.deadline(&chain, now);
    }

    fn alarm(&mut self, now: Timestamp, at: Timestamp, duty: Duty, out: &mut Vec<Output>) {
        if self
            .lives
            .get(&duty)
            .is_some_and(|life| now < life.expires())
        {
            return self.with(duty, |life, facts| life.wake(now, facts, out));
        }
        self.drop_life(at, duty, out);
    }

    /// Begins the duties of the slots around now, and finds when the next one is to begin.
    fn begin_due(&mut self, now: Timestamp, chain: &Chain, out: &mut Vec<Output>) {
        let current = chain.slot_at(now).unwrap_or_default().0;
        let mut next = Timestamp::from_nanos(u64::MAX);
        // The slot before as well, since its duties may just have become known; two ahead, for what is exchanged ahead.
        for slot in current.saturating_sub(1)..=current.saturating_add(2) {
            for kind in kinds::SCHEDULED {
                let duty = Duty::new(Slot(slot), kind);
                let begins = self.begins(chain, duty);
                match begins <= now {
                    true => self.begin(now, duty, out),
                    false => next = next.min(begins),
                }
            }
        }
        self.next_beginning = next;
        let epoch = chain.epoch_at(now);
        if self.resent.replace(epoch) != Some(epoch) {
            let facts = self.state.facts();
            self.exits().for_each(|(_, life)| life.resend(&facts, out));
            self.drop_exits(out);
        }
    }

    fn exits(&self) -> impl Iterator<Item = (&Duty, &Life)> + '_ {
        let lives = self.lives.iter();
        lives.filter(|(duty, _)| duty.kind == DutyKind::Exit)
    }

    /// Drops exits that are over, which no deadline does.
    fn drop_exits(&mut self, out: &mut Vec<Output>) {
        let over = self.exits().filter(|(_, life)| life.ended());
        let over: Vec<(Timestamp, Duty)> =
            over.map(|(duty, life)| (life.deadline(), *duty)).collect();
        for (at, duty) in over {
            self.drop_life(at, duty, out);
        }
    }

    fn drop_life(&mut self, at: Timestamp, duty: Duty, out: &mut Vec<Output>) {
        self.alarms.remove(&(at, duty));
        let missing = self.missing(duty);
        if let Some(mut life) = self.lives.remove(&duty) {
            life.expire(&self.state.facts(), missing, out);
        }
    }

    fn begins(&self, chain: &Chain, duty: Duty) -> Timestamp {
        #[cfg(feature = "faults")]
        if self.state.config.faults.randao_early && duty.kind == DutyKind::Randao {
            return chain.slot_start(duty.slot) - chain.spec.slot_duration;
        }
        kinds::begins(chain, duty)
    }

    fn begin(&mut self, now: Timestamp, duty: Duty, out: &mut Vec<Output>) {
        if self.is_before_start(duty) {
            return;
        }
        let (definitions, listed) = self.definitions(duty);
        if !definitions.is_empty() && self.life(now, duty, Opener::Ourselves).is_ok() {
            self.with(duty, |life, facts| {
                life.begin(now, &definitions, listed, facts, out)
            });
        }
    }

    /// Duties of slots before the process started are over for us. Of its first slot, a sync committee message may have been
    /// sent by the process before, over another head (S8).
    fn is_before_start(&self, duty: Duty) -> bool {
        let config = &self.state.config;
        let first = config.chain.slot_at(config.started);
        let past_slot = first.is_some_and(|first| duty.slot < first);
        let head_may_differ =
            duty.kind == DutyKind::SyncMessage && config.chain.due(duty) < config.started;
        past_slot || head_may_differ
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
