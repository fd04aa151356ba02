//! The result of a run, and the JSON document it is written as.

use std::collections::BTreeMap;
use std::path::PathBuf;

use flotilla_types::PublicKeyBytes;
use serde::Serialize;

use super::Percentiles;

/// The result of a run. It serialises to the document that `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Slots judged, warm-up apart.
    pub slots: u64,
    /// Counts by kind of duty.
    pub duties: BTreeMap<String, DutyReport>,
    /// Latencies by kind of duty and stage.
    pub latency_ms: BTreeMap<String, BTreeMap<String, StageLatency>>,
    /// Submissions the chain refused, duplicates apart.
    pub rejected: u64,
    /// Submissions of what was already there.
    pub duplicates: u64,
    /// Pairs of conflicting signatures.
    pub slashable: u64,
    /// The links between nodes.
    pub link: Link,
    /// Each node's use of the machine.
    pub nodes: Vec<NodeReport>,
    /// What was refused, by reason.
    #[serde(skip)]
    pub faults: BTreeMap<&'static str, u64>,
    /// Nodes that ended unasked, and how.
    #[serde(skip)]
    pub ended: Vec<(usize, String)>,
    /// Whether Ctrl-C ended the run.
    #[serde(skip)]
    pub interrupted: bool,
    /// Where keys and logs are, if they were kept.
    #[serde(skip)]
    pub kept_dir: Option<PathBuf>,
}

/// Counts of one kind of duty.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DutyReport {
    /// One for each validator and duty.
    pub due: u64,
    /// Some node brought a valid group signature to some endpoint.
    pub submitted: u64,
    /// It was there, with the right head, before the next slot began.
    pub included: u64,
    /// Those not included.
    pub missed: Vec<Miss>,
    /// How many duties of the cluster were decided in each round.
    pub rounds: BTreeMap<u64, u64>,
    /// Misses beyond those listed: a run may go on for days without a quorum.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed_unlisted: u64,
}

/// By reference, as serde asks.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A duty that was not included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// Its slot.
    pub slot: u64,
    /// Whose duty.
    pub validator: PublicKeyBytes,
    /// The step that did not complete.
    pub step: String,
    /// Why.
    pub reason: String,
    /// Nodes that were absent or at fault.
    pub peers: Vec<usize>,
}

/// Latencies of a stage, in milliseconds after the duty's due point, over validators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageLatency {
    /// The earliest node's.
    pub first: Percentiles,
    /// Every node's.
    pub node: Percentiles,
}

/// What the links between nodes cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Link {
    /// Median round trip, measured through a link of the proxy, or over loopback without one.
    pub rtt_ms_p50: Option<f64>,
}

/// One node's use of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct NodeReport {
    /// Processor time of all its processes, start-up included.
    pub cpu_seconds: f64,
    /// Processor time of the judged slots, warm-up apart, for each validator and epoch.
    pub cpu_ms_per_validator_epoch: f64,
    /// The most memory it had resident.
    pub peak_rss_bytes: u64,
    /// Sent to peers.
    pub sent_bytes: u64,
    /// Received from peers.
    pub received_bytes: u64,
    /// How often it was started again.
    pub restarts: u64,
}

impl Report {
    /// Duties missed, of every kind.
    pub fn missed(&self) -> u64 {
        self.duties
            .values()
            .map(|duty| duty.missed.len() as u64 + duty.missed_unlisted)
            .sum()
    }

    /// The exit code of the process: 0 only if nothing was missed, rejected or slashable, else 1.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.missed() + self.rejected + self.slashable > 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(in crate::report) fn report() -> Report {
        Report {
            slots: 24,
            duties: BTreeMap::from([(
                "attester".to_owned(),
                DutyReport {
                    due: 8,
                    ..DutyReport::default()
                },
            )]),
            latency_ms: BTreeMap::from([(
                "attester".to_owned(),
                BTreeMap::from([("agreed".to_owned(), StageLatency::default())]),
            )]),
            rejected: 0,
            duplicates: 24,
            slashable: 0,
            link: Link {
                rtt_ms_p50: Some(0.25),
            },
            nodes: vec![NodeReport::default()],
            faults: BTreeMap::new(),
            ended: Vec::new(),
            interrupted: false,
            kept_dir: None,
        }
    }

    #[test]
    fn only_a_flawless_run_exits_with_zero() {
        assert_eq!(report().exit_code(), 0);
        assert_eq!(
            Report {
                rejected: 1,
                ..report()
            }
            .exit_code(),
            1
        );
        assert_eq!(
            Report {
                slashable: 1,
                ..report()
            }
            .exit_code(),
            1
        );
        let mut missed = report();
        missed
            .duties
            .get_mut("attester")
            .unwrap()
            .missed
            .push(Miss {
                slot: 1,
                validator: PublicKeyBytes([0; 48]),
                step: "run".into(),
                reason: "no node reported".into(),
                peers: vec![],
            });
        assert_eq!(missed.exit_code(), 1);
    }

    #[test]
    fn the_document_has_the_agreed_keys() {
        let document = serde_json::to_value(report()).unwrap();
        let keys: Vec<_> = document.as_object().unwrap().keys().cloned().collect();
        let mut expected = [
            "slots",
            "duties",
            "latency_ms",
            "rejected",
            "duplicates",
            "slashable",
            "link",
            "nodes",
        ]
        .map(str::to_owned)
        .to_vec();
        expected.sort();
        let mut keys = keys;
        keys.sort();
        assert_eq!(keys, expected);
        let duty = document["duties"]["attester"].as_object().unwrap();
        assert_eq!(duty.keys().len(), 5);
        assert!(document["latency_ms"]["attester"]["agreed"]["first"]["p99"].is_number());
        assert_eq!(document["link"]["rtt_ms_p50"], 0.25);
    }
}
