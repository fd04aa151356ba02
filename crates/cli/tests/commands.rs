//! The commands as a person runs them: help, wrong usage, refusals.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use support::{flotilla, path, text};

#[test]
fn every_command_teaches() {
    for command in [
        vec!["run"],
        vec!["testnet"],
        vec!["create", "cluster"],
        vec!["create", "dkg"],
        vec!["create", "enr"],
        vec!["enr"],
        vec!["combine"],
        vec!["exit", "active-validator-list"],
        vec!["exit", "sign"],
        vec!["exit", "fetch"],
        vec!["exit", "broadcast"],
        vec!["exit", "delete"],
        vec!["exit", "request"],
        vec!["deposit", "sign"],
        vec!["deposit", "fetch"],
        vec!["feerecipient", "sign"],
        vec!["feerecipient", "fetch"],
        vec!["feerecipient", "list"],
        vec!["cluster", "show"],
        vec!["cluster", "verify"],
        vec!["slashing-protection", "import"],
        vec!["slashing-protection", "export"],
        vec!["slashing-protection", "show"],
        vec!["bench", "latency"],
        vec!["pause"],
        vec!["resume"],
        vec!["version"],
    ] {
        let output = flotilla(&[command.as_slice(), &["--help"]].concat());
        assert!(output.status.success(), "{command:?}");
        let help = text(&output);
        assert!(help.contains("Usage:"), "{command:?}");
        // The first line is a sentence about the command, and every flag has one.
        let about = help.lines().next().unwrap_or_default();
        assert!(
            about.split_whitespace().count() >= 2,
            "{command:?}: {about}"
        );
        let flags = help.lines().filter(|line| line.starts_with("      --"));
        for flag in flags {
            let position = help.find(flag).unwrap();
            let rest = &help[position + flag.len()..];
            let explained = flag.trim().contains("  ")
                || rest.trim_start_matches('\n').starts_with("          ");
            assert!(explained, "{command:?}: {flag}");
        }
    }
}

#[test]
fn wrong_usage_is_code_2_and_names_the_nearest_flag() {
    let output = flotilla(&["testnet", "--slot", "3"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains("--slots"), "{}", text(&output));
}

#[test]
fn an_identity_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["create", "enr", "--data-dir", path(folder.path())];
    let first = flotilla(&arguments);
    assert!(
        first.status.success() && text(&first).contains("enr:-"),
        "{}",
        text(&first)
    );
    let shown = flotilla(&["enr", "--data-dir", path(folder.path())]);
    assert!(text(&first).contains(text(&shown).trim()));
    let second = flotilla(&arguments);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("exists already"));
}

#[test]
fn a_cluster_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = "0x000000000000000000000000000000000000dEaD";
    let arguments = [
        "create",
        "cluster",
        "--cluster-dir",
        path(folder.path()),
        "--nodes",
        "4",
        "--num-validators",
        "2",
        "--network",
        "hoodi",
        "--insecure-keys",
        "--fee-recipient-addresses",
        address,
        "--withdrawal-addresses",
        address,
    ];
    let first = flotilla(&arguments);
    assert!(first.status.success(), "{}", text(&first));
    assert!(
        folder
            .path()
            .join("node3/validator_keys/keystore-insecure-1.json")
            .is_file()
    );
    assert!(folder.path().join("node0/cluster-lock.json").is_file());
    let second = flotilla(&arguments);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("is not empty"));
}

#[test]
fn a_missing_folder_and_a_missing_key_are_refused_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let common = [
        "run",
        "--data-dir",
        path(folder.path()),
        "--beacon-node-endpoints",
        "http://127.0.0.1:1",
    ];
    let nowhere = folder.path().join("nowhere");
    let mut elsewhere = [common.as_slice(), &["--signer", "builtin"]].concat();
    elsewhere[2] = path(&nowhere);
    let absent = flotilla(&elsewhere);
    assert_eq!(absent.status.code(), Some(1));
    assert!(
        text(&absent).contains("nowhere does not exist; name the folder"),
        "{}",
        text(&absent)
    );
    let empty = flotilla(&[common.as_slice(), &["--signer", "builtin"]].concat());
    assert_eq!(empty.status.code(), Some(1));
    assert!(
        text(&empty).contains("charon-enr-private-key"),
        "{}",
        text(&empty)
    );
}
