//! Contributions: the messages of a sync subcommittee, by those whose proof selects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{
    ContributionAndProof, DomainType, DutyKind, Root, SignatureBytes, SignedContributionAndProof,
    Slot, SyncCommitteeContribution, ValidatorIndex, is_sync_aggregator,
};
use serde::Deserialize;

use super::context::{Context, Failure};
use super::http::Post;
use super::report::Kind;

/// Contributes in a slot to the messages that name a root.
pub(super) async fn contribute(
    context: &Arc<Context>,
    slot: Slot,
    root: Root,
    proofs: &BTreeMap<(ValidatorIndex, u64), SignatureBytes>,
) {
    let sizes = &context.chain.spec.sizes;
    let mut by_subcommittee: BTreeMap<u64, Vec<(ValidatorIndex, SignatureBytes)>> = BTreeMap::new();
    for (&(validator, subcommittee), proof) in proofs {
        if is_sync_aggregator(proof, sizes) {
            let aggregators = by_subcommittee.entry(subcommittee).or_default();
            aggregators.push((validator, *proof));
        }
    }
    context.due(slot, DutyKind::SyncContribution).await;
    let subcommittees = by_subcommittee
        .into_iter()
        .map(|(subcommittee, all)| messages(context, slot, root, subcommittee, all));
    let messages: Vec<_> = futures::future::join_all(subcommittees)
        .await
        .into_iter()
        .flatten()
        .collect();
    if !messages.is_empty() {
        let count = messages.len() as u64;
        let result = sign_and_submit(context, slot, messages).await;
        context.count(Kind::Contributions, slot, count, result);
    }
}

/// The messages of a subcommittee's aggregators, all with the same contribution.
async fn messages(
    context: &Context,
    slot: Slot,
    root: Root,
    subcommittee: u64,
    aggregators: Vec<(ValidatorIndex, SignatureBytes)>,
) -> Vec<ContributionAndProof> {
    match fetch(context, slot, root, subcommittee).await {
        Ok(contribution) => aggregators
            .into_iter()
            .map(|(aggregator_index, selection_proof)| ContributionAndProof {
                aggregator_index,
                contribution: contribution.clone(),
                selection_proof,
            })
            .collect(),
        Err(why) => {
            let count = aggregators.len() as u64;
            context.count(Kind::Contributions, slot, count, Err(why));
            Vec::new()
        }
    }
}

async fn fetch(
    context: &Context,
    slot: Slot,
    root: Root,
    subcommittee: u64,
) -> Result<SyncCommitteeContribution, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        data: serde_json::Value,
    }
    let path = format!(
        "/eth/v1/validator/sync_committee_contribution?slot={slot}&subcommittee_index={subcommittee}&beacon_block_root={root}"
    );
    let answer = context.http.get_either(&path, context.limit(slot)).await?;
    let sizes = &context.chain.spec.sizes;
    Ok(match answer.ssz {
        true => SyncCommitteeContribution::decode(&answer.bytes, sizes)?,
        false => SyncCommitteeContribution::from_json(&answer.json::<Answer>(&path)?.data, sizes)?,
    })
}

async fn sign_and_submit(
    context: &Arc<Context>,
    slot: Slot,
    messages: Vec<ContributionAndProof>,
) -> Result<(), Failure> {
    let item = |message: ContributionAndProof| {
        let root = message.tree_hash_root();
        let root = context.signing_root(root, slot, DomainType::CONTRIBUTION_AND_PROOF);
        let aggregator = message.aggregator_index;
        (message, aggregator, root)
    };
    let items = messages.into_iter().map(item).collect();
    let signed = context.sign_all(items).await;
    let list: Vec<_> = signed
        .into_iter()
        .map(|(message, signature)| SignedContributionAndProof { message, signature })
        .collect();
    let ssz = list.iter().flat_map(SignedContributionAndProof::encode);
    let post = Post::json(&list)
        .or_ssz(ssz.collect())
        .of_fork(context.fork(slot));
    let path = "/eth/v1/validator/contribution_and_proofs";
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}
