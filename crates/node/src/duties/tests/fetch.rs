//! Unsigned data: what is asked for, and what is left out.

use std::sync::Arc;

use flotilla_duty::io::{AggregateRequest, ContributionRequest, Request, UnsignedSet};
use flotilla_types::{
    Attestation, AttestationData, Bitlist, Chain, CommitteeBits, CommitteeIndex, Duty, DutyKind,
    Fork, ForkSchedule, ForkVersion, ListSizes, ProposerDuty, Root, SignatureBytes, Slot,
    SubcommitteeBits, SyncCommitteeContribution, UnsignedData, ValidatorIndex,
};
use serde_json::json;

use super::beacon::{Answer, Asked, FakeBeacon, block, data, missing};
use super::{attester, key, patient_chain};
use crate::duties::{Production, Rosters, fetch};

const SLOT: u64 = 7;

fn production(plural: bool) -> Production {
    Production {
        builder_api: false,
        plural,
        graffiti: [1; 32],
    }
}

async fn fetched(
    beacon: &FakeBeacon,
    chain: Chain,
    kind: DutyKind,
    request: Request,
    plural: bool,
) -> Result<UnsignedSet, flotilla_duty::io::FetchError> {
    let chain = Arc::new(chain);
    let rosters = Rosters::new(Vec::new(), Arc::clone(&chain), None);
    let duty = Duty::new(Slot(SLOT), kind);
    fetch(
        &beacon.node,
        &chain,
        &rosters,
        duty,
        &request,
        production(plural),
    )
    .await
}

/// Attestation data of the committee that was asked for.
fn attestation_data(asked: &Asked) -> Answer {
    let (_, committee) = asked.path.split_once("committee_index=").unwrap();
    data(AttestationData {
        slot: Slot(SLOT),
        index: CommitteeIndex(committee.parse().unwrap()),
        ..AttestationData::default()
    })
}

#[tokio::test]
async fn from_electra_on_one_answer_serves_all_committees() {
    let request = Request::Attestations(vec![attester(1, SLOT, 0), attester(2, SLOT, 1)]);
    let mut before = patient_chain();
    before.spec.forks = ForkSchedule::new(ForkVersion([0; 4]), [], Vec::new()).unwrap();
    for (chain, questions) in [(patient_chain(), 1), (before, 2)] {
        let beacon = FakeBeacon::start(attestation_data).await;
        let found = fetched(&beacon, chain, DutyKind::Attester, request.clone(), false);
        let found = found.await.unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(beacon.asked().len(), questions);
        for (validator, value) in found {
            let value = value.attester().copied().unwrap();
            assert_eq!(value.duty.pubkey, validator);
            let committee = if questions == 1 {
                CommitteeIndex(0)
            } else {
                value.duty.committee_index
            };
            assert_eq!(value.data.index, committee);
        }
    }
}

#[tokio::test]
async fn a_block_is_asked_for_with_randao_and_graffiti() {
    let beacon = FakeBeacon::start(|_: &Asked| {
        let mut block = block(SLOT, 1);
        block["body"]["blob_kzg_commitments"] = json!([]);
        let contents = json!({ "block": block, "kzg_proofs": [], "blobs": [] });
        Answer::Json(
            200,
            json!({ "version": "fulu", "execution_payload_blinded": false, "data": contents }),
        )
    })
    .await;
    let request = Request::Block {
        proposer: ProposerDuty {
            pubkey: key(1),
            validator_index: ValidatorIndex(8),
            slot: Slot(SLOT),
        },
        randao: SignatureBytes([3; 96]),
    };
    let found = fetched(&beacon, patient_chain(), DutyKind::Proposer, request, false);
    let found = found.await.unwrap();
    assert!(
        matches!(found[&key(1)], UnsignedData::Proposer(ref made) if made.slot() == Slot(SLOT))
    );
    let path = &beacon.asked()[0].path;
    let randao = SignatureBytes([3; 96]).to_string();
    assert!(
        path.contains(&randao) && path.contains(&"01".repeat(32)),
        "{path}"
    );
}

fn attested(committee: u64) -> AggregateRequest {
    AggregateRequest {
        validator: key(committee as u8),
        committee: CommitteeIndex(committee),
        data: AttestationData {
            slot: Slot(SLOT),
            ..AttestationData::default()
        },
    }
}

/// The aggregate of committee 1; of no other there is one.
fn only_committee_one(asked: &Asked) -> Answer {
    if !asked.path.contains("committee_index=1") {
        return missing();
    }
    let aggregate = Attestation::Electra {
        aggregation_bits: Bitlist::with_one(4, 1).unwrap(),
        data: attested(1).data,
        signature: SignatureBytes([1; 96]),
        committee_bits: CommitteeBits::one(1).unwrap(),
    };
    Answer::Json(200, json!({ "version": "fulu", "data": aggregate }))
}

#[tokio::test]
async fn committees_without_an_aggregate_are_left_out() {
    let beacon = FakeBeacon::start(only_committee_one).await;
    let mut twice = attested(1);
    twice.validator = key(9);
    let request = Request::Aggregates(vec![attested(1), attested(2), twice]);
    let found = fetched(
        &beacon,
        patient_chain(),
        DutyKind::Aggregator,
        request,
        false,
    );
    let found = found.await.unwrap();
    assert!(found.keys().eq([&key(1), &key(9)]));
    assert!(found.values().all(
        |value| matches!(value, UnsignedData::Aggregator(found) if found.fork == Some(Fork::Fulu))
    ));
    assert_eq!(beacon.asked().len(), 2, "each committee is asked for once");
}

#[tokio::test]
async fn without_any_aggregate_asking_again_may_help() {
    let beacon = FakeBeacon::start(only_committee_one).await;
    let request = Request::Aggregates(vec![attested(2)]);
    let found = fetched(
        &beacon,
        patient_chain(),
        DutyKind::Aggregator,
        request,
        false,
    );
    let error = found.await.unwrap_err();
    assert_eq!(
        (error.text.as_str(), error.temporary),
        ("no aggregate yet", true)
    );
}

fn contribution(subcommittee: u64) -> SyncCommitteeContribution {
    SyncCommitteeContribution {
        slot: Slot(SLOT),
        beacon_block_root: Root([3; 32]),
        subcommittee_index: subcommittee,
        aggregation_bits: SubcommitteeBits::from_bytes(&[1; 16], &ListSizes::MAINNET).unwrap(),
        signature: SignatureBytes([1; 96]),
    }
}

#[tokio::test]
async fn several_contributions_of_one_validator_need_members_that_read_them() {
    let part = |subcommittee| ContributionRequest {
        validator: key(1),
        subcommittee,
        block_root: Root([3; 32]),
    };
    let request = Request::Contributions(vec![part(0), part(2), part(3)]);
    for (plural, expected) in [(false, vec![0]), (true, vec![0, 2])] {
        // There is none of subcommittee 3.
        let beacon = FakeBeacon::start(|asked: &Asked| {
            let of = |part: &u64| asked.path.contains(&format!("subcommittee_index={part}&"));
            [0, 2]
                .iter()
                .find(|part| of(part))
                .map_or_else(missing, |part| data(contribution(*part)))
        })
        .await;
        let found = fetched(
            &beacon,
            patient_chain(),
            DutyKind::SyncContribution,
            request.clone(),
            plural,
        );
        let UnsignedData::SyncContribution(found) = found.await.unwrap().remove(&key(1)).unwrap()
        else {
            panic!("contributions were asked for");
        };
        let parts: Vec<u64> = found
            .items()
            .iter()
            .map(|item| item.subcommittee_index)
            .collect();
        assert_eq!((found.is_plural(), parts), (plural, expected));
    }
}

#[tokio::test]
async fn what_a_failing_node_said_is_told() {
    let beacon =
        FakeBeacon::start(|_: &Asked| Answer::Json(503, json!({ "message": "syncing" }))).await;
    let request = Request::Contributions(vec![ContributionRequest {
        validator: key(1),
        subcommittee: 0,
        block_root: Root([3; 32]),
    }]);
    let found = fetched(
        &beacon,
        patient_chain(),
        DutyKind::SyncContribution,
        request,
        true,
    );
    let error = found.await.unwrap_err();
    assert!(
        error.text.contains("503") && error.temporary,
        "{}",
        error.text
    );
}
