//! The chain at work: its rules, the wall clock, and worker threads for signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_crypto::{PublicKey, SecretKey};
use flotilla_types::{
    Chain, DutyKind, Epoch, Proposal, PublicKeyBytes, Root, Slot, Timestamp, ValidatorIndex,
};
use tokio::sync::broadcast;

use super::{
    Arrival, Block, BlockRequest, Claim, EpochDuties, Fault, History, Judgement, Kitchen,
    MakeError, Maker, Part, Registry, Seed, Selections, Submission, Totals, Verdict, Verifier,
    World,
};

/// Events a slow listener may lag behind before it loses the oldest.
const EVENTS: usize = 256;
/// Between looks at the clock, at most: a proposal may close a slot before its time.
const LOOK: Duration = Duration::from_millis(200);

/// What a chain is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Times, forks, domains and sizes.
    pub chain: Chain,
    /// Everything random follows from it.
    pub seed: Seed,
    /// The group public keys of the cluster's validators.
    pub validators: Vec<PublicKeyBytes>,
}

/// What a chain may be given besides.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The group secret keys of those that are known, by which the chain knows who should have aggregated; see
    /// [`Selections`].
    pub secrets: Vec<Arc<SecretKey>>,
    /// Whether there is a block builder, for validators that are registered with it.
    pub builder: bool,
}

/// Something that listeners are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The slot's block has become the head.
    Head(Slot),
    /// A validator's exit was accepted.
    Exit(flotilla_types::SignedVoluntaryExit),
}

/// One chain, seen through any number of beacon nodes.
#[derive(Debug)]
pub struct Simulator {
    chain: Arc<Chain>,
    registry: Arc<Registry>,
    kitchen: Kitchen,
    builder: bool,
    verifier: Verifier,
    events: broadcast::Sender<Event>,
    world: Mutex<World>,
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

impl Simulator {
    /// Starts a chain without builder, and without knowledge of keys. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first of `validators` that is no valid BLS public key.
    pub fn start(config: Config) -> Result<Arc<Self>, PublicKeyBytes> {
        Self::start_with(config, Extras::default())
    }

    /// Starts a chain. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(config: Config, extras: Extras) -> Result<Arc<Self>, PublicKeyBytes> {
        let chain = Arc::new(config.chain);
        let spec = &chain.spec;
        let registry = Arc::new(Registry::new(
            config.seed,
            &config.validators,
            spec.slots_per_epoch,
            spec.sizes.max_committees_per_slot,
        ));
        let parse = |(index, key): (ValidatorIndex, PublicKeyBytes)| {
            PublicKey::from_bytes(&key.0)
                .map(|parsed| (index, parsed))
                .map_err(|_| key)
        };
        let keys = registry
            .members()
            .map(parse)
            .collect::<Result<BTreeMap<_, _>, _>>()?;
        let kitchen = Kitchen {
            seed: config.seed,
            sizes: spec.sizes,
        };
        let selections = selections(&registry, extras.secrets);
        let history = History::new(chain.clone(), config.seed);
        let world = World::new(history, registry.clone(), kitchen, selections);
        let simulator = Arc::new(Simulator {
            chain,
            registry,
            kitchen,
            builder: extras.builder,
            verifier: Verifier::start(keys),
            events: broadcast::Sender::new(EVENTS),
            world: Mutex::new(world),
        });
        tokio::spawn(keep_time(Arc::downgrade(&simulator)));
        Ok(simulator)
    }

    /// Times, forks and domains.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The cluster's validators.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The slot of the clock; slot 0 before genesis.
    pub fn current_slot(&self) -> Slot {
        self.chain.slot_at(now()).unwrap_or_default()
    }

    /// Events from now on.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The state as of now. Not to be held for long: everything waits for it.
    ///
    /// # Panics
    /// A thread panicked while it held the state.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self
            .world
            .lock()
            .expect("no code panics while it holds the state");
        for slot in world.advance(now()) {
            self.tell(Event::Head(slot));
        }
        world
    }

    fn tell(&self, event: Event) {
        // Without listeners there is nobody to tell.
        let _ = self.events.send(event);
    }

    /// The newest block.
    pub fn head(&self) -> Block {
        self.world().history().head().clone()
    }

    /// Slot and root of the newest block.
    pub fn head_root(&self) -> (Slot, Root) {
        let head = self.head();
        (head.header.slot, head.root)
    }

    /// The attester duties of the cluster's validators in an epoch.
    pub fn duties(&self, epoch: Epoch) -> Arc<EpochDuties> {
        self.world().duties(epoch)
    }

    /// Checks and books what was brought to an endpoint.
    pub async fn submit<S: Submission>(&self, arrival: Arrival, items: &[S]) -> Vec<Judgement> {
        let prepared: Vec<_> = {
            let mut world = self.world();
            items
                .iter()
                .map(|item| world.claims(item, arrival.at))
                .collect()
        };
        let verdicts = self.verdicts(prepared).await;
        let mut world = self.world();
        let head = world.history().head().header.slot;
        let now = now();
        let judgements = items
            .iter()
            .zip(verdicts)
            .map(|(item, verdict)| world.book(item, now, arrival, verdict))
            .collect();
        let new = world.history().head().header.slot;
        drop(world);
        if new > head {
            self.tell(Event::Head(new));
        }
        judgements
    }

    async fn verdicts(&self, prepared: Vec<Result<Vec<(Claim, Fault)>, Fault>>) -> Vec<Verdict> {
        let claims: Vec<Claim> = prepared
            .iter()
            .flatten()
            .flatten()
            .map(|(claim, _)| claim.clone())
            .collect();
        let mut valid = self.verifier.check(claims).await.into_iter();
        let verdict = |claims: Result<Vec<(Claim, Fault)>, Fault>| match claims {
            Err(fault) => Verdict {
                witnessed: false,
                fault: Some(fault),
            },
            Ok(claims) => {
                let held: Vec<bool> = valid.by_ref().take(claims.len()).collect();
                let failed = claims.iter().zip(&held).find(|(_, held)| !**held);
                Verdict {
                    witnessed: held.first().copied().unwrap_or(false),
                    fault: failed.map(|((_, fault), _)| *fault),
                }
            }
        };
        prepared.into_iter().map(verdict).collect()
    }

    /// Checks and books voluntary exits, and tells listeners of those that were accepted.
    pub async fn submit_exit(
        &self,
        arrival: Arrival,
        exit: flotilla_types::SignedVoluntaryExit,
    ) -> Judgement {
        let judgements = self.submit(arrival, &[exit]).await;
        let judgement = judgements.first().copied().unwrap_or(Judgement::Duplicate);
        if matches!(judgement, Judgement::Included | Judgement::Late) {
            self.tell(Event::Exit(exit));
        }
        judgement
    }

    /// Makes a block for a proposer of the cluster: blinded if the builder is asked and knows the validator.
    ///
    /// # Errors
    /// There is no block to be made, or the reveal is not the proposer's.
    pub async fn make_block(
        &self,
        arrival: Arrival,
        request: BlockRequest,
    ) -> Result<Proposal, MakeError> {
        let request = BlockRequest {
            builder: request.builder && self.builder,
            ..request
        };
        let made = self.world().ingredients(&request, arrival.at);
        let (ingredients, claim) = made?;
        if self.verifier.check(vec![claim]).await != [true] {
            self.reject(DutyKind::Randao, Fault::BadRandao.label());
            return Err(MakeError::BadRandao);
        }
        self.world()
            .revealed(ingredients.proposer, ingredients.slot, arrival);
        match ingredients.maker {
            Maker::Local => Ok(self.kitchen.full(&ingredients)?),
            Maker::Builder => Ok(self.kitchen.blinded(&ingredients)?),
        }
    }

    /// Books a submission that was refused before it could be judged.
    pub fn reject(&self, kind: DutyKind, fault: &'static str) {
        self.world().reject(kind, fault);
    }

    /// The attester duties of a recent slot, each with its first valid arrival.
    pub fn results(&self, slot: Slot) -> BTreeMap<ValidatorIndex, Option<Arrival>> {
        let results = self.results_of(DutyKind::Attester, slot);
        let mut by_validator = BTreeMap::new();
        for ((validator, _), arrival) in results {
            by_validator.insert(validator, arrival);
        }
        by_validator
    }

    /// Until when something counts as in time.
    pub fn deadline(&self, kind: DutyKind, slot: Slot) -> Timestamp {
        self.world().history().deadline(kind, slot)
    }

    /// The duties of a kind in a recent slot, each with its first valid arrival.
    pub fn results_of(&self, kind: DutyKind, slot: Slot) -> Vec<(Part, Option<Arrival>)> {
        self.world().results(kind, slot)
    }

    /// Counts over the whole run.
    pub fn totals(&self) -> Totals {
        self.world().totals()
    }
}

fn selections(registry: &Registry, secrets: Vec<Arc<SecretKey>>) -> Selections {
    let index = |secret: Arc<SecretKey>| {
        let key = PublicKeyBytes(secret.public_key().to_bytes());
        Some((registry.index(&key)?, secret))
    };
    Selections::new(secrets.into_iter().filter_map(index).collect())
}

/// Lets strangers' blocks be seen when it is time, for as long as anybody uses the chain.
async fn keep_time(simulator: Weak<Simulator>) {
    loop {
        let wait = match simulator.upgrade() {
            None => return,
            Some(simulator) => simulator.world().next_seen_at().saturating_since(now()),
        };
        tokio::time::sleep(wait.clamp(Duration::from_millis(1), LOOK)).await;
    }
}
