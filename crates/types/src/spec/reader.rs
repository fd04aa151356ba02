//! Typed access to the texts of `config/spec`, with the key at fault in every error.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use super::{FORK_EPOCH, FORK_VERSION, SpecError, SpecProblem};
use crate::{
    BasisPoints, DuePoints, DueSchedule, Epoch, Fork, ForkEntry, ForkSchedule, ForkVersion,
    UnknownFork, number::Decimal,
};

/// Longest slot accepted. Real chains have 5 or 12 seconds; the bound keeps arithmetic far from its ends.
const MAX_SLOT_DURATION: Duration = Duration::from_secs(3600);
/// Most slots an epoch may have. Real presets have 8, 16 or 32.
pub(super) const MAX_SLOTS_PER_EPOCH: u64 = 65_536;

/// Typed access to the configuration's texts.
pub(super) struct Reader<'a>(pub(super) &'a BTreeMap<String, String>);

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
    pub(super) fn number_within(
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
    pub(super) fn slot_duration(&self) -> Result<Duration, SpecError> {
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

    pub(super) fn forks(&self) -> Result<ForkSchedule, SpecError> {
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

    pub(super) fn due(&self) -> Result<DueSchedule, SpecError> {
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
}
