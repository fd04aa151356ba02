//! What beacon nodes answer, and how it is read.

use std::collections::BTreeMap;

use flotilla_types::{
    ChainSpec, Epoch, ForkVersion, PublicKeyBytes, Root, Slot, Timestamp, ValidatorIndex,
};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::exchange::Answer;

/// The beginning of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Genesis {
    /// Start of slot 0.
    #[serde(deserialize_with = "seconds")]
    pub genesis_time: Timestamp,
    /// Root of the first validator set.
    pub genesis_validators_root: Root,
    /// Version of phase 0.
    pub genesis_fork_version: ForkVersion,
}

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Syncing {
    /// The slot of its head.
    pub head_slot: Slot,
    /// How many slots it is behind.
    pub sync_distance: Slot,
    /// Whether it is catching up; it then refuses most questions.
    pub is_syncing: bool,
    /// Whether its head is not verified by the execution client yet.
    #[serde(default)]
    pub is_optimistic: bool,
    /// Whether its execution client is away.
    #[serde(default)]
    pub el_offline: bool,
}

impl Syncing {
    /// Whether the node can be asked for duties.
    pub const fn is_ready(&self) -> bool {
        !self.is_syncing && !self.is_optimistic && !self.el_offline
    }
}

/// Where a validator stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidatorStatus {
    /// Deposited, not yet in the queue.
    PendingInitialized,
    /// In the activation queue.
    PendingQueued,
    /// On duty.
    ActiveOngoing,
    /// On duty, in the exit queue.
    ActiveExiting,
    /// On duty, slashed.
    ActiveSlashed,
    /// Left.
    ExitedUnslashed,
    /// Left after a slashing.
    ExitedSlashed,
    /// May withdraw.
    WithdrawalPossible,
    /// Has withdrawn.
    WithdrawalDone,
    /// A status this version does not know.
    #[serde(other)]
    Unknown,
}

impl ValidatorStatus {
    /// Whether the validator has duties.
    pub const fn is_active(self) -> bool {
        matches!(
            self,
            Self::ActiveOngoing | Self::ActiveExiting | Self::ActiveSlashed
        )
    }
}

/// A validator of the beacon state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Its place in the state.
    pub index: ValidatorIndex,
    /// Its public key.
    pub pubkey: PublicKeyBytes,
    /// Where it stands.
    pub status: ValidatorStatus,
    /// Its balance in gwei.
    pub balance_gwei: u64,
    /// From when it is active; [`Epoch::FAR_FUTURE`] when not known yet.
    pub activation_epoch: Epoch,
    /// From when it is not; [`Epoch::FAR_FUTURE`] when not known yet.
    pub exit_epoch: Epoch,
}

impl<'de> Deserialize<'de> for Validator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Entry {
            index: ValidatorIndex,
            #[serde(deserialize_with = "number")]
            balance: u64,
            status: ValidatorStatus,
            validator: State,
        }
        #[derive(Deserialize)]
        struct State {
            pubkey: PublicKeyBytes,
            activation_epoch: Epoch,
            exit_epoch: Epoch,
        }
        let Entry {
            index,
            balance,
            status,
            validator,
        } = Entry::deserialize(deserializer)?;
        let State {
            pubkey,
            activation_epoch,
            exit_epoch,
        } = validator;
        Ok(Self {
            index,
            pubkey,
            status,
            balance_gwei: balance,
            activation_epoch,
            exit_epoch,
        })
    }
}

/// What most answers are wrapped in.
#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

/// A whole answer in JSON.
pub(super) fn json<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, String> {
    if answer.is_ssz {
        return Err("application/octet-stream where only JSON was asked for".to_owned());
    }
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

/// What an answer wraps.
pub(super) fn data<T: for<'de> Deserialize<'de>>(answer: &Answer) -> Result<T, String> {
    json::<Wrapped<T>>(answer).map(|wrapped| wrapped.data)
}

/// `genesis`, `syncing` and others whose answer is just data.
pub(super) fn plain<T: for<'de> Deserialize<'de>>(answer: Answer) -> Result<T, String> {
    data(&answer)
}

/// `config/spec`: text values are kept, lists (such as the blob schedule) are not needed.
pub(super) fn spec(answer: Answer) -> Result<ChainSpec, String> {
    let values: BTreeMap<String, serde_json::Value> = data(&answer)?;
    let texts = values.into_iter().filter_map(|(key, value)| match value {
        serde_json::Value::String(text) => Some((key, text)),
        _ => None,
    });
    ChainSpec::from_config(&texts.collect()).map_err(|error| error.to_string())
}

/// `node/version`.
pub(super) fn version(answer: Answer) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Version {
        version: String,
    }
    let Version { version } = data(&answer)?;
    // The text ends in logs and metric labels.
    Ok(version
        .chars()
        .filter(|character| !character.is_control())
        .take(128)
        .collect())
}

/// `node/peer_count`.
pub(super) fn connected_peers(answer: Answer) -> Result<u64, String> {
    #[derive(Deserialize)]
    struct Peers {
        #[serde(deserialize_with = "number")]
        connected: u64,
    }
    data::<Peers>(&answer).map(|peers| peers.connected)
}

/// `validators`: only those that were asked for.
pub(super) fn validators(
    answer: Answer,
    asked: &[PublicKeyBytes],
) -> Result<Vec<Validator>, String> {
    let asked: std::collections::BTreeSet<_> = asked.iter().collect();
    let mut validators: Vec<Validator> = data(&answer)?;
    validators.retain(|validator| asked.contains(&validator.pubkey));
    Ok(validators)
}

/// A number as decimal text.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    Slot::deserialize(deserializer).map(|slot| slot.0)
}

/// Seconds, at most what a timestamp holds.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = number(deserializer)?;
    let timestamp = Timestamp::from_secs(seconds);
    if timestamp == Timestamp::MAX {
        return Err(D::Error::custom(format!(
            "{seconds} seconds are beyond the year 2554"
        )));
    }
    Ok(timestamp)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer {
            body: text.as_bytes().to_vec(),
            ..Answer::default()
        }
    }

    #[test]
    fn lists_in_the_spec_are_ignored_and_keys_are_named_in_errors() {
        let config = ChainSpec::mainnet_like(
            std::time::Duration::from_secs(12),
            32,
            ForkVersion::default(),
        )
        .to_config();
        let mut json = serde_json::json!({ "data": config });
        json["data"]["BLOB_SCHEDULE"] =
            serde_json::json!([{ "EPOCH": "1", "MAX_BLOBS_PER_BLOCK": "9" }]);
        assert_eq!(spec(answer(&json.to_string())).unwrap().slots_per_epoch, 32);
        json["data"]["SLOTS_PER_EPOCH"] = "none".into();
        let error = spec(answer(&json.to_string())).unwrap_err();
        assert_eq!(
            error,
            "config/spec, key SLOTS_PER_EPOCH: expected a decimal number, got \"none\""
        );
    }

    #[test]
    fn statuses_of_the_future_are_unknown_and_not_active() {
        let status: ValidatorStatus = serde_json::from_str("\"active_dreaming\"").unwrap();
        assert_eq!(status, ValidatorStatus::Unknown);
        assert!(!status.is_active());
        assert!(
            serde_json::from_str::<ValidatorStatus>("\"active_exiting\"")
                .unwrap()
                .is_active()
        );
    }

    #[test]
    fn genesis_beyond_all_time_is_refused() {
        let text = |seconds: u64| {
            let zeros = "0".repeat(64);
            format!(
                r#"{{"data":{{"genesis_time":"{seconds}","genesis_validators_root":"0x{zeros}","genesis_fork_version":"0x00000000"}}}}"#
            )
        };
        assert_eq!(
            plain::<Genesis>(answer(&text(7))).unwrap().genesis_time,
            Timestamp::from_secs(7)
        );
        assert!(plain::<Genesis>(answer(&text(u64::MAX))).is_err());
    }
}
