//! What making a cluster costs beyond what cannot be spared: stretching a password for each keystore.
//!
//! Key stretching is most of the work by design, so the yardstick is as many bare derivations on the
//! same cores.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flotilla_cluster::create::{Created, PendingKeystore, Request, cluster};
use flotilla_cluster::{Cost, Networks, NewDefinition, Operator, ValidatorAddresses};
use flotilla_crypto::os_rng;
use hmac::Hmac;
use sha2::Sha256;

const OPERATORS: usize = 4;
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const TURNS: usize = 10;
/// The rounds of a full-cost keystore (EIP-2335's example).
const FULL_ROUNDS: u32 = 262_144;

fn main() {
    // `cargo bench` says so; `cargo test --benches` only wants to see it run.
    let full = std::env::args().any(|argument| argument == "--bench");
    let (validators, cost, rounds) = if full {
        (100, Cost::FULL, FULL_ROUNDS)
    } else {
        (1, Cost::INSECURE, 16)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    let created = make(validators, cost);
    let making = start.elapsed();
    let pending: Vec<&PendingKeystore> = created
        .nodes
        .iter()
        .flat_map(|node| &node.keystores)
        .collect();
    // In turns, so that a core that slows down slows both.
    let (mut bare, mut sealing) = (Duration::ZERO, Duration::ZERO);
    for turn in pending.chunks(pending.len().div_ceil(TURNS)) {
        bare += time(|| on_all(cores, turn.len(), |_| derive(rounds)));
        sealing += time(|| {
            on_all(cores, turn.len(), |index| {
                black_box(turn[index].seal());
            });
        });
    }
    println!(
        "create_cluster/validators={validators},operators={OPERATORS}: keys, lock and its check {} ms \
         on one thread, keystores {} ms on {cores}; as many bare derivations {} ms on {cores}; together \
         {:+.1} %",
        making.as_millis(),
        sealing.as_millis(),
        bare.as_millis(),
        100.0 * ((making + sealing).as_secs_f64() / bare.as_secs_f64() - 1.0)
    );
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Runs `job` for each of `count` numbers, on as many threads as there are cores.
fn on_all(cores: usize, count: usize, job: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    job(index);
                }
            });
        }
    });
}

fn derive(rounds: u32) {
    let mut key = [0; 32];
    pbkdf2::pbkdf2::<Hmac<Sha256>>(
        b"a password of 32 random hex digits",
        &[7; 32],
        rounds,
        &mut key,
    )
    .expect("HMAC takes keys of any length");
    black_box(key);
}

fn make(validators: usize, keystore_cost: Cost) -> Created {
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
        ..NewDefinition::new(network)
    };
    let definition = definition.build(&mut rng).expect("a valid definition");
    let request = Request {
        keystore_cost,
        ..Request::new(definition, network)
    };
    cluster(request, &mut rng).expect("a valid request")
}
