//! The names of a duty's stages, the same in metrics, in the outcome stream and in the latency reports.

use flotilla_duty::Outcome;
use flotilla_duty::outcome::ItemOutcome;
use flotilla_types::Timestamp;

/// Stages that all validators of a duty share.
pub fn shared(outcome: &Outcome) -> [(&'static str, Option<Timestamp>); 4] {
    let stages = &outcome.stages;
    [
        ("fetched", stages.fetched),
        ("agreed", stages.agreed),
        ("record", stages.recorded),
        ("signed", stages.signed),
    ]
}

/// Stages of each validator.
pub fn own(validator: &ItemOutcome) -> [(&'static str, Option<Timestamp>); 3] {
    [
        ("quorum", validator.quorum),
        ("aggregated", validator.aggregated),
        ("submitted", validator.submitted),
    ]
}
