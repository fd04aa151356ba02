//! The messages of the protocol and what travels inside them.
//!
//! A message here is plain data: whoever hands it to an [`Instance`](crate::Instance) has checked
//! that its `source` really said it. The outer layer's proof of that (a signed encoding, say) rides
//! along as the opaque `seal`, so that a justification can be shown to others verbatim.

/// Identity of a proposed value; the value itself stays with the caller.
///
/// The null value of the protocol is `None`, never a hash of zeros.
pub type Hash = [u8; 32];

/// The five message types of the wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageKind {
    /// The leader of a round proposes a value.
    PrePrepare,
    /// A process accepts the proposal of the round.
    Prepare,
    /// A process has seen a quorum of PREPAREs.
    Commit,
    /// A process gives up on a round; `round` is the round it moves to.
    RoundChange,
    /// A process shows a decision with its quorum of COMMITs.
    Decided,
}

/// One statement of one process.
///
/// `S` is the seal: opaque to this crate, kept so that the statement can be shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message<S> {
    /// What is said.
    pub kind: MessageKind,
    /// Who says it: an index below the number of processes.
    pub source: usize,
    /// The round it is said in, from 1.
    pub round: u64,
    /// The value it is about; `None` is null.
    pub value: Option<Hash>,
    /// ROUND-CHANGE only: the round in which `source` last prepared a value, 0 if never.
    pub prepared_round: u64,
    /// ROUND-CHANGE only: the value prepared in `prepared_round`.
    pub prepared_value: Option<Hash>,
    /// The outer layer's proof that `source` said this.
    pub seal: S,
}

impl<S> Message<S> {
    /// Whether both are the same statement of the same process, whatever their seals.
    #[must_use]
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.source == other.source
            && self.round == other.round
            && self.value == other.value
            && self.prepared_round == other.prepared_round
            && self.prepared_value == other.prepared_value
    }
}

/// What this process wants to say: a [`Message`] that has no seal yet.
///
/// The outer layer seals it, sends it to the others, and feeds it back to the same instance as a
/// message: own votes count only through that way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What is said.
    pub kind: MessageKind,
    /// The round it is said in.
    pub round: u64,
    /// The value it is about; `None` is null.
    pub value: Option<Hash>,
    /// The round of the prepared certificate, 0 if none.
    pub prepared_round: u64,
    /// The value of the prepared certificate.
    pub prepared_value: Option<Hash>,
}
