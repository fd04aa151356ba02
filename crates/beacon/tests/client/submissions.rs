//! Attestations on their way to all endpoints.

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, AttesterValue, CommitteeIndex, Fork,
    SignatureBytes, SignedAttestation, SingleAttestation, ValidatorIndex,
};
use serde_json::json;

use crate::{
    node,
    server::{Reply, Server},
};

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
