//! The beacon chain of the testnet, as rules: what blocks there are and when they are seen, who attests when, and what
//! becomes of an attestation that is brought in.
//!
//! The modules below know neither HTTP nor the clock: time comes in as a [`Timestamp`](flotilla_types::Timestamp). Only
//! [`Simulator`] joins them with the wall clock and with worker threads for signatures. It exists so that a cluster can
//! be judged by somebody who does not share its code paths: every signature is checked under the group key.

mod committees;
mod history;
mod judge;
mod seed;
mod simulator;
mod verifier;
mod watch;

pub use committees::{EpochDuties, Registry};
pub use history::History;
pub use judge::{Arrival, Fault, Judge, Judgement, Totals};
pub use seed::Seed;
pub use simulator::{Config, Simulator, now};
pub use verifier::{Claim, Verifier};
pub use watch::SlashingWatch;
