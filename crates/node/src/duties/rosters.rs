//! Who has which duty in an epoch, and who our validators are on the chain.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use flotilla_beacon::client::{
    BeaconNode, CommitteeSubscription, QueryError, SyncCommitteeSubscription, Validator,
};
use flotilla_duty::Input;
use flotilla_duty::io::{Assignments, Item, Roster};
use flotilla_duty::schedule::HeadRoots;
use flotilla_types::{
    AttesterDuty, Chain, Epoch, ProposerDuty, PublicKeyBytes, Root, SignedData, Slot,
    SyncCommitteeDuty, ValidatorIndex,
};
use tokio::sync::Mutex;
use tracing::debug;

use super::own_votes::OwnVotes;
use super::synthetic::{self, Rehearsal};
use super::{failed, is_active_in};
use crate::telemetry::ClusterTelemetry;

/// Our validators as the chain knows them, asked for once an epoch.
#[derive(Debug)]
pub(crate) struct Members {
    keys: Vec<PublicKeyBytes>,
    known: Mutex<Option<(Epoch, Arc<Vec<Validator>>)>>,
    /// How many are active, as of the last answer.
    active: AtomicUsize,
}

impl Members {
    /// Of which nothing is known yet.
    pub fn new(keys: Vec<PublicKeyBytes>) -> Self {
        Self {
            keys,
            known: Mutex::new(None),
            active: AtomicUsize::new(0),
        }
    }

    /// How many are active, as of the last answer.
    pub fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// All that the chain knows, as of `epoch` or later.
    pub async fn of(
        &self,
        beacon: &BeaconNode,
        epoch: Epoch,
    ) -> Result<Arc<Vec<Validator>>, QueryError> {
        let mut known = self.known.lock().await;
        if let Some((of, validators)) = known.as_ref()
            && *of >= epoch
        {
            return Ok(Arc::clone(validators));
        }
        let validators = Arc::new(beacon.validators(&self.keys).await?);
        let active = validators
            .iter()
            .filter(|validator| is_active_in(validator, epoch));
        self.active.store(active.count(), Ordering::Relaxed);
        *known = Some((epoch, Arc::clone(&validators)));
        Ok(validators)
    }

    /// Those that have duties in `epoch`.
    pub async fn active_in(
        &self,
        beacon: &BeaconNode,
        epoch: Epoch,
    ) -> Result<Vec<Validator>, QueryError> {
        let validators = self.of(beacon, epoch).await?;
        Ok(validators
            .iter()
            .filter(|validator| is_active_in(validator, epoch))
            .cloned()
            .collect())
    }
}

/// One of the beacon node's lists of an epoch.
#[derive(Clone, Debug)]
pub(crate) struct List {
    /// The block that it depends on; zero for sync committees.
    pub dependent_root: Root,
    /// Whether the beacon node answered without having checked payloads.
    pub execution_optimistic: bool,
    /// Who has which duty.
    pub assignments: Assignments,
    /// The slots of proposals that are rehearsals.
    pub synthetic: BTreeSet<Slot>,
}

impl List {
    fn of(dependent_root: Root, execution_optimistic: bool, assignments: Assignments) -> Self {
        Self {
            dependent_root,
            execution_optimistic,
            assignments,
            synthetic: BTreeSet::new(),
        }
    }
}

/// The lists as last heard, for validator clients, which ask for them often. A list whose dependent root has changed is
/// forgotten, so that a reorg or a late block leaves none behind.
pub(crate) struct Rosters {
    /// Our validators.
    pub members: Members,
    telemetry: Option<ClusterTelemetry>,
    own_votes: OwnVotes,
    lists: std::sync::Mutex<BTreeMap<(Epoch, Roster), Arc<List>>>,
    chain: Arc<Chain>,
    rehearsal: Option<Rehearsal>,
}

/// Epochs whose lists are kept, the newest.
const EPOCHS_KEPT: u64 = 3;

impl Rosters {
    /// Of validators of which nothing is known yet. With a rehearsal, those without a real turn to propose have one that is
    /// not.
    pub fn new(keys: Vec<PublicKeyBytes>, chain: Arc<Chain>, rehearsal: Option<Rehearsal>) -> Self {
        Self {
            members: Members::new(keys),
            telemetry: None,
            own_votes: OwnVotes::default(),
            lists: std::sync::Mutex::default(),
            chain,
            rehearsal,
        }
    }

    /// What our validators have signed in the last slots.
    pub fn own_votes(&self) -> &OwnVotes {
        &self.own_votes
    }

    /// Counts what the lists answer and what moved heads make stale.
    pub fn counted_by(self, telemetry: ClusterTelemetry) -> Self {
        Self {
            telemetry: Some(telemetry),
            ..self
        }
    }

    /// What is rehearsed with, if proposals are rehearsed.
    pub fn rehearsal(&self) -> Option<&Rehearsal> {
        self.rehearsal.as_ref()
    }

    /// What to rehearse a proposal with, if it is no real one.
    pub async fn rehearsal_of(
        &self,
        beacon: &BeaconNode,
        proposer: &ProposerDuty,
    ) -> Result<Option<&Rehearsal>, QueryError> {
        let Some(rehearsal) = &self.rehearsal else {
            return Ok(None);
        };
        let epoch = self.chain.epoch_of(proposer.slot);
        let list = self.get(beacon, epoch, Roster::Proposers).await?;
        Ok(list.synthetic.contains(&proposer.slot).then_some(rehearsal))
    }

    /// Whether a submission is a rehearsal's; never without one.
    pub fn is_rehearsed(&self, items: &[(Item, SignedData)]) -> bool {
        self.rehearsal.is_some() && synthetic::is_synthetic(items)
    }

    /// A list as last heard, or asked for now.
    pub async fn get(
        &self,
        beacon: &BeaconNode,
        epoch: Epoch,
        roster: Roster,
    ) -> Result<Arc<List>, QueryError> {
        let known = self.lock().get(&(epoch, roster)).cloned();
        if let Some(telemetry) = &self.telemetry {
            telemetry.cached(label(roster), known.is_some());
        }
        match known {
            Some(list) => Ok(list),
            None => self.ask(beacon, epoch, roster).await,
        }
    }

    /// A list, asked for now.
    async fn ask(
        &self,
        beacon: &BeaconNode,
        epoch: Epoch,
        roster: Roster,
    ) -> Result<Arc<List>, QueryError> {
        let mut list = ask(beacon, &self.members, epoch, roster).await?;
        if let Assignments::Proposers(duties) = &mut list.assignments
            && self.rehearsal.is_some()
        {
            let active = self.members.active_in(beacon, epoch).await?;
            let more = synthetic::proposers(&self.chain, epoch, &active, duties);
            list.synthetic = more.iter().map(|duty| duty.slot).collect();
            duties.extend(more);
        }
        let list = Arc::new(list);
        let mut lists = self.lock();
        lists.insert((epoch, roster), Arc::clone(&list));
        lists.retain(|(kept, _), _| kept.0 + EPOCHS_KEPT > epoch.0);
        Ok(list)
    }

    /// The head moved: forgets what depends on another block (see [`Schedule`](flotilla_duty::schedule::Schedule::head)).
    pub fn head(&self, epoch: Epoch, previous: Root, current: Root) {
        let head = HeadRoots {
            epoch,
            previous,
            current,
        };
        self.lock().retain(|&(of, roster), list| {
            let stays = head.confirms(&self.chain, of, roster, list.dependent_root);
            if let Some(telemetry) = self.telemetry.as_ref().filter(|_| !stays) {
                telemetry.cache_dropped(label(roster), 1);
            }
            stays
        });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<(Epoch, Roster), Arc<List>>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The list's name in metrics (spec 30 §7.3).
const fn label(roster: Roster) -> &'static str {
    match roster {
        Roster::Attesters => "attester_duties",
        Roster::Proposers => "proposer_duties",
        Roster::SyncCommittee => "sync_committee_duties",
    }
}

/// A list of an epoch's duties. The beacon node is told of committees, so that it listens there, for those that the built-in
/// signer signs for; a validator client does that by itself.
pub(crate) async fn of_epoch(
    beacon: &BeaconNode,
    rosters: &Rosters,
    epoch: Epoch,
    roster: Roster,
    builtin: impl Fn(&PublicKeyBytes) -> bool,
) -> Input {
    match rosters.ask(beacon, epoch, roster).await {
        Ok(list) => {
            subscribe(beacon, epoch, &list.assignments, builtin).await;
            Input::Duties {
                epoch,
                dependent_root: list.dependent_root,
                assignments: list.assignments.clone(),
            }
        }
        Err(error) => {
            // Asked again soon; for the next epoch there is still time.
            debug!(%epoch, roster = label(roster), %error, "the beacon node did not give duties");
            Input::DutiesFailed {
                epoch,
                roster,
                error: failed(&error),
            }
        }
    }
}

async fn ask(
    beacon: &BeaconNode,
    members: &Members,
    epoch: Epoch,
    roster: Roster,
) -> Result<List, QueryError> {
    let active = members.active_in(beacon, epoch).await?;
    let indices: Vec<ValidatorIndex> = active.iter().map(|validator| validator.index).collect();
    Ok(match roster {
        Roster::Attesters => {
            let answer = beacon.attester_duties(epoch, &indices).await?;
            let duties = Assignments::Attesters(answer.duties);
            List::of(answer.dependent_root, answer.execution_optimistic, duties)
        }
        Roster::Proposers => {
            let answer = beacon.proposer_duties(epoch).await?;
            let duties = Assignments::Proposers(answer.duties);
            List::of(answer.dependent_root, answer.execution_optimistic, duties)
        }
        Roster::SyncCommittee => {
            let duties = beacon.sync_duties(epoch, &indices).await?;
            List::of(Root::default(), false, Assignments::SyncCommittee(duties))
        }
    })
}

async fn subscribe(
    beacon: &BeaconNode,
    epoch: Epoch,
    assignments: &Assignments,
    builtin: impl Fn(&PublicKeyBytes) -> bool,
) {
    let result = match assignments {
        Assignments::Attesters(duties) => {
            let ours = duties.iter().filter(|duty| builtin(&duty.pubkey));
            let list: Vec<_> = ours.map(|duty| committee(duty, false)).collect();
            beacon.subscribe_committees(&list).await
        }
        Assignments::SyncCommittee(duties) => {
            let subscription = |duty: &SyncCommitteeDuty| SyncCommitteeSubscription {
                validator_index: duty.validator_index,
                positions: duty.positions.clone(),
                until_epoch: Epoch(epoch.0 + 1),
            };
            let ours = duties.iter().filter(|duty| builtin(&duty.pubkey));
            let list: Vec<_> = ours.map(subscription).collect();
            beacon.subscribe_sync_committees(&list).await
        }
        Assignments::Proposers(_) => Ok(()),
    };
    if let Err(error) = result {
        debug!(%error, "the beacon node did not take the committee subscriptions");
    }
}

/// What a beacon node is told of a validator's committee.
pub(super) fn committee(duty: &AttesterDuty, is_aggregator: bool) -> CommitteeSubscription {
    CommitteeSubscription {
        validator_index: duty.validator_index,
        committee_index: duty.committee_index,
        committees_at_slot: duty.committees_at_slot,
        slot: duty.slot,
        is_aggregator,
    }
}

/// Tells the beacon node that these validators aggregate, so that it gathers their committees' attestations.
pub(crate) async fn announce_aggregators(beacon: &BeaconNode, duties: &[AttesterDuty]) {
    let list: Vec<_> = duties.iter().map(|duty| committee(duty, true)).collect();
    if let Err(error) = beacon.subscribe_committees(&list).await {
        debug!(%error, "the beacon node did not take the committee subscriptions");
    }
}
