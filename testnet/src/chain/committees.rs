//! Who attests when: the cluster's validators among filler, shuffled anew each epoch.

use std::collections::BTreeMap;

use flotilla_types::{AttesterDuty, CommitteeIndex, Epoch, PublicKeyBytes, Slot, ValidatorIndex};
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};

use super::Seed;

/// Committees in each slot, where the preset allows as many.
const COMMITTEES_PER_SLOT: u64 = 2;
/// A committee has at least this many members; what the cluster does not fill is filler nobody runs.
///
/// Twice the target of aggregators, so that even on a small chain some validators aggregate and some do not.
const SMALLEST_COMMITTEE: u64 = 32;
/// The cluster is at most one of so many validators of the chain, as a large operator is on a real one.
const CLUSTER_SHARE: u64 = 16;

/// Every validator of the chain: the cluster's by index and key, the others only by number.
#[derive(Clone, Debug)]
pub struct Registry {
    keys: BTreeMap<ValidatorIndex, PublicKeyBytes>,
    indices: BTreeMap<PublicKeyBytes, ValidatorIndex>,
    total: u64,
    slots_per_epoch: u64,
    committees_per_slot: u64,
    seed: Seed,
}

/// The attester duties of the cluster's validators in one epoch, by validator.
pub type EpochDuties = BTreeMap<ValidatorIndex, AttesterDuty>;

impl Registry {
    /// Places `keys` at seeded indices among enough filler that every committee has at least 32 members, and the cluster
    /// at most a sixteenth of all validators.
    pub fn new(
        seed: Seed,
        keys: &[PublicKeyBytes],
        slots_per_epoch: u64,
        max_committees_per_slot: u64,
    ) -> Self {
        let slots_per_epoch = slots_per_epoch.max(1);
        let committees_per_slot = COMMITTEES_PER_SLOT.min(max_committees_per_slot).max(1);
        let smallest = slots_per_epoch * committees_per_slot * SMALLEST_COMMITTEE;
        let total = smallest.max(CLUSTER_SHARE * keys.len() as u64);
        let mut places: Vec<u64> = (0..total).collect();
        places.shuffle(&mut seed.rng("index", 0));
        let keys: BTreeMap<_, _> = places
            .into_iter()
            .map(ValidatorIndex)
            .zip(keys.iter().copied())
            .collect();
        let indices = keys.iter().map(|(index, key)| (*key, *index)).collect();
        Registry {
            keys,
            indices,
            total,
            slots_per_epoch,
            committees_per_slot,
            seed,
        }
    }

    /// The key of one of the cluster's validators.
    pub fn key(&self, index: ValidatorIndex) -> Option<PublicKeyBytes> {
        self.keys.get(&index).copied()
    }

    /// The index of one of the cluster's validators.
    pub fn index(&self, key: &PublicKeyBytes) -> Option<ValidatorIndex> {
        self.indices.get(key).copied()
    }

    /// The cluster's validators in the order of their indices.
    pub fn members(&self) -> impl Iterator<Item = (ValidatorIndex, PublicKeyBytes)> + '_ {
        self.keys.iter().map(|(index, key)| (*index, *key))
    }

    /// Shuffles all validators into the committees of an epoch and keeps the cluster's.
    pub fn duties(&self, epoch: Epoch) -> EpochDuties {
        let mut order: Vec<u64> = (0..self.total).collect();
        order.shuffle(&mut self.seed.rng("committees", epoch.0));
        let committees = self.slots_per_epoch * self.committees_per_slot;
        (0..committees)
            .flat_map(|number| self.committee(epoch, number, committees, &order))
            .collect()
    }

    /// The cluster's members of the epoch's committee `number`, cut from `order` as in `compute_committee` of the
    /// consensus specs.
    fn committee<'a>(
        &'a self,
        epoch: Epoch,
        number: u64,
        committees: u64,
        order: &'a [u64],
    ) -> impl Iterator<Item = (ValidatorIndex, AttesterDuty)> + 'a {
        let start = self.total * number / committees;
        let end = self.total * (number + 1) / committees;
        let members = &order[start as usize..end as usize];
        members
            .iter()
            .enumerate()
            .filter_map(move |(position, member)| {
                let validator_index = ValidatorIndex(*member);
                let duty = AttesterDuty {
                    pubkey: self.key(validator_index)?,
                    slot: Slot(epoch.0 * self.slots_per_epoch + number / self.committees_per_slot),
                    validator_index,
                    committee_index: CommitteeIndex(number % self.committees_per_slot),
                    committee_length: members.len() as u64,
                    committees_at_slot: self.committees_per_slot,
                    validator_committee_index: position as u64,
                };
                Some((validator_index, duty))
            })
    }

    /// Any validator that is not the cluster's.
    pub(super) fn stranger(&self, rng: &mut impl Rng) -> ValidatorIndex {
        // Fifteen of sixteen are, so this ends soon.
        loop {
            let drawn = ValidatorIndex(rng.random_range(0..self.total));
            if self.key(drawn).is_none() {
                return drawn;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(count: u8) -> Vec<PublicKeyBytes> {
        (0..count)
            .map(|number| PublicKeyBytes([number; 48]))
            .collect()
    }

    #[test]
    fn each_validator_attests_once_an_epoch_at_its_own_place() {
        let registry = Registry::new(Seed(3), &keys(40), 8, 64);
        for epoch in 0..20 {
            let duties = registry.duties(Epoch(epoch));
            assert_eq!(duties.len(), 40);
            let mut places: Vec<_> = duties
                .values()
                .map(|duty| {
                    (
                        duty.slot,
                        duty.committee_index,
                        duty.validator_committee_index,
                    )
                })
                .collect();
            places.sort();
            places.dedup();
            assert_eq!(places.len(), 40);
            for duty in duties.values() {
                assert!(
                    duty.slot.0 / 8 == epoch
                        && duty.validator_committee_index < duty.committee_length
                );
                assert!(
                    duty.committee_length >= SMALLEST_COMMITTEE
                        && duty.committee_index.0 < duty.committees_at_slot
                );
            }
        }
    }

    #[test]
    fn epochs_are_shuffled_differently_and_repeatably() {
        let registry = Registry::new(Seed(3), &keys(40), 8, 64);
        assert_ne!(registry.duties(Epoch(1)), registry.duties(Epoch(2)));
        assert_eq!(
            registry.duties(Epoch(1)),
            Registry::new(Seed(3), &keys(40), 8, 64).duties(Epoch(1))
        );
    }

    #[test]
    fn the_preset_bounds_the_committees() {
        let duties = Registry::new(Seed(3), &keys(4), 8, 1).duties(Epoch(0));
        assert!(duties.values().all(|duty| duty.committees_at_slot == 1));
    }
}
