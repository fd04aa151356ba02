//! `flotilla slashing-protection` as a person runs it, beside a stopped node and beside one that holds the folder.
#![allow(clippy::unwrap_used)]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_cluster::Lock;
use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Attestation, Refusal, Vote};
use flotilla_node::lock::FolderLock;
use flotilla_node::slashing::{
    Database, FILE_NAME, IMPORT_FILE_NAME, IMPORTED_FILE_NAME, Opening, ShareEpoch, SignerKind,
    interchange, machine_id,
};
use flotilla_testnet::api::Server;
use flotilla_testnet::chain::{Config, Seed, Simulator};
use flotilla_types::{Chain, ChainSpec, Epoch, PublicKeyBytes, Root, Slot, Timestamp};
use support::{flotilla, text};

const CHAIN: Root = Root([4; 32]);

/// A node's folder with a lock of two validators.
struct Node {
    place: tempfile::TempDir,
    validators: Vec<PublicKeyBytes>,
}

impl Node {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let cluster = place.path().to_str().unwrap();
        let address = "0x000000000000000000000000000000000000dEaD";
        let output = flotilla(&[
            "create",
            "cluster",
            "--cluster-dir",
            cluster,
            "--nodes=3",
            "--num-validators=2",
            "--network=hoodi",
            "--insecure-keys",
            "--fee-recipient-addresses",
            address,
            "--withdrawal-addresses",
            address,
        ]);
        assert!(output.status.success(), "{}", text(&output));
        let lock = fs::read(place.path().join("node0/cluster-lock.json")).unwrap();
        let lock = Lock::parse(&lock).unwrap();
        let validators = lock.validators().iter();
        let validators = validators.map(|validator| validator.public_key).collect();
        Self { place, validators }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("node0")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let (first, rest) = arguments.split_first().unwrap();
        let folder = self.folder();
        let common = [
            "slashing-protection",
            first,
            "--data-dir",
            folder.to_str().unwrap(),
        ];
        flotilla(&[&common, rest].concat())
    }

    /// Writes a file with one attestation of `validator`, and returns its path.
    fn history(&self, chain: Root, validator: PublicKeyBytes, votes: &str) -> String {
        let path = self.file("history.json");
        let text = format!(
            r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"{chain}"}},
                "data":[{{"pubkey":"{validator}","signed_blocks":[{{"slot":"70"}}],"signed_attestations":[{votes}]}}]}}"#
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn open(&self, now: u64) -> Database {
        Database::open(&Opening {
            folder: &self.folder(),
            genesis_validators_root: CHAIN,
            now: Some(Slot(now)),
            slots_per_epoch: 32,
            validators_active: true,
            signer: Some(SignerKind::Builtin),
            change_signer: false,
            share_epoch: ShareEpoch(0),
            machine: machine_id(),
        })
        .unwrap()
        .0
    }
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(output));
    text(output)
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", text(output));
    text(output)
}

fn vote(source: u64, target: u64) -> Vote {
    Vote::Attestation(Attestation {
        source: Epoch(source),
        target: Epoch(target),
        signing_root: Root([7; 32]),
    })
}

fn record(database: &Database, validator: PublicKeyBytes, vote: Vote) -> Result<(), Refusal> {
    let (answer, wait) = mpsc::sync_channel(1);
    database.record(vec![RecordItem { validator, vote }], move |reply| {
        answer.send(reply).unwrap();
    });
    wait.recv().unwrap().results.remove(0).1
}

fn read(path: &Path) -> interchange::Contents {
    interchange::read(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn imported_history_forbids_conflicts_at_the_next_start_and_nothing_later() {
    let node = Node::new();
    let [named, unnamed] = node.validators[..] else {
        panic!("two validators")
    };
    let file = node.history(CHAIN, named, r#"{"source_epoch":"1","target_epoch":"2"}"#);
    let told = done(&node.command(&["import", &file]));
    for fact in [
        "1 validators",
        "which is new",
        "target epoch 2",
        "slot 70",
        "1 validators of this cluster are not in",
    ] {
        assert!(told.contains(fact), "{fact}: {told}");
    }

    let database = node.open(100);
    assert!(record(&database, named, vote(1, 2)).is_err());
    assert!(record(&database, named, vote(0, 3)).is_err());
    assert_eq!(record(&database, named, vote(1, 3)), Ok(()));
    assert_eq!(
        record(&database, unnamed, vote(1, 3)),
        Err(Refusal::Embargo(Epoch(4)))
    );
}

#[test]
fn running_node_refuses_an_import_and_allows_export_and_show() {
    let node = Node::new();
    let validator = node.validators[0];
    let guard = FolderLock::acquire(&node.folder()).unwrap();
    let database = node.open(100);
    assert_eq!(record(&database, validator, vote(3, 4)), Ok(()));

    let file = node.history(CHAIN, validator, "");
    let told = refused(&node.command(&["import", &file]));
    assert!(told.contains("stop it first"), "{told}");

    let shown = done(&node.command(&["show"]));
    let key = &validator.to_string()[..10];
    let row = shown.lines().find(|line| line.contains(key)).unwrap();
    let columns: Vec<_> = row.split_whitespace().collect();
    assert_eq!(columns[2..], ["3", "4", "-", "1", "0"], "{shown}");
    assert!(
        shown.contains("nothing up to epoch 3 and slot 100"),
        "{shown}"
    );
    let json = done(&node.command(&["show", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["validators"].as_array().unwrap().len(), 2);
    assert_eq!(json["validators"][0]["newest_target_epoch"], 4);
    assert_eq!(json["validators"][0]["pubkey"], validator.to_string());
    assert_eq!(json["embargo"]["epoch"], 3);

    for (name, form) in [("complete", &[][..]), ("minimal", &["--minimal"])] {
        let path = node.file(name);
        let arguments = [&["export", path.to_str().unwrap()][..], form].concat();
        done(&node.command(&arguments));
        assert_eq!(read(&path).floors[&validator].target, Some(Epoch(4)));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let told = refused(&node.command(&arguments));
        assert!(told.contains("exists already"), "{told}");
    }
    // The node has not lost its file to those who read it.
    assert_eq!(record(&database, validator, vote(4, 5)), Ok(()));
    drop(guard);
}

#[test]
fn export_beside_a_busy_node_holds_everything_answered_before_it() {
    let node = Node::new();
    let validator = node.validators[0];
    let database = node.open(0);
    let (stop, stopped) = mpsc::channel::<()>();
    let (answered, last) = mpsc::channel();
    let writer = std::thread::spawn(move || {
        let mut epoch = 1;
        while stopped.try_recv().is_err() {
            assert_eq!(record(&database, validator, vote(epoch - 1, epoch)), Ok(()));
            answered.send(epoch).unwrap();
            if epoch % 64 == 0 {
                // Sinks the oldest into the floor.
                database.heartbeat(Slot(epoch));
            }
            epoch += 1;
        }
    });
    let mut before = last.recv().unwrap();
    for round in 0..8 {
        before = last.try_iter().last().unwrap_or(before);
        let path = node.file(&format!("export-{round}"));
        done(&node.command(&["export", path.to_str().unwrap()]));
        let target = read(&path).floors[&validator].target.unwrap();
        assert!(target >= Epoch(before), "{target} of {before}");
    }
    stop.send(()).unwrap();
    writer.join().unwrap();
}

#[test]
fn files_that_do_not_fit_are_refused_with_their_fault_and_change_nothing() {
    let node = Node::new();
    let validator = node.validators[0];
    let good = r#"{"source_epoch":"1","target_epoch":"2"}"#;

    let file = node.history(
        CHAIN,
        validator,
        r#"{"source_epoch":"5","target_epoch":"4"}"#,
    );
    let told = refused(&node.command(&["import", &file]));
    for fact in [
        file.as_str(),
        "data[0].signed_attestations[0]",
        &validator.to_string(),
        "source epoch 5 is after target epoch 4",
    ] {
        assert!(told.contains(fact), "{fact}: {told}");
    }

    let file = node.history(CHAIN, validator, good);
    let other = Root([5; 32]).to_string();
    let told = refused(&node.command(&["import", &file, "--genesis-validators-root", &other]));
    assert!(
        told.contains(&other) && told.contains(&CHAIN.to_string()),
        "{told}"
    );

    let file = node.history(CHAIN, PublicKeyBytes([9; 48]), good);
    let told = refused(&node.command(&["import", &file]));
    assert!(told.contains("none of them is among the 2"), "{told}");
    assert!(!node.folder().join(FILE_NAME).exists());
    let told = refused(&node.command(&["show"]));
    assert!(told.contains("has no slashing.sqlite"), "{told}");

    let file = node.history(CHAIN, validator, good);
    done(&node.command(&["import", &file]));
    let file = node.history(Root([5; 32]), validator, good);
    let told = refused(&node.command(&["import", &file]));
    assert!(
        told.contains(&other) && told.contains(&CHAIN.to_string()),
        "{told}"
    );

    let told = refused(&node.command(&["import", "absent.json"]));
    assert!(told.contains("absent.json"), "{told}");
    fs::remove_file(node.folder().join("cluster-lock.json")).unwrap();
    let told = refused(&node.command(&["import", &file]));
    assert!(told.contains("--lock-file"), "{told}");
}

#[test]
fn each_command_teaches() {
    for command in ["import", "export", "show"] {
        let told = done(&flotilla(&["slashing-protection", command, "--help"]));
        assert!(
            told.contains("Usage:") && told.contains("--data-dir"),
            "{told}"
        );
    }
}

/// A beacon node on the chain `CHAIN` of the network that the lock is for, eight epochs of four slots after genesis.
async fn beacon(validators: Vec<PublicKeyBytes>) -> Server {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let slot = Duration::from_secs(12);
    let chain = Chain {
        spec: ChainSpec::mainnet_like(slot, 4, "0x10000910".parse().unwrap()),
        genesis_time: Timestamp::from_secs((now - slot * 32).as_secs()),
        genesis_validators_root: CHAIN,
    };
    let simulator = Simulator::start(Config {
        chain,
        seed: Seed(1),
        validators,
    });
    Server::start(simulator.unwrap(), 0).await.unwrap()
}

fn run(node: &Node, beacon: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flotilla"));
    command
        .args([
            "run",
            "--signer=builtin",
            "--monitoring-address=127.0.0.1:0",
        ])
        .args(["--beacon-node-endpoints", &beacon.url().to_string()])
        .arg("--data-dir")
        .arg(node.folder())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// The log up to the line that contains `end`; then the node is killed, if it has not ended by itself.
fn log_until(mut command: Command, end: &str) -> String {
    let mut child = command.spawn().unwrap();
    let mut log = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        log.push_str(&line.unwrap());
        log.push('\n');
        if log.contains(end) {
            break;
        }
    }
    let _ = child.kill();
    child.wait().unwrap();
    assert!(log.contains(end), "{log}");
    log
}

#[tokio::test(flavor = "multi_thread")]
async fn node_starts_with_the_history_in_its_folder_or_not_at_all() {
    let node = Node::new();
    let validator = node.validators[0];
    let beacon = beacon(node.validators.clone()).await;
    let pending = node.folder().join(IMPORT_FILE_NAME);
    let good = r#"{"source_epoch":"6","target_epoch":"7"}"#;

    fs::write(&pending, "{").unwrap();
    let told = log_until(run(&node, &beacon), "error: ");
    for fact in [IMPORT_FILE_NAME, "does not start before it is imported"] {
        assert!(told.contains(fact), "{fact}: {told}");
    }
    fs::copy(node.history(Root([5; 32]), validator, good), &pending).unwrap();
    let told = log_until(run(&node, &beacon), "error: ");
    assert!(told.contains(&Root([5; 32]).to_string()), "{told}");
    assert!(!node.folder().join(FILE_NAME).exists());

    fs::copy(node.history(CHAIN, validator, good), &pending).unwrap();
    let log = log_until(run(&node, &beacon), "built-in signer holds");
    for fact in [
        "imported the history of earlier signers",
        "validators=1",
        "newest_target=7",
        "exempt=1",
        "absent=1",
    ] {
        assert!(log.contains(fact), "{fact}: {log}");
    }
    assert!(!pending.exists() && node.folder().join(IMPORTED_FILE_NAME).exists());
    let shown = done(&node.command(&["show", "--json"]));
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["validators"][0]["newest_target_epoch"], 7);
    assert_eq!(shown["validators"][0]["embargo"], false);
    assert_eq!(shown["validators"][1]["embargo"], true);
}
