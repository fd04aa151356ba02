//! What opening a large lock costs: read, parse and verify everything, on one thread, and the memory
//! that takes.
//!
//! The lock is made here and opened by this same program in a process of its own, whose peak memory
//! is then that of opening alone.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use flotilla_cluster::create::{Request, cluster};
use flotilla_cluster::{
    Cost, LoadOptions, Lock, Networks, NewDefinition, Operator, ValidatorAddresses, VerifyOptions,
};
use flotilla_crypto::os_rng;

/// Tells the program that it is the child, and which file to open.
const FILE: &str = "FLOTILLA_BENCH_LOCK";
const OPERATORS: usize = 4;
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const RUNS: usize = 5;

fn main() {
    if let Some(path) = std::env::var_os(FILE) {
        return open(Path::new(&path));
    }
    // `cargo bench` says so; `cargo test --benches` only wants to see it run.
    let sizes: &[usize] = if std::env::args().any(|argument| argument == "--bench") {
        &[1, 100, 1000]
    } else {
        &[2]
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    for validators in sizes {
        let path = folder.path().join("cluster-lock.json");
        let file = new_lock(*validators);
        std::fs::write(&path, &file).expect("the temporary folder is writable");
        print!(
            "open_lock/validators={validators},operators={OPERATORS}: file {} kB, ",
            file.len() / 1000
        );
        let this = std::env::current_exe().expect("this program has a path");
        let output = Command::new(this).env(FILE, &path).output();
        let output = output.expect("this program starts");
        assert!(output.status.success(), "{output:?}");
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
}

/// A lock with one deposit for each validator.
fn new_lock(validators: usize) -> String {
    let mut rng = os_rng().expect("the system has randomness");
    let networks = Networks::public();
    let network = networks.by_name("hoodi").expect("the network is built in");
    let pair = ValidatorAddresses {
        fee_recipient: ADDRESS.to_owned(),
        withdrawal: ADDRESS.to_owned(),
    };
    let definition = NewDefinition {
        name: "bench".to_owned(),
        operators: vec![Operator::default(); OPERATORS],
        validators: vec![pair; validators],
        deposit_amounts: vec![32_000_000_000],
        ..NewDefinition::new(network)
    };
    let definition = definition.build(&mut rng).expect("a valid definition");
    let request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition, network)
    };
    let created = cluster(request, &mut rng).expect("a valid request");
    created.lock.to_json().expect("a new lock can be written")
}

fn open(path: &Path) {
    let times: Vec<Duration> = (0..RUNS).map(|_| time_to_open(path)).collect();
    let best = times.iter().min().expect("there are runs");
    let worst = times.iter().max().expect("there are runs");
    println!(
        "{} to {} ms on one thread, peak memory {}",
        best.as_millis(),
        worst.as_millis(),
        peak_memory().unwrap_or_else(|| "unknown".to_owned())
    );
}

fn time_to_open(path: &Path) -> Duration {
    let start = Instant::now();
    let bytes = std::fs::read(path).expect("the parent has written it");
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    let loaded = Lock::load(&bytes, &options).expect("a lock that holds");
    assert_eq!(loaded.findings, []);
    start.elapsed()
}

/// The most memory this process has had, as Linux tells it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(format!("{} MB", kilobytes / 1024))
}
