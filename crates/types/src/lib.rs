//! Ethereum's vocabulary and its encodings, as far as a distributed validator needs them.
//!
//! Every other room speaks in these words: a [`Slot`] is not an [`Epoch`], a [`Root`] is not a domain, and what differs
//! by fork (due points, list sizes, the shape of an attestation) is a table here instead of a `match` elsewhere.
//! Encodings are those of the field: SSZ and the Beacon API's JSON, plus the small headers that the members of a
//! cluster put before SSZ values on their own wire ([`SignedData`], [`UnsignedData`]).
//! Each kind of duty has its own type; only a block stays bytes, with its root and the facts of its header ([`Proposal`]).
//!
//! This crate must not know keys, peers, tasks, HTTP or what time it is: a [`Timestamp`] is always handed in.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use flotilla_types::{Chain, ChainSpec, Duty, ForkVersion, Root, Slot, Timestamp};
//!
//! let spec = ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0x10, 0, 0, 0]));
//! let chain = Arc::new(Chain { spec, genesis_time: Timestamp::from_secs(1_700_000_000), genesis_validators_root: Root([7; 32]) });
//! let duty = Duty::attester(Slot(5));
//! assert_eq!(duty.to_string(), "5/attester");
//! assert_eq!(chain.due(duty), chain.slot_start(Slot(5)) + Duration::from_millis(3999));
//! ```

mod address;
mod bits;
mod bytes;
mod chain;
mod data;
mod due;
mod duty;
mod fork;
mod json;
mod lifetime;
mod number;
mod selection;
mod shuffle;
mod signing;
mod spec;
mod time;

pub use address::ExecutionAddress;
pub use bits::{Bitlist, BitsError, CommitteeBits};
pub use bytes::{ForkVersion, ParseBytesError, PublicKeyBytes, Root, SignatureBytes};
pub use chain::{Chain, GATE_EPOCHS_AHEAD, GateError};
pub use data::{
    AggregateAndProof, AggregateValue, Attestation, AttestationData, AttesterDuty, AttesterValue,
    BeaconCommitteeSelection, BlockFacts, BlockHeader, Checkpoint, ContributionAndProof,
    DecodeError, Proposal, ProposerDuty, RandaoReveal, SignedAggregateAndProof, SignedAttestation,
    SignedContributionAndProof, SignedData, SignedProposal, SignedValidatorRegistration,
    SignedVoluntaryExit, SingleAttestation, SizeError, SubcommitteeBits,
    SyncAggregatorSelectionData, SyncCommitteeContribution, SyncCommitteeDuty,
    SyncCommitteeMessage, SyncCommitteeSelection, SyncContributions, UnsignedData,
    ValidatorRegistration, ValueError, VersionedRegistration, VoluntaryExit,
};
pub use due::{BasisPoints, DuePoints, DueSchedule};
pub use duty::{Duty, DutyKind};
pub use fork::{Fork, ForkEntry, ForkSchedule, UnknownFork};
pub use lifetime::Lifetime;
pub use number::{CommitteeIndex, Epoch, ParseNumberError, PeerIndex, Slot, ValidatorIndex};
pub use selection::{is_attestation_aggregator, is_sync_aggregator};
pub use shuffle::shuffled;
pub use signing::{Domain, DomainType, signing_root};
pub use spec::{ChainSpec, ListSizes, SpecError, SpecProblem};
pub use time::Timestamp;
