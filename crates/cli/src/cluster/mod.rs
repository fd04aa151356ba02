//! `flotilla cluster …`: looking at what operators hold.

pub mod show;
pub mod verify;

use std::path::{Path, PathBuf};

use flotilla_cluster::{Definition, Lock, ParseError};
use flotilla_node::folder::{self, Paths};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::run::default_data_dir;

/// A file of the field.
enum ClusterFile {
    Lock(Box<Lock>),
    Definition(Box<Definition>),
}

impl ClusterFile {
    /// Tells a lock from a definition by the member that only a lock has. Nothing is built in memory for that: what the file holds
    /// is bounded by the parsers of either.
    fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        #[derive(Deserialize)]
        struct Probe {
            cluster_definition: Option<IgnoredAny>,
        }
        let is_lock = serde_json::from_slice::<Probe>(bytes)
            .is_ok_and(|probe| probe.cluster_definition.is_some());
        match is_lock {
            true => Lock::parse(bytes).map(|lock| Self::Lock(Box::new(lock))),
            false => {
                Definition::parse(bytes).map(|definition| Self::Definition(Box::new(definition)))
            }
        }
    }

    fn definition(&self) -> &Definition {
        match self {
            Self::Lock(lock) => &lock.definition,
            Self::Definition(definition) => definition,
        }
    }
}

/// The file that a person means: itself, the lock in a folder, or the one in the data folder.
fn lock_in(path: Option<&Path>) -> PathBuf {
    let path = path.map_or_else(default_data_dir, Path::to_owned);
    match path.is_dir() {
        true => Paths::in_folder(&path).lock,
        false => path,
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(folder::read(
        path,
        "name a cluster-lock.json, a cluster-definition.json, or a node's folder",
    )?)
}
