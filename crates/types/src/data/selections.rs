//! Proofs of selection: signatures that decide who aggregates.

use libssz_derive::HashTreeRoot;
use serde::{Deserialize, Serialize};

use super::codec::json_wire;
use crate::{Root, SignatureBytes, Slot, ValidatorIndex, json::quoted, signing::tree_hash};

impl Slot {
    /// The hash tree root: what a beacon committee's selection proof signs.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }
}

/// A proof of selection as an aggregator of attestations, as in the Beacon API's beacon committee selections.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BeaconCommitteeSelection {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// The slot to aggregate in.
    pub slot: Slot,
    /// The proof, a share's or the group's: only the group's decides.
    pub selection_proof: SignatureBytes,
}

json_wire!(BeaconCommitteeSelection, "beacon committee selection");

/// What a sync committee member signs to learn whether it aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct SyncAggregatorSelectionData {
    /// The slot.
    pub slot: Slot,
    /// The subcommittee, from 0.
    pub subcommittee_index: u64,
}

impl SyncAggregatorSelectionData {
    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }
}

/// A proof of selection as an aggregator of a sync subcommittee, as in the Beacon API's sync committee selections.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct SyncCommitteeSelection {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// The slot to aggregate in.
    pub slot: Slot,
    /// The subcommittee, from 0.
    #[serde(with = "quoted")]
    pub subcommittee_index: u64,
    /// The proof, a share's or the group's: only the group's decides.
    pub selection_proof: SignatureBytes,
}

json_wire!(SyncCommitteeSelection, "sync committee selection");

impl SyncCommitteeSelection {
    /// What the proof signs.
    pub const fn data(&self) -> SyncAggregatorSelectionData {
        SyncAggregatorSelectionData {
            slot: self.slot,
            subcommittee_index: self.subcommittee_index,
        }
    }
}
