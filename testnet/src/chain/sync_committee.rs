//! Who sits in the sync committee.
//!
//! A committee serves for a period of four epochs. Each of its seats (512, or 32 in the minimal preset) is one of the
//! cluster's with a chance of one in eight, whatever the cluster's size: so a small cluster has validators with several
//! seats, and one of 500 validators about sixty that sign in each slot. The other seats are strangers'.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{Epoch, ListSizes, ValidatorIndex};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Registry, Seed};

/// Epochs that a committee serves: `EPOCHS_PER_SYNC_COMMITTEE_PERIOD`.
pub const PERIOD_EPOCHS: u64 = 4;
/// One of so many seats is the cluster's.
const CLUSTER_SHARE: u32 = 8;

/// The sync committees of a chain.
#[derive(Clone, Debug)]
pub struct SyncCommittees {
    registry: Arc<Registry>,
    members: Vec<ValidatorIndex>,
    seed: Seed,
    seats: u64,
    subcommittees: u64,
}

/// One committee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncCommittee {
    /// The cluster's seats.
    seats: BTreeMap<u64, ValidatorIndex>,
    /// Positions by validator.
    positions: BTreeMap<ValidatorIndex, Vec<u64>>,
    subcommittee_size: u64,
}

impl SyncCommittees {
    /// The committees drawn from a registry.
    pub fn new(registry: Arc<Registry>, seed: Seed, sizes: &ListSizes) -> Self {
        SyncCommittees {
            members: registry.members().map(|(index, _)| index).collect(),
            registry,
            seed,
            seats: sizes.sync_committee_size,
            subcommittees: sizes.sync_committee_subnet_count.max(1),
        }
    }

    /// The period an epoch is in.
    pub fn period(epoch: Epoch) -> u64 {
        epoch.0 / PERIOD_EPOCHS
    }

    /// The committee of a period.
    pub fn of(&self, period: u64) -> SyncCommittee {
        let mut rng = self.seed.rng("sync committee", period);
        let mut seats = BTreeMap::new();
        let mut positions: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for seat in 0..self.seats {
            let member = rng.random_ratio(1, CLUSTER_SHARE);
            if let (true, Some(member)) = (member, self.members.choose(&mut rng)) {
                seats.insert(seat, *member);
                positions.entry(*member).or_default().push(seat);
            }
        }
        SyncCommittee {
            seats,
            positions,
            subcommittee_size: (self.seats / self.subcommittees).max(1),
        }
    }

    /// The registry the committees are drawn from.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl SyncCommittee {
    /// The cluster's members with their seats, ascending.
    pub fn members(&self) -> impl Iterator<Item = (ValidatorIndex, &[u64])> {
        self.positions
            .iter()
            .map(|(index, positions)| (*index, positions.as_slice()))
    }

    /// The seats of a validator; none if it is no member.
    pub fn positions(&self, validator: ValidatorIndex) -> &[u64] {
        self.positions.get(&validator).map_or(&[], Vec::as_slice)
    }

    /// The subcommittees a validator has a seat in, ascending.
    pub fn subcommittees(&self, validator: ValidatorIndex) -> Vec<u64> {
        let mut found: Vec<u64> = self
            .positions(validator)
            .iter()
            .map(|seat| seat / self.subcommittee_size)
            .collect();
        found.dedup();
        found
    }

    /// The cluster's seats of a subcommittee: position within it, and whose it is.
    pub fn subcommittee(
        &self,
        subcommittee: u64,
    ) -> impl Iterator<Item = (u64, ValidatorIndex)> + '_ {
        let start = subcommittee.saturating_mul(self.subcommittee_size);
        self.seats
            .range(start..start.saturating_add(self.subcommittee_size))
            .map(move |(seat, index)| (seat - start, *index))
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::PublicKeyBytes;

    use super::*;

    fn committees(keys: usize, sizes: &ListSizes) -> SyncCommittees {
        let keys: Vec<_> = (0..keys)
            .map(|number| {
                let mut key = [0; 48];
                key[..8].copy_from_slice(&number.to_le_bytes());
                PublicKeyBytes(key)
            })
            .collect();
        SyncCommittees::new(
            Arc::new(Registry::new(Seed(3), &keys, 8, 64)),
            Seed(3),
            sizes,
        )
    }

    #[test]
    fn a_small_cluster_has_validators_with_several_seats() {
        let committee = committees(8, &ListSizes::MAINNET).of(0);
        assert!(committee.members().any(|(_, seats)| seats.len() > 1));
        for (index, seats) in committee.members() {
            for seat in seats {
                let (part, position) = (seat / 128, seat % 128);
                assert!(committee.subcommittees(index).contains(&part));
                assert!(
                    committee
                        .subcommittee(part)
                        .any(|own| own == (position, index))
                );
            }
        }
    }

    #[test]
    fn a_large_cluster_has_about_sixty_members() {
        let members = committees(500, &ListSizes::MAINNET).of(1).members().count();
        assert!((40..85).contains(&members), "{members}");
    }

    #[test]
    fn periods_have_different_committees_and_repeatable_ones() {
        let committees = committees(8, &ListSizes::MINIMAL);
        assert_ne!(committees.of(0), committees.of(1));
        assert_eq!(committees.of(1), committees.of(1));
        assert_eq!(SyncCommittees::period(Epoch(PERIOD_EPOCHS)), 1);
    }
}
