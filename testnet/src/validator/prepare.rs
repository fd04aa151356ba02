//! What the node is told ahead of duties: fee recipients, registrations with builders, and subscriptions to committees.

use std::sync::Arc;

use flotilla_types::{
    CommitteeIndex, DomainType, Epoch, ExecutionAddress, SignedValidatorRegistration, Slot,
    ValidatorIndex, ValidatorRegistration,
};
use serde::Serialize;

use super::context::{Context, Failure};
use super::http::Post;
use super::report::Kind;

/// Gas limit in registrations.
const GAS_LIMIT: u64 = 36_000_000;

/// Tells fee recipients, and registers with builders if that is wanted.
pub(super) async fn prepare(context: &Arc<Context>) {
    let slot = context.slot().unwrap_or_default();
    let result = fee_recipients(context, slot).await;
    context.count(Kind::Preparations, slot, 1, result);
    if context.builder {
        let count = context.duties.borrow().validators.len() as u64;
        let result = register(context, slot).await;
        context.count(Kind::Registrations, slot, count, result);
    }
}

async fn fee_recipients(context: &Context, slot: Slot) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Preparation {
        validator_index: ValidatorIndex,
        fee_recipient: ExecutionAddress,
    }
    let validators = Arc::clone(&context.duties.borrow().validators);
    let preparations: Vec<_> = validators
        .keys()
        .map(|&validator_index| Preparation {
            validator_index,
            fee_recipient: context.fee_recipient,
        })
        .collect();
    let path = "/eth/v1/validator/prepare_beacon_proposer";
    let post = Post::json(&preparations);
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}

/// A share registers under its own key, as a client does that knows of no shares.
async fn register(context: &Arc<Context>, slot: Slot) -> Result<(), Failure> {
    let validators = Arc::clone(&context.duties.borrow().validators);
    let items = validators.iter().map(|(&validator, &pubkey)| {
        let message = ValidatorRegistration {
            fee_recipient: context.fee_recipient,
            gas_limit: GAS_LIMIT,
            timestamp: context.chain.genesis_time.as_secs(),
            pubkey,
        };
        let root = message.tree_hash_root();
        let root = context.signing_root(root, slot, DomainType::APPLICATION_BUILDER);
        (message, validator, root)
    });
    let signed = context.sign_all(items.collect()).await;
    let registrations: Vec<_> = signed
        .into_iter()
        .map(|(message, signature)| SignedValidatorRegistration { message, signature })
        .collect();
    let path = "/eth/v1/validator/register_validator";
    let post = Post::json(&registrations);
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}

/// Subscribes to the committees of an epoch.
pub(super) async fn subscribe(context: &Context, epoch: Epoch) {
    let slot = context.slot().unwrap_or_default();
    let result = committees(context, slot, epoch).await;
    context.count(Kind::Preparations, slot, 1, result);
    let result = sync_committee(context, slot, epoch).await;
    context.count(Kind::Preparations, slot, 1, result);
}

async fn committees(context: &Context, slot: Slot, epoch: Epoch) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Subscription {
        validator_index: ValidatorIndex,
        committee_index: CommitteeIndex,
        committees_at_slot: String,
        slot: Slot,
        is_aggregator: bool,
    }
    let duties = context.duties.borrow().attesters_of(epoch);
    let subscriptions: Vec<_> = duties
        .iter()
        .flat_map(|duties| duties.iter())
        .map(|duty| Subscription {
            validator_index: duty.validator_index,
            committee_index: duty.committee_index,
            committees_at_slot: duty.committees_at_slot.to_string(),
            slot: duty.slot,
            // Whoever may aggregate: the proof that decides comes later.
            is_aggregator: true,
        })
        .collect();
    if subscriptions.is_empty() {
        return Ok(());
    }
    let path = "/eth/v1/validator/beacon_committee_subscriptions";
    let post = Post::json(&subscriptions);
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}

async fn sync_committee(context: &Context, slot: Slot, epoch: Epoch) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Subscription {
        validator_index: ValidatorIndex,
        sync_committee_indices: Vec<String>,
        until_epoch: Epoch,
    }
    let duties = context.duties.borrow().sync(epoch);
    let subscriptions: Vec<_> = duties
        .iter()
        .flat_map(|duties| duties.iter())
        .map(|duty| Subscription {
            validator_index: duty.validator_index,
            sync_committee_indices: duty.positions.iter().map(u64::to_string).collect(),
            until_epoch: Epoch(epoch.0 + 1),
        })
        .collect();
    if subscriptions.is_empty() {
        return Ok(());
    }
    let path = "/eth/v1/validator/sync_committee_subscriptions";
    let post = Post::json(&subscriptions);
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}
