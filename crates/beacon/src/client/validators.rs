//! Questions about validators: who they are, and what an epoch brought them.

use flotilla_types::{Epoch, PublicKeyBytes, ValidatorIndex};
use serde::de::DeserializeOwned;

use super::{
    answers::{self, Validator},
    error::QueryError,
    node::BeaconNode,
    query::absent_if,
    rewards::{self, AttestationRewards},
    status::SMALL,
};

/// Most bytes per asked item, about three times what nodes send.
pub(super) const PER_ITEM: usize = 2 << 10;
/// Most bytes of the rewards that an attester could have had, one line per effective balance.
const IDEAL: usize = 2 << 20;
/// How many keys fit into the address of one GET.
const KEYS_PER_GET: usize = 64;

impl BeaconNode {
    /// The state's validators with these keys, in the node's order; keys it does not know are left out
    /// (`POST /eth/v1/beacon/states/head/validators`, and GET where a node lacks that).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn validators(&self, keys: &[PublicKeyBytes]) -> Result<Vec<Validator>, QueryError> {
        // Without keys a node would answer with its whole state.
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let body = serde_json::json!({ "ids": keys, "statuses": [] });
        let path = "/eth/v1/beacon/states/head/validators";
        let limit = SMALL + PER_ITEM * keys.len();
        let mut call = self.post("validators", path, body.to_string(), limit);
        call.timeout = self.timeouts.epoch_query;
        match self
            .query(&call, |answer| answers::validators(answer, keys))
            .await
        {
            Err(error) if lacks_post(&error) => self.validators_by_get(keys).await,
            result => result,
        }
    }

    /// The entries of these validators in a state, in the node's order and in the caller's layout; keys that the state does
    /// not have are left out. `state` is `head`, `finalized`, a slot or a root.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn validators_in<T: DeserializeOwned>(
        &self,
        state: &str,
        keys: &[PublicKeyBytes],
    ) -> Result<Vec<T>, QueryError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let body = serde_json::json!({ "ids": keys, "statuses": [] });
        let path = format!("/eth/v1/beacon/states/{state}/validators");
        let limit = SMALL + PER_ITEM * keys.len();
        let mut call = self.post("validators", &path, body.to_string(), limit);
        call.timeout = self.timeouts.epoch_query;
        self.query(&call, |answer| answers::data(&answer)).await
    }

    async fn validators_by_get(
        &self,
        keys: &[PublicKeyBytes],
    ) -> Result<Vec<Validator>, QueryError> {
        let mut validators = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_GET) {
            let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let path = format!("/eth/v1/beacon/states/head/validators?id={}", ids.join(","));
            let mut call = self.get("validators", &path, SMALL + PER_ITEM * keys.len());
            call.timeout = self.timeouts.epoch_query;
            validators.extend(
                self.query(&call, |answer| answers::validators(answer, keys))
                    .await?,
            );
        }
        Ok(validators)
    }

    /// What an epoch's attestations brought these validators (`POST /eth/v1/beacon/rewards/attestations/{epoch}`), from
    /// which their inclusion and the correctness of their votes can be told. `None` where nodes do not offer it or do not
    /// have the epoch yet or any more. Without validators nobody is asked, for a node would answer for all it knows.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn attestation_rewards(
        &self,
        epoch: Epoch,
        validators: &[ValidatorIndex],
    ) -> Result<Option<AttestationRewards>, QueryError> {
        if validators.is_empty() {
            return Ok(Some(AttestationRewards::default()));
        }
        let path = format!("/eth/v1/beacon/rewards/attestations/{epoch}");
        let body = serde_json::json!(validators).to_string();
        let limit = IDEAL + PER_ITEM * validators.len();
        let mut call = self.post("attestation_rewards", &path, body, limit);
        call.timeout = self.timeouts.epoch_query;
        let result = self.query(&call, |answer| rewards::read(&answer, validators));
        absent_if(result.await, &[404, 405, 501])
    }
}

/// Whether every endpoint answered that it does not know this request.
fn lacks_post(error: &QueryError) -> bool {
    error
        .failures
        .iter()
        .all(|failure| failure.reason.is_unknown_request())
}
