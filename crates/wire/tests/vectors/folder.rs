//! Finds vector files and reads their fields.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flotilla_crypto::{IdentityKey, IdentityPublicKey};
use flotilla_types::{Chain, ChainSpec, DutyKind, ForkVersion, ListSizes, Root, Timestamp};
use flotilla_wire::consensus::Codec;
use serde_json::Value;

/// The vectors' root. `None`, with a word, if nobody asked for them and they are not there.
fn root() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FLOTILLA_VECTORS") {
        let named = PathBuf::from(named);
        assert!(
            named.is_dir(),
            "FLOTILLA_VECTORS names {}, which is no folder",
            named.display()
        );
        return Some(named);
    }
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    if !beside.is_dir() {
        println!("no vectors: {} is absent", beside.display());
        return None;
    }
    Some(beside)
}

/// Every JSON file of a kind; fails if the folder is there and has none.
pub(crate) fn files(folder: &str, kind: &str) -> Vec<Value> {
    let Some(root) = root() else {
        return Vec::new();
    };
    let folder = root.join(folder);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(kind)).collect();
    names.sort();
    assert!(!names.is_empty(), "no {kind}* in {}", folder.display());
    names.iter().map(|name| json(&folder.join(name))).collect()
}

/// One of our own files.
pub(crate) fn own(name: &str) -> Value {
    json(
        &Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data")
            .join(name),
    )
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The items of a list.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field]
        .as_array()
        .unwrap_or_else(|| panic!("no list {field} in {value}"))
}

/// A string field.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text {field} in {value}"))
}

/// A whole number.
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {field} in {value}"))
}

/// A hex field.
pub(crate) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    unhex(text(value, field))
}

/// A hex field of 32 bytes.
pub(crate) fn hash(value: &Value, field: &str) -> [u8; 32] {
    bytes(value, field).try_into().unwrap()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text.trim_start_matches("0x")).unwrap()
}

/// The content of a frame: what follows the varint of its length.
pub(crate) fn content(value: &Value, field: &str) -> Vec<u8> {
    let mut frame = bytes::Bytes::from(bytes(value, field));
    let length = prost::decode_length_delimiter(&mut frame).unwrap();
    assert_eq!(length, frame.len());
    frame.to_vec()
}

/// The keys of a cluster.
pub(crate) fn keys(file: &Value) -> Vec<IdentityKey> {
    list(file, "private_keys_hex")
        .iter()
        .map(|key| IdentityKey::from_hex(key.as_str().unwrap()).unwrap())
        .collect()
}

/// Their public keys.
pub(crate) fn publics(keys: &[IdentityKey]) -> Vec<IdentityPublicKey> {
    keys.iter().map(IdentityKey::public).collect()
}

/// The codec of a cluster whose engine handles every kind of duty.
pub(crate) fn codec(peers: Vec<IdentityPublicKey>) -> Codec {
    Codec::new(peers, DutyKind::ALL, ListSizes::MAINNET)
}

/// A chain with mainnet's slots and this genesis.
pub(crate) fn chain(genesis_unix: u64) -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion::default()),
        genesis_time: Timestamp::from_secs(genesis_unix),
        genesis_validators_root: Root::default(),
    }
}
