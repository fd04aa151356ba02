//! The unsigned data of a duty, as our own beacon nodes have it.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_beacon::client::{
    AggregateQuery, BeaconNode, ContributionQuery, ProductionBudget, ProductionQuery, QueryError,
};
use flotilla_duty::io::{
    AggregateRequest, Assignments, ContributionRequest, FetchError, Request, Roster, UnsignedSet,
};
use flotilla_types::{
    AttesterDuty, AttesterValue, Chain, CommitteeIndex, Duty, Fork, ProposerDuty, PublicKeyBytes,
    SignatureBytes, Slot, SyncCommitteeContribution, SyncContributions, UnsignedData,
};
use futures::future::{join_all, try_join_all};
use tracing::{debug, warn};

use super::{Rosters, failed, not_yet, synthetic};

/// How blocks are asked for.
#[derive(Clone, Debug)]
pub(crate) struct Production {
    /// Whether blocks of builders are wanted.
    pub builder_api: bool,
    /// Whether all members read several contributions of one validator.
    pub plural: bool,
    /// The free 32 bytes of this validator's blocks.
    pub graffiti: [u8; 32],
}

/// Parts of a slot: how long a more valuable block is waited for, when a local one is asked for beside a builder's, and when
/// it is too late (attestations are due at a third).
const BETTER_PART: u32 = 24;
const LOCAL_PART: u32 = 6;
const LAST_PART: u32 = 3;
/// The part of a slot after which our own votes are aggregated in place of a beacon node's aggregate.
const OWN_PART: u32 = 12;

/// The unsigned data of all validators named in a request.
pub(crate) async fn fetch(
    beacon: &BeaconNode,
    chain: &Chain,
    rosters: &Rosters,
    duty: Duty,
    request: &Request,
    production: Production,
) -> Result<UnsignedSet, FetchError> {
    match request {
        Request::Attestations(attesters) => attestations(beacon, chain, duty, attesters).await,
        Request::Block { proposer, randao } => {
            let rehearsal = rosters.rehearsal_of(beacon, proposer).await;
            match rehearsal.map_err(|error| failed(&error))? {
                Some(rehearsal) => {
                    let payee = rehearsal.payee(&proposer.pubkey);
                    synthetic::block(beacon, chain, proposer, *randao, payee).await
                }
                None => block(beacon, chain, proposer, *randao, production).await,
            }
        }
        Request::Aggregates(requests) => aggregates(beacon, chain, rosters, duty, requests).await,
        Request::Contributions(requests) => {
            contributions(beacon, chain, rosters, duty, requests, production.plural).await
        }
    }
}

async fn attestations(
    beacon: &BeaconNode,
    chain: &Chain,
    duty: Duty,
    attesters: &[AttesterDuty],
) -> Result<UnsignedSet, FetchError> {
    // EIP-7549: from Electra on, one answer serves all committees.
    let shared = chain.fork_at(chain.epoch_of(duty.slot)) >= Fork::Electra;
    let index = |attester: &AttesterDuty| match shared {
        true => CommitteeIndex(0),
        false => attester.committee_index,
    };
    let indices: BTreeSet<CommitteeIndex> = attesters.iter().map(index).collect();
    let asked = indices.into_iter().map(|index| async move {
        let data = beacon.attestation_data(duty.slot, index).await;
        data.map(|data| (index, data))
            .map_err(|error| failed(&error))
    });
    let answers: BTreeMap<_, _> = try_join_all(asked).await?.into_iter().collect();
    let value = |attester: &AttesterDuty| {
        let data = *answers.get(&index(attester))?;
        let value = AttesterValue {
            data,
            duty: *attester,
        };
        Some((attester.pubkey, UnsignedData::Attester(value)))
    };
    Ok(attesters.iter().filter_map(value).collect())
}

async fn block(
    beacon: &BeaconNode,
    chain: &Chain,
    proposer: &ProposerDuty,
    randao_reveal: SignatureBytes,
    production: Production,
) -> Result<UnsignedSet, FetchError> {
    let slot = chain.spec.slot_duration;
    let budget = ProductionBudget {
        wait_for_better: slot / BETTER_PART,
        local_after: slot / LOCAL_PART,
        give_up: slot / LAST_PART,
    };
    let query = ProductionQuery {
        slot: proposer.slot,
        fork: chain.fork_at(chain.epoch_of(proposer.slot)),
        randao_reveal,
        graffiti: production.graffiti,
        builder_boost_factor: if production.builder_api { u64::MAX } else { 0 },
    };
    let made = beacon
        .produce_block(&query, &budget, &chain.spec.sizes)
        .await
        .map_err(|error| failed(&error))?;
    if made.needed_local {
        warn!(slot = proposer.slot.0, endpoint = made.endpoint, took = ?made.took, "no block in time; local blocks were asked for");
    }
    debug!(slot = proposer.slot.0, endpoint = made.endpoint, took = ?made.took, blinded = made.proposal.is_blinded(), "block made");
    let value = UnsignedData::Proposer(made.proposal);
    Ok(UnsignedSet::from([(proposer.pubkey, value)]))
}

/// Each committee's aggregate is asked for once. Committees without one are left out, unless there is none at all.
async fn aggregates(
    beacon: &BeaconNode,
    chain: &Chain,
    rosters: &Rosters,
    duty: Duty,
    requests: &[AggregateRequest],
) -> Result<UnsignedSet, FetchError> {
    let fork = chain.fork_at(chain.epoch_of(duty.slot));
    let queries: BTreeMap<_, _> = requests
        .iter()
        .map(|request| {
            let data_root = request.data.tree_hash_root();
            let query = AggregateQuery {
                slot: duty.slot,
                data_root,
                committee: request.committee,
                fork,
            };
            ((data_root, request.committee), query)
        })
        .collect();
    let asked = queries.into_iter().map(|(key, query)| async move {
        let answer = beacon.aggregate_attestation(query, &chain.spec.sizes);
        (key, in_time(chain, answer).await)
    });
    let (mut found, mut absent) = (BTreeMap::new(), BTreeSet::new());
    let mut error = not_yet("no aggregate yet");
    for (key, answer) in join_all(asked).await {
        match answer {
            Ok(Some(aggregate)) => _ = found.insert(key, aggregate),
            Ok(None) => _ = absent.insert(key),
            Err(failure) => error = failure,
        }
    }
    let silent = |request: &AggregateRequest| {
        let key = (request.data.tree_hash_root(), request.committee);
        !found.contains_key(&key) && !absent.contains(&key)
    };
    let list = match requests.iter().any(silent) {
        true => {
            let epoch = chain.epoch_of(duty.slot);
            rosters.get(beacon, epoch, Roster::Attesters).await.ok()
        }
        false => None,
    };
    let members = match list.as_ref().map(|list| &list.assignments) {
        Some(Assignments::Attesters(members)) => members.as_slice(),
        _ => &[],
    };
    let value = |request: &AggregateRequest| {
        let key = (request.data.tree_hash_root(), request.committee);
        // What the beacon node does not have yet it may have in a moment; what it can not say we make of our own.
        let ours = || match absent.contains(&key) {
            true => None,
            false => rosters.own_votes().aggregate(chain, members, request),
        };
        let aggregate = found.get(&key).cloned().or_else(ours)?;
        Some((request.validator, UnsignedData::Aggregator(aggregate)))
    };
    non_empty(requests.iter().filter_map(value).collect(), error)
}

/// Each part of the sync committee is asked for once. Parts without a contribution are left out, unless there is none at all.
async fn contributions(
    beacon: &BeaconNode,
    chain: &Chain,
    rosters: &Rosters,
    duty: Duty,
    requests: &[ContributionRequest],
    plural: bool,
) -> Result<UnsignedSet, FetchError> {
    let keys: BTreeSet<_> = requests
        .iter()
        .map(|request| (request.subcommittee, request.block_root))
        .collect();
    let asked = keys.into_iter().map(|(subcommittee, root)| async move {
        let query = ContributionQuery {
            slot: duty.slot,
            subcommittee,
            root,
        };
        let answer = beacon.sync_committee_contribution(query, &chain.spec.sizes);
        ((subcommittee, root), in_time(chain, answer).await)
    });
    let (mut found, mut absent) = (BTreeMap::new(), BTreeSet::new());
    let mut error = not_yet("no contribution yet");
    for (key, answer) in join_all(asked).await {
        match answer {
            Ok(Some(contribution)) => _ = found.insert(key, contribution),
            Ok(None) => _ = absent.insert(key),
            Err(failure) => error = failure,
        }
    }
    let silent = |request: &ContributionRequest| {
        let key = (request.subcommittee, request.block_root);
        !found.contains_key(&key) && !absent.contains(&key)
    };
    let list = match requests.iter().any(silent) {
        true => {
            // The committee of the next slot's block signs.
            let epoch = chain.epoch_of(Slot(duty.slot.0.saturating_add(1)));
            rosters.get(beacon, epoch, Roster::SyncCommittee).await.ok()
        }
        false => None,
    };
    let members = match list.as_ref().map(|list| &list.assignments) {
        Some(Assignments::SyncCommittee(members)) => members.as_slice(),
        _ => &[],
    };
    for request in requests {
        let key = (request.subcommittee, request.block_root);
        if !absent.contains(&key)
            && !found.contains_key(&key)
            && let Some(ours) =
                rosters
                    .own_votes()
                    .contribution(duty.slot, members, request, &chain.spec.sizes)
        {
            found.insert(key, ours);
        }
    }
    // Requests come by ascending subcommittee.
    let mut lists: BTreeMap<PublicKeyBytes, Vec<SyncCommitteeContribution>> = BTreeMap::new();
    for request in requests {
        if let Some(contribution) = found.get(&(request.subcommittee, request.block_root)) {
            let list = lists.entry(request.validator).or_default();
            list.push(contribution.clone());
        }
    }
    let value = |(validator, mut list): (PublicKeyBytes, Vec<SyncCommitteeContribution>)| {
        let value = match plural {
            true => SyncContributions::plural(list)?,
            false => SyncContributions::single(list.swap_remove(0)),
        };
        Some((validator, UnsignedData::SyncContribution(value)))
    };
    non_empty(lists.into_iter().filter_map(value).collect(), error)
}

/// An answer about aggregates is waited for only so long that the cluster still has time to agree.
async fn in_time<T>(
    chain: &Chain,
    answer: impl Future<Output = Result<T, QueryError>>,
) -> Result<T, FetchError> {
    let within = chain.spec.slot_duration / OWN_PART;
    match tokio::time::timeout(within, answer).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(_) => Err(not_yet(format!(
            "no answer within {} ms",
            within.as_millis()
        ))),
    }
}

fn non_empty(set: UnsignedSet, error: FetchError) -> Result<UnsignedSet, FetchError> {
    match set.is_empty() {
        true => Err(error),
        false => Ok(set),
    }
}
