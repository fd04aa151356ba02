//! Proposals for rehearsal, on test networks: every validator proposes once an epoch, a block that nobody submits.
//!
//! A validator's real turn comes once in weeks; a cluster that wants to know whether it would make it need not wait so long.
//! The block is one of the chain with other facts in its head, and the group's signature over it is worth nothing: the slot,
//! the proposer and the state do not fit. Everything up to the submission is done as for a real one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use flotilla_beacon::client::{BeaconNode, BlockId, ChainBlock, Validator};
use flotilla_duty::Input;
use flotilla_duty::io::{FetchError, Item, UnsignedSet};
use flotilla_types::{
    Chain, DecodeError, Duty, Epoch, ExecutionAddress, Proposal, ProposerDuty, PublicKeyBytes,
    SignatureBytes, SignedData, Slot, UnsignedData, shuffled,
};
use serde_json::{Value, json};
use tracing::info;

use super::{failed, not_yet};

/// What such a block says of itself.
const GRAFFITI: &[u8; 30] = b"SYNTHETIC BLOCK: DO NOT SUBMIT";
/// The part of the transactions that stay: one in so many.
const TRANSACTIONS_PART: usize = 10;

/// What a rehearsal needs to know of the cluster.
#[derive(Debug, Default)]
pub(crate) struct Rehearsal {
    fee_recipients: Mutex<BTreeMap<PublicKeyBytes, ExecutionAddress>>,
}

impl Rehearsal {
    /// Whom blocks have to pay, from now on; members refuse to sign others.
    pub fn pay_to(&self, recipients: &BTreeMap<PublicKeyBytes, ExecutionAddress>) {
        self.lock().clone_from(recipients);
    }

    /// Whom a validator's blocks have to pay, if that has been said.
    pub fn payee(&self, validator: &PublicKeyBytes) -> Option<ExecutionAddress> {
        self.lock().get(validator).copied()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PublicKeyBytes, ExecutionAddress>> {
        self.fee_recipients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who proposes for rehearsal in an epoch, and in which slot (spec 30 §7.7): the active validators without a real turn, in an
/// order that changes by epoch, each in the slot that its index names, unless another of ours has it.
pub(super) fn proposers(
    chain: &Chain,
    epoch: Epoch,
    active: &[Validator],
    real: &[ProposerDuty],
) -> Vec<ProposerDuty> {
    let ours: BTreeMap<_, _> = active
        .iter()
        .map(|ours| (ours.index, ours.pubkey))
        .collect();
    let real = real
        .iter()
        .filter(|duty| ours.contains_key(&duty.validator_index));
    let (proposing, mut taken): (BTreeSet<_>, BTreeSet<_>) =
        real.map(|duty| (duty.validator_index, duty.slot)).unzip();
    let idle: Vec<_> = ours
        .into_iter()
        .filter(|(index, _)| !proposing.contains(index))
        .collect();
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&epoch.0.to_le_bytes());
    let slots = chain.spec.slots_per_epoch.max(1);
    let duty = |(validator_index, pubkey): (flotilla_types::ValidatorIndex, _)| ProposerDuty {
        pubkey,
        validator_index,
        slot: Slot(chain.first_slot(epoch).0 + validator_index.0 % slots),
    };
    let duties = shuffled(&idle, &seed).into_iter().map(duty);
    duties.filter(|duty| taken.insert(duty.slot)).collect()
}

/// A block for rehearsal, made of the last real one before its slot.
pub(super) async fn block(
    beacon: &BeaconNode,
    chain: &Chain,
    proposer: &ProposerDuty,
    randao: SignatureBytes,
    payee: Option<ExecutionAddress>,
) -> Result<UnsignedSet, FetchError> {
    let real = latest_before(beacon, chain, proposer.slot).await?;
    let block = rehearsed(real, proposer, randao, payee, chain).map_err(|error| FetchError {
        text: format!("the block to rehearse with: {error}"),
        temporary: false,
    })?;
    let value = UnsignedData::Proposer(block);
    Ok(UnsignedSet::from([(proposer.pubkey, value)]))
}

/// The last block before a slot, looked for an epoch back.
async fn latest_before(
    beacon: &BeaconNode,
    chain: &Chain,
    slot: Slot,
) -> Result<ChainBlock, FetchError> {
    let oldest = slot.0.saturating_sub(chain.spec.slots_per_epoch);
    for earlier in (oldest..slot.0).rev() {
        let answer = beacon.block(BlockId::Slot(Slot(earlier))).await;
        if let Some(block) = answer.map_err(|error| failed(&error))? {
            return Ok(block);
        }
    }
    Err(not_yet(
        "the beacon node has no block of the last epoch to rehearse with",
    ))
}

/// A real block with other facts, a tenth of its transactions and no blobs. What its fork does not have stays away.
fn rehearsed(
    real: ChainBlock,
    proposer: &ProposerDuty,
    randao: SignatureBytes,
    payee: Option<ExecutionAddress>,
    chain: &Chain,
) -> Result<Proposal, DecodeError> {
    let ChainBlock { fork, mut message } = real;
    let mut graffiti = [0; 32];
    graffiti[..GRAFFITI.len()].copy_from_slice(GRAFFITI);
    set(&mut message, "/slot", json!(proposer.slot));
    set(
        &mut message,
        "/proposer_index",
        json!(proposer.validator_index),
    );
    set(&mut message, "/body/randao_reveal", json!(randao));
    let graffiti = format!("0x{}", hex::encode(graffiti));
    set(&mut message, "/body/graffiti", json!(graffiti));
    set(&mut message, "/body/blob_kzg_commitments", json!([]));
    if let Some(payee) = payee {
        let place = "/body/execution_payload/fee_recipient";
        set(&mut message, place, json!(payee.to_string()));
    }
    let transactions = message.pointer_mut("/body/execution_payload/transactions");
    if let Some(list) = transactions.and_then(Value::as_array_mut) {
        list.truncate(list.len() / TRANSACTIONS_PART);
    }
    let contents = match fork >= flotilla_types::Fork::Deneb {
        true => json!({ "block": message, "kzg_proofs": [], "blobs": [] }),
        false => message,
    };
    Proposal::from_json(fork, false, &contents, &chain.spec.sizes)
}

fn set(block: &mut Value, place: &str, value: Value) {
    if let Some(old) = block.pointer_mut(place) {
        *old = value;
    }
}

/// Whether a submission is a rehearsal's.
pub(super) fn is_synthetic(items: &[(Item, SignedData)]) -> bool {
    let is_marked = |data: &SignedData| match data {
        SignedData::Proposer(signed) => signed.proposal.facts().graffiti.starts_with(GRAFFITI),
        _ => false,
    };
    !items.is_empty() && items.iter().all(|(_, data)| is_marked(data))
}

/// What becomes of a rehearsal's block: it goes nowhere, and counts as accepted.
pub(crate) fn swallow(duty: Duty, items: Vec<(Item, SignedData)>) -> Input {
    info!(%duty, "a block for rehearsal was signed by the cluster; it is not submitted");
    Input::Submitted {
        duty,
        accepted: items.into_iter().map(|(item, _)| item).collect(),
        refused: Vec::new(),
    }
}
