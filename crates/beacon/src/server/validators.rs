//! Validators of the state, under the shares that the client believes to be them.

use flotilla_types::{Epoch, PublicKeyBytes, Root, ValidatorIndex};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{
    answer::{Answer, json},
    api::ValidatorApi,
    dispatch::Context,
    keys::KeyError,
    problem::Problem,
    request::Asked,
};

/// A validator's entry in the state, as in the Beacon API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorState {
    /// Its place.
    pub index: ValidatorIndex,
    /// Its balance in gwei.
    #[serde(serialize_with = "text", deserialize_with = "number")]
    pub balance: u64,
    /// Its status in the API's words, such as `active_ongoing`.
    pub status: String,
    /// What the state says of it.
    pub validator: ValidatorFields,
}

/// The inner part of a validator's entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorFields {
    /// Its public key.
    pub pubkey: PublicKeyBytes,
    /// Where its stake goes.
    pub withdrawal_credentials: Root,
    /// The balance that counts, in gwei.
    #[serde(serialize_with = "text", deserialize_with = "number")]
    pub effective_balance: u64,
    /// Whether it was slashed.
    pub slashed: bool,
    /// From when it may be activated.
    pub activation_eligibility_epoch: Epoch,
    /// From when it is active.
    pub activation_epoch: Epoch,
    /// From when it is not.
    pub exit_epoch: Epoch,
    /// From when its stake is free.
    pub withdrawable_epoch: Epoch,
}

fn text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

/// The body of a POST.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Filter {
    ids: Option<Vec<String>>,
    statuses: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Layout<T> {
    execution_optimistic: bool,
    finalized: bool,
    data: T,
}

/// `GET /eth/v1/beacon/states/{state_id}/validators`. Without ids: all of the cluster, not the whole state.
pub(super) async fn list<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    answer(context, asked, Filter::default()).await
}

/// The same as POST.
pub(super) async fn post<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    answer(context, asked, asked.json()?).await
}

/// `GET /eth/v1/beacon/states/{state_id}/validators/{validator_id}`.
pub(super) async fn one<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let id = asked.parameters().path_text("validator_id")?;
    let found = states(context, asked, &[id.to_owned()]).await?;
    let data = found.into_iter().next().ok_or_else(Problem::not_found)?;
    json(&layout(data))
}

async fn answer<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
    filter: Filter,
) -> Result<Answer, Problem> {
    let parameters = asked.parameters();
    let from_query = |name| parameters.query_list(name).map(str::to_owned).collect();
    let mut ids: Vec<String> = from_query("id");
    if ids.is_empty() {
        ids = filter.ids.unwrap_or_default();
    }
    let mut statuses: Vec<String> = from_query("status");
    statuses.extend(filter.statuses.unwrap_or_default());
    let mut found = match ids.is_empty() {
        true => {
            let all = context.api.keys().groups().copied().collect();
            of_groups(context, asked, all).await?
        }
        false => states(context, asked, &ids).await?,
    };
    if !statuses.is_empty() {
        found.retain(|state| statuses.iter().any(|status| is_of(&state.status, status)));
    }
    json(&layout(found))
}

/// Whether a status is the wanted one, or one of the wanted kind: `active` stands for `active_ongoing`.
fn is_of(status: &str, wanted: &str) -> bool {
    let rest = status.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

async fn states<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
    ids: &[String],
) -> Result<Vec<ValidatorState>, Problem> {
    let mut groups = Vec::with_capacity(ids.len());
    for id in ids {
        groups.extend(group_of(context, id).await?);
    }
    groups.sort_unstable();
    groups.dedup();
    of_groups(context, asked, groups).await
}

/// The validator of an id; `None` for a foreign one, which a state would not have either. A share of another node is an
/// operator's mistake and told.
async fn group_of<A: ValidatorApi>(
    context: &Context<A>,
    id: &str,
) -> Result<Option<PublicKeyBytes>, Problem> {
    let invalid = |_| Problem::bad_request(format!("invalid validator id [{:.100}]", id));
    if !id.starts_with("0x") {
        let index = id.parse::<ValidatorIndex>().map_err(|_| invalid(()))?;
        return Ok(context.roster().await?.group(index));
    }
    let share = id.parse::<PublicKeyBytes>().map_err(|_| invalid(()))?;
    match context.api.keys().group_of(&share) {
        Ok(group) => Ok(Some(group)),
        Err(KeyError::Foreign(_)) => Ok(None),
        Err(error @ KeyError::OtherShare { .. }) => Err(Problem::bad_request(error.to_string())),
    }
}

async fn of_groups<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
    groups: Vec<PublicKeyBytes>,
) -> Result<Vec<ValidatorState>, Problem> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let state = asked.parameters().path_text("state_id")?;
    let mut found = context.api.validators(state, groups).await?;
    found.retain_mut(|entry| {
        let share = context.api.keys().share_of(&entry.validator.pubkey);
        if let Some(share) = share {
            entry.validator.pubkey = share;
        }
        share.is_some()
    });
    Ok(found)
}

const fn layout<T>(data: T) -> Layout<T> {
    Layout {
        execution_optimistic: false,
        finalized: false,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_wanted_by_its_name_or_its_kind() {
        assert!(is_of("active_ongoing", "active_ongoing"));
        assert!(is_of("active_ongoing", "active"));
        assert!(!is_of("active_ongoing", "active_on"));
        assert!(!is_of("active_ongoing", "exited"));
    }
}
