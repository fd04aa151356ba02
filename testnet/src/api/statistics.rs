//! What the chain has counted, for whoever runs the simulator alone.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flotilla_types::Slot;
use serde::Serialize;

use super::Endpoint;
use crate::chain::{Counts, Totals};

/// The document of `GET /flotilla/stats`.
#[derive(Debug, Serialize)]
pub(crate) struct Statistics {
    /// The slot of the clock.
    slot: Slot,
    /// The slot of the head.
    head: Slot,
    /// Counts by kind of duty.
    kinds: BTreeMap<&'static str, KindCounts>,
    /// Submissions refused, duplicates apart.
    rejected: u64,
    /// Submissions of what was already there.
    duplicates: u64,
    /// Pairs of conflicting signatures.
    slashable: u64,
    /// What was refused, by reason.
    faults: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct KindCounts {
    accepted: u64,
    rejected: u64,
    duplicates: u64,
}

/// `GET /flotilla/stats`.
pub(crate) async fn show(State(endpoint): State<Endpoint>) -> Json<Statistics> {
    let Totals {
        rejected,
        duplicates,
        slashable,
        faults,
        kinds,
    } = endpoint.simulator.totals();
    let of = |Counts {
                  accepted,
                  rejected,
                  duplicates,
              }: Counts| KindCounts {
        accepted,
        rejected,
        duplicates,
    };
    Json(Statistics {
        slot: endpoint.simulator.current_slot(),
        head: endpoint.simulator.head_root().0,
        kinds: kinds
            .into_iter()
            .map(|(kind, counts)| (kind, of(counts)))
            .collect(),
        rejected,
        duplicates,
        slashable,
        faults,
    })
}
