//! Keeps the schedule: reads ahead at the start of each slot, and again on heads that say so.
//!
//! This one task writes, every other waits for what it needs. Lists are replaced whole.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    AttesterDuty, Epoch, ProposerDuty, PublicKeyBytes, Root, Slot, SyncCommitteeDuty, Timestamp,
    ValidatorIndex,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::{now, sleep_until};
use super::context::Context;
use super::events::Head;
use super::http::HttpError;
use super::prepare;
use super::report::Kind;
use super::schedule::Duties;

#[derive(Deserialize)]
struct Answer<T> {
    #[serde(default)]
    dependent_root: Root,
    data: Vec<T>,
}

/// Writes the schedule until told to stop.
pub(super) struct Keeper {
    context: Arc<Context>,
    duties: watch::Sender<Duties>,
}

impl Keeper {
    /// A keeper of an empty schedule.
    pub(super) fn new(context: Arc<Context>, duties: watch::Sender<Duties>) -> Self {
        Self { context, duties }
    }

    /// Reads ahead at the start of each slot, and again on heads that say so.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut heads = self.context.heads.clone();
        let mut first_look = true;
        loop {
            let slot = self.context.slot();
            let complete = self.look(slot, first_look).await;
            first_look = false;
            let next = self.next_look(slot, complete);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = sleep_until(next) => break,
                    Ok(()) = heads.changed() => {
                        let head = *heads.borrow_and_update();
                        if let Some(head) = head {
                            self.compare(&head).await;
                        }
                    }
                }
            }
        }
    }

    /// The start of the next slot, or sooner when something is missing.
    fn next_look(&self, slot: Option<Slot>, complete: bool) -> Timestamp {
        let chain = &self.context.chain;
        let next = slot.map_or(chain.genesis_time, |slot| {
            chain.slot_start(Slot(slot.0 + 1))
        });
        match complete {
            true => next,
            false => next.min(now() + chain.spec.slot_duration / 4),
        }
    }

    /// Reads what is missing for this epoch and the next, and at an epoch's start all of it; says whether nothing is
    /// missing any more.
    async fn look(&self, slot: Option<Slot>, first_look: bool) -> bool {
        let chain = &self.context.chain;
        let slot_now = slot.unwrap_or_default();
        let epoch = chain.epoch_of(slot_now);
        let begins = first_look || (slot.is_some() && chain.first_slot(epoch) == slot_now);
        self.update(|duties| duties.forget_before(epoch));
        // First of all, and without waiting for anything else: a block may be due now.
        if begins && !first_look {
            self.read_proposers(epoch).await;
        }
        if begins || self.duties.borrow().validators.is_empty() {
            self.read_validators().await;
        }
        if self.duties.borrow().validators.is_empty() {
            return false;
        }
        if !self.duties.borrow().has_proposers(epoch) {
            self.read_proposers(epoch).await;
        }
        let next = Epoch(epoch.0 + 1);
        self.read_committees(epoch, begins).await;
        self.read_committees(next, false).await;
        if begins {
            prepare::prepare(&self.context).await;
        }
        let duties = self.duties.borrow();
        let known = |epoch| duties.has_attesters(epoch) && duties.has_sync(epoch);
        duties.has_proposers(epoch) && known(epoch) && known(next)
    }

    /// Reads an epoch's attesters and sync committee members, if they are missing or to be read again.
    async fn read_committees(&self, epoch: Epoch, again: bool) {
        let no_attesters = !self.duties.borrow().has_attesters(epoch);
        let no_sync = !self.duties.borrow().has_sync(epoch);
        let attesters = async {
            if again || no_attesters {
                self.read_attesters(epoch).await;
            }
        };
        let sync = async {
            if again || no_sync {
                self.read_sync(epoch).await;
            }
        };
        tokio::join!(attesters, sync);
        if no_attesters || no_sync {
            prepare::subscribe(&self.context, epoch).await;
        }
    }

    /// Reads again what a new head makes doubtful.
    async fn compare(&self, head: &Head) {
        let epoch = self.context.chain.epoch_of(head.slot);
        let mut doubtful = (Vec::new(), Vec::new());
        self.update(|duties| doubtful = duties.doubtful(epoch, head));
        let (attesters, proposers) = doubtful;
        for epoch in proposers {
            self.read_proposers(epoch).await;
        }
        for epoch in attesters {
            self.read_attesters(epoch).await;
            prepare::subscribe(&self.context, epoch).await;
        }
    }

    async fn read_validators(&self) {
        #[derive(Deserialize)]
        struct Validator {
            pubkey: PublicKeyBytes,
        }
        #[derive(Deserialize)]
        struct Entry {
            index: ValidatorIndex,
            status: String,
            validator: Validator,
        }
        let keys = &self.context.keys;
        let ids: Vec<_> = keys.keys().collect();
        let path = "/eth/v1/beacon/states/head/validators";
        let answer = self
            .ask::<Entry>(path, &serde_json::json!({ "ids": ids }))
            .await;
        let Some(answer) = answer else { return };
        let active = answer.data.into_iter().filter(|entry| {
            entry.status.starts_with("active") && keys.contains_key(&entry.validator.pubkey)
        });
        let validators = active.map(|entry| (entry.index, entry.validator.pubkey));
        let validators = Arc::new(validators.collect());
        self.duties
            .send_modify(|duties| duties.validators = validators);
    }

    async fn read_attesters(&self, epoch: Epoch) {
        let path = format!("/eth/v1/validator/duties/attester/{epoch}");
        if let Some(answer) = self.ask::<AttesterDuty>(&path, &self.indices()).await {
            let root = answer.dependent_root;
            self.duties
                .send_modify(|duties| duties.set_attesters(epoch, root, answer.data));
        }
    }

    async fn read_proposers(&self, epoch: Epoch) {
        let path = format!("/eth/v1/validator/duties/proposer/{epoch}");
        let answer = self.context.http.get(&path, self.limit()).await;
        if let Some(answer) = self.counted::<ProposerDuty>(answer) {
            self.duties
                .send_modify(|duties| duties.set_proposers(epoch, answer.data));
        }
    }

    async fn read_sync(&self, epoch: Epoch) {
        let path = format!("/eth/v1/validator/duties/sync/{epoch}");
        if let Some(answer) = self.ask::<SyncCommitteeDuty>(&path, &self.indices()).await {
            self.duties
                .send_modify(|duties| duties.set_sync(epoch, answer.data));
        }
    }

    /// Changes what nobody waits for.
    fn update(&self, change: impl FnOnce(&mut Duties)) {
        self.duties.send_if_modified(|duties| {
            change(duties);
            false
        });
    }

    fn indices(&self) -> Vec<ValidatorIndex> {
        self.duties.borrow().validators.keys().copied().collect()
    }

    fn limit(&self) -> Duration {
        self.context.chain.spec.slot_duration
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Option<Answer<T>> {
        let answer = self.context.http.ask(path, body, self.limit()).await;
        self.counted(answer)
    }

    fn counted<T>(&self, answer: Result<Answer<T>, HttpError>) -> Option<Answer<T>> {
        let counts = &self.context.counts;
        match answer {
            Ok(answer) => {
                counts.done(Kind::Duties, 1);
                Some(answer)
            }
            Err(error) => {
                counts.failed(Kind::Duties, self.context.slot(), 1, &error);
                None
            }
        }
    }
}
