//! Files of our own making, frozen: a cluster of the newest version and one for older peers, with
//! keys from fixed seeds, and the examples in `cluster-configs/`.
//!
//! With `FLOTILLA_WRITE_DATA=1` the files are written anew; without, they must be what the code makes.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flotilla_cluster::create::{Request, check_definition, cluster};
use flotilla_cluster::{
    Address, Cost, Definition, Enr, Keystore, LoadOptions, Lock, Networks, NewDefinition, Operator,
    ValidatorAddresses, VerifyOptions, Version, combine, match_shares,
};
use flotilla_crypto::{IdentityKey, SecretKey, ShareIndex};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-configs")
}

/// Compares a file with what it should be, or writes it.
fn expect_file(path: &Path, expected: &[u8]) {
    if std::env::var_os("FLOTILLA_WRITE_DATA").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, expected).unwrap();
    }
    let found = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(
        found == expected,
        "{} is not what the code makes",
        path.display()
    );
}

/// Addresses of a throw-away wallet.
fn addresses(rng: &mut ChaCha20Rng) -> ValidatorAddresses {
    let mut address = || Address::of(&IdentityKey::generate(rng).public()).to_string();
    ValidatorAddresses {
        fee_recipient: address(),
        withdrawal: address(),
    }
}

fn verified_lock(bytes: &[u8]) -> Lock {
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let loaded = Lock::load(bytes, &options).unwrap();
    assert_eq!(loaded.findings, []);
    assert_eq!(loaded.file.to_json().unwrap().as_bytes(), bytes);
    loaded.file
}

#[test]
fn frozen_clusters_are_what_create_makes() {
    for (version, seed) in [(Version::V1_10, 110), (Version::V1_11, 111)] {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let networks = Networks::public();
        let network = networks.by_name("hoodi").unwrap();
        let definition = NewDefinition {
            version,
            name: "frozen <cluster> & co".to_owned(),
            operators: vec![Operator::default(); 4],
            validators: vec![addresses(rng), addresses(rng)],
            timestamp: "2026-11-25T04:00:00Z".to_owned(),
            deposit_amounts: vec![31_000_000_000, 1_000_000_000],
            consensus_protocol: "qbft".to_owned(),
            ..NewDefinition::new(network)
        }
        .build(rng)
        .unwrap();
        let request = Request {
            keystore_cost: Cost::INSECURE,
            ..Request::new(definition, network)
        };
        let nodes = cluster(request, rng).unwrap().into_files();
        for (node, files) in nodes.iter().enumerate() {
            for file in files {
                expect_file(
                    &data().join(format!("{version}/node{node}/{}", file.path)),
                    &file.bytes,
                );
            }
        }
    }
}

#[test]
fn frozen_clusters_load_match_and_combine() {
    for version in [Version::V1_10, Version::V1_11] {
        let folder = data().join(version.as_str());
        let lock = verified_lock(&std::fs::read(folder.join("node0/cluster-lock.json")).unwrap());
        assert_eq!(lock.definition.version, version);
        let folders: Vec<Vec<SecretKey>> = (0..4)
            .map(|node| {
                let secret = |validator| {
                    let stem = folder.join(format!(
                        "node{node}/validator_keys/keystore-insecure-{validator}"
                    ));
                    let password = std::fs::read_to_string(stem.with_extension("txt")).unwrap();
                    Keystore::parse(&std::fs::read(stem.with_extension("json")).unwrap())
                        .unwrap()
                        .decrypt(&password)
                        .unwrap()
                };
                vec![secret(0), secret(1)]
            })
            .collect();
        for (node, secrets) in folders.iter().enumerate() {
            assert_eq!(
                match_shares(&lock, ShareIndex::from_peer(node), secrets.clone())
                    .unwrap()
                    .len(),
                2
            );
        }
        let roots = combine::secrets(&lock, &folders[1..]).unwrap();
        for (root, validator) in roots.iter().zip(lock.validators()) {
            assert_eq!(root.public_key().to_bytes(), validator.public_key.0);
        }
    }
}

/// An example definition: name of the file, seed, operators, threshold, validators.
const EXAMPLES: [(&str, u64, usize, Option<usize>, usize); 3] = [
    ("solo.json", 4, 4, None, 2),
    ("squad.json", 7, 7, Some(5), 4),
    ("pool.json", 10, 10, None, 8),
];

#[test]
fn example_definitions_are_what_the_code_makes() {
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    for (name, seed, operators, threshold, validators) in EXAMPLES {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let pair = addresses(rng);
        let definition = NewDefinition {
            name: name.trim_end_matches(".json").replace('-', " "),
            operators: (0..operators)
                .map(|_| Operator::with_enr(Enr::from_key(&IdentityKey::generate(rng)).to_text()))
                .collect(),
            threshold,
            validators: vec![pair; validators],
            timestamp: "2026-11-25T04:00:00Z".to_owned(),
            ..NewDefinition::new(network)
        }
        .build(rng)
        .unwrap();
        expect_file(
            &configs().join(name),
            definition.to_json().unwrap().as_bytes(),
        );
    }
}

#[test]
fn every_example_definition_verifies_and_makes_a_cluster() {
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let readme = std::fs::read_to_string(configs().join("README.md")).unwrap();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(configs()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.ends_with(".json") || name.ends_with(".topology.json") {
            continue;
        }
        let loaded = Definition::load(&std::fs::read(&path).unwrap(), &options).unwrap();
        assert_eq!(loaded.findings, [], "{name}");
        let network = networks.by_fork_version(loaded.file.fork_version).unwrap();
        check_definition(&loaded.file, network).unwrap();
        let request = Request {
            keystore_cost: Cost::INSECURE,
            ..Request::new(loaded.file, network)
        };
        let created = cluster(request, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
        verified_lock(created.lock.to_json().unwrap().as_bytes());
        assert!(readme.contains(&name), "README.md does not mention {name}");
        seen.insert(name);
    }
    assert_eq!(
        seen,
        EXAMPLES
            .iter()
            .map(|example| example.0.to_owned())
            .collect()
    );
}
