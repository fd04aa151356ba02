//! `cargo sim`: runs scenarios drawn from seeds and says what they found.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use flotilla_simulator::{Fault, Report, Scenario, World};

/// Results that may wait to be told.
const IN_WAITING: usize = 16;

/// Run whole clusters on virtual time, one scenario per seed.
///
/// A seed that finds something prints the command that replays it; the replay is the same, byte for byte.
#[derive(Parser)]
#[command(name = "cargo sim", version)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Run this one seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Print every event, one a line; the legend is in docs/testing.md.
    #[arg(long)]
    log: bool,
    /// Nodes in the cluster; drawn from the seed if not given.
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..=16))]
    nodes: Option<u64>,
    /// Use real BLS signatures, which takes a hundred times as long.
    #[arg(long)]
    real: bool,
    /// Build a mistake into our own nodes, which the run must find: quorum-too-low, justification-unchecked, null-accepted,
    /// database-ignored, votes-forgotten, guard-off or randao-early.
    #[arg(long, value_parser = fault)]
    fault: Option<Fault>,
}

fn fault(name: &str) -> Result<Fault, String> {
    let known = || Fault::ALL.map(Fault::name).join(", ");
    Fault::named(name).ok_or_else(|| format!("no such fault; known are {}", known()))
}

#[allow(clippy::print_stdout)] // The output of a command.
fn main() {
    let arguments = Arguments::parse();
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None => arguments.first_seed..arguments.first_seed + arguments.seeds,
    };
    let count = seeds.end - seeds.start;
    let (mut violations, mut simulated) = (0, Duration::ZERO);
    arguments.run(seeds, |seed, (report, log)| {
        if let Some(log) = log {
            print!("{log}");
        }
        simulated += report.simulated;
        if !report.violations.is_empty() {
            violations += 1;
            println!("seed {seed}: {} violations", report.violations.len());
            report
                .violations
                .iter()
                .take(10)
                .for_each(|violation| println!("  {violation}"));
            println!("  replay: {}", arguments.replay(seed));
        }
    });
    let hours = simulated.as_secs_f64() / 3600.0;
    println!(
        "{count} seeds, {hours:.1} cluster-hours simulated, {violations} seeds with violations"
    );
    if violations > 0 {
        std::process::exit(1);
    }
}

/// What a run gave.
type Ran = (Report, Option<String>);

impl Arguments {
    /// Runs seeds on all cores, and tells what each gave in their order.
    fn run(&self, seeds: Range<u64>, mut tell: impl FnMut(u64, Ran)) {
        let workers = std::thread::available_parallelism().map_or(1, usize::from) as u64;
        let (sender, ran) = mpsc::sync_channel(IN_WAITING);
        let next = AtomicU64::new(seeds.start);
        std::thread::scope(|scope| {
            for _ in 0..workers.min(seeds.end - seeds.start) {
                let (sender, next, end) = (sender.clone(), &next, seeds.end);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let done = seed >= end
                            || sender
                                .send((seed, World::new(self.scenario(seed), self.log).run()))
                                .is_err();
                        if done {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let (mut waiting, mut turn) = (BTreeMap::new(), seeds.start);
            for (seed, result) in ran {
                waiting.insert(seed, result);
                while let Some(result) = waiting.remove(&turn) {
                    tell(turn, result);
                    turn += 1;
                }
            }
        });
    }

    fn scenario(&self, seed: u64) -> Scenario {
        let nodes = self.nodes.map(|nodes| nodes as usize);
        let mut scenario = Scenario::of_seed(seed, nodes);
        scenario.real_signatures = self.real;
        scenario.fault = self.fault;
        scenario
    }

    fn replay(&self, seed: u64) -> String {
        let mut command = format!("cargo sim --seed {seed}");
        if let Some(nodes) = self.nodes {
            command += &format!(" --nodes {nodes}");
        }
        if self.real {
            command += " --real";
        }
        if let Some(fault) = self.fault {
            command += &format!(" --fault {}", fault.name());
        }
        command + " --log"
    }
}
