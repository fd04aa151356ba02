//! Making, checking, showing, splitting and recombining clusters with the commands a person uses.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use flotilla_cluster::{Cost, Keystore};
use flotilla_crypto::{SecretKey, os_rng};
use support::{ADDRESS, create_cluster, failure, flotilla, path, split_cluster, success};
use tempfile::TempDir;

/// The secrets in a folder of keystores, by file name.
fn secrets(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut secrets = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let password = fs::read_to_string(path.with_extension("txt")).unwrap();
            let keystore = Keystore::parse(&fs::read(&path).unwrap()).unwrap();
            let secret = keystore.decrypt(&password).unwrap();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            secrets.insert(name, secret.to_bytes().to_vec());
        }
    }
    secrets
}

/// Two keystores as another program left them: names without numbers, one password for both.
fn old_keys(folder: &Path) -> Vec<SecretKey> {
    let mut rng = os_rng().unwrap();
    let keys: Vec<SecretKey> = (0..2).map(|_| SecretKey::generate(&mut rng)).collect();
    for (name, key) in ["b-second", "a-first"].iter().zip(&keys) {
        let keystore = Keystore::encrypt(key, "old password", Cost::INSECURE, &mut rng);
        fs::write(folder.join(format!("{name}.json")), keystore.to_json()).unwrap();
    }
    fs::write(folder.join("password.txt"), "old password\n").unwrap();
    fs::write(folder.join("deposit_data-1.json"), "[]").unwrap();
    keys
}

fn history(keys: &[&SecretKey]) -> String {
    let entry = |key: &&SecretKey| {
        serde_json::json!({
            "pubkey": format!("0x{}", hex::encode(key.public_key().to_bytes())),
            "signed_blocks": [],
            "signed_attestations": [{ "source_epoch": "2", "target_epoch": "3" }],
        })
    };
    serde_json::json!({
        "metadata": {
            "interchange_format_version": "5",
            "genesis_validators_root": format!("0x{}", "11".repeat(32)),
        },
        "data": keys.iter().map(entry).collect::<Vec<_>>(),
    })
    .to_string()
}

/// Verifies every node and combines the first `threshold` folders; returns the folder of recovered keys.
fn verify_and_combine(cluster: &Path, threshold: usize) -> PathBuf {
    success(&["cluster", "verify", path(cluster)]);
    let few = cluster.join("few");
    fs::create_dir(&few).unwrap();
    for node in 0..threshold {
        let name = format!("node{node}");
        fs::rename(cluster.join(&name), few.join(&name)).unwrap();
    }
    let recovered = cluster.join("recovered");
    success(&[
        "combine",
        "--cluster-dir",
        path(&few),
        "--output-dir",
        path(&recovered),
    ]);
    recovered
}

#[test]
fn every_kind_of_cluster_verifies_and_combines() {
    let kinds: [(&str, &[&str], usize); 5] = [
        ("plain", &[], 2),
        ("amounts", &["--deposit-amounts", "8,8,16,24"], 2),
        ("compounding", &["--compounding"], 2),
        ("older version", &["--version", "v1.10.0"], 2),
        ("threshold", &["--threshold", "4"], 2),
    ];
    for (name, more, validators) in kinds {
        let folder = TempDir::new().unwrap();
        create_cluster(folder.path(), more);
        let threshold = if name == "threshold" { 4 } else { 3 };
        let recovered = verify_and_combine(folder.path(), threshold);
        assert_eq!(secrets(&recovered).len(), validators, "{name}");
    }
}

#[test]
fn a_definition_file_gives_the_terms() {
    let definition = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-configs/solo.json");
    let folder = TempDir::new().unwrap();
    let output = success(&[
        "create",
        "cluster",
        "--definition-file",
        path(&definition),
        "--cluster-dir",
        path(folder.path()),
        "--insecure-keys",
        "--nodes",
        "9",
    ]);
    assert!(output.contains("--nodes is ignored"), "{output}");
    assert_eq!(secrets(&verify_and_combine(folder.path(), 3)).len(), 2);
}

#[test]
fn too_few_folders_are_told_which_are_missing() {
    let folder = TempDir::new().unwrap();
    create_cluster(folder.path(), &[]);
    let few = folder.path().join("few");
    fs::create_dir(&few).unwrap();
    for node in ["node0", "node2"] {
        fs::rename(folder.path().join(node), few.join(node)).unwrap();
    }
    let output = folder.path().join("out");
    let error = failure(&[
        "combine",
        "--cluster-dir",
        path(&few),
        "--output-dir",
        path(&output),
    ]);
    assert!(
        error.contains("2 of the 3 shares") && error.contains("2 (node1), 4 (node3)"),
        "{error}"
    );
    assert!(!output.exists());
}

#[test]
fn recovered_keys_replace_others_only_by_force() {
    let folder = TempDir::new().unwrap();
    create_cluster(folder.path(), &[]);
    let recovered = verify_and_combine(folder.path(), 3);
    let few = folder.path().join("few");
    let again = [
        "combine",
        "--cluster-dir",
        path(&few),
        "--output-dir",
        path(&recovered),
    ];
    let before = secrets(&recovered);
    assert!(failure(&again).contains("--force"));
    success(&[again.as_slice(), &["--force"]].concat());
    assert_eq!(secrets(&recovered), before);
}

#[test]
fn splitting_needs_a_word_about_the_old_signer() {
    let folder = TempDir::new().unwrap();
    let old = folder.path().join("old");
    fs::create_dir(&old).unwrap();
    let keys = old_keys(&old);
    let cluster = folder.path().join("cluster");
    let history_file = folder.path().join("history.json");
    let split = |more: &[&str]| split_cluster(&cluster, &old, more);
    let refused = support::text(&split(&[]));
    assert!(
        refused.contains("--slashing-protection") && refused.contains("slashed"),
        "{refused}"
    );

    fs::write(&history_file, history(&[&keys[0]])).unwrap();
    let with_history = ["--slashing-protection", path(&history_file)];
    let incomplete = support::text(&split(&with_history));
    assert!(
        incomplete.contains("says nothing about 1 of the 2 keys"),
        "{incomplete}"
    );
    assert!(!cluster.join("node0").exists());

    fs::write(&history_file, history(&[&keys[0], &keys[1]])).unwrap();
    let output = split(&with_history);
    assert!(output.status.success(), "{}", support::text(&output));
    for node in 0..4 {
        let file = cluster.join(format!("node{node}/slashing-protection.json"));
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(&hex::encode(keys[1].public_key().to_bytes())));
    }
    let recovered = secrets(&verify_and_combine(&cluster, 3));
    // By path: "a-first" was made of the second key.
    assert_eq!(recovered["keystore-0.json"], keys[1].to_bytes().to_vec());
    assert_eq!(recovered["keystore-1.json"], keys[0].to_bytes().to_vec());
}

#[test]
fn an_archive_holds_every_folder() {
    let folder = TempDir::new().unwrap();
    create_cluster(folder.path(), &["--zipped"]);
    let archive = folder.path().join("cluster.tar.gz");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let unpacked = folder.path().join("unpacked");
    let file = fs::File::open(&archive).unwrap();
    tar::Archive::new(flate2::read::GzDecoder::new(file))
        .unpack(&unpacked)
        .unwrap();
    assert_eq!(secrets(&verify_and_combine(&unpacked, 3)).len(), 2);
    let again = [
        "create",
        "cluster",
        "--cluster-dir",
        path(folder.path()),
        "--nodes",
        "3",
        "--num-validators",
        "1",
        "--network",
        "hoodi",
        "--fee-recipient-addresses",
        ADDRESS,
        "--withdrawal-addresses",
        ADDRESS,
        "--zipped",
    ];
    assert!(failure(&again).contains("cluster.tar.gz exists already"));
}

#[test]
fn key_managers_take_the_shares_instead_of_files() {
    let folder = TempDir::new().unwrap();
    let managers: Vec<support::KeyManager> = (0..4).map(|_| support::KeyManager::start()).collect();
    let addresses: Vec<&str> = managers
        .iter()
        .map(|manager| manager.address.as_str())
        .collect();
    let output = create_cluster(
        folder.path(),
        &[
            "--keymanager-addresses",
            &addresses.join(","),
            "--keymanager-auth-tokens",
            "t0,t1,t2,t3",
        ],
    );
    assert!(output.contains("travel in the open"), "{output}");
    for (node, manager) in managers.into_iter().enumerate() {
        assert!(
            !folder
                .path()
                .join(format!("node{node}/validator_keys"))
                .exists()
        );
        let (head, body) = manager.request();
        assert!(
            head.to_lowercase()
                .contains(&format!("authorization: bearer t{node}")),
            "{head}"
        );
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        for validator in 0..2 {
            let keystore = body["keystores"][validator].as_str().unwrap();
            let password = body["passwords"][validator].as_str().unwrap();
            Keystore::parse(keystore.as_bytes())
                .unwrap()
                .decrypt(password)
                .unwrap();
        }
    }
    let verified = success(&["cluster", "verify", path(folder.path())]);
    assert!(verified.contains("must be in a key manager"), "{verified}");
}

#[test]
fn damage_in_a_folder_is_found_and_named() {
    let folder = TempDir::new().unwrap();
    create_cluster(folder.path(), &[]);
    let (node, other) = (folder.path().join("node0"), folder.path().join("node1"));
    let keystore = node.join("validator_keys/keystore-insecure-0.json");
    for extension in ["json", "txt"] {
        let (to, name) = (
            keystore.with_extension(extension),
            "validator_keys/keystore-insecure-0",
        );
        fs::remove_file(&to).unwrap();
        fs::copy(other.join(name).with_extension(extension), &to).unwrap();
    }
    let key = node.join("charon-enr-private-key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let lock = node.join("cluster-lock.json");
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o600)).unwrap();
    let text = fs::read_to_string(&lock)
        .unwrap()
        .replace("\"threshold\": 3", "\"threshold\": 2");
    fs::write(&lock, text).unwrap();
    let found = failure(&["cluster", "verify", path(&node)]);
    for expected in [
        "config_hash: expected 0x",
        "is share 2 of validator 0, which is another operator's",
        "readable by other users (mode 0644)",
    ] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&failure(&["cluster", "verify", "--json", path(&node)])).unwrap();
    assert!(json["errors"].as_u64().unwrap() >= 2, "{json}");
    let whole = failure(&["cluster", "verify", path(folder.path())]);
    assert!(whole.contains("node0/cluster-lock.json"), "{whole}");
}

#[test]
fn show_tells_who_and_what_is_signed() {
    let folder = TempDir::new().unwrap();
    create_cluster(folder.path(), &[]);
    let node = folder.path().join("node2");
    let shown = success(&["cluster", "show", path(&node)]);
    for expected in [
        "any 3 sign; 1 may fail",
        "hoodi",
        "of nodes: 4 of 4",
        "validator 1",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&success(&["cluster", "show", "--json", path(&node)])).unwrap();
    assert_eq!(json["operators"].as_array().unwrap().len(), 4);
    assert_eq!(json["may_fail"], 1);
}

#[test]
fn a_definition_is_made_from_enrs_and_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let enr = |name: &str| {
        let data = folder.path().join(name);
        success(&["create", "enr", "--data-dir", path(&data)]);
        success(&["enr", "--data-dir", path(&data)])
            .trim()
            .to_owned()
    };
    let enrs = [enr("a"), enr("b"), enr("c"), enr("d")];
    let definition = |enrs: &str| {
        let arguments = [
            "create",
            "dkg",
            "--output-dir",
            path(folder.path()),
            "--network",
            "hoodi",
            "--operator-enrs",
            enrs,
            "--fee-recipient-addresses",
            ADDRESS,
            "--withdrawal-addresses",
            ADDRESS,
            "--name",
            "ours",
        ];
        arguments.map(str::to_owned)
    };
    let run = |enrs: &str| {
        let arguments = definition(enrs);
        flotilla(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let twice = support::text(&run(&[&enrs[0], &enrs[1], &enrs[0]]
        .map(String::as_str)
        .join(",")));
    assert!(twice.contains("have the same key"), "{twice}");
    let wrong = support::text(&run("enr:-x,enr:-y,enr:-z"));
    assert!(wrong.contains("number 0 counted from 0"), "{wrong}");
    let good = run(&enrs.join(","));
    assert!(good.status.success(), "{}", support::text(&good));
    let file = folder.path().join("cluster-definition.json");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o444
    );
    assert!(success(&["cluster", "verify", path(&file)]).contains("Everything holds."));
    assert!(success(&["cluster", "show", path(&file)]).contains("definition, no keys yet"));
    assert!(support::text(&run(&enrs.join(","))).contains("exists already"));
}

#[test]
fn an_identity_may_be_kept_under_a_password() {
    let folder = TempDir::new().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "correct horse").unwrap();
    let common = ["--data-dir", path(folder.path())];
    let with_password = ["--private-key-password-file", path(&password)];
    let without = failure(&[&["create", "enr", "--encrypt"], common.as_slice()].concat());
    assert!(without.contains("--private-key-password-file"), "{without}");
    let made = success(
        &[
            &["create", "enr", "--encrypt"],
            common.as_slice(),
            with_password.as_slice(),
        ]
        .concat(),
    );
    assert!(folder.path().join("charon-enr-private-key.json").exists());
    assert!(!folder.path().join("charon-enr-private-key").exists());
    let shown = success(&[&["enr"], common.as_slice(), with_password.as_slice()].concat());
    assert!(made.contains(shown.trim()));
    assert!(failure(&[&["enr"], common.as_slice()].concat()).contains("is encrypted"));
}

#[test]
fn a_bad_file_is_refused_in_one_sentence() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("cluster-lock.json");
    for (content, expected) in [
        ("{", "expected well-formed JSON"),
        (&"[".repeat(10_000), "recursion limit"),
        (r#"{"cluster_definition": {"version": "v9.0.0"}}"#, "v9.0.0"),
        (r#"{"version": "v1.11.0", "version": "v1.10.0"}"#, "version"),
    ] {
        fs::write(&file, content).unwrap();
        let error = failure(&["cluster", "verify", path(&file)]);
        assert!(error.contains(expected), "{expected} in {error}");
    }
}

/// S7: nobody signs by a file that was misread, or that is about other validators.
#[test]
fn a_signer_file_that_is_not_about_the_cluster_is_refused() {
    let folder = TempDir::new().unwrap();
    let cluster = folder.path().join("cluster");
    create_cluster(&cluster, &[]);
    let (node, signers) = (cluster.join("node0"), folder.path().join("signers"));
    let run = [
        "run",
        "--data-dir",
        path(&node),
        "--signer-file",
        path(&signers),
        "--monitoring-address",
        "127.0.0.1:0",
        "--beacon-node-endpoints",
        "http://127.0.0.1:9",
    ];
    let error = failure(&run);
    assert!(error.contains("--signer-file"), "{error}");
    std::fs::write(&signers, "0x12 builtin\n").unwrap();
    let error = failure(&run);
    assert!(error.contains("line 1"), "{error}");
    let stranger = format!("0x{}", "8a".repeat(48));
    std::fs::write(&signers, format!("{stranger} vc\n")).unwrap();
    let error = failure(&run);
    assert!(
        error.contains(&stranger) && error.contains("none of the clusters"),
        "{error}"
    );
}
