//! `independent`: a cluster with all its secrets made by another program, and broken copies of its lock.

use std::cell::RefCell;

use flotilla_cluster::{
    Address, Check, Definition, Enr, LoadError, LoadOptions, Lock, Networks, PeerId, TypedMessage,
    VerifyOptions, combine,
};
use flotilla_crypto::shares::{Recombiner, recombine_public};
use flotilla_crypto::{IdentityKey, PublicKey, SecretKey, ShareIndex, Signature, aggregate};
use serde_json::Value;

use crate::folder::{files, folder, json, name, read};
use crate::node_folder::{
    check_deposit_files, check_shares, load_lock, node_folders, operator, root_secrets,
};

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .unwrap()
        .try_into()
        .unwrap()
}

#[test]
fn vectors_cluster_a_can_be_reproduced_from_its_secrets() {
    let Some(folder) = folder("cluster/independent/cluster-a") else {
        return;
    };
    let networks = Networks::public();
    let secrets = json(&folder.join("secrets.json"));
    let nodes = node_folders(&folder);
    let lock = load_lock(&nodes[0].join("cluster-lock.json"), &networks);
    let roots = root_secrets(&secrets["validators"]);
    let network = networks.by_fork_version(lock.fork_version()).unwrap();
    assert_eq!(lock.lock_hash(), bytes::<32>(&secrets["lock_hash"]));

    let mut signatures = Vec::new();
    for (validator, root) in secrets["validators"].as_array().unwrap().iter().zip(&roots) {
        assert_eq!(
            root.public_key().to_bytes(),
            bytes::<48>(&validator["public_key"])
        );
        for share in validator["share_secrets"].as_array().unwrap() {
            signatures.push(
                SecretKey::from_bytes(&bytes(share))
                    .unwrap()
                    .sign(&bytes(&secrets["lock_hash"])),
            );
        }
    }
    assert_eq!(
        aggregate(&signatures).to_bytes(),
        bytes::<96>(&secrets["aggregate_signature_of_lock_hash"])
    );

    let mut folders = Vec::new();
    for (index, (node, secret)) in nodes
        .iter()
        .zip(secrets["nodes"].as_array().unwrap())
        .enumerate()
    {
        let key = IdentityKey::from_hex(secret["k1_private_key"].as_str().unwrap()).unwrap();
        assert_eq!(
            Enr::from_key(&key).to_text(),
            secret["enr"].as_str().unwrap()
        );
        assert_eq!(
            PeerId::of(&key.public()).to_string(),
            secret["peer_id"].as_str().unwrap()
        );
        assert_eq!(
            key.sign(&bytes(&secrets["lock_hash"])).as_slice(),
            lock.node_signatures[index]
        );
        let wallet = IdentityKey::from_hex(secret["wallet_private_key"].as_str().unwrap()).unwrap();
        assert_eq!(
            Address::of(&wallet.public()).to_string(),
            secret["wallet_address"].as_str().unwrap()
        );
        assert_eq!(operator(node, &lock), index);
        folders.push(check_shares(node, &lock));
        check_deposit_files(node, &lock, &roots, network);
    }
    for set in [&folders[..3], &folders[1..], &folders[..]] {
        let combined = combine::secrets(&lock, set).unwrap();
        for (secret, root) in combined.iter().zip(&roots) {
            assert_eq!(secret.to_bytes(), root.to_bytes());
        }
    }
}

#[test]
fn vectors_cluster_a_definition_rewrites_byte_for_byte() {
    let Some(folder) = folder("cluster/independent/cluster-a") else {
        return;
    };
    let bytes = read(&folder.join("cluster-definition.json"));
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let loaded = Definition::load(&bytes, &options).unwrap();
    assert_eq!(loaded.file.to_json().unwrap().as_bytes(), bytes);
}

#[test]
fn vectors_cluster_a_digests() {
    let Some(folder) = folder("cluster/independent/cluster-a") else {
        return;
    };
    let definition = Definition::parse(&read(&folder.join("cluster-definition.json"))).unwrap();
    let digests = &json(&folder.join("secrets.json"))["digests"];
    let chain_id = Networks::public()
        .by_fork_version(definition.fork_version)
        .unwrap()
        .chain_id;
    let text = digests.to_string();
    let config_hash = &definition.config_hash;
    let mut messages = vec![
        TypedMessage::CreatorConfig { config_hash },
        TypedMessage::OperatorConfig { config_hash },
    ];
    messages.extend(
        definition
            .operators
            .iter()
            .map(|operator| TypedMessage::Enr { enr: &operator.enr }),
    );
    for message in messages {
        assert!(
            text.contains(&hex::encode(message.digest(chain_id))),
            "{message:?} in {text}"
        );
    }
}

#[test]
fn vectors_threshold_signature_combines() {
    let Some(folder) = folder("cluster/independent/cluster-a") else {
        return;
    };
    let secrets = json(&folder.join("secrets.json"));
    let shares: Vec<PublicKey> = secrets["validators"][0]["share_public_keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| PublicKey::from_bytes(&bytes(key)).unwrap())
        .collect();
    let numbered: Vec<_> = shares
        .iter()
        .enumerate()
        .map(|(peer, key)| (ShareIndex::from_peer(peer), key))
        .collect();
    let group = bytes::<48>(&secrets["validators"][0]["public_key"]);
    for set in [&numbered[..3], &numbered[1..], &numbered[..]] {
        assert_eq!(recombine_public(set).unwrap().to_bytes(), group);
    }
    let example = &secrets["threshold_signature"];
    let partials: Vec<Signature> = match &example["partials"] {
        Value::Array(list) => list.iter().map(signature).collect(),
        Value::Object(map) => map.values().map(signature).collect(),
        other => panic!("partials are {other}"),
    };
    let combined = bytes::<96>(&example["combined"]);
    let numbered: Vec<_> = partials
        .iter()
        .enumerate()
        .map(|(peer, partial)| (ShareIndex::from_peer(peer), partial))
        .collect();
    for set in [&numbered[..3], &numbered[1..]] {
        assert_eq!(
            Recombiner::new().recombine(set).unwrap().to_bytes(),
            combined
        );
    }
}

fn signature(value: &Value) -> Signature {
    let text = value.as_str().map_or(&value["signature"], |_| value);
    Signature::from_bytes(&bytes(text)).unwrap()
}

fn expected_refusal(file: &str) -> Option<Check> {
    Some(match &file[..2] {
        "01" => Check::ConfigHash,
        "02" => Check::DefinitionHash,
        "03" => Check::LockHash,
        "04" => Check::ValidatorCount,
        "05" | "06" => Check::OperatorSignature,
        "07" => Check::CreatorSignature,
        "08" | "09" | "10" => Check::PublicShares,
        "11" => Check::Aggregate,
        "12" => Check::Registration,
        "13" | "14" => Check::NodeSignature,
        "15" => Check::AggregatePresence,
        _ => return None,
    })
}

#[test]
fn vectors_negative_locks_are_refused_at_the_stated_check() {
    let Some(folder) = folder("cluster/independent/negative") else {
        return;
    };
    let networks = Networks::public();
    let strict = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let lenient = LoadOptions {
        no_verify: true,
        ..strict
    };
    for path in files(&folder, |name| name.ends_with(".json")) {
        let name = name(&path);
        let expected =
            expected_refusal(&name).unwrap_or_else(|| panic!("{name} is of no known kind"));
        match Lock::load(&read(&path), &strict) {
            Err(LoadError::Refused(finding)) => {
                assert_eq!(finding.check, expected, "{name}: {finding}");
                assert!(!finding.path.is_empty() && !finding.message.is_empty());
            }
            other => panic!("{name}: {other:?}"),
        }
        let loaded = Lock::load(&read(&path), &lenient).unwrap();
        let errors: Vec<_> = loaded
            .findings
            .iter()
            .filter(|finding| finding.check == expected)
            .collect();
        assert!(!errors.is_empty(), "{name}");
    }
}

#[test]
fn vectors_safe_signatures_go_whole_to_the_contract() {
    let Some(folder) = folder("cluster/independent") else {
        return;
    };
    let bytes = read(&folder.join("definition-safe-signatures.json"));
    let definition = Definition::parse(&bytes).unwrap();
    assert_eq!(
        definition.compute_config_hash().unwrap().to_vec(),
        definition.config_hash
    );
    assert_eq!(
        definition.compute_definition_hash().unwrap().to_vec(),
        definition.definition_hash
    );
    assert_eq!(definition.to_json().unwrap().as_bytes(), bytes);

    let networks = Networks::public();
    let without = VerifyOptions::new(&networks);
    let refusals = definition.verify(&without);
    assert!(
        refusals
            .iter()
            .any(|finding| finding.check == Check::OperatorSignature
                && finding.message.contains("execution client"))
    );

    let asked = RefCell::new(Vec::new());
    let contract = |_: Address, _: &[u8; 32], signature: &[u8]| {
        asked.borrow_mut().push(signature.to_vec());
        Ok(true)
    };
    let with = VerifyOptions {
        contract_wallet: Some(&contract),
        ..without
    };
    let findings = definition.verify(&with);
    assert!(
        findings.iter().all(|finding| finding.check.is_extra()),
        "{findings:?}"
    );
    let blobs = definition
        .operators
        .iter()
        .flat_map(|operator| [&operator.config_signature, &operator.enr_signature]);
    for blob in blobs
        .chain([&definition.creator.config_signature])
        .filter(|blob| blob.len() > 65)
    {
        assert!(asked.borrow().contains(blob));
    }
}
