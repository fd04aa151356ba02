//! Selection proofs, combined.

use std::time::Duration;

use flotilla_beacon::server::Limits;
use flotilla_types::SignatureBytes;
use serde_json::{Value, json};

use super::{
    memory::UNDECIDED,
    setup::{Setup, error, limits, ok},
};

const BEACON: &str = "/eth/v1/validator/beacon_committee_selections";
const SYNC: &str = "/eth/v1/validator/sync_committee_selections";

fn selection(validator: u64, slot: u64) -> Value {
    json!({
        "validator_index": validator.to_string(), "slot": slot.to_string(),
        "subcommittee_index": "1", "selection_proof": SignatureBytes([1; 96]),
    })
}

fn slots(answer: &Value) -> Vec<(String, Value)> {
    let items = answer["data"].as_array().unwrap().iter();
    let text = |item: &Value| item["slot"].as_str().unwrap().to_owned();
    items
        .map(|item| (text(item), item["selection_proof"].clone()))
        .collect()
}

fn combined(slot: u8) -> (String, Value) {
    (slot.to_string(), json!(SignatureBytes([slot; 96])))
}

async fn hasty() -> Setup {
    Setup::bounded(Limits {
        deadline: Duration::from_secs(1),
        ..limits()
    })
    .await
}

#[tokio::test]
async fn the_groups_proofs_come_in_the_order_of_the_request() {
    let setup = Setup::new().await;
    let body = json!([selection(8, 6), selection(7, 5), selection(8, 4)]);
    for path in [BEACON, SYNC] {
        let answer = ok(setup.post(path).json(&body)).await;
        assert_eq!(slots(&answer), [combined(6), combined(5), combined(4)]);
    }
}

#[tokio::test]
async fn one_slow_slot_costs_the_other_beacon_selections_nothing() {
    let setup = hasty().await;
    let body = json!([
        selection(7, 5),
        selection(8, UNDECIDED.0),
        selection(99, 5),
        selection(8, 6)
    ]);
    let answer = ok(setup.post(BEACON).json(&body)).await;
    assert_eq!(slots(&answer), [combined(5), combined(6)]);
}

#[tokio::test]
async fn sync_selections_are_all_or_nothing_since_clients_pair_by_place() {
    let setup = hasty().await;
    let body = json!([selection(7, 5), selection(8, UNDECIDED.0)]);
    let (status, _, failures) = error(setup.post(SYNC).json(&body)).await;
    assert_eq!(status, 408);
    let message = "the group's proof is not complete in time";
    assert_eq!(failures, json!([{"index": 1, "message": message}]));
    let (status, _, failures) = error(setup.post(SYNC).json(&json!([selection(99, 5)]))).await;
    assert_eq!((status, &failures[0]["index"]), (400, &json!(0)));
}
