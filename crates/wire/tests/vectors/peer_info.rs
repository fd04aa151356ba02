//! What nodes say about themselves, as recorded.

use std::cmp::Ordering;
use std::time::Duration;

use flotilla_types::Timestamp;
use flotilla_wire::peer_info::{Expected, Finding, Minor, PeerInfo, SUPPORTED, Version, check};
use flotilla_wire::writes_plural_contributions;
use serde_json::Value;

use crate::folder::{bytes, content, files, list, number, text};

fn time(value: &Value) -> Timestamp {
    Timestamp::from_secs(number(value, "seconds")) + Duration::from_nanos(number(value, "nanos"))
}

#[test]
fn peerinfo_frames_vectors() {
    for file in files("consensus", "peerinfo_frames") {
        let message = &file["message"];
        let info = PeerInfo {
            version: text(message, "charon_version").into(),
            lock_hash: bytes(message, "lock_hash_hex"),
            sent_at: Some(time(&message["sent_at"])),
            started_at: Some(time(&message["started_at"])),
            git_hash: text(message, "git_hash").into(),
            builder_api: message["builder_api_enabled"].as_bool().unwrap(),
            nickname: text(message, "nickname").into(),
            client: text(message, "dv_client").into(),
        };
        assert_eq!(info.encode(), content(&file, "framed_hex"));
        assert_eq!(PeerInfo::decode(&content(&file, "framed_hex")), Ok(info));
        assert_eq!(
            PeerInfo::decode(&content(&file, "empty_request_framed_hex")),
            Ok(PeerInfo::default())
        );
    }
}

/// A complete and ordinary answer of a peer.
fn info(version: &str, client: &str) -> PeerInfo {
    PeerInfo {
        version: version.into(),
        client: client.into(),
        git_hash: "unknown".into(),
        sent_at: Some(Timestamp::from_secs(1)),
        started_at: Some(Timestamp::from_secs(1)),
        ..PeerInfo::default()
    }
}

fn findings(info: &PeerInfo, supported: &[Minor]) -> (bool, Option<bool>, Vec<Finding>) {
    let expected = Expected {
        lock_hash: &[0; 32],
        builder_api: false,
        supported,
    };
    let report = check(info, &expected, Timestamp::from_secs(1), Duration::ZERO);
    let of_version = |finding: &Finding| !matches!(finding, Finding::LockHash(_));
    (
        report.usable,
        report.compatible,
        report.findings.into_iter().filter(of_version).collect(),
    )
}

#[test]
fn peer_version_support_vectors() {
    for file in files("consensus", "peerinfo_versions") {
        for case in list(&file, "peer_version_support") {
            let peer = text(case, "peer");
            let minor = |text: &Value| text.as_str().unwrap().parse::<Version>().unwrap().minor;
            let supported: Vec<_> = list(case, "supported").iter().map(minor).collect();
            let (_, _, found) = findings(&info(peer, ""), &supported);
            let expected = match text(case, "result") {
                "ok" => vec![],
                "unsupported" => vec![Finding::UnsupportedVersion(peer.into())],
                "invalid" => vec![Finding::InvalidVersion(peer.into())],
                result => panic!("an unknown result: {result}"),
            };
            assert_eq!(found, expected, "{peer}");
        }
    }
}

#[test]
fn version_order_vectors() {
    for file in files("consensus", "peerinfo_versions") {
        for case in list(&file, "compare") {
            let version = |field| text(case, field).parse::<Version>().unwrap();
            let expected = match case["cmp"].as_i64().unwrap() {
                ..0 => Ordering::Less,
                0 => Ordering::Equal,
                1.. => Ordering::Greater,
            };
            assert_eq!(version("a").compare(&version("b")), expected, "{case}");
            assert_eq!(
                version("b").compare(&version("a")),
                expected.reverse(),
                "{case}"
            );
        }
    }
}

#[test]
fn other_clients_versions_vectors() {
    for file in files("consensus", "peerinfo_versions") {
        for case in list(&file, "dv_client_check") {
            let info = info(text(case, "charon_version"), text(case, "dv_client"));
            let (usable, compatible, _) = findings(&info, &SUPPORTED);
            assert_eq!(
                usable,
                case["metrics_recorded"].as_bool().unwrap(),
                "{case}"
            );
            assert_eq!(
                compatible,
                Some(number(case, "version_support_gauge") == 1),
                "{case}"
            );
        }
    }
}

#[test]
fn plural_contributions_gate_vectors() {
    for file in files("consensus", "infosync_sync_contributions_gate") {
        for case in list(&file, "cases") {
            let agreed = list(case, "agreed_versions");
            let agreed = agreed.iter().map(|version| version.as_str().unwrap());
            assert_eq!(
                writes_plural_contributions(agreed),
                case["plural_encoding"].as_bool().unwrap(),
                "{case}"
            );
        }
    }
}
