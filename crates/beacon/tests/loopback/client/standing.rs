//! Primaries and fallbacks, heads that lag, and endpoints that are late.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use flotilla_beacon::client::{
    BeaconNode, CommitteeSubscription, EndpointConfig, Observer, Reason, Request, Timeouts,
};
use flotilla_types::{CommitteeIndex, Root, Slot, ValidatorIndex};
use serde_json::json;

use super::{chain_of, timeouts};
use crate::upstream::{Reply, Server};

/// A server that has so many peers and says that its head is there.
async fn server(peers: u64, head: u64, distance: u64) -> Server {
    Server::start(move |asked| {
        Reply::ok(&match asked.path.contains("syncing") {
            true => json!({ "data": {
                "head_slot": head.to_string(), "sync_distance": distance.to_string(), "is_syncing": false,
            }}),
            false => json!({ "data": { "connected": peers.to_string() } }),
        })
    })
    .await
}

fn subscription() -> CommitteeSubscription {
    CommitteeSubscription {
        validator_index: ValidatorIndex(1),
        committee_index: CommitteeIndex(2),
        committees_at_slot: 3,
        slot: Slot(4),
        is_aggregator: true,
    }
}

fn with_fallback(primary: &Server, fallback: &Server) -> BeaconNode {
    let endpoints = [
        EndpointConfig::fallback(fallback.url()),
        EndpointConfig::primary(primary.url()),
    ];
    BeaconNode::with_endpoints(&endpoints, timeouts()).unwrap()
}

#[tokio::test]
async fn a_fallback_is_asked_only_when_the_primaries_fail() {
    let (primary, fallback) = (server(1, 9, 0).await, server(2, 9, 0).await);
    let node = with_fallback(&primary, &fallback);
    assert_eq!(node.peer_count().await.unwrap(), 1);
    assert!(fallback.asked().is_empty());
    assert!(!node.is_using_fallback());

    let broken = Server::always(Reply::json(500, "")).await;
    let node = with_fallback(&broken, &fallback);
    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert!(node.is_using_fallback());
    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert_eq!(
        broken.asked().len(),
        1,
        "unhealthy, so the fallback is first"
    );
}

#[tokio::test]
async fn a_primary_that_recovers_takes_over_again() {
    let down = Arc::new(AtomicBool::new(true));
    let state = down.clone();
    let primary = Server::start(move |asked| {
        match (state.load(Ordering::SeqCst), asked.path.contains("syncing")) {
            (true, _) => Reply::json(503, ""),
            (false, true) => Reply::ok(&json!({ "data": {
                "head_slot": "9", "sync_distance": "0", "is_syncing": false,
            }})),
            (false, false) => Reply::ok(&json!({ "data": { "connected": "1" } })),
        }
    })
    .await;
    let fallback = server(2, 9, 0).await;
    let node = with_fallback(&primary, &fallback);
    assert_eq!(node.peer_count().await.unwrap(), 2);
    down.store(false, Ordering::SeqCst);
    node.syncing().await.unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 1);
    assert!(!node.is_using_fallback());
}

#[tokio::test]
async fn submissions_go_to_fallbacks_too() {
    let (primary, fallback) = (
        Server::always(Reply::json(200, "")).await,
        Server::always(Reply::json(200, "")).await,
    );
    let node = with_fallback(&primary, &fallback);
    node.subscribe_committees(&[subscription()]).await.unwrap();
    while primary.asked().is_empty() || fallback.asked().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_most_advanced_head_is_asked_first() {
    let (behind, ahead) = (server(1, 90, 0).await, server(2, 100, 0).await);
    let node = BeaconNode::new(vec![behind.url(), ahead.url()], timeouts()).unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 1, "nothing is known yet");
    node.syncing().await.unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 2);
    let heads: Vec<_> = node
        .endpoints()
        .iter()
        .map(|status| status.head_slot)
        .collect();
    assert_eq!(heads, [Some(Slot(90)), Some(Slot(100))]);
}

#[tokio::test]
async fn one_slot_of_lag_changes_no_order() {
    let (first, second) = (server(1, 99, 1).await, server(2, 100, 0).await);
    let node = BeaconNode::new(vec![first.url(), second.url()], timeouts()).unwrap();
    node.syncing().await.unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 1);
}

#[tokio::test]
async fn the_smallest_distance_is_asked_first() {
    let (far, near) = (server(1, 100, 30).await, server(2, 100, 0).await);
    let node = BeaconNode::new(vec![far.url(), near.url()], timeouts()).unwrap();
    node.syncing().await.unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 2);
}

/// Labels, endpoints and outcomes.
#[derive(Default)]
struct Log(Mutex<Vec<(&'static str, String, bool)>>);

impl Observer for Log {
    fn request(&self, request: &Request<'_>) {
        let line = (request.label, request.endpoint.to_owned(), request.ok);
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn a_late_endpoint_is_overtaken_by_the_next_and_then_asked_last() {
    let hanging = Server::always(Reply::Hang(Vec::new())).await;
    let good = server(2, 9, 0).await;
    // A quarter of it is soon, the whole is never reached.
    let timeouts = Timeouts {
        query: Duration::from_secs(2),
        ..timeouts()
    };
    let log = Arc::new(Log::default());
    let node = BeaconNode::new(vec![hanging.url(), good.url()], timeouts)
        .unwrap()
        .with_observer(log.clone());
    let start = std::time::Instant::now();
    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert!(
        start.elapsed() >= Duration::from_millis(500),
        "the first has a quarter of the time"
    );
    let told = log.0.lock().unwrap().clone();
    let expected = [
        ("node_peer_count", good.label(), true),
        ("node_peer_count", hanging.label(), false),
    ];
    assert_eq!(told, expected);

    assert_eq!(node.peer_count().await.unwrap(), 2);
    assert_eq!(hanging.asked().len(), 1, "late, so asked last");
}

#[tokio::test]
async fn an_endpoint_has_its_own_headers_and_credentials() {
    let (first, second) = (server(1, 9, 0).await, server(2, 9, 0).await);
    let headers = |value: &str| vec![("x-token".to_owned(), value.to_owned())];
    let endpoints = [
        EndpointConfig {
            headers: headers("one"),
            ..EndpointConfig::primary(first.url())
        },
        EndpointConfig {
            headers: headers("two"),
            ..EndpointConfig::primary(second.url())
        },
    ];
    let node = BeaconNode::with_endpoints(&endpoints, timeouts()).unwrap();
    node.syncing().await.unwrap();
    for (server, token) in [(&first, "one"), (&second, "two")] {
        let asked = server.asked().remove(0);
        assert_eq!(asked.header("x-token"), Some(token));
        assert_eq!(
            asked.header("authorization"),
            Some("Basic dXNlcjpzZWNyZXQ=")
        );
    }
}

#[tokio::test]
async fn timeouts_can_follow_the_chain_once_it_is_known() {
    let hanging = Server::always(Reply::Hang(Vec::new())).await;
    let node = BeaconNode::new(vec![hanging.url()], timeouts()).unwrap();
    let slot = Duration::from_millis(300);
    let node = node.with_timeouts(Timeouts::for_slot(slot)).unwrap();
    let error = node.peer_count().await.unwrap_err();
    assert!(error.to_string().contains("within 75ms"), "{error}");
}

/// A server of the chain with this genesis validators root.
async fn server_of_chain(peers: u64, chain: Arc<AtomicU8>) -> Server {
    Server::start(move |asked| {
        let root = Root([chain.load(Ordering::SeqCst); 32]);
        Reply::ok(&match asked.path.rsplit('/').next() {
            Some("genesis") => json!({ "data": {
                "genesis_time": "1", "genesis_validators_root": root, "genesis_fork_version": "0x00000000",
            }}),
            Some("syncing") => json!({ "data": {
                "head_slot": "9", "sync_distance": "0", "is_syncing": false,
            }}),
            _ => json!({ "data": { "connected": peers.to_string() } }),
        })
    })
    .await
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_not_used_until_it_serves_ours() {
    let chain = Arc::new(AtomicU8::new(2));
    let foreign = server_of_chain(1, chain.clone()).await;
    let ours = server_of_chain(2, Arc::new(AtomicU8::new(1))).await;
    let node = BeaconNode::new(vec![foreign.url(), ours.url()], timeouts())
        .unwrap()
        .with_chain(chain_of(1));
    node.syncing().await.unwrap();
    let count = |server: &Server| server.asked().len();
    let (before, subscription) = (count(&foreign), subscription());
    assert_eq!(node.peer_count().await.unwrap(), 2);
    node.subscribe_committees(&[subscription]).await.unwrap();
    assert_eq!(count(&foreign), before, "neither asked nor told");
    let other: Vec<_> = node
        .endpoints()
        .iter()
        .map(|status| status.other_chain)
        .collect();
    assert_eq!(other, [true, false]);

    chain.store(1, Ordering::SeqCst);
    node.syncing().await.unwrap();
    assert_eq!(node.peer_count().await.unwrap(), 1);
}

#[tokio::test]
async fn when_all_serve_another_chain_the_error_says_so() {
    let foreign = server_of_chain(1, Arc::new(AtomicU8::new(2))).await;
    let node = BeaconNode::new(vec![foreign.url()], timeouts())
        .unwrap()
        .with_chain(chain_of(1));
    let error = node.syncing().await.unwrap_err();
    assert_eq!(error.failures[0].reason, Reason::OtherChain);
    assert!(node.peer_count().await.is_err());
}
