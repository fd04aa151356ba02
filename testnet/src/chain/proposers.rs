//! Who proposes when.
//!
//! Each slot is, with even chances, a stranger's or one of the cluster's validators', uniformly drawn: so there are
//! several proposals of the cluster in every epoch, and blocks of others between them. All follows from the seed.

use std::sync::Arc;

use flotilla_types::{Slot, ValidatorIndex};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Registry, Seed};

/// The chance, in hundredths, that a slot is one of the cluster's.
const CLUSTER_PERCENT: u64 = 50;

/// The proposers of a chain.
#[derive(Clone, Debug)]
pub struct Proposers {
    registry: Arc<Registry>,
    members: Vec<ValidatorIndex>,
    seed: Seed,
}

/// The proposer of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposer {
    /// One of the cluster's validators.
    Cluster(ValidatorIndex),
    /// Somebody else, whose block comes by itself.
    Stranger(ValidatorIndex),
}

impl Proposer {
    /// The validator.
    pub fn index(self) -> ValidatorIndex {
        match self {
            Proposer::Cluster(index) | Proposer::Stranger(index) => index,
        }
    }
}

impl Proposers {
    /// The proposers among the validators of a registry.
    pub fn new(registry: Arc<Registry>, seed: Seed) -> Self {
        let members = registry.members().map(|(index, _)| index).collect();
        Proposers {
            registry,
            members,
            seed,
        }
    }

    /// The proposer of a slot, as drawn: it may have exited since.
    pub fn of(&self, slot: Slot) -> Proposer {
        let mut rng = self.seed.rng("proposer", slot.0);
        if rng.random_range(0..100) < CLUSTER_PERCENT
            && let Some(member) = self.members.choose(&mut rng)
        {
            return Proposer::Cluster(*member);
        }
        Proposer::Stranger(self.registry.stranger(&mut rng))
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::PublicKeyBytes;

    use super::*;

    fn proposers(keys: u8) -> Proposers {
        let keys: Vec<_> = (0..keys)
            .map(|number| PublicKeyBytes([number; 48]))
            .collect();
        Proposers::new(Arc::new(Registry::new(Seed(3), &keys, 8, 64)), Seed(3))
    }

    #[test]
    fn about_half_of_the_slots_are_the_clusters() {
        let proposers = proposers(5);
        let cluster =
            (0..1_000).filter(|slot| matches!(proposers.of(Slot(*slot)), Proposer::Cluster(_)));
        let count = cluster.count();
        assert!((400..600).contains(&count), "{count}");
    }

    #[test]
    fn every_validator_has_its_turn_and_strangers_are_strangers() {
        let proposers = proposers(5);
        let mut seen = std::collections::BTreeSet::new();
        for slot in 0..200 {
            match proposers.of(Slot(slot)) {
                Proposer::Cluster(index) => {
                    assert!(proposers.registry.key(index).is_some());
                    seen.insert(index);
                }
                Proposer::Stranger(index) => assert!(proposers.registry.key(index).is_none()),
            }
        }
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn without_validators_all_slots_are_strangers() {
        let proposers = proposers(0);
        assert!((0..50).all(|slot| matches!(proposers.of(Slot(slot)), Proposer::Stranger(_))));
    }
}
