//! A validator leaves through the running cluster: a threshold of operators asks, one of them only after its node was down.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flotilla_cluster::Lock;
use serde_json::Value;
use support::{path, success};
use tempfile::TempDir;

#[test]
fn a_threshold_of_operators_makes_a_validator_leave() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("net");
    let testnet = Command::new(env!("CARGO_BIN_EXE_flotilla"))
        .args([
            "testnet",
            "--validators",
            "2",
            "--slot-time",
            "1s",
            "--slots",
            "16",
            "--json",
        ])
        .args(["--kill", "3@3", "--restart", "3@8", "--dir", path(&dir)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let node = |index: usize| dir.join(format!("node{index}"));
    // The nodes run once the last one has made its database.
    let until = Instant::now() + Duration::from_secs(60);
    while !(0..4).all(|index| node(index).join("slashing.sqlite").exists()) {
        assert!(Instant::now() < until, "the testnet did not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    let lock = std::fs::read(node(0).join("cluster-lock.json")).unwrap();
    let lock = Lock::parse(&lock).unwrap();
    let validator = lock.validators()[0].public_key.to_string();
    // Node 2 never asks; node 3 is down while it is asked.
    for index in [0, 1, 3] {
        let folder = node(index);
        let asked = success(&[
            "exit",
            "request",
            "--validator-public-key",
            &validator,
            "--data-dir",
            path(&folder),
            "--no-verify",
        ]);
        assert!(asked.contains("signs within a second"), "{asked}");
    }
    let output = testnet.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let exits = &report["duties"]["exit"];
    assert_eq!(exits["included"], 1, "{report}");
    assert_eq!(report["rejected"], 0, "{report}");
    assert_eq!(report["slashable"], 0, "{report}");
}
