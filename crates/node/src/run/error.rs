//! Why a node did not start, or did not go on.

use std::io;
use std::path::PathBuf;

use flotilla_beacon::client::ConfigError;
use flotilla_beacon::server::ServeError;
use flotilla_p2p as p2p;
use flotilla_types::{ForkVersion, PublicKeyBytes, Root};
use flotilla_wire::votes;

use crate::exits::ExitsError;
use crate::folder::{FolderError, KeyFileLockError};
use crate::graffiti::GraffitiError;
use crate::lock::LockError;
use crate::monitoring::MonitoringError;
use crate::preparations::OverridesFileError;
use crate::remote::RemoteError;
use crate::shell::ShellError;
use crate::slashing::{ImportError, OpenError};
use crate::votes::VoteLogError;
use crate::workers::jobs::KeyTableError;

/// Why a node did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The validator API.
    #[error("the validator API cannot be served: {0}")]
    ValidatorApi(#[from] ServeError),
    /// The operator's graffiti.
    #[error(transparent)]
    Graffiti(#[from] GraffitiError),
    /// The exits that are being collected.
    #[error(transparent)]
    Exits(#[from] ExitsError),
    /// No cluster was named.
    #[error("no cluster was named; give a --data-dir")]
    NoCluster,
    /// The folder is in use.
    #[error(transparent)]
    InUse(#[from] LockError),
    /// The folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Two folders hold shares of one validator.
    #[error(
        "validator {validator} is in {first} and in {second}; one process must not sign for it twice, so remove one of them"
    )]
    SharedValidator {
        /// The validator.
        validator: PublicKeyBytes,
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// The lock holds a key that is none.
    #[error("{lock}: {source}")]
    Keys {
        /// The lock file.
        lock: PathBuf,
        /// What is wrong.
        source: KeyTableError,
    },
    /// Blocks for rehearsal are signed on test networks only.
    #[error(
        "{lock} is for {network}, where deposits are real money; proposals are rehearsed on test networks only, so start without \
         --synthetic-block-proposals"
    )]
    RehearsalOfRealMoney {
        /// The lock file.
        lock: PathBuf,
        /// Its network.
        network: String,
    },
    /// The file that says who signs is not about these clusters.
    #[error(
        "the signer file names validator {0}, which is in none of the clusters; remove it, or name the data folder that has it"
    )]
    StrangerInSigners(PublicKeyBytes),
    /// A lock hash of another length than 32 bytes.
    #[error("{0}: lock_hash must have 32 bytes")]
    LockHash(PathBuf),
    /// A beacon node cannot be asked at all.
    #[error(transparent)]
    Beacon(#[from] ConfigError),
    /// The beacon node is on another network than the lock.
    #[error(
        "the beacon node's chain has genesis fork version {found}, the lock in {folder} is for {expected}; connect a beacon node of \
         the cluster's network"
    )]
    WrongNetwork {
        /// The cluster's folder.
        folder: PathBuf,
        /// The lock's fork version.
        expected: ForkVersion,
        /// The beacon node's.
        found: ForkVersion,
    },
    /// Two beacon nodes are on different chains.
    #[error(
        "beacon node {endpoint} has genesis validators root {found}, the first one has {expected}; remove one of them"
    )]
    DifferentChains {
        /// The endpoint.
        endpoint: String,
        /// The first endpoint's root.
        expected: Root,
        /// This endpoint's.
        found: Root,
    },
    /// The overrides file.
    #[error(transparent)]
    Overrides(#[from] OverridesFileError),
    /// The execution client.
    #[error("--execution-client-rpc-endpoint: {0}")]
    ExecutionClient(#[from] RemoteError),
    /// The identity key is in use.
    #[error(transparent)]
    KeyFile(#[from] KeyFileLockError),
    /// The slashing database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The history that came with the folder.
    #[error(
        "{source}; the node does not start before it is imported: put a good file there, or remove it if nobody has signed for \
         these validators before"
    )]
    Import {
        /// What is wrong.
        #[from]
        source: ImportError,
    },
    /// The vote log.
    #[error(transparent)]
    VoteLog(#[from] VoteLogError),
    /// The vote log holds something that is not from this node.
    #[error(
        "{folder}: the vote log cannot be used: {source}; remove the folder votes/ to start without it"
    )]
    Votes {
        /// The cluster's folder.
        folder: PathBuf,
        /// What is wrong.
        source: Box<votes::LogError>,
    },
    /// The network.
    #[error(transparent)]
    Network(#[from] Box<p2p::Error>),
    /// The monitoring server.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// The operating system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A running node has to stop.
    #[error("{0}")]
    Stopped(String),
}

impl From<ShellError> for StartError {
    fn from(error: ShellError) -> Self {
        Self::Stopped(error.to_string())
    }
}
