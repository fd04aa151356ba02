//! Attestations, aggregates and messages on their way to all endpoints.

use flotilla_beacon::client::{CommitteeSubscription, SyncCommitteeSubscription};
use flotilla_types::{
    AggregateAndProof, Attestation, AttestationData, AttesterDuty, AttesterValue, Bitlist,
    CommitteeBits, CommitteeIndex, Epoch, Fork, ListSizes, SignatureBytes, SignedAggregateAndProof,
    SignedAttestation, SignedContributionAndProof, SingleAttestation, Slot, SyncCommitteeMessage,
    ValidatorIndex,
};
use serde_json::json;

use super::node;
use crate::upstream::{Reply, Server};

fn singles(count: u64) -> Vec<SingleAttestation> {
    let single = |index| SingleAttestation {
        committee_index: CommitteeIndex(3),
        attester_index: ValidatorIndex(index),
        data: AttestationData::default(),
        signature: SignatureBytes([1; 96]),
    };
    (0..count).map(single).collect()
}

#[tokio::test]
async fn single_attestations_go_out_as_json_under_their_fork() {
    let server = Server::always(Reply::json(200, "")).await;
    node(&[&server])
        .submit_attestations(Fork::Fulu, &singles(2))
        .await
        .unwrap();
    let asked = server.asked().remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/base/eth/v2/beacon/pool/attestations")
    );
    assert_eq!(asked.header("eth-consensus-version"), Some("fulu"));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    assert_eq!(asked.json(), json!(singles(2)));
    assert_eq!(asked.json()[1]["attester_index"], "1");
}

#[tokio::test]
async fn older_attestations_go_out_whole() {
    let duty = AttesterDuty {
        committee_length: 8,
        committees_at_slot: 1,
        ..AttesterDuty::default()
    };
    let value = AttesterValue {
        data: AttestationData::default(),
        duty,
    };
    let signed =
        SignedAttestation::from_value(&value, Fork::Deneb, SignatureBytes([1; 96])).unwrap();
    let server = Server::always(Reply::json(200, "")).await;
    let list: Vec<Attestation> = vec![signed.attestation];
    node(&[&server])
        .submit_attestations(Fork::Deneb, &list)
        .await
        .unwrap();
    assert_eq!(server.asked()[0].json()[0]["aggregation_bits"], "0x0101");
}

#[tokio::test]
async fn every_endpoint_gets_them_and_one_is_enough() {
    let hanging = Server::always(Reply::Hang(Vec::new())).await;
    let (broken, good) = (
        Server::always(Reply::json(503, "syncing")).await,
        Server::always(Reply::json(200, "")).await,
    );
    node(&[&hanging, &broken, &good])
        .submit_attestations(Fork::Fulu, &singles(1))
        .await
        .unwrap();
    assert_eq!(good.asked().len(), 1);
}

#[tokio::test]
async fn positions_refused_by_all_are_told() {
    let body = r#"{"code":400,"message":"1 failed","failures":[{"index":2,"message":"unknown head block"}]}"#;
    let server = Server::always(Reply::json(400, body)).await;
    let error = node(&[&server])
        .submit_attestations(Fork::Fulu, &singles(4))
        .await
        .unwrap_err();
    assert_eq!(error.unaccepted, [2]);
    assert_eq!(error.rejections[&2][0].message, "unknown head block");
    let text = format!(
        "1 of 4 not accepted: item 2 by {}: unknown head block",
        server.label()
    );
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn when_nobody_takes_them_each_endpoint_says_why() {
    let (first, second) = (
        Server::always(Reply::json(503, "syncing")).await,
        Server::always(Reply::Raw(vec![])).await,
    );
    let error = node(&[&first, &second])
        .submit_attestations(Fork::Fulu, &singles(2))
        .await
        .unwrap_err();
    assert_eq!(
        (error.unaccepted.as_slice(), error.failures.len()),
        ([0, 1].as_slice(), 2)
    );
    assert!(error.to_string().contains("status 503: syncing"), "{error}");
}

#[tokio::test]
async fn nothing_to_submit_is_no_request() {
    let server = Server::always(Reply::json(500, "")).await;
    node(&[&server])
        .submit_attestations(Fork::Fulu, &singles(0))
        .await
        .unwrap();
    assert!(server.asked().is_empty());
}

fn aggregates(count: u64) -> Vec<SignedAggregateAndProof> {
    let aggregate = Attestation::Electra {
        aggregation_bits: Bitlist::with_one(8, 3).unwrap(),
        data: AttestationData::default(),
        signature: SignatureBytes([1; 96]),
        committee_bits: CommitteeBits::one(2).unwrap(),
    };
    let signed = |index| {
        let message = AggregateAndProof {
            aggregator_index: ValidatorIndex(index),
            aggregate: aggregate.clone(),
            selection_proof: SignatureBytes([2; 96]),
        };
        let signature = SignatureBytes([3; 96]);
        SignedAggregateAndProof::new(Fork::Fulu, message, signature, &ListSizes::MAINNET).unwrap()
    };
    (0..count).map(signed).collect()
}

#[tokio::test]
async fn aggregates_go_out_under_their_fork() {
    let server = Server::always(Reply::json(200, "")).await;
    let list = aggregates(2);
    node(&[&server])
        .submit_aggregates(Fork::Fulu, &list)
        .await
        .unwrap();
    let asked = server.asked().remove(0);
    assert_eq!(asked.path, "/base/eth/v2/validator/aggregate_and_proofs");
    assert_eq!(asked.header("eth-consensus-version"), Some("fulu"));
    assert_eq!(asked.json()[1]["message"]["aggregator_index"], "1");
    let read =
        SignedAggregateAndProof::from_json(Fork::Fulu, &asked.json()[0], &ListSizes::MAINNET);
    assert_eq!(read.unwrap(), list[0]);
}

#[tokio::test]
async fn sync_messages_and_contributions_go_out() {
    let server = Server::always(Reply::json(200, "")).await;
    let node = node(&[&server]);
    let message = SyncCommitteeMessage {
        slot: Slot(7),
        ..SyncCommitteeMessage::default()
    };
    node.submit_sync_messages(&[message]).await.unwrap();
    let contribution = SignedContributionAndProof::default();
    node.submit_contributions(&[contribution]).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].path, "/base/eth/v1/beacon/pool/sync_committees");
    assert_eq!(asked[0].json(), json!([message]));
    assert_eq!(
        asked[1].path,
        "/base/eth/v1/validator/contribution_and_proofs"
    );
    assert_eq!(asked[1].json()[0]["message"]["aggregator_index"], "0");
}

#[tokio::test]
async fn refused_positions_are_told_of_every_kind() {
    let body = r#"{"failures":[{"index":1,"message":"bad"},{"index":0,"message":"AttestationSupersetKnown"}]}"#;
    let server = Server::always(Reply::json(400, body)).await;
    let node = node(&[&server]);
    let messages = [SyncCommitteeMessage::default(); 2];
    let contributions = [
        SignedContributionAndProof::default(),
        SignedContributionAndProof::default(),
    ];
    for error in [
        node.submit_aggregates(Fork::Fulu, &aggregates(2)).await,
        node.submit_sync_messages(&messages).await,
        node.submit_contributions(&contributions).await,
    ] {
        assert_eq!(
            error.unwrap_err().unaccepted,
            [1],
            "what is known is accepted"
        );
    }
}

#[tokio::test]
async fn subscriptions_are_numbers_as_text() {
    let server = Server::always(Reply::json(200, "")).await;
    let node = node(&[&server]);
    let committee = CommitteeSubscription {
        validator_index: ValidatorIndex(1),
        committee_index: CommitteeIndex(2),
        committees_at_slot: 3,
        slot: Slot(4),
        is_aggregator: true,
    };
    node.subscribe_committees(&[committee]).await.unwrap();
    let sync = SyncCommitteeSubscription {
        validator_index: ValidatorIndex(1),
        positions: vec![5, 6],
        until_epoch: Epoch(7),
    };
    node.subscribe_sync_committees(&[sync]).await.unwrap();
    let asked = server.asked();
    assert_eq!(
        asked[0].path,
        "/base/eth/v1/validator/beacon_committee_subscriptions"
    );
    let expected = json!([{
        "validator_index": "1", "committee_index": "2", "committees_at_slot": "3", "slot": "4", "is_aggregator": true,
    }]);
    assert_eq!(asked[0].json(), expected);
    assert_eq!(
        asked[1].path,
        "/base/eth/v1/validator/sync_committee_subscriptions"
    );
    let expected = json!([{ "validator_index": "1", "sync_committee_indices": ["5", "6"], "until_epoch": "7" }]);
    assert_eq!(asked[1].json(), expected);
}
