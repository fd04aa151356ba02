//! Questions about duties: who attests, proposes, and sits in the sync committee.

use std::collections::BTreeSet;

use flotilla_types::{
    AttesterDuty, Epoch, ProposerDuty, Root, Slot, SyncCommitteeDuty, ValidatorIndex,
};
use serde::Deserialize;

use super::{
    answers::{data, json},
    error::{QueryError, Reason},
    exchange::Answer,
    node::BeaconNode,
    status::SMALL,
    validators::PER_ITEM,
};

/// Most bytes of an epoch's proposer duties: those of several thousand slots.
const PROPOSERS: usize = 1 << 20;
/// Most bytes of one validator's places in a sync committee. On a small network it may have all.
const PER_MEMBER: usize = 8 << 10;

/// The attester duties of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AttesterDuties {
    /// The block that the shuffling depends on. Another root, later, means other duties.
    pub dependent_root: Root,
    /// Whether that block is not verified yet.
    #[serde(default)]
    pub execution_optimistic: bool,
    /// One duty per asked validator that is active in the epoch.
    #[serde(rename = "data")]
    pub duties: Vec<AttesterDuty>,
}

/// The proposer duties of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ProposerDuties {
    /// The block that the choice depends on. Another root, later, may mean other duties. Older nodes name a later block
    /// than the choice really depends on, so the root may change more often than the duties, never less.
    pub dependent_root: Root,
    /// Whether that block is not verified yet.
    #[serde(default)]
    pub execution_optimistic: bool,
    /// At most one duty per slot, those of all validators.
    #[serde(rename = "data")]
    pub duties: Vec<ProposerDuty>,
}

impl BeaconNode {
    /// The attester duties of these validators in an epoch, at most one ahead
    /// (`POST /eth/v1/validator/duties/attester/{epoch}`). Duties of others or of another epoch make an answer unusable.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn attester_duties(
        &self,
        epoch: Epoch,
        validators: &[ValidatorIndex],
    ) -> Result<AttesterDuties, QueryError> {
        let path = format!("/eth/v1/validator/duties/attester/{epoch}");
        let body = serde_json::json!(validators).to_string();
        let limit = SMALL + PER_ITEM * validators.len();
        let mut call = self.post("attester_duties", &path, body, limit);
        call.timeout = self.timeouts.epoch_query;
        self.query(&call, |answer| {
            let answer = attester_duties(&answer, validators)?;
            self.check_epoch(epoch, answer.duties.iter().map(|duty| duty.slot))?;
            Ok::<_, Reason>(answer)
        })
        .await
    }

    /// Who proposes in an epoch, at most one ahead (`GET /eth/v2/validator/duties/proposer/{epoch}`, and v1 where a node
    /// lacks that). Duties of another epoch make an answer unusable.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn proposer_duties(&self, epoch: Epoch) -> Result<ProposerDuties, QueryError> {
        let ask = |version: &str| {
            let path = format!("/eth/{version}/validator/duties/proposer/{epoch}");
            let mut call = self.get("proposer_duties", &path, PROPOSERS);
            call.timeout = self.timeouts.epoch_query;
            call
        };
        self.query_either(&ask("v2"), Some(&ask("v1")), |answer| {
            let answer = proposer_duties(&answer)?;
            self.check_epoch(epoch, answer.duties.iter().map(|duty| duty.slot))?;
            Ok::<_, Reason>(answer)
        })
        .await
    }

    /// Duties of another epoch are no answer.
    fn check_epoch(&self, epoch: Epoch, slots: impl Iterator<Item = Slot>) -> Result<(), Reason> {
        let Some(chain) = &self.chain else {
            return Ok(());
        };
        let mut strays = slots.filter(|slot| chain.epoch_of(*slot) != epoch);
        match strays.next() {
            Some(slot) => Err(Reason::OtherEpoch { epoch, slot }),
            None => Ok(()),
        }
    }

    /// Which of these validators are in the sync committee of an epoch's period, and where
    /// (`POST /eth/v1/validator/duties/sync/{epoch}`). Duties of others make an answer unusable.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn sync_duties(
        &self,
        epoch: Epoch,
        validators: &[ValidatorIndex],
    ) -> Result<Vec<SyncCommitteeDuty>, QueryError> {
        let path = format!("/eth/v1/validator/duties/sync/{epoch}");
        let body = serde_json::json!(validators).to_string();
        let limit = SMALL + PER_MEMBER * validators.len();
        let mut call = self.post("sync_committee_duties", &path, body, limit);
        call.timeout = self.timeouts.epoch_query;
        self.query(&call, |answer| sync_duties(&answer, validators))
            .await
    }
}

/// Nobody but those asked for, each at most once.
fn attester_duties(answer: &Answer, asked: &[ValidatorIndex]) -> Result<AttesterDuties, String> {
    let duties: AttesterDuties = json(answer)?;
    only_once(asked, duties.duties.iter().map(|duty| duty.validator_index))?;
    Ok(duties)
}

/// Nobody but those asked for, each at most once.
fn sync_duties(
    answer: &Answer,
    asked: &[ValidatorIndex],
) -> Result<Vec<SyncCommitteeDuty>, String> {
    let duties: Vec<SyncCommitteeDuty> = data(answer)?;
    only_once(asked, duties.iter().map(|duty| duty.validator_index))?;
    Ok(duties)
}

/// One proposer for each slot.
fn proposer_duties(answer: &Answer) -> Result<ProposerDuties, String> {
    let duties: ProposerDuties = json(answer)?;
    let mut slots = BTreeSet::<Slot>::new();
    match duties.duties.iter().find(|duty| !slots.insert(duty.slot)) {
        Some(duty) => Err(format!("two proposers of slot {}", duty.slot)),
        None => Ok(duties),
    }
}

fn only_once(
    asked: &[ValidatorIndex],
    got: impl Iterator<Item = ValidatorIndex>,
) -> Result<(), String> {
    let mut open: BTreeSet<_> = asked.iter().copied().collect();
    for validator in got {
        if !open.remove(&validator) {
            return Err(format!("a duty too many, for validator {validator}"));
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer {
            body: text.as_bytes().to_vec(),
            ..Answer::default()
        }
    }

    #[test]
    fn duties_of_others_or_twice_are_refused() {
        let duty = AttesterDuty {
            validator_index: ValidatorIndex(5),
            committee_length: 1,
            committees_at_slot: 1,
            ..AttesterDuty::default()
        };
        let text = |duties: &[AttesterDuty]| {
            serde_json::json!({ "dependent_root": Root::default(), "data": duties }).to_string()
        };
        let asked = [ValidatorIndex(5), ValidatorIndex(6)];
        assert_eq!(
            attester_duties(&answer(&text(&[duty])), &asked)
                .unwrap()
                .duties,
            [duty]
        );
        assert!(attester_duties(&answer(&text(&[duty, duty])), &asked).is_err());
        assert!(attester_duties(&answer(&text(&[duty])), &[ValidatorIndex(6)]).is_err());
    }

    #[test]
    fn a_slot_has_one_proposer() {
        let duty = |slot| ProposerDuty {
            slot: Slot(slot),
            ..ProposerDuty::default()
        };
        let text = |duties: &[ProposerDuty]| {
            serde_json::json!({ "dependent_root": Root::default(), "data": duties }).to_string()
        };
        let two = [duty(1), duty(2)];
        assert_eq!(proposer_duties(&answer(&text(&two))).unwrap().duties, two);
        assert_eq!(
            proposer_duties(&answer(&text(&[duty(1), duty(1)]))).unwrap_err(),
            "two proposers of slot 1"
        );
    }

    #[test]
    fn sync_duties_of_others_are_refused() {
        let duty = SyncCommitteeDuty {
            validator_index: ValidatorIndex(5),
            positions: vec![1],
            ..SyncCommitteeDuty::default()
        };
        let text = serde_json::json!({ "data": [duty] }).to_string();
        let asked = |index| sync_duties(&answer(&text), &[ValidatorIndex(index)]);
        assert_eq!(asked(5).unwrap(), [duty]);
        assert!(asked(6).is_err());
    }
}
