//! Where the shared vectors lie.

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
