//! Duties under the client's keys.

use serde_json::json;

use super::{
    memory::{DEPENDENT, INDICES, own},
    setup::{Setup, ok},
};

const ATTESTER: &str = "/eth/v1/validator/duties/attester/3";

#[tokio::test]
async fn duties_carry_this_nodes_shares_and_their_root() {
    let setup = Setup::new().await;
    let answer = ok(setup.post(ATTESTER).json(&json!(["7", 8]))).await;
    assert_eq!(answer["dependent_root"], json!(DEPENDENT));
    assert_eq!(answer["execution_optimistic"], true);
    assert_eq!(answer["data"][0]["pubkey"], json!(own(0)));
    assert_eq!(answer["data"][1]["pubkey"], json!(own(1)));
}

#[tokio::test]
async fn foreign_indices_are_left_out_and_repeated_ones_asked_once() {
    let setup = Setup::new().await;
    let answer = ok(setup.post(ATTESTER).json(&json!(["8", "12345", "7", "8"]))).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 2);
    assert_eq!(*setup.api.asked.lock().unwrap(), INDICES);
    let answer = ok(setup.post(ATTESTER).json(&json!(["12345"]))).await;
    assert_eq!(answer["data"], json!([]));
    assert_eq!(answer["dependent_root"], json!(DEPENDENT));
}

#[tokio::test]
async fn foreign_proposers_stay_as_they_are_in_both_versions() {
    let setup = Setup::new().await;
    for version in ["v1", "v2"] {
        let path = format!("/eth/{version}/validator/duties/proposer/3");
        let answer = setup.json(&path).await;
        assert_eq!(answer["data"][0]["pubkey"], json!(own(0)));
        assert_eq!(
            answer["data"][1]["pubkey"],
            format!("0x{}", "ff".repeat(48))
        );
    }
}

#[tokio::test]
async fn sync_duties_have_no_dependent_root() {
    let setup = Setup::new().await;
    let request = setup.post("/eth/v1/validator/duties/sync/3");
    let answer = ok(request.json(&json!(["8"]))).await;
    let duty = json!({
        "pubkey": own(1), "validator_index": "8",
        "validator_sync_committee_indices": ["3", "200"],
    });
    assert_eq!(
        answer,
        json!({"execution_optimistic": false, "data": [duty]})
    );
}
