//! Runs a testnet: folders, links, chain and processes; then slot after slot of faults, listening and judging.

mod faults;
mod folders;
mod launch;
mod metrics;
mod node;
mod outcomes;
mod ports;
mod start;
mod truth;
mod usage;
mod watch;

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use flotilla_types::PublicKeyBytes;

pub use folders::FolderError;
pub use launch::{NODE_COMMAND, PROXY_COMMAND, node_main};
pub use truth::ForeignError;

use crate::options::{Options, UsageError};
use crate::proxy::ProxyError;
use crate::report::Report;

/// Why a testnet did not start. The process exits with code 2.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Options that do not go together.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The folders could not be made.
    #[error(transparent)]
    Folders(#[from] FolderError),
    /// A validator's key in the lock is no BLS public key.
    #[error("the lock's validator {0} is not a valid public key")]
    ValidatorKey(PublicKeyBytes),
    /// Somebody else's beacon node does not tell what its chain is, or it is another one.
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    /// The proxy between the nodes did not start.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The operating system refused something.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// A node ended before genesis.
    #[error("node {node} ended before genesis ({status}); its log {} ends with:\n{tail}", log.display())]
    NodeEnded {
        /// Its index.
        node: usize,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
}

impl StartError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| StartError::Io { what, error }
    }
}

/// Runs a testnet to its end: the last slot, or Ctrl-C. `program` is the `flotilla` binary; its hidden subcommands
/// [`NODE_COMMAND`] and [`PROXY_COMMAND`] must call [`node_main`] and [`proxy::main`](crate::proxy::main).
///
/// All processes have ended when this returns, and also when its future is dropped.
///
/// # Errors
/// The testnet could not be started. What goes wrong later is in the report.
pub async fn run(options: &Options, program: PathBuf) -> Result<Report, StartError> {
    options.validate()?;
    if options.cluster.is_none() {
        // Otherwise only the lock tells how many nodes there are.
        options.validate_faults(options.nodes)?;
    }
    start::start(options, program).await?.run().await
}
