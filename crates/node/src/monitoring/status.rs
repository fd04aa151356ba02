//! The node's state as `/flotilla/status` shows it: what an operator asks first.

use serde::Serialize;

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
