//! What goes into an instance and what comes out of it.

use crate::{Draft, Hash, Message};
use std::fmt;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<S> {
    /// The duty begins here: the first timer starts, and what arrived before is looked at.
    Start,
    /// The value this process would propose. Only the first one counts; it is never all zeros.
    Propose(Hash),
    /// Somebody, possibly this process itself, said `message`, and showed `justification` with it.
    ///
    /// The caller has checked that every `source` named in it really said so.
    Message {
        /// What was said.
        message: Message<S>,
        /// What was shown with it.
        justification: Vec<Message<S>>,
    },
    /// The answer to [`Output::Validate`]; one given unasked saves the question.
    Verdict {
        /// The value asked about.
        value: Hash,
        /// Whether this process would sign it.
        good: bool,
    },
    /// The time named by [`Instance::deadline`](crate::Instance::deadline) has come. An early or a
    /// repeated one changes nothing.
    Timeout,
}

/// One thing to do or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<S> {
    /// Log the vote, seal it, send it, and feed it back as [`Input::Message`] unless it is
    /// addressed to one peer.
    Send {
        /// Who is to have it.
        to: Recipients,
        /// What this process says.
        draft: Draft,
        /// What it shows with it.
        justification: Vec<Message<S>>,
    },
    /// This process now holds a prepared certificate. Log it (a restarted process must be able to
    /// show it, see [`VoteState`](crate::VoteState)); it always comes before the COMMIT it leads to.
    Prepared {
        /// The round the value was prepared in.
        round: u64,
        /// The value.
        value: Hash,
        /// A quorum of PREPAREs, one per source.
        certificate: Vec<Message<S>>,
    },
    /// Would this process sign this value? Asked once per value, answered by [`Input::Verdict`] at
    /// any later time.
    Validate(Hash),
    /// The processes have agreed. Comes at most once.
    Decided {
        /// What they have agreed on.
        value: Hash,
        /// The round they agreed in.
        round: u64,
        /// The proof: a quorum of COMMITs for exactly this value and round, one per source.
        commits: Vec<Message<S>>,
    },
    /// The instance is now in another round.
    RoundChanged {
        /// The round it is in.
        round: u64,
        /// Why.
        reason: RoundChangeReason,
    },
    /// A message was dropped and counts for nothing.
    Rejected {
        /// Who is said to have sent it; may be no process at all.
        source: usize,
        /// Why it was dropped.
        reason: Rejection,
    },
}

/// Who a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every process, this one included.
    All,
    /// One other process.
    One(usize),
}

/// Why an instance has changed its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoundChangeReason {
    /// The round's time was up.
    Timeout,
    /// At least one correct process is already there: f + 1 have said so.
    OthersAhead,
    /// A justified proposal of that round arrived.
    Proposal,
    /// The decision was made in that round.
    Decision,
}

/// Why a message was dropped.
///
/// [`Self::BufferFull`] names the sender of a message that was kept; what went was an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// The message, or one shown with it, names a source that is no process.
    UnknownSource {
        /// The index named.
        named: usize,
    },
    /// The message, or one shown with it, is of round 0; rounds start at 1.
    RoundZero,
    /// More messages are shown than any rule can need.
    TooManyJustifications {
        /// How many are shown.
        count: usize,
        /// How many may be: twice the number of processes.
        limit: usize,
    },
    /// A PRE-PREPARE, PREPARE, COMMIT or DECIDED about nothing.
    NullValue,
    /// A PRE-PREPARE by a process that does not lead its round.
    NotLeader {
        /// The process that does.
        leader: usize,
    },
    /// A PRE-PREPARE of a later round that does not show why its value is free of earlier ones.
    UnjustifiedProposal,
    /// A ROUND-CHANGE whose prepared certificate does not show what it claims.
    BadCertificate,
    /// A DECIDED that does not show a quorum of COMMITs for its value and round.
    TooFewCommits {
        /// How many it does show.
        found: usize,
        /// How many make a quorum.
        quorum: usize,
    },
    /// The source has sent more than is kept of it; its oldest message was forgotten.
    BufferFull,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownSource { named } => write!(f, "source {named} is no process"),
            Self::RoundZero => write!(f, "round 0; rounds start at 1"),
            Self::TooManyJustifications { count, limit } => {
                write!(f, "{count} justifying messages, at most {limit} are taken")
            }
            Self::NullValue => write!(f, "about the null value"),
            Self::NotLeader { leader } => {
                write!(f, "PRE-PREPARE, but process {leader} leads the round")
            }
            Self::UnjustifiedProposal => {
                write!(f, "PRE-PREPARE without a justified quorum of ROUND-CHANGEs")
            }
            Self::BadCertificate => write!(f, "ROUND-CHANGE without the PREPAREs it claims"),
            Self::TooFewCommits { found, quorum } => {
                write!(f, "DECIDED with {found} COMMITs, a quorum is {quorum}")
            }
            Self::BufferFull => write!(f, "too many messages; the oldest was forgotten"),
        }
    }
}
