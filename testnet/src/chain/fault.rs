//! What becomes of something that is brought to a beacon node: the words of the judges.

use std::collections::BTreeMap;

use flotilla_types::Timestamp;

/// Why a submission is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The validator is none of the cluster's.
    #[error("validator {0} is not known")]
    UnknownValidator(u64),
    /// The validator has left.
    #[error("validator {0} has exited")]
    Exited(u64),
    /// The signature does not verify under the group public key.
    #[error("the signature does not verify under the validator's public key")]
    BadSignature,
    /// Its slot has not begun.
    #[error("slot {0} has not begun")]
    TooEarly(u64),
    /// Its slot is too far back to be included at all.
    #[error("slot {0} is too old")]
    TooOld(u64),
    /// The validator has no duty in that slot.
    #[error("the validator has no duty of this kind in slot {0}")]
    WrongSlot(u64),
    /// The validator is in another committee.
    #[error("the validator is in committee {expected}, not {found}")]
    WrongCommittee {
        /// The committee the shuffling put it in.
        expected: u64,
        /// The committee named.
        found: u64,
    },
    /// The signed data names a committee, which is illegal since Electra (EIP-7549).
    #[error("the attestation data has index {0}; only 0 is legal at this fork")]
    IllegalIndex(u64),
    /// The head is not the chain's head of that slot.
    #[error("the head is not the block of the slot")]
    WrongHead,
    /// The source is not the justified checkpoint.
    #[error("the source is not the justified checkpoint")]
    WrongSource,
    /// The target is not the epoch's checkpoint.
    #[error("the target is not the checkpoint of the epoch")]
    WrongTarget,
    /// Another validator proposes in that slot.
    #[error("validator {expected} proposes in the slot, not {found}")]
    WrongProposer {
        /// Whose slot it is.
        expected: u64,
        /// The proposer named.
        found: u64,
    },
    /// The proposer has brought another block for the slot before.
    #[error("the proposer has brought another block for slot {0}")]
    SecondBlock(u64),
    /// The block does not follow the head.
    #[error("the parent is not the head before the slot")]
    WrongParent,
    /// The reveal of randomness is not the proposer's signature of the epoch.
    #[error("the randao reveal does not verify under the proposer's public key")]
    BadRandao,
    /// The payload is none that the chain's execution layer or builder has made.
    #[error("the execution payload is not one that was made for this slot")]
    UnknownPayload,
    /// The fees go to somebody whom nobody prepared or registered for this validator.
    #[error("the fee recipient is none that was prepared or registered for the validator")]
    WrongFeeRecipient,
    /// Blobs or proofs beside the block are not as many as it commits to.
    #[error("the blobs and proofs are not as many as the block commits to")]
    WrongBlobs,
    /// The selection proof is not the aggregator's signature of the slot.
    #[error("the selection proof does not verify under the aggregator's public key")]
    BadSelectionProof,
    /// The selection proof selects nobody.
    #[error("the selection proof does not make the validator an aggregator")]
    NotAggregator,
    /// Bits of another length, none, or of members whose signatures cannot be in the aggregate.
    #[error("the bits are not those of the cluster's members that signed")]
    WrongBits,
    /// Attestations that were there in the first half of the slot are not in the aggregate.
    #[error("the aggregate lacks attestations that were there in time")]
    LacksAttestations,
    /// The aggregated signature is not that of the members the bits name.
    #[error("the aggregated signature does not verify under the keys of the members")]
    BadAggregate,
    /// The validator is not in the sync committee, or not in that part of it.
    #[error("validator {0} is not in this sync committee")]
    NotInSyncCommittee(u64),
    /// The exit's epoch has not begun.
    #[error("the exit is for epoch {0}, which has not begun")]
    ExitTooEarly(u64),
}

impl Fault {
    /// A short name without numbers, for counting.
    pub fn label(self) -> &'static str {
        match self {
            Fault::UnknownValidator(_) => "unknown validator",
            Fault::Exited(_) => "exited validator",
            Fault::BadSignature => "bad signature",
            Fault::TooEarly(_) => "too early",
            Fault::TooOld(_) => "too old",
            Fault::WrongSlot(_) => "wrong slot",
            Fault::WrongCommittee { .. } => "wrong committee",
            Fault::IllegalIndex(_) => "illegal index",
            Fault::WrongHead => "wrong head",
            Fault::WrongSource => "wrong source",
            Fault::WrongTarget => "wrong target",
            Fault::WrongProposer { .. } => "wrong proposer",
            Fault::SecondBlock(_) => "second block",
            Fault::WrongParent => "wrong parent",
            Fault::BadRandao => "bad randao reveal",
            Fault::UnknownPayload => "unknown payload",
            Fault::WrongFeeRecipient => "wrong fee recipient",
            Fault::WrongBlobs => "wrong blobs",
            Fault::BadSelectionProof => "bad selection proof",
            Fault::NotAggregator => "not an aggregator",
            Fault::WrongBits => "wrong bits",
            Fault::LacksAttestations => "aggregate lacks attestations",
            Fault::BadAggregate => "bad aggregate signature",
            Fault::NotInSyncCommittee(_) => "not in the sync committee",
            Fault::ExitTooEarly(_) => "exit too early",
        }
    }
}

/// What became of one submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The first of its kind, right and in time.
    Included,
    /// The first of its kind and valid, but too late to be included where it belongs.
    Late,
    /// The same had been brought before, by this node or another.
    Duplicate,
    /// Not acceptable.
    Refused(Fault),
}

/// When and where something was first brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When the request was received, before anything was checked.
    pub at: Timestamp,
    /// Which operator's endpoint received it.
    pub endpoint: usize,
}

/// Counts of one kind of submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accepted for the first time, in time or late.
    pub accepted: u64,
    /// Refused, duplicates apart.
    pub rejected: u64,
    /// Accepted before.
    pub duplicates: u64,
}

/// Counts over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Submissions refused, duplicates apart.
    pub rejected: u64,
    /// Submissions of what was already there.
    pub duplicates: u64,
    /// Pairs of conflicting signatures.
    pub slashable: u64,
    /// What was refused, by [`Fault::label`].
    pub faults: BTreeMap<&'static str, u64>,
    /// Counts by the name of the kind of duty.
    pub kinds: BTreeMap<&'static str, Counts>,
}
