//! The beacon chain of the testnet, as rules: what blocks there are and when they are seen, who has which duty when, and
//! what becomes of anything that is brought in.
//!
//! The modules below know neither HTTP nor the clock: time comes in as a [`Timestamp`](flotilla_types::Timestamp). Only
//! [`Simulator`] joins them with the wall clock and with worker threads for signatures. It exists so that a cluster can
//! be judged by somebody who does not share its code paths: every signature is checked under the group key.

mod attestations;
mod books;
mod committees;
mod due;
mod exits;
mod fault;
mod history;
mod intents;
mod payload;
mod pools;
mod proposals;
mod proposers;
mod seed;
mod simulator;
mod submission;
mod sync_committee;
mod sync_messages;
mod verifier;
mod watch;
mod world;

pub use books::{Books, Part};
pub use committees::{EpochDuties, Registry};
pub use due::{JUDGED, Selections};
pub use fault::{Arrival, Counts, Fault, Judgement, Totals};
pub use history::{Block, History};
pub use intents::Intents;
pub use payload::{Ingredients, Kitchen, Maker};
pub use pools::{MessagePool, Vote, VotePool};
pub use proposals::{BlockRequest, MakeError};
pub use proposers::{Proposer, Proposers};
pub use seed::Seed;
pub use simulator::{Config, Event, Extras, Simulator, now};
pub use submission::{Submission, Verdict};
pub use sync_committee::{PERIOD_EPOCHS, SyncCommittee, SyncCommittees};
pub use verifier::{Claim, Verifier};
pub use watch::SlashingWatch;
pub use world::World;

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod attestations_tests;
#[cfg(test)]
mod proposals_tests;
#[cfg(test)]
mod sync_tests;
