//! The simulator alone, for a cluster that somebody else runs: one endpoint, and statistics at `GET /flotilla/stats`.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    Chain, ChainSpec, ForkVersion, ListSizes, ParseBytesError, PublicKeyBytes, Root, Timestamp,
};

use super::Server;
use crate::chain::{Config, Extras, Seed, Simulator, now};
use crate::options::Preset;

/// The largest file of public keys that is read: some ten thousand keys.
const LARGEST_FILE: u64 = 1024 * 1024;

/// What to serve.
#[derive(Clone, Debug)]
pub struct Standalone {
    /// Group public keys in hex, one a line; blank lines and what follows a `#` are left out.
    pub public_keys: PathBuf,
    /// Where to listen.
    pub address: SocketAddr,
    /// Length of a slot.
    pub slot_time: Duration,
    /// Slots in an epoch.
    pub slots_per_epoch: u64,
    /// List sizes of the chain.
    pub preset: Preset,
    /// Genesis fork version: that of the cluster's lock.
    pub fork_version: ForkVersion,
    /// From now to genesis.
    pub lead: Duration,
    /// Whether there is a builder.
    pub builder: bool,
    /// Everything random follows from it.
    pub seed: Seed,
}

/// Why the simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// The file of keys cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line of it is no public key.
    #[error("{path}, line {line}: {error}; one public key of 48 bytes in hex is expected")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        error: ParseBytesError,
    },
    /// A key is no point of the curve.
    #[error("{0} is not a valid public key")]
    Key(PublicKeyBytes),
    /// The address cannot be had.
    #[error("listening at {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
}

impl Standalone {
    /// Starts the chain and its endpoint, which is served until dropped.
    ///
    /// # Errors
    /// The keys cannot be read, or the address is taken.
    pub async fn start(&self) -> Result<(Arc<Simulator>, Server), StandaloneError> {
        let validators = read_keys(&self.public_keys).await?;
        let mut spec =
            ChainSpec::mainnet_like(self.slot_time, self.slots_per_epoch, self.fork_version);
        if self.preset == Preset::Minimal {
            spec.sizes = ListSizes::MINIMAL;
        }
        let genesis_time = Timestamp::from_secs((now() + self.lead).as_secs() + 1);
        let root = self.seed.bytes("genesis", genesis_time.as_secs());
        let config = Config {
            chain: Chain {
                spec,
                genesis_time,
                genesis_validators_root: Root(root),
            },
            seed: self.seed,
            validators,
        };
        let extras = Extras {
            builder: self.builder,
            ..Extras::default()
        };
        let simulator = Simulator::start_with(config, extras).map_err(StandaloneError::Key)?;
        let server = Server::bind(simulator.clone(), 0, self.address).await;
        let server = server.map_err(|error| StandaloneError::Listen {
            address: self.address,
            error,
        })?;
        Ok((simulator, server))
    }
}

async fn read_keys(path: &Path) -> Result<Vec<PublicKeyBytes>, StandaloneError> {
    let file = |error| StandaloneError::File {
        path: path.to_owned(),
        error,
    };
    let size = tokio::fs::metadata(path).await.map_err(file)?.len();
    if size > LARGEST_FILE {
        let text = format!("{size} bytes, at most {LARGEST_FILE} are read");
        return Err(file(io::Error::other(text)));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(file)?;
    let keys = text.lines().enumerate().filter_map(|(index, line)| {
        let key = line.split('#').next().unwrap_or_default().trim();
        let parsed = key.parse().map_err(|error| StandaloneError::Line {
            path: path.to_owned(),
            line: index + 1,
            error,
        });
        (!key.is_empty()).then_some(parsed)
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_crypto::SecretKey;

    use super::*;

    fn standalone(text: &str) -> (tempfile::TempDir, Standalone) {
        let dir = tempfile::tempdir().unwrap();
        let public_keys = dir.path().join("keys.txt");
        std::fs::write(&public_keys, text).unwrap();
        let standalone = Standalone {
            public_keys,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            slot_time: Duration::from_secs(3),
            slots_per_epoch: 8,
            preset: Preset::Minimal,
            fork_version: ForkVersion([1, 2, 3, 4]),
            lead: Duration::from_secs(5),
            builder: false,
            seed: Seed(1),
        };
        (dir, standalone)
    }

    fn key() -> PublicKeyBytes {
        let mut bytes = [0; 32];
        bytes[31] = 9;
        let key = SecretKey::from_bytes(&bytes).unwrap();
        PublicKeyBytes(key.public_key().to_bytes())
    }

    #[tokio::test]
    async fn keys_come_from_lines_and_statistics_are_served() {
        let text = format!("# two lines, one key\n\n{}  # the first\n", key());
        let (_dir, standalone) = standalone(&text);
        let (simulator, server) = standalone.start().await.unwrap();
        assert!(simulator.registry().index(&key()).is_some());
        let url = server.url() + "/flotilla/stats";
        let answer = crate::http::client().get(url).send().await.unwrap();
        let document: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(document["slashable"], 0);
        assert_eq!(document["kinds"], serde_json::json!({}));
    }

    #[tokio::test]
    async fn a_line_that_is_no_key_is_named() {
        let (_dir, standalone) = standalone(&format!("{}\n0x1234\n", key()));
        let error = standalone.start().await.unwrap_err().to_string();
        assert!(error.contains("keys.txt, line 2"), "{error}");
    }
}
