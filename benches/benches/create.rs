//! What making a cluster costs beyond what cannot be spared: stretching a password for each keystore.
//!
//! Key stretching is most of the work by design, so the yardstick is as many bare derivations on the
//! same cores.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flotilla_cluster::create::{PendingKeystore, Plan, Request};
use flotilla_cluster::{Cost, Networks, NewDefinition, Operator, ValidatorAddresses};
use flotilla_crypto::os_rng;
use hmac::Hmac;
use sha2::Sha256;

const OPERATORS: usize = 4;
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
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
    let count = validators * OPERATORS;
    // Before and after, so that a core that slows down slows both.
    let mut bare = time(|| on_all(cores, count, |_| derive(rounds)));
    let making = time(|| make(validators, cost, cores));
    bare += time(|| on_all(cores, count, |_| derive(rounds)));
    println!(
        "create_cluster/validators={validators},operators={OPERATORS}: keys, lock, its check and keystores {} ms on {cores}; as \
         many bare derivations {} ms; {:+.1} %",
        making.as_millis(),
        bare.as_millis() / 2,
        100.0 * (2.0 * making.as_secs_f64() / bare.as_secs_f64() - 1.0)
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

/// What `create cluster` does, files apart.
fn make(validators: usize, keystore_cost: Cost, cores: usize) {
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
    let plan = Plan::draw(request, &mut rng).expect("a valid request");
    let keystores: Vec<&PendingKeystore> = plan.keystores().iter().flatten().collect();
    std::thread::scope(|scope| {
        scope.spawn(|| black_box(plan.sign().expect("the result verifies")));
        on_all(cores, keystores.len(), |index| {
            black_box(keystores[index].seal());
        });
    });
}
