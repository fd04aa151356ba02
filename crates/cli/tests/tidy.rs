//! Holds the shape: which room may depend on which, what pure rooms leave out, and that links in documents lead somewhere.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rooms by layer, lowest first. A room may depend on rooms of lower layers only.
const LAYERS: [&[&str]; 6] = [
    &["types", "crypto", "qbft"],
    &["duty", "cluster"],
    &["dkg"],
    &["wire", "p2p", "beacon"],
    &["node", "simulator"],
    &["testnet", "cli"],
];
/// Rooms without sockets, clocks, tasks and unordered maps.
const PURE: [&str; 7] = [
    "types",
    "crypto",
    "qbft",
    "duty",
    "cluster",
    "wire",
    "simulator",
];
const IMPURE_CRATES: [&str; 6] = ["tokio", "libp2p", "reqwest", "axum", "rusqlite", "futures"];
const IMPURE_WORDS: [&str; 7] = [
    "std::net",
    "Instant::now",
    "SystemTime",
    "thread::spawn",
    "HashMap",
    "HashSet",
    "async fn",
];

fn folder(room: &str) -> PathBuf {
    let root = workspace();
    if room == "testnet" {
        root.join(room)
    } else {
        root.join("crates").join(room)
    }
}

fn layer(room: &str) -> usize {
    LAYERS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .unwrap_or_else(|| panic!("{room} is in no layer"))
}

/// The lines of `[dependencies]`, without dev and build dependencies.
fn dependencies(room: &str) -> Vec<String> {
    let manifest = fs::read_to_string(folder(room).join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside
            && let Some(name) = line
                .split(['.', ' ', '='])
                .next()
                .filter(|name| !name.is_empty())
        {
            found.push(name.to_owned());
        }
    }
    found
}

fn rooms() -> Vec<String> {
    let crates = fs::read_dir(workspace().join("crates")).unwrap();
    let mut rooms: Vec<String> = crates
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    rooms.push("testnet".into());
    rooms
}

#[test]
fn dependencies_point_down() {
    for room in rooms() {
        for dependency in dependencies(&room) {
            if let Some(below) = dependency.strip_prefix("flotilla-") {
                // The terminal shows the testnet, which lies in its own layer.
                let allowed = layer(below) < layer(&room) || (room == "cli" && below == "testnet");
                assert!(allowed, "{room} depends on {below}, which is not below it");
            }
        }
    }
}

#[test]
fn pure_rooms_use_no_crates_that_touch_the_world() {
    for room in PURE {
        for dependency in dependencies(room) {
            assert!(
                !IMPURE_CRATES.contains(&dependency.as_str()),
                "{room} is pure and depends on {dependency}"
            );
        }
    }
}

#[test]
fn only_crypto_uses_threshold_crypto() {
    for room in rooms().iter().filter(|room| *room != "crypto") {
        assert!(
            !dependencies(room)
                .iter()
                .any(|name| name == "threshold_crypto"),
            "{room} uses threshold_crypto"
        );
    }
}

fn sources(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

#[test]
fn pure_rooms_have_no_clock_socket_task_or_unordered_map() {
    for room in PURE {
        let mut files = Vec::new();
        sources(&folder(room).join("src"), "rs", &mut files);
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            for (number, line) in code
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                for word in IMPURE_WORDS {
                    assert!(
                        !line.contains(word),
                        "{}:{}: {word} in a pure room",
                        file.display(),
                        number + 1
                    );
                }
            }
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = workspace();
    let mut documents: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ]
    .map(|name| root.join(name))
    .into();
    sources(&root.join("docs"), "md", &mut documents);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
        {
            if !link.is_empty() && !link.contains("://") {
                let target = document.parent().unwrap().join(link);
                assert!(
                    target.exists(),
                    "{} links to {link}, which is not there",
                    document.display()
                );
            }
        }
    }
}
