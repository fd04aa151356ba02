//! What is agreed on, signed and submitted, and its bytes.

mod aggregate;
mod assignments;
mod attestation;
mod attester;
mod block;
mod codec;
mod contribution;
mod decimal;
mod exit;
mod proposal;
mod randao;
mod registration;
mod selections;
mod shape;
mod signed;
mod signed_attestation;
mod sync_message;
mod unsigned;

pub use aggregate::{AggregateAndProof, AggregateValue, SignedAggregateAndProof};
pub use assignments::{ProposerDuty, SyncCommitteeDuty};
pub use attestation::{Attestation, AttestationData, Checkpoint, SingleAttestation, SizeError};
pub use attester::{AttesterDuty, AttesterValue};
pub use codec::DecodeError;
pub use contribution::{
    ContributionAndProof, SignedContributionAndProof, SubcommitteeBits, SyncCommitteeContribution,
    SyncContributions,
};
pub use exit::{SignedVoluntaryExit, VoluntaryExit};
pub use proposal::{BlockFacts, BlockHeader, Proposal, SignedProposal};
pub use randao::RandaoReveal;
pub use registration::{SignedValidatorRegistration, ValidatorRegistration, VersionedRegistration};
pub use selections::{
    BeaconCommitteeSelection, SyncAggregatorSelectionData, SyncCommitteeSelection,
};
pub use signed::SignedData;
pub use signed_attestation::{SignedAttestation, ValueError};
pub use sync_message::SyncCommitteeMessage;
pub use unsigned::UnsignedData;
