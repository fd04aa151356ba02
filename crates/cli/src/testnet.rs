//! `flotilla testnet`: a whole cluster on this machine, against an embedded beacon-chain simulator.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use flotilla_testnet::chain::Seed;
use flotilla_testnet::options::{
    BeaconFault, NodeAtSlot, NodeInSlots, Options, Preset, Progress, Signer, SlowBeacon,
    parse_duration,
};

use crate::say;
use crate::topology::Topology;
use crate::validator_client;

/// Run a local cluster: one process per operator, and a beacon-chain simulator that checks every signature itself.
///
/// Slots 1 to N are judged; the exit code is 0 only if everything that was due was included in time, none was refused, and none
/// conflicts with another. 1 otherwise, 2 for wrong usage or a failed start.
///
/// Examples:
///   flotilla testnet --slots 24
///   flotilla testnet --slots 24 --kill 2@6 --restart 2@14
///   flotilla testnet --slots 24 --latency 75ms --jitter 15ms
///   flotilla testnet --slots 24 --topology cluster-configs/squad.topology.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Nodes in the cluster.
    #[arg(long, default_value_t = 4)]
    nodes: usize,
    /// Shares needed to sign; two thirds of the nodes, rounded up, if not given.
    #[arg(long)]
    threshold: Option<usize>,
    /// Validators of the cluster.
    #[arg(long, default_value_t = 8)]
    validators: usize,
    /// Length of a slot, whole seconds.
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    slot_time: Duration,
    /// Slots in an epoch.
    #[arg(long, default_value_t = 8)]
    slots_per_epoch: u64,
    /// Slots to judge; without it the testnet runs until Ctrl-C.
    #[arg(long)]
    slots: Option<u64>,
    /// Folder for the run; a temporary one if not given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Take this cluster (DIR/node0, DIR/node1, …) instead of making one.
    #[arg(long)]
    cluster: Option<PathBuf>,
    /// Take nodes, threshold, validators, latency and jitter from a topology (see cluster-configs/).
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["nodes", "threshold", "validators", "latency", "jitter", "cluster"]
    )]
    topology: Option<PathBuf>,
    /// Seed of the simulated chain.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// List sizes that the simulated chain serves.
    #[arg(long, default_value = "mainnet", value_parser = ["mainnet", "minimal"])]
    preset: String,
    /// Who signs: `builtin`, or `vc` for a validator client beside each node. A list is for the nodes in their order, and begins
    /// anew at its end: `builtin,vc` mixes them.
    #[arg(long, default_value = "builtin", value_delimiter = ',', value_parser = ["builtin", "vc"])]
    signer: Vec<String>,
    /// The validator client, instead of a small one of our own: a shell command, in which {api} stands for the address it works
    /// with, {keystores} for the folder of its keystores, and {node} for the node's number.
    #[arg(long, value_name = "COMMAND")]
    vc_command: Option<String>,
    /// Kill a node (SIGKILL) at the start of a slot. May be given several times, like the other faults.
    #[arg(long, value_name = "NODE@SLOT", help_heading = "Faults")]
    kill: Vec<NodeAtSlot>,
    /// Start a killed node again.
    #[arg(long, value_name = "NODE@SLOT", help_heading = "Faults")]
    restart: Vec<NodeAtSlot>,
    /// Stop a node (SIGSTOP) from the start of slot A to the start of slot B.
    #[arg(long, value_name = "NODE@A..B", help_heading = "Faults")]
    pause: Vec<NodeInSlots>,
    /// Let a node's beacon node answer late.
    #[arg(long, value_name = "NODE@A..B:DELAY", help_heading = "Faults")]
    slow_beacon: Vec<SlowBeacon>,
    /// Let a node's beacon node misbehave: lagging (503 to what concerns duties), 5xx, garbage, silent, endless, reorg (its
    /// head jumps to a sibling now and then), wrong-fork (a chain of its own), late-builder, bad-builder.
    #[arg(long, value_name = "NODE@A..B:HOW", help_heading = "Faults")]
    beacon_fault: Vec<BeaconFault>,
    /// Run against somebody else's beacon nodes (URLs with commas between) instead of the simulator. Needs --cluster. Slots
    /// count from the start of the run; what became of duties is what the nodes say of it.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    beacon_node_endpoints: Vec<String>,
    /// Give the beacon nodes a block builder: validators registered with it are offered its blinded blocks.
    #[arg(long)]
    builder: bool,
    /// One-way delay between nodes.
    #[arg(long, default_value = "0ms", value_parser = parse_duration, help_heading = "Faults")]
    latency: Duration,
    /// Random part of it, more or less.
    #[arg(long, default_value = "0ms", value_parser = parse_duration, help_heading = "Faults")]
    jitter: Duration,
    /// One JSON document on stdout at the end.
    #[arg(long)]
    json: bool,
}

/// A part of the testnet on its own.
#[derive(clap::Subcommand)]
enum Part {
    /// Run the beacon-chain simulator alone, for somebody else's cluster.
    Beacon(crate::testnet_beacon::Arguments),
    #[command(hide = true)]
    ValidatorClient(Box<validator_client::Arguments>),
}

/// Runs the testnet, or one part of it.
pub fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.part {
        Some(Part::Beacon(arguments)) => return crate::testnet_beacon::execute(arguments),
        Some(Part::ValidatorClient(arguments)) => return validator_client::execute(*arguments),
        None => {}
    }
    let json = arguments.json;
    let topology = arguments
        .topology
        .as_deref()
        .map(Topology::read)
        .transpose();
    let topology = match topology {
        Ok(topology) => topology,
        Err(error) => {
            crate::complain(&error);
            return Ok(ExitCode::from(2));
        }
    };
    let options = Options {
        nodes: arguments.nodes,
        threshold: arguments.threshold,
        validators: arguments.validators,
        slot_time: arguments.slot_time,
        slots_per_epoch: arguments.slots_per_epoch,
        slots: arguments.slots,
        dir: arguments.dir,
        cluster: arguments.cluster,
        seed: Seed(arguments.seed),
        preset: if arguments.preset == "minimal" {
            Preset::Minimal
        } else {
            Preset::Mainnet
        },
        signers: arguments
            .signer
            .iter()
            .map(|signer| match signer.as_str() {
                "vc" => Signer::ValidatorClient,
                _ => Signer::Builtin,
            })
            .collect(),
        vc_command: arguments.vc_command,
        kills: arguments.kill,
        restarts: arguments.restart,
        pauses: arguments.pause,
        slow_beacons: arguments.slow_beacon,
        beacon_faults: arguments.beacon_fault,
        latency: arguments.latency,
        jitter: arguments.jitter,
        beacon_nodes: arguments.beacon_node_endpoints,
        builder: arguments.builder,
        progress: Progress::Auto,
        ..Options::default()
    };
    let options = match topology {
        None => options,
        Some(topology) => Options {
            nodes: topology.nodes,
            threshold: Some(topology.threshold),
            validators: topology.validators,
            latency: topology.latency,
            jitter: topology.jitter,
            ..options
        },
    };
    let program = std::env::current_exe().context("finding the own program")?;
    let runtime = runtime()?;
    // Awaited here and not on another thread: the nodes die with the thread that started them.
    match runtime.block_on(flotilla_testnet::run(&options, program)) {
        Ok(report) => {
            say(&if json {
                serde_json::to_string_pretty(&report)?
            } else {
                report.to_string()
            });
            Ok(ExitCode::from(report.exit_code()))
        }
        Err(error) => {
            crate::complain(&error.into());
            Ok(ExitCode::from(2))
        }
    }
}

/// The runtime of commands that start nodes.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting the runtime")
}
