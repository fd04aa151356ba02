//! What was decided, in JSON and SSZ.

use flotilla_types::{Attestation, AttestationData, CommitteeIndex, Fork, Root, Slot};
use serde_json::json;

use super::setup::{Setup, error};

const DATA: &str = "/eth/v1/validator/attestation_data?slot=5&committee_index=2";

#[tokio::test]
async fn attestation_data_comes_in_the_encoding_that_is_preferred() {
    let setup = Setup::new().await;
    let answer = setup.json(DATA).await;
    assert_eq!(
        (&answer["data"]["slot"], &answer["data"]["index"]),
        (&json!("5"), &json!("2"))
    );
    let accept = "application/octet-stream;q=0.9, application/json;q=0.4";
    let response = setup
        .get(DATA)
        .header("accept", accept)
        .send()
        .await
        .unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/octet-stream"
    );
    let data = AttestationData::decode(&response.bytes().await.unwrap()).unwrap();
    assert_eq!((data.slot, data.index), (Slot(5), CommitteeIndex(2)));
}

#[tokio::test]
async fn an_aggregate_names_its_fork() {
    let setup = Setup::new().await;
    let root = Root([5; 32]);
    let path = format!(
        "/eth/v2/validator/aggregate_attestation?slot=5&attestation_data_root={root}&committee_index=0"
    );
    let response = setup.get(&path).send().await.unwrap();
    assert_eq!(response.headers()["eth-consensus-version"], "deneb");
    let body: serde_json::Value = response.json().await.unwrap();
    assert_eq!(body["version"], "deneb");
    assert_eq!(body["data"]["data"]["beacon_block_root"], json!(root));
    let response = setup
        .get(&path)
        .header("accept", "application/octet-stream");
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["eth-consensus-version"], "deneb");
    let aggregate = Attestation::decode(Fork::Deneb, &response.bytes().await.unwrap());
    assert_eq!(aggregate.unwrap().data().beacon_block_root, root);
}

#[tokio::test]
async fn a_contribution_has_no_version_and_faults_of_the_node_stay_in_its_log() {
    let setup = Setup::new().await;
    let path = |subcommittee| {
        let root = "11".repeat(32);
        format!(
            "/eth/v1/validator/sync_committee_contribution?slot=5&subcommittee_index={subcommittee}&beacon_block_root={root}"
        )
    };
    let answer = setup.json(&path(2)).await;
    assert_eq!(answer.as_object().unwrap().len(), 1);
    assert_eq!(answer["data"]["subcommittee_index"], "2");
    let (status, message, _) = error(setup.get(&path(9))).await;
    assert_eq!((status, &*message), (500, "Internal server error"));
}

#[tokio::test]
async fn the_version_is_the_configured_one() {
    let setup = Setup::new().await;
    let answer = setup.json("/eth/v1/node/version").await;
    let version = "flotilla/charon/v0.1.0-abcdef0/amd64-linux";
    assert_eq!(answer, json!({"data": {"version": version}}));
}
