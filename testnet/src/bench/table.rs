//! The figures as a table for a terminal.

use std::fmt;

use super::{BenchReport, Cell};
use crate::report::StageLatency;

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Attestations, ms after the due point; of the first node, medians (99 of 100)"
        )?;
        writeln!(
            f,
            "{:>5} {:>9} {:>8} {:>10} {:>8}   {:>16} {:>16} {:>16} {:>16} {:>10} {:>8} {:>6}",
            "nodes",
            "threshold",
            "link ms",
            "validators",
            "limit",
            "agreed",
            "quorum",
            "aggregated",
            "submitted",
            "cpu ms/v/e",
            "peak MB",
            "missed",
        )?;
        self.cells.iter().try_for_each(|cell| row(f, cell))?;
        if self.left_out > 0 {
            writeln!(
                f,
                "{} further combinations were left out; --full measures them all",
                self.left_out
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, cell: &Cell) -> fmt::Result {
    let stage = |name: &str| {
        cell.latency_ms_by_stage
            .get(name)
            .map_or("-".to_owned(), figures)
    };
    writeln!(
        f,
        "{:>5} {:>9} {:>8.1} {:>10} {:>8.1}   {:>16} {:>16} {:>16} {:>16} {:>10.2} {:>8.1} {:>6}",
        cell.nodes,
        cell.threshold,
        cell.latency_ms,
        cell.validators,
        cell.limit_ms,
        stage("agreed"),
        stage("quorum"),
        stage("aggregated"),
        stage("submitted"),
        cell.cpu_ms_per_validator_epoch,
        cell.peak_rss_bytes as f64 / 1e6,
        cell.missed,
    )
}

fn figures(latency: &StageLatency) -> String {
    format!("{:.1} ({:.1})", latency.first.p50, latency.first.p99)
}

#[cfg(test)]
mod tests {
    use super::super::tests::a_cell;
    use super::*;

    #[test]
    fn each_cell_has_a_row_and_the_rest_is_mentioned() {
        let report = BenchReport {
            cells: vec![a_cell(4, 0.0, 8), a_cell(4, 75.0, 8)],
            left_out: 25,
        };
        let text = report.to_string();
        assert_eq!(text.lines().count(), 5);
        assert!(
            text.contains("235.0 (235.0)") && text.contains("25 further"),
            "{text}"
        );
        assert_eq!(
            text.lines().nth(1).map(str::len),
            text.lines().nth(2).map(str::len)
        );
    }
}
