//! What nodes tell each other about themselves once a minute (`PeerInfo`, spec 20 §8), and what is made of it.
//!
//! Nothing here is signed or decides anything; it is what an operator is shown when clocks, versions or files differ.

use std::time::Duration;

use flotilla_types::Timestamp;
use prost::Message as _;

use crate::proto::peer_info as proto;
use crate::reject::Reject;
pub use crate::version::{Minor, Version, VersionError};

/// Longest message accepted, in bytes (spec 20 §2.1).
pub const MESSAGE_LIMIT: usize = 1 << 20;
/// The release lines whose protocols this software speaks, newest first.
pub const SUPPORTED: [Minor; 12] = [
    Minor(1, 11),
    Minor(1, 10),
    Minor(1, 9),
    Minor(1, 8),
    Minor(1, 7),
    Minor(1, 6),
    Minor(1, 5),
    Minor(1, 4),
    Minor(1, 3),
    Minor(1, 2),
    Minor(1, 1),
    Minor(1, 0),
];
/// The client whose versions are held against [`SUPPORTED`]; an empty name is read as this one.
const VERSIONED_CLIENT: &str = "charon";
/// What stands in for an unknown commit.
const UNKNOWN_COMMIT: &str = "unknown";
/// A foreign text is cut at this many characters.
const SHOWN_CHARACTERS: usize = 32;

/// What one node says about itself. All of it is hearsay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerInfo {
    /// Version of the protocols it speaks. Old nodes drop peers' answers without one that they know.
    pub version: String,
    /// Its cluster's lock hash; 32 bytes if it is honest.
    pub lock_hash: Vec<u8>,
    /// Its clock when it sent this.
    pub sent_at: Option<Timestamp>,
    /// When its process started.
    pub started_at: Option<Timestamp>,
    /// Seven lower-case hexadecimal digits of its commit, or `unknown`.
    pub git_hash: String,
    /// Whether it proposes blocks of external builders.
    pub builder_api: bool,
    /// The name its operator gave it.
    pub nickname: String,
    /// The software it runs.
    pub client: String,
}

impl PeerInfo {
    /// The content of a frame, of a request or a response.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = proto::PeerInfo {
            charon_version: self.version.clone(),
            lock_hash: self.lock_hash.clone(),
            sent_at: self.sent_at.map(time_to_wire),
            git_hash: self.git_hash.clone(),
            started_at: self.started_at.map(time_to_wire),
            builder_api_enabled: self.builder_api,
            nickname: self.nickname.clone(),
            dv_client: self.client.clone(),
        };
        message.encode_to_vec()
    }

    /// Reads a request or a response; an empty one is fine.
    ///
    /// # Errors
    /// [`Reject::TooLong`], [`Reject::Malformed`], or [`Reject::Time`] for a time that does not exist.
    pub fn decode(content: &[u8]) -> Result<Self, Reject> {
        if content.len() > MESSAGE_LIMIT {
            return Err(Reject::TooLong {
                bytes: content.len(),
                limit: MESSAGE_LIMIT,
            });
        }
        let message =
            proto::PeerInfo::decode(content).map_err(|_| Reject::Malformed("PeerInfo"))?;
        Ok(Self {
            version: message.charon_version,
            lock_hash: message.lock_hash,
            sent_at: message
                .sent_at
                .map(|time| time_from_wire("sent_at", time))
                .transpose()?,
            started_at: message
                .started_at
                .map(|time| time_from_wire("started_at", time))
                .transpose()?,
            git_hash: message.git_hash,
            builder_api: message.builder_api_enabled,
            nickname: message.nickname,
            client: message.dv_client,
        })
    }

    /// The nickname as it may be shown: printable ASCII without quotes, and short.
    #[must_use]
    pub fn shown_nickname(&self) -> String {
        shown(&self.nickname)
    }

    /// The version as it may be shown.
    #[must_use]
    pub fn shown_version(&self) -> String {
        shown(&self.version)
    }

    /// The client as it may be shown.
    #[must_use]
    pub fn shown_client(&self) -> String {
        shown(self.client_name())
    }

    fn client_name(&self) -> &str {
        if self.client.is_empty() {
            VERSIONED_CLIENT
        } else {
            &self.client
        }
    }
}

/// What the answers of peers are held against.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Our cluster's lock hash.
    pub lock_hash: &'a [u8; 32],
    /// Whether we propose blocks of external builders.
    pub builder_api: bool,
    /// Release lines that we speak, normally [`SUPPORTED`].
    pub supported: &'a [Minor],
}

/// What is made of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How far the peer's clock is ahead of ours; nothing if it did not tell its time.
    pub clock_offset: Option<ClockOffset>,
    /// Whether its version goes with ours; nothing if the checks ended before.
    pub compatible: Option<bool>,
    /// Whether what it says may be taken into the metrics: all checks that matter passed.
    pub usable: bool,
    /// Everything out of the ordinary, in the order of the checks.
    pub findings: Vec<Finding>,
}

/// The difference between two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOffset {
    /// The peer's clock is this far ahead, or equal.
    Ahead(Duration),
    /// The peer's clock is this far behind.
    Behind(Duration),
}

/// Something out of the ordinary in what a peer says about itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// It does not tell when it sent this or when it started.
    #[error("it tells no time of sending or starting")]
    NoTimes,
    /// Its commit is not one.
    #[error("{0:?} is not a commit")]
    Commit(String),
    /// Its version is not one.
    #[error("{0:?} is not a version")]
    InvalidVersion(String),
    /// Its version is too old.
    #[error("version {0} is not supported")]
    UnsupportedVersion(String),
    /// It works from another cluster lock.
    #[error("it works from another cluster lock: {0}")]
    LockHash(String),
    /// Its builder setting differs, so proposals will differ.
    #[error("its builder API is {}, ours is not", if *.0 { "on" } else { "off" })]
    BuilderApi(bool),
}

/// Checks a response that arrived at `now`, `rtt` after its request had left. The order is that of spec 20 §8.
#[must_use]
pub fn check(info: &PeerInfo, expected: &Expected<'_>, now: Timestamp, rtt: Duration) -> Report {
    let mut report = Report {
        clock_offset: None,
        compatible: None,
        usable: false,
        findings: Vec::new(),
    };
    let (Some(sent_at), Some(_)) = (info.sent_at, info.started_at) else {
        report.findings.push(Finding::NoTimes);
        return report;
    };
    if !is_commit(&info.git_hash) {
        report.findings.push(Finding::Commit(shown(&info.git_hash)));
        return report;
    }
    report.clock_offset = Some(ClockOffset::between(sent_at, now - rtt / 2));
    let version = check_version(info, expected.supported);
    report.compatible = Some(version.is_ok());
    if let Err(finding) = version {
        report.findings.push(finding);
        return report;
    }
    report.usable = true;
    if info.lock_hash != expected.lock_hash {
        report
            .findings
            .push(Finding::LockHash(shown(&hex::encode(&info.lock_hash))));
    }
    if info.builder_api != expected.builder_api {
        report.findings.push(Finding::BuilderApi(info.builder_api));
    }
    report
}

/// Other clients' versions are their own affair.
fn check_version(info: &PeerInfo, supported: &[Minor]) -> Result<(), Finding> {
    if info.client_name() != VERSIONED_CLIENT {
        return Ok(());
    }
    let version: Version = info
        .version
        .parse()
        .map_err(|_| Finding::InvalidVersion(info.shown_version()))?;
    if version.is_supported_by(supported) {
        Ok(())
    } else {
        Err(Finding::UnsupportedVersion(info.shown_version()))
    }
}

impl ClockOffset {
    /// How far `theirs` is from `ours`, both read at the same instant.
    #[must_use]
    pub fn between(theirs: Timestamp, ours: Timestamp) -> Self {
        if theirs >= ours {
            Self::Ahead(theirs.saturating_since(ours))
        } else {
            Self::Behind(ours.saturating_since(theirs))
        }
    }

    /// In seconds, negative if behind.
    #[must_use]
    pub fn as_seconds(self) -> f64 {
        match self {
            Self::Ahead(by) => by.as_secs_f64(),
            Self::Behind(by) => -by.as_secs_f64(),
        }
    }
}

fn is_commit(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text == UNKNOWN_COMMIT || text.len() == 7 && text.bytes().all(is_digit)
}

fn shown(text: &str) -> String {
    let fits = |character: &char| {
        character.is_ascii_graphic() && !matches!(character, '"' | '\\') || *character == ' '
    };
    text.chars().filter(fits).take(SHOWN_CHARACTERS).collect()
}

fn time_to_wire(time: Timestamp) -> prost_types::Timestamp {
    let since_epoch = time.since_epoch();
    prost_types::Timestamp {
        seconds: since_epoch.as_secs().cast_signed(), // At most 2^64 ns, so it fits.
        nanos: since_epoch.subsec_nanos().cast_signed(),
    }
}

fn time_from_wire(field: &'static str, time: prost_types::Timestamp) -> Result<Timestamp, Reject> {
    let out_of_range = Reject::Time {
        field,
        seconds: time.seconds,
        nanos: time.nanos,
    };
    let seconds = u64::try_from(time.seconds)
        .ok()
        .and_then(|seconds| seconds.checked_mul(1_000_000_000));
    let nanos = u64::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let total = seconds
        .zip(nanos)
        .and_then(|(seconds, nanos)| seconds.checked_add(nanos));
    total.map(Timestamp::from_nanos).ok_or(out_of_range)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const LOCK: [u8; 32] = [3; 32];
    const EXPECTED: Expected<'_> = Expected {
        lock_hash: &LOCK,
        builder_api: false,
        supported: &SUPPORTED,
    };

    fn info() -> PeerInfo {
        PeerInfo {
            version: "v1.11.0".into(),
            lock_hash: LOCK.to_vec(),
            sent_at: Some(Timestamp::from_secs(1000)),
            started_at: Some(Timestamp::from_secs(10)),
            git_hash: "0123abc".into(),
            client: "flotilla".into(),
            ..PeerInfo::default()
        }
    }

    fn report(info: &PeerInfo) -> Report {
        check(
            info,
            &EXPECTED,
            Timestamp::from_secs(1001),
            Duration::from_secs(4),
        )
    }

    #[test]
    fn half_the_round_trip_is_taken_off_the_clock_offset() {
        let report = report(&info());
        assert_eq!(
            report.clock_offset,
            Some(ClockOffset::Ahead(Duration::from_secs(1)))
        );
        assert_eq!((report.usable, report.findings), (true, vec![]));
        let behind = ClockOffset::between(Timestamp::from_secs(1), Timestamp::from_secs(3));
        assert_eq!(behind.as_seconds(), -2.0);
    }

    #[test]
    fn without_times_or_with_a_strange_commit_the_checks_end() {
        let timeless = report(&PeerInfo {
            started_at: None,
            ..info()
        });
        assert_eq!(
            (timeless.clock_offset, timeless.findings),
            (None, vec![Finding::NoTimes])
        );
        let strange = report(&PeerInfo {
            git_hash: "0123ABC".into(),
            ..info()
        });
        assert_eq!(
            (strange.usable, strange.findings),
            (false, vec![Finding::Commit("0123ABC".into())])
        );
        assert!(
            report(&PeerInfo {
                git_hash: "unknown".into(),
                ..info()
            })
            .usable
        );
    }

    #[test]
    fn only_versions_of_the_versioned_client_are_judged() {
        let old = |client: &str| {
            report(&PeerInfo {
                version: "v0.9".into(),
                client: client.into(),
                ..info()
            })
        };
        assert_eq!(old("flotilla").compatible, Some(true));
        assert_eq!(old("charon").compatible, Some(false));
        assert_eq!(
            old("").findings,
            [Finding::UnsupportedVersion("v0.9".into())]
        );
    }

    #[test]
    fn another_lock_and_another_builder_setting_are_found() {
        let report = report(&PeerInfo {
            lock_hash: vec![0xab],
            builder_api: true,
            ..info()
        });
        assert!(report.usable);
        assert_eq!(
            report.findings,
            [Finding::LockHash("ab".into()), Finding::BuilderApi(true)]
        );
    }

    #[test]
    fn shown_texts_are_short_and_harmless() {
        let loud = PeerInfo {
            nickname: format!("a\"\n{}", "é x".repeat(40)),
            ..info()
        };
        let shown = loud.shown_nickname();
        assert!(shown.len() <= 32 && shown.starts_with("a x x"), "{shown}");
    }

    #[test]
    fn an_empty_request_is_read() {
        assert_eq!(PeerInfo::decode(&[]), Ok(PeerInfo::default()));
    }

    #[test]
    fn times_that_do_not_exist_are_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            let time = prost_types::Timestamp { seconds, nanos };
            assert_eq!(time_from_wire("sent_at", time).unwrap_err().label(), "time");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(info) = PeerInfo::decode(&bytes) {
                let _ = report(&info);
            }
        }

        #[test]
        fn what_is_encoded_is_decoded(nickname: String, sent_at: Option<u64>, builder_api: bool, lock_hash: [u8; 32]) {
            let sent_at = sent_at.map(Timestamp::from_nanos);
            let info = PeerInfo { nickname, sent_at, builder_api, lock_hash: lock_hash.to_vec(), ..info() };
            prop_assert_eq!(PeerInfo::decode(&info.encode()), Ok(info));
        }
    }
}
