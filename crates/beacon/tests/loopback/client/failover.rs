//! Which endpoint is asked, and when the next.

use std::{
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use flotilla_beacon::client::{BeaconNode, Reason, Timeouts};
use flotilla_types::{Root, Timestamp};
use serde_json::json;

use super::{node, timeouts};
use crate::upstream::{Reply, Server};

fn peers(count: u64) -> Reply {
    Reply::ok(&json!({ "data": { "connected": count.to_string() } }))
}

fn syncing(is_syncing: bool, head: u64) -> Reply {
    Reply::ok(&json!({ "data": {
        "head_slot": head.to_string(), "sync_distance": "0", "is_syncing": is_syncing, "el_offline": false,
    }}))
}

#[tokio::test]
async fn a_healthy_first_endpoint_is_the_only_one_asked() {
    let (first, second) = (
        Server::always(peers(1)).await,
        Server::always(peers(2)).await,
    );
    assert_eq!(node(&[&first, &second]).peer_count().await.unwrap(), 1);
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn every_kind_of_failure_leads_to_the_next_endpoint() {
    let second = Server::always(peers(2)).await;
    for reply in [
        Reply::json(500, ""),
        Reply::json(404, ""),
        Reply::json(200, "{}"),
        Reply::Raw(Vec::new()),
    ] {
        let first = Server::always(reply).await;
        assert_eq!(node(&[&first, &second]).peer_count().await.unwrap(), 2);
        assert_eq!(first.asked().len(), 1);
    }
    let node = BeaconNode::new(vec![Server::gone().await, second.url()], timeouts()).unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 2);
}

#[tokio::test]
async fn an_endpoint_that_hangs_costs_its_timeout() {
    let first = Server::always(Reply::Hang(
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec(),
    ))
    .await;
    let second = Server::always(peers(2)).await;
    let timeouts = Timeouts {
        query: Duration::from_millis(200),
        ..timeouts()
    };
    let alone = BeaconNode::new(vec![first.url()], timeouts).unwrap();
    let error = alone.peer_count().await.unwrap_err();
    assert_eq!(
        error.failures[0].reason,
        Reason::Timeout(Duration::from_millis(200))
    );
    assert!(error.is_temporary());
    // The second has the time of a loaded machine.
    let timeouts = Timeouts {
        query: Duration::from_secs(2),
        ..timeouts
    };
    let both = BeaconNode::new(vec![first.url(), second.url()], timeouts).unwrap();
    assert_eq!(both.peer_count().await.unwrap(), 2);
}

#[tokio::test]
async fn an_unhealthy_endpoint_is_asked_last_until_it_answers() {
    let down = Arc::new(AtomicBool::new(true));
    let state = down.clone();
    let first = Server::start(move |asked| {
        match (state.load(Ordering::SeqCst), asked.path.contains("syncing")) {
            (true, _) => Reply::json(503, ""),
            (false, true) => syncing(false, 9),
            (false, false) => peers(1),
        }
    })
    .await;
    let second = Server::start(|asked| {
        if asked.path.contains("syncing") {
            syncing(false, 8)
        } else {
            peers(2)
        }
    })
    .await;
    let node = node(&[&first, &second]);

    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert_eq!(
        node.endpoints()
            .iter()
            .map(|status| status.healthy)
            .collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert_eq!(
        first.asked().len(),
        1,
        "not asked again while the second answers"
    );

    down.store(false, Ordering::SeqCst);
    assert_eq!(node.syncing().await.unwrap().head_slot.0, 9);
    assert_eq!(node.peer_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_refused_question_does_not_speak_against_the_endpoint() {
    let first = Server::start(|asked| {
        if asked.path.contains("genesis") {
            Reply::json(404, "")
        } else {
            peers(1)
        }
    })
    .await;
    let second = Server::always(peers(2)).await;
    let node = node(&[&first, &second]);
    assert!(node.genesis().await.is_err());
    assert_eq!(node.peer_count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_syncing_endpoint_is_asked_last() {
    let first = Server::start(|asked| {
        if asked.path.contains("syncing") {
            syncing(true, 5)
        } else {
            peers(1)
        }
    })
    .await;
    let second = Server::start(|asked| {
        if asked.path.contains("syncing") {
            syncing(false, 8)
        } else {
            peers(2)
        }
    })
    .await;
    let both = node(&[&first, &second]);
    assert_eq!(both.syncing().await.unwrap().head_slot.0, 8);
    assert_eq!(both.peer_count().await.unwrap(), 2);

    let alone = node(&[&first]);
    assert!(alone.syncing().await.unwrap().is_syncing);
    assert_eq!(alone.peer_count().await.unwrap(), 1, "better than nobody");
}

#[tokio::test]
async fn when_all_fail_each_failure_is_told() {
    let (first, second) = (
        Server::always(Reply::json(500, "broken")).await,
        Server::always(Reply::json(200, "[]")).await,
    );
    let error = node(&[&first, &second]).peer_count().await.unwrap_err();
    assert_eq!(error.failures.len(), 2);
    let text = error.to_string();
    assert!(text.contains(&format!(
        "{}/eth/v1/node/peer_count: status 500: broken; GET {}",
        first.label(),
        second.label()
    )));
    assert!(!text.contains("secret"));
    assert!(node(&[&first, &second]).syncing().await.is_err());
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_found() {
    let genesis = |time: &str| {
        Reply::ok(&json!({ "data": {
            "genesis_time": time, "genesis_validators_root": Root::default(), "genesis_fork_version": "0x00000000",
        }}))
    };
    let (first, second) = (
        Server::always(genesis("1")).await,
        Server::always(genesis("2")).await,
    );
    let found = node(&[&first, &second]).genesis_by_endpoint().await;
    let times: Vec<_> = found
        .into_iter()
        .map(|(label, genesis)| (label, genesis.unwrap().genesis_time))
        .collect();
    assert_eq!(
        times,
        [
            (first.label(), Timestamp::from_secs(1)),
            (second.label(), Timestamp::from_secs(2))
        ]
    );
}
