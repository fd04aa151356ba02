//! Blocks from several endpoints: the best is taken, the wrong is not, and a late builder costs no block.

use std::time::Duration;

use flotilla_beacon::client::{
    ProducedBlock, ProductionBudget, ProductionQuery, QueryError, Reason,
};
use flotilla_types::{Fork, Proposal, Slot};
use serde_json::json;

use super::{
    blocks::{RANDAO, SIZES, blinded, blinded_json, full, full_json},
    node,
};
use crate::upstream::{Asked, Reply, Server};

/// Long where a test must not get there.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);
const BUDGET: ProductionBudget = ProductionBudget {
    wait_for_better: LONG,
    local_after: LONG,
    give_up: LONG,
};

fn query(builder_boost_factor: u64) -> ProductionQuery {
    ProductionQuery {
        slot: Slot(7),
        fork: Fork::Fulu,
        randao_reveal: RANDAO,
        graffiti: *b"flotilla                        ",
        builder_boost_factor,
    }
}

async fn produce(
    servers: &[&Server],
    boost: u64,
    budget: ProductionBudget,
) -> Result<ProducedBlock, QueryError> {
    let node = node(servers);
    // On a task of its own, as the node does it.
    tokio::spawn(async move { node.produce_block(&query(boost), &budget, SIZES).await })
        .await
        .unwrap()
}

fn ssz(proposal: &Proposal, payload_value: u128) -> Reply {
    Reply::ssz(proposal.to_ssz())
        .with("eth-consensus-version", "fulu")
        .with("eth-execution-payload-blinded", proposal.is_blinded())
        .with("eth-execution-payload-value", payload_value)
        .with("eth-consensus-block-value", 1)
}

fn is_local(asked: &Asked) -> bool {
    asked.path.ends_with("builder_boost_factor=0")
}

fn graffiti(block: &ProducedBlock) -> u8 {
    block.proposal.facts().graffiti[0]
}

#[tokio::test]
async fn a_block_is_asked_with_everything_and_read_from_ssz() {
    let server = Server::always(ssz(&blinded(7, 1), 500)).await;
    let block = produce(&[&server], 100, BUDGET).await.unwrap();
    assert_eq!(block.proposal, blinded(7, 1));
    assert_eq!(
        (block.payload_value_wei, block.consensus_value_wei),
        (500, 1)
    );
    assert_eq!(
        (block.endpoint.clone(), block.needed_local),
        (server.label(), false)
    );
    assert!(block.took < LONG);
    let asked = server.asked().remove(0);
    let graffiti = "666c6f74696c6c61".to_owned() + &"20".repeat(24);
    let path = format!(
        "/base/eth/v3/validator/blocks/7?randao_reveal={RANDAO}&graffiti=0x{graffiti}&builder_boost_factor=100"
    );
    assert_eq!(asked.path, path);
    let accept = "application/octet-stream;q=1,application/json;q=0.9";
    assert_eq!(asked.header("accept"), Some(accept));
}

#[tokio::test]
async fn a_block_is_read_from_json() {
    for (data, expected) in [
        (full_json(7, 1), full(7, 1)),
        (blinded_json(7, 1), blinded(7, 1)),
    ] {
        let body = json!({
            "version": "fulu", "execution_payload_blinded": expected.is_blinded(),
            "execution_payload_value": "12", "consensus_block_value": "3", "data": data,
        });
        let server = Server::always(Reply::ok(&body)).await;
        let block = produce(&[&server], 100, BUDGET).await.unwrap();
        assert_eq!(block.proposal, expected);
        assert_eq!(
            (block.payload_value_wei, block.consensus_value_wei),
            (12, 3)
        );
    }
}

#[tokio::test]
async fn the_most_valuable_of_all_is_taken() {
    let (poor, rich) = (
        Server::always(ssz(&full(7, 1), 10)).await,
        Server::always(ssz(&full(7, 2), 20)).await,
    );
    let block = produce(&[&poor, &rich], 100, BUDGET).await.unwrap();
    assert_eq!((graffiti(&block), block.endpoint), (2, rich.label()));
    assert_eq!(poor.asked().len(), 1, "both were asked");
}

#[tokio::test]
async fn a_builders_payment_is_weighted_as_nodes_do() {
    let (local, builder) = (
        Server::always(ssz(&full(7, 1), 15)).await,
        Server::always(ssz(&blinded(7, 2), 10)).await,
    );
    for (boost, expected) in [(100, 1), (151, 2), (u64::MAX, 2)] {
        let block = produce(&[&builder, &local], boost, BUDGET).await.unwrap();
        assert_eq!(graffiti(&block), expected, "{boost}");
    }
}

#[tokio::test]
async fn one_that_hangs_is_waited_for_only_until_the_wait_is_over() {
    let hanging = Server::always(Reply::Hang(Vec::new())).await;
    let good = Server::always(ssz(&full(7, 1), 10)).await;
    let budget = ProductionBudget {
        wait_for_better: SHORT,
        ..BUDGET
    };
    let block = produce(&[&hanging, &good], 100, budget).await.unwrap();
    assert_eq!((graffiti(&block), block.needed_local), (1, false));
}

#[tokio::test]
async fn a_late_builder_is_replaced_by_the_local_block() {
    let server = Server::start(|asked| match is_local(asked) {
        true => ssz(&full(7, 1), 10),
        false => Reply::Hang(Vec::new()),
    })
    .await;
    let budget = ProductionBudget {
        local_after: SHORT,
        ..BUDGET
    };
    let block = produce(&[&server], u64::MAX, budget).await.unwrap();
    assert_eq!((graffiti(&block), block.needed_local), (1, true));
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_failing_builder_path_is_replaced_at_once() {
    let server = Server::start(|asked| match is_local(asked) {
        true => ssz(&full(7, 1), 10),
        false => Reply::json(500, "builder timed out"),
    })
    .await;
    let block = produce(&[&server], u64::MAX, BUDGET).await.unwrap();
    assert_eq!((graffiti(&block), block.needed_local), (1, true));
}

#[tokio::test]
async fn a_local_block_is_not_asked_for_twice() {
    let server = Server::always(Reply::json(500, "no")).await;
    assert!(produce(&[&server], 0, BUDGET).await.is_err());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_wrong_answer_is_a_failure_of_its_endpoint_alone() {
    let good = Server::always(ssz(&full(7, 1), 1)).await;
    let mut cut = full(7, 2).to_ssz();
    cut.truncate(cut.len() - 1);
    let mut other_randao = full_json(7, 2);
    other_randao["block"]["body"]["randao_reveal"] = json!(format!("0x{}", "aa".repeat(96)));
    let mut numbers = full_json(7, 2);
    numbers["block"]["slot"] = json!(7);
    let mut missing = full_json(7, 2);
    missing["block"]["body"]
        .as_object_mut()
        .unwrap()
        .remove("deposits");
    let in_json = |version: &str, data: serde_json::Value| {
        Reply::ok(&json!({
            "version": version, "execution_payload_blinded": false, "execution_payload_value": "9", "data": data,
        }))
    };
    let headers = |reply: Reply, version: &str| {
        reply
            .with("eth-consensus-version", version)
            .with("eth-execution-payload-blinded", "false")
    };
    for (reply, problem) in [
        (ssz(&full(8, 2), 9), "a block of slot 8, asked for slot 7"),
        (
            headers(Reply::ssz(full(7, 2).to_ssz()), "electra"),
            "fork electra, asked for fork fulu",
        ),
        (in_json("fulu", other_randao), "another randao reveal"),
        (in_json("fulu", numbers), "slot"),
        (in_json("fulu", missing), "deposits"),
        (in_json("gloas", full_json(7, 2)), "fork \"gloas\""),
        (headers(Reply::ssz(cut), "fulu"), "proposal"),
        (headers(Reply::ssz(Vec::new()), "fulu"), "proposal"),
        (
            headers(Reply::ssz(full(7, 2).to_ssz()), "electrum"),
            "fork \"electrum\"",
        ),
        (
            Reply::ssz(full(7, 2).to_ssz()),
            "no header Eth-Consensus-Version",
        ),
        (Reply::html(200), "expected value"),
        (Reply::ok(&json!({ "data": null })), "missing field"),
    ] {
        let bad = Server::always(reply).await;
        let error = produce(&[&bad], 0, BUDGET).await.unwrap_err();
        let [failure] = error.failures.as_slice() else {
            panic!("{error}");
        };
        assert!(matches!(failure.reason, Reason::Malformed(_)), "{error}");
        assert!(error.to_string().contains(problem), "{problem}: {error}");
        let block = produce(&[&bad, &good], 0, BUDGET).await.unwrap();
        assert_eq!(graffiti(&block), 1, "{problem}");
    }
}

#[tokio::test]
async fn without_a_block_by_the_end_every_endpoint_is_named() {
    let (hanging, broken) = (
        Server::always(Reply::Hang(Vec::new())).await,
        Server::always(Reply::json(503, "syncing")).await,
    );
    let budget = ProductionBudget {
        wait_for_better: SHORT,
        local_after: SHORT,
        give_up: SHORT * 2,
    };
    let error = produce(&[&hanging, &broken], 100, budget)
        .await
        .unwrap_err();
    let failed = |label: &str| {
        let of = |failure: &&flotilla_beacon::client::Failure| failure.endpoint == label;
        error.failures.iter().filter(of).count()
    };
    assert_eq!(
        (failed(&hanging.label()), failed(&broken.label())),
        (2, 2),
        "{error}"
    );
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_block_that_never_ends_is_cut_off_by_time() {
    let mut head = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    head.extend_from_slice(&[0; 100]);
    let server = Server::always(Reply::Hang(head)).await;
    let budget = ProductionBudget {
        give_up: SHORT,
        ..BUDGET
    };
    let error = produce(&[&server], 0, budget).await.unwrap_err();
    assert_eq!(error.failures[0].reason, Reason::Timeout(SHORT));
}
