//! A validator that another program signed for, split and run: what it signed is not contradicted.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs;

use flotilla_cluster::{Cost, Keystore};
use flotilla_crypto::{SecretKey, os_rng};
use serde_json::{Value, json};
use support::{flotilla, path, split_cluster, text};
use tempfile::TempDir;

/// The old signer has attested to this target epoch; of four slots each.
const SIGNED: u64 = 1;
const SLOTS_PER_EPOCH: u64 = 4;

#[test]
fn the_history_of_the_old_signer_forbids_what_would_contradict_it() {
    let folder = TempDir::new().unwrap();
    let (old, cluster) = (folder.path().join("old"), folder.path().join("cluster"));
    fs::create_dir(&old).unwrap();
    let mut rng = os_rng().unwrap();
    let entries: Vec<Value> = (0..2)
        .map(|index| {
            let key = SecretKey::generate(&mut rng);
            let keystore = Keystore::encrypt(&key, "password", Cost::INSECURE, &mut rng);
            fs::write(old.join(format!("{index}.json")), keystore.to_json()).unwrap();
            fs::write(old.join(format!("{index}.txt")), "password").unwrap();
            json!({
                "pubkey": format!("0x{}", hex::encode(key.public_key().to_bytes())),
                "signed_blocks": [],
                "signed_attestations": [{ "source_epoch": "0", "target_epoch": SIGNED.to_string() }],
            })
        })
        .collect();
    let history = folder.path().join("history.json");
    let file = json!({
        "metadata": {
            "interchange_format_version": "5",
            "genesis_validators_root": format!("0x{}", "ab".repeat(32)),
        },
        "data": entries,
    });
    fs::write(&history, file.to_string()).unwrap();
    let split = split_cluster(&cluster, &old, &["--slashing-protection", path(&history)]);
    assert!(split.status.success(), "{}", text(&split));

    let run = flotilla(&[
        "testnet",
        "--cluster",
        path(&cluster),
        "--slots",
        "11",
        "--slots-per-epoch",
        &SLOTS_PER_EPOCH.to_string(),
        "--slot-time",
        "1s",
        "--json",
    ]);
    let report: Value = serde_json::from_slice(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&run)));
    assert_eq!(report["slashable"], 0);
    let attester = &report["duties"]["attester"];
    let missed = attester["missed"].as_array().unwrap();
    // Two validators attest once in each epoch; those up to the old signer's last are refused (slot 0 is not judged).
    assert!((2..=4).contains(&missed.len()), "{report:#}");
    for miss in missed {
        assert!(
            miss["slot"].as_u64().unwrap() < (SIGNED + 1) * SLOTS_PER_EPOCH,
            "{miss}"
        );
        assert_eq!(miss["step"], "record");
        let reason = miss["reason"].as_str().unwrap();
        assert!(reason.contains("slashing database"), "{reason}");
    }
    assert_eq!(attester["included"], 2, "{report:#}");
}
