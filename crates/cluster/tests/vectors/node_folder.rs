//! Node folders as `create cluster` and the ceremony write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flotilla_cluster::deposit::file::{file_name, to_json};
use flotilla_cluster::deposit::{Deposit, DepositMessage};
use flotilla_cluster::{
    Enr, Keystore, LoadOptions, Lock, Network, Networks, VerifyOptions, match_shares,
};
use flotilla_crypto::{IdentityKey, SecretKey, ShareIndex};

use crate::folder::{files, name, read};

/// Loads a lock that must verify, extra checks included.
pub fn load_lock(path: &Path, networks: &Networks) -> Lock {
    let bytes = read(path);
    let options = LoadOptions {
        verify: VerifyOptions::new(networks),
        no_verify: false,
    };
    let loaded =
        Lock::load(&bytes, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for finding in &loaded.findings {
        assert!(
            finding.severity < flotilla_cluster::Severity::Error,
            "{}: {finding}",
            path.display()
        );
    }
    assert_eq!(
        loaded.file.to_json().unwrap().as_bytes(),
        bytes,
        "{}",
        path.display()
    );
    loaded.file
}

/// The folders `node0`, `node1`, … of a cluster.
pub fn node_folders(cluster: &Path) -> Vec<PathBuf> {
    let nodes: Vec<PathBuf> = (0..)
        .map(|index| cluster.join(format!("node{index}")))
        .take_while(|node| node.is_dir())
        .collect();
    assert!(!nodes.is_empty(), "{}", cluster.display());
    nodes
}

/// The secrets in a folder of keystores, in the order of their names' numbers.
pub fn secrets(folder: &Path) -> Vec<SecretKey> {
    let mut keystores: BTreeMap<usize, PathBuf> = BTreeMap::new();
    for path in files(folder, |name| name.ends_with(".json")) {
        let digits: String = name(&path).chars().filter(char::is_ascii_digit).collect();
        keystores.insert(digits.parse().unwrap(), path);
    }
    keystores
        .values()
        .map(|path| {
            let password = String::from_utf8(read(&path.with_extension("txt"))).unwrap();
            Keystore::parse(&read(path))
                .unwrap()
                .decrypt(&password)
                .unwrap()
        })
        .collect()
}

/// The identity key of a node folder, and which operator of the lock it is.
pub fn operator(node: &Path, lock: &Lock) -> usize {
    let text = String::from_utf8(read(&node.join("charon-enr-private-key"))).unwrap();
    let key = IdentityKey::from_hex(&text).unwrap();
    let index = lock
        .peers()
        .unwrap()
        .iter()
        .position(|peer| peer.public_key == key.public())
        .unwrap();
    assert_eq!(Enr::from_key(&key).to_text(), lock.operators()[index].enr);
    index
}

/// Checks that every keystore of a node is its operator's share.
pub fn check_shares(node: &Path, lock: &Lock) -> Vec<SecretKey> {
    let index = operator(node, lock);
    let found = secrets(&node.join("validator_keys"));
    let matched = match_shares(lock, ShareIndex::from_peer(index), found.clone()).unwrap();
    assert_eq!(matched.len(), lock.validators().len(), "{}", node.display());
    for (position, secret) in found.iter().enumerate() {
        assert_eq!(
            matched[&position].public_key(),
            secret.public_key(),
            "{}",
            node.display()
        );
    }
    found
}

/// Makes the deposit files again from root secrets and lock, and compares them with those in `folder`.
pub fn check_deposit_files(folder: &Path, lock: &Lock, roots: &[SecretKey], network: &Network) {
    let amounts = lock.validators()[0]
        .deposits
        .iter()
        .map(|deposit| deposit.amount);
    for amount in amounts {
        let deposits: Vec<Deposit> = lock
            .validators()
            .iter()
            .zip(roots)
            .map(|(validator, root)| {
                let stored = validator
                    .deposits
                    .iter()
                    .find(|deposit| deposit.amount == amount)
                    .unwrap();
                let message: DepositMessage = stored.to_deposit().unwrap().message;
                let deposit = message.sign(root, network.genesis_fork_version);
                assert_eq!(deposit.signature.0.as_slice(), stored.signature);
                deposit
            })
            .collect();
        let path = folder.join(file_name(amount));
        assert_eq!(
            to_json(&deposits, network).unwrap().as_bytes(),
            read(&path),
            "{}",
            path.display()
        );
    }
}

/// Root secrets from a `secrets.json`'s entry of one cluster.
pub fn root_secrets(cluster: &serde_json::Value) -> Vec<SecretKey> {
    let secret = |validator: &serde_json::Value| {
        let bytes: [u8; 32] = hex::decode(validator["root_secret"].as_str().unwrap())
            .unwrap()
            .try_into()
            .unwrap();
        SecretKey::from_bytes(&bytes).unwrap()
    };
    cluster.as_array().unwrap().iter().map(secret).collect()
}
