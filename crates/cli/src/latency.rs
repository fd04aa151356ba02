//! `flotilla bench latency`: how long the cluster takes from a duty's due point to its signature.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use flotilla_node::folder::{self, Overwrite};
use flotilla_testnet::bench::{self, BenchOptions};
use flotilla_testnet::options::parse_duration;

use crate::say;
use crate::testnet::runtime;

/// Measure signing latency: the testnet's processes, with 32 slots an epoch, one combination after another.
///
/// Without --full, a subset that ends within five minutes. The limit shown is four times the measured one-way delay of a link:
/// three delays to agree, one to exchange partial signatures.
#[derive(clap::Args)]
pub struct Arguments {
    /// Cluster sizes.
    #[arg(long, value_delimiter = ',', default_value = "4,7,10")]
    nodes: Vec<usize>,
    /// One-way delays between nodes.
    #[arg(long, value_delimiter = ',', default_value = "0ms,20ms,75ms", value_parser = parse_duration)]
    latency: Vec<Duration>,
    /// Numbers of validators.
    #[arg(long, value_delimiter = ',', default_value = "8,100,500")]
    validators: Vec<usize>,
    /// Slots per combination; the first four are dropped.
    #[arg(long, default_value_t = 24)]
    slots: u64,
    /// Every combination.
    #[arg(long)]
    full: bool,
    /// A JSON list of combinations on stdout.
    #[arg(long)]
    json: bool,
    /// Also draw a chart into this file.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Measures.
pub fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let options = BenchOptions {
        nodes: arguments.nodes,
        latencies: arguments.latency,
        validators: arguments.validators,
        slots: arguments.slots,
        full: arguments.full,
        ..BenchOptions::default()
    };
    let program = std::env::current_exe().context("finding the own program")?;
    let report = match runtime()?.block_on(bench::latency(&options, program)) {
        Ok(report) => report,
        Err(error) => {
            crate::complain(&error.into());
            return Ok(ExitCode::from(2));
        }
    };
    say(&if arguments.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report.to_string()
    });
    if let Some(path) = arguments.svg {
        folder::write_atomic(
            &path,
            bench::chart(&report).as_bytes(),
            0o644,
            Overwrite::Replace,
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
