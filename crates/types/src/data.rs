//! What is agreed on, signed and submitted, and its bytes.

mod attestation;
mod attester;
mod codec;
mod objects;
mod signed;
mod unsigned;

pub use attestation::{Attestation, AttestationData, Checkpoint, SingleAttestation, SizeError};
pub use attester::{AttesterDuty, AttesterValue};
pub use codec::DecodeError;
pub use objects::{
    AggregateAndProof, ContributionAndProof, SyncAggregatorSelectionData,
    SyncCommitteeContribution, ValidatorRegistration, VoluntaryExit,
};
pub use signed::{SignedAttestation, SignedData, ValueError};
pub use unsigned::UnsignedData;
