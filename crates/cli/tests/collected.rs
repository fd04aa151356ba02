//! Exits, deposits and fee recipients: operators sign one after another, a server collects, and whoever asks verifies.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::routing::{get, post};
use axum::{Json, Router};
use flotilla_cluster::collect::exit::exit_signing_root;
use flotilla_cluster::deposit::file::parse_file;
use flotilla_cluster::registration::overrides::parse_overrides;
use flotilla_cluster::{Lock, Networks};
use flotilla_crypto::{PublicKey, Signature, verify};
use flotilla_types::{Root, SignedVoluntaryExit};
use serde_json::{Value, json};
use support::{ADDRESS, create_cluster, failure, path, success};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const GENESIS: Root = Root([0x21; 32]);
const OTHER: &str = "0x8ba1f109551bD432803012645Ac136ddd64DBA72";

/// A cluster, the server that collects, and a beacon node that knows the validators as 100 and 101.
struct World {
    folder: TempDir,
    lock: Lock,
    server: String,
    beacon: String,
    exits: Arc<Mutex<Vec<SignedVoluntaryExit>>>,
    _runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        create_cluster(folder.path(), &[]);
        let bytes = fs::read(folder.path().join("node0/cluster-lock.json")).unwrap();
        let lock = Lock::parse(&bytes).unwrap();
        let runtime = Runtime::new().unwrap();
        let exits = Arc::new(Mutex::new(Vec::new()));
        let (server, beacon) = runtime.block_on(async {
            let collector = flotilla_testnet::collector::router(lock.clone()).unwrap();
            (
                serve(collector).await,
                serve(beacon(&lock, Arc::clone(&exits))).await,
            )
        });
        Self {
            folder,
            lock,
            server: format!("{server}/v1"),
            beacon,
            exits,
            _runtime: runtime,
        }
    }

    fn node(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node{node}"))
    }

    fn key(&self, validator: usize) -> String {
        self.lock.validators()[validator].public_key.to_string()
    }

    /// The arguments of a command of this node that asks the server.
    fn arguments(&self, node: usize, command: &[&str]) -> Vec<String> {
        let node = self.node(node);
        let more = ["--data-dir", path(&node), "--publish-address", &self.server];
        command
            .iter()
            .chain(&more)
            .map(|text| (*text).to_owned())
            .collect()
    }

    fn succeed(&self, node: usize, command: &[&str]) -> String {
        let arguments = self.arguments(node, command);
        success(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn fail(&self, node: usize, command: &[&str]) -> String {
        let arguments = self.arguments(node, command);
        failure(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn beacon(lock: &Lock, exits: Arc<Mutex<Vec<SignedVoluntaryExit>>>) -> Router {
    let genesis = json!({ "data": {
        "genesis_time": "1742213400",
        "genesis_fork_version": lock.fork_version().to_string(),
        "genesis_validators_root": GENESIS.to_string(),
    }});
    let all: Vec<Value> = lock
        .validators()
        .iter()
        .zip(100..)
        .map(|(validator, index)| {
            json!({
                "index": index.to_string(),
                "balance": "32000000000",
                "status": "active_ongoing",
                "validator": {
                    "pubkey": validator.public_key.to_string(),
                    "withdrawal_credentials": Root::default().to_string(),
                    "effective_balance": "32000000000",
                    "slashed": false,
                    "activation_eligibility_epoch": "0",
                    "activation_epoch": "0",
                    "exit_epoch": u64::MAX.to_string(),
                    "withdrawable_epoch": u64::MAX.to_string(),
                },
            })
        })
        .collect();
    let validators = move |Json(query): Json<Value>| async move {
        let asked = query["ids"].as_array().unwrap().clone();
        let known = all
            .into_iter()
            .filter(|entry| asked.contains(&entry["validator"]["pubkey"]));
        Json(
            json!({ "execution_optimistic": false, "finalized": true, "data": known.collect::<Vec<_>>() }),
        )
    };
    let take = move |Json(exit): Json<SignedVoluntaryExit>| async move {
        exits.lock().unwrap().push(exit)
    };
    Router::new()
        .route("/eth/v1/beacon/genesis", get(|| async { Json(genesis) }))
        .route("/eth/v1/beacon/states/head/validators", post(validators))
        .route("/eth/v1/beacon/pool/voluntary_exits", post(take))
}

#[test]
fn a_validator_leaves_when_a_threshold_of_operators_want_it() {
    let world = World::new();
    let (key, beacon) = (world.key(1), ["--beacon-node-endpoints", &world.beacon]);
    let files = world.folder.path().join("exits");
    fs::create_dir(&files).unwrap();
    let sign = [
        &["exit", "sign", "--validator-public-key", &key],
        &beacon[..],
    ]
    .concat();
    let fetch = [
        &[
            "exit",
            "fetch",
            "--validator-public-key",
            &key,
            "--fetched-exit-path",
            path(&files),
        ],
        &beacon[..],
    ]
    .concat();
    let broadcast = [
        &["exit", "broadcast", "--validator-public-key", &key],
        &beacon[..],
    ]
    .concat();

    let node0 = world.node(0);
    let listed = success(
        &[
            &[
                "exit",
                "active-validator-list",
                "--plaintext",
                "--data-dir",
                path(&node0),
            ],
            &beacon[..],
        ]
        .concat(),
    );
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [world.key(0), world.key(1)]
    );

    assert!(world.fail(0, &fetch).contains("nobody has signed an exit"));
    world.succeed(0, &sign);
    world.succeed(3, &sign);
    let early = world.fail(1, &broadcast);
    assert!(
        early.contains("2 of the 3 signatures needed; missing are those of the shares 2, 3"),
        "{early}"
    );
    world.succeed(2, &sign);
    let delete = ["exit", "delete", "--validator-public-key", &key];
    world.succeed(2, &delete);
    assert!(world.fail(2, &delete).contains("no exit"));
    assert!(
        world
            .fail(1, &fetch)
            .contains("missing are those of the shares 2, 3")
    );
    world.succeed(1, &sign);

    // One who has not signed may fetch and broadcast as well.
    world.succeed(2, &fetch);
    let exit: SignedVoluntaryExit =
        serde_json::from_slice(&fs::read(files.join(format!("exit-{key}.json"))).unwrap()).unwrap();
    assert_eq!(exit.message.validator_index.0, 101);
    let networks = Networks::public();
    let capella = networks
        .by_name("hoodi")
        .unwrap()
        .capella_fork_version
        .unwrap();
    let root = exit_signing_root(&exit.message, capella, GENESIS);
    let group = PublicKey::from_bytes(&world.lock.validators()[1].public_key.0).unwrap();
    assert!(verify(
        &group,
        &root,
        &Signature::from_bytes(&exit.signature.0).unwrap()
    ));

    assert!(world.exits.lock().unwrap().is_empty());
    world.succeed(2, &broadcast);
    let from_dir = [
        "exit",
        "broadcast",
        "--all",
        "--exit-from-dir",
        path(&files),
    ];
    world.succeed(0, &[&from_dir, &beacon[..]].concat());
    assert_eq!(*world.exits.lock().unwrap(), [exit, exit]);
}

#[test]
fn a_wrong_exit_is_not_broadcast() {
    let world = World::new();
    let key = world.key(0);
    let file = world.folder.path().join("exit.json");
    let exit = json!({
        "message": { "epoch": "1", "validator_index": "100" },
        "signature": format!("0x{}", "c0".to_owned() + &"00".repeat(95)),
    });
    fs::write(&file, exit.to_string()).unwrap();
    let refused = world.fail(
        0,
        &[
            "exit",
            "broadcast",
            "--validator-public-key",
            &key,
            "--exit-from-file",
            path(&file),
            "--beacon-node-endpoints",
            &world.beacon,
        ],
    );
    assert!(
        refused.contains("the signature is not the validator's"),
        "{refused}"
    );
    assert!(world.exits.lock().unwrap().is_empty());
}

#[test]
fn deposits_come_together_and_other_credentials_are_told() {
    let world = World::new();
    let keys = [world.key(0), world.key(1)].join(",");
    let sign = [
        "deposit",
        "sign",
        "--validator-public-keys",
        &keys,
        "--withdrawal-addresses",
        OTHER,
        "--deposit-amounts",
        "1,31",
    ];
    let files = world.folder.path().join("deposits");
    let fetch = [
        "deposit",
        "fetch",
        "--validator-public-keys",
        &keys,
        "--deposit-data-dir",
        path(&files),
    ];
    world.succeed(0, &sign);
    world.succeed(1, &sign);
    assert!(world.fail(0, &fetch).contains("2 of the 3 signatures"));
    assert!(!files.exists());
    world.succeed(3, &sign);
    let told = world.succeed(0, &fetch);
    assert!(
        told.contains("not the withdrawal credentials of the cluster's definition"),
        "{told}"
    );
    for name in ["deposit-data-1eth.json", "deposit-data-31eth.json"] {
        let deposits = parse_file(&fs::read(files.join(name)).unwrap()).unwrap();
        assert_eq!(deposits.len(), 2);
        assert!(
            deposits
                .iter()
                .all(|deposit| deposit.verifies(world.lock.fork_version()))
        );
    }
    let twice = world.fail(0, &fetch);
    assert!(twice.contains("exists already"), "{twice}");
}

#[test]
fn a_fee_recipient_is_agreed_by_signing_it() {
    let world = World::new();
    let key = world.key(0);
    let sign = |address: &'static str| {
        [
            "feerecipient",
            "sign",
            "--validator-public-keys",
            &key,
            "--fee-recipient",
            address,
        ]
        .map(str::to_owned)
    };
    let run = |node: usize, arguments: &[String], good: bool| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match good {
            true => world.succeed(node, &arguments),
            false => world.fail(node, &arguments),
        }
    };
    let listed = world.succeed(0, &["feerecipient", "list"]);
    assert!(
        listed.contains(ADDRESS) && listed.contains("(lock)"),
        "{listed}"
    );
    run(0, &sign(OTHER), true);
    let other = run(1, &sign(ADDRESS), false);
    assert!(
        other.contains("other operators have begun to sign"),
        "{other}"
    );
    run(1, &sign(OTHER), true);
    run(2, &sign(OTHER), true);
    assert!(run(3, &sign(OTHER), true).contains("agreed to"));
    assert!(
        run(
            3,
            &sign("0x0000000000000000000000000000000000000000"),
            false
        )
        .contains("zero address")
    );

    world.succeed(3, &["feerecipient", "fetch"]);
    let file = world.node(3).join("builder_registrations_overrides.json");
    let overrides = parse_overrides(
        &fs::read(Path::new(&file)).unwrap(),
        world.lock.fork_version(),
    )
    .unwrap();
    assert_eq!(overrides.len(), 1);
    assert_eq!(overrides[0].message.fee_recipient.to_string(), OTHER);
    assert_eq!(overrides[0].message.gas_limit, 60_000_000);
    let listed = world.succeed(3, &["feerecipient", "list"]);
    assert!(
        listed.contains("(overrides+remote)") && listed.contains("(lock)"),
        "{listed}"
    );
}
