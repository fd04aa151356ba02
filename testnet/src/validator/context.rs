//! What every duty needs: the chain, the node, the keys, the counts, and the ways to wait.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    BitsError, Chain, DecodeError, Domain, DomainType, Duty, DutyKind, Epoch, ExecutionAddress,
    Fork, Root, SignatureBytes, SizeError, Slot, Timestamp, ValidatorIndex, signing_root,
};
use tokio::sync::watch;

use super::clock::{left_until, now, sleep_until};
use super::events::Head;
use super::guard::{Guard, Slashable};
use super::http::{Http, HttpError};
use super::keys::Keys;
use super::report::{Counts, Kind};
use super::schedule::Duties;

/// A duty, or part of one, that was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Size(#[from] SizeError),
    #[error(transparent)]
    Bits(#[from] BitsError),
    #[error(transparent)]
    Slashable(#[from] Slashable),
    #[error("the answer names no fork that is known")]
    NoFork,
    #[error("{what} of slot {got} instead of {expected}")]
    WrongSlot {
        what: &'static str,
        expected: Slot,
        got: Slot,
    },
    #[error("no duties of epoch {0} were to be had in time")]
    NoDuties(Epoch),
    #[error("no key of validator {0}")]
    NoKey(ValidatorIndex),
    #[error("the node combined {got} of {sent} selection proofs")]
    Selections { sent: usize, got: usize },
}

/// Shared by all tasks of a client.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) http: Http,
    pub(super) chain: Chain,
    pub(super) keys: Keys,
    pub(super) counts: Counts,
    pub(super) guard: Guard,
    pub(super) duties: watch::Receiver<Duties>,
    pub(super) heads: watch::Receiver<Option<Head>>,
    /// Whether the node combines selection proofs.
    pub(super) distributed: bool,
    /// Whether to register with builders and take their blocks.
    pub(super) builder: bool,
    /// When to leave.
    pub(super) exit_epoch: Option<Epoch>,
    /// Who receives the fees.
    pub(super) fee_recipient: ExecutionAddress,
}

impl Context {
    /// The slot running now; `None` before genesis.
    pub(super) fn slot(&self) -> Option<Slot> {
        self.chain.slot_at(now())
    }

    /// How long there is until genesis.
    pub(super) fn until_genesis(&self) -> Duration {
        self.chain.genesis_time.saturating_since(now())
    }

    /// The fork of a slot.
    pub(super) fn fork(&self, slot: Slot) -> Fork {
        self.chain.fork_at(self.chain.epoch_of(slot))
    }

    /// After when work of a slot is given up: half a slot into the next one.
    pub(super) fn deadline(&self, slot: Slot) -> Timestamp {
        self.chain.slot_start(Slot(slot.0 + 1)) + self.chain.spec.slot_duration / 2
    }

    /// How long a request for a slot may take from now on.
    pub(super) fn limit(&self, slot: Slot) -> Duration {
        left_until(self.deadline(slot))
    }

    /// Waits for a kind's due point in a slot.
    pub(super) async fn due(&self, slot: Slot, kind: DutyKind) {
        sleep_until(self.chain.due(Duty { slot, kind })).await;
    }

    /// Waits for a kind's due point, or for the slot's block if that comes first.
    pub(super) async fn due_or_head(&self, slot: Slot, kind: DutyKind) {
        let mut heads = self.heads.clone();
        let head = heads.wait_for(|head| head.is_some_and(|head| head.slot >= slot));
        tokio::select! {
            () = self.due(slot, kind) => {}
            // Without a stream of events the due point decides.
            Ok(_) = head => {}
        }
    }

    /// What the schedule says, once it says anything; `None` and a failure of the kind when that takes too long.
    pub(super) async fn scheduled<T>(
        &self,
        slot: Slot,
        kind: Kind,
        find: impl Fn(&Duties) -> Option<T>,
    ) -> Option<T> {
        let mut duties = self.duties.clone();
        let limit = self.limit(slot);
        let known = tokio::time::timeout(limit, duties.wait_for(|duties| find(duties).is_some()));
        let found = match known.await {
            Ok(Ok(duties)) => find(&duties),
            _ => None,
        };
        if found.is_none() {
            let why = Failure::NoDuties(self.chain.epoch_of(slot));
            self.counts.failed(kind, Some(slot), 1, &why);
        }
        found
    }

    /// Counts the end of a request with so many items.
    pub(super) fn count(&self, kind: Kind, slot: Slot, items: u64, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.counts.done(kind, items),
            Err(why) => {
                let failed = match &why {
                    Failure::Http(error) => error.refused_of(items),
                    _ => items,
                };
                self.counts.done(kind, items - failed);
                self.counts.failed(kind, Some(slot), failed, &why);
            }
        }
    }

    /// What is to be signed for an object in a slot.
    pub(super) fn signing_root(&self, object: Root, slot: Slot, domain: DomainType) -> Root {
        signing_root(object, self.domain(slot, domain))
    }

    fn domain(&self, slot: Slot, domain: DomainType) -> Domain {
        self.chain.domain(domain, self.chain.epoch_of(slot))
    }

    /// Signs for one validator.
    pub(super) async fn sign(
        self: &Arc<Self>,
        validator: ValidatorIndex,
        root: Root,
    ) -> Result<SignatureBytes, Failure> {
        let signed = self.sign_all(vec![((), validator, root)]).await;
        let first = signed.into_iter().next();
        first
            .map(|((), signature)| signature)
            .ok_or(Failure::NoKey(validator))
    }

    /// Signs for many, away from the tasks that wait. What no key is known for is left out.
    pub(super) async fn sign_all<T: Send + 'static>(
        self: &Arc<Self>,
        items: Vec<(T, ValidatorIndex, Root)>,
    ) -> Vec<(T, SignatureBytes)> {
        let context = Arc::clone(self);
        let validators = Arc::clone(&self.duties.borrow().validators);
        let signed = tokio::task::spawn_blocking(move || {
            let sign = |(item, validator, root): (T, ValidatorIndex, Root)| {
                let secret = context.keys.get(validators.get(&validator)?)?;
                Some((item, SignatureBytes(secret.sign(&root.0).to_bytes())))
            };
            items.into_iter().filter_map(sign).collect()
        });
        // Signing does not panic, and only the end of the runtime cancels it.
        signed.await.unwrap_or_default()
    }
}
