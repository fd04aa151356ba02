//! How the files of the shared vectors are found by kind.

use std::path::{Path, PathBuf};

pub use crate::place::folder;

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
