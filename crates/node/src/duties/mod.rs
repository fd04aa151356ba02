//! What the shell asks the beacon node for, in the engine's words: duties, unsigned data, the chain, acceptance.
//!
//! Nothing is decided here: an answer is translated, and a failure says whether asking again can help.

mod chain;
mod fetch;
mod own_votes;
mod rosters;
mod submit;
mod synthetic;
#[cfg(test)]
mod tests;

use flotilla_beacon::client::{QueryError, Validator};
use flotilla_duty::io::FetchError;
use flotilla_types::Epoch;

pub(crate) use chain::{examine, head};
pub(crate) use fetch::{Production, fetch};
pub(crate) use rosters::{List, Rosters, announce_aggregators, of_epoch};
pub(crate) use submit::submit;
pub(crate) use synthetic::{Rehearsal, swallow};

fn failed(error: &QueryError) -> FetchError {
    FetchError {
        text: error.to_string(),
        temporary: error.is_temporary(),
    }
}

/// What is not there yet, and may be in a moment.
fn not_yet(text: impl Into<String>) -> FetchError {
    FetchError {
        text: text.into(),
        temporary: true,
    }
}

/// Whether a validator has duties in `epoch`; the beacon node's status lags behind an activation.
pub(crate) fn is_active_in(validator: &Validator, epoch: Epoch) -> bool {
    validator.status.is_active()
        || (validator.activation_epoch <= epoch && epoch < validator.exit_epoch)
}
