//! Selection proofs: partial ones in, the group's out, in the order of the request.

use flotilla_types::{
    BeaconCommitteeSelection, PublicKeyBytes, SignatureBytes, SignedData, SyncCommitteeSelection,
};
use futures::future::join_all;
use hyper::StatusCode;
use tokio::time::timeout_at;

use super::{
    answer::{Answer, Data, json},
    api::{ApiError, ItemFailure, Partial, ValidatorApi},
    dispatch::Context,
    problem::Problem,
    request::Asked,
    signing::group,
};

/// `POST /eth/v1/validator/beacon_committee_selections`. Clients find their answers by validator and slot, so that one
/// slow slot costs only itself: what is not complete in time, or not of this cluster, is left out.
pub(super) async fn beacon<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let selections: Vec<BeaconCommitteeSelection> = asked.json()?;
    let roster = context.roster().await?;
    let partials = selections.iter().map(|selection| {
        let group = group(&roster, selection.validator_index)?;
        Ok((group, SignedData::PrepareAggregator(*selection)))
    });
    let proofs = combine(context, asked, partials.collect()).await?;
    let mut failures = Vec::new();
    let mut data = Vec::with_capacity(selections.len());
    for (index, (selection, proof)) in selections.iter().zip(proofs).enumerate() {
        match proof {
            Ok(selection_proof) => data.push(BeaconCommitteeSelection {
                selection_proof,
                ..*selection
            }),
            Err(failure) => failures.push((index, failure)),
        }
    }
    match data.is_empty() && !failures.is_empty() {
        true => Err(incomplete(failures)),
        false => json(&Data { data }),
    }
}

/// `POST /eth/v1/validator/sync_committee_selections`. Some clients pair answers with questions by position, so it is
/// all or nothing.
pub(super) async fn sync<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let mut data: Vec<SyncCommitteeSelection> = asked.json()?;
    let roster = context.roster().await?;
    let partials = data.iter().map(|selection| {
        let group = group(&roster, selection.validator_index)?;
        Ok((group, SignedData::PrepareSyncContribution(*selection)))
    });
    let proofs = combine(context, asked, partials.collect()).await?;
    let mut failures = Vec::new();
    for (index, (selection, proof)) in data.iter_mut().zip(proofs).enumerate() {
        match proof {
            Ok(proof) => selection.selection_proof = proof,
            Err(failure) => failures.push((index, failure)),
        }
    }
    match failures.is_empty() {
        true => json(&Data { data }),
        false => Err(incomplete(failures)),
    }
}

/// Hands in all partial proofs at once and waits for each as long as there is time, so that the slowest decides nothing
/// but its own fate.
async fn combine<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
    items: Vec<Result<(PublicKeyBytes, SignedData), String>>,
) -> Result<Vec<Result<SignatureBytes, ApiError>>, Problem> {
    let until = asked.received + context.config.selection_wait();
    let mut partials = Vec::with_capacity(items.len());
    let mut refusals = Vec::with_capacity(items.len());
    for item in items {
        refusals.push(match item {
            Ok((validator, data)) => {
                partials.push(Partial { validator, data });
                None
            }
            Err(message) => Some(ApiError::Invalid(message)),
        });
    }
    let mut waiting = match partials.is_empty() {
        true => Vec::new(),
        false => context.api.combine(partials).await?,
    }
    .into_iter();
    let proofs = refusals.into_iter().map(|refusal| {
        let waiting = match refusal {
            Some(error) => Err(error),
            None => waiting
                .next()
                .ok_or_else(|| ApiError::Internal("a selection is not waited for".to_owned())),
        };
        async move {
            let late = || ApiError::Late("the group's proof is not complete in time".to_owned());
            timeout_at(until, waiting?)
                .await
                .unwrap_or_else(|_| Err(late()))
        }
    });
    Ok(join_all(proofs).await)
}

/// The client's fault if any of it is, else a matter of time.
fn incomplete(failures: Vec<(usize, ApiError)>) -> Problem {
    let invalid = failures
        .iter()
        .any(|(_, error)| matches!(error, ApiError::Invalid(_)));
    let items = failures.into_iter().map(|(index, error)| ItemFailure {
        index,
        message: error.to_string(),
    });
    let problem = Problem::of_items(items.collect());
    match invalid {
        true => problem,
        false => Problem {
            status: StatusCode::REQUEST_TIMEOUT,
            ..problem
        },
    }
}
