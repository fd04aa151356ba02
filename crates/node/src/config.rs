//! What a node is told once: where its files are, whom it talks to, who signs.
//!
//! Defaults stand here and nowhere else; `cli` fills in what the command line, the environment or a file says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flotilla_beacon::client::EndpointConfig;
use flotilla_cluster::Network;
use flotilla_p2p::Multiaddr;

use crate::folder::{IdentityPassword, Paths};
use crate::signers::Signers;

/// A node: what its clusters share, and the clusters.
#[derive(Clone, Debug)]
pub struct Config {
    /// The clusters, at least one.
    pub clusters: Vec<ClusterConfig>,
    /// Beacon nodes, primaries and fallbacks, each kind in order of preference; at least one.
    pub beacon_nodes: Vec<EndpointConfig>,
    /// Longest wait for a beacon node's answer; follows from the slot if not given.
    pub beacon_timeout: Option<Duration>,
    /// Longest wait for a beacon node to accept a submission; follows from the slot if not given.
    pub beacon_submit_timeout: Option<Duration>,
    /// Where `/metrics`, `/livez`, `/readyz` and `/flotilla/…` are served.
    pub monitoring: SocketAddr,
    /// A network besides the public ones.
    pub custom_network: Option<Network>,
    /// Take a lock whose hashes or signatures do not verify, with a warning.
    pub no_verify: bool,
    /// JSON-RPC address of an execution client that is asked about signatures of contract wallets (ERC-1271).
    pub execution_client: Option<String>,
    /// Whether blocks of builders are wanted: validators are registered for them.
    pub builder_api: bool,
    /// Whether proposals are rehearsed: each validator signs a block an epoch that nobody submits. Refused where deposits are
    /// real money.
    pub synthetic_proposals: bool,
    /// The free bytes of our blocks: none, one text for all, or one for each validator.
    pub graffiti: Vec<String>,
    /// Whether graffiti says which software made the block.
    pub graffiti_names_client: bool,
    /// Shown to peers and in metrics; at most 32 bytes.
    pub nickname: String,
}

/// One cluster of a node.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// Its files.
    pub paths: Paths,
    /// Builder registrations newer than the lock's; need not exist.
    pub overrides_file: PathBuf,
    /// Opens the identity key if it is encrypted.
    pub identity_password: IdentityPassword,
    /// Mark the identity key as used with Charon's time-stamped file, and respect the mark of others.
    pub key_file_lock: bool,
    /// One file with the password of all keystores, instead of a file beside each.
    pub password_file: Option<PathBuf>,
    /// Where validator clients are served.
    pub validator_api: ValidatorApiConfig,
    /// Who makes this node's partial signatures (S7).
    pub signers: Signers,
    /// The signer that the database knows is to be replaced by these.
    pub change_signer: bool,
    /// TCP addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Known addresses of peers, by peer index.
    pub peers: BTreeMap<usize, Vec<Multiaddr>>,
}

/// Where validator clients are served.
#[derive(Clone, Debug)]
pub struct ValidatorApiConfig {
    /// The address.
    pub address: SocketAddr,
    /// Whether nothing works without it: a validator client signs, or the operator has named the address.
    pub is_needed: bool,
    /// Certificate chain and private key, both PEM files, to serve TLS.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Where validator clients are served, unless said otherwise.
pub const VALIDATOR_API_ADDRESS: &str = "127.0.0.1:3600";
/// Where the monitoring server listens, unless said otherwise.
pub const MONITORING_ADDRESS: &str = "127.0.0.1:3620";
