//! How a duty ended, in one vocabulary for logs, metrics, the status page and the documents.

use std::collections::BTreeMap;

use flotilla_types::{Duty, ExecutionAddress, Fork, PeerIndex, PublicKeyBytes, Timestamp};

use crate::io::{Item, Stages};
use crate::slashing::Refusal;

/// The end of a duty (or, in [`Output::Late`](crate::Output::Late), where it stands).
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Which duty.
    pub duty: Duty,
    /// The chain's due point; stage latencies are measured from here.
    pub due: Timestamp,
    /// The round that decided, if any did.
    pub round: Option<u64>,
    /// Who led that round.
    pub leader: Option<PeerIndex>,
    /// When the stages that all validators share were reached.
    pub stages: Stages,
    /// Each item's own end.
    pub items: BTreeMap<Item, ItemOutcome>,
}

/// One validator's part in a duty.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemOutcome {
    /// When the threshold-th partial signature over the agreed root was here.
    pub quorum: Option<Timestamp>,
    /// When the group signature was made and checked.
    pub aggregated: Option<Timestamp>,
    /// When a beacon node accepted it; never for kinds that only the cluster needs.
    pub submitted: Option<Timestamp>,
    /// Submitted or missed.
    pub fate: Fate,
}

impl ItemOutcome {
    /// When it was done: accepted, or made if only the cluster needs it; `None` if it was missed.
    pub fn done(&self) -> Option<Timestamp> {
        match self.fate {
            Fate::Submitted => self.submitted.or(self.aggregated),
            Fate::Missed { .. } => None,
        }
    }
}

/// Submitted, or missed with step, reason and the peers it hung on.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A beacon node accepted the group-signed object; or it was made, if only the cluster needs it.
    Submitted,
    /// It did not come to that.
    Missed {
        /// The last step that did not complete.
        step: Step,
        /// Why.
        reason: Reason,
        /// Peers that were absent or at fault, by index.
        peers: Vec<PeerIndex>,
    },
}

/// The steps of a duty, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Asking the beacon node for the data.
    Fetch,
    /// Agreeing on it.
    Agree,
    /// Writing to the slashing database.
    Record,
    /// Signing with our share.
    Sign,
    /// Exchanging partial signatures.
    Exchange,
    /// Combining them.
    Aggregate,
    /// Bringing the result to the beacon node.
    Submit,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 7] = [
        Step::Fetch,
        Step::Agree,
        Step::Record,
        Step::Sign,
        Step::Exchange,
        Step::Aggregate,
        Step::Submit,
    ];

    /// The word used in logs, metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Step::Fetch => "fetch",
            Step::Agree => "agree",
            Step::Record => "record",
            Step::Sign => "sign",
            Step::Exchange => "exchange",
            Step::Aggregate => "aggregate",
            Step::Submit => "submit",
        }
    }
}

/// Why a step did not complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The beacon node gave no data.
    #[error("the beacon node gave no data: {0}")]
    NoData(String),
    /// The duty waits for the result of another one of its slot, which did not come.
    #[error("no {0}")]
    Missing(Ingredient),
    /// No quorum of peers took part in the agreement.
    #[error("no agreement: heard from {heard} of {needed} peers needed")]
    NoQuorum {
        /// Peers heard from in this instance, ourselves included.
        heard: usize,
        /// The quorum.
        needed: usize,
    },
    /// A quorum took part, yet no round decided in time.
    #[error("no agreement in {rounds} rounds")]
    NoDecision {
        /// The last round entered.
        rounds: u64,
    },
    /// The agreed value lacks this validator.
    #[error("the agreed value has no data for this validator")]
    NotInValue,
    /// The agreed value is one we do not sign (S1).
    #[error("refused: {0}")]
    Refused(ValueFault),
    /// The slashing database refused (S2).
    #[error("refused by the slashing database: {0}")]
    Slashing(Refusal),
    /// The slashing database did not answer in time.
    #[error("the slashing database did not answer")]
    DatabaseSilent,
    /// No signature of our own share.
    #[error("our share did not sign")]
    Unsigned,
    /// The validator client has not handed in a signature of our share.
    #[error("the validator client did not sign")]
    ClientSilent,
    /// Signing is paused (S11).
    #[error("signing is paused")]
    Paused,
    /// Too few partial signatures over the agreed root.
    #[error("{have} of {needed} partial signatures")]
    TooFewPartials {
        /// Partial signatures over the agreed root that were here.
        have: usize,
        /// The threshold.
        needed: usize,
    },
    /// Enough signatures were claimed, too few verified.
    #[error("{bad} partial signatures did not verify")]
    BadPartials {
        /// How many were bad.
        bad: usize,
    },
    /// The beacon nodes refused the object.
    #[error("the beacon node refused it: {0}")]
    NotAccepted(String),
    /// The beacon nodes did not answer in time.
    #[error("the beacon node did not answer")]
    NoAnswer,
}

/// What a duty needs of other duties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ingredient {
    /// A proposal needs the group's reveal of randomness.
    Randao,
    /// An aggregation or a contribution needs the group's selection proof.
    Selection,
    /// An aggregation needs to know what was attested.
    Attestation,
    /// A contribution needs the group's sync committee message.
    SyncMessage,
}

impl Ingredient {
    /// Every ingredient.
    pub const ALL: [Ingredient; 4] = [
        Ingredient::Randao,
        Ingredient::Selection,
        Ingredient::Attestation,
        Ingredient::SyncMessage,
    ];

    /// A short label for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Ingredient::Randao => "no_randao",
            Ingredient::Selection => "no_selection",
            Ingredient::Attestation => "no_attestation",
            Ingredient::SyncMessage => "no_sync_message",
        }
    }
}

impl std::fmt::Display for Ingredient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ingredient::Randao => "group signature of the randao reveal",
            Ingredient::Selection => "group signature of the selection proof",
            Ingredient::Attestation => "agreed attestation to aggregate",
            Ingredient::SyncMessage => "group signature of the sync committee message",
        })
    }
}

impl Reason {
    /// A short label for metrics: few values, no numbers.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::NoData(_) => "no_data",
            Reason::Missing(ingredient) => ingredient.label(),
            Reason::NoQuorum { .. } => "no_quorum",
            Reason::NoDecision { .. } => "no_decision",
            Reason::NotInValue => "not_in_value",
            Reason::Refused(_) => "value_refused",
            Reason::Slashing(_) => "slashing_refused",
            Reason::DatabaseSilent => "database_silent",
            Reason::Unsigned => "unsigned",
            Reason::ClientSilent => "client_silent",
            Reason::Paused => "paused",
            Reason::TooFewPartials { .. } => "too_few_partials",
            Reason::BadPartials { .. } => "bad_partials",
            Reason::NotAccepted(_) => "not_accepted",
            Reason::NoAnswer => "no_answer",
        }
    }
}

/// What is wrong with a proposed value (S1).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueFault {
    /// The set is empty.
    #[error("the value is empty")]
    Empty,
    /// It names a validator outside the cluster.
    #[error("validator {0} is not in this cluster")]
    UnknownValidator(PublicKeyBytes),
    /// The entry is of another kind than the duty.
    #[error("the entry of validator {0} is of another kind than the duty")]
    WrongKind(PublicKeyBytes),
    /// The duty data inside names another validator than its key.
    #[error("the entry of validator {0} names another validator")]
    WrongValidator(PublicKeyBytes),
    /// The attestation or the duty inside is for another slot.
    #[error("it is for slot {found}, the duty for slot {expected}")]
    WrongSlot {
        /// The duty's slot.
        expected: u64,
        /// The slot found.
        found: u64,
    },
    /// The committee index of the attestation data is not legal at its fork.
    #[error("attestation data has committee index {0}, which is not legal at this fork")]
    IllegalIndex(u64),
    /// The target is not the epoch of the slot.
    #[error("target epoch is {found}, the slot's epoch is {expected}")]
    WrongTarget {
        /// The slot's epoch.
        expected: u64,
        /// The target epoch found.
        found: u64,
    },
    /// The source is later than the target.
    #[error("source epoch {source_epoch} is later than target epoch {target_epoch}")]
    SourceAfterTarget {
        /// The source epoch.
        source_epoch: u64,
        /// The target epoch.
        target_epoch: u64,
    },
    /// A proposal's value has more than one block.
    #[error("it has {0} blocks")]
    SeveralBlocks(usize),
    /// The block is of another fork than its slot.
    #[error("the block is of {found}, its slot of {expected}")]
    WrongFork {
        /// The slot's fork.
        expected: Fork,
        /// The block's.
        found: Fork,
    },
    /// The block names another proposer.
    #[error("the block names proposer {0}, which is not this validator")]
    WrongProposer(u64),
    /// The group's reveal of randomness is not known here yet.
    #[error("the group's randao reveal is not known here")]
    RandaoUnknown,
    /// The block carries another reveal of randomness than the group's.
    #[error("the block carries another randao reveal than the group's")]
    WrongRandao,
    /// A local block pays its fees to somebody else.
    #[error("the block pays its fees to {found}, the configured recipient is {expected}")]
    WrongFeeRecipient {
        /// Who should be paid.
        expected: ExecutionAddress,
        /// Who would be.
        found: ExecutionAddress,
    },
    /// The aggregate or contribution is of something else than the cluster signed.
    #[error("the entry of validator {0} is not of what the cluster signed")]
    NotAttested(PublicKeyBytes),
    /// The value conflicts with the chain that our own beacon nodes follow.
    #[error("it does not fit the chain of our own beacon nodes")]
    OtherChain,
    /// The entry's position in its committee is not the one our beacon node gave.
    #[error("the committee position of validator {0} differs from our beacon node's")]
    WrongPosition(PublicKeyBytes),
    /// The entry's committee numbers contradict each other.
    #[error("the committee position of validator {0} is impossible")]
    ImpossiblePosition(PublicKeyBytes),
    /// A fork that this version does not know is in force (S11).
    #[error("from epoch {0} on a fork is in force that this version does not know; update")]
    UnknownFork(u64),
}
