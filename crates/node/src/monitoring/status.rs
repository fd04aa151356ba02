//! The node's state as `/flotilla/status` shows it: what an operator asks first.

use std::collections::BTreeMap;

use flotilla_beacon::client::EndpointStatus;
use serde::Serialize;

use super::Readiness;
use crate::exits::Progress;
use crate::health::Failing;
use crate::inclusion::Summary;
use crate::telemetry::KindEnds;

/// The whole node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Version of the software.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Start of the process, Unix milliseconds.
    pub started_ms: u64,
    /// The current slot; absent before genesis.
    pub slot: Option<u64>,
    /// From this epoch on nothing is signed, since the beacon node's schedule has a fork that this version does not know (S11);
    /// absent without one.
    pub unknown_fork_epoch: Option<u64>,
    /// The beacon nodes, in configured order.
    pub beacon_nodes: Vec<BeaconNodeStatus>,
    /// Its clusters.
    pub clusters: Vec<ClusterStatus>,
}

/// One cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Its lock hash, hex with `0x`.
    pub lock_hash: String,
    /// Its data folder.
    pub folder: String,
    /// Our peer index.
    pub me: usize,
    /// Operators.
    pub operators: usize,
    /// Shares that make a signature.
    pub threshold: usize,
    /// Validators.
    pub validators: usize,
    /// Validators that the beacon node calls active.
    pub active_validators: usize,
    /// `builtin` or `vc`.
    pub signer: String,
    /// Whether the operator has stopped signing.
    pub paused: bool,
    /// The slashing database.
    pub slashing: SlashingStatus,
    /// The other operators' nodes.
    pub peers: Vec<PeerStatus>,
    /// Whether it can do its duties.
    pub readiness: ReadyStatus,
    /// Health checks that fail, the worst first.
    pub failing_checks: Vec<Failing>,
    /// How duties of single validators ended, by kind.
    pub duties: BTreeMap<&'static str, KindEnds>,
    /// What became of blocks and attestations on the chain.
    pub inclusion: Summary,
    /// Exits that are being collected.
    pub exits: Vec<Progress>,
}

/// One beacon node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BeaconNodeStatus {
    /// Its address, without credentials.
    pub endpoint: String,
    /// Whether it answers and is in sync on our chain.
    pub healthy: bool,
    /// Whether it is asked only when the primary ones fail.
    pub fallback: bool,
    /// Its head when last asked.
    pub head_slot: Option<u64>,
    /// How many slots it then was behind.
    pub sync_distance: Option<u64>,
    /// Whether it serves another chain, so that it is not asked.
    pub other_chain: bool,
}

impl BeaconNodeStatus {
    /// What its client knows.
    pub fn of(status: &EndpointStatus) -> Self {
        Self {
            endpoint: status.endpoint.clone(),
            healthy: status.healthy,
            fallback: status.is_fallback,
            head_slot: status.head_slot.map(|slot| slot.0),
            sync_distance: status.sync_distance,
            other_chain: status.other_chain,
        }
    }
}

/// Whether a cluster can do its duties.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReadyStatus {
    /// As in `app_monitoring_readyz`; 1 is well.
    pub code: u8,
    /// The first thing that is wrong, in the field's words; `ok` if nothing is.
    pub reason: String,
    /// What to do about it; empty if nothing is wrong.
    pub next_step: &'static str,
}

impl ReadyStatus {
    /// A state in words.
    pub fn of(readiness: Readiness) -> Self {
        Self {
            code: readiness.code(),
            reason: readiness.to_string(),
            next_step: readiness.next_step(),
        }
    }
}

/// The slashing database.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SlashingStatus {
    /// Why nothing can be recorded now; absent while it works.
    pub failing: Option<String>,
    /// Why the past was in doubt at start.
    pub doubts: Vec<String>,
    /// Last epoch that is not signed for because of doubts; absent without an embargo.
    pub embargo_epoch: Option<u64>,
    /// Transactions since start.
    pub commits: u64,
    /// Votes recorded since start.
    pub votes: u64,
}

/// One peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PeerStatus {
    /// Its index.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// Whether a connection is open.
    pub connected: bool,
    /// Round trip of the last ping, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Its clock minus ours, milliseconds.
    pub clock_offset_ms: Option<f64>,
    /// Its version, once it has told.
    pub version: Option<String>,
}
