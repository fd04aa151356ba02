//! Who proposes and who sits in the sync committee.

use flotilla_beacon::client::Reason;
use flotilla_types::{
    Epoch, ProposerDuty, PublicKeyBytes, Root, Slot, SyncCommitteeDuty, ValidatorIndex,
};
use serde_json::{Value, json};

use super::{chain_of, node};
use crate::upstream::{Reply, Server};

async fn proposers_of(slot: u64) -> Server {
    let mut answer = proposers();
    answer["data"][0]["slot"] = json!(slot.to_string());
    Server::always(Reply::ok(&answer)).await
}

fn proposers() -> Value {
    let duty = ProposerDuty {
        pubkey: PublicKeyBytes([4; 48]),
        validator_index: ValidatorIndex(9),
        slot: Slot(33),
    };
    json!({ "dependent_root": Root([6; 32]), "execution_optimistic": true, "data": [duty] })
}

#[tokio::test]
async fn proposer_duties_come_with_what_they_depend_on() {
    let server = Server::always(Reply::ok(&proposers())).await;
    let duties = node(&[&server]).proposer_duties(Epoch(1)).await.unwrap();
    assert_eq!(
        (duties.dependent_root, duties.execution_optimistic),
        (Root([6; 32]), true)
    );
    assert_eq!((duties.duties.len(), duties.duties[0].slot), (1, Slot(33)));
    let asked = server.asked().remove(0);
    assert_eq!(asked.path, "/base/eth/v2/validator/duties/proposer/1");
}

#[tokio::test]
async fn duties_of_another_epoch_are_left_to_the_next_endpoint() {
    // Some nodes give the current epoch's proposers for the next one.
    let (stray, good) = (
        Server::always(Reply::ok(&proposers())).await,
        proposers_of(65).await,
    );
    let node = node(&[&stray, &good]).with_chain(chain_of(1));
    let duties = node.proposer_duties(Epoch(2)).await.unwrap();
    assert_eq!(duties.duties[0].slot, Slot(65));
    assert!(node.endpoints()[0].healthy, "it is well otherwise");
    let error = node.proposer_duties(Epoch(3)).await.unwrap_err();
    let text = error.failures[0].to_string();
    assert!(
        text.contains("a duty of slot 33, which is not in epoch 3"),
        "{text}"
    );
    assert!(text.contains(&stray.label()), "{text}");
}

#[tokio::test]
async fn an_older_node_is_asked_for_proposer_duties_by_v1() {
    for status in [404, 405, 501] {
        let server = Server::start(move |asked| match asked.path.contains("/v2/") {
            true => Reply::json(status, "{}"),
            false => Reply::ok(&proposers()),
        })
        .await;
        let node = node(&[&server]);
        let duties = node.proposer_duties(Epoch(1)).await.unwrap();
        assert_eq!(duties.duties.len(), 1, "{status}");
        assert_eq!(
            server.asked()[1].path,
            "/base/eth/v1/validator/duties/proposer/1"
        );
        assert!(node.endpoints()[0].healthy, "{status}");
    }
}

#[tokio::test]
async fn a_node_that_fails_is_not_taken_for_an_older_one() {
    let server = Server::always(Reply::json(500, "")).await;
    assert!(node(&[&server]).proposer_duties(Epoch(1)).await.is_err());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn sync_duties_are_asked_by_index() {
    let duty = SyncCommitteeDuty {
        validator_index: ValidatorIndex(5),
        positions: vec![2, 130],
        ..SyncCommitteeDuty::default()
    };
    let server = Server::always(Reply::ok(&json!({ "data": [duty] }))).await;
    let asked = [ValidatorIndex(5), ValidatorIndex(9)];
    let duties = node(&[&server])
        .sync_duties(Epoch(3), &asked)
        .await
        .unwrap();
    assert_eq!(duties, [duty]);
    let asked = server.asked().remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.json()),
        ("POST", json!(["5", "9"]))
    );
    assert_eq!(asked.path, "/base/eth/v1/validator/duties/sync/3");
}

#[tokio::test]
async fn numbers_as_numbers_and_missing_fields_are_refused() {
    let mut number = proposers();
    number["data"][0]["slot"] = json!(33);
    let mut missing = proposers();
    missing["data"][0].as_object_mut().unwrap().remove("pubkey");
    let mut rootless = proposers();
    rootless.as_object_mut().unwrap().remove("dependent_root");
    for body in [number, missing, rootless] {
        let server = Server::always(Reply::ok(&body)).await;
        let error = node(&[&server])
            .proposer_duties(Epoch(1))
            .await
            .unwrap_err();
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{error}"
        );
    }
}
