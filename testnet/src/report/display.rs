//! The summary at the end of a run, for people.

use std::fmt;

use super::ledger::STAGES;
use super::live::miss_text;
use super::{DutyReport, Percentiles, Report};

/// Misses listed in the summary; the JSON document has more.
const MISSES_SHOWN: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} slots judged", self.slots)?;
        for (kind, duty) in &self.duties {
            self.duty(f, kind, duty)?;
        }
        let (rejected, duplicates, slashable) = (self.rejected, self.duplicates, self.slashable);
        writeln!(
            f,
            "submissions: {rejected} rejected, {duplicates} duplicates, {slashable} slashable pairs"
        )?;
        for (fault, count) in &self.faults {
            writeln!(f, "  rejected for {fault}: {count}")?;
        }
        if let Some(round_trip) = self.link.rtt_ms_p50 {
            writeln!(f, "links: {round_trip:.2} ms round trip (median)")?;
        }
        self.nodes(f)?;
        for (node, status) in &self.ended {
            writeln!(f, "node {node} ended by itself: {status}")?;
        }
        if let Some(dir) = &self.kept_dir {
            writeln!(f, "keys and logs are in {}", dir.display())?;
        }
        let verdict = if self.exit_code() == 0 {
            "all duties included"
        } else {
            "not everything went well"
        };
        writeln!(f, "{verdict}")
    }
}

impl Report {
    fn duty(&self, f: &mut fmt::Formatter<'_>, kind: &str, duty: &DutyReport) -> fmt::Result {
        let missed = duty.missed.len() as u64 + duty.missed_unlisted;
        let DutyReport {
            due,
            submitted,
            included,
            ..
        } = duty;
        writeln!(
            f,
            "{kind}: {due} due, {submitted} submitted, {included} included, {missed} missed"
        )?;
        let rounds: Vec<_> = duty
            .rounds
            .iter()
            .map(|(round, count)| format!("{count} in round {round}"))
            .collect();
        if !rounds.is_empty() {
            writeln!(f, "  decided: {}", rounds.join(", "))?;
        }
        for miss in duty.missed.iter().take(MISSES_SHOWN) {
            writeln!(f, "  slot {}: {}", miss.slot, miss_text(miss))?;
        }
        if missed > MISSES_SHOWN as u64 {
            writeln!(f, "  and {} more", missed - MISSES_SHOWN as u64)?;
        }
        let Some(stages) = self
            .latency_ms
            .get(kind)
            .filter(|stages| !stages.is_empty())
        else {
            return Ok(());
        };
        writeln!(
            f,
            "  ms after due    first node: p50     p90     p99     max   every node: p50     p90     p99     max"
        )?;
        for stage in STAGES {
            if let Some(latency) = stages.get(stage) {
                writeln!(
                    f,
                    "  {stage:<12}           {}           {}",
                    row(&latency.first),
                    row(&latency.node)
                )?;
            }
        }
        Ok(())
    }

    fn nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  node     cpu s   cpu ms per validator and epoch   peak MB    sent kB   received kB   restarts"
        )?;
        for (index, node) in self.nodes.iter().enumerate() {
            writeln!(
                f,
                "  {index:>4}  {:>8.2}   {:>30.2}   {:>7.1}   {:>8.0}   {:>11.0}   {:>8}",
                node.cpu_seconds,
                node.cpu_ms_per_validator_epoch,
                node.peak_rss_bytes as f64 / 1e6,
                node.sent_bytes as f64 / 1e3,
                node.received_bytes as f64 / 1e3,
                node.restarts,
            )?;
        }
        Ok(())
    }
}

fn row(percentiles: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, max } = percentiles;
    format!("{p50:>7.1} {p90:>7.1} {p99:>7.1} {max:>7.1}")
}

#[cfg(test)]
mod tests {
    use super::super::document::tests::report;

    #[test]
    fn the_summary_names_what_was_judged_and_the_verdict() {
        let text = report().to_string();
        assert!(
            text.starts_with("24 slots judged\nattester: 8 due"),
            "{text}"
        );
        assert!(
            text.contains("0 rejected, 24 duplicates, 0 slashable"),
            "{text}"
        );
        assert!(text.ends_with("all duties included\n"), "{text}");
    }
}
