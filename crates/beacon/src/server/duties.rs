//! Duties of an epoch, under the shares that the client believes to be its validators.

use flotilla_types::{
    AttesterDuty, Epoch, ProposerDuty, PublicKeyBytes, Root, SyncCommitteeDuty, ValidatorIndex,
};
use serde::{Deserialize, Serialize};

use super::{
    answer::{Answer, json},
    api::{Duties, ValidatorApi},
    dispatch::Context,
    problem::Problem,
    request::Asked,
};

/// An index as clients write it: a number or its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Index {
    Text(ValidatorIndex),
    Number(u64),
}

#[derive(Serialize)]
struct Layout<Duty> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dependent_root: Option<Root>,
    execution_optimistic: bool,
    data: Vec<Duty>,
}

/// `POST /eth/v1/validator/duties/attester/{epoch}`.
pub(super) async fn attester<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let epoch = epoch(asked)?;
    let validators = known(context, asked).await?;
    let duties = context.api.attester_duties(epoch, validators).await?;
    let shared = |duty: AttesterDuty| {
        let pubkey = context.api.keys().share_of(&duty.pubkey)?;
        Some(AttesterDuty { pubkey, ..duty })
    };
    answer(true, duties, shared)
}

/// `GET /eth/v1/validator/duties/proposer/{epoch}`, and `v2`. Foreign proposers stay as they are.
pub(super) async fn proposer<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let epoch = epoch(asked)?;
    // Not needed here, but a node that does not know its validators may take their turns for foreign ones.
    context.roster().await?;
    let duties = context.api.proposer_duties(epoch).await?;
    let shared = |duty: ProposerDuty| {
        let pubkey = context.api.keys().share_of(&duty.pubkey);
        Some(ProposerDuty {
            pubkey: pubkey.unwrap_or(duty.pubkey),
            ..duty
        })
    };
    answer(true, duties, shared)
}

/// `POST /eth/v1/validator/duties/sync/{epoch}`.
pub(super) async fn sync<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let epoch = epoch(asked)?;
    let validators = known(context, asked).await?;
    let duties = context.api.sync_duties(epoch, validators).await?;
    let shared = |duty: SyncCommitteeDuty| {
        let pubkey: PublicKeyBytes = context.api.keys().share_of(&duty.pubkey)?;
        Some(SyncCommitteeDuty { pubkey, ..duty })
    };
    answer(false, duties, shared)
}

fn epoch(asked: &Asked) -> Result<Epoch, Problem> {
    asked.parameters().path_number("epoch").map(Epoch)
}

/// The cluster's validators among those asked for; a client may have others as well.
async fn known<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Vec<ValidatorIndex>, Problem> {
    let indices: Vec<Index> = asked.json()?;
    let roster = context.roster().await?;
    let indices = indices.into_iter().map(|index| match index {
        Index::Text(index) => index,
        Index::Number(number) => ValidatorIndex(number),
    });
    let mut known: Vec<_> = indices
        .filter(|index| roster.group(*index).is_some())
        .collect();
    known.sort_unstable();
    known.dedup();
    Ok(known)
}

fn answer<Duty: Serialize>(
    with_root: bool,
    duties: Duties<Duty>,
    shared: impl FnMut(Duty) -> Option<Duty>,
) -> Result<Answer, Problem> {
    json(&Layout {
        dependent_root: with_root.then_some(duties.dependent_root),
        execution_optimistic: with_root && duties.execution_optimistic,
        data: duties.items.into_iter().filter_map(shared).collect(),
    })
}
