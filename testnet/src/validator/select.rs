//! Selection proofs, which decide who aggregates: own signatures, or what a middleware makes of shares' signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{
    AttesterDuty, BeaconCommitteeSelection, DomainType, Epoch, SignatureBytes, Slot,
    SyncAggregatorSelectionData, SyncCommitteeDuty, SyncCommitteeSelection, ValidatorIndex,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::task::JoinHandle;

use super::context::{Context, Failure};
use super::report::Kind;

const BEACON: &str = "/eth/v1/validator/beacon_committee_selections";
const SYNC: &str = "/eth/v1/validator/sync_committee_selections";

/// Proofs by attester.
pub(super) type AttesterProofs = BTreeMap<ValidatorIndex, SignatureBytes>;
/// Proofs by sync committee member and subcommittee.
pub(super) type SyncProofs = BTreeMap<(ValidatorIndex, u64), SignatureBytes>;

/// A slot's proofs on their way, asked for in the slot before. What fails is asked for again when the slot begins.
#[derive(Debug)]
pub(super) struct Ahead {
    /// The slot.
    pub(super) slot: Slot,
    /// By attester.
    pub(super) attesters: JoinHandle<AttesterProofs>,
    /// By sync committee member and subcommittee.
    pub(super) sync: JoinHandle<SyncProofs>,
}

impl Ahead {
    /// Asks for a slot's proofs.
    pub(super) fn of(context: &Arc<Context>, slot: Slot) -> Self {
        let (attesters, sync) = {
            let duties = context.duties.borrow();
            let attesters = duties.attesters(context.chain.epoch_of(slot), slot);
            (attesters, duties.sync(sync_epoch(context, slot)))
        };
        let (for_attesters, for_sync) = (Arc::clone(context), Arc::clone(context));
        Self {
            slot,
            attesters: tokio::spawn(async move {
                let duties = attesters.unwrap_or_default();
                let proofs = attester_proofs(&for_attesters, slot, &duties).await;
                proofs.unwrap_or_default()
            }),
            sync: tokio::spawn(async move {
                let proofs = sync_proofs(&for_sync, slot, &sync.unwrap_or_default()).await;
                proofs.unwrap_or_default()
            }),
        }
    }

    /// Gives them up.
    pub(super) fn abort(&self) {
        self.attesters.abort();
        self.sync.abort();
    }
}

/// What came of a question asked ahead, if one was.
pub(super) async fn outcome<T: Default>(ahead: Option<JoinHandle<T>>) -> T {
    match ahead {
        Some(task) => task.await.unwrap_or_default(),
        None => T::default(),
    }
}

/// The epoch whose sync committee signs in a slot: that of the next slot, whose block takes the signatures.
pub(super) fn sync_epoch(context: &Context, slot: Slot) -> Epoch {
    context.chain.epoch_of(Slot(slot.0 + 1))
}

/// Proofs of attesters, those known already included.
pub(super) async fn complete_attesters(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[AttesterDuty],
    mut known: AttesterProofs,
) -> AttesterProofs {
    let is_missing = |duty: &&AttesterDuty| !known.contains_key(&duty.validator_index);
    let missing: Vec<_> = duties.iter().filter(is_missing).copied().collect();
    let found = attester_proofs(context, slot, &missing).await;
    known.extend(counted(context, slot, missing.len(), found));
    context.counts.done(Kind::Selections, known.len() as u64);
    known
}

/// Proofs of sync committee members, those known already included.
pub(super) async fn complete_sync(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[SyncCommitteeDuty],
    mut known: SyncProofs,
) -> SyncProofs {
    let sizes = &context.chain.spec.sizes;
    let is_missing = |duty: &&SyncCommitteeDuty| {
        let mut subcommittees = duty.subcommittees(sizes).into_iter();
        subcommittees.any(|subcommittee| !known.contains_key(&(duty.validator_index, subcommittee)))
    };
    let missing: Vec<_> = duties.iter().filter(is_missing).cloned().collect();
    let seats = missing
        .iter()
        .map(|duty| duty.subcommittees(sizes).len())
        .sum();
    let found = sync_proofs(context, slot, &missing).await;
    known.extend(counted(context, slot, seats, found));
    context.counts.done(Kind::Selections, known.len() as u64);
    known
}

/// What was found; what was not is counted.
fn counted<K>(
    context: &Context,
    slot: Slot,
    sent: usize,
    found: Result<BTreeMap<K, SignatureBytes>, Failure>,
) -> BTreeMap<K, SignatureBytes> {
    let counts = &context.counts;
    match found {
        Ok(found) => {
            if found.len() < sent {
                let got = found.len();
                let why = Failure::Selections { sent, got };
                counts.failed(Kind::Selections, Some(slot), (sent - got) as u64, &why);
            }
            found
        }
        Err(why) => {
            counts.failed(Kind::Selections, Some(slot), sent as u64, &why);
            BTreeMap::new()
        }
    }
}

async fn attester_proofs(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[AttesterDuty],
) -> Result<AttesterProofs, Failure> {
    let root = context.signing_root(slot.tree_hash_root(), slot, DomainType::SELECTION_PROOF);
    let items = duties
        .iter()
        .map(|duty| (duty.validator_index, duty.validator_index, root));
    let signed = context.sign_all(items.collect()).await;
    if !context.distributed {
        return Ok(signed.into_iter().collect());
    }
    let selection = |(validator_index, selection_proof)| BeaconCommitteeSelection {
        validator_index,
        slot,
        selection_proof,
    };
    let selections: Vec<_> = signed.into_iter().map(selection).collect();
    let combined = combine(context, slot, BEACON, selections).await?;
    let of_slot = combined.into_iter().filter(|item| item.slot == slot);
    Ok(of_slot
        .map(|item| (item.validator_index, item.selection_proof))
        .collect())
}

async fn sync_proofs(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[SyncCommitteeDuty],
) -> Result<SyncProofs, Failure> {
    let sizes = &context.chain.spec.sizes;
    let mut items = Vec::new();
    for duty in duties {
        for subcommittee_index in duty.subcommittees(sizes) {
            let data = SyncAggregatorSelectionData {
                slot,
                subcommittee_index,
            };
            let domain = DomainType::SYNC_COMMITTEE_SELECTION_PROOF;
            let root = context.signing_root(data.tree_hash_root(), slot, domain);
            let seat = (duty.validator_index, subcommittee_index);
            items.push((seat, duty.validator_index, root));
        }
    }
    let signed = context.sign_all(items).await;
    if !context.distributed {
        return Ok(signed.into_iter().collect());
    }
    let selection =
        |((validator_index, subcommittee_index), selection_proof)| SyncCommitteeSelection {
            validator_index,
            slot,
            subcommittee_index,
            selection_proof,
        };
    let selections: Vec<_> = signed.into_iter().map(selection).collect();
    let combined = combine(context, slot, SYNC, selections).await?;
    let of_slot = combined.into_iter().filter(|item| item.slot == slot);
    Ok(of_slot
        .map(|item| {
            let seat = (item.validator_index, item.subcommittee_index);
            (seat, item.selection_proof)
        })
        .collect())
}

/// Lets the middleware combine. It answers when enough members of the cluster have asked.
async fn combine<T: Serialize + DeserializeOwned>(
    context: &Context,
    slot: Slot,
    path: &str,
    selections: Vec<T>,
) -> Result<Vec<T>, Failure> {
    #[derive(Deserialize)]
    struct Answer<T> {
        data: Vec<T>,
    }
    if selections.is_empty() {
        return Ok(selections);
    }
    let limit = context.limit(slot);
    let answer: Answer<T> = context.http.ask(path, &selections, limit).await?;
    Ok(answer.data)
}
