//! Aggregates of attestations, by those whose proof selects them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{
    AggregateAndProof, Attestation, AttesterDuty, CommitteeIndex, DomainType, DutyKind, Root,
    SignatureBytes, SignedAggregateAndProof, Slot, ValidatorIndex, is_attestation_aggregator,
};
use serde::Deserialize;

use super::attest::Attested;
use super::context::{Context, Failure};
use super::http::Post;
use super::list::variable;
use super::report::Kind;

/// Offset and signature, before the message of a signed container.
const MESSAGE_AT: u32 = 4 + SignatureBytes::LENGTH as u32;

/// One aggregator.
struct Aggregator {
    duty: AttesterDuty,
    data_root: Root,
    proof: SignatureBytes,
}

/// Aggregates for all duties of a slot that are selected.
pub(super) async fn aggregate(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[AttesterDuty],
    attested: &Attested,
    proofs: &BTreeMap<ValidatorIndex, SignatureBytes>,
) {
    let target = context.chain.spec.sizes.target_aggregators_per_committee;
    let selected = |duty: &AttesterDuty| {
        let data_root = attested.get(&duty.validator_index)?.tree_hash_root();
        let proof = *proofs.get(&duty.validator_index)?;
        let duty = *duty;
        is_attestation_aggregator(&proof, duty.committee_length, target).then_some(Aggregator {
            duty,
            data_root,
            proof,
        })
    };
    let mut by_committee: BTreeMap<(CommitteeIndex, Root), Vec<Aggregator>> = BTreeMap::new();
    for aggregator in duties.iter().filter_map(selected) {
        let committee = (aggregator.duty.committee_index, aggregator.data_root);
        by_committee.entry(committee).or_default().push(aggregator);
    }
    context.due(slot, DutyKind::Aggregator).await;
    let committees = by_committee
        .into_iter()
        .map(|((committee, root), all)| messages(context, slot, committee, root, all));
    let messages: Vec<_> = futures::future::join_all(committees)
        .await
        .into_iter()
        .flatten()
        .collect();
    if !messages.is_empty() {
        let count = messages.len() as u64;
        let result = sign_and_submit(context, slot, messages).await;
        context.count(Kind::Aggregates, slot, count, result);
    }
}

/// The messages of a committee's aggregators, all with the same aggregate.
async fn messages(
    context: &Context,
    slot: Slot,
    committee: CommitteeIndex,
    data_root: Root,
    aggregators: Vec<Aggregator>,
) -> Vec<AggregateAndProof> {
    match fetch(context, slot, committee, data_root).await {
        Ok(aggregate) => aggregators
            .into_iter()
            .map(|aggregator| AggregateAndProof {
                aggregator_index: aggregator.duty.validator_index,
                aggregate: aggregate.clone(),
                selection_proof: aggregator.proof,
            })
            .collect(),
        Err(why) => {
            let count = aggregators.len() as u64;
            context.count(Kind::Aggregates, slot, count, Err(why));
            Vec::new()
        }
    }
}

async fn fetch(
    context: &Context,
    slot: Slot,
    committee: CommitteeIndex,
    data_root: Root,
) -> Result<Attestation, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        data: serde_json::Value,
    }
    let path = format!(
        "/eth/v2/validator/aggregate_attestation?attestation_data_root={data_root}&slot={slot}&committee_index={committee}"
    );
    let answer = context.http.get_either(&path, context.limit(slot)).await?;
    let fork = answer.fork.unwrap_or_else(|| context.fork(slot));
    Ok(match answer.ssz {
        true => Attestation::decode(fork, &answer.bytes)?,
        false => Attestation::from_json(fork, &answer.json::<Answer>(&path)?.data)?,
    })
}

async fn sign_and_submit(
    context: &Arc<Context>,
    slot: Slot,
    messages: Vec<AggregateAndProof>,
) -> Result<(), Failure> {
    let (fork, sizes) = (context.fork(slot), &context.chain.spec.sizes);
    let mut items = Vec::new();
    for message in messages {
        let root = message.tree_hash_root(sizes)?;
        let root = context.signing_root(root, slot, DomainType::AGGREGATE_AND_PROOF);
        let aggregator = message.aggregator_index;
        items.push((message, aggregator, root));
    }
    let signed = context.sign_all(items).await;
    let ssz: Vec<_> = signed
        .iter()
        .map(|(message, signature)| encode(message, signature))
        .collect();
    let list = signed
        .into_iter()
        .map(|(message, signature)| SignedAggregateAndProof::new(fork, message, signature, sizes))
        .collect::<Result<Vec<_>, _>>()?;
    let post = Post::json(&list).or_ssz(variable(&ssz)).of_fork(fork);
    let path = "/eth/v2/validator/aggregate_and_proofs";
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}

fn encode(message: &AggregateAndProof, signature: &SignatureBytes) -> Vec<u8> {
    let mut bytes = MESSAGE_AT.to_le_bytes().to_vec();
    bytes.extend_from_slice(&signature.0);
    bytes.extend_from_slice(&message.encode());
    bytes
}
