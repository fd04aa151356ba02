//! Signing latency, measured: one testnet after another, over nodes, link latency and validators.
//!
//! Every cell is a run of real processes (see [`run`](crate::run)) with mainnet's 32 slots an epoch. The first slots
//! are left out: connections are young and caches cold.

mod chart;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::StartError;
use crate::chain::Seed;
use crate::options::{Options, Progress};
use crate::report::{Live, Report, StageLatency};

pub use chart::chart;

/// Slots in an epoch, as on mainnet.
const SLOTS_PER_EPOCH: u64 = 32;
/// Slots left out at the start of each cell.
const WARM_UP_SLOTS: u64 = 4;
/// What a run without `--full` may take.
const SHORT_RUN: Duration = Duration::from_secs(300);
/// The kind of duty measured.
const ATTESTER: &str = "attester";

/// What to measure. [`BenchOptions::default`] is what `flotilla bench latency` measures without flags.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchOptions {
    /// Sizes of the cluster.
    pub nodes: Vec<usize>,
    /// One-way link latencies.
    pub latencies: Vec<Duration>,
    /// Numbers of validators.
    pub validators: Vec<usize>,
    /// Slots of each cell, the first four included.
    pub slots: u64,
    /// Length of a slot.
    pub slot_time: Duration,
    /// Measure every combination, however long it takes.
    pub full: bool,
    /// Everything random follows from it, keys apart.
    pub seed: Seed,
    /// How progress is told.
    pub progress: Progress,
}

impl Default for BenchOptions {
    fn default() -> Self {
        BenchOptions {
            nodes: vec![4, 7, 10],
            latencies: [0, 20, 75].map(Duration::from_millis).to_vec(),
            validators: vec![8, 100, 500],
            slots: 24,
            slot_time: Duration::from_secs(3),
            full: false,
            seed: Seed(1),
            progress: Progress::default(),
        }
    }
}

/// One combination that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Nodes.
    pub nodes: usize,
    /// Shares needed to sign.
    pub threshold: usize,
    /// One-way link latency asked for.
    pub latency_ms: f64,
    /// Validators.
    pub validators: usize,
    /// Four times the measured one-way delay: three to agree and one to exchange signatures. Nothing can be faster.
    pub limit_ms: f64,
    /// Latencies of attestations by stage.
    pub latency_ms_by_stage: BTreeMap<String, StageLatency>,
    /// Processor time for each validator and epoch: the mean over nodes.
    pub cpu_ms_per_validator_epoch: f64,
    /// The most memory a node had resident.
    pub peak_rss_bytes: u64,
    /// Attestations not included.
    pub missed: u64,
}

/// What was measured. It serialises to the list of cells that `--json` prints; its `Display` is the table.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct BenchReport {
    /// In the order of measuring.
    pub cells: Vec<Cell>,
    /// Combinations left out because the run was to be short, or was interrupted.
    #[serde(skip)]
    pub left_out: usize,
}

/// A combination to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    nodes: usize,
    latency: Duration,
    validators: usize,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan {
            nodes,
            latency,
            validators,
        } = self;
        write!(
            f,
            "{nodes} nodes, links of {} ms, {validators} validators",
            latency.as_secs_f64() * 1e3
        )
    }
}

/// Measures one cell after another, until the last or Ctrl-C. `program` is as for [`run`](crate::run).
///
/// # Errors
/// A cell's testnet could not be started.
pub async fn latency(options: &BenchOptions, program: PathBuf) -> Result<BenchReport, StartError> {
    let all = plans(options);
    let chosen = if options.full {
        all.clone()
    } else {
        short(options, &all)
    };
    let mut report = BenchReport {
        cells: Vec::new(),
        left_out: all.len() - chosen.len(),
    };
    let mut live = Live::new(options.progress == Progress::Quiet);
    let count = chosen.len();
    for (number, plan) in chosen.into_iter().enumerate() {
        live.say(&format!("cell {} of {count}: {plan}", number + 1));
        let testnet = testnet(options, plan);
        let result = crate::run(&testnet, program.clone()).await?;
        if result.interrupted {
            report.left_out += count - number;
            break;
        }
        report
            .cells
            .push(cell(plan, testnet.threshold_of(plan.nodes), &result));
    }
    Ok(report)
}

fn plans(options: &BenchOptions) -> Vec<Plan> {
    let mut plans = Vec::new();
    for &nodes in &options.nodes {
        for &latency in &options.latencies {
            plans.extend(options.validators.iter().map(|&validators| Plan {
                nodes,
                latency,
                validators,
            }));
        }
    }
    plans
}

fn testnet(options: &BenchOptions, plan: Plan) -> Options {
    Options {
        nodes: plan.nodes,
        validators: plan.validators,
        slot_time: options.slot_time,
        slots_per_epoch: SLOTS_PER_EPOCH,
        slots: Some(options.slots),
        warm_up_slots: WARM_UP_SLOTS.min(options.slots.saturating_sub(1)),
        seed: options.seed,
        latency: plan.latency,
        progress: options.progress,
        ..Options::default()
    }
}

/// The most telling combinations that fit into a short run: the corners first, the smallest cluster before larger ones.
fn short(options: &BenchOptions, all: &[Plan]) -> Vec<Plan> {
    let mut corners = all.to_vec();
    corners.sort_by_key(|plan| {
        let ends = [
            is_end(&plan.latency, &options.latencies),
            is_end(&plan.validators, &options.validators),
        ];
        let between = ends.iter().filter(|end| !**end).count();
        (plan.nodes, between, plan.latency, plan.validators)
    });
    let mut left = SHORT_RUN;
    let mut chosen: Vec<Plan> = Vec::new();
    for plan in corners {
        let Some(rest) = left.checked_sub(duration(options, plan)) else {
            continue;
        };
        left = rest;
        chosen.push(plan);
    }
    // At least one, even if it alone takes longer.
    if chosen.is_empty() {
        chosen.extend(all.first());
    }
    chosen
}

/// Whether a value is the smallest or largest of its range.
fn is_end<T: Ord>(value: &T, values: &[T]) -> bool {
    Some(value) == values.iter().min() || Some(value) == values.iter().max()
}

/// What a cell takes: its slots, slot 0 and the one for inclusion, and starting up.
fn duration(options: &BenchOptions, plan: Plan) -> Duration {
    let slots = u32::try_from(options.slots + 2).unwrap_or(u32::MAX);
    let shares = u32::try_from(plan.nodes * plan.validators).unwrap_or(u32::MAX);
    options.slot_time.saturating_mul(slots)
        + Duration::from_secs(8)
        + Duration::from_millis(6).saturating_mul(shares)
}

fn cell(plan: Plan, threshold: usize, report: &Report) -> Cell {
    let cpu: f64 = report
        .nodes
        .iter()
        .map(|node| node.cpu_ms_per_validator_epoch)
        .sum();
    Cell {
        nodes: plan.nodes,
        threshold,
        latency_ms: plan.latency.as_secs_f64() * 1e3,
        validators: plan.validators,
        limit_ms: 4.0
            * report
                .link
                .rtt_ms_p50
                .unwrap_or(2e3 * plan.latency.as_secs_f64())
            / 2.0,
        latency_ms_by_stage: report.latency_ms.get(ATTESTER).cloned().unwrap_or_default(),
        cpu_ms_per_validator_epoch: cpu / report.nodes.len().max(1) as f64,
        peak_rss_bytes: report
            .nodes
            .iter()
            .map(|node| node.peak_rss_bytes)
            .max()
            .unwrap_or(0),
        missed: report.missed(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::Percentiles;

    pub(crate) fn a_cell(nodes: usize, latency_ms: f64, validators: usize) -> Cell {
        let flat = |value: f64| Percentiles {
            p50: value,
            p90: value,
            p99: value,
            max: value,
        };
        let stage = |first: f64| StageLatency {
            first: flat(first),
            node: flat(first + 1.0),
        };
        Cell {
            nodes,
            threshold: 3,
            latency_ms,
            validators,
            limit_ms: 4.0 * latency_ms,
            latency_ms_by_stage: BTreeMap::from([
                ("agreed".to_owned(), stage(3.0 * latency_ms + 10.0)),
                ("aggregated".to_owned(), stage(4.0 * latency_ms + 20.0)),
            ]),
            cpu_ms_per_validator_epoch: 4.5,
            peak_rss_bytes: 50_000_000,
            missed: 0,
        }
    }

    #[test]
    fn a_short_run_takes_the_corners_of_the_smallest_cluster_within_five_minutes() {
        let options = BenchOptions::default();
        let chosen = short(&options, &plans(&options));
        let total: Duration = chosen.iter().map(|plan| duration(&options, *plan)).sum();
        assert!(total <= SHORT_RUN && chosen.len() >= 3, "{chosen:?}");
        assert!(
            chosen
                .iter()
                .all(|plan| plan.nodes == 4 && plan.validators != 100)
        );
        assert_eq!(plans(&options).len(), 27);
    }

    #[test]
    fn what_fits_is_measured_whole() {
        let options = BenchOptions {
            nodes: vec![4],
            latencies: vec![Duration::ZERO],
            slots: 8,
            ..BenchOptions::default()
        };
        assert_eq!(short(&options, &plans(&options)).len(), 3);
    }

    #[test]
    fn one_cell_is_measured_even_if_it_takes_long() {
        let options = BenchOptions {
            slots: 1_000,
            ..BenchOptions::default()
        };
        assert_eq!(short(&options, &plans(&options)).len(), 1);
    }

    #[test]
    fn the_document_is_a_list_of_cells() {
        let report = BenchReport {
            cells: vec![a_cell(4, 20.0, 8)],
            left_out: 3,
        };
        let document = serde_json::to_value(report).unwrap_or_default();
        let cell = &document[0];
        for key in [
            "nodes",
            "threshold",
            "latency_ms",
            "validators",
            "limit_ms",
            "cpu_ms_per_validator_epoch",
            "missed",
        ] {
            assert!(cell[key].is_number(), "{key}");
        }
        assert!(cell["latency_ms_by_stage"]["agreed"]["first"]["p50"].is_number());
    }
}
