//! Validators of the state under the client's keys.

use flotilla_types::PublicKeyBytes;
use serde_json::{Value, json};

use super::{
    memory::{own, share},
    setup::{Setup, error, ok},
};

const PATH: &str = "/eth/v1/beacon/states/head/validators";

fn keys(answer: &Value) -> Vec<Value> {
    let entries = answer["data"].as_array().unwrap().iter();
    entries
        .map(|entry| entry["validator"]["pubkey"].clone())
        .collect()
}

#[tokio::test]
async fn ids_are_shares_or_indices_in_query_or_body() {
    let setup = Setup::new().await;
    let (first, second) = (json!(own(0)), json!(own(1)));
    let both = [first.clone(), second.clone()];
    for query in [
        format!("?id={},{}", own(0), own(1)),
        format!("?id={}&id=8", own(0)),
        "?id=7%2C8".to_owned(),
        String::new(),
    ] {
        let answer = setup.json(&format!("{PATH}{query}")).await;
        assert_eq!(keys(&answer), both, "{query}");
    }
    let answer = ok(setup.post(PATH).json(&json!({"ids": [own(1)]}))).await;
    assert_eq!(keys(&answer), [second]);
    let entry = &answer["data"][0];
    assert_eq!(
        (&entry["index"], &entry["balance"]),
        (&json!("8"), &json!("32000000001"))
    );
    assert_eq!(
        (&answer["finalized"], &answer["execution_optimistic"]),
        (&json!(false), &json!(false))
    );
}

#[tokio::test]
async fn statuses_filter_by_name_or_kind() {
    let setup = Setup::new().await;
    for (status, count) in [("active", 2), ("active_ongoing", 2), ("exited", 0)] {
        let answer = setup.json(&format!("{PATH}?status={status}")).await;
        assert_eq!(keys(&answer).len(), count, "{status}");
    }
}

#[tokio::test]
async fn foreign_validators_are_left_out_as_a_state_would() {
    let setup = Setup::new().await;
    let foreign = PublicKeyBytes([0xff; 48]);
    let answer = setup
        .json(&format!("{PATH}?id={foreign},{},99", own(0)))
        .await;
    assert_eq!(keys(&answer), [json!(own(0))]);
    for id in [foreign.to_string(), "99".to_owned()] {
        let (status, message, _) = error(setup.get(&format!("{PATH}/{id}"))).await;
        assert_eq!((status, &*message), (404, "NotFound"));
    }
    let answer = setup.json(&format!("{PATH}/{}", own(1))).await;
    assert_eq!(answer["data"]["index"], "8");
}

#[tokio::test]
async fn another_nodes_share_is_told_with_its_owner() {
    let setup = Setup::new().await;
    let (status, message, _) = error(setup.get(&format!("{PATH}?id={}", share(0, 3)))).await;
    assert_eq!(status, 400);
    assert!(
        message
            .contains("share index 3 and belongs to peer index 3, but this node is peer index 1"),
        "{message}"
    );
}

#[tokio::test]
async fn other_ids_and_states_are_told() {
    let setup = Setup::new().await;
    let (status, message, _) = error(setup.get(&format!("{PATH}?id=abc"))).await;
    assert_eq!((status, &*message), (400, "invalid validator id [abc]"));
    let path = "/eth/v1/beacon/states/0x00/validators";
    let (status, message, _) = error(setup.get(path)).await;
    assert_eq!((status, &*message), (404, "no state 0x00"));
}
