//! What follows from an outcome: counters, and lines in the log.

use std::collections::BTreeMap;

use flotilla_duty::Outcome;
use flotilla_duty::outcome::{Fate, ItemOutcome, Reason, Step};
use flotilla_types::{DutyKind, PeerIndex, Timestamp};

use super::labels::{Labels, Shared};
use super::metrics::Metrics;
use super::slow::{self, Slow};
use super::{ClusterNames, PROTOCOL, reasons, stages};

/// Counts a duty that has ended.
pub fn count(metrics: &Metrics, shared: &Shared, names: &ClusterNames, outcome: &Outcome) {
    let duty = outcome.duty.kind.name();
    let labels = Labels::new(shared, [("duty", duty)]);
    metrics.expected.get_or_create(&labels).inc();
    let submitted = outcome.items.values().filter_map(ItemOutcome::done).max();
    // As in the field, a duty counts as done when its last step was reached for some validator; `flotilla_*` counts each.
    match submitted {
        Some(submitted) => {
            metrics.succeeded.get_or_create(&labels).inc();
            metrics.bcast_total.get_or_create(&labels).inc();
            metrics
                .bcast_delay
                .get_or_create(&labels)
                .observe(seconds(outcome.due, submitted));
        }
        None => {
            metrics.failed.get_or_create(&labels).inc();
            if let Some(Miss { reason, .. }) = misses(outcome).next() {
                let labels = Labels::new(
                    shared,
                    [
                        ("duty", duty),
                        ("reason", reasons::code(outcome.duty.kind, reason)),
                    ],
                );
                metrics.failed_reasons.get_or_create(&labels).inc();
            }
        }
    }
    count_agreement(metrics, shared, names, outcome);
    count_stages(metrics, shared, outcome);
    for miss in misses(outcome) {
        let own = [
            ("duty", duty),
            ("step", miss.step.name()),
            ("reason", miss.reason.label()),
        ];
        metrics
            .missed
            .get_or_create(&Labels::new(shared, own))
            .inc();
    }
    let missed = misses(outcome).count();
    for (fate, count) in [
        ("submitted", outcome.items.len() - missed),
        ("missed", missed),
    ] {
        let labels = Labels::new(shared, [("duty", duty), ("fate", fate)]);
        metrics
            .validator_duties
            .get_or_create(&labels)
            .inc_by(count as u64);
    }
}

fn count_agreement(metrics: &Metrics, shared: &Shared, names: &ClusterNames, outcome: &Outcome) {
    let duty = outcome.duty.kind.name();
    let timed = Labels::new(
        shared,
        [
            ("protocol", PROTOCOL),
            ("duty", duty),
            ("timer", names.timer),
        ],
    );
    if let Some(round) = outcome.round {
        metrics
            .consensus_rounds
            .get_or_create(&timed)
            .set(round as f64);
    }
    if let Some(leader) = outcome.leader {
        let labels = Labels::new(shared, [("protocol", PROTOCOL), ("duty", duty)]);
        metrics
            .consensus_leader
            .get_or_create(&labels)
            .set(leader.get() as f64);
    }
    if let Some(agreed) = outcome.stages.agreed {
        let started = outcome.stages.fetched.unwrap_or(outcome.due);
        metrics
            .consensus_duration
            .get_or_create(&timed)
            .observe(seconds(started, agreed));
    }
    if misses(outcome).any(|miss| {
        matches!(
            miss.reason,
            Reason::NoQuorum { .. } | Reason::NoDecision { .. }
        )
    }) {
        metrics.consensus_timeout.get_or_create(&timed).inc();
    }
}

fn count_stages(metrics: &Metrics, shared: &Shared, outcome: &Outcome) {
    let duty = outcome.duty.kind.name();
    let observe = |(stage, reached): (&'static str, Option<Timestamp>)| {
        if let Some(reached) = reached {
            let labels = Labels::new(shared, [("duty", duty), ("stage", stage)]);
            metrics
                .stage
                .get_or_create(&labels)
                .observe(seconds(outcome.due, reached));
        }
    };
    stages::shared(outcome).into_iter().for_each(observe);
    for validator in outcome.items.values() {
        stages::own(validator).into_iter().for_each(observe);
    }
    let validators = || outcome.items.values();
    let quorum = validators().filter_map(|validator| validator.quorum).max();
    let aggregated = validators()
        .filter_map(|validator| validator.aggregated)
        .max();
    if let (Some(quorum), Some(aggregated)) = (quorum, aggregated) {
        let labels = Labels::new(shared, [("duty", duty)]);
        metrics
            .sigagg
            .get_or_create(&labels)
            .observe(seconds(quorum, aggregated));
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.saturating_since(from).as_secs_f64()
}

/// One validator's miss.
struct Miss<'a> {
    step: Step,
    reason: &'a Reason,
    peers: &'a [PeerIndex],
}

fn misses(outcome: &Outcome) -> impl Iterator<Item = Miss<'_>> {
    outcome
        .items
        .values()
        .filter_map(|validator| match &validator.fate {
            Fate::Submitted => None,
            Fate::Missed {
                step,
                reason,
                peers,
            } => Some(Miss {
                step: *step,
                reason,
                peers,
            }),
        })
}

/// Validators that missed for the same reason, told in one line.
struct Group {
    step: Step,
    reason: String,
    peers: String,
    validators: usize,
}

impl Group {
    fn warn(&self, names: &ClusterNames, outcome: &Outcome, word: &str) {
        let slowest = slow::slowest(outcome);
        tracing::warn!(
            cluster = names.hash.as_str(),
            slot = outcome.duty.slot.0,
            duty = outcome.duty.kind.name(),
            validators = self.validators,
            step = self.step.name(),
            reason = self.reason,
            peers = self.peers,
            slowest = slowest.map(|slow| slow.step.name()),
            slowest_ms = slowest.map(|slow| slow.took.as_millis() as u64),
            "{word}"
        );
    }
}

fn grouped(names: &ClusterNames, outcome: &Outcome) -> Vec<Group> {
    let mut groups = BTreeMap::new();
    for miss in misses(outcome) {
        let name = |peer: &PeerIndex| {
            names
                .peers
                .get(peer.get())
                .cloned()
                .unwrap_or_else(|| peer.get().to_string())
        };
        let peers = miss.peers.iter().map(name).collect::<Vec<_>>().join(",");
        *groups
            .entry((miss.step, miss.reason.to_string(), peers))
            .or_insert(0) += 1;
    }
    let group = |((step, reason, peers), validators)| Group {
        step,
        reason,
        peers,
        validators,
    };
    groups.into_iter().map(group).collect()
}

/// Whether only the cluster needs what a duty of this kind makes.
fn is_internal(kind: DutyKind) -> bool {
    matches!(
        kind,
        DutyKind::Randao | DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution
    )
}

/// Whether too few peers took part in the duty's agreement.
pub fn is_without_quorum(outcome: &Outcome) -> bool {
    misses(outcome).any(|miss| matches!(miss.reason, Reason::NoQuorum { .. }))
}

/// One line for what was submitted, one per reason for what was missed. What only the cluster needs is told at debug level.
pub fn log_ended(names: &ClusterNames, outcome: &Outcome, slow: Option<Slow>) {
    let (cluster, duty) = (names.hash.as_str(), outcome.duty.kind.name());
    let (slot, round) = (outcome.duty.slot.0, outcome.round);
    let done = outcome.items.values().filter_map(ItemOutcome::done);
    if let Some(last) = done.clone().max() {
        let after_due_ms = last.saturating_since(outcome.due).as_millis() as u64;
        let validators = done.count();
        let slowest = slow.map(|slow| slow.step.name());
        let slowest_ms = slow.map(|slow| slow.took.as_millis() as u64);
        if is_internal(outcome.duty.kind) {
            tracing::debug!(cluster, slot, duty, validators, after_due_ms, "combined");
        } else {
            tracing::info!(
                cluster,
                slot,
                duty,
                validators,
                round,
                after_due_ms,
                slowest,
                slowest_ms,
                "submitted"
            );
        }
    }
    for group in grouped(names, outcome) {
        group.warn(names, outcome, "missed");
    }
}

/// Where a duty stands that is late.
pub fn log_late(names: &ClusterNames, outcome: &Outcome) {
    for group in grouped(names, outcome) {
        group.warn(names, outcome, "late");
    }
}
