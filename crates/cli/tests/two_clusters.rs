//! One process, several clusters: four processes each hold a seat in two clusters, and both attest.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flotilla_cluster::Lock;
use flotilla_testnet::api::Server;
use flotilla_testnet::chain::{Config, Seed, Simulator};
use flotilla_types::{Chain, ChainSpec, ForkVersion, PublicKeyBytes, Root, Slot, Timestamp};

const FORK_VERSION: &str = "0x10f10712";
const NODES: usize = 4;
const CLUSTERS: usize = 2;
/// The slots that must be complete in both clusters.
const SLOTS: std::ops::RangeInclusive<u64> = 1..=4;
const PATIENCE: Duration = Duration::from_secs(90);

fn flotilla() -> Command {
    Command::new(env!("CARGO_BIN_EXE_flotilla"))
}

fn network(command: &mut Command, genesis: u64) {
    command.args([
        "--testnet-name",
        "two",
        "--testnet-fork-version",
        FORK_VERSION,
        "--testnet-chain-id",
        "1337",
    ]);
    command.args(["--testnet-genesis-timestamp", &genesis.to_string()]);
}

fn create(folder: &Path, genesis: u64) -> Vec<PublicKeyBytes> {
    let address = "0x000000000000000000000000000000000000dEaD";
    let mut command = flotilla();
    command.args([
        "create",
        "cluster",
        "--nodes",
        "4",
        "--num-validators",
        "3",
        "--insecure-keys",
    ]);
    command
        .args([
            "--fee-recipient-addresses",
            address,
            "--withdrawal-addresses",
            address,
            "--cluster-dir",
        ])
        .arg(folder);
    network(&mut command, genesis);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lock =
        Lock::parse(&std::fs::read(folder.join("node0/cluster-lock.json")).unwrap()).unwrap();
    lock.validators()
        .iter()
        .map(|validator| validator.public_key)
        .collect()
}

fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}

/// Processes that end with the test.
struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn start(
    node: usize,
    folders: &[PathBuf],
    beacon: &str,
    ports: &[Vec<u16>],
    monitoring: u16,
    genesis: u64,
) -> Child {
    let mut command = flotilla();
    command.args([
        "run",
        "--signer",
        "builtin",
        "--log-level",
        "warn",
        "--beacon-node-endpoints",
        beacon,
    ]);
    command.args(["--monitoring-address", &format!("127.0.0.1:{monitoring}")]);
    command.args(["--validator-api-address", "127.0.0.1:0"]);
    for (cluster, folder) in folders.iter().enumerate() {
        command
            .arg("--data-dir")
            .arg(folder.join(format!("node{node}")));
        command.args([
            "--p2p-tcp-address",
            &format!("127.0.0.1:{}", ports[cluster][node]),
        ]);
        for peer in (0..NODES).filter(|&peer| peer != node) {
            command.args([
                "--p2p-peer",
                &format!(
                    "{cluster}:{peer}=/ip4/127.0.0.1/tcp/{}",
                    ports[cluster][peer]
                ),
            ]);
        }
    }
    network(&mut command, genesis);
    command.stdout(Stdio::null()).spawn().unwrap()
}

#[test]
fn one_process_serves_several_clusters() {
    let root = tempfile::tempdir().unwrap();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let genesis = now + 8;
    let folders: Vec<PathBuf> = (0..CLUSTERS)
        .map(|cluster| root.path().join(cluster.to_string()))
        .collect();
    let validators: Vec<PublicKeyBytes> = folders
        .iter()
        .flat_map(|folder| create(folder, genesis))
        .collect();
    let ports: Vec<Vec<u16>> = free_ports(CLUSTERS * NODES)
        .chunks(NODES)
        .map(<[u16]>::to_vec)
        .collect();
    let monitoring = free_ports(NODES);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let fork_version: ForkVersion = FORK_VERSION.parse().unwrap();
        let chain = Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(2), 4, fork_version),
            genesis_time: Timestamp::from_secs(genesis),
            genesis_validators_root: Root([7; 32]),
        };
        let simulator = Simulator::start(Config {
            chain,
            seed: Seed(1),
            validators,
        })
        .unwrap();
        let server = Server::start(simulator.clone(), 0).await.unwrap();
        let beacon = server.url().to_string();
        let start = |node| start(node, &folders, &beacon, &ports, monitoring[node], genesis);
        let _nodes = Nodes((0..NODES).map(start).collect());
        let begun = Instant::now();
        let complete = || {
            let slots = SLOTS.map(|slot| simulator.results(Slot(slot)));
            slots
                .into_iter()
                .all(|slot| slot.values().all(Option::is_some))
        };
        let over = |slot: u64| simulator.head_root().0 > Slot(slot);
        while !(over(*SLOTS.end()) && complete()) {
            assert!(
                begun.elapsed() < PATIENCE,
                "not complete: {:?}",
                SLOTS
                    .map(|slot| simulator.results(Slot(slot)))
                    .collect::<Vec<_>>()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let due: usize = SLOTS.map(|slot| simulator.results(Slot(slot)).len()).sum();
        assert_eq!(
            due,
            3 * CLUSTERS,
            "one duty per validator and epoch of four slots"
        );
        let totals = simulator.totals();
        assert_eq!((totals.rejected, totals.slashable), (0, 0));
    });
}

#[test]
fn one_validator_in_two_folders_of_one_process_is_refused() {
    let root = tempfile::tempdir().unwrap();
    create(root.path(), 1_700_000_000);
    let port = free_ports(1)[0];
    let mut command = flotilla();
    command.args([
        "run",
        "--signer",
        "builtin",
        "--beacon-node-endpoints",
        "http://127.0.0.1:1",
    ]);
    command.args(["--monitoring-address", &format!("127.0.0.1:{port}")]);
    command.args(["--validator-api-address", "127.0.0.1:0"]);
    command
        .arg("--data-dir")
        .arg(root.path().join("node0"))
        .arg("--data-dir")
        .arg(root.path().join("node1"));
    network(&mut command, 1_700_000_000);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("must not sign for it twice"), "{text}");
}
