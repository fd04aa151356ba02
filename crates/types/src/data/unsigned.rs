//! What a cluster agrees on.

use super::{attester::AttesterValue, codec::DecodeError};
use crate::{DutyKind, PublicKeyBytes, Slot};

/// The value of one validator in a duty that is agreed on. One variant per kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnsignedData {
    /// Attestation data with the assignment it is for.
    Attester(AttesterValue),
}

impl UnsignedData {
    /// The kind of duty this value belongs to.
    pub const fn kind(&self) -> DutyKind {
        match self {
            Self::Attester(_) => DutyKind::Attester,
        }
    }

    /// The slot this value is for, as it says itself.
    pub const fn slot(&self) -> Slot {
        match self {
            Self::Attester(value) => value.data.slot,
        }
    }

    /// The validator this value is for, as it says itself.
    pub const fn public_key(&self) -> &PublicKeyBytes {
        match self {
            Self::Attester(value) => &value.duty.pubkey,
        }
    }

    /// The bytes on the cluster's wire (spec 30 §2.4).
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Attester(value) => value.encode(),
        }
    }

    /// Reads the bytes on the cluster's wire.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Kind`] for kinds without agreement or not supported yet.
    pub fn decode(kind: DutyKind, bytes: &[u8]) -> Result<Self, DecodeError> {
        match kind {
            DutyKind::Attester => AttesterValue::decode(bytes).map(Self::Attester),
            DutyKind::Proposer
            | DutyKind::Signature
            | DutyKind::Exit
            | DutyKind::BuilderProposer
            | DutyKind::BuilderRegistration
            | DutyKind::Randao
            | DutyKind::PrepareAggregator
            | DutyKind::Aggregator
            | DutyKind::SyncMessage
            | DutyKind::PrepareSyncContribution
            | DutyKind::SyncContribution
            | DutyKind::InfoSync => Err(DecodeError::Kind(kind)),
        }
    }
}
