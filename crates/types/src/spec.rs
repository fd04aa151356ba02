//! The chain's configuration, read from a beacon node's `config/spec`.

mod reader;
mod sizes;

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{DuePoints, DueSchedule, Epoch, Fork, ForkEntry, ForkSchedule, ForkVersion};
use reader::{MAX_SLOTS_PER_EPOCH, Reader};
pub use sizes::ListSizes;

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
            sizes: ListSizes::read(&reader)?,
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
            .chain(self.sizes.entries())
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
}

fn entry(key: &str, value: impl fmt::Display) -> (String, String) {
    (key.to_owned(), value.to_string())
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
