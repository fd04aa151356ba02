//! What goes to the pools of all endpoints, and what they are told about our validators.

use flotilla_types::{
    Attestation, CommitteeIndex, Epoch, Fork, SignedAggregateAndProof, SignedContributionAndProof,
    SingleAttestation, Slot, SyncCommitteeMessage, ValidatorIndex,
};
use serde::{Serialize, Serializer};

use super::{
    exchange::Call,
    node::BeaconNode,
    status::SMALL,
    submission::{Submission, SubmitError},
};

/// Attestations of one fork, in the shape the fork's submissions have.
#[derive(Clone, Copy, Debug)]
pub enum AttestationBatch<'a> {
    /// From Electra on.
    Single(&'a [SingleAttestation]),
    /// Before Electra.
    Whole(&'a [Attestation]),
}

impl AttestationBatch<'_> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        match self {
            Self::Single(list) => list.len(),
            Self::Whole(list) => list.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [SingleAttestation]> for AttestationBatch<'a> {
    fn from(list: &'a [SingleAttestation]) -> Self {
        Self::Single(list)
    }
}

impl<'a> From<&'a Vec<SingleAttestation>> for AttestationBatch<'a> {
    fn from(list: &'a Vec<SingleAttestation>) -> Self {
        Self::Single(list)
    }
}

impl<'a> From<&'a [Attestation]> for AttestationBatch<'a> {
    fn from(list: &'a [Attestation]) -> Self {
        Self::Whole(list)
    }
}

impl<'a> From<&'a Vec<Attestation>> for AttestationBatch<'a> {
    fn from(list: &'a Vec<Attestation>) -> Self {
        Self::Whole(list)
    }
}

/// Who receives the fees of a validator's blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProposerPreparation {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// The address, `0x` and 40 hex digits.
    pub fee_recipient: String,
}

/// A committee that a validator attests in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CommitteeSubscription {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// The committee.
    pub committee_index: CommitteeIndex,
    /// How many committees the slot has.
    #[serde(serialize_with = "decimal")]
    pub committees_at_slot: u64,
    /// The slot.
    pub slot: Slot,
    /// Whether the validator aggregates, so that the node must gather the committee's attestations.
    pub is_aggregator: bool,
}

/// The places of a validator in the sync committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SyncCommitteeSubscription {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// Its places.
    #[serde(rename = "sync_committee_indices", serialize_with = "decimals")]
    pub positions: Vec<u64>,
    /// The first epoch it is not in any more.
    pub until_epoch: Epoch,
}

fn decimal<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn decimals<S: Serializer>(numbers: &[u64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(numbers.iter().map(ToString::to_string))
}

impl BeaconNode {
    /// Submits attestations of one fork to all endpoints at once (`POST /eth/v2/beacon/pool/attestations`). Returns when
    /// every attestation was accepted by some endpoint; requests to slower endpoints go on in the background, each within
    /// its timeout. An attestation that a node knows already counts as accepted.
    ///
    /// # Errors
    /// [`SubmitError`] with the positions that no endpoint accepted.
    pub async fn submit_attestations(
        &self,
        fork: Fork,
        attestations: impl Into<AttestationBatch<'_>>,
    ) -> Result<(), SubmitError> {
        let (label, path) = ("submit_attestations", "/eth/v2/beacon/pool/attestations");
        match attestations.into() {
            AttestationBatch::Single(list) => {
                self.submit_items(label, path, Some(fork), list).await
            }
            AttestationBatch::Whole(list) => self.submit_items(label, path, Some(fork), list).await,
        }
    }

    /// Tells all endpoints who receives the fees of these validators' blocks
    /// (`POST /eth/v1/validator/prepare_beacon_proposer`). They forget it after some epochs.
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn prepare_proposers(
        &self,
        preparations: &[ProposerPreparation],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/prepare_beacon_proposer";
        self.tell("submit_proposal_preparations", path, preparations)
            .await
    }

    /// Hands signed builder registrations to all endpoints (`POST /eth/v1/validator/register_validator`); each is the JSON of a
    /// `SignedValidatorRegistration`.
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted them.
    pub async fn register_validators(
        &self,
        registrations: &[impl Serialize],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/register_validator";
        self.tell("submit_validator_registrations", path, registrations)
            .await
    }

    /// Submits signed aggregates of one fork to all endpoints at once (`POST /eth/v2/validator/aggregate_and_proofs`), under
    /// the rules of [`Self::submit_attestations`].
    ///
    /// # Errors
    /// [`SubmitError`] with the positions that no endpoint accepted.
    pub async fn submit_aggregates(
        &self,
        fork: Fork,
        aggregates: &[SignedAggregateAndProof],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v2/validator/aggregate_and_proofs";
        let label = "submit_aggregate_attestations";
        self.submit_items(label, path, Some(fork), aggregates).await
    }

    /// Submits sync committee messages to all endpoints at once (`POST /eth/v1/beacon/pool/sync_committees`), under the
    /// rules of [`Self::submit_attestations`].
    ///
    /// # Errors
    /// [`SubmitError`] with the positions that no endpoint accepted.
    pub async fn submit_sync_messages(
        &self,
        messages: &[SyncCommitteeMessage],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/beacon/pool/sync_committees";
        let label = "submit_sync_committee_messages";
        self.submit_items(label, path, None, messages).await
    }

    /// Submits signed contributions to all endpoints at once (`POST /eth/v1/validator/contribution_and_proofs`), under the
    /// rules of [`Self::submit_attestations`].
    ///
    /// # Errors
    /// [`SubmitError`] with the positions that no endpoint accepted.
    pub async fn submit_contributions(
        &self,
        contributions: &[SignedContributionAndProof],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/contribution_and_proofs";
        let label = "submit_sync_committee_contributions";
        self.submit_items(label, path, None, contributions).await
    }

    /// Tells all endpoints in which committees these validators attest, so that they listen there in time
    /// (`POST /eth/v1/validator/beacon_committee_subscriptions`).
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn subscribe_committees(
        &self,
        subscriptions: &[CommitteeSubscription],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/beacon_committee_subscriptions";
        let label = "submit_beacon_committee_subscriptions";
        self.tell(label, path, subscriptions).await
    }

    /// Tells all endpoints in which parts of the sync committee these validators are
    /// (`POST /eth/v1/validator/sync_committee_subscriptions`).
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn subscribe_sync_committees(
        &self,
        subscriptions: &[SyncCommitteeSubscription],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/sync_committee_subscriptions";
        let label = "submit_sync_committee_subscriptions";
        self.tell(label, path, subscriptions).await
    }

    /// A list that is accepted or refused item by item.
    async fn submit_items(
        &self,
        label: &'static str,
        path: &str,
        fork: Option<Fork>,
        list: &[impl Serialize],
    ) -> Result<(), SubmitError> {
        if list.is_empty() {
            return Ok(());
        }
        let mut call = self.submission(label, path, json_list(list));
        call.fork = fork;
        self.submit(Submission::of_items(call, list.len())).await
    }

    /// A list that is taken as a whole.
    async fn tell(
        &self,
        label: &'static str,
        path: &str,
        list: &[impl Serialize],
    ) -> Result<(), SubmitError> {
        if list.is_empty() {
            return Ok(());
        }
        let call = self.submission(label, path, json_list(list));
        self.submit(Submission::of_one(call)).await
    }

    /// Submits a signed voluntary exit, as JSON, to all endpoints at once (`POST /eth/v1/beacon/pool/voluntary_exits`).
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn submit_voluntary_exit(&self, exit: String) -> Result<(), SubmitError> {
        let path = "/eth/v1/beacon/pool/voluntary_exits";
        let call = self.submission("submit_voluntary_exit", path, exit);
        self.submit(Submission::of_one(call)).await
    }

    fn submission(&self, label: &'static str, path: &str, json: String) -> Call {
        let mut call = self.post(label, path, json, SMALL);
        call.timeout = self.timeouts.submit;
        call
    }
}

fn json_list(list: &[impl Serialize]) -> String {
    serde_json::to_string(list).expect("items have text keys and plain values")
}
