//! What a node tells about the end of a duty: one line of JSON of its `/flotilla/outcomes` stream.

use flotilla_types::PublicKeyBytes;
use serde::Deserialize;

/// Whether a duty has ended or is only late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// The next slot has begun; this is where the duty stands.
    Late,
    /// The last word on the duty.
    Ended,
}

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct OutcomeLine {
    /// Late or ended.
    pub kind: Word,
    /// The duty's slot.
    pub slot: u64,
    /// The duty's kind, such as `attester`.
    pub duty: String,
    /// The round that decided.
    #[serde(default)]
    pub round: Option<u64>,
    /// Who led that round.
    #[serde(default)]
    pub leader: Option<usize>,
    /// When the stages that all validators share were reached.
    #[serde(default)]
    pub stages_ms: StageTimes,
    /// Each validator's own end.
    #[serde(default)]
    pub validators: Vec<ValidatorLine>,
}

/// Milliseconds after the due point; absent where not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct StageTimes {
    /// The node's beacon node has answered.
    pub fetched: Option<f64>,
    /// The cluster has agreed.
    pub agreed: Option<f64>,
    /// The slashing database has synced.
    pub record: Option<f64>,
    /// The node's own share has signed.
    pub signed: Option<f64>,
}

/// A validator's part of an [`OutcomeLine`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ValidatorLine {
    /// Its group public key.
    pub pubkey: PublicKeyBytes,
    /// Submitted or missed.
    pub fate: Fate,
    /// The last step that did not complete, if missed.
    #[serde(default)]
    pub step: Option<String>,
    /// Why, if missed.
    #[serde(default)]
    pub reason: Option<String>,
    /// Peers that were absent or at fault.
    #[serde(default)]
    pub peers: Vec<usize>,
    /// When the threshold-th partial signature was at the node.
    #[serde(default)]
    pub quorum: Option<f64>,
    /// When the group signature was made and checked.
    #[serde(default)]
    pub aggregated: Option<f64>,
    /// When a beacon node had accepted it.
    #[serde(default)]
    pub submitted: Option<f64>,
}

/// How a validator's duty went at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// A beacon node accepted it.
    Submitted,
    /// It did not come to that.
    Missed,
}

/// Steps of a duty in order, as nodes name them.
const STEPS: [&str; 7] = [
    "fetch",
    "agree",
    "record",
    "sign",
    "exchange",
    "aggregate",
    "submit",
];

impl ValidatorLine {
    /// How far the duty came, for choosing among several nodes' reports.
    pub(crate) fn progress(&self) -> usize {
        let step = self.step.as_deref().unwrap_or_default();
        STEPS
            .iter()
            .position(|name| *name == step)
            .map_or(0, |position| position + 1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_of_the_stream_is_read() {
        let text = format!(
            r#"{{"kind":"late","slot":7,"duty":"attester","due_ms":1000,"round":1,"leader":null,
                "stages_ms":{{"fetched":1.5,"agreed":20.25}},
                "validators":[{{"pubkey":"0x{}","fate":"missed","step":"exchange",
                "reason":"2 of 3 partial signatures","peers":[2,3],"quorum":null}}]}}"#,
            "ab".repeat(48)
        );
        let line: OutcomeLine = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (line.kind, line.slot, line.round, line.leader),
            (Word::Late, 7, Some(1), None)
        );
        assert_eq!(
            (line.stages_ms.fetched, line.stages_ms.record),
            (Some(1.5), None)
        );
        let validator = &line.validators[0];
        assert_eq!(
            (validator.fate, validator.peers.as_slice()),
            (Fate::Missed, [2, 3].as_slice())
        );
        assert_eq!(validator.progress(), 5);
    }
}
