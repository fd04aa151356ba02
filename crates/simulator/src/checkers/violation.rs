//! What must never happen, by name.

use flotilla_types::{Duty, Epoch};

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Two honest nodes decided differently.
    #[error("two nodes decided differently on {0}")]
    Disagreement(Duty),
    /// An honest node decided on the null value.
    #[error("the null value was decided for {0}")]
    NullDecided(Duty),
    /// An honest node's share signed two roots for one duty and item.
    #[error("node {0}'s share signed two roots for {1}")]
    TwoRoots(usize, Duty),
    /// An honest node's share signed two roots for one target.
    #[error("node {0}'s share signed two roots with target {1}")]
    TwoTargets(usize, Epoch),
    /// An honest node's share signed a vote that surrounds another of its votes.
    #[error("node {0}'s share signed a surround vote with target {1}")]
    Surround(usize, Epoch),
    /// An honest node's share signed something else than other honest shares did, where all sign the same.
    #[error("node {0}'s share signed something else for {1} than others")]
    SharesDiffer(usize, Duty),
    /// An honest node's share signed a vote or a block that conflicts with the chain of its own beacon node.
    #[error("node {0}'s share signed against the chain of its own beacon node for {1}")]
    AgainstOwnChain(usize, Duty),
    /// An honest node let its share of the randomness go before two thirds of the slot before.
    #[error("node {0}'s share of the randomness for {1} left too early")]
    EarlyRandao(usize, Duty),
    /// An honest node submitted something that is not the group's signature, or not over what an honest node signs.
    #[error("node {0} submitted a wrong signature or object for {1}")]
    BadSubmission(usize, Duty),
    /// The group signed two roots for one duty and item.
    #[error("the group signed two roots for {0}")]
    GroupTwoRoots(Duty),
    /// The group signed two roots for one target, or a surround vote.
    #[error("the group signed two roots with target {0}")]
    GroupTwoTargets(Epoch),
    /// A paused honest node asked for signatures or let some go.
    #[error("node {0} signed for {1} although it was paused")]
    SignedPaused(usize, Duty),
    /// A node remembers more duties than its bound, or does not forget them.
    #[error("node {0} remembers {1} duties")]
    Unbounded(usize, usize),
    /// A duty ended twice on one node.
    #[error("{1} ended twice on node {0}")]
    EndedTwice(usize, Duty),
    /// A validator client was answered twice, or another value than another one.
    #[error("node {0} told its validator client two things")]
    ToldTwo(usize),
    /// A validator client still waits although everything is over.
    #[error("node {0} owes its validator client an answer")]
    Unanswered(usize),
    /// A duty did not complete although the cluster had healed; the part is the subcommittee where there is one.
    #[error("{0}, part {1}: not complete although the cluster had healed")]
    Incomplete(Duty, u64),
}
