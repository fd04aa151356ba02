#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use flotilla_cluster::create::{self, Request};
use flotilla_cluster::{
    Cost, Creator, DEFAULT_GAS_LIMIT, Networks, NewDefinition, Operator, ValidatorAddresses,
    VerifyOptions, Version,
};
use flotilla_crypto::os_rng;
use tempfile::TempDir;

use super::*;

/// Two nodes' folders of a fresh cluster with two validators, as `create cluster` writes them.
fn cluster() -> TempDir {
    let mut rng = os_rng().unwrap();
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let address = "0x00000000000000000000000000000000000000aa".to_owned();
    let addresses = ValidatorAddresses {
        fee_recipient: address.clone(),
        withdrawal: address,
    };
    let definition = NewDefinition {
        version: Version::LATEST,
        name: "test".to_owned(),
        operators: vec![Operator::default(); 3],
        creator: Creator::default(),
        threshold: Some(2),
        validators: vec![addresses; 2],
        timestamp: "2026-01-01T00:00:00Z".to_owned(),
        network,
        dkg_algorithm: "default".to_owned(),
        deposit_amounts: Vec::new(),
        consensus_protocol: String::new(),
        target_gas_limit: DEFAULT_GAS_LIMIT,
        compounding: false,
    };
    let definition = definition.build(&mut rng).unwrap();
    let request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition, network)
    };
    let created = create::cluster(request, &mut rng).unwrap();
    let folder = TempDir::new().unwrap();
    for (node, files) in created.into_files().into_iter().enumerate() {
        for file in files {
            let path = folder.path().join(format!("node{node}")).join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_atomic(&path, &file.bytes, file.mode, Overwrite::Refuse).unwrap();
        }
    }
    folder
}

fn open(folder: &Path) -> Result<Folder, FolderError> {
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    Folder::open(Paths::in_folder(folder), &IdentityPassword::None, &options)
}

#[test]
fn created_node_opens_with_its_place_and_its_shares() {
    let cluster = cluster();
    for node in [0, 2] {
        let folder = open(&cluster.path().join(format!("node{node}"))).unwrap();
        assert_eq!(folder.me, PeerIndex::new(node));
        assert_eq!(folder.warnings, Vec::new());
        let shares = folder.shares(&Passwords::Beside).unwrap();
        assert_eq!(shares.warnings, Vec::new());
        assert_eq!(shares.secrets.len(), 2);
        for validator in folder.lock.validators() {
            let public = shares.secrets[&validator.public_key]
                .public_key()
                .to_bytes();
            assert_eq!(validator.public_shares[node].0, public);
        }
    }
}

#[test]
fn what_is_missing_is_named_with_the_next_step() {
    let cluster = cluster();
    let node = cluster.path().join("node0");
    let folder = open(&node).unwrap();
    fs::remove_file(node.join("validator_keys/keystore-insecure-1.txt")).unwrap();
    let error = folder.shares(&Passwords::Beside).unwrap_err().to_string();
    assert!(
        error.contains("keystore-insecure-1.txt does not exist")
            && error.contains("--password-file"),
        "{error}"
    );

    fs::remove_file(node.join("validator_keys/keystore-insecure-1.json")).unwrap();
    let warnings = folder.shares(&Passwords::Beside).unwrap().warnings;
    assert!(matches!(
        warnings[..],
        [Warning::MissingShares {
            count: 1,
            total: 2,
            ..
        }]
    ));

    fs::remove_file(node.join("cluster-lock.json")).unwrap();
    let error = open(&node).unwrap_err().to_string();
    assert!(
        error.contains("cluster-lock.json does not exist"),
        "{error}"
    );
}

#[test]
fn wrong_password_names_keystore_and_password_file() {
    let cluster = cluster();
    let folder = open(&cluster.path().join("node0")).unwrap();
    let password = cluster.path().join("password");
    fs::write(&password, "wrong").unwrap();
    let error = folder
        .shares(&Passwords::File(password.clone()))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("keystore-insecure-0.json")
            && error.contains(&password.display().to_string()),
        "{error}"
    );
}

#[test]
fn foreign_identity_and_foreign_keystores_are_told_apart() {
    let cluster = cluster();
    let (node, other) = (cluster.path().join("node0"), cluster.path().join("node1"));
    let folder = open(&node).unwrap();
    let keystore = Path::new("validator_keys/keystore-insecure-0");
    for extension in ["json", "txt"] {
        let path = keystore.with_extension(extension);
        fs::remove_file(node.join(&path)).unwrap();
        fs::copy(other.join(&path), node.join(&path)).unwrap();
    }
    let error = folder.shares(&Passwords::Beside).unwrap_err();
    assert!(
        matches!(&error, FolderError::Match { path, .. } if path.ends_with("keystore-insecure-0.json")),
        "{error}"
    );

    let stranger = IdentityKey::generate(&mut os_rng().unwrap());
    let path = node.join("charon-enr-private-key");
    write_atomic(
        &path,
        stranger.to_hex().as_bytes(),
        0o600,
        Overwrite::Replace,
    )
    .unwrap();
    assert!(matches!(
        open(&node),
        Err(FolderError::NotAnOperator { operators: 3, .. })
    ));
}

#[test]
fn secrets_that_others_can_read_are_warned_of() {
    let cluster = cluster();
    let node = cluster.path().join("node0");
    let identity = node.join("charon-enr-private-key");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = open(&node).unwrap().warnings;
    assert_eq!(
        warnings,
        vec![Warning::ReadableByOthers {
            path: identity,
            mode: 0o644
        }]
    );
}

#[test]
fn writing_refuses_to_overwrite_and_leaves_nothing_else_behind() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    write_atomic(&path, b"first", 0o400, Overwrite::Refuse).unwrap();
    let error = write_atomic(&path, b"second", 0o400, Overwrite::Refuse).unwrap_err();
    assert!(matches!(error, WriteError::Exists { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"first");
    write_atomic(&path, b"third", 0o640, Overwrite::Replace).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"third");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn pause_file_stops_and_resumes() {
    let folder = TempDir::new().unwrap();
    assert!(!is_paused(folder.path()));
    set_paused(folder.path(), true).unwrap();
    assert!(is_paused(folder.path()));
    set_paused(folder.path(), false).unwrap();
    set_paused(folder.path(), false).unwrap();
    assert!(!is_paused(folder.path()));
}
