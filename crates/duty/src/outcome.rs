//! How a duty ended, in one vocabulary for logs, metrics, the status page and the documents.

use std::collections::BTreeMap;

use flotilla_types::{Duty, PeerIndex, PublicKeyBytes, Timestamp};

use crate::io::Stages;
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
    /// Each validator's own end, by group public key.
    pub validators: BTreeMap<PublicKeyBytes, ValidatorOutcome>,
}

/// One validator's part in a duty.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatorOutcome {
    /// When the threshold-th partial signature over the agreed root was here.
    pub quorum: Option<Timestamp>,
    /// When the group signature was made and checked.
    pub aggregated: Option<Timestamp>,
    /// When a beacon node accepted it.
    pub submitted: Option<Timestamp>,
    /// Submitted or missed.
    pub fate: Fate,
}

/// Submitted, or missed with step, reason and the peers it hung on.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// A beacon node accepted the group-signed object.
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

impl Reason {
    /// A short label for metrics: few values, no numbers.
    pub fn label(&self) -> &'static str {
        match self {
            Reason::NoData(_) => "no_data",
            Reason::NoQuorum { .. } => "no_quorum",
            Reason::NoDecision { .. } => "no_decision",
            Reason::NotInValue => "not_in_value",
            Reason::Refused(_) => "value_refused",
            Reason::Slashing(_) => "slashing_refused",
            Reason::DatabaseSilent => "database_silent",
            Reason::Unsigned => "unsigned",
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
