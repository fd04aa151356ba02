//! The folders of a run: a new cluster, or a copy of one that exists.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use flotilla_cluster::create::{
    self, CreateError, Created, IDENTITY_KEY_FILE, KEYSTORE_FOLDER, LOCK_FILE,
};
use flotilla_cluster::{
    Cost, Creator, DEFAULT_GAS_LIMIT, Lock, Network, NewDefinition, NewDefinitionError, Operator,
    ParseError, ValidatorAddresses, Version,
};
use flotilla_crypto::SecretKey;
use flotilla_types::{ForkVersion, PublicKeyBytes, Root};
use serde::Deserialize;

use super::launch::CHAIN_ID;
use crate::options::Options;

/// Genesis fork version of chains with new clusters: none of a public network.
const FORK_VERSION: ForkVersion = ForkVersion([0x10, 0xf1, 0x07, 0x11]);
/// Receives fees and withdrawals: nothing is ever paid on this chain.
const NOBODY: &str = "0x000000000000000000000000000000000000dEaD";
/// What a split cluster's nodes import when they first start.
const HISTORY_FILE: &str = "slashing-protection.json";
/// Date of definitions, which nobody signs.
const TIMESTAMP: &str = "2026-01-01T00:00:00Z";

/// Why the folders could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file or folder could not be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The folder of the run holds something already.
    #[error("{0} is not empty; name a new folder with --dir")]
    NotEmpty(PathBuf),
    /// The folder given holds no cluster.
    #[error("{0} has no folder node0; --cluster takes a folder as `create cluster` writes it")]
    NoCluster(PathBuf),
    /// Some operators' folders are missing.
    #[error("{path} has the folders of {found} nodes, its lock names {expected} operators")]
    MissingNodes {
        /// The cluster's folder.
        path: PathBuf,
        /// Folders found.
        found: usize,
        /// Operators in the lock.
        expected: usize,
    },
    /// The lock cannot be read.
    #[error("{path}: {error}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What is wrong with it.
        error: ParseError,
    },
    /// The history beside the keys cannot be read.
    #[error("{path} is no EIP-3076 file: {error}")]
    History {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The choices for a new cluster do not go together.
    #[error(transparent)]
    Definition(#[from] NewDefinitionError),
    /// The new cluster could not be made.
    #[error(transparent)]
    Create(#[from] CreateError),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |error| FolderError::Io { path, error }
}

/// A cluster on disk, ready to run.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Each node's folder, by index.
    pub(super) nodes: Vec<PathBuf>,
    /// Group public keys.
    pub(super) validators: Vec<PublicKeyBytes>,
    /// Genesis fork version of the chain it is for.
    pub(super) fork_version: ForkVersion,
    /// Shares needed to sign.
    pub(super) threshold: usize,
    /// The validators' whole keys, if they were made for this run: the chain judges with them who should have aggregated.
    pub(super) secrets: Vec<Arc<SecretKey>>,
    /// The chain that the nodes' slashing histories are of, if they have any.
    pub(super) genesis_validators_root: Option<Root>,
}

impl Cluster {
    fn of(lock: &Lock, nodes: Vec<PathBuf>) -> Self {
        Cluster {
            nodes,
            validators: lock
                .validators()
                .iter()
                .map(|validator| validator.public_key)
                .collect(),
            fork_version: lock.fork_version(),
            threshold: lock.threshold(),
            secrets: Vec::new(),
            genesis_validators_root: None,
        }
    }
}

/// The folder of a run. A temporary one is removed when dropped, unless kept.
#[derive(Debug)]
pub(super) struct RunDir {
    path: PathBuf,
    temporary: bool,
}

impl RunDir {
    /// Makes the folder asked for, or a temporary one.
    pub(super) fn create(asked: Option<&Path>) -> Result<Self, FolderError> {
        let Some(path) = asked else {
            let nanos = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos();
            let path = std::env::temp_dir()
                .join(format!("flotilla-testnet-{}-{nanos}", std::process::id()));
            private_folder(&path)?;
            return Ok(RunDir {
                path,
                temporary: true,
            });
        };
        // Absolute, because nodes are told of it.
        let path = std::path::absolute(path).map_err(at(path))?;
        private_folder(&path)?;
        if fs::read_dir(&path).map_err(at(&path))?.next().is_some() {
            return Err(FolderError::NotEmpty(path));
        }
        Ok(RunDir {
            path,
            temporary: false,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a temporary folder, and returns where it is.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.temporary = false;
        self.path.clone()
    }

    /// Whether the folder outlives the run.
    pub(super) fn is_kept(&self) -> bool {
        !self.temporary
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if self.temporary {
            // What cannot be removed stays in the system's folder for temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Makes the cluster that `options` ask for, inside `dir`.
pub(super) fn prepare(options: &Options, dir: &Path) -> Result<Cluster, FolderError> {
    match &options.cluster {
        Some(source) => copy_cluster(source, dir),
        None => new_cluster(options, dir),
    }
}

fn new_cluster(options: &Options, dir: &Path) -> Result<Cluster, FolderError> {
    let (created, secrets) = create_keys(options)?;
    let mut nodes = Vec::new();
    let lock = created.lock.clone();
    for (index, files) in created.into_files().into_iter().enumerate() {
        let node = dir.join(format!("node{index}"));
        private_folder(&node)?;
        private_folder(&node.join(KEYSTORE_FOLDER))?;
        for file in files {
            write_file(&node.join(&file.path), file.mode, &file.bytes)?;
        }
        nodes.push(node);
    }
    Ok(Cluster {
        secrets,
        ..Cluster::of(&lock, nodes)
    })
}

/// Makes keys and lock in memory, and returns the whole keys besides. Keystores are cheap ones: the passwords lie beside them, and nothing is at stake.
fn create_keys(options: &Options) -> Result<(Created, Vec<Arc<SecretKey>>), FolderError> {
    let network = Network {
        name: "flotilla-testnet".into(),
        chain_id: CHAIN_ID,
        genesis_fork_version: FORK_VERSION,
        genesis_time: 0,
        capella_fork_version: None,
    };
    let addresses = ValidatorAddresses {
        fee_recipient: NOBODY.into(),
        withdrawal: NOBODY.into(),
    };
    let definition = NewDefinition {
        version: Version::LATEST,
        name: "testnet".into(),
        operators: vec![Operator::default(); options.nodes],
        creator: Creator::default(),
        threshold: Some(options.threshold_of(options.nodes)),
        validators: vec![addresses; options.validators],
        timestamp: TIMESTAMP.into(),
        network: &network,
        dkg_algorithm: "default".into(),
        deposit_amounts: Vec::new(),
        consensus_protocol: String::new(),
        target_gas_limit: DEFAULT_GAS_LIMIT,
        compounding: false,
    };
    let mut rng = rand::rng();
    let definition = definition.build(&mut rng)?;
    let keys: Vec<SecretKey> = (0..options.validators)
        .map(|_| SecretKey::generate(&mut rng))
        .collect();
    let secrets = keys.iter().cloned().map(Arc::new).collect();
    let request = create::Request {
        existing_keys: Some(keys),
        keystore_cost: Cost::INSECURE,
        ..create::Request::new(definition, &network)
    };
    Ok((create::cluster(request, &mut rng)?, secrets))
}

/// Copies keys and locks only: databases of an earlier life belong to another chain.
fn copy_cluster(source: &Path, dir: &Path) -> Result<Cluster, FolderError> {
    let sources: Vec<PathBuf> = (0..)
        .map(|index| source.join(format!("node{index}")))
        .take_while(|node| node.is_dir())
        .collect();
    let first = sources
        .first()
        .ok_or_else(|| FolderError::NoCluster(source.to_owned()))?;
    let lock_file = first.join(LOCK_FILE);
    let bytes = fs::read(&lock_file).map_err(at(&lock_file))?;
    let lock = Lock::parse(&bytes).map_err(|error| FolderError::Lock {
        path: lock_file,
        error,
    })?;
    let (found, expected) = (sources.len(), lock.operators().len());
    if found != expected {
        return Err(FolderError::MissingNodes {
            path: source.to_owned(),
            found,
            expected,
        });
    }
    let mut nodes = Vec::new();
    let mut genesis_validators_root = None;
    for (index, from) in sources.iter().enumerate() {
        let to = dir.join(format!("node{index}"));
        private_folder(&to)?;
        copy_file(
            &from.join(IDENTITY_KEY_FILE),
            &to.join(IDENTITY_KEY_FILE),
            0o600,
        )?;
        copy_file(&from.join(LOCK_FILE), &to.join(LOCK_FILE), 0o400)?;
        let history = from.join(HISTORY_FILE);
        if history.exists() {
            genesis_validators_root = Some(chain_of(&history)?);
            copy_file(&history, &to.join(HISTORY_FILE), 0o600)?;
        }
        let (from, to) = (from.join(KEYSTORE_FOLDER), to.join(KEYSTORE_FOLDER));
        private_folder(&to)?;
        for entry in fs::read_dir(&from).map_err(at(&from))? {
            let entry = entry.map_err(at(&from))?;
            if entry.file_type().map_err(at(&entry.path()))?.is_file() {
                copy_file(&entry.path(), &to.join(entry.file_name()), 0o400)?;
            }
        }
        nodes.push(dir.join(format!("node{index}")));
    }
    Ok(Cluster {
        genesis_validators_root,
        ..Cluster::of(&lock, nodes)
    })
}

/// The chain that a slashing history (EIP-3076) is of: a node imports no other.
fn chain_of(path: &Path) -> Result<Root, FolderError> {
    #[derive(Deserialize)]
    struct History {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        genesis_validators_root: Root,
    }
    let bytes = fs::read(path).map_err(at(path))?;
    serde_json::from_slice(&bytes)
        .map(|History { metadata }| metadata.genesis_validators_root)
        .map_err(|error| FolderError::History {
            path: path.to_owned(),
            error,
        })
}

/// A folder only its owner can look into; one that exists stays as it is.
fn private_folder(path: &Path) -> Result<(), FolderError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> Result<(), FolderError> {
    let bytes = fs::read(from).map_err(at(from))?;
    write_file(to, mode, &bytes)
}

/// Writes a file that is there in whole or not at all.
fn write_file(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), FolderError> {
    let partial = path.with_extension("partial");
    let write = || {
        let mut file: File = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&partial)?;
        file.write_all(bytes)?;
        fs::rename(&partial, path)
    };
    write().map_err(at(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn options() -> Options {
        Options {
            nodes: 3,
            threshold: Some(2),
            validators: 2,
            ..Options::default()
        }
    }

    #[test]
    fn a_new_cluster_has_a_folder_for_each_node() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = prepare(&options(), dir.path()).unwrap();
        assert_eq!(
            (
                cluster.nodes.len(),
                cluster.validators.len(),
                cluster.threshold
            ),
            (3, 2, 2)
        );
        for node in &cluster.nodes {
            let mode =
                |name: &str| fs::metadata(node.join(name)).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(IDENTITY_KEY_FILE), mode(LOCK_FILE)), (0o600, 0o400));
            assert_eq!(fs::read_dir(node.join(KEYSTORE_FOLDER)).unwrap().count(), 4);
        }
    }

    #[test]
    fn an_existing_cluster_is_copied_without_its_databases() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("source"), dir.path().join("target"));
        let original = prepare(&options(), &source).unwrap();
        fs::write(source.join("node0/slashing.sqlite"), "x").unwrap();
        let copy = prepare(
            &Options {
                cluster: Some(source.clone()),
                ..options()
            },
            &target,
        )
        .unwrap();
        assert_eq!(copy.validators, original.validators);
        assert!(!target.join("node0/slashing.sqlite").exists());
        let lock = |dir: &Path| fs::read(dir.join("node2").join(LOCK_FILE)).unwrap();
        assert_eq!(lock(&source), lock(&target));
    }

    #[test]
    fn a_folder_without_all_nodes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        let copy = |source: &Path| copy_cluster(source, &dir.path().join("target")).unwrap_err();
        assert!(matches!(copy(&source), FolderError::NoCluster(_)));
        prepare(&options(), &source).unwrap();
        fs::remove_dir_all(source.join("node2")).unwrap();
        assert!(matches!(
            copy(&source),
            FolderError::MissingNodes {
                found: 2,
                expected: 3,
                ..
            }
        ));
    }

    /// Whole node directories of other implementations run as they are.
    #[test]
    fn vectors_of_whole_clusters_are_copied() {
        let given = std::env::var_os("FLOTILLA_VECTORS").map(PathBuf::from);
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
        let root = given.clone().unwrap_or(default).join("cluster");
        if given.is_none() && !root.is_dir() {
            eprintln!("no vectors: skipped");
            return;
        }
        let mut copied = 0;
        for family in ["charon-created", "independent"] {
            for entry in fs::read_dir(root.join(family)).unwrap() {
                let source = entry.unwrap().path();
                if !source.join("node0").is_dir() {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                let cluster = copy_cluster(&source, dir.path()).unwrap();
                let keystores =
                    |node: &PathBuf| fs::read_dir(node.join(KEYSTORE_FOLDER)).unwrap().count();
                let expected = 2 * cluster.validators.len();
                assert!(
                    cluster.nodes.iter().all(|node| keystores(node) == expected),
                    "{}",
                    source.display()
                );
                copied += 1;
            }
        }
        assert!(copied > 0);
    }

    #[test]
    fn a_run_never_takes_a_folder_with_something_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            RunDir::create(Some(&dir.path().join("new")))
                .unwrap()
                .is_kept()
        );
        assert!(matches!(
            RunDir::create(Some(dir.path())),
            Err(FolderError::NotEmpty(_))
        ));
    }

    #[test]
    fn a_temporary_folder_goes_unless_it_is_kept() {
        let gone = RunDir::create(None).unwrap().path().to_owned();
        assert!(!gone.exists());
        let kept = RunDir::create(None).unwrap().keep();
        assert!(kept.exists());
        fs::remove_dir(kept).unwrap();
    }
}
