//! Finding the vector files, and reading what they have in common.

use flotilla_qbft::{Hash, Message, MessageKind};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The small files beside these tests, and the shared ones if they are there, whose names start
/// with `prefix`.
pub(crate) fn files(prefix: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = read_all(&root.join("tests/data"), prefix);
    assert!(!found.is_empty(), "no own vectors named {prefix}*.json");
    let shared = match std::env::var_os("FLOTILLA_VECTORS") {
        Some(folder) => {
            let folder = PathBuf::from(folder);
            assert!(
                folder.is_dir(),
                "FLOTILLA_VECTORS names no folder: {}",
                folder.display()
            );
            folder
        }
        None => root.join("../../../shared/vectors"),
    };
    if shared.is_dir() {
        let more = read_all(&shared.join("consensus"), prefix);
        assert!(!more.is_empty(), "no shared vectors named {prefix}*.json");
        found.extend(more);
    } else {
        eprintln!("no shared vectors here, own ones only: {prefix}");
    }
    found
}

fn read_all(folder: &Path, prefix: &str) -> Vec<Value> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(prefix) && name.ends_with(".json")
        })
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
        .collect()
}

/// A field that must be there.
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no number {field} in {value}"))
}

pub(crate) fn index(value: &Value, field: &str) -> usize {
    usize::try_from(number(value, field)).unwrap()
}

pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field]
        .as_array()
        .unwrap_or_else(|| panic!("no list {field} in {value}"))
}

/// The vectors number their values; 0 and absent are null.
pub(crate) fn hash(value: &Value) -> Option<Hash> {
    let mut hash = [0; 32];
    hash[24..].copy_from_slice(&value.as_u64()?.to_be_bytes());
    (hash != [0; 32]).then_some(hash)
}

/// The message of a JSON object; sources are taken modulo `nodes`, since some files count from 1.
pub(crate) fn message(value: &Value, nodes: usize) -> Message<Vec<u8>> {
    let kind = match (value["type"].as_str(), value["type"].as_u64()) {
        (Some("pre_prepare"), _) | (_, Some(1)) => MessageKind::PrePrepare,
        (Some("prepare"), _) | (_, Some(2)) => MessageKind::Prepare,
        (Some("commit"), _) | (_, Some(3)) => MessageKind::Commit,
        (Some("round_change"), _) | (_, Some(4)) => MessageKind::RoundChange,
        (Some("decided"), _) | (_, Some(5)) => MessageKind::Decided,
        _ => panic!("no message type in {value}"),
    };
    Message {
        kind,
        source: index(value, "source") % nodes,
        round: number(value, "round"),
        value: hash(&value["value"]),
        prepared_round: value["prepared_round"].as_u64().unwrap_or(0),
        prepared_value: hash(&value["prepared_value"]),
        seal: Vec::new(),
    }
}

/// The messages shown with the one in `value`.
pub(crate) fn shown(value: &Value, nodes: usize) -> Vec<Message<Vec<u8>>> {
    let shown = value["justification"].as_array();
    shown
        .into_iter()
        .flatten()
        .map(|it| message(it, nodes))
        .collect()
}
