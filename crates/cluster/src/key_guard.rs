//! Charon's `<private key file>.lock`: a time stamp that is renewed every second, so that a second
//! process with the same key notices (spec 10 §1.5). The rules and the bytes; file and clock are the
//! caller's.

use std::time::Duration;

use flotilla_types::Timestamp;
use thiserror::Error;

use crate::json::{Field, ParseError, parse};
use crate::rfc3339;

/// How often the file is written anew.
pub const RENEWAL_PERIOD: Duration = Duration::from_secs(1);
/// How old the file of a process that still runs may be.
const ALIVE: Duration = Duration::from_secs(5);
/// How long another cluster's use of the key keeps this one waiting: two epochs.
const OTHER_CLUSTER_WAIT: Duration = Duration::from_secs(768);

/// Content of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyGuard {
    /// What uses the key, for example `charon run`.
    pub command: String,
    /// When the file was written.
    pub timestamp: Timestamp,
    /// `lock_hash` of the cluster the key is used for, as its lock file has it; may be empty.
    pub cluster_lock_hash: String,
}

/// A key that must not be used now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyInUse {
    /// Another process renewed the file a moment ago.
    #[error("{command} used this key {age:?} ago and seems to be running: stop it first")]
    Running {
        /// What the other process is.
        command: String,
        /// Age of the file.
        age: Duration,
    },
    /// The key was used for another cluster not long ago.
    #[error(
        "{command} used this key {age:?} ago for the cluster with lock hash {other}: wait another {wait:?}"
    )]
    OtherCluster {
        /// What the other process was.
        command: String,
        /// Its cluster's lock hash.
        other: String,
        /// Age of the file.
        age: Duration,
        /// Time to wait.
        wait: Duration,
    },
}

impl KeyGuard {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not of that form.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let value = parse(bytes)?;
        let root = Field::root(&value);
        let time = root.get("timestamp")?;
        Ok(Self {
            command: root.get("command")?.text()?.to_owned(),
            timestamp: rfc3339::parse(time.text()?)
                .ok_or_else(|| time.expected("an RFC 3339 time"))?,
            cluster_lock_hash: root.get("cluster_lock_hash")?.text()?.to_owned(),
        })
    }

    /// The file's bytes: compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let hash = match self.cluster_lock_hash.as_str() {
            "" => String::new(),
            hash => format!(",\"cluster_lock_hash\":{}", text(hash)),
        };
        format!(
            "{{\"command\":{},\"timestamp\":\"{}\"{hash}}}",
            text(&self.command),
            rfc3339::format(self.timestamp)
        )
    }

    /// Whether a new process for the cluster with `cluster_lock_hash` may start, given this file.
    ///
    /// # Errors
    /// Another process runs, or ran for another cluster within two epochs.
    pub fn allows(&self, cluster_lock_hash: &str, now: Timestamp) -> Result<(), KeyInUse> {
        let age = now.saturating_since(self.timestamp);
        let command = self.command.clone();
        if age <= ALIVE {
            return Err(KeyInUse::Running { command, age });
        }
        let differs =
            !self.cluster_lock_hash.is_empty() && self.cluster_lock_hash != cluster_lock_hash;
        match OTHER_CLUSTER_WAIT.checked_sub(age) {
            Some(wait) if differs && !wait.is_zero() => Err(KeyInUse::OtherCluster {
                command,
                other: self.cluster_lock_hash.clone(),
                age,
                wait,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn guard(hash: &str) -> KeyGuard {
        KeyGuard {
            command: "charon run".to_owned(),
            timestamp: Timestamp::from_nanos(1_700_000_000_123_456_789),
            cluster_lock_hash: hash.to_owned(),
        }
    }

    #[test]
    fn file_is_compact_and_reads_back() {
        let text = guard("0xab").to_json();
        let expected = "{\"command\":\"charon run\",\"timestamp\":\"2023-11-14T22:13:20.123456789Z\",\"cluster_lock_hash\":\"0xab\"}";
        assert_eq!(text, expected);
        for hash in ["", "0xab"] {
            assert_eq!(
                KeyGuard::parse(guard(hash).to_json().as_bytes()).unwrap(),
                guard(hash)
            );
        }
        assert!(!guard("").to_json().contains("cluster_lock_hash"));
    }

    #[test]
    fn damaged_file_is_named() {
        let error = KeyGuard::parse(b"{\"timestamp\":\"yesterday\"}")
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "timestamp: expected an RFC 3339 time, found \"yesterday\""
        );
    }

    #[test]
    fn running_process_and_recent_other_cluster_block() {
        let guard = guard("0xab");
        let after = |seconds| guard.timestamp + Duration::from_secs(seconds);
        assert!(matches!(
            guard.allows("0xab", after(5)),
            Err(KeyInUse::Running { .. })
        ));
        assert_eq!(guard.allows("0xab", after(6)), Ok(()));
        match guard.allows("0xcd", after(700)) {
            Err(KeyInUse::OtherCluster { wait, .. }) => assert_eq!(wait, Duration::from_secs(68)),
            other => panic!("{other:?}"),
        }
        assert_eq!(guard.allows("0xcd", after(768)), Ok(()));
        assert_eq!(self::guard("").allows("0xcd", after(6)), Ok(()));
    }
}
