//! What a cluster agrees on.

use super::{
    aggregate::AggregateValue, attester::AttesterValue, codec::DecodeError,
    contribution::SyncContributions, proposal::Proposal,
};
use crate::{DutyKind, ListSizes, Slot};

/// The value of one validator in a duty that is agreed on. One variant per kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnsignedData {
    /// A block.
    Proposer(Proposal),
    /// Attestation data with the assignment it is for.
    Attester(AttesterValue),
    /// An aggregate attestation.
    Aggregator(AggregateValue),
    /// Sync committee contributions.
    SyncContribution(SyncContributions),
}

impl UnsignedData {
    /// The kind of duty this value belongs to.
    pub const fn kind(&self) -> DutyKind {
        match self {
            Self::Proposer(_) => DutyKind::Proposer,
            Self::Attester(_) => DutyKind::Attester,
            Self::Aggregator(_) => DutyKind::Aggregator,
            Self::SyncContribution(_) => DutyKind::SyncContribution,
        }
    }

    /// The attester's value, if it is one.
    pub const fn attester(&self) -> Option<&AttesterValue> {
        match self {
            Self::Attester(value) => Some(value),
            _ => None,
        }
    }

    /// The slot this value is for, as it says itself.
    pub fn slot(&self) -> Slot {
        match self {
            Self::Proposer(proposal) => proposal.slot(),
            Self::Attester(value) => value.data.slot,
            Self::Aggregator(value) => value.slot(),
            Self::SyncContribution(value) => value.slot(),
        }
    }

    /// The bytes on the cluster's wire (spec 30 §2.4).
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Proposer(proposal) => proposal.encode(),
            Self::Attester(value) => value.encode(),
            Self::Aggregator(value) => value.encode(),
            Self::SyncContribution(value) => value.encode(),
        }
    }

    /// Reads the bytes on the cluster's wire, on a chain with these list sizes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Kind`] for kinds without agreement on a set.
    pub fn decode(kind: DutyKind, bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        match kind {
            DutyKind::Proposer => Proposal::decode(bytes, sizes).map(Self::Proposer),
            DutyKind::Attester => AttesterValue::decode(bytes).map(Self::Attester),
            DutyKind::Aggregator => AggregateValue::decode(bytes, sizes).map(Self::Aggregator),
            DutyKind::SyncContribution => {
                SyncContributions::decode(bytes, sizes).map(Self::SyncContribution)
            }
            DutyKind::Signature
            | DutyKind::Exit
            | DutyKind::BuilderProposer
            | DutyKind::BuilderRegistration
            | DutyKind::Randao
            | DutyKind::PrepareAggregator
            | DutyKind::SyncMessage
            | DutyKind::PrepareSyncContribution
            | DutyKind::InfoSync => Err(DecodeError::Kind(kind)),
        }
    }
}
