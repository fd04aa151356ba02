//! Blocks, checkpoints and rewards.

use flotilla_beacon::client::{BlockId, Reason};
use flotilla_types::{Checkpoint, Epoch, Fork, Root, Slot, ValidatorIndex};
use serde_json::{Value, json};

use super::node;
use crate::upstream::{Reply, Server};

const ROOT: Root = Root([5; 32]);

fn root() -> Value {
    json!({ "execution_optimistic": true, "finalized": false, "data": { "root": ROOT } })
}

fn header(slot: u64) -> Value {
    json!({ "execution_optimistic": false, "data": {
        "root": ROOT, "canonical": true, "header": { "signature": format!("0x{}", "00".repeat(96)), "message": {
            "slot": slot.to_string(), "proposer_index": "3", "parent_root": Root([1; 32]),
            "state_root": Root([2; 32]), "body_root": Root([3; 32]),
        }},
    }})
}

#[tokio::test]
async fn a_block_root_is_asked_by_head_slot_or_root() {
    let server = Server::always(Reply::ok(&root())).await;
    let node = node(&[&server]);
    for (block, name) in [
        (BlockId::Head, "head".to_owned()),
        (BlockId::Finalized, "finalized".to_owned()),
        (BlockId::Slot(Slot(7)), "7".to_owned()),
        (BlockId::Root(ROOT), ROOT.to_string()),
    ] {
        let found = node.block_root(block).await.unwrap().unwrap();
        assert_eq!((found.root, found.execution_optimistic), (ROOT, true));
        let path = format!("/base/eth/v1/beacon/blocks/{name}/root");
        assert_eq!(server.asked().pop().unwrap().path, path);
    }
}

#[tokio::test]
async fn a_block_that_nobody_has_is_told_from_a_failure() {
    let (missing, broken) = (
        Server::always(Reply::json(404, r#"{"code":404,"message":"not found"}"#)).await,
        Server::always(Reply::json(500, "")).await,
    );
    let slot = BlockId::Slot(Slot(7));
    assert_eq!(node(&[&missing]).block_root(slot).await.unwrap(), None);
    assert_eq!(node(&[&missing]).header(slot).await.unwrap(), None);
    assert_eq!(node(&[&broken, &missing]).header(slot).await.unwrap(), None);
    assert!(node(&[&broken]).block_root(slot).await.is_err());
    assert!(node(&[&broken]).header(slot).await.is_err());
}

#[tokio::test]
async fn a_block_that_one_endpoint_lacks_is_asked_of_the_next() {
    let (missing, having) = (
        Server::always(Reply::json(404, "{}")).await,
        Server::always(Reply::ok(&root())).await,
    );
    let node = node(&[&missing, &having]);
    let found = node.block_root(BlockId::Root(ROOT)).await.unwrap();
    assert_eq!(found.unwrap().root, ROOT);
    assert!(node.endpoints()[0].healthy, "it may well be missing");
}

#[tokio::test]
async fn a_header_says_where_its_block_stands() {
    let server = Server::always(Reply::ok(&header(7))).await;
    let found = node(&[&server])
        .header(BlockId::Root(ROOT))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.root, found.canonical, found.execution_optimistic),
        (ROOT, true, false)
    );
    assert_eq!(
        (found.header.slot, found.header.proposer_index),
        (Slot(7), ValidatorIndex(3))
    );
    assert_eq!(found.header.parent_root, Root([1; 32]));
    assert_eq!(found.header.state_root, Root([2; 32]));
    assert_eq!(found.header.body_root, Root([3; 32]));
}

#[tokio::test]
async fn an_answer_about_another_block_is_refused() {
    let headers = Server::always(Reply::ok(&header(7))).await;
    let roots = Server::always(Reply::ok(&root())).await;
    let other = BlockId::Root(Root([8; 32]));
    for error in [
        node(&[&headers]).header(other).await.unwrap_err(),
        node(&[&headers])
            .header(BlockId::Slot(Slot(8)))
            .await
            .unwrap_err(),
        node(&[&roots]).block_root(other).await.unwrap_err(),
    ] {
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{error}"
        );
        assert!(error.to_string().contains("asked for"), "{error}");
    }
}

#[tokio::test]
async fn a_whole_block_comes_with_its_fork() {
    let message = json!({ "slot": "7" });
    let server = Server::always(Reply::ok(&json!({
        "version": "fulu", "data": { "message": message, "signature": "0x" },
    })))
    .await;
    let slot = BlockId::Slot(Slot(7));
    let found = node(&[&server]).block(slot).await.unwrap().unwrap();
    assert_eq!((found.fork, found.message), (Fork::Fulu, message));
    assert_eq!(server.asked()[0].path, "/base/eth/v2/beacon/blocks/7");
    let missing = Server::always(Reply::json(404, "{}")).await;
    assert_eq!(node(&[&missing]).block(slot).await.unwrap(), None);
    let later = json!({ "version": "gloas", "data": { "message": {} } });
    let later = Server::always(Reply::ok(&later)).await;
    let error = node(&[&later]).block(slot).await.unwrap_err();
    assert!(error.to_string().contains("gloas"), "{error}");
}

#[tokio::test]
async fn finality_is_read() {
    let checkpoint = |epoch| Checkpoint {
        epoch: Epoch(epoch),
        root: Root([epoch as u8; 32]),
    };
    let server = Server::always(Reply::ok(&json!({ "data": {
        "previous_justified": checkpoint(2), "current_justified": checkpoint(3), "finalized": checkpoint(1),
    }})))
    .await;
    let found = node(&[&server]).finality_checkpoints().await.unwrap();
    assert_eq!(found.previous_justified, checkpoint(2));
    assert_eq!(found.current_justified, checkpoint(3));
    assert_eq!(found.finalized, checkpoint(1));
    let path = "/base/eth/v1/beacon/states/head/finality_checkpoints";
    assert_eq!(server.asked()[0].path, path);
}

#[tokio::test]
async fn rewards_are_asked_by_index() {
    let reward = json!({ "validator_index": "5", "head": "11", "target": "-20", "source": "30", "inactivity": "0" });
    let server = Server::always(Reply::ok(
        &json!({ "execution_optimistic": false, "finalized": false, "data": {
            "ideal_rewards": [], "total_rewards": [reward],
        }}),
    ))
    .await;
    let node = node(&[&server]);
    let asked = [ValidatorIndex(5)];
    let rewards = node
        .attestation_rewards(Epoch(4), &asked)
        .await
        .unwrap()
        .unwrap();
    let votes = rewards.total[0].votes;
    assert_eq!((votes.head, votes.target, votes.source), (11, -20, 30));
    let first = server.asked().remove(0);
    assert_eq!(first.path, "/base/eth/v1/beacon/rewards/attestations/4");
    assert_eq!(
        (first.method.as_str(), first.json()),
        ("POST", json!(["5"]))
    );
    assert!(
        node.attestation_rewards(Epoch(4), &[])
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(server.asked().len(), 1, "nobody is asked about nobody");
}

#[tokio::test]
async fn a_node_without_rewards_is_none_and_stays_healthy() {
    let asked = [ValidatorIndex(5)];
    for status in [404, 405, 501] {
        let server = Server::always(Reply::json(status, "{}")).await;
        let node = node(&[&server]);
        assert_eq!(
            node.attestation_rewards(Epoch(4), &asked).await.unwrap(),
            None
        );
        assert!(node.endpoints()[0].healthy, "{status}");
    }
    let server = Server::always(Reply::json(500, "{}")).await;
    assert!(
        node(&[&server])
            .attestation_rewards(Epoch(4), &asked)
            .await
            .is_err()
    );
}
