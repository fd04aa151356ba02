//! The shared vectors of cluster files through the commands: what Charon wrote is accepted, what is wrong is refused and named.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

/// The shared vectors are found like those of the cluster room.
#[path = "../../cluster/tests/vectors/place.rs"]
mod place;
#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use place::folder;
use support::{failure, path, success};
use tempfile::TempDir;

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

/// The network of the vectors that is in no table.
const CUSTOM: [&str; 8] = [
    "--testnet-name",
    "vectornet",
    "--testnet-fork-version",
    "0x10abcdef",
    "--testnet-chain-id",
    "4242",
    "--testnet-genesis-timestamp",
    "1700000000",
];

fn verify_and_combine(cluster: &Path, more: &[&str]) {
    success(&[&["cluster", "verify", path(cluster)], more].concat());
    let output = TempDir::new().unwrap();
    let common = [
        "combine",
        "--cluster-dir",
        path(cluster),
        "--output-dir",
        path(output.path()),
    ];
    success(&[common.as_slice(), more].concat());
}

#[test]
fn vectors_every_cluster_that_charon_made_verifies_and_combines() {
    let Some(folder) = folder("cluster/charon-created") else {
        return;
    };
    for case in entries(&folder).iter().filter(|case| case.is_dir()) {
        let archive = case.join("cluster.tar.gz");
        let unpacked = TempDir::new().unwrap();
        let cluster = if archive.exists() {
            let file = std::fs::File::open(&archive).unwrap();
            tar::Archive::new(flate2::read::GzDecoder::new(file))
                .unpack(unpacked.path())
                .unwrap();
            unpacked.path()
        } else {
            case
        };
        let custom = case.ends_with("custom");
        verify_and_combine(cluster, if custom { &CUSTOM } else { &[] });
        if custom {
            let refused = failure(&["cluster", "verify", path(cluster)]);
            assert!(refused.contains("--testnet"), "{refused}");
        }
    }
}

#[test]
fn vectors_the_cluster_of_another_program_verifies_and_combines() {
    if let Some(folder) = folder("cluster/independent") {
        verify_and_combine(&folder.join("cluster-a"), &[]);
    }
}

#[test]
fn vectors_finished_ceremonies_verify() {
    let Some(folder) = folder("ceremony") else {
        return;
    };
    for case in entries(&folder) {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("dkg-") {
            for node in entries(&case).iter().filter(|node| node.is_dir()).take(1) {
                success(&["cluster", "verify", path(node)]);
            }
            success(&[
                "cluster",
                "verify",
                path(&case.join("cluster-definition.json")),
            ]);
        } else if name.starts_with("edit-") {
            success(&["cluster", "verify", path(&case.join("cluster-lock.json"))]);
        }
    }
}

#[test]
fn vectors_negative_files_are_refused_with_file_and_path() {
    let Some(folder) = folder("cluster/independent/negative") else {
        return;
    };
    for file in entries(&folder) {
        let refused = failure(&["cluster", "verify", path(&file)]);
        let line = refused
            .lines()
            .find(|line| line.starts_with("error    "))
            .unwrap();
        let finding = line
            .strip_prefix(&format!("error    {}: ", file.display()))
            .unwrap();
        let (at, message) = finding.split_once(": ").unwrap();
        assert!(!at.contains(' ') && !message.is_empty(), "{line}");
    }
}
