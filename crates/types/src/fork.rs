//! Forks of the chain and when they happen.

use std::fmt;

use crate::{Epoch, ForkVersion};

macro_rules! forks {
    ($($(#[$doc:meta])* $fork:ident = $wire:literal, $name:literal, $upper:literal;)*) => {
        /// A fork whose data this crate can encode. Ordered by age.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u64)]
        pub enum Fork {
            $($(#[$doc])* $fork = $wire,)*
        }

        impl Fork {
            /// Every known fork, oldest first.
            pub const ALL: &'static [Self] = &[$(Self::$fork),*];

            /// The fork with this number in the cluster's wrappers (spec 30 §2.3), if known.
            pub const fn from_wire(number: u64) -> Option<Self> {
                match number {
                    $($wire => Some(Self::$fork),)*
                    _ => None,
                }
            }

            /// The name as in the `Eth-Consensus-Version` header.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$fork => $name,)*
                }
            }

            /// The name as it begins the keys of `config/spec`.
            pub(crate) const fn config_name(self) -> &'static str {
                match self {
                    $(Self::$fork => $upper,)*
                }
            }
        }
    };
}

forks! {
    /// Genesis.
    Phase0 = 0, "phase0", "GENESIS";
    /// Sync committees.
    Altair = 1, "altair", "ALTAIR";
    /// Execution payloads.
    Bellatrix = 2, "bellatrix", "BELLATRIX";
    /// Withdrawals.
    Capella = 3, "capella", "CAPELLA";
    /// Blobs.
    Deneb = 4, "deneb", "DENEB";
    /// Attestations over several committees.
    Electra = 5, "electra", "ELECTRA";
    /// Data availability sampling.
    Fulu = 6, "fulu", "FULU";
}

impl Fork {
    /// The number in the cluster's wrappers.
    pub const fn wire(self) -> u64 {
        self as u64
    }

    /// The fork of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|fork| fork.name().eq_ignore_ascii_case(name))
    }

    /// Whether attestations of this fork name their committee by bits (EIP-7549) instead of by the index in the data.
    pub const fn has_committee_bits(self) -> bool {
        self as u64 >= Self::Electra as u64
    }
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForkEntry {
    /// Which fork.
    pub fork: Fork,
    /// Its first epoch; [`Epoch::FAR_FUTURE`] when it has none yet.
    pub epoch: Epoch,
    /// Its version, part of every domain from that epoch on.
    pub version: ForkVersion,
}

/// A fork that the beacon node's configuration names and this crate cannot encode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFork {
    /// Its name as it begins the keys, such as `GLOAS`.
    pub name: String,
    /// Its first epoch; [`Epoch::FAR_FUTURE`] when it has none yet.
    pub epoch: Epoch,
    /// Its version, if the configuration has one.
    pub version: Option<ForkVersion>,
}

/// When each fork begins. Always holds phase 0 from epoch 0; first epochs never fall from one fork to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkSchedule {
    entries: Vec<ForkEntry>,
    unknown: Vec<UnknownFork>,
}

impl ForkSchedule {
    /// A schedule of these later forks after phase 0. `None` if a fork is not younger than the one before it, or begins
    /// before it.
    pub fn new(
        genesis_version: ForkVersion,
        later: impl IntoIterator<Item = ForkEntry>,
        unknown: Vec<UnknownFork>,
    ) -> Option<Self> {
        let mut entries = vec![ForkEntry {
            fork: Fork::Phase0,
            epoch: Epoch(0),
            version: genesis_version,
        }];
        for entry in later {
            let last = entries.last()?;
            if entry.fork <= last.fork || entry.epoch < last.epoch {
                return None;
            }
            entries.push(entry);
        }
        Some(Self { entries, unknown })
    }

    /// The known forks, oldest first, those not scheduled included.
    pub fn entries(&self) -> &[ForkEntry] {
        &self.entries
    }

    /// The forks beyond this crate's knowledge, those not scheduled included.
    pub fn unknown(&self) -> &[UnknownFork] {
        &self.unknown
    }

    /// The youngest known fork that has begun by `epoch`.
    pub fn at(&self, epoch: Epoch) -> ForkEntry {
        let begun = |entry: &&ForkEntry| entry.epoch <= epoch && entry.epoch != Epoch::FAR_FUTURE;
        *self
            .entries
            .iter()
            .rev()
            .find(begun)
            .unwrap_or(&self.entries[0])
    }

    /// The version of a fork, whether it has begun or not; `None` if the configuration does not name the fork.
    pub fn version_of(&self, fork: Fork) -> Option<ForkVersion> {
        self.entries
            .iter()
            .find(|entry| entry.fork == fork)
            .map(|entry| entry.version)
    }

    /// The version of phase 0, by which a cluster's files name their network.
    pub fn genesis_version(&self) -> ForkVersion {
        self.entries[0].version
    }

    /// The first epoch of the earliest scheduled fork that this crate does not know. From there on [`Self::at`] is
    /// wrong and nothing may be signed (safety rule S11).
    pub fn unknown_after(&self) -> Option<Epoch> {
        self.unknown
            .iter()
            .map(|fork| fork.epoch)
            .filter(|&epoch| epoch != Epoch::FAR_FUTURE)
            .min()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(fork: Fork, epoch: u64) -> ForkEntry {
        ForkEntry {
            fork,
            epoch: Epoch(epoch),
            version: ForkVersion([fork.wire() as u8, 0, 0, 9]),
        }
    }

    #[test]
    fn the_youngest_begun_fork_rules_an_epoch() {
        let forks = [
            entry(Fork::Altair, 0),
            entry(Fork::Bellatrix, 5),
            entry(Fork::Fulu, u64::MAX),
        ];
        let schedule = ForkSchedule::new(ForkVersion([0, 0, 0, 9]), forks, vec![]).unwrap();
        assert_eq!(schedule.at(Epoch(0)).fork, Fork::Altair);
        assert_eq!(schedule.at(Epoch(4)).fork, Fork::Altair);
        assert_eq!(schedule.at(Epoch(5)).fork, Fork::Bellatrix);
        assert_eq!(
            schedule.at(Epoch(u64::MAX)).fork,
            Fork::Bellatrix,
            "far future means never"
        );
        assert_eq!(
            schedule.version_of(Fork::Fulu),
            Some(ForkVersion([6, 0, 0, 9]))
        );
    }

    #[test]
    fn forks_out_of_order_are_no_schedule() {
        let version = ForkVersion([0; 4]);
        assert_eq!(
            ForkSchedule::new(
                version,
                [entry(Fork::Bellatrix, 5), entry(Fork::Capella, 4)],
                vec![]
            ),
            None
        );
        assert_eq!(
            ForkSchedule::new(
                version,
                [entry(Fork::Capella, 4), entry(Fork::Bellatrix, 5)],
                vec![]
            ),
            None
        );
    }

    #[test]
    fn the_earliest_scheduled_unknown_fork_ends_our_knowledge() {
        let unknown = |name: &str, epoch| UnknownFork {
            name: name.into(),
            epoch: Epoch(epoch),
            version: None,
        };
        let schedule = |forks| ForkSchedule::new(ForkVersion([0; 4]), [], forks).unwrap();
        assert_eq!(schedule(vec![]).unknown_after(), None);
        assert_eq!(
            schedule(vec![unknown("GLOAS", u64::MAX)]).unknown_after(),
            None
        );
        assert_eq!(
            schedule(vec![unknown("HEZE", 90), unknown("GLOAS", 70)]).unknown_after(),
            Some(Epoch(70))
        );
    }

    #[test]
    fn names_are_read_in_any_case() {
        assert_eq!(Fork::from_name("Electra"), Some(Fork::Electra));
        assert_eq!(Fork::from_name("gloas"), None);
        assert_eq!(Fork::from_wire(7), None);
    }
}
