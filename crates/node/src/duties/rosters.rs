//! Who has which duty in an epoch, and who our validators are on the chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flotilla_beacon::client::{
    BeaconNode, CommitteeSubscription, QueryError, SyncCommitteeSubscription, Validator,
};
use flotilla_duty::Input;
use flotilla_duty::io::{Assignments, Roster};
use flotilla_types::{AttesterDuty, Epoch, PublicKeyBytes, Root, SyncCommitteeDuty, ValidatorIndex};
use tokio::sync::Mutex;
use tracing::debug;

use super::{failed, is_active_in};

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

    /// The indices of those that have duties in `epoch`.
    async fn active_in(
        &self,
        beacon: &BeaconNode,
        epoch: Epoch,
    ) -> Result<Vec<ValidatorIndex>, QueryError> {
        let validators = self.of(beacon, epoch).await?;
        Ok(validators
            .iter()
            .filter(|validator| is_active_in(validator, epoch))
            .map(|validator| validator.index)
            .collect())
    }
}

/// A list of an epoch's duties. The beacon node is told of committees, so that it listens there, for those that the built-in
/// signer signs for; a validator client does that by itself.
pub(crate) async fn of_epoch(
    beacon: &BeaconNode,
    members: &Members,
    epoch: Epoch,
    roster: Roster,
    builtin: impl Fn(&PublicKeyBytes) -> bool,
) -> Input {
    match try_of_epoch(beacon, members, epoch, roster).await {
        Ok((dependent_root, assignments)) => {
            subscribe(beacon, epoch, &assignments, builtin).await;
            Input::Duties {
                epoch,
                dependent_root,
                assignments,
            }
        }
        Err(error) => Input::DutiesFailed {
            epoch,
            roster,
            error: failed(&error),
        },
    }
}

async fn try_of_epoch(
    beacon: &BeaconNode,
    members: &Members,
    epoch: Epoch,
    roster: Roster,
) -> Result<(Root, Assignments), QueryError> {
    let indices = members.active_in(beacon, epoch).await?;
    Ok(match roster {
        Roster::Attesters => {
            let answer = beacon.attester_duties(epoch, &indices).await?;
            (
                answer.dependent_root,
                Assignments::Attesters(answer.duties),
            )
        }
        Roster::Proposers => {
            let answer = beacon.proposer_duties(epoch).await?;
            (
                answer.dependent_root,
                Assignments::Proposers(answer.duties),
            )
        }
        Roster::SyncCommittee => {
            let duties = beacon.sync_duties(epoch, &indices).await?;
            (Root::default(), Assignments::SyncCommittee(duties))
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
