//! Published and recorded bytes: our own copies always, the shared collection where it is at hand.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use flotilla_crypto::combine::{Combined, Request, combine_all, verify_partials};
use flotilla_crypto::{
    IdentityKey, IdentityPublicKey, PublicKey, SecretKey, ShareIndex, Signature, shares, verify,
};
use serde_json::Value;

/// The shared files in `folder` whose names start with `prefix`; none if the collection is absent
/// and nobody asked for it.
fn shared(folder: &str, prefix: &str) -> Vec<(PathBuf, Value)> {
    let demanded = std::env::var_os("FLOTILLA_VECTORS").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if demanded.is_none() && !beside.exists() {
        eprintln!("no shared vectors: {folder}/{prefix}* not tested");
        return Vec::new();
    }
    let folder = demanded.unwrap_or(beside).join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".json")
        })
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "no {prefix}*.json in {}",
        folder.display()
    );
    files
        .into_iter()
        .map(|path| (path.clone(), read(&path)))
        .collect()
}

fn read(path: &Path) -> Value {
    let text =
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

fn own(name: &str) -> Value {
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name),
    )
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    hex::decode(value.as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap()
}

fn list<const N: usize>(value: &Value) -> Vec<[u8; N]> {
    value.as_array().unwrap().iter().map(bytes).collect()
}

fn public_keys(value: &Value) -> Vec<PublicKey> {
    list(value)
        .iter()
        .map(|key| PublicKey::from_bytes(key).unwrap())
        .collect()
}

/// Checks secret, shares, their public keys, and every combination of partial signatures.
fn check_sharing(
    secret: &Value,
    public: &Value,
    secrets: &Value,
    publics: &Value,
    threshold: usize,
) {
    let secret = SecretKey::from_bytes(&bytes(secret)).unwrap();
    let secrets: Vec<_> = list(secrets)
        .iter()
        .map(|share| SecretKey::from_bytes(share).unwrap())
        .collect();
    let publics = public_keys(publics);
    assert_eq!(secret.public_key().to_bytes(), bytes(public));
    assert!(
        secrets
            .iter()
            .zip(&publics)
            .all(|(secret, public)| secret.public_key() == *public)
    );
    for set in subsets(secrets.len(), threshold) {
        let chosen: Vec<_> = set
            .iter()
            .map(|peer| (ShareIndex::from_peer(*peer), &secrets[*peer]))
            .collect();
        assert_eq!(
            shares::recombine_secret(&chosen).unwrap().to_bytes(),
            secret.to_bytes()
        );
        let chosen: Vec<_> = set
            .iter()
            .map(|peer| (ShareIndex::from_peer(*peer), &publics[*peer]))
            .collect();
        assert_eq!(
            shares::recombine_public(&chosen).unwrap(),
            secret.public_key()
        );
    }
}

/// Checks that any `threshold` of the partial signatures, and all together, give `signature`.
fn check_combination(
    group_key: &PublicKey,
    share_keys: &[PublicKey],
    message: &[u8; 32],
    partials: &[[u8; 96]],
    signature: &[u8; 96],
    threshold: usize,
) {
    let items: Vec<_> = share_keys.iter().zip(partials.iter().copied()).collect();
    assert_eq!(verify_partials(message, &items), vec![true; partials.len()]);
    for set in subsets(partials.len(), threshold) {
        let partials = set
            .iter()
            .map(|peer| (ShareIndex::from_peer(*peer), partials[*peer]))
            .collect();
        let request = Request {
            group_key,
            share_keys,
            partials,
        };
        match &combine_all(threshold, message, &[request])[..] {
            [Combined::Signature(combined)] => assert_eq!(**combined, *signature),
            other => panic!("{other:?}"),
        }
    }
    let decoded: Vec<_> = partials
        .iter()
        .map(|partial| Signature::from_bytes(partial).unwrap())
        .collect();
    let all: Vec<_> = decoded
        .iter()
        .enumerate()
        .map(|(peer, s)| (ShareIndex::from_peer(peer), s))
        .collect();
    assert_eq!(
        shares::Recombiner::new()
            .recombine(&all)
            .unwrap()
            .to_bytes(),
        *signature
    );
}

/// All sets of `size` peers out of `count`.
fn subsets(count: usize, size: usize) -> Vec<Vec<usize>> {
    (0..1_usize << count)
        .filter(|set| set.count_ones() as usize == size)
        .map(|set| (0..count).filter(|peer| set >> peer & 1 == 1).collect())
        .collect()
}

fn check_peer_id(public: &IdentityPublicKey, text: &Value) {
    assert_eq!(
        bs58::encode(public.peer_id_bytes()).into_string(),
        text.as_str().unwrap()
    );
}

fn check_identity_signature(
    private_key: &Value,
    public_key: &Value,
    digest: &Value,
    signature: &Value,
) {
    let key = IdentityKey::from_hex(private_key.as_str().unwrap()).unwrap();
    let (digest, signature) = (bytes(digest), bytes(signature));
    assert_eq!(key.public().to_compressed(), bytes(public_key));
    assert_eq!(key.sign(&digest), signature);
    assert_eq!(
        IdentityPublicKey::recover(&digest, &signature),
        Ok(key.public())
    );
    assert!(key.public().verify(&digest, &signature));
}

#[test]
fn own_vectors_of_ethereum_signatures() {
    for case in own("sign.json")["cases"].as_array().unwrap() {
        let secret = SecretKey::from_bytes(&bytes(&case["private_key"])).unwrap();
        let message = bytes(&case["message"]);
        assert_eq!(secret.public_key().to_bytes(), bytes(&case["public_key"]));
        assert_eq!(secret.sign(&message).to_bytes(), bytes(&case["signature"]));
        assert!(verify(
            &secret.public_key(),
            &message,
            &secret.sign(&message)
        ));
    }
}

#[test]
fn own_vectors_of_shared_keys() {
    let data = own("threshold.json");
    let threshold = data["threshold"].as_u64().unwrap() as usize;
    check_sharing(
        &data["secret"],
        &data["public_key"],
        &data["shares"],
        &data["public_shares"],
        threshold,
    );
    let commitments: Vec<PublicKey> = list(&data["coefficients"])
        .iter()
        .map(|coefficient| SecretKey::from_bytes(coefficient).unwrap().public_key())
        .collect();
    for (peer, expected) in public_keys(&data["public_shares"]).iter().enumerate() {
        assert_eq!(
            shares::public_share(&commitments, ShareIndex::from_peer(peer)),
            Ok(*expected)
        );
    }
    check_combination(
        &PublicKey::from_bytes(&bytes(&data["public_key"])).unwrap(),
        &public_keys(&data["public_shares"]),
        &bytes(&data["message"]),
        &list(&data["partial_signatures"]),
        &bytes(&data["signature"]),
        threshold,
    );
}

#[test]
fn own_vectors_of_identities() {
    let data = own("identity.json");
    check_identity_signature(
        &data["private_key"],
        &data["public_key"],
        &data["digest"],
        &data["signature"],
    );
    for case in data["peer_ids"].as_array().unwrap() {
        let key = IdentityKey::from_hex(case["private_key"].as_str().unwrap()).unwrap();
        check_peer_id(&key.public(), &case["peer_id"]);
    }
    for case in data["wallets"].as_array().unwrap() {
        let key = IdentityKey::from_hex(case["private_key"].as_str().unwrap()).unwrap();
        let address = case["address"].as_str().unwrap().to_lowercase();
        assert_eq!(
            format!("0x{}", hex::encode(key.public().ethereum_address())),
            address
        );
    }
}

#[test]
fn shared_vectors_of_identity_signatures() {
    for (_, data) in shared("consensus", "k1_recoverable_signature") {
        check_identity_signature(
            &data["private_key_hex"],
            &data["public_key_compressed_hex"],
            &data["digest_hex"],
            &data["signature_rsv_hex"],
        );
    }
    for (_, data) in shared("cluster/known-answers", "identity") {
        let sign = &data["k1_sign"];
        let public = &sign["public_key_compressed"];
        check_identity_signature(
            &sign["private_key"],
            public,
            &sign["digest"],
            &sign["signature_r_s_v"],
        );
        for case in data["peer_id"].as_array().unwrap() {
            let key = IdentityKey::from_hex(case["private_key"].as_str().unwrap()).unwrap();
            check_peer_id(&key.public(), &case["peer_id"]);
        }
    }
}

#[test]
fn shared_vectors_of_peer_ids() {
    for (_, data) in shared("consensus", "peer_id") {
        for case in data["cases"].as_array().unwrap() {
            let key = IdentityPublicKey::from_compressed(&bytes(&case["secp256k1_compressed_hex"]))
                .unwrap();
            assert_eq!(key.peer_id_bytes(), bytes(&case["peer_id_bytes_hex"]));
            check_peer_id(&key, &case["peer_id"]);
        }
    }
}

#[test]
fn shared_vectors_of_split_keys() {
    for (_, data) in shared("cluster/independent/cluster-a", "secrets") {
        let threshold = data["threshold"].as_u64().unwrap() as usize;
        for validator in data["validators"].as_array().unwrap() {
            let publics = &validator["share_public_keys"];
            let shares = &validator["share_secrets"];
            check_sharing(
                &validator["root_secret"],
                &validator["public_key"],
                shares,
                publics,
                threshold,
            );
        }
        for node in data["nodes"].as_array().unwrap() {
            let key = IdentityKey::from_hex(node["k1_private_key"].as_str().unwrap()).unwrap();
            check_peer_id(&key.public(), &node["peer_id"]);
        }
        let example = &data["threshold_signature"];
        let validator = &data["validators"][example["validator"].as_u64().unwrap() as usize];
        let share_keys = public_keys(&validator["share_public_keys"]);
        let partials: Vec<[u8; 96]> = (1..=share_keys.len())
            .map(|share| bytes(&example["partials"][share.to_string()]))
            .collect();
        check_combination(
            &PublicKey::from_bytes(&bytes(&validator["public_key"])).unwrap(),
            &share_keys,
            &bytes(&example["message"]),
            &partials,
            &bytes(&example["combined"]),
            threshold,
        );
    }
}

#[test]
fn shared_vectors_of_partial_signatures() {
    for (_, data) in shared("consensus", "parsigex_messages") {
        let threshold = data["threshold"].as_u64().unwrap() as usize;
        for validator in data["validators"].as_array().unwrap() {
            let publics = &validator["public_shares"];
            let shares = &validator["share_secrets"];
            check_sharing(
                &validator["root_secret"],
                &validator["public_key"],
                shares,
                publics,
                threshold,
            );
        }
        let validator = &data["validators"][0];
        let group_key = PublicKey::from_bytes(&bytes(&validator["public_key"])).unwrap();
        let share_keys = public_keys(&validator["public_shares"]);
        for message in data["messages"].as_array().unwrap() {
            check_combination(
                &group_key,
                &share_keys,
                &bytes(&message["signing_root"]),
                &list(&message["partial_signatures"]),
                &bytes(&message["aggregate_signature"]),
                threshold,
            );
        }
    }
}
