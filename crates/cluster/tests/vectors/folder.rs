//! Where the shared vectors lie, and how their files are found by kind.

use std::path::{Path, PathBuf};

/// The folder `kind` of the vectors; `None`, with a printed word, when there are no vectors here.
pub fn folder(kind: &str) -> Option<PathBuf> {
    let chosen = std::env::var_os("FLOTILLA_VECTORS").map(PathBuf::from);
    let root = chosen
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"));
    let folder = root.join(kind);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        chosen.is_none(),
        "FLOTILLA_VECTORS is set, but {} is absent",
        folder.display()
    );
    println!("no vectors at {}: nothing checked", folder.display());
    None
}

/// The files directly in `folder` whose names match, sorted; at least one.
pub fn files(folder: &Path, matches: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_file() && matches(&name(path)))
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "no file of that kind in {}",
        folder.display()
    );
    files
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name()
        .expect("a path with a name")
        .to_string_lossy()
        .into_owned()
}

/// The bytes of a file that must be there.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A JSON file that must be there.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&read(path))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
