//! `charon-created`, the finished folders of `ceremony`, and `create-cluster`.

use std::collections::BTreeSet;
use std::path::Path;

use flotilla_cluster::create::{Created, Request, cluster};
use flotilla_cluster::{
    Cost, Creator, Definition, LoadError, LoadOptions, Lock, Network, Networks, NewDefinition,
    Operator, Severity, ValidatorAddresses, VerifyOptions, Version, combine,
};
use flotilla_crypto::SecretKey;
use flotilla_types::ForkVersion;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::folder::{files, folder, json, name, read};
use crate::node_folder::{
    check_deposit_files, check_shares, load_lock, node_folders, operator, root_secrets,
};

fn custom_network(name: &str, chain_id: u64, fork_version: [u8; 4]) -> Network {
    Network {
        name: name.to_owned(),
        chain_id,
        genesis_fork_version: ForkVersion(fork_version),
        genesis_time: 1_700_000_000,
        capella_fork_version: None,
    }
}

fn networks() -> Networks {
    Networks::public().with_custom(custom_network("vectornet", 4242, [0x10, 0xab, 0xcd, 0xef]))
}

fn bytes_of(key: &SecretKey) -> Vec<u8> {
    key.to_bytes().to_vec()
}

/// Every set of `threshold` folders gives back the root secrets; one less does not.
fn check_combine(lock: &Lock, folders: &[Vec<SecretKey>], roots: &[SecretKey]) {
    let threshold = lock.threshold();
    for start in 0..folders.len() {
        let chosen = |count: usize| {
            (0..count)
                .map(|step| folders[(start + step) % folders.len()].clone())
                .collect::<Vec<_>>()
        };
        let combined = combine::secrets(lock, &chosen(threshold)).unwrap();
        assert_eq!(
            combined.iter().map(bytes_of).collect::<Vec<_>>(),
            roots.iter().map(bytes_of).collect::<Vec<_>>()
        );
        let error = combine::secrets(lock, &chosen(threshold - 1)).unwrap_err();
        assert!(
            matches!(error, combine::CombineError::TooFewShares { .. }),
            "{error}"
        );
    }
}

fn check_cluster(folder: &Path, roots: &[SecretKey]) {
    let networks = networks();
    let nodes = node_folders(folder);
    let locks: Vec<Lock> = nodes
        .iter()
        .map(|node| load_lock(&node.join("cluster-lock.json"), &networks))
        .collect();
    combine::check_same_cluster(&locks).unwrap();
    let lock = &locks[0];
    assert_eq!(lock.operators().len(), nodes.len());
    let network = networks.by_fork_version(lock.fork_version()).unwrap();
    let mut secrets = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        assert_eq!(operator(node, lock), index);
        secrets.push(check_shares(node, lock));
        check_deposit_files(node, lock, roots, network);
    }
    check_combine(lock, &secrets, roots);
}

#[test]
fn vectors_charon_created_clusters_load_match_and_combine() {
    let Some(folder) = folder("cluster/charon-created") else {
        return;
    };
    let all = json(&folder.join("secrets.json"));
    for (case, secrets) in all["clusters"].as_object().unwrap() {
        check_cluster(&folder.join(case), &root_secrets(secrets));
    }
}

#[test]
fn vectors_zipped_cluster_is_like_any_other() {
    let Some(folder) = folder("cluster/charon-created") else {
        return;
    };
    let target = tempfile::tempdir().unwrap();
    let status = std::process::Command::new("tar")
        .args([
            "-xzf".as_ref(),
            folder.join("zipped/cluster.tar.gz").as_os_str(),
            "-C".as_ref(),
            target.path().as_os_str(),
        ])
        .status()
        .unwrap();
    assert!(status.success());
    let networks = networks();
    let nodes = node_folders(target.path());
    let lock = load_lock(&nodes[0].join("cluster-lock.json"), &networks);
    let secrets: Vec<_> = nodes.iter().map(|node| check_shares(node, &lock)).collect();
    let roots = combine::secrets(&lock, &secrets).unwrap();
    check_cluster(target.path(), &roots);
}

#[test]
fn vectors_custom_network_must_be_described() {
    let Some(folder) = folder("cluster/charon-created/custom") else {
        return;
    };
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let error = Lock::load(&read(&folder.join("node0/cluster-lock.json")), &options).unwrap_err();
    assert!(
        matches!(&error, LoadError::Refused(finding) if finding.check == flotilla_cluster::Check::Network),
        "{error}"
    );
}

#[test]
fn vectors_ceremony_folders_load_and_match() {
    let Some(folder) = folder("ceremony") else {
        return;
    };
    let networks = networks();
    let all = json(&folder.join("secrets.json"));
    for (case, secrets) in all["clusters"].as_object().unwrap() {
        let roots = root_secrets(secrets);
        let case_folder = folder.join(case);
        let nodes = node_folders(&case_folder);
        let shared_lock = case_folder.join("cluster-lock.json");
        let is_edit = case.starts_with("edit-");
        let lock_of = |node: &Path| {
            if is_edit {
                shared_lock.clone()
            } else {
                node.join("cluster-lock.json")
            }
        };
        let lock = load_lock(&lock_of(&nodes[0]), &networks);
        let network = networks.by_fork_version(lock.fork_version()).unwrap();
        let mut shares = Vec::new();
        for node in &nodes {
            assert_eq!(load_lock(&lock_of(node), &networks), lock);
            shares.push(check_shares(node, &lock));
        }
        assert_eq!(
            combine::secrets(&lock, &shares)
                .unwrap()
                .iter()
                .map(bytes_of)
                .collect::<Vec<_>>(),
            roots.iter().map(bytes_of).collect::<Vec<_>>(),
            "{case}"
        );
        let deposit_folder = if is_edit { &case_folder } else { &nodes[0] };
        if deposit_folder
            .read_dir()
            .unwrap()
            .any(|entry| name(&entry.unwrap().path()).starts_with("deposit-data"))
        {
            check_deposit_files(deposit_folder, &lock, &roots, network);
        }
    }
}

#[test]
fn vectors_ceremony_definitions_verify_and_rewrite_byte_for_byte() {
    let Some(folder) = folder("ceremony") else {
        return;
    };
    let networks = networks();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    for case in ["dkg-frost", "dkg-pedersen", "dkg-signed"] {
        let bytes = read(&folder.join(case).join("cluster-definition.json"));
        let loaded = Definition::load(&bytes, &options).unwrap();
        assert!(
            loaded
                .findings
                .iter()
                .all(|finding| finding.severity < Severity::Error),
            "{case}"
        );
        assert_eq!(loaded.file.to_json().unwrap().as_bytes(), bytes, "{case}");
    }
}

/// A run of `create cluster` as the README of the vectors describes it.
struct Run {
    case: &'static str,
    network: Network,
    nodes: usize,
    validators: usize,
    amounts_eth: &'static [u64],
    threshold: Option<usize>,
}

fn runs() -> Vec<Run> {
    let goerli = Networks::public().by_name("goerli").unwrap().clone();
    let run = |case, nodes, validators| Run {
        case,
        network: goerli.clone(),
        nodes,
        validators,
        amounts_eth: &[],
        threshold: Some(3),
    };
    vec![
        run("simnet", 4, 1),
        run("goerli", 3, 2),
        Run {
            amounts_eth: &[8, 8, 8, 8],
            ..run("four_partial_deposits", 4, 1)
        },
        run("splitkeys", 4, 2),
        Run {
            network: custom_network("obolnetwork", 243, [0, 0, 1, 1]),
            ..run("custom_testnet_flags", 4, 3)
        },
        run("solo_flow_definition_from_disk", 4, 2),
    ]
}

fn create(run: &Run, rng: &mut ChaCha20Rng) -> Created {
    let zero = "0x0000000000000000000000000000000000000000".to_owned();
    let pair = ValidatorAddresses {
        fee_recipient: zero.clone(),
        withdrawal: zero,
    };
    let definition = NewDefinition {
        version: Version::LATEST,
        name: run.case.to_owned(),
        operators: vec![Operator::default(); run.nodes],
        creator: Creator::default(),
        threshold: run.threshold,
        validators: vec![pair; run.validators],
        timestamp: "2026-01-02T03:04:05Z".to_owned(),
        network: &run.network,
        dkg_algorithm: "default".to_owned(),
        deposit_amounts: run
            .amounts_eth
            .iter()
            .map(|amount| amount * 1_000_000_000)
            .collect(),
        consensus_protocol: String::new(),
        target_gas_limit: 30_000_000,
        compounding: false,
    }
    .build(rng)
    .unwrap();
    let mut request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition, &run.network)
    };
    if run.case == "splitkeys" {
        request.existing_keys = Some(
            (0..run.validators)
                .map(|_| SecretKey::generate(rng))
                .collect(),
        );
        request.registration_time = 1_767_322_445;
    }
    cluster(request, rng).unwrap()
}

/// Paths one and two levels below the cluster folder, first level first, each sorted.
fn layout(nodes: &[Vec<flotilla_cluster::create::File>]) -> Vec<String> {
    let first = (0..nodes.len()).map(|node| format!("node{node}"));
    let second: BTreeSet<String> = nodes
        .iter()
        .enumerate()
        .flat_map(|(node, files)| {
            files
                .iter()
                .map(move |file| (node, file.path.split('/').next().unwrap()))
        })
        .map(|(node, path)| format!("node{node}/{path}"))
        .collect();
    first.chain(second).collect()
}

#[test]
fn vectors_create_cluster_has_the_same_layout_and_verifies() {
    let Some(folder) = folder("cluster/create-cluster") else {
        return;
    };
    let runs = runs();
    let listed: BTreeSet<String> = files(&folder, |name| name.ends_with("_files.json"))
        .iter()
        .map(|path| name(path))
        .collect();
    let known: BTreeSet<String> = runs
        .iter()
        .map(|run| format!("{}_files.json", run.case))
        .collect();
    assert_eq!(listed, known, "every case is covered");
    for run in runs {
        let created = create(&run, &mut ChaCha20Rng::seed_from_u64(7));
        let networks = Networks::public().with_custom(run.network.clone());
        let findings = created.lock.verify(&VerifyOptions::new(&networks));
        assert!(
            findings
                .iter()
                .all(|finding| finding.severity < Severity::Error),
            "{findings:?}"
        );
        let amounts: Vec<u64> = created.lock.validators()[0]
            .deposits
            .iter()
            .map(|deposit| deposit.amount / 1_000_000_000)
            .collect();
        let expected: &[u64] = if run.amounts_eth.is_empty() {
            &[1, 32]
        } else {
            &[8]
        };
        assert_eq!(amounts, expected);
        let timestamp = created.lock.validators()[0].registration.timestamp;
        assert_eq!(timestamp == 1_767_322_445, run.case == "splitkeys");
        let expected: Vec<String> =
            serde_json::from_value(json(&folder.join(format!("{}_files.json", run.case)))).unwrap();
        assert_eq!(layout(&created.into_files()), expected, "{}", run.case);
    }
}
