//! Every file of the cluster vectors is of a kind that some test reads.

use std::path::Path;

use crate::folder::{folder, name};

/// Kinds by path below `cluster/`: the tests that read them are in the module named after it.
const FOLDERS: [(&str, &str); 9] = [
    ("testdata", "files"),
    ("examples", "files"),
    ("known-answers", "known_answers"),
    ("deposit", "known_answers"),
    ("keystore", "known_answers"),
    ("create-cluster", "created"),
    ("charon-created", "created"),
    ("independent/cluster-a", "independent"),
    ("independent/negative", "independent"),
];

/// What a file may be called, by the folder it lies in.
fn is_known(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    let folder = FOLDERS
        .iter()
        .map(|(folder, _)| *folder)
        .find(|folder| path.starts_with(&format!("{folder}/")));
    match folder {
        None => matches!(
            path,
            "README.md" | "independent/definition-safe-signatures.json"
        ),
        Some("testdata") => ["cluster_definition_v", "cluster_lock_v", "lock_v"]
            .iter()
            .any(|kind| file.starts_with(kind)),
        Some("examples") => ["cluster-definition-", "cluster-lock-"]
            .iter()
            .any(|kind| file.starts_with(kind)),
        Some("known-answers") => matches!(
            file,
            "hash-primitives.json"
                | "definition-hashes.json"
                | "identity.json"
                | "eip712.json"
                | "builder-registration.json"
                | "deposit.json"
        ),
        Some("deposit") => file.starts_with("deposit-data"),
        Some("keystore") => file.ends_with(".json") || file.ends_with(".txt"),
        Some("create-cluster") => file.ends_with("_files.json") || file.ends_with("_output.txt"),
        Some("independent/negative") => file.ends_with(".json"),
        Some(_) => {
            matches!(
                file,
                "secrets.json"
                    | "cluster-lock.json"
                    | "cluster-definition.json"
                    | "charon-enr-private-key"
                    | "cluster.tar.gz"
            ) || file.starts_with("deposit-data")
                || file.starts_with("keystore-")
        }
    }
}

fn visit(folder: &Path, prefix: &str, unknown: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let below = format!("{prefix}{}", name(&path));
        if path.is_dir() {
            visit(&path, &format!("{below}/"), unknown);
        } else if !is_known(&below) {
            unknown.push(below);
        }
    }
}

#[test]
fn vectors_of_clusters_have_no_unknown_kind() {
    let Some(folder) = folder("cluster") else {
        return;
    };
    let mut unknown = Vec::new();
    visit(&folder, "", &mut unknown);
    assert!(unknown.is_empty(), "no test reads {unknown:?}");
}
