//! Finds vector files.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// Name and content of every file of a kind, sorted; fails if the folder is there and has none.
pub(crate) fn files(folder: &str, kind: &str) -> Vec<(String, Vec<u8>)> {
    let Some(root) = root() else {
        return Vec::new();
    };
    let folder = root.join(folder);
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with(kind))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    assert!(!files.is_empty(), "no {kind}* in {}", folder.display());
    files.sort();
    files
}

/// The same, as JSON.
pub(crate) fn json_files(folder: &str, kind: &str) -> Vec<(String, Value)> {
    let parse = |(name, bytes): (String, Vec<u8>)| {
        let value =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, value)
    };
    files(folder, kind).into_iter().map(parse).collect()
}

/// A string field.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field]
        .as_str()
        .unwrap_or_else(|| panic!("no text field {field} in {value}"))
}

/// A field of the Beacon API's JSON, in one of our types.
pub(crate) fn parsed<T: serde::de::DeserializeOwned>(value: &Value, field: &str) -> T {
    serde_json::from_value(value[field].clone())
        .unwrap_or_else(|error| panic!("{field} of {value}: {error}"))
}

/// A hex field of any length.
pub(crate) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field).trim_start_matches("0x")).unwrap()
}
