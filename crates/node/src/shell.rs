//! The shell around one cluster's engine: carries inputs in and outputs out, and decides nothing.
//!
//! One task owns the engine and steps it. Whatever takes time (checking, signing, the database's sync, HTTP) runs elsewhere and
//! comes back as an input through one bounded channel. The order of an engine's outputs is the order in which they are begun;
//! a vote is in the vote log before it is sent (S3).

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flotilla_beacon::client::BeaconNode;
use flotilla_crypto::{IdentityKey, ShareIndex};
use flotilla_duty::io::{ConsensusDraft, HANDLED_KINDS, Item, Request};
use flotilla_duty::outcome::{Fate, ItemOutcome};
use flotilla_duty::{Engine, Input, Output};
use flotilla_p2p::{Event, Events, Handle, Protocol};
use flotilla_qbft::Recipients;
use flotilla_types::{Chain, Duty, DutyKind, PeerIndex, PublicKeyBytes, Timestamp, VoluntaryExit};
use flotilla_wire::consensus::Codec;
use flotilla_wire::{peer_info::PeerInfo, signatures, votes};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clients::Clients;
use crate::clock::Clock;
use crate::duties::{self, Production, Rosters};
use crate::exits::{self, Exits};
use crate::folder;
use crate::graffiti::Graffiti;
use crate::inclusion::Inclusion;
use crate::monitoring::{Kind, OutcomeStream};
use crate::signer::Signer;
use crate::slashing::Database;
use crate::telemetry::ClusterTelemetry;
use crate::votes::VoteLog;
use crate::workers::{Workers, jobs, jobs::KeyTable};

/// Answers and checked messages that may wait for the engine.
const INBOX: usize = 1024;
/// Received messages that may be with the workers at once; past it, the network's own bounds push back.
const CHECKING: usize = 256;
/// How often the pause file, the clock and the like are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What one cluster's shell and the jobs it starts share.
pub(crate) struct Parts {
    pub me: PeerIndex,
    pub threshold: usize,
    pub validators: Vec<PublicKeyBytes>,
    /// The same, to look up.
    pub members: BTreeSet<PublicKeyBytes>,
    /// First 7 hex digits of the lock hash.
    pub hash: String,
    pub data_folder: PathBuf,
    pub chain: Arc<Chain>,
    pub clock: Clock,
    pub codec: Codec,
    pub identity: IdentityKey,
    pub network: Handle,
    pub database: Database,
    pub workers: Workers,
    pub keys: Arc<KeyTable>,
    pub signer: Option<Signer>,
    pub beacon: BeaconNode,
    pub telemetry: ClusterTelemetry,
    pub outcomes: OutcomeStream,
    /// Our validators as the chain knows them, and who has which duty.
    pub rosters: Rosters,
    /// Whether blocks of builders are wanted.
    pub builder_api: bool,
    /// The free bytes of our blocks.
    pub graffiti: Graffiti,
    /// Whether several contributions of one validator are written, which a quorum reads.
    pub plural: AtomicBool,
    /// Validator clients that wait for the engine.
    pub clients: Clients,
    /// What became of our work on the chain.
    pub inclusion: Inclusion,
    /// Exits that are being collected.
    pub exits: Arc<Mutex<Exits>>,
    /// What we tell peers about ourselves; the time is filled in.
    pub introduction: PeerInfo,
}

impl Parts {
    /// Whether this process signs for a validator (S7).
    pub fn is_builtin(&self, validator: &PublicKeyBytes) -> bool {
        self.signer
            .as_ref()
            .is_some_and(|signer| signer.has(validator))
    }

    /// This node's share index.
    pub fn share(&self) -> ShareIndex {
        ShareIndex::from_peer(self.me.get())
    }
}

fn lock(exits: &Mutex<Exits>) -> std::sync::MutexGuard<'_, Exits> {
    exits.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What to sign so that a validator leaves: in the epoch that others have signed for, else from now on.
async fn exit(parts: &Parts, validator: PublicKeyBytes) -> Option<Input> {
    let current = parts.chain.epoch_at(parts.clock.now());
    let known = parts.rosters.members.of(&parts.beacon, current).await;
    let known = known
        .inspect_err(|error| warn!(%validator, %error, "the exit waits for a beacon node"))
        .ok()?;
    let Some(on_chain) = known.iter().find(|known| known.pubkey == validator) else {
        warn!(%validator, "the chain does not know this validator: its exit waits");
        return None;
    };
    let message = VoluntaryExit {
        epoch: lock(&parts.exits).epoch_of(&validator).unwrap_or(current),
        validator_index: on_chain.index,
    };
    info!(%validator, epoch = message.epoch.0, "signing a voluntary exit");
    Some(Input::Exit {
        validator,
        exit: message,
    })
}

/// How a shell ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    /// S6: what was true before the step may not be true now.
    #[error(
        "the clock stepped from {from_ms} ms to {to_ms} ms since the Unix epoch; the node stops, since after such a step it must \
         begin like after a restart: check time synchronisation, then start it again"
    )]
    ClockStepped { from_ms: u64, to_ms: u64 },
    /// The network task is gone.
    #[error("the network has stopped")]
    NetworkStopped,
}

/// Where an engine's inputs are put, and where its shell takes them from.
pub(crate) type Inbox = (mpsc::Sender<Input>, mpsc::Receiver<Input>);

/// One cluster's shell.
pub(crate) struct Shell {
    parts: Arc<Parts>,
    engine: Engine,
    votes: VoteLog,
    events: Events,
    inbox: Inbox,
    checking: Arc<Semaphore>,
    jobs: JoinSet<()>,
    paused: bool,
}

impl Shell {
    /// Where an engine's inputs are put, and where its shell takes them from.
    pub fn inbox() -> Inbox {
        mpsc::channel(INBOX)
    }

    /// A shell around `engine`, which has been restored from `votes`.
    pub fn new(
        parts: Arc<Parts>,
        engine: Engine,
        votes: VoteLog,
        events: Events,
        inbox: Inbox,
    ) -> Self {
        Self {
            parts,
            engine,
            votes,
            events,
            inbox,
            checking: Arc::new(Semaphore::new(CHECKING)),
            jobs: JoinSet::new(),
            paused: false,
        }
    }

    /// Drives the engine until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ShellError> {
        let mut every = tokio::time::interval(EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.step(Input::Wake);
        let kept = lock(&self.parts.exits).sets(&self.parts.chain);
        kept.into_iter().for_each(|set| self.step(Input::Kept(set)));
        loop {
            let wait = self.parts.clock.until(self.engine.deadline());
            let checking = Arc::clone(&self.checking);
            let events = &mut self.events;
            let received = async move {
                let permit = checking.acquire_owned().await;
                (events.recv().await, permit)
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(input) = self.inbox.1.recv() => self.step(input),
                () = tokio::time::sleep(wait) => self.step(Input::Wake),
                _ = every.tick() => self.look_around()?,
                (event, permit) = received => {
                    let (Some(event), Ok(permit)) = (event, permit) else { return Err(ShellError::NetworkStopped) };
                    self.on_event(event, permit);
                }
            }
            while self.jobs.try_join_next().is_some() {}
        }
    }

    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        let mut outputs = Vec::new();
        while let Some(input) = inputs.pop_front() {
            self.engine
                .step(self.parts.clock.now(), input, &mut outputs);
            for output in std::mem::take(&mut outputs) {
                self.perform(output, &mut inputs);
            }
        }
    }

    /// The pause file (S11) and the clock (S6).
    fn look_around(&mut self) -> Result<(), ShellError> {
        let paused = folder::is_paused(&self.parts.data_folder);
        if paused != self.paused {
            self.paused = paused;
            match paused {
                true => warn!("signing is paused; `flotilla resume` lets it go on"),
                false => info!("signing goes on"),
            }
            self.parts.telemetry.paused(paused);
            self.step(Input::Pause(paused));
        }
        self.look_for_exits();
        self.parts.telemetry.vote_log(self.votes.bytes());
        match self.parts.clock.observe() {
            None => Ok(()),
            Some(step) => {
                self.parts.telemetry.clock_stepped();
                Err(ShellError::ClockStepped {
                    from_ms: step.from.as_millis(),
                    to_ms: step.to.as_millis(),
                })
            }
        }
    }

    /// The operator's wishes to leave. One that is being carried out is asked for again until its signature is on disk.
    fn look_for_exits(&mut self) {
        for validator in exits::requested(&self.parts.data_folder) {
            let parts = Arc::clone(&self.parts);
            let builtin = parts.is_builtin(&validator);
            let signed = lock(&parts.exits).has_signed(&validator, parts.share());
            if !builtin || signed {
                if !builtin {
                    warn!(%validator, "no share for the built-in signer: this exit is not signed here");
                }
                exits::settle_request(&parts.data_folder, &validator);
                continue;
            }
            self.spawn(async move { exit(&parts, validator).await });
        }
    }

    /// Keeps exits on disk, beside the engine.
    fn keep(
        &self,
        change: impl FnOnce(&mut Exits) -> Result<(), folder::WriteError> + Send + 'static,
    ) {
        let exits = Arc::clone(&self.parts.exits);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = change(&mut lock(&exits)) {
                warn!(%error, "the exits that are being collected are not on disk");
            }
        });
    }

    /// Runs a job beside the engine and brings its result in.
    fn spawn(&mut self, job: impl Future<Output = Option<Input>> + Send + 'static) {
        let inbox = self.inbox.0.clone();
        self.jobs.spawn(async move {
            if let Some(input) = job.await {
                // The shell has ended; nobody wants the answer.
                let _ = inbox.send(input).await;
            }
        });
    }

    fn on_event(&mut self, event: Event, permit: tokio::sync::OwnedSemaphorePermit) {
        let parts = Arc::clone(&self.parts);
        match event {
            Event::Message {
                from,
                protocol,
                bytes,
            } => self.spawn(async move {
                let _permit = permit;
                check(parts, PeerIndex::new(from), protocol, bytes).await
            }),
            Event::Request {
                from: _,
                protocol: Protocol::PeerInfo,
                bytes: _,
                reply,
            } => {
                let sent_at = Some(parts.clock.now());
                let info = PeerInfo {
                    sent_at,
                    ..parts.introduction.clone()
                };
                // A requester that has given up needs no answer.
                let _ = reply.send(Bytes::from(info.encode()));
            }
            Event::Request { from, protocol, .. } => debug!(
                peer = from,
                ?protocol,
                "request of a protocol without answers"
            ),
            Event::Connected {
                peer,
                direct,
                address,
            } => info!(peer, direct, %address, "peer connected"),
            Event::Disconnected { peer } => warn!(peer, "peer disconnected"),
            Event::Ping { peer, rtt } => parts.telemetry.ping(PeerIndex::new(peer), rtt),
            Event::Oversized {
                peer,
                protocol,
                reason,
            }
            | Event::Malformed {
                peer,
                protocol,
                reason,
            } => {
                debug!(peer, ?protocol, %reason, "frame dropped");
                parts.telemetry.malformed(PeerIndex::new(peer), "frame");
            }
        }
    }

    fn perform(&mut self, output: Output, inputs: &mut VecDeque<Input>) {
        let parts = Arc::clone(&self.parts);
        match output {
            Output::FetchDuties { epoch, roster } => self.spawn(async move {
                let builtin = |validator: &PublicKeyBytes| parts.is_builtin(validator);
                let (beacon, rosters) = (&parts.beacon, &parts.rosters);
                Some(duties::of_epoch(beacon, rosters, epoch, roster, builtin).await)
            }),
            Output::Fetch { duty, request } => self.fetch(duty, request),
            Output::FetchHead(duty) => self.spawn(async move {
                let result = duties::head(&parts.beacon).await;
                Some(Input::HeadRoot { duty, result })
            }),
            Output::Examine { duty, question } => self.spawn(async move {
                let verdict = duties::examine(&parts.beacon, &parts.chain, question).await;
                debug!(%duty, ?question, ?verdict, "own beacon nodes asked about the chain");
                parts.telemetry.examined(duty, verdict);
                Some(Input::Examined {
                    duty,
                    question,
                    verdict,
                })
            }),
            Output::Selected(attesters) => self.spawn(async move {
                duties::announce_aggregators(&parts.beacon, &attesters).await;
                None
            }),
            Output::Reply { request, reply } => parts.clients.answer(request, *reply),
            Output::Keep(set) => {
                // A wish is carried out once our signature is on disk; the exit itself may be over a moment later.
                let ours = set.share == parts.share();
                self.keep(move |exits| {
                    exits.keep(&set)?;
                    set.items
                        .keys()
                        .filter(|_| ours)
                        .for_each(|validator| exits::settle_request(&parts.data_folder, validator));
                    Ok(())
                });
            }
            Output::LogPrepared {
                duty,
                value,
                certificate,
                ..
            } => match votes::prepared(&parts.codec, &value, &certificate) {
                Ok(record) => _ = self.log(duty, &record),
                Err(error) => warn!(%duty, %error, "the prepared certificate was not logged"),
            },
            Output::SendConsensus { to, draft } => self.send_consensus(to, draft, inputs),
            Output::Record { duty, items } => {
                let (answer, wait) = oneshot::channel();
                parts
                    .database
                    .record(items, move |recorded| _ = answer.send(recorded));
                self.spawn(async move {
                    let answer = wait.await.ok()?;
                    if let Some(took) = answer.sync {
                        parts.telemetry.slashing_sync(took);
                    }
                    Some(Input::Recorded {
                        duty,
                        results: answer.results,
                    })
                });
            }
            Output::Sign { duty, items } => self.spawn(async move {
                let signatures = parts.signer.as_ref()?.sign(items).await;
                let signatures = signatures
                    .inspect_err(|error| warn!(%duty, %error, "our share did not sign"))
                    .ok()?;
                Some(Input::Signed { duty, signatures })
            }),
            Output::SendPartials(set) => {
                let now = parts.clock.now();
                let after_offset = now.saturating_since(parts.chain.timer_start(set.duty));
                parts.telemetry.partials(parts.me, &set, after_offset);
                self.broadcast(
                    Protocol::PartialSignatures,
                    &Bytes::from(signatures::encode(&set)),
                );
            }
            Output::Check {
                duty,
                signing_root,
                claims,
            } => self.spawn(async move {
                let checked = jobs::check(
                    &parts.workers,
                    Arc::clone(&parts.keys),
                    signing_root,
                    claims,
                )
                .await;
                let checked = checked.inspect_err(
                    |error| warn!(%duty, %error, "partial signatures were not checked"),
                );
                checked.ok().map(|checked| Input::Checked {
                    duty,
                    signing_root,
                    good: checked.good,
                    bad: checked.bad,
                })
            }),
            Output::Combine { duty, items } => self.spawn(async move {
                let keys = Arc::clone(&parts.keys);
                let combined = jobs::combine(&parts.workers, keys, parts.threshold, items).await;
                let results = combined
                    .inspect_err(|error| warn!(%duty, %error, "signatures were not combined"))
                    .ok()?;
                Some(Input::Combined { duty, results })
            }),
            Output::Submit { duty, items } if parts.rosters.is_rehearsed(&items) => {
                self.spawn(async move { Some(duties::swallow(duty, items)) });
            }
            Output::Submit { duty, items } => {
                parts.rosters.own_votes().note(duty.slot, &items);
                parts.inclusion.submitted(&items);
                self.spawn(async move {
                    Some(duties::submit(&parts.beacon, &parts.chain, duty, items).await)
                });
            }
            Output::Rejected { from, duty, reason } => {
                debug!(peer = from.get(), %duty, %reason, "peer's message dropped");
                parts.telemetry.rejected(from, duty, reason);
            }
            Output::RoundChanged {
                duty,
                round,
                leader,
            } => {
                debug!(%duty, round, leader = leader.get(), "round changed");
                parts.telemetry.round_changed(duty, round, leader);
            }
            Output::Decided {
                duty,
                round,
                leader,
                ..
            } => debug!(%duty, round, leader = leader.get(), "agreed"),
            Output::Late(outcome) => {
                parts.telemetry.late(&outcome);
                parts.outcomes.tell(&parts.hash, Kind::Late, &outcome);
            }
            Output::Ended(outcome) => {
                if outcome.duty.kind == DutyKind::Exit {
                    let left = |(item, ended): (&Item, &ItemOutcome)| {
                        (ended.fate == Fate::Submitted).then_some(item.validator)
                    };
                    let left = outcome.items.iter().filter_map(left).collect();
                    self.keep(move |exits| exits.forget(&left));
                }
                parts.telemetry.ended(&outcome);
                parts.outcomes.tell(&parts.hash, Kind::Ended, &outcome);
            }
        }
    }

    fn fetch(&mut self, duty: Duty, request: Request) {
        let parts = Arc::clone(&self.parts);
        parts.telemetry.scheduled(duty.kind, request.validators());
        let validator = match &request {
            Request::Block { proposer, .. } => Some(proposer.pubkey),
            _ => None,
        };
        let production = Production {
            builder_api: parts.builder_api,
            plural: parts.plural.load(Ordering::Relaxed),
            graffiti: parts.graffiti.of(validator.as_ref()),
        };
        self.spawn(async move {
            let fetched = duties::fetch(
                &parts.beacon,
                &parts.chain,
                &parts.rosters,
                duty,
                &request,
                production,
            )
            .await;
            if let Ok(set) = &fetched {
                parts.telemetry.fetched(set);
            }
            let result = fetched.map(|set| parts.codec.value(set));
            Some(Input::Fetched { duty, result })
        });
    }

    /// S3: in the log before on the wire. A vote that cannot be logged is not cast.
    fn send_consensus(
        &mut self,
        to: Recipients,
        draft: ConsensusDraft,
        inputs: &mut VecDeque<Input>,
    ) {
        let duty = draft.duty;
        let sealed = match self
            .parts
            .codec
            .seal(draft, self.parts.me, &self.parts.identity)
        {
            Ok(sealed) => sealed,
            Err(error) => {
                return warn!(%duty, %error, "an own consensus message could not be encoded");
            }
        };
        match to {
            Recipients::All => {
                if self.log(duty, &votes::sent(&sealed)) {
                    self.broadcast(Protocol::Qbft, &sealed.bytes);
                    inputs.push_back(Input::Consensus(sealed.message));
                }
            }
            Recipients::One(peer) => self.parts.network.send(peer, Protocol::Qbft, sealed.bytes),
        }
    }

    fn log(&mut self, duty: Duty, record: &[u8]) -> bool {
        let deadline = self.parts.chain.deadline(duty).unwrap_or(Timestamp::MAX);
        match self.votes.append(self.parts.clock.now(), deadline, record) {
            Ok(()) => true,
            Err(error) => {
                warn!(%duty, %error, "the vote log cannot be written; the vote is not cast");
                false
            }
        }
    }

    fn broadcast(&self, protocol: Protocol, bytes: &Bytes) {
        let peers = (0..self.parts.codec.nodes()).filter(|&peer| peer != self.parts.me.get());
        peers.for_each(|peer| self.parts.network.send(peer, protocol, bytes.clone()));
    }
}

/// Turns a peer's bytes into something to believe, on a worker thread; what is wrong is counted against the peer.
async fn check(
    parts: Arc<Parts>,
    from: PeerIndex,
    protocol: Protocol,
    bytes: Bytes,
) -> Option<Input> {
    let job = Arc::clone(&parts);
    let decoded = parts.workers.run(move || {
        let now = job.clock.now();
        match protocol {
            Protocol::Qbft => job
                .codec
                .decode(&bytes, now, &job.chain)
                .map(Input::Consensus),
            _ => signatures::decode(&bytes, from, &job.members, HANDLED_KINDS, &job.chain, now)
                .map(|set| Input::Partials { from, set }),
        }
    });
    match decoded.await {
        Ok(Ok(input)) => {
            if let Input::Partials { from, set } = &input {
                let offset = parts.chain.timer_start(set.duty);
                let after_offset = parts.clock.now().saturating_since(offset);
                parts.telemetry.partials(*from, set, after_offset);
            }
            Some(input)
        }
        Ok(Err(reject)) => {
            debug!(peer = from.get(), ?protocol, %reject, "message dropped");
            parts.telemetry.malformed(from, reject.label());
            None
        }
        Err(error) => {
            warn!(%error, "a received message was not checked");
            None
        }
    }
}
