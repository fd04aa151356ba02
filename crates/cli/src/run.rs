//! `flotilla run`: the node itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use flotilla_beacon::client::{EndpointConfig, Url};
use flotilla_node::config::{
    ClusterConfig, Config, MONITORING_ADDRESS, VALIDATOR_API_ADDRESS, ValidatorApiConfig,
};
use flotilla_node::folder::Paths;
use flotilla_node::preparations::OVERRIDES_FILE_NAME;
use flotilla_node::signers::Signers;
use flotilla_p2p::Multiaddr;
use flotilla_testnet::options::parse_duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::identity::PasswordFlags;
use crate::logging::Logging;
use crate::network::CustomNetwork;
use crate::testnet::runtime;
use crate::verification::ExecutionEndpoint;

/// Run a node of a cluster.
///
/// The data folder holds what the operator was given (charon-enr-private-key, cluster-lock.json, validator_keys/) and what the node
/// adds: slashing.sqlite, which must never be copied or restored from a backup, and votes/. A folder made by Charon works unchanged.
///
/// Duties are signed by a validator client that is pointed at --validator-api-address, or by the node itself (--signer builtin).
/// This version dials peers by address (--p2p-peer).
///
/// Each flag also reads FLOTILLA_<NAME>, then CHARON_<NAME>.
///
/// Example:
///   flotilla run --data-dir .charon --signer builtin --beacon-node-endpoints http://127.0.0.1:5052 \
///     --p2p-tcp-address 0.0.0.0:3610 --p2p-peer 1=/ip4/203.0.113.7/tcp/3610
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// The node's folder; .flotilla if it exists, else .charon. Several: one process, several clusters.
    #[arg(long, value_delimiter = ',')]
    data_dir: Vec<PathBuf>,
    /// The operator's key, instead of the one in the data folder.
    #[arg(long)]
    private_key_file: Option<PathBuf>,
    /// The cluster lock, instead of the one in the data folder.
    #[arg(long)]
    lock_file: Option<PathBuf>,
    /// The folder of keystores, instead of the one in the data folder.
    #[arg(long)]
    validator_keys_dir: Option<PathBuf>,
    /// One file with the password of all keystores, instead of NAME.txt beside each NAME.json.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Who signs: `builtin` or `vc`, a validator client. A share has one signer (S7).
    #[arg(long, default_value = "vc", value_parser = ["vc", "builtin"])]
    signer: String,
    /// Other signers for single validators: a file with lines `0x<PUBLIC KEY> builtin` or `0x<PUBLIC KEY> vc`.
    #[arg(long)]
    signer_file: Option<PathBuf>,
    /// The slashing database knows another signer for these shares; take over from it.
    #[arg(long)]
    change_signer: bool,
    /// Take a lock that does not verify, with a warning.
    #[arg(long)]
    no_verify: bool,
    /// Builder registrations newer than the lock's, instead of builder_registrations_overrides.json in the data folder; read again
    /// when it changes. With several data folders each has its own.
    #[arg(long)]
    overrides_file: Option<PathBuf>,
    /// Register the validators for blocks of builders; the same on all nodes of the cluster.
    #[arg(long)]
    builder_api: bool,
    /// Rehearse proposals: each validator signs a block an epoch that is not submitted. Test networks only; the same on all
    /// nodes of the cluster.
    #[arg(long)]
    synthetic_block_proposals: bool,
    /// Mark the key file as used with a time stamp beside it, and respect the mark of a Charon process.
    #[arg(long)]
    private_key_file_lock: bool,
    #[command(flatten)]
    identity: PasswordFlags,
    #[command(flatten)]
    execution: ExecutionEndpoint,
    /// Shown to peers, at most 32 bytes.
    #[arg(long, default_value = "")]
    nickname: String,

    /// Beacon nodes, best first.
    #[arg(
        long,
        value_delimiter = ',',
        required = true,
        help_heading = "Beacon node"
    )]
    beacon_node_endpoints: Vec<Url>,
    /// Beacon nodes that are asked when the others fail.
    #[arg(long, value_delimiter = ',', help_heading = "Beacon node")]
    fallback_beacon_node_endpoints: Vec<Url>,
    /// Longest wait for an answer [default: a quarter of the slot].
    #[arg(long, value_parser = parse_duration, help_heading = "Beacon node")]
    beacon_node_timeout: Option<Duration>,
    /// Longest wait for a submission [default: half a slot].
    #[arg(long, value_parser = parse_duration, help_heading = "Beacon node")]
    beacon_node_submit_timeout: Option<Duration>,
    /// Extra HTTP headers: NAME=VALUE for all beacon nodes, or PLACE:NAME=VALUE for one, counted from 0, fallbacks last.
    #[arg(long, value_delimiter = ',', value_parser = placed_header, help_heading = "Beacon node")]
    beacon_node_headers: Vec<PlacedHeader>,
    /// Text in the free bytes of our blocks: one, or one for each validator; 28 bytes, or 32 with the next flag.
    #[arg(long, value_delimiter = ',', help_heading = "Beacon node")]
    graffiti: Vec<String>,
    /// Do not append letters for the software that made the block.
    #[arg(long, help_heading = "Beacon node")]
    graffiti_disable_client_append: bool,

    /// Addresses to listen on for peers, IP:PORT. With several data folders: one each, in their order.
    #[arg(long, value_delimiter = ',', help_heading = "Peers")]
    p2p_tcp_address: Vec<SocketAddr>,
    /// Address of a peer, [CLUSTER:]INDEX=MULTIADDR; indexes from 0, CLUSTER is the place of the data folder. May be given several times.
    #[arg(long, value_delimiter = ',', value_parser = peer, help_heading = "Peers")]
    p2p_peer: Vec<Peer>,

    /// Where validator clients are served. With several data folders: one address each, or the first, the others following it.
    /// [default: 127.0.0.1:3600]
    #[arg(long, value_delimiter = ',', help_heading = "Validator client")]
    validator_api_address: Vec<SocketAddr>,
    /// Certificate chain (PEM) to serve validator clients by TLS; with --vc-tls-key-file.
    #[arg(long, requires = "vc_tls_key_file", help_heading = "Validator client")]
    vc_tls_cert_file: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, requires = "vc_tls_cert_file", help_heading = "Validator client")]
    vc_tls_key_file: Option<PathBuf>,

    /// Where /metrics, /livez, /readyz and /flotilla/… are served.
    #[arg(long, default_value = MONITORING_ADDRESS)]
    monitoring_address: SocketAddr,
    #[command(flatten)]
    custom: CustomNetwork,
    #[command(flatten)]
    logging: Logging,
}

/// Flags of the field that mean nothing here yet; launch scripts that set them keep working.
const WITHOUT_MEANING: [&str; 28] = [
    "consensus-protocol",
    "debug-address",
    "feature-set",
    "feature-set-disable",
    "feature-set-enable",
    "fetch-feerecipient-updates",
    "jaeger-address",
    "jaeger-service",
    "loki-addresses",
    "loki-service",
    "manifest-file",
    "otlp-address",
    "otlp-headers",
    "otlp-insecure",
    "otlp-service-name",
    "p2p-disable-reuseport",
    "p2p-external-hostname",
    "p2p-external-ip",
    "p2p-relays",
    "p2p-udp-address",
    "proc-directory",
    "publish-address",
    "publish-timeout",
    "simnet-beacon-mock",
    "simnet-beacon-mock-fuzz",
    "simnet-slot-duration",
    "simnet-validator-keys-dir",
    "simnet-validator-mock",
];

/// Adds the flags of the field that `run` accepts and does not use.
pub fn with_flags_of_the_field(command: Command) -> Command {
    let flag = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .hide(true)
            // Some are lists, which may be given several times.
            .action(ArgAction::Append)
            .num_args(0..=1)
            .default_missing_value("true")
    };
    command.mut_subcommand("run", |run| run.args(WITHOUT_MEANING.map(flag)))
}

/// An HTTP header as a flag has it.
pub fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A header for all beacon nodes, or for one.
#[derive(Clone)]
struct PlacedHeader {
    place: Option<usize>,
    header: (String, String),
}

/// Names of headers have no colon, so a place before one is told apart.
fn placed_header(text: &str) -> Result<PlacedHeader, String> {
    let place = text
        .split_once(':')
        .and_then(|(place, rest)| Some((place.parse().ok()?, rest)));
    let (place, text) = match place {
        Some((place, rest)) => (Some(place), rest),
        None => (None, text),
    };
    Ok(PlacedHeader {
        place,
        header: header(text)?,
    })
}

#[derive(Clone, Debug, PartialEq)]
struct Peer {
    cluster: usize,
    index: usize,
    address: Multiaddr,
}

fn peer(text: &str) -> Result<Peer, String> {
    let parse = || {
        let (place, address) = text.split_once('=')?;
        let (cluster, index) = place.split_once(':').unwrap_or(("0", place));
        Some(Peer {
            cluster: cluster.parse().ok()?,
            index: index.parse().ok()?,
            address: address.parse().ok()?,
        })
    };
    parse().ok_or_else(|| {
        format!("{text}: expected INDEX=MULTIADDR, such as 1=/ip4/203.0.113.7/tcp/3610")
    })
}

/// `.flotilla` if it exists, else `.charon`.
pub fn default_data_dir() -> PathBuf {
    let ours = Path::new(".flotilla");
    if ours.is_dir() {
        ours.to_owned()
    } else {
        PathBuf::from(".charon")
    }
}

/// Runs the node until SIGINT or SIGTERM.
pub fn execute(
    arguments: Arguments,
    matches: &ArgMatches,
    warnings: &[String],
) -> anyhow::Result<()> {
    arguments.logging.start()?;
    warnings.iter().for_each(|warning| warn!("{warning}"));
    if let Some(run) = matches.subcommand_matches("run") {
        let given = |name: &&str| run.value_source(name) == Some(ValueSource::CommandLine);
        for name in WITHOUT_MEANING.iter().filter(|name| given(name)) {
            warn!("--{name} is accepted but has no effect in this version");
        }
    }
    let config = arguments.config()?;
    let runtime = runtime()?;
    let stop = CancellationToken::new();
    let result = runtime.block_on(async {
        tokio::spawn(cancel_on_signal(stop.clone()));
        flotilla_node::run(config, stop).await
    });
    // Requests that still hang must not hold up the exit.
    runtime.shutdown_background();
    Ok(result?)
}

async fn cancel_on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return warn!("signals cannot be listened for; stop this process with SIGKILL");
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
    }
    stop.cancel();
}

impl Arguments {
    fn config(self) -> anyhow::Result<Config> {
        ensure!(
            self.nickname.len() <= 32,
            "--nickname has {} bytes, at most 32 are shown",
            self.nickname.len()
        );
        let clusters = self.clusters()?;
        let custom_network = self.custom.network()?;
        let beacon_nodes = self.beacon_nodes()?;
        Ok(Config {
            clusters,
            beacon_nodes,
            beacon_timeout: self.beacon_node_timeout,
            beacon_submit_timeout: self.beacon_node_submit_timeout,
            monitoring: self.monitoring_address,
            custom_network,
            no_verify: self.no_verify,
            builder_api: self.builder_api,
            synthetic_proposals: self.synthetic_block_proposals,
            execution_client: self.execution.address(),
            graffiti: self.graffiti,
            graffiti_names_client: !self.graffiti_disable_client_append,
            nickname: self.nickname,
        })
    }

    fn beacon_nodes(&self) -> anyhow::Result<Vec<EndpointConfig>> {
        let primaries = self.beacon_node_endpoints.iter().cloned();
        let fallbacks = self.fallback_beacon_node_endpoints.iter().cloned();
        let mut nodes: Vec<EndpointConfig> = primaries
            .map(EndpointConfig::primary)
            .chain(fallbacks.map(EndpointConfig::fallback))
            .collect();
        let count = nodes.len();
        for PlacedHeader { place, header } in &self.beacon_node_headers {
            match place {
                None => nodes
                    .iter_mut()
                    .for_each(|node| node.headers.push(header.clone())),
                Some(place) => nodes
                    .get_mut(*place)
                    .with_context(|| {
                        format!(
                            "--beacon-node-headers {place}:{}=…: there are {count} beacon nodes, counted from 0",
                            header.0
                        )
                    })?
                    .headers
                    .push(header.clone()),
            }
        }
        Ok(nodes)
    }

    fn clusters(&self) -> anyhow::Result<Vec<ClusterConfig>> {
        let all = self.paths()?;
        let count = all.len();
        ensure!(
            count == 1 || self.p2p_tcp_address.is_empty() || self.p2p_tcp_address.len() == count,
            "--p2p-tcp-address has {} entries; with {count} data folders give one for each, or none",
            self.p2p_tcp_address.len()
        );
        if let Some(peer) = self.p2p_peer.iter().find(|peer| peer.cluster >= count) {
            bail!(
                "--p2p-peer {}:{}=…: there are {count} data folders, counted from 0",
                peer.cluster,
                peer.index
            );
        }
        let signers = self.signers()?;
        let addresses = self.validator_api_addresses(count)?;
        let tls = self
            .vc_tls_cert_file
            .clone()
            .zip(self.vc_tls_key_file.clone());
        let cluster = |(place, paths): (usize, Paths)| {
            let mut peers: BTreeMap<usize, Vec<Multiaddr>> = BTreeMap::new();
            for peer in self.p2p_peer.iter().filter(|peer| peer.cluster == place) {
                peers
                    .entry(peer.index)
                    .or_default()
                    .push(peer.address.clone());
            }
            let listen = match count {
                1 => self.p2p_tcp_address.clone(),
                _ => self
                    .p2p_tcp_address
                    .get(place)
                    .copied()
                    .into_iter()
                    .collect(),
            };
            ClusterConfig {
                overrides_file: self
                    .overrides_file
                    .clone()
                    .filter(|_| count == 1)
                    .unwrap_or_else(|| paths.data.join(OVERRIDES_FILE_NAME)),
                paths,
                identity_password: self.identity.password(),
                key_file_lock: self.private_key_file_lock,
                password_file: self.password_file.clone(),
                validator_api: ValidatorApiConfig {
                    address: addresses[place],
                    is_needed: !self.validator_api_address.is_empty() || self.signer != "builtin",
                    tls: tls.clone(),
                },
                signers: signers.clone(),
                change_signer: self.change_signer,
                listen,
                peers,
            }
        };
        Ok(all.into_iter().enumerate().map(cluster).collect())
    }

    fn signers(&self) -> anyhow::Result<Signers> {
        let signers = Signers::all(self.signer == "builtin");
        let Some(path) = &self.signer_file else {
            return Ok(signers);
        };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("--signer-file {}", path.display()))?;
        signers
            .with_file(&text)
            .with_context(|| format!("--signer-file {}", path.display()))
    }

    /// One address for each cluster; from a single one on, ports are counted up.
    fn validator_api_addresses(&self, count: usize) -> anyhow::Result<Vec<SocketAddr>> {
        let usual = VALIDATOR_API_ADDRESS.parse().context("the usual address")?;
        let given = match self.validator_api_address.is_empty() {
            true => vec![usual],
            false => self.validator_api_address.clone(),
        };
        if let [first] = given[..] {
            let following = |place: usize| {
                let step = if first.port() == 0 {
                    0
                } else {
                    u16::try_from(place).ok()?
                };
                Some(SocketAddr::new(first.ip(), first.port().checked_add(step)?))
            };
            return (0..count)
                .map(following)
                .collect::<Option<_>>()
                .context("--validator-api-address: not enough ports after this one");
        }
        ensure!(
            given.len() == count,
            "--validator-api-address has {} entries; with {count} data folders give one for each, or one",
            given.len()
        );
        Ok(given)
    }

    fn paths(&self) -> anyhow::Result<Vec<Paths>> {
        let single = [
            &self.private_key_file,
            &self.lock_file,
            &self.validator_keys_dir,
        ];
        let named = single.iter().any(|file| file.is_some());
        ensure!(
            !(named && self.data_dir.len() > 1),
            "--private-key-file, --lock-file and --validator-keys-dir name the files of one cluster; leave them out with several --data-dir"
        );
        if !named && !self.data_dir.is_empty() {
            return Ok(self
                .data_dir
                .iter()
                .map(|folder| Paths::in_folder(folder))
                .collect());
        }
        // State of our own lies in the data folder, or beside the key file.
        let beside_key = || {
            self.private_key_file
                .as_ref()
                .and_then(|key| key.parent())
                .map(Path::to_owned)
        };
        let folder = self
            .data_dir
            .first()
            .cloned()
            .or_else(beside_key)
            .unwrap_or_else(default_data_dir);
        let usual = Paths::in_folder(&folder);
        Ok(vec![Paths {
            data: folder,
            identity: self.private_key_file.clone().unwrap_or(usual.identity),
            lock: self.lock_file.clone().unwrap_or(usual.lock),
            keystores: self.validator_keys_dir.clone().unwrap_or(usual.keystores),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_by_index_and_cluster() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/3610".parse().expect("a multiaddress");
        assert_eq!(
            peer("2=/ip4/127.0.0.1/tcp/3610"),
            Ok(Peer {
                cluster: 0,
                index: 2,
                address: address.clone()
            })
        );
        assert_eq!(
            peer("1:2=/ip4/127.0.0.1/tcp/3610"),
            Ok(Peer {
                cluster: 1,
                index: 2,
                address
            })
        );
        assert!(peer("2=nowhere").is_err());
    }
}
