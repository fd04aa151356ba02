//! Proposals: a block, full or blinded, signed and handed back.

use std::sync::Arc;

use flotilla_types::{
    DomainType, Fork, Proposal, ProposerDuty, SignatureBytes, SignedProposal, Slot,
};
use serde::Deserialize;
use serde_json::Value;

use super::context::{Context, Failure};
use super::http::Post;
use super::report::Kind;

/// What this client writes into blocks: the text "flotilla vc", in 32 bytes.
const GRAFFITI: &str = "0x666c6f74696c6c61207663000000000000000000000000000000000000000000";
/// How much builders' blocks count, in percent of their bids.
const WITH_BUILDERS: u64 = 100;

/// Proposes in a slot.
pub(super) async fn propose(context: &Arc<Context>, slot: Slot, duty: &ProposerDuty) {
    let result = block(context, slot, duty).await;
    context.count(Kind::Blocks, slot, 1, result);
}

async fn block(context: &Arc<Context>, slot: Slot, duty: &ProposerDuty) -> Result<(), Failure> {
    let validator = duty.validator_index;
    let epoch = context.chain.epoch_of(slot).tree_hash_root();
    let root = context.signing_root(epoch, slot, DomainType::RANDAO);
    let randao = context.sign(validator, root).await?;
    let proposal = fetch(context, slot, &randao).await?;
    if proposal.slot() != slot {
        return Err(Failure::WrongSlot {
            what: "a block",
            expected: slot,
            got: proposal.slot(),
        });
    }
    let root = proposal.facts().root;
    context.guard.block(validator, slot, root)?;
    let root = context.signing_root(root, slot, DomainType::BEACON_PROPOSER);
    let signature = context.sign(validator, root).await?;
    let signed = SignedProposal {
        proposal,
        signature,
    };
    submit(context, slot, &signed).await
}

async fn fetch(
    context: &Context,
    slot: Slot,
    randao: &SignatureBytes,
) -> Result<Proposal, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        version: String,
        #[serde(default)]
        execution_payload_blinded: bool,
        data: Value,
    }
    let boost = if context.builder { WITH_BUILDERS } else { 0 };
    let path = format!(
        "/eth/v3/validator/blocks/{slot}?randao_reveal={randao}&graffiti={GRAFFITI}&builder_boost_factor={boost}"
    );
    let answer = context.http.get_either(&path, context.limit(slot)).await?;
    let sizes = &context.chain.spec.sizes;
    if answer.ssz {
        let fork = answer.fork.ok_or(Failure::NoFork)?;
        let proposal = Proposal::from_ssz(fork, answer.blinded, &answer.bytes, sizes)?;
        return Ok(proposal);
    }
    let answer: Answer = answer.json(&path)?;
    let fork = Fork::from_name(&answer.version).ok_or(Failure::NoFork)?;
    let blinded = answer.execution_payload_blinded;
    Ok(Proposal::from_json(fork, blinded, &answer.data, sizes)?)
}

async fn submit(context: &Context, slot: Slot, signed: &SignedProposal) -> Result<(), Failure> {
    let post = Post::json(&signed.to_json(&context.chain.spec.sizes))
        .or_ssz(signed.to_ssz())
        .of_fork(signed.proposal.fork());
    let path = match signed.proposal.is_blinded() {
        true => "/eth/v2/beacon/blinded_blocks?broadcast_validation=gossip",
        false => "/eth/v2/beacon/blocks?broadcast_validation=gossip",
    };
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}
