//! What became of our work on the chain.

use flotilla_types::DutyKind;

use super::ClusterTelemetry;
use crate::inclusion::{EpochReport, Fate, Finding, Head};

impl ClusterTelemetry {
    /// Something has been found out about a block or about heads; a block that is not on the chain is told to the operator.
    pub fn found(&self, finding: &Finding) {
        match *finding {
            Finding::Heads { head, validators } => {
                let result = match head {
                    Head::Correct => "correct",
                    Head::Wrong => "wrong",
                    Head::Unknown => "unknown",
                };
                self.metrics
                    .heads
                    .get_or_create(&self.labels([("result", result)]))
                    .inc_by(validators);
            }
            Finding::Block {
                slot,
                validator,
                fate,
            } => {
                let labels = self.labels([("fate", fate.label())]);
                self.metrics.blocks.get_or_create(&labels).inc();
                let why = match fate {
                    Fate::Included | Fate::Unknown => return,
                    Fate::Empty => "no block is in its slot",
                    Fate::Replaced => "another block is in its slot",
                };
                self.not_included(DutyKind::Proposer, 1);
                self.seen().missed_blocks += 1;
                let cluster = self.names.hash.as_str();
                tracing::warn!(cluster, slot = slot.0, %validator, why, "the block was submitted and not included");
            }
        }
    }

    /// What an epoch's rewards say of its attestations.
    pub fn attestations(&self, report: &EpochReport) {
        let (metrics, own) = (&self.metrics, self.labels([]));
        metrics
            .attestation_expect
            .get_or_create(&own)
            .inc_by(report.validators);
        metrics
            .attestation_success
            .get_or_create(&own)
            .inc_by(report.included);
        for (vote, right) in [
            ("source", report.source),
            ("target", report.target),
            ("head", report.head),
        ] {
            for (result, count) in [
                ("rewarded", right),
                ("unrewarded", report.included.saturating_sub(right)),
            ] {
                let labels = self.labels([("vote", vote), ("result", result)]);
                metrics.votes.get_or_create(&labels).inc_by(count);
            }
        }
        let missed = report.validators.saturating_sub(report.included);
        self.not_included(DutyKind::Attester, missed);
        if missed > 0 {
            let cluster = self.names.hash.as_str();
            let epoch = report.epoch.0;
            tracing::warn!(
                cluster,
                epoch,
                missed,
                validators = report.validators,
                "attestations were not included"
            );
        }
    }

    fn not_included(&self, kind: DutyKind, count: u64) {
        self.metrics
            .inclusion_missed
            .get_or_create(&self.labels([("duty", kind.name())]))
            .inc_by(count);
    }
}
