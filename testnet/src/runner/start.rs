//! Brings a testnet up to its genesis.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flotilla_types::{Chain, ChainSpec, ListSizes, Root, Slot, Timestamp};
use tokio::sync::mpsc;

use super::StartError;
use super::faults::Schedule;
use super::folders::{self, Cluster, RunDir};
use super::launch::{Launch, PROXY_COMMAND};
use super::node::Node;
use super::ports::free_addresses;
use super::truth::{self, Truth};
use super::watch::{Links, Testnet};
use crate::api::Server;
use crate::chain::{Config, Extras, Simulator, now};
use crate::options::{Options, Preset, Progress};
use crate::proxy::{Proxy, Settings};
use crate::report::{Ledger, Live};

/// From the start of the processes to genesis, at least.
const LEAD: Duration = Duration::from_secs(4);
/// Added for each validator of each node: locks are verified and keystores opened, on few cores.
const LEAD_PER_SHARE: Duration = Duration::from_millis(4);
/// Outcomes waiting to be read. Beyond that the readers wait, and the nodes' streams with them.
const OUTCOMES: usize = 1_024;
/// Round trips over loopback measured, at most.
const MEASURED: usize = 200;

/// Starts everything; the run begins a few seconds later.
pub(super) async fn start(options: &Options, program: PathBuf) -> Result<Testnet, StartError> {
    let mut live = Live::new(options.progress == Progress::Quiet);
    let dir = RunDir::create(options.dir.as_deref())?;
    live.say(&format!("making the cluster in {}", dir.path().display()));
    let cluster = prepare(options, dir.path()).await?;
    options.validate_faults(cluster.nodes.len())?;

    let Ground {
        truth,
        servers,
        base,
    } = ground(options, &cluster).await?;
    let beacons: Vec<String> = match servers.as_slice() {
        [] => vec![options.beacon_nodes.join(","); cluster.nodes.len()],
        own => own.iter().map(Server::url).collect(),
    };
    let genesis = truth.chain().genesis_time;
    let (launches, links) =
        connect(options, &program, &cluster, &beacons, genesis, dir.path()).await?;
    let (sender, outcomes) = mpsc::channel(OUTCOMES);
    let mut nodes: Vec<Node> = launches
        .into_iter()
        .map(|launch| Node::new(&program, launch))
        .collect();
    let mut listeners = Vec::new();
    for (index, node) in nodes.iter_mut().enumerate() {
        node.start().map_err(StartError::io("starting a node"))?;
        node.start_client(index, options.vc_command.as_deref())
            .map_err(StartError::io("starting a validator client"))?;
        listeners.push(super::outcomes::listen(
            index,
            node.outcomes_url(),
            sender.clone(),
        ));
    }
    let (count, threshold, validators) = (
        cluster.nodes.len(),
        cluster.threshold,
        cluster.validators.len(),
    );
    let begin = truth.chain().slot_start(Slot(base));
    let wait = begin.saturating_since(now()).as_secs();
    live.say(&format!(
        "{count} nodes, threshold {threshold}, {validators} validators; slot {base} begins in {wait} s"
    ));
    live.say("stages: ms after the due point, median over validators: earliest node / all nodes");
    Ok(Testnet {
        slots: options.slots.map(|slots| base.saturating_add(slots)),
        warm_up_slots: base + options.warm_up_slots,
        schedule: Schedule::new(options),
        ledger: Ledger::new(count, base + options.warm_up_slots),
        validators,
        truth,
        base,
        servers,
        nodes,
        links,
        outcomes,
        listeners,
        ended: Vec::new(),
        live,
        client: crate::http::client(),
        dir,
    })
}

/// The chain that a run takes place on.
struct Ground {
    truth: Truth,
    /// The operators' beacon nodes, if they are ours.
    servers: Vec<Server>,
    /// The slot before the first that is judged.
    base: u64,
}

/// Starts a chain of our own whose genesis is a few seconds ahead, or finds out what somebody else's is.
async fn ground(options: &Options, cluster: &Cluster) -> Result<Ground, StartError> {
    let shares = u32::try_from(cluster.nodes.len() * cluster.validators.len()).unwrap_or(u32::MAX);
    let ready = now() + LEAD + LEAD_PER_SHARE * shares;
    if let Some(url) = options.beacon_nodes.first() {
        let client = crate::http::client();
        let chain = truth::foreign_chain(&client, url, cluster.fork_version).await?;
        let base = chain.slot_at(ready).map_or(0, |slot| slot.0 + 1);
        return Ok(Ground {
            truth: Truth::Foreign(Box::new(chain)),
            servers: Vec::new(),
            base,
        });
    }
    let genesis = Timestamp::from_secs(ready.as_secs() + 1);
    let simulator = start_chain(options, cluster, genesis)?;
    let mut servers = Vec::new();
    for operator in 0..cluster.nodes.len() {
        let server = Server::start(simulator.clone(), operator).await;
        servers.push(server.map_err(StartError::io("opening a beacon endpoint"))?);
    }
    Ok(Ground {
        truth: Truth::Simulated(simulator),
        servers,
        base: 0,
    })
}

/// Makes the cluster on a blocking thread: keys, splitting and signing take a while.
async fn prepare(options: &Options, dir: &Path) -> Result<Cluster, StartError> {
    let (options, dir) = (options.clone(), dir.to_owned());
    let made = tokio::task::spawn_blocking(move || folders::prepare(&options, &dir)).await;
    let made =
        made.map_err(|error| StartError::io("making the cluster")(std::io::Error::other(error)))?;
    Ok(made?)
}

fn start_chain(
    options: &Options,
    cluster: &Cluster,
    genesis_time: Timestamp,
) -> Result<Arc<Simulator>, StartError> {
    let mut spec = ChainSpec::mainnet_like(
        options.slot_time,
        options.slots_per_epoch,
        cluster.fork_version,
    );
    spec.name = Some("flotilla-testnet".into());
    if options.preset == Preset::Minimal {
        spec.sizes = ListSizes::MINIMAL;
    }
    let genesis_validators_root = cluster
        .genesis_validators_root
        .unwrap_or_else(|| Root(options.seed.bytes("genesis", genesis_time.as_secs())));
    let chain = Chain {
        spec,
        genesis_time,
        genesis_validators_root,
    };
    let config = Config {
        chain,
        seed: options.seed,
        validators: cluster.validators.clone(),
    };
    let extras = Extras {
        builder: options.builder,
        secrets: cluster.secrets.clone(),
    };
    Simulator::start_with(config, extras).map_err(StartError::ValidatorKey)
}

/// Decides who listens where, and puts the proxy between the nodes if links are to have latency.
async fn connect(
    options: &Options,
    program: &Path,
    cluster: &Cluster,
    beacons: &[String],
    genesis: Timestamp,
    dir: &Path,
) -> Result<(Vec<Launch>, Links), StartError> {
    let count = cluster.nodes.len();
    let ports = free_addresses(3 * count)
        .await
        .map_err(StartError::io("looking for free ports"))?;
    let (p2p, rest) = ports.split_at(count);
    let (monitoring, validator_api) = rest.split_at(count);
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|from| {
            (0..count)
                .filter(move |to| *to != from)
                .map(move |to| (from, to))
        })
        .collect();
    let targets: Vec<SocketAddr> = pairs.iter().map(|(_, to)| p2p[*to]).collect();
    let (addresses, links) = if options.latency.is_zero() && options.jitter.is_zero() {
        (
            targets,
            Links::direct()
                .await
                .map_err(StartError::io("measuring the loopback interface"))?,
        )
    } else {
        let settings = Settings {
            latency: options.latency,
            jitter: options.jitter,
            seed: options.seed.0,
            targets,
        };
        let proxy = Proxy::start(program, &[PROXY_COMMAND.into()], &settings).await?;
        (proxy.addresses().to_vec(), Links::Shaped(Box::new(proxy)))
    };
    let launch = |index: usize| Launch {
        data_dir: cluster.nodes[index].clone(),
        log: dir.join(format!("node{index}.log")),
        beacon_url: beacons[index].clone(),
        p2p: p2p[index],
        peers: pairs
            .iter()
            .zip(&addresses)
            .filter(|((from, _), _)| *from == index)
            .map(|((_, to), at)| (*to, *at))
            .collect(),
        monitoring: monitoring[index],
        validator_api: validator_api[index],
        signer: options.signer_of(index),
        fork_version: cluster.fork_version,
        genesis,
    };
    Ok(((0..count).map(launch).collect(), links))
}

impl Links {
    /// Links over loopback, measured by an echo in this process.
    async fn direct() -> std::io::Result<Self> {
        let round_trips_ms = Arc::new(Mutex::new(Vec::new()));
        let echo = crate::proxy::echo().await?;
        let kept = round_trips_ms.clone();
        let task = tokio::spawn(async move {
            let report = |round_trip: Duration| {
                let mut kept = kept.lock().expect("no code panics while it holds this");
                if kept.len() < MEASURED {
                    kept.push(round_trip.as_secs_f64() * 1e3);
                    return Ok(());
                }
                Err(std::io::Error::other("enough"))
            };
            // It ends when it has measured enough.
            let _ = crate::proxy::measure_round_trips(echo, report).await;
        });
        Ok(Links::Direct {
            round_trips_ms,
            task,
        })
    }
}
