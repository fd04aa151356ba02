//! Sizes of lists and vectors that presets set differently, and the thresholds beside them.

use super::{SpecError, entry, reader::Reader};
use crate::Fork;

macro_rules! list_sizes {
    ($($(#[$doc:meta])* $field:ident, $key:literal: $mainnet:expr, $minimal:expr, up to $max:expr;)*) => {
        /// Sizes of lists and thresholds that presets set differently. Each field names its key in `config/spec`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct ListSizes {
            $(
                $(#[$doc])*
                #[doc = concat!(" `", $key, "`.")]
                pub $field: u64,
            )*
        }

        impl ListSizes {
            /// The mainnet preset, also used where the node serves no value.
            pub const MAINNET: Self = Self { $($field: $mainnet,)* };

            /// The minimal preset, for tests.
            pub const MINIMAL: Self = Self { $($field: $minimal,)* };

            /// The values under their keys; a value above what any chain may have is an error, for it would make
            /// offsets and depths overflow.
            pub(super) fn read(reader: &Reader<'_>) -> Result<Self, SpecError> {
                let mainnet = Self::MAINNET;
                Ok(Self { $($field: reader.number_within($key, Some(mainnet.$field), 1, $max)?,)* })
            }

            /// The keys with their values.
            pub(super) fn entries(&self) -> Vec<(String, String)> {
                vec![$(entry($key, self.$field),)*]
            }
        }
    };
}

list_sizes! {
    /// Validators of one committee.
    max_validators_per_committee, "MAX_VALIDATORS_PER_COMMITTEE": 2048, 2048, up to 1 << 16;
    /// Committees of one slot.
    max_committees_per_slot, "MAX_COMMITTEES_PER_SLOT": 64, 4, up to 1 << 8;
    /// Aggregators that a committee should have.
    target_aggregators_per_committee, "TARGET_AGGREGATORS_PER_COMMITTEE": 16, 16, up to 1 << 16;
    /// Members of the sync committee.
    sync_committee_size, "SYNC_COMMITTEE_SIZE": 512, 32, up to 1 << 16;
    /// Parts of the sync committee.
    sync_committee_subnet_count, "SYNC_COMMITTEE_SUBNET_COUNT": 4, 4, up to 1 << 8;
    /// Aggregators that a part of the sync committee should have.
    target_aggregators_per_sync_subcommittee, "TARGET_AGGREGATORS_PER_SYNC_SUBCOMMITTEE": 16, 16, up to 1 << 16;
    /// Proposer slashings of a block.
    max_proposer_slashings, "MAX_PROPOSER_SLASHINGS": 16, 16, up to 1 << 16;
    /// Attester slashings of a block before Electra.
    max_attester_slashings, "MAX_ATTESTER_SLASHINGS": 2, 2, up to 1 << 16;
    /// Attester slashings of a block from Electra on.
    max_attester_slashings_electra, "MAX_ATTESTER_SLASHINGS_ELECTRA": 1, 1, up to 1 << 16;
    /// Attestations of a block before Electra.
    max_attestations, "MAX_ATTESTATIONS": 128, 128, up to 1 << 16;
    /// Attestations of a block from Electra on.
    max_attestations_electra, "MAX_ATTESTATIONS_ELECTRA": 8, 8, up to 1 << 16;
    /// Deposits of a block.
    max_deposits, "MAX_DEPOSITS": 16, 16, up to 1 << 16;
    /// Voluntary exits of a block.
    max_voluntary_exits, "MAX_VOLUNTARY_EXITS": 16, 16, up to 1 << 16;
    /// Changes of withdrawal credentials in a block.
    max_bls_to_execution_changes, "MAX_BLS_TO_EXECUTION_CHANGES": 16, 16, up to 1 << 16;
    /// Bytes of a payload's bloom filter.
    bytes_per_logs_bloom, "BYTES_PER_LOGS_BLOOM": 256, 256, up to 1 << 16;
    /// Bytes a payload's builder may add.
    max_extra_data_bytes, "MAX_EXTRA_DATA_BYTES": 32, 32, up to 1 << 16;
    /// Transactions of a payload.
    max_transactions_per_payload, "MAX_TRANSACTIONS_PER_PAYLOAD": 1 << 20, 1 << 20, up to 1 << 32;
    /// Bytes of a transaction.
    max_bytes_per_transaction, "MAX_BYTES_PER_TRANSACTION": 1 << 30, 1 << 30, up to 1 << 32;
    /// Withdrawals of a payload.
    max_withdrawals_per_payload, "MAX_WITHDRAWALS_PER_PAYLOAD": 16, 4, up to 1 << 16;
    /// Blobs that a block may commit to.
    max_blob_commitments_per_block, "MAX_BLOB_COMMITMENTS_PER_BLOCK": 4096, 4096, up to 1 << 16;
    /// Field elements of a blob, 32 bytes each.
    field_elements_per_blob, "FIELD_ELEMENTS_PER_BLOB": 4096, 4096, up to 1 << 16;
    /// Deposit requests of a payload.
    max_deposit_requests_per_payload, "MAX_DEPOSIT_REQUESTS_PER_PAYLOAD": 8192, 4, up to 1 << 16;
    /// Withdrawal requests of a payload.
    max_withdrawal_requests_per_payload, "MAX_WITHDRAWAL_REQUESTS_PER_PAYLOAD": 16, 2, up to 1 << 16;
    /// Consolidation requests of a payload.
    max_consolidation_requests_per_payload, "MAX_CONSOLIDATION_REQUESTS_PER_PAYLOAD": 2, 2, up to 1 << 16;
}

impl ListSizes {
    /// Most aggregation bits an attestation of a fork may have: those of one committee, from Electra on of all.
    pub const fn max_aggregation_bits(&self, fork: Fork) -> u64 {
        if fork.has_committee_bits() {
            self.max_validators_per_committee
                .saturating_mul(self.max_committees_per_slot)
        } else {
            self.max_validators_per_committee
        }
    }

    /// Members of one part of the sync committee.
    pub const fn sync_subcommittee_size(&self) -> u64 {
        match self
            .sync_committee_size
            .checked_div(self.sync_committee_subnet_count)
        {
            Some(size) => size,
            None => 0,
        }
    }

    /// Bytes of one blob.
    pub const fn blob_bytes(&self) -> u64 {
        self.field_elements_per_blob.saturating_mul(32)
    }

    /// Proofs that may travel beside a block: one for each blob, from Fulu on one for each cell of each (the Beacon
    /// API's limit counts the elements of extended blobs).
    pub const fn max_kzg_proofs(&self, fork: Fork) -> u64 {
        let blobs = self.max_blob_commitments_per_block;
        if fork as u64 >= Fork::Fulu as u64 {
            blobs
                .saturating_mul(self.field_elements_per_blob)
                .saturating_mul(2)
        } else {
            blobs
        }
    }
}
