//! Sets what the chain saw against what the nodes told, slot by slot.
//!
//! The chain decides what was due, submitted and included; the nodes' outcomes say why something was missed and how long
//! the stages took. A slot stays open for a while, because nodes may have their last word late; then it is closed and
//! only counts remain.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::PublicKeyBytes;

use super::document::{DutyReport, Miss, StageLatency};
use super::outcome::{Fate, OutcomeLine, ValidatorLine, Word};
use super::{Distribution, Percentiles};

/// Slots open at once, at most; the oldest is closed unread beyond that.
const OPEN_SLOTS: usize = 256;
/// Misses listed, at most; more are counted.
const MISSES_LISTED: usize = 10_000;

/// The stages in order: the duty's own, then each validator's.
pub(crate) const STAGES: [&str; 6] = [
    "fetched",
    "agreed",
    "record",
    "quorum",
    "aggregated",
    "submitted",
];

/// What the chain saw of one validator's duty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Presence {
    /// There in time.
    Included,
    /// There, but so many milliseconds too late.
    Late(f64),
    /// Never there.
    Absent,
}

/// What was due of a kind in a slot: one entry for each duty, so a validator may be there several times.
pub type SlotDuties = Vec<(PublicKeyBytes, Presence)>;

/// What nodes told about one duty: for each node its last word, and what it said when the duty was late.
#[derive(Clone, Debug, Default)]
struct Reports {
    ended: BTreeMap<usize, OutcomeLine>,
    late: BTreeMap<usize, OutcomeLine>,
}

/// The figures of one kind of duty.
#[derive(Clone, Debug, Default)]
struct KindTotals {
    report: DutyReport,
    latency: BTreeMap<&'static str, (Distribution, Distribution)>,
}

/// The ledger of a run.
#[derive(Clone, Debug)]
pub struct Ledger {
    warm_up_slots: u64,
    nodes: usize,
    open: BTreeMap<(u64, String), Reports>,
    down: BTreeMap<u64, BTreeSet<usize>>,
    closed_before: u64,
    kinds: BTreeMap<String, KindTotals>,
}

/// One slot's duties of a kind, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SlotView {
    /// The slot.
    pub slot: u64,
    /// Duties.
    pub due: usize,
    /// Of these, included.
    pub included: usize,
    /// The round that decided.
    pub round: Option<u64>,
    /// Stage, the earliest node's median over validators, and all nodes' median, in milliseconds.
    pub stages: Vec<(&'static str, f64, f64)>,
    /// What was missed.
    pub missed: Vec<Miss>,
}

impl Ledger {
    /// An empty ledger of `nodes` nodes. Slots up to `warm_up_slots` will leave no trace in the figures.
    pub fn new(nodes: usize, warm_up_slots: u64) -> Self {
        Ledger {
            warm_up_slots,
            nodes,
            open: BTreeMap::new(),
            down: BTreeMap::new(),
            closed_before: 0,
            kinds: BTreeMap::new(),
        }
    }

    /// Takes a node's word. What comes after its slot was closed is too late to matter.
    pub fn note(&mut self, node: usize, line: OutcomeLine) {
        if line.slot < self.closed_before || node >= self.nodes {
            return;
        }
        let reports = self.open.entry((line.slot, line.duty.clone())).or_default();
        match line.kind {
            Word::Late => reports.late.insert(node, line),
            Word::Ended => reports.ended.insert(node, line),
        };
        if self.open.len() > OPEN_SLOTS {
            self.open.pop_first();
        }
    }

    /// Notes that a node was not running during (a part of) a slot.
    pub fn note_down(&mut self, slot: u64, node: usize) {
        if slot >= self.closed_before {
            self.down.entry(slot).or_default().insert(node);
        }
    }

    /// Everything known about one slot's duties of a kind.
    pub fn view(&self, slot: u64, kind: &str, chain: &SlotDuties) -> SlotView {
        let nothing = Reports::default();
        let reports = self.open.get(&(slot, kind.to_owned())).unwrap_or(&nothing);
        let stages = STAGES.iter().filter_map(|stage| {
            let (first, node) = reports.latency(stage, &validators(chain));
            Some((*stage, median(&first)?, median(&node)?))
        });
        let missed = chain
            .iter()
            .filter(|(_, presence)| *presence != Presence::Included);
        SlotView {
            slot,
            due: chain.len(),
            included: chain
                .iter()
                .filter(|(_, presence)| *presence == Presence::Included)
                .count(),
            round: reports.round(),
            stages: stages.collect(),
            missed: missed
                .map(|(key, presence)| self.miss(slot, *key, *presence, reports))
                .collect(),
        }
    }

    /// What the nodes themselves say of a slot's duties of a kind: for chains that tell nothing. A validator's duty is
    /// included if one of them has submitted it.
    pub fn told(&self, slot: u64, kind: &str) -> SlotDuties {
        let reports = self.open.get(&(slot, kind.to_owned()));
        let lines = reports.into_iter().flat_map(Reports::newest);
        let mut told = BTreeMap::new();
        for line in lines.flat_map(|line| &line.validators) {
            let presence = told.entry(line.pubkey).or_insert(Presence::Absent);
            if line.fate == Fate::Submitted {
                *presence = Presence::Included;
            }
        }
        told.into_iter().collect()
    }

    /// Closes a slot: its duties of each kind are counted and forgotten. Slots are closed in order.
    pub fn close(&mut self, slot: u64, kinds: &BTreeMap<&'static str, SlotDuties>) {
        for (kind, chain) in kinds {
            self.count(slot, kind, chain);
        }
        self.closed_before = slot + 1;
        self.down = self.down.split_off(&self.closed_before);
        while self
            .open
            .first_key_value()
            .is_some_and(|((open, _), _)| *open < self.closed_before)
        {
            self.open.pop_first();
        }
    }

    fn count(&mut self, slot: u64, kind: &str, chain: &SlotDuties) {
        let view = self.view(slot, kind, chain);
        let reports = self
            .open
            .remove(&(slot, kind.to_owned()))
            .unwrap_or_default();
        if slot <= self.warm_up_slots {
            return;
        }
        let totals = self.kinds.entry(kind.to_owned()).or_default();
        for stage in STAGES {
            let (first, node) = reports.latency(stage, &validators(chain));
            let kept = totals.latency.entry(stage).or_default();
            first.into_iter().for_each(|value| kept.0.add(value));
            node.into_iter().for_each(|value| kept.1.add(value));
        }
        let report = &mut totals.report;
        report.due += view.due as u64;
        report.included += view.included as u64;
        report.submitted += chain
            .iter()
            .filter(|(_, presence)| *presence != Presence::Absent)
            .count() as u64;
        if let (Some(round), false) = (view.round, chain.is_empty()) {
            *report.rounds.entry(round).or_default() += 1;
        }
        for miss in view.missed {
            match report.missed.len() < MISSES_LISTED {
                true => report.missed.push(miss),
                false => report.missed_unlisted += 1,
            }
        }
    }

    /// Why a duty was missed. Of several nodes' words the one that came furthest counts: it knows best what was lacking.
    fn miss(
        &self,
        slot: u64,
        validator: PublicKeyBytes,
        presence: Presence,
        reports: &Reports,
    ) -> Miss {
        if let Some((_, line)) = reports.missed(&validator) {
            return Miss {
                slot,
                validator,
                step: line.step.clone().unwrap_or_else(|| "run".into()),
                reason: line
                    .reason
                    .clone()
                    .unwrap_or_else(|| "no reason given".into()),
                peers: line.peers.clone(),
            };
        }
        let down: Vec<usize> = self
            .down
            .get(&slot)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let (step, reason) = match presence {
            Presence::Late(after) => (
                "submit",
                format!("it arrived {after:.0} ms too late to be included"),
            ),
            Presence::Absent if reports.submitted(&validator) => {
                ("submit", "it never arrived".into())
            }
            Presence::Absent | Presence::Included => ("run", "no node reported".into()),
        };
        Miss {
            slot,
            validator,
            step: step.into(),
            reason,
            peers: down,
        }
    }

    /// The counts of each kind of duty.
    pub fn duties(&self) -> BTreeMap<String, DutyReport> {
        self.kinds
            .iter()
            .map(|(kind, totals)| (kind.clone(), totals.report.clone()))
            .collect()
    }

    /// The latencies of each kind of duty and stage.
    pub fn latency(&self) -> BTreeMap<String, BTreeMap<String, StageLatency>> {
        let stages = |totals: &KindTotals| {
            let stage = |(stage, (first, node)): (&&'static str, &(Distribution, Distribution))| {
                let latency = StageLatency {
                    first: first.percentiles()?,
                    node: node.percentiles()?,
                };
                Some(((*stage).to_owned(), latency))
            };
            totals.latency.iter().filter_map(stage).collect()
        };
        self.kinds
            .iter()
            .map(|(kind, totals)| (kind.clone(), stages(totals)))
            .collect()
    }
}

impl Reports {
    /// Each node's newest word.
    fn newest(&self) -> impl Iterator<Item = &OutcomeLine> {
        let late_only = self
            .late
            .iter()
            .filter(|(node, _)| !self.ended.contains_key(node));
        self.ended.values().chain(late_only.map(|(_, line)| line))
    }

    /// The round that decided: the lowest that any node names, since a laggard may learn of the decision in a later one.
    fn round(&self) -> Option<u64> {
        self.newest().filter_map(|line| line.round).min()
    }

    /// A stage's latencies over `validators`: the earliest node's, and every node's.
    fn latency(&self, stage: &str, validators: &BTreeSet<PublicKeyBytes>) -> (Vec<f64>, Vec<f64>) {
        let (mut first, mut node) = (Vec::new(), Vec::new());
        for validator in validators {
            let times: Vec<f64> = self
                .newest()
                .filter_map(|line| time(line, stage, validator))
                .collect();
            first.extend(times.iter().copied().min_by(f64::total_cmp));
            node.extend(times);
        }
        (first, node)
    }

    /// What nodes said when they had missed a validator's duty, or were late with it; the furthest step first.
    fn missed(&self, validator: &PublicKeyBytes) -> Option<(usize, &ValidatorLine)> {
        let words = self.late.iter().chain(&self.ended);
        let missed = words.filter_map(|(node, line)| {
            let line = line
                .validators
                .iter()
                .find(|line| line.pubkey == *validator)?;
            (line.fate == Fate::Missed).then_some((*node, line))
        });
        // `max_by_key` takes the last of equals, `rev` makes that the lowest node.
        missed
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .max_by_key(|(_, line)| line.progress())
    }

    fn submitted(&self, validator: &PublicKeyBytes) -> bool {
        let lines = self.newest().flat_map(|line| &line.validators);
        lines
            .into_iter()
            .any(|line| line.pubkey == *validator && line.fate == Fate::Submitted)
    }
}

/// The validators that had something due.
fn validators(chain: &SlotDuties) -> BTreeSet<PublicKeyBytes> {
    chain.iter().map(|(key, _)| *key).collect()
}

/// When a node reached a stage of a validator's duty.
fn time(line: &OutcomeLine, stage: &str, validator: &PublicKeyBytes) -> Option<f64> {
    let own = line
        .validators
        .iter()
        .find(|own| own.pubkey == *validator)?;
    match stage {
        "fetched" => line.stages_ms.fetched,
        "agreed" => line.stages_ms.agreed,
        "record" => line.stages_ms.record,
        "quorum" => own.quorum,
        "aggregated" => own.aggregated,
        "submitted" => own.submitted,
        _ => None,
    }
}

fn median(values: &[f64]) -> Option<f64> {
    values
        .iter()
        .copied()
        .collect::<Distribution>()
        .percentiles()
        .map(|Percentiles { p50, .. }| p50)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::report::outcome::StageTimes;

    fn key(number: u8) -> PublicKeyBytes {
        PublicKeyBytes([number; 48])
    }

    fn line(kind: Word, slot: u64, fate: Fate, step: &str, agreed: f64) -> OutcomeLine {
        let validator = ValidatorLine {
            pubkey: key(1),
            fate,
            step: (fate == Fate::Missed).then(|| step.to_owned()),
            reason: (fate == Fate::Missed).then(|| format!("lacking in {step}")),
            peers: vec![2, 3],
            quorum: Some(agreed + 5.0),
            aggregated: None,
            submitted: None,
        };
        OutcomeLine {
            kind,
            slot,
            duty: "attester".into(),
            round: Some(1),
            leader: Some(0),
            stages_ms: StageTimes {
                agreed: Some(agreed),
                ..StageTimes::default()
            },
            validators: vec![validator],
        }
    }

    fn chain(presence: Presence) -> SlotDuties {
        vec![(key(1), presence)]
    }

    fn attested(presence: Presence) -> BTreeMap<&'static str, SlotDuties> {
        BTreeMap::from([("attester", chain(presence))])
    }

    #[test]
    fn included_duties_count_and_give_latencies() {
        let mut ledger = Ledger::new(4, 0);
        ledger.note(0, line(Word::Ended, 1, Fate::Submitted, "", 30.0));
        ledger.note(1, line(Word::Ended, 1, Fate::Submitted, "", 20.0));
        ledger.close(1, &attested(Presence::Included));
        let report = &ledger.duties()["attester"];
        assert_eq!(
            (
                report.due,
                report.submitted,
                report.included,
                report.missed.len()
            ),
            (1, 1, 1, 0)
        );
        assert_eq!(report.rounds, BTreeMap::from([(1, 1)]));
        let agreed = &ledger.latency()["attester"]["agreed"];
        assert_eq!((agreed.first.max, agreed.node.max), (20.0, 30.0));
        assert_eq!(ledger.latency()["attester"]["quorum"].first.p50, 25.0);
        assert!(!ledger.latency()["attester"].contains_key("submitted"));
    }

    #[test]
    fn the_furthest_report_explains_a_miss() {
        let mut ledger = Ledger::new(4, 0);
        ledger.note(0, line(Word::Late, 1, Fate::Missed, "fetch", 1.0));
        ledger.note(1, line(Word::Late, 1, Fate::Missed, "exchange", 1.0));
        ledger.note(1, line(Word::Ended, 1, Fate::Submitted, "", 1.0));
        let view = ledger.view(1, "attester", &chain(Presence::Late(12.0)));
        assert_eq!(
            (
                view.missed[0].step.as_str(),
                view.missed[0].peers.as_slice()
            ),
            ("exchange", [2, 3].as_slice())
        );
    }

    #[test]
    fn a_miss_nobody_reported_names_the_nodes_that_were_down() {
        let mut ledger = Ledger::new(4, 0);
        ledger.note_down(1, 3);
        ledger.note_down(1, 2);
        ledger.close(1, &attested(Presence::Absent));
        let report = &ledger.duties()["attester"];
        let miss = &report.missed[0];
        assert_eq!(
            (miss.step.as_str(), miss.reason.as_str()),
            ("run", "no node reported")
        );
        assert_eq!(
            (miss.peers.as_slice(), report.submitted),
            ([2, 3].as_slice(), 0)
        );
    }

    #[test]
    fn a_late_arrival_says_how_late() {
        let ledger = Ledger::new(4, 0);
        let view = ledger.view(1, "attester", &chain(Presence::Late(12.0)));
        assert_eq!(view.missed[0].step, "submit");
        assert!(view.missed[0].reason.contains("12 ms"));
    }

    #[test]
    fn warm_up_slots_leave_no_trace() {
        let mut ledger = Ledger::new(4, 2);
        for slot in 1..=3 {
            ledger.close(slot, &attested(Presence::Included));
        }
        assert_eq!(ledger.duties()["attester"].due, 1);
    }

    #[test]
    fn kinds_of_a_slot_are_closed_together_and_counted_apart() {
        let mut ledger = Ledger::new(4, 0);
        ledger.note(0, line(Word::Ended, 1, Fate::Submitted, "", 30.0));
        let mut kinds = attested(Presence::Included);
        // One validator with two contributions due.
        kinds.insert(
            "sync_contribution",
            vec![(key(1), Presence::Included), (key(1), Presence::Absent)],
        );
        kinds.insert("aggregator", Vec::new());
        ledger.close(1, &kinds);
        let report = ledger.duties();
        assert_eq!(report["attester"].rounds, BTreeMap::from([(1, 1)]));
        let contributions = &report["sync_contribution"];
        assert_eq!((contributions.due, contributions.included), (2, 1));
        assert_eq!(contributions.missed.len(), 1);
        assert_eq!(report["aggregator"].due, 0);
    }

    #[test]
    fn what_one_node_has_submitted_is_included_by_their_own_account() {
        let mut ledger = Ledger::new(4, 0);
        assert!(ledger.told(1, "attester").is_empty());
        ledger.note(0, line(Word::Ended, 1, Fate::Missed, "exchange", 1.0));
        assert_eq!(ledger.told(1, "attester"), chain(Presence::Absent));
        ledger.note(1, line(Word::Ended, 1, Fate::Submitted, "", 1.0));
        assert_eq!(ledger.told(1, "attester"), chain(Presence::Included));
    }

    #[test]
    fn closed_slots_take_no_more_words_and_memory_is_bounded() {
        let mut ledger = Ledger::new(4, 0);
        ledger.close(5, &attested(Presence::Included));
        ledger.note(0, line(Word::Ended, 5, Fate::Submitted, "", 1.0));
        ledger.note(9, line(Word::Ended, 6, Fate::Submitted, "", 1.0));
        assert!(ledger.open.is_empty());
        for slot in 6..2_000 {
            ledger.note(0, line(Word::Ended, slot, Fate::Submitted, "", 1.0));
        }
        assert_eq!(ledger.open.len(), OPEN_SLOTS);
    }
}
