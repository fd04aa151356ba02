//! Which validators there are and what they have to do: read ahead, and again when the chain turns out differently.
//!
//! One task writes, every other waits for what it needs. Lists are replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    AttesterDuty, Epoch, ProposerDuty, PublicKeyBytes, Root, Slot, SyncCommitteeDuty,
    ValidatorIndex,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::clock::{now, sleep_until};
use super::context::Context;
use super::events::Head;
use super::http::HttpError;
use super::prepare;
use super::report::Kind;

/// Lists of an epoch are kept until this many epochs later.
const EPOCHS_KEPT: u64 = 2;

/// Duties of an epoch with what they depend on.
#[derive(Clone, Debug, Default)]
struct Attesters {
    dependent_root: Root,
    duties: Arc<Vec<AttesterDuty>>,
}

/// All that is known of validators and duties.
#[derive(Clone, Debug, Default)]
pub(super) struct Duties {
    /// Own validators that are active, with the keys they are called by here: shares' keys behind a middleware.
    pub(super) validators: Arc<BTreeMap<ValidatorIndex, PublicKeyBytes>>,
    attesters: BTreeMap<Epoch, Attesters>,
    proposers: BTreeMap<Epoch, Arc<Vec<ProposerDuty>>>,
    sync: BTreeMap<Epoch, Arc<Vec<SyncCommitteeDuty>>>,
    /// What the newest head says that duties of its epoch depend on.
    roots: BTreeMap<Epoch, (Root, Root)>,
}

impl Duties {
    /// Own attesters of a slot; `None` while they are not known.
    pub(super) fn attesters(&self, epoch: Epoch, slot: Slot) -> Option<Vec<AttesterDuty>> {
        let duties = &self.attesters.get(&epoch)?.duties;
        Some(
            duties
                .iter()
                .filter(|duty| duty.slot == slot)
                .copied()
                .collect(),
        )
    }

    /// All own attesters of an epoch; `None` while they are not known.
    pub(super) fn attesters_of(&self, epoch: Epoch) -> Option<Arc<Vec<AttesterDuty>>> {
        let attesters = self.attesters.get(&epoch)?;
        Some(Arc::clone(&attesters.duties))
    }

    /// The own proposers of a slot, one at most; `None` while they are not known.
    pub(super) fn proposers(&self, epoch: Epoch, slot: Slot) -> Option<Vec<ProposerDuty>> {
        let duties = self.proposers.get(&epoch)?;
        Some(
            duties
                .iter()
                .filter(|duty| duty.slot == slot)
                .copied()
                .collect(),
        )
    }

    /// Own members of the sync committee of an epoch; `None` while they are not known.
    pub(super) fn sync(&self, epoch: Epoch) -> Option<Arc<Vec<SyncCommitteeDuty>>> {
        self.sync.get(&epoch).cloned()
    }

    fn forget_before(&mut self, epoch: Epoch) {
        let first = Epoch(epoch.0.saturating_sub(EPOCHS_KEPT));
        self.attesters = self.attesters.split_off(&first);
        self.proposers = self.proposers.split_off(&first);
        self.sync = self.sync.split_off(&first);
        self.roots = self.roots.split_off(&first);
    }

    /// Which attesters and proposers a new head makes doubtful: those that depend on another block than it says. Read
    /// again, they are taken for good until a head says something new, whatever the node says they depend on.
    fn doubtful(&mut self, epoch: Epoch, head: &Head) -> (Vec<Epoch>, Vec<Epoch>) {
        let roots = (
            head.previous_duty_dependent_root,
            head.current_duty_dependent_root,
        );
        let before = self.roots.insert(epoch, roots);
        if before == Some(roots) {
            return (Vec::new(), Vec::new());
        }
        let next = Epoch(epoch.0 + 1);
        let stale = |epoch: &Epoch, root: Root| {
            let attesters = self.attesters.get(epoch);
            attesters.is_some_and(|attesters| attesters.dependent_root != root)
        };
        let mut attesters = Vec::new();
        attesters.extend(stale(&epoch, roots.0).then_some(epoch));
        attesters.extend(stale(&next, roots.1).then_some(next));
        // The answer's own root is no help here: forks define it differently.
        let moved = before.is_some() && self.proposers.contains_key(&epoch);
        (attesters, moved.then_some(epoch).into_iter().collect())
    }
}

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
    fn next_look(&self, slot: Option<Slot>, complete: bool) -> flotilla_types::Timestamp {
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
        if !self.duties.borrow().proposers.contains_key(&epoch) {
            self.read_proposers(epoch).await;
        }
        let next = Epoch(epoch.0 + 1);
        self.read_committees(epoch, begins).await;
        self.read_committees(next, false).await;
        if begins {
            prepare::prepare(&self.context).await;
        }
        let duties = self.duties.borrow();
        let known = |epoch| duties.attesters.contains_key(epoch) && duties.sync.contains_key(epoch);
        duties.proposers.contains_key(&epoch) && known(&epoch) && known(&next)
    }

    /// Reads an epoch's attesters and sync committee members, if they are missing or to be read again.
    async fn read_committees(&self, epoch: Epoch, again: bool) {
        let no_attesters = !self.duties.borrow().attesters.contains_key(&epoch);
        let no_sync = !self.duties.borrow().sync.contains_key(&epoch);
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
        let Some(mut answer) = self.ask::<AttesterDuty>(&path, &self.indices()).await else {
            return;
        };
        let own = self.own();
        answer
            .data
            .retain(|duty| own.contains(&duty.validator_index));
        let attesters = Attesters {
            dependent_root: answer.dependent_root,
            duties: Arc::new(answer.data),
        };
        self.duties.send_modify(|duties| {
            duties.attesters.insert(epoch, attesters);
        });
    }

    async fn read_proposers(&self, epoch: Epoch) {
        let path = format!("/eth/v1/validator/duties/proposer/{epoch}");
        let answer = self.context.http.get(&path, self.limit()).await;
        let Some(mut answer) = self.counted::<ProposerDuty>(answer) else {
            return;
        };
        let own = self.own();
        answer
            .data
            .retain(|duty| own.contains(&duty.validator_index));
        self.duties.send_modify(|duties| {
            duties.proposers.insert(epoch, Arc::new(answer.data));
        });
    }

    async fn read_sync(&self, epoch: Epoch) {
        let path = format!("/eth/v1/validator/duties/sync/{epoch}");
        let Some(mut answer) = self.ask::<SyncCommitteeDuty>(&path, &self.indices()).await else {
            return;
        };
        let own = self.own();
        answer
            .data
            .retain(|duty| own.contains(&duty.validator_index));
        self.duties.send_modify(|duties| {
            duties.sync.insert(epoch, Arc::new(answer.data));
        });
    }

    /// Changes what nobody waits for.
    fn update(&self, change: impl FnOnce(&mut Duties)) {
        self.duties.send_if_modified(|duties| {
            change(duties);
            false
        });
    }

    fn own(&self) -> BTreeSet<ValidatorIndex> {
        self.duties.borrow().validators.keys().copied().collect()
    }

    fn indices(&self) -> Vec<ValidatorIndex> {
        self.own().into_iter().collect()
    }

    fn limit(&self) -> Duration {
        self.context.chain.spec.slot_duration
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
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

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(4);
    const NEXT: Epoch = Epoch(5);

    fn head(previous: u8, current: u8) -> Head {
        Head {
            slot: Slot(33),
            previous_duty_dependent_root: Root([previous; 32]),
            current_duty_dependent_root: Root([current; 32]),
        }
    }

    /// Both epochs known, this one's attesters depending on block 1 and the next one's on block 2.
    fn known() -> Duties {
        let attesters = |root| Attesters {
            dependent_root: Root([root; 32]),
            duties: Arc::default(),
        };
        Duties {
            attesters: BTreeMap::from([(EPOCH, attesters(1)), (NEXT, attesters(2))]),
            proposers: BTreeMap::from([(EPOCH, Arc::default())]),
            ..Duties::default()
        }
    }

    #[test]
    fn a_head_that_agrees_makes_nothing_doubtful() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 2)), (vec![], vec![]));
    }

    #[test]
    fn attesters_of_another_dependent_root_are_doubtful() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(9, 2)).0, [EPOCH]);
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 9)).0, [NEXT]);
    }

    #[test]
    fn the_same_doubt_is_raised_once() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(9, 9)).0, [EPOCH, NEXT]);
        assert_eq!(duties.doubtful(EPOCH, &head(9, 9)), (vec![], vec![]));
    }

    #[test]
    fn proposers_are_doubtful_when_the_roots_move() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 2)).1, []);
        assert_eq!(duties.doubtful(EPOCH, &head(1, 3)).1, [EPOCH]);
    }

    #[test]
    fn old_epochs_are_forgotten() {
        let mut duties = known();
        duties.forget_before(Epoch(7));
        assert!(duties.attesters_of(EPOCH).is_none());
        assert!(duties.attesters_of(NEXT).is_some());
    }
}
