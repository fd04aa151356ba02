//! What the cluster has decided, for the client to sign.

use flotilla_types::{CommitteeIndex, Fork, Root, Slot};
use serde::Serialize;

use super::{
    accept::prefers_ssz,
    answer::{Answer, Data, json, of_fork, ssz},
    api::ValidatorApi,
    dispatch::Context,
    problem::Problem,
    request::Asked,
};

/// `GET /eth/v1/validator/attestation_data`.
pub(super) async fn attestation_data<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let parameters = asked.parameters();
    let slot = Slot(parameters.query_number("slot")?);
    let committee = CommitteeIndex(parameters.query_number("committee_index")?);
    let data = context.api.attestation_data(slot, committee).await?;
    if prefers_ssz(&asked.parts.headers) {
        return Ok(ssz(data.encode()));
    }
    json(&Data { data })
}

/// `GET /eth/v2/validator/aggregate_attestation`.
pub(super) async fn aggregate<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    #[derive(Serialize)]
    struct Layout<'a, T> {
        version: &'static str,
        data: &'a T,
    }
    let parameters = asked.parameters();
    let slot = Slot(parameters.query_number("slot")?);
    let root: Root = parameters.query_hex("attestation_data_root", Root::LENGTH)?;
    let committee = CommitteeIndex(parameters.query_number("committee_index")?);
    let value = context.api.aggregate(slot, root, committee).await?;
    // Old members leave the fork out.
    let fork: Fork = value.fork.unwrap_or_else(|| context.fork_of(slot));
    if prefers_ssz(&asked.parts.headers) {
        return Ok(of_fork(ssz(value.aggregate.encode()), fork));
    }
    let layout = Layout {
        version: fork.name(),
        data: &value.aggregate,
    };
    Ok(of_fork(json(&layout)?, fork))
}

/// `GET /eth/v1/validator/sync_committee_contribution`.
pub(super) async fn contribution<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let parameters = asked.parameters();
    let slot = Slot(parameters.query_number("slot")?);
    let subcommittee = parameters.query_number("subcommittee_index")?;
    let head: Root = parameters.query_hex("beacon_block_root", Root::LENGTH)?;
    let data = context.api.contribution(slot, subcommittee, head).await?;
    json(&Data { data })
}
