//! The other objects validators sign, as far as their roots go.

use libssz_derive::HashTreeRoot;
use libssz_merkle::{Sha2Hasher, merkleize};

use super::attestation::{Attestation, SizeError};
use crate::{
    Epoch, ListSizes, PublicKeyBytes, Root, SignatureBytes, Slot, ValidatorIndex,
    signing::tree_hash,
};

macro_rules! rooted {
    ($($name:ident),*) => {
        $(impl $name {
            /// The hash tree root.
            pub fn tree_hash_root(&self) -> Root {
                tree_hash(self)
            }
        })*
    };
}

rooted!(
    Epoch,
    Slot,
    VoluntaryExit,
    SyncAggregatorSelectionData,
    SyncCommitteeContribution,
    ContributionAndProof
);
rooted!(ValidatorRegistration);

/// A wish to leave the validator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct VoluntaryExit {
    /// The earliest epoch to leave in.
    pub epoch: Epoch,
    /// Who leaves.
    pub validator_index: ValidatorIndex,
}

/// What a sync committee member signs to learn whether it aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct SyncAggregatorSelectionData {
    /// The slot.
    pub slot: Slot,
    /// The subcommittee, from 0.
    pub subcommittee_index: u64,
}

/// The messages of one sync subcommittee, aggregated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct SyncCommitteeContribution {
    /// The slot.
    pub slot: Slot,
    /// The head they signed.
    pub beacon_block_root: Root,
    /// The subcommittee, from 0.
    pub subcommittee_index: u64,
    /// Who of the subcommittee signed: the mainnet preset's 128 bits.
    pub aggregation_bits: [u8; 16],
    /// Their aggregated signature.
    pub signature: SignatureBytes,
}

/// A contribution with the proof that its sender was selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct ContributionAndProof {
    /// The sender.
    pub aggregator_index: ValidatorIndex,
    /// The contribution.
    pub contribution: SyncCommitteeContribution,
    /// The proof.
    pub selection_proof: SignatureBytes,
}

/// A validator's wishes to block builders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, HashTreeRoot)]
pub struct ValidatorRegistration {
    /// Execution address that receives the fees.
    pub fee_recipient: [u8; 20],
    /// Gas limit of blocks.
    pub gas_limit: u64,
    /// When registered: seconds since the Unix epoch.
    pub timestamp: u64,
    /// The validator.
    pub pubkey: PublicKeyBytes,
}

/// An aggregate attestation with the proof that its sender was selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateAndProof {
    /// The sender.
    pub aggregator_index: ValidatorIndex,
    /// The aggregate.
    pub aggregate: Attestation,
    /// The proof.
    pub selection_proof: SignatureBytes,
}

impl AggregateAndProof {
    /// The hash tree root under a preset's list sizes.
    ///
    /// # Errors
    /// [`SizeError`] if the aggregate has more bits than the preset allows.
    pub fn tree_hash_root(&self, sizes: &ListSizes) -> Result<Root, SizeError> {
        let fields = [
            tree_hash(&self.aggregator_index).0,
            self.aggregate.tree_hash_root(sizes)?.0,
            tree_hash(&self.selection_proof).0,
        ];
        Ok(Root(merkleize(&Sha2Hasher, &fields, None)))
    }
}
