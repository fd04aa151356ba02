//! Blocks, out to be signed and in with a partial signature.

use std::sync::Arc;

use flotilla_types::{Chain, Proposal, Root, SignatureBytes, SignedData, SignedProposal, Slot};
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::{
    accept::prefers_ssz,
    answer::{Answer, json, of_fork, ssz},
    api::ValidatorApi,
    dispatch::Context,
    problem::Problem,
    request::{Asked, Encoding, parse, unparsed},
    signing::{foreign, hand_in},
};

/// The worth of every block, in both currencies: a constant, so that all nodes answer the same.
const VALUE: &str = "1";

/// `GET /eth/v3/validator/blocks/{slot}`.
pub(super) async fn produce<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let parameters = asked.parameters();
    let slot = Slot(parameters.path_number("slot")?);
    let reveal: SignatureBytes = parameters.query_hex("randao_reveal", SignatureBytes::LENGTH)?;
    // A wish; no block is lost over it.
    let graffiti: Option<Root> = parameters
        .optional_hex("graffiti", Root::LENGTH)
        .unwrap_or_default();
    let proposal = context.api.proposal(slot, reveal, graffiti).await?;
    let (chain, as_ssz) = (
        context.config.chain.clone(),
        prefers_ssz(&asked.parts.headers),
    );
    aside(move || produced(&proposal, as_ssz, &chain)).await
}

fn produced(proposal: &Proposal, as_ssz: bool, chain: &Chain) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Layout<T> {
        version: &'static str,
        execution_payload_blinded: bool,
        execution_payload_value: &'static str,
        consensus_block_value: &'static str,
        data: T,
    }
    let blinded = proposal.is_blinded();
    let answer = match as_ssz {
        true => ssz(proposal.to_ssz()),
        false => json(&Layout {
            version: proposal.fork().name(),
            execution_payload_blinded: blinded,
            execution_payload_value: VALUE,
            consensus_block_value: VALUE,
            data: proposal.to_json(&chain.spec.sizes),
        })?,
    };
    let mut answer = of_fork(answer, proposal.fork());
    for (name, value) in [
        (
            "eth-execution-payload-blinded",
            if blinded { "true" } else { "false" },
        ),
        ("eth-execution-payload-value", VALUE),
        ("eth-consensus-block-value", VALUE),
    ] {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        answer.headers_mut().insert(name, value);
    }
    Ok(answer)
}

/// `POST /eth/v1/beacon/blocks` and `blinded_blocks`, and `v2` of both.
pub(super) async fn submit<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
    blinded: bool,
) -> Result<Answer, Problem> {
    let (fork, encoding) = (asked.fork()?, asked.encoding()?);
    let (body, chain): (_, Arc<Chain>) = (asked.body()?.clone(), context.config.chain.clone());
    let signed = aside(move || {
        let sizes = &chain.spec.sizes;
        match encoding {
            Encoding::Json => {
                let json = parse(&body)?;
                SignedProposal::from_json(fork, blinded, &json, sizes).map_err(unparsed)
            }
            Encoding::Ssz => SignedProposal::from_ssz(fork, blinded, &body, sizes)
                .map_err(|error| Problem::unsupported().because(error)),
        }
    })
    .await?;
    let index = signed.proposal.facts().header.proposer_index;
    let group = context.roster().await?.group(index);
    let partial = group
        .map(|group| (group, SignedData::Proposer(signed)))
        .ok_or_else(|| foreign(index));
    hand_in(context, vec![partial]).await
}

/// Work on a block of megabytes, away from the tasks that others wait for.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Problem::internal(error)))
}
