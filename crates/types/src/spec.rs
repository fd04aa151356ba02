//! The chain's configuration, read from a beacon node's `config/spec`.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use crate::{
    BasisPoints, DuePoints, DueSchedule, Epoch, Fork, ForkEntry, ForkSchedule, ForkVersion,
    UnknownFork, number::Decimal,
};

/// Longest slot accepted. Real chains have 5 or 12 seconds; the bound keeps arithmetic far from its ends.
const MAX_SLOT_DURATION: Duration = Duration::from_secs(3600);
/// Most slots an epoch may have. Real presets have 8, 16 or 32.
const MAX_SLOTS_PER_EPOCH: u64 = 65_536;
/// What a key of an epoch ends in.
const FORK_EPOCH: &str = "_FORK_EPOCH";
/// What a key of a version ends in.
const FORK_VERSION: &str = "_FORK_VERSION";

/// A configuration that cannot be used, and the key at fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("config/spec, key {key}: {problem}")]
pub struct SpecError {
    /// The key.
    pub key: String,
    /// What is wrong with it.
    pub problem: SpecProblem,
}

/// What is wrong with a key of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecProblem {
    /// It is needed and not there.
    #[error("missing")]
    Missing,
    /// Its text has another form.
    #[error("expected {expected}, got {got:?}")]
    Malformed {
        /// What the text should be.
        expected: &'static str,
        /// Its first 32 characters.
        got: String,
    },
    /// Its value lies outside what can be used.
    #[error("value {value} is outside {min} to {max}")]
    OutOfRange {
        /// The value.
        value: u64,
        /// Smallest usable value.
        min: u64,
        /// Largest usable value.
        max: u64,
    },
    /// It says something else than another key.
    #[error("value {value} contradicts {other}")]
    Contradicts {
        /// The value, in its own unit.
        value: u64,
        /// The other key.
        other: &'static str,
    },
    /// The fork begins before the one it follows.
    #[error("the fork begins before an older one")]
    OutOfOrder,
}

impl SpecError {
    fn new(key: impl Into<String>, problem: SpecProblem) -> Self {
        Self {
            key: key.into(),
            problem,
        }
    }
}

/// Sizes of lists and thresholds that presets set differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListSizes {
    /// `MAX_VALIDATORS_PER_COMMITTEE`: 2048 in both presets.
    pub max_validators_per_committee: u64,
    /// `MAX_COMMITTEES_PER_SLOT`: 64 on mainnet, 4 in the minimal preset.
    pub max_committees_per_slot: u64,
    /// `TARGET_AGGREGATORS_PER_COMMITTEE`: 16.
    pub target_aggregators_per_committee: u64,
    /// `SYNC_COMMITTEE_SIZE`: 512 on mainnet, 32 in the minimal preset.
    pub sync_committee_size: u64,
}

impl ListSizes {
    /// The mainnet preset, also used where the node serves no value.
    pub const MAINNET: Self = Self {
        max_validators_per_committee: 2048,
        max_committees_per_slot: 64,
        target_aggregators_per_committee: 16,
        sync_committee_size: 512,
    };

    /// The minimal preset, for tests.
    pub const MINIMAL: Self = Self {
        max_committees_per_slot: 4,
        sync_committee_size: 32,
        ..Self::MAINNET
    };

    /// Most aggregation bits an attestation of a fork may have: those of one committee, from Electra on of all.
    pub const fn max_aggregation_bits(&self, fork: Fork) -> u64 {
        if fork.has_committee_bits() {
            self.max_validators_per_committee
                .saturating_mul(self.max_committees_per_slot)
        } else {
            self.max_validators_per_committee
        }
    }
}

/// The configuration of a chain, as far as a distributed validator needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSpec {
    /// `CONFIG_NAME`, such as `mainnet`, if the node serves one.
    pub name: Option<String>,
    /// Length of a slot: whole milliseconds, above zero.
    pub slot_duration: Duration,
    /// Slots in an epoch: above zero.
    pub slots_per_epoch: u64,
    /// When each fork begins.
    pub forks: ForkSchedule,
    /// When within a slot work is due.
    pub due: DueSchedule,
    /// Sizes set by the preset.
    pub sizes: ListSizes,
}

impl ChainSpec {
    /// Reads the text values of `config/spec`. Keys that are not needed are ignored; forks that are not known are kept
    /// as such, so that the node can stop before them.
    ///
    /// # Errors
    /// [`SpecError`] with the first key that is missing, malformed, out of range or contradictory.
    pub fn from_config(config: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let reader = Reader(config);
        Ok(Self {
            name: config.get("CONFIG_NAME").cloned(),
            slot_duration: reader.slot_duration()?,
            slots_per_epoch: reader.number_within(
                "SLOTS_PER_EPOCH",
                None,
                1,
                MAX_SLOTS_PER_EPOCH,
            )?,
            forks: reader.forks()?,
            due: reader.due()?,
            sizes: reader.sizes()?,
        })
    }

    /// A chain with mainnet's list sizes that has every known fork since genesis, for tests and test networks. Versions
    /// count up in the first byte from `base_fork_version`, the version of phase 0.
    pub fn mainnet_like(
        slot_duration: Duration,
        slots_per_epoch: u64,
        base_fork_version: ForkVersion,
    ) -> Self {
        let later = Fork::ALL.iter().skip(1).map(|&fork| {
            let mut version = base_fork_version;
            version.0[0] = version.0[0].wrapping_add(fork as u8);
            ForkEntry {
                fork,
                epoch: Epoch(0),
                version,
            }
        });
        Self {
            name: None,
            slot_duration,
            slots_per_epoch,
            forks: ForkSchedule::new(base_fork_version, later, Vec::new())
                .expect("all forks in order at epoch 0"),
            due: DueSchedule {
                base: DuePoints::BEFORE_GLOAS,
                gloas: DuePoints::GLOAS,
                gloas_epoch: Epoch::FAR_FUTURE,
            },
            sizes: ListSizes::MAINNET,
        }
    }

    /// The configuration as a beacon node would serve it; [`Self::from_config`] reads it back.
    pub fn to_config(&self) -> BTreeMap<String, String> {
        let name = self
            .name
            .iter()
            .map(|name| ("CONFIG_NAME".to_owned(), name.clone()));
        let times = self.time_entries().into_iter();
        name.chain(times)
            .chain(self.fork_entries())
            .chain(self.due_entries())
            .chain(self.size_entries())
            .collect()
    }

    /// Seconds only where they are whole.
    fn time_entries(&self) -> Vec<(String, String)> {
        let millis = self.slot_duration.as_millis();
        let mut entries = vec![
            entry("SLOT_DURATION_MS", millis),
            entry("SLOTS_PER_EPOCH", self.slots_per_epoch),
        ];
        if millis.is_multiple_of(1000) {
            entries.push(entry("SECONDS_PER_SLOT", millis / 1000));
        }
        entries
    }

    fn fork_entries(&self) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for fork in self.forks.entries() {
            let name = fork.fork.config_name();
            entries.push(entry(&format!("{name}{FORK_VERSION}"), fork.version));
            if fork.fork != Fork::Phase0 {
                entries.push(entry(&format!("{name}{FORK_EPOCH}"), fork.epoch));
            }
        }
        for fork in self.forks.unknown() {
            entries.push(entry(&format!("{}{FORK_EPOCH}", fork.name), fork.epoch));
            entries.extend(
                fork.version
                    .map(|version| entry(&format!("{}{FORK_VERSION}", fork.name), version)),
            );
        }
        entries
    }

    fn due_entries(&self) -> impl Iterator<Item = (String, String)> {
        [("", self.due.base), ("_GLOAS", self.due.gloas)]
            .into_iter()
            .flat_map(|(suffix, points)| {
                [
                    entry(
                        &format!("ATTESTATION_DUE_BPS{suffix}"),
                        points.attestation.get(),
                    ),
                    entry(
                        &format!("AGGREGATE_DUE_BPS{suffix}"),
                        points.aggregate.get(),
                    ),
                    entry(
                        &format!("SYNC_MESSAGE_DUE_BPS{suffix}"),
                        points.sync_message.get(),
                    ),
                    entry(
                        &format!("CONTRIBUTION_DUE_BPS{suffix}"),
                        points.contribution.get(),
                    ),
                ]
            })
    }

    fn size_entries(&self) -> [(String, String); 4] {
        let sizes = &self.sizes;
        [
            entry(
                "MAX_VALIDATORS_PER_COMMITTEE",
                sizes.max_validators_per_committee,
            ),
            entry("MAX_COMMITTEES_PER_SLOT", sizes.max_committees_per_slot),
            entry(
                "TARGET_AGGREGATORS_PER_COMMITTEE",
                sizes.target_aggregators_per_committee,
            ),
            entry("SYNC_COMMITTEE_SIZE", sizes.sync_committee_size),
        ]
    }
}

fn entry(key: &str, value: impl fmt::Display) -> (String, String) {
    (key.to_owned(), value.to_string())
}

/// Typed access to the configuration's texts.
struct Reader<'a>(&'a BTreeMap<String, String>);

impl Reader<'_> {
    fn parse<T: FromStr>(&self, key: &str, expected: &'static str) -> Result<Option<T>, SpecError> {
        let Some(text) = self.0.get(key) else {
            return Ok(None);
        };
        let got = || text.chars().take(32).collect();
        text.parse().map(Some).map_err(|_| {
            SpecError::new(
                key,
                SpecProblem::Malformed {
                    expected,
                    got: got(),
                },
            )
        })
    }

    fn number(&self, key: &str) -> Result<Option<u64>, SpecError> {
        Ok(self
            .parse::<Decimal>(key, "a decimal number")?
            .map(|decimal| decimal.0))
    }

    /// The number under `key`, else the default; without a default the key is needed.
    fn number_within(
        &self,
        key: &str,
        default: Option<u64>,
        min: u64,
        max: u64,
    ) -> Result<u64, SpecError> {
        let value = self
            .number(key)?
            .or(default)
            .ok_or_else(|| SpecError::new(key, SpecProblem::Missing))?;
        if !(min..=max).contains(&value) {
            return Err(SpecError::new(
                key,
                SpecProblem::OutOfRange { value, min, max },
            ));
        }
        Ok(value)
    }

    /// Milliseconds where the node has them, else seconds; both must agree.
    fn slot_duration(&self) -> Result<Duration, SpecError> {
        const MILLIS: &str = "SLOT_DURATION_MS";
        const SECONDS: &str = "SECONDS_PER_SLOT";
        let max_ms = u64::try_from(MAX_SLOT_DURATION.as_millis()).expect("an hour fits");
        let seconds = match self.number(SECONDS)? {
            Some(_) => Some(self.number_within(SECONDS, None, 1, MAX_SLOT_DURATION.as_secs())?),
            None => None,
        };
        if self.number(MILLIS)?.is_none() {
            let seconds = seconds.ok_or_else(|| SpecError::new(SECONDS, SpecProblem::Missing))?;
            return Ok(Duration::from_secs(seconds));
        }
        let millis = self.number_within(MILLIS, None, 1, max_ms)?;
        // A chain of half-second slots can only round its seconds, so just whole seconds must agree.
        if seconds.is_some_and(|seconds| millis.is_multiple_of(1000) && seconds * 1000 != millis) {
            let problem = SpecProblem::Contradicts {
                value: millis,
                other: SECONDS,
            };
            return Err(SpecError::new(MILLIS, problem));
        }
        Ok(Duration::from_millis(millis))
    }

    fn version(&self, key: &str) -> Result<Option<ForkVersion>, SpecError> {
        self.parse(key, "4 bytes of hex")
    }

    fn forks(&self) -> Result<ForkSchedule, SpecError> {
        let genesis_key = "GENESIS_FORK_VERSION";
        let genesis = self
            .version(genesis_key)?
            .ok_or_else(|| SpecError::new(genesis_key, SpecProblem::Missing))?;
        let mut later: Vec<ForkEntry> = Vec::new();
        for &fork in Fork::ALL.iter().filter(|&&fork| fork != Fork::Phase0) {
            let Some(entry) = self.fork(fork)? else {
                continue;
            };
            if later.last().is_some_and(|last| entry.epoch < last.epoch) {
                let key = format!("{}{FORK_EPOCH}", fork.config_name());
                return Err(SpecError::new(key, SpecProblem::OutOfOrder));
            }
            later.push(entry);
        }
        let schedule = ForkSchedule::new(genesis, later, self.unknown_forks()?);
        Ok(schedule.expect("forks come in order and their epochs were compared"))
    }

    /// A fork that the node does not name at all is not scheduled on its chain; half of one is an error.
    fn fork(&self, fork: Fork) -> Result<Option<ForkEntry>, SpecError> {
        let (epoch_key, version_key) = (
            format!("{}{FORK_EPOCH}", fork.config_name()),
            format!("{}{FORK_VERSION}", fork.config_name()),
        );
        match (self.number(&epoch_key)?, self.version(&version_key)?) {
            (None, None) => Ok(None),
            (Some(epoch), Some(version)) => Ok(Some(ForkEntry {
                fork,
                epoch: Epoch(epoch),
                version,
            })),
            (None, Some(_)) => Err(SpecError::new(epoch_key, SpecProblem::Missing)),
            (Some(_), None) => Err(SpecError::new(version_key, SpecProblem::Missing)),
        }
    }

    fn unknown_forks(&self) -> Result<Vec<UnknownFork>, SpecError> {
        let known = |name: &str| Fork::ALL.iter().any(|fork| fork.config_name() == name);
        let names = self
            .0
            .keys()
            .filter_map(|key| key.strip_suffix(FORK_EPOCH))
            .filter(|name| !known(name));
        names
            .map(|name| {
                let epoch = self
                    .number(&format!("{name}{FORK_EPOCH}"))?
                    .map_or(Epoch::FAR_FUTURE, Epoch);
                let version = self.version(&format!("{name}{FORK_VERSION}"))?;
                Ok(UnknownFork {
                    name: name.to_owned(),
                    epoch,
                    version,
                })
            })
            .collect()
    }

    fn due(&self) -> Result<DueSchedule, SpecError> {
        let gloas_epoch = self
            .number("GLOAS_FORK_EPOCH")?
            .map_or(Epoch::FAR_FUTURE, Epoch);
        let base = self.due_points("", DuePoints::BEFORE_GLOAS)?;
        let gloas = self.due_points("_GLOAS", DuePoints::GLOAS)?;
        Ok(DueSchedule {
            base,
            gloas,
            gloas_epoch,
        })
    }

    fn due_points(&self, suffix: &str, default: DuePoints) -> Result<DuePoints, SpecError> {
        let points = |name: &str, default: BasisPoints| {
            let key = format!("{name}{suffix}");
            let value = self.number_within(&key, Some(default.get()), 1, BasisPoints::WHOLE)?;
            Ok(BasisPoints::new(value).expect("at most a whole slot, just checked"))
        };
        Ok(DuePoints {
            attestation: points("ATTESTATION_DUE_BPS", default.attestation)?,
            aggregate: points("AGGREGATE_DUE_BPS", default.aggregate)?,
            sync_message: points("SYNC_MESSAGE_DUE_BPS", default.sync_message)?,
            contribution: points("CONTRIBUTION_DUE_BPS", default.contribution)?,
        })
    }

    fn sizes(&self) -> Result<ListSizes, SpecError> {
        let size = |key, default, max| self.number_within(key, Some(default), 1, max);
        let mainnet = ListSizes::MAINNET;
        Ok(ListSizes {
            max_validators_per_committee: size(
                "MAX_VALIDATORS_PER_COMMITTEE",
                mainnet.max_validators_per_committee,
                1 << 16,
            )?,
            max_committees_per_slot: size(
                "MAX_COMMITTEES_PER_SLOT",
                mainnet.max_committees_per_slot,
                1 << 8,
            )?,
            target_aggregators_per_committee: size(
                "TARGET_AGGREGATORS_PER_COMMITTEE",
                mainnet.target_aggregators_per_committee,
                1 << 16,
            )?,
            sync_committee_size: size("SYNC_COMMITTEE_SIZE", mainnet.sync_committee_size, 1 << 16)?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn config() -> BTreeMap<String, String> {
        ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0x10, 0, 9, 0x10]))
            .to_config()
    }

    fn with(changes: &[(&str, Option<&str>)]) -> Result<ChainSpec, SpecError> {
        let mut config = config();
        for &(key, value) in changes {
            match value {
                Some(value) => config.insert(key.to_owned(), value.to_owned()),
                None => config.remove(key),
            };
        }
        ChainSpec::from_config(&config)
    }

    #[test]
    fn what_is_served_is_read_back() {
        let mut spec =
            ChainSpec::mainnet_like(Duration::from_millis(2500), 8, ForkVersion([0xff, 1, 2, 3]));
        spec.name = Some("devnet".into());
        spec.sizes = ListSizes::MINIMAL;
        assert_eq!(ChainSpec::from_config(&spec.to_config()).unwrap(), spec);
    }

    #[test]
    fn slot_duration_is_read_in_either_unit() {
        assert_eq!(
            with(&[("SLOT_DURATION_MS", None)]).unwrap().slot_duration,
            Duration::from_secs(12)
        );
        assert_eq!(
            with(&[("SECONDS_PER_SLOT", None)]).unwrap().slot_duration,
            Duration::from_secs(12)
        );
        let error = with(&[("SECONDS_PER_SLOT", Some("5"))]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config/spec, key SLOT_DURATION_MS: value 12000 contradicts SECONDS_PER_SLOT"
        );
        let error = with(&[("SECONDS_PER_SLOT", None), ("SLOT_DURATION_MS", None)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config/spec, key SECONDS_PER_SLOT: missing"
        );
    }

    #[test]
    fn due_points_default_to_those_of_before_gloas() {
        let mut config = config();
        config.retain(|key, _| !key.contains("_DUE_BPS"));
        let spec = ChainSpec::from_config(&config).unwrap();
        assert_eq!(
            (spec.due.base, spec.due.gloas),
            (DuePoints::BEFORE_GLOAS, DuePoints::GLOAS)
        );
    }

    #[test]
    fn due_points_outside_a_slot_are_refused() {
        for value in ["0", "10001"] {
            let error = with(&[("ATTESTATION_DUE_BPS", Some(value))]).unwrap_err();
            assert_eq!(error.key, "ATTESTATION_DUE_BPS");
        }
        assert_eq!(
            with(&[("ATTESTATION_DUE_BPS", Some("2500"))])
                .unwrap()
                .due
                .base
                .attestation
                .get(),
            2500
        );
    }

    #[test]
    fn a_fork_we_do_not_know_is_kept_as_such() {
        let spec = with(&[
            ("GLOAS_FORK_EPOCH", Some("900")),
            ("GLOAS_FORK_VERSION", Some("0x80000910")),
            ("EIP7805_FORK_EPOCH", Some("18446744073709551615")),
        ])
        .unwrap();
        assert_eq!(spec.forks.unknown_after(), Some(Epoch(900)));
        assert_eq!(spec.forks.unknown().len(), 2);
        assert_eq!(spec.due.at(Epoch(900)).attestation.get(), 2500);
        assert_eq!(ChainSpec::from_config(&spec.to_config()).unwrap(), spec);
    }

    #[test]
    fn forks_that_contradict_themselves_are_refused() {
        assert_eq!(
            with(&[("FULU_FORK_VERSION", None)]).unwrap_err().key,
            "FULU_FORK_VERSION"
        );
        assert_eq!(
            with(&[("FULU_FORK_EPOCH", None)]).unwrap_err().key,
            "FULU_FORK_EPOCH"
        );
        let error = with(&[("DENEB_FORK_EPOCH", Some("9"))]).unwrap_err();
        assert_eq!(
            (error.key.as_str(), error.problem),
            ("ELECTRA_FORK_EPOCH", SpecProblem::OutOfOrder)
        );
        let error = with(&[("GENESIS_FORK_VERSION", Some("0x12"))]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config/spec, key GENESIS_FORK_VERSION: expected 4 bytes of hex, got \"0x12\""
        );
    }

    #[test]
    fn forks_a_node_does_not_name_are_not_scheduled() {
        let spec = with(&[("FULU_FORK_EPOCH", None), ("FULU_FORK_VERSION", None)]).unwrap();
        assert_eq!(spec.forks.at(Epoch(5)).fork, Fork::Electra);
    }

    #[test]
    fn list_sizes_follow_the_preset() {
        let spec = with(&[("MAX_COMMITTEES_PER_SLOT", Some("4"))]).unwrap();
        assert_eq!(spec.sizes.max_aggregation_bits(Fork::Electra), 8192);
        assert_eq!(spec.sizes.max_aggregation_bits(Fork::Deneb), 2048);
        assert!(with(&[("MAX_COMMITTEES_PER_SLOT", Some("0"))]).is_err());
        assert!(with(&[("SLOTS_PER_EPOCH", Some("0"))]).is_err());
    }
}
