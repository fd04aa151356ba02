//! Why bytes of a peer were dropped.

use flotilla_types::{
    DecodeError, Duty, DutyKind, GateError, PeerIndex, PublicKeyBytes, Root, Slot,
};

/// Why a message was dropped. Nobody is told: the caller counts it by [`Reject::label`] and logs the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    /// Longer than its protocol allows.
    #[error("the message has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The protocol's limit.
        limit: usize,
    },
    /// Not the protobuf message it should be.
    #[error("the bytes are not a {0}")]
    Malformed(&'static str),
    /// A field that must be present is absent.
    #[error("field {0} is missing")]
    MissingField(&'static str),
    /// A message type other than 1 to 5.
    #[error("message type {0} does not exist")]
    MessageType(i64),
    /// A duty type that does not exist.
    #[error("duty type {0} does not exist")]
    DutyType(i32),
    /// A round below 1.
    #[error("round {0} is below 1")]
    Round(i64),
    /// A prepared round below 0.
    #[error("prepared round {0} is negative")]
    PreparedRound(i64),
    /// An author outside the cluster.
    #[error("peer index {index} is not among {nodes} peers")]
    UnknownPeer {
        /// What the message says.
        index: i64,
        /// How many peers there are.
        nodes: usize,
    },
    /// A signature that is not the author's.
    #[error("the signature is not that of peer {author}")]
    BadSignature {
        /// Who is said to have signed.
        author: PeerIndex,
    },
    /// A duty too far ahead.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// More justifications than two for each peer.
    #[error("more than {limit} justifications")]
    TooManyJustifications {
        /// The limit.
        limit: usize,
    },
    /// More values than a message with its justifications can refer to.
    #[error("more than {limit} values")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// A justification that would be dropped on its own.
    #[error("justification {place}: {reason}")]
    Justification {
        /// Its place, from 0.
        place: usize,
        /// Why.
        reason: Box<Reject>,
    },
    /// A justification for another duty.
    #[error("the statement is for duty {found}, the message for {expected}")]
    ForeignDuty {
        /// Its duty.
        found: Duty,
        /// The duty of the message that carries it.
        expected: Duty,
    },
    /// A kind of duty that is agreed on, but not by this version of the software: not the sender's fault.
    #[error("{0} duties are not supported yet")]
    UnsupportedKind(DutyKind),
    /// A kind of duty that is never agreed on.
    #[error("{0} duties are not agreed on")]
    NoAgreement(DutyKind),
    /// A kind of duty without partial signatures.
    #[error("{0} duties have no partial signatures")]
    NoPartialSignatures(DutyKind),
    /// A value of another type than the duty's.
    #[error("a value is of type {0:?}")]
    ValueType(String),
    /// A set without entries.
    #[error("the set is empty")]
    EmptySet,
    /// A map key that is not a public key as 0x and 96 lower-case hexadecimal digits.
    #[error("{0:?} is not a validator's key")]
    ValidatorKey(String),
    /// An entry without bytes, or with undecodable ones.
    #[error("data of validator {validator}: {error}")]
    Data {
        /// Whose data.
        validator: PublicKeyBytes,
        /// What is wrong.
        error: DecodeError,
    },
    /// A hash whose value is not in the message.
    #[error("no value with hash {0}")]
    MissingValue(Root),
    /// A duty that is over.
    #[error("duty {0} has expired")]
    Expired(Duty),
    /// A validator of another cluster.
    #[error("validator {0} is not in this cluster")]
    UnknownValidator(PublicKeyBytes),
    /// A share that is not the sender's.
    #[error("share {claimed} is claimed by peer {sender}")]
    ForeignShare {
        /// The share named in the message.
        claimed: i32,
        /// Who sent it.
        sender: PeerIndex,
    },
    /// A signed object for another slot than its envelope.
    #[error(
        "the signed object of validator {validator} is for slot {found}, its envelope for {expected}"
    )]
    WrongSlot {
        /// Whose object.
        validator: PublicKeyBytes,
        /// The slot of the object.
        found: Slot,
        /// The slot of the envelope.
        expected: Slot,
    },
    /// A time that does not exist or lies outside of what can be told.
    #[error("{field} is not a time: {seconds} s and {nanos} ns")]
    Time {
        /// The field.
        field: &'static str,
        /// Its seconds since the Unix epoch.
        seconds: i64,
        /// Its nanoseconds.
        nanos: i32,
    },
}

impl Reject {
    /// A name for counters; there are few, and they never change.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too_long",
            Self::Malformed(_) => "malformed",
            Self::MissingField(_) => "missing_field",
            Self::MessageType(_) => "message_type",
            Self::DutyType(_) => "duty_type",
            Self::Round(_) | Self::PreparedRound(_) => "round",
            Self::UnknownPeer { .. } => "unknown_peer",
            Self::BadSignature { .. } => "bad_signature",
            Self::Gate(_) => "too_far_ahead",
            Self::TooManyJustifications { .. } | Self::TooManyValues { .. } => "too_many",
            Self::Justification { .. } => "justification",
            Self::ForeignDuty { .. } => "foreign_duty",
            Self::UnsupportedKind(_) => "unsupported_kind",
            Self::NoAgreement(_) | Self::NoPartialSignatures(_) => "wrong_kind",
            Self::ValueType(_) => "value_type",
            Self::EmptySet => "empty_set",
            Self::ValidatorKey(_) | Self::UnknownValidator(_) => "unknown_validator",
            Self::Data { .. } => "data",
            Self::MissingValue(_) => "missing_value",
            Self::Expired(_) => "expired",
            Self::ForeignShare { .. } => "foreign_share",
            Self::WrongSlot { .. } => "wrong_slot",
            Self::Time { .. } => "time",
        }
    }

    /// Whether an honest peer never causes this. Old news, distant news and kinds we cannot do are nobody's fault.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::UnsupportedKind(_) | Self::Expired(_) | Self::Gate(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::Slot;

    use super::*;

    #[test]
    fn what_an_honest_peer_may_send_is_no_fault() {
        assert!(!Reject::UnsupportedKind(DutyKind::Proposer).is_fault());
        assert!(!Reject::Expired(Duty::attester(Slot(1))).is_fault());
        assert!(Reject::EmptySet.is_fault());
    }

    #[test]
    fn texts_carry_the_numbers() {
        let reject = Reject::Justification {
            place: 2,
            reason: Box::new(Reject::Round(-1)),
        };
        assert_eq!(reject.to_string(), "justification 2: round -1 is below 1");
        assert_eq!(reject.label(), "justification");
    }
}
