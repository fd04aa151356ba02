//! Blocks on their way to all endpoints.

use flotilla_types::{Fork, SignedProposal};

use super::{
    blocks::{SIZES, blinded, full, signed},
    node,
};
use crate::upstream::{Reply, Server};

#[tokio::test]
async fn full_and_blinded_blocks_go_out_as_ssz_under_their_fork() {
    for (block, path) in [
        (signed(full(7, 1)), "/base/eth/v2/beacon/blocks"),
        (signed(blinded(7, 1)), "/base/eth/v2/beacon/blinded_blocks"),
    ] {
        let server = Server::always(Reply::json(200, "")).await;
        node(&[&server]).publish_block(&block, SIZES).await.unwrap();
        let asked = server.asked().remove(0);
        assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", path));
        assert_eq!(asked.header("eth-consensus-version"), Some("fulu"));
        assert_eq!(
            asked.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(asked.body, block.to_ssz());
    }
}

#[tokio::test]
async fn an_endpoint_that_reads_no_ssz_gets_json() {
    for block in [signed(full(7, 1)), signed(blinded(7, 1))] {
        let server = Server::start(|asked| match asked.header("content-type") {
            Some("application/json") => Reply::json(200, ""),
            _ => Reply::json(415, "unsupported media type"),
        })
        .await;
        node(&[&server]).publish_block(&block, SIZES).await.unwrap();
        let asked = server.asked().remove(1);
        assert_eq!(asked.header("eth-consensus-version"), Some("fulu"));
        let blinded = block.proposal.is_blinded();
        let read = SignedProposal::from_json(Fork::Fulu, blinded, &asked.json(), SIZES);
        assert_eq!(read.unwrap(), block);
    }
}

#[tokio::test]
async fn what_is_spread_or_known_already_is_accepted() {
    for reply in [
        Reply::json(202, ""),
        Reply::json(400, r#"{"code":400,"message":"BLOCK_ERROR_ALREADY_KNOWN"}"#),
        Reply::json(500, "block is already known"),
    ] {
        let server = Server::always(reply).await;
        let block = signed(full(7, 1));
        node(&[&server]).publish_block(&block, SIZES).await.unwrap();
    }
}

#[tokio::test]
async fn one_that_accepts_is_enough_and_the_others_get_it_too() {
    let (hanging, broken, good) = (
        Server::always(Reply::Hang(Vec::new())).await,
        Server::always(Reply::json(503, "")).await,
        Server::always(Reply::json(200, "")).await,
    );
    let node = node(&[&hanging, &broken, &good]);
    node.publish_block(&signed(full(7, 1)), SIZES)
        .await
        .unwrap();
    // The requests go on after the first success, so both arrive.
    while hanging.asked().is_empty() || broken.asked().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn when_nobody_takes_it_each_endpoint_says_why() {
    let (first, second) = (
        Server::always(Reply::json(400, "unknown parent")).await,
        Server::always(Reply::html(502)).await,
    );
    let error = node(&[&first, &second])
        .publish_block(&signed(full(7, 1)), SIZES)
        .await
        .unwrap_err();
    assert_eq!(error.unaccepted, [0]);
    let text = error.to_string();
    assert!(text.contains("status 400: unknown parent"), "{text}");
    assert!(text.contains("status 502: <html>"), "{text}");
}
