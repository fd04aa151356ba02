//! The chain at work: its rules, the wall clock, and worker threads for signatures.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use flotilla_crypto::PublicKey;
use flotilla_types::{
    AttestationData, Chain, DomainType, Epoch, PublicKeyBytes, Root, SingleAttestation, Slot,
    Timestamp, ValidatorIndex, signing_root,
};

use super::{
    Arrival, Claim, EpochDuties, Fault, History, Judge, Judgement, Registry, Seed, Totals, Verifier,
};

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

/// One chain, seen through any number of beacon nodes.
#[derive(Debug)]
pub struct Simulator {
    history: History,
    registry: Arc<Registry>,
    verifier: Verifier,
    judge: Mutex<Judge>,
}

/// The wall clock.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_nanos(u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
}

impl Simulator {
    /// Starts a chain. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The first of `validators` that is no valid BLS public key.
    pub fn start(config: Config) -> Result<Arc<Self>, PublicKeyBytes> {
        let chain = Arc::new(config.chain);
        let history = History::new(chain.clone(), config.seed);
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
        let judge = Mutex::new(Judge::new(history.clone(), registry.clone()));
        Ok(Arc::new(Simulator {
            history,
            registry,
            verifier: Verifier::start(keys),
            judge,
        }))
    }

    /// Blocks and when they are seen.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Times, forks and domains.
    pub fn chain(&self) -> &Chain {
        self.history.chain()
    }

    /// The cluster's validators.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The slot of the wall clock; slot 0 before genesis.
    pub fn current_slot(&self) -> Slot {
        self.chain().slot_at(now()).unwrap_or(Slot(0))
    }

    /// The attester duties of the cluster's validators.
    pub fn duties(&self, epoch: Epoch) -> Arc<EpochDuties> {
        self.judge().duties(epoch)
    }

    /// What a beacon node answers at `now` to the question for attestation data of `slot`.
    ///
    /// # Errors
    /// The slot has not begun, or is so old that no attestation for it can be included.
    pub fn attestation_data(&self, now: Timestamp, slot: Slot) -> Result<AttestationData, Fault> {
        let current = self.chain().slot_at(now).ok_or(Fault::TooEarly(slot.0))?;
        if slot > current {
            return Err(Fault::TooEarly(slot.0));
        }
        let oldest_epoch = Epoch(self.chain().epoch_of(current).0.saturating_sub(1));
        if slot < self.chain().first_slot(oldest_epoch) {
            return Err(Fault::TooOld(slot.0));
        }
        Ok(self
            .history
            .attestation_data(slot, self.history.head_at(now)))
    }

    /// Checks and books what was brought to an endpoint.
    pub async fn submit(
        &self,
        arrival: Arrival,
        attestations: &[SingleAttestation],
    ) -> Vec<Judgement> {
        let claims = attestations
            .iter()
            .map(|attestation| self.claim(attestation))
            .collect();
        let valid = self.verifier.check(claims).await;
        let mut judge = self.judge();
        attestations
            .iter()
            .zip(valid)
            .map(|(attestation, valid)| judge.book(arrival, attestation, valid))
            .collect()
    }

    fn claim(&self, attestation: &SingleAttestation) -> Claim {
        let domain = self
            .chain()
            .domain(DomainType::BEACON_ATTESTER, attestation.data.target.epoch);
        Claim {
            signing_root: signing_root(attestation.data.tree_hash_root(), domain),
            validator: attestation.attester_index,
            signature: attestation.signature,
        }
    }

    /// Books a submission that was refused for other reasons than an attestation's.
    pub fn reject(&self, fault: &'static str) {
        self.judge().reject(fault);
    }

    /// The duties of a recent slot, each with its first valid arrival.
    pub fn results(&self, slot: Slot) -> BTreeMap<ValidatorIndex, Option<Arrival>> {
        self.judge().results(slot)
    }

    /// Counts over the whole run.
    pub fn totals(&self) -> Totals {
        self.judge().totals()
    }

    /// The root of the block at the head.
    pub fn head_root(&self) -> (Slot, Root) {
        let head = self.history.head_at(now());
        (head, self.history.block_root(head))
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge
            .lock()
            .expect("no code panics while it holds the judge")
    }
}
