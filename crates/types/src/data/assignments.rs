//! Assignments of the Beacon API that are no part of an agreed value: who proposes, who is in a sync committee.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ListSizes, PublicKeyBytes, Slot, ValidatorIndex, json::quoted_list};

/// One validator's turn to propose.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ProposerDuty {
    /// The validator's public key: the group's, never a share's.
    pub pubkey: PublicKeyBytes,
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// The slot to propose in.
    pub slot: Slot,
}

/// One validator's seats in a sync committee, for every slot of the committee's period.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SyncCommitteeDuty {
    /// The validator's public key: the group's, never a share's.
    pub pubkey: PublicKeyBytes,
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// Its places in the committee, from 0; a validator may have several.
    #[serde(rename = "validator_sync_committee_indices", with = "quoted_list")]
    pub positions: Vec<u64>,
}

impl SyncCommitteeDuty {
    /// The subcommittees it has a seat in, ascending.
    pub fn subcommittees(&self, sizes: &ListSizes) -> BTreeSet<u64> {
        let size = sizes.sync_subcommittee_size().max(1);
        self.positions.iter().map(|place| place / size).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_grouped_into_subcommittees() {
        let duty = SyncCommitteeDuty {
            positions: vec![300, 0, 127, 128, 5],
            ..SyncCommitteeDuty::default()
        };
        let found: Vec<u64> = duty
            .subcommittees(&ListSizes::MAINNET)
            .into_iter()
            .collect();
        assert_eq!(found, [0, 1, 2]);
    }

    #[test]
    fn places_are_decimal_texts() {
        let text = format!(
            r#"{{"pubkey":"0x{}","validator_index":"7","validator_sync_committee_indices":["1","9"]}}"#,
            "ab".repeat(48)
        );
        let duty: SyncCommitteeDuty = serde_json::from_str(&text).unwrap();
        assert_eq!(duty.positions, [1, 9]);
        assert_eq!(serde_json::to_string(&duty).unwrap(), text);
        assert!(serde_json::from_str::<SyncCommitteeDuty>(&text.replace("\"9\"", "9")).is_err());
    }
}
