//! What the server asks of the node behind it.

use std::{future::Future, sync::Arc};

use flotilla_types::{
    AggregateValue, AttestationData, AttesterDuty, CommitteeIndex, Epoch, Proposal, ProposerDuty,
    PublicKeyBytes, Root, SignatureBytes, SignedData, Slot, SyncCommitteeContribution,
    SyncCommitteeDuty, ValidatorIndex,
};
use futures::future::BoxFuture;
use serde::Serialize;

use super::{
    keys::{KeyTable, Roster},
    validators::ValidatorState,
};

/// Why the node does not do what it was asked. The texts reach the client, except for [`Self::Internal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The client asks for something that it should not: 400.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing, and waiting does not help: 404.
    #[error("{0}")]
    NotFound(String),
    /// Not in time: 408.
    #[error("{0}")]
    Late(String),
    /// Not now: 503.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours: 500, and the text goes to the log only.
    #[error("{0}")]
    Internal(String),
}

/// An item of a list that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ItemFailure {
    /// The item's place in the list, from 0.
    pub index: usize,
    /// Why.
    pub message: String,
}

/// Why partial signatures were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// These items were not; all others were.
    #[error("{} items were not taken", .0.len())]
    Items(Vec<ItemFailure>),
    /// None was.
    #[error(transparent)]
    All(#[from] ApiError),
}

/// A partial signature of this node's share, with what it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The validator: the group's key. It is one of the [`KeyTable`].
    pub validator: PublicKeyBytes,
    /// What is signed. Inner selection proofs are the group's already.
    pub data: SignedData,
}

/// Waits for the group's signature in place of a partial one. Dropping it gives up waiting, and nothing else.
pub type Combining = BoxFuture<'static, Result<SignatureBytes, ApiError>>;

/// An epoch's duties of some validators, under the group's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duties<Duty> {
    /// The block that the duties depend on.
    pub dependent_root: Root,
    /// Whether the beacon node answered without having checked payloads.
    pub execution_optimistic: bool,
    /// The duties.
    pub items: Vec<Duty>,
}

/// A node, as a validator client's requests see it.
///
/// Every method may wait as long as an answer is still possible: the server gives up at its deadline and drops the
/// future, which must lose nothing but the answer. What is not known yet is waited for, never guessed: clients remember an
/// epoch's duties. Requests come again at any time, early, late and several at once.
pub trait ValidatorApi: Send + Sync + 'static {
    /// The cluster's keys, which never change.
    fn keys(&self) -> &KeyTable;

    /// The validators' indices. Waits as long as they are not known.
    fn roster(&self) -> impl Future<Output = Arc<Roster>> + Send;

    /// Attester duties of these validators of the cluster.
    fn attester_duties(
        &self,
        epoch: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> impl Future<Output = Result<Duties<AttesterDuty>, ApiError>> + Send;

    /// Proposer duties, at least those of the cluster's validators.
    fn proposer_duties(
        &self,
        epoch: Epoch,
    ) -> impl Future<Output = Result<Duties<ProposerDuty>, ApiError>> + Send;

    /// Sync committee duties of these validators of the cluster.
    fn sync_duties(
        &self,
        epoch: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> impl Future<Output = Result<Duties<SyncCommitteeDuty>, ApiError>> + Send;

    /// The state's entries of these validators of the cluster, under the group's keys. Validators that the state does
    /// not have are left out. `state` is the client's own text, such as `head`.
    fn validators(
        &self,
        state: &str,
        validators: Vec<PublicKeyBytes>,
    ) -> impl Future<Output = Result<Vec<ValidatorState>, ApiError>> + Send;

    /// Which of the cluster's validators has this place in a committee, if one has: before Electra an attestation says
    /// no more of its validator.
    fn committee_member(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
        place: u64,
    ) -> impl Future<Output = Result<Option<PublicKeyBytes>, ApiError>> + Send;

    /// The decided attestation data of a slot and committee.
    fn attestation_data(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
    ) -> impl Future<Output = Result<AttestationData, ApiError>> + Send;

    /// The decided aggregate over this attestation data.
    fn aggregate(
        &self,
        slot: Slot,
        data_root: Root,
        committee: CommitteeIndex,
    ) -> impl Future<Output = Result<AggregateValue, ApiError>> + Send;

    /// The decided contribution of a subcommittee over this head.
    fn contribution(
        &self,
        slot: Slot,
        subcommittee: u64,
        block_root: Root,
    ) -> impl Future<Output = Result<SyncCommitteeContribution, ApiError>> + Send;

    /// The decided block of a slot, for which the client hands in its partial randao reveal. `graffiti` is its wish.
    fn proposal(
        &self,
        slot: Slot,
        randao_reveal: SignatureBytes,
        graffiti: Option<Root>,
    ) -> impl Future<Output = Result<Proposal, ApiError>> + Send;

    /// Takes partial signatures: each is verified under this node's share, compared with what was decided, and held
    /// while that is open. Failing items keep none of the others back.
    fn sign(&self, partials: Vec<Partial>) -> impl Future<Output = Result<(), SignError>> + Send;

    /// Takes partial selection proofs, and tells for each, in their order, how to wait for the group's.
    ///
    /// The server waits within its deadline. An item that is not taken is told when it is waited for, so that it keeps
    /// none of the others back.
    fn combine(
        &self,
        partials: Vec<Partial>,
    ) -> impl Future<Output = Result<Vec<Combining>, ApiError>> + Send;
}
