//! Domains and signing roots: what exactly is signed (consensus specs, `compute_domain` and `compute_signing_root`).

use libssz_merkle::{HashTreeRoot, Sha2Hasher, hash_nodes};

use crate::{DutyKind, ForkVersion, Root};

/// The first four bytes of a domain, which keep signatures of different purposes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainType(pub [u8; 4]);

impl DomainType {
    /// Blocks.
    pub const BEACON_PROPOSER: Self = Self([0, 0, 0, 0]);
    /// Attestations.
    pub const BEACON_ATTESTER: Self = Self([1, 0, 0, 0]);
    /// Randomness reveals.
    pub const RANDAO: Self = Self([2, 0, 0, 0]);
    /// Deposits.
    pub const DEPOSIT: Self = Self([3, 0, 0, 0]);
    /// Voluntary exits.
    pub const VOLUNTARY_EXIT: Self = Self([4, 0, 0, 0]);
    /// Selection proofs of attestation aggregators.
    pub const SELECTION_PROOF: Self = Self([5, 0, 0, 0]);
    /// Aggregates with their proofs.
    pub const AGGREGATE_AND_PROOF: Self = Self([6, 0, 0, 0]);
    /// Sync committee messages.
    pub const SYNC_COMMITTEE: Self = Self([7, 0, 0, 0]);
    /// Selection proofs of sync committee aggregators.
    pub const SYNC_COMMITTEE_SELECTION_PROOF: Self = Self([8, 0, 0, 0]);
    /// Sync committee contributions with their proofs.
    pub const CONTRIBUTION_AND_PROOF: Self = Self([9, 0, 0, 0]);
    /// Registrations with block builders.
    pub const APPLICATION_BUILDER: Self = Self([0, 0, 0, 1]);

    /// The domain type of what a duty signs; `None` for kinds that sign nothing under a domain.
    pub const fn of(kind: DutyKind) -> Option<Self> {
        match kind {
            DutyKind::Proposer => Some(Self::BEACON_PROPOSER),
            DutyKind::Attester => Some(Self::BEACON_ATTESTER),
            DutyKind::Exit => Some(Self::VOLUNTARY_EXIT),
            DutyKind::BuilderRegistration => Some(Self::APPLICATION_BUILDER),
            DutyKind::Randao => Some(Self::RANDAO),
            DutyKind::PrepareAggregator => Some(Self::SELECTION_PROOF),
            DutyKind::Aggregator => Some(Self::AGGREGATE_AND_PROOF),
            DutyKind::SyncMessage => Some(Self::SYNC_COMMITTEE),
            DutyKind::PrepareSyncContribution => Some(Self::SYNC_COMMITTEE_SELECTION_PROOF),
            DutyKind::SyncContribution => Some(Self::CONTRIBUTION_AND_PROOF),
            DutyKind::Signature | DutyKind::BuilderProposer | DutyKind::InfoSync => None,
        }
    }
}

/// A domain: purpose, fork and chain of a signature in 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(pub [u8; 32]);

impl Domain {
    /// The domain of a purpose under a fork version on the chain with this genesis.
    pub fn compute(
        domain_type: DomainType,
        version: ForkVersion,
        genesis_validators_root: Root,
    ) -> Self {
        let fork_data_root = pair(&tree_hash(&version).0, &genesis_validators_root.0);
        let mut domain = [0; 32];
        domain[..4].copy_from_slice(&domain_type.0);
        domain[4..].copy_from_slice(&fork_data_root.0[..28]);
        Self(domain)
    }
}

/// The 32 bytes that a key signs for an object under a domain.
pub fn signing_root(object_root: Root, domain: Domain) -> Root {
    pair(&object_root.0, &domain.0)
}

/// Root of a container of two 32-byte fields.
fn pair(left: &[u8; 32], right: &[u8; 32]) -> Root {
    Root(hash_nodes(&Sha2Hasher, left, right))
}

/// The hash tree root of anything that has one.
pub(crate) fn tree_hash(value: &impl HashTreeRoot) -> Root {
    Root(value.hash_tree_root(&Sha2Hasher))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Published check value, spec 30 §6.
    #[test]
    fn mainnet_exit_domain_is_the_published_one() {
        let genesis = "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"
            .parse()
            .unwrap();
        let domain = Domain::compute(
            DomainType::VOLUNTARY_EXIT,
            ForkVersion([3, 0, 0, 0]),
            genesis,
        );
        assert_eq!(
            hex::encode(domain.0),
            "04000000bba4da96354c9f25476cf1bc69bf583a7f9e0af049305b62de676640"
        );
    }

    #[test]
    fn builder_domain_ignores_the_chain() {
        let domain = Domain::compute(
            DomainType::APPLICATION_BUILDER,
            ForkVersion([0x10, 0, 9, 0x10]),
            Root::default(),
        );
        assert_eq!(
            hex::encode(domain.0),
            "00000001719103511efa4f1362ff2a50996cccf329cc84cb410c5e5c7d351d03"
        );
    }
}
