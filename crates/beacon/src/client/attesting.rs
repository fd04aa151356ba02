//! Questions in the middle of a slot: what to attest, and what others have attested and signed.

use flotilla_types::{
    AggregateValue, Attestation, AttestationData, CommitteeIndex, Fork, ListSizes, Root, Slot,
    SyncCommitteeContribution,
};
use serde_json::Value;

use super::{
    answers::{data, json},
    error::QueryError,
    exchange::{Accept, Answer, CONSENSUS_VERSION},
    node::BeaconNode,
    query::absent_if,
    status::SMALL,
};

/// What an aggregate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AggregateQuery {
    /// The slot attested in.
    pub slot: Slot,
    /// Root of the attestation data.
    pub data_root: Root,
    /// The committee.
    pub committee: CommitteeIndex,
    /// The fork of the slot.
    pub fork: Fork,
}

/// What a contribution is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContributionQuery {
    /// The slot of the sync committee messages.
    pub slot: Slot,
    /// The part of the sync committee.
    pub subcommittee: u64,
    /// The head that was signed.
    pub root: Root,
}

impl BeaconNode {
    /// What to attest in a slot (`GET /eth/v1/validator/attestation_data`), in SSZ where the node has it. The slot of the
    /// answer is checked; whether its checkpoints make sense is for the caller to judge.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn attestation_data(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
    ) -> Result<AttestationData, QueryError> {
        let mut call = self.get(
            "attestation_data",
            &attestation_data_path(slot, committee),
            SMALL,
        );
        call.accept = Accept::SszOrJson;
        self.query(&call, |answer| attestation_data(&answer, slot, committee))
            .await
    }

    /// The aggregate of a committee's attestations (`GET /eth/v2/validator/aggregate_attestation`): all healthy endpoints
    /// are asked at once, and of the answers that come soon the one of the most attesters is taken. Slot, data and
    /// committee are checked, the signature is not. `None` when no endpoint has one, which may change within the slot.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn aggregate_attestation(
        &self,
        asked: AggregateQuery,
        sizes: &ListSizes,
    ) -> Result<Option<AggregateValue>, QueryError> {
        let AggregateQuery {
            slot,
            data_root,
            committee,
            ..
        } = asked;
        let path = format!(
            "/eth/v2/validator/aggregate_attestation?slot={slot}&attestation_data_root={data_root}&committee_index={committee}"
        );
        let mut call = self.get("aggregate_attestation", &path, SMALL);
        call.accept = Accept::SszOrJson;
        let read = |answer| aggregate(&answer, &asked, sizes);
        let participants =
            |value: &AggregateValue| value.aggregate.aggregation_bits().ones().count();
        absent_if(self.query_best(&call, &read, participants).await, &[404])
    }

    /// The contribution of a part of the sync committee (`GET /eth/v1/validator/sync_committee_contribution`): all healthy
    /// endpoints are asked at once, and of the answers that come soon the one of the most members is taken. Slot, part and
    /// root are checked, the signature is not. `None` when no endpoint has one, which may change within the slot.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn sync_committee_contribution(
        &self,
        asked: ContributionQuery,
        sizes: &ListSizes,
    ) -> Result<Option<SyncCommitteeContribution>, QueryError> {
        let ContributionQuery {
            slot,
            subcommittee,
            root,
        } = asked;
        let path = format!(
            "/eth/v1/validator/sync_committee_contribution?slot={slot}&subcommittee_index={subcommittee}&beacon_block_root={root}"
        );
        let mut call = self.get("sync_committee_contribution", &path, SMALL);
        call.accept = Accept::SszOrJson;
        let read = |answer| contribution(&answer, &asked, sizes);
        let participants =
            |value: &SyncCommitteeContribution| value.aggregation_bits.ones().count();
        absent_if(self.query_best(&call, &read, participants).await, &[404])
    }
}

/// In either encoding. The slot must be the one asked for, the committee too or, as from Electra on, 0.
fn attestation_data(
    answer: &Answer,
    slot: Slot,
    committee: CommitteeIndex,
) -> Result<AttestationData, String> {
    let data = if answer.is_ssz {
        AttestationData::decode(&answer.body).map_err(|error| error.to_string())?
    } else {
        data(answer)?
    };
    same("slot", slot, data.slot)?;
    if data.index != CommitteeIndex(0) {
        same("committee", committee, data.index)?;
    }
    Ok(data)
}

fn attestation_data_path(slot: Slot, committee: CommitteeIndex) -> String {
    format!("/eth/v1/validator/attestation_data?slot={slot}&committee_index={committee}")
}

/// In either encoding, of the fork, slot, data and committee asked for.
fn aggregate(
    answer: &Answer,
    asked: &AggregateQuery,
    sizes: &ListSizes,
) -> Result<AggregateValue, String> {
    let aggregate = if answer.is_ssz {
        is_of_fork(asked.fork, answer.header(CONSENSUS_VERSION))?;
        Attestation::decode(asked.fork, &answer.body)
    } else {
        let json: Value = json(answer)?;
        is_of_fork(asked.fork, json["version"].as_str())?;
        Attestation::from_json(asked.fork, &json["data"])
    }
    .map_err(|error| error.to_string())?;
    aggregate
        .check_sizes(sizes)
        .map_err(|error| error.to_string())?;
    let data = aggregate.data();
    same("slot", asked.slot, data.slot)?;
    same("data root", asked.data_root, data.tree_hash_root())?;
    let committee = match &aggregate {
        Attestation::Phase0 { data, .. } => Some(data.index.0),
        Attestation::Electra { committee_bits, .. } => committee_bits.only(),
    };
    match committee {
        Some(committee) => same("committee", asked.committee, CommitteeIndex(committee))?,
        None => return Err("an aggregate of several committees".to_owned()),
    }
    is_of_somebody(aggregate.aggregation_bits().ones().next())?;
    Ok(AggregateValue {
        fork: Some(asked.fork),
        aggregate,
    })
}

/// In either encoding, of the slot, part and root asked for.
fn contribution(
    answer: &Answer,
    asked: &ContributionQuery,
    sizes: &ListSizes,
) -> Result<SyncCommitteeContribution, String> {
    let contribution = if answer.is_ssz {
        SyncCommitteeContribution::decode(&answer.body, sizes)
    } else {
        SyncCommitteeContribution::from_json(&data(answer)?, sizes)
    }
    .map_err(|error| error.to_string())?;
    same("slot", asked.slot, contribution.slot)?;
    same(
        "subcommittee",
        asked.subcommittee,
        contribution.subcommittee_index,
    )?;
    same("block root", asked.root, contribution.beacon_block_root)?;
    is_of_somebody(contribution.aggregation_bits.ones().next())?;
    Ok(contribution)
}

/// What nobody has signed is worth nothing to anybody.
fn is_of_somebody(first: Option<u64>) -> Result<(), String> {
    first
        .map(|_| ())
        .ok_or_else(|| "nobody has signed it".to_owned())
}

/// A fork that is named must be the one asked for; some nodes name none.
fn is_of_fork(asked: Fork, named: Option<&str>) -> Result<(), String> {
    match named {
        Some(name) if Fork::from_name(name) != Some(asked) => {
            Err(format!("fork {name:?}, asked for fork {asked}"))
        }
        _ => Ok(()),
    }
}

fn same<T: PartialEq + std::fmt::Display>(what: &str, asked: T, got: T) -> Result<(), String> {
    if asked == got {
        return Ok(());
    }
    Err(format!("{what} {got}, asked for {what} {asked}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attestation_data_of_another_slot_is_refused() {
        let data = AttestationData {
            slot: Slot(8),
            ..AttestationData::default()
        };
        let ssz = |body| Answer {
            is_ssz: true,
            body,
            ..Answer::default()
        };
        assert_eq!(
            attestation_data(&ssz(data.encode()), Slot(8), CommitteeIndex(0)),
            Ok(data)
        );
        assert!(
            attestation_data(&ssz(data.encode()), Slot(9), CommitteeIndex(0))
                .unwrap_err()
                .contains("slot 8, asked for slot 9")
        );
        assert!(attestation_data(&ssz(vec![0; 127]), Slot(0), CommitteeIndex(0)).is_err());
    }
}
