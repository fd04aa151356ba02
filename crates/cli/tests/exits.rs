//! A validator leaves through the running cluster: a threshold of operators asks, one of them only after its node was down.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flotilla_cluster::Lock;
use serde_json::Value;
use support::{path, success};
use tempfile::TempDir;

/// Waits for what another process does.
fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

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
        .args(["--kill", "3@2", "--restart", "3@6", "--dir", path(&dir)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let node = |index: usize| dir.join(format!("node{index}"));
    // The nodes run once the last one has made its database.
    wait_for("the start of the testnet", || {
        (0..4).all(|index| node(index).join("slashing.sqlite").exists())
    });
    let lock = std::fs::read(node(0).join("cluster-lock.json")).unwrap();
    let lock = Lock::parse(&lock).unwrap();
    let validator = lock.validators()[0].public_key.to_string();
    let ask = |index: usize| {
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
    };
    // Node 2 never asks; node 3 is down while it is asked.
    ask(0);
    ask(1);
    wait_for("the end of node 3", || {
        let lock = File::open(node(3).join("flotilla.lock")).unwrap();
        lock.try_lock().is_ok()
    });
    ask(3);
    let output = testnet.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let exits = &report["duties"]["exit"];
    assert_eq!(exits["included"], 1, "{report}");
    assert_eq!(report["rejected"], 0, "{report}");
    assert_eq!(report["slashable"], 0, "{report}");
}
