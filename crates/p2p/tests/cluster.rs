//! Networks of one cluster on loopback: messages, requests, bounds, restarts.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use flotilla_p2p::{Error, Event, Limits, Network, Protocol, RequestError};
use support::{Cluster, Node, content, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_exchange_messages() {
    let [mut first, mut second] = Cluster::new(2).start().await;
    first
        .handle
        .send(1, Protocol::Qbft, Bytes::from_static(b"ping"));
    assert_eq!(second.message().await, (0, Protocol::Qbft, content("ping")));
    second
        .handle
        .send(0, Protocol::PartialSignatures, Bytes::new());
    assert_eq!(
        first.message().await,
        (1, Protocol::PartialSignatures, Bytes::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_all_reach_each_other() {
    let mut nodes: [Node; 4] = Cluster::new(4).start().await;
    for (from, node) in nodes.iter().enumerate() {
        for to in (0..4).filter(|to| *to != from) {
            let bytes = content(&format!("{from}>{to}"));
            node.handle.send(to, Protocol::Qbft, bytes);
        }
    }
    for (to, node) in nodes.iter_mut().enumerate() {
        let mut received = BTreeSet::new();
        for _ in 0..3 {
            let (from, _, bytes) = node.message().await;
            assert_eq!(bytes, content(&format!("{from}>{to}")));
            received.insert(from);
        }
        assert_eq!(received.len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_of_messages_loses_none() {
    const BURST: u32 = 2000;
    let [first, mut second] = Cluster::new(2).start().await;
    for number in 0..BURST {
        let bytes = Bytes::copy_from_slice(&number.to_be_bytes());
        first.handle.send(1, Protocol::PartialSignatures, bytes);
    }
    let mut received = BTreeSet::new();
    for _ in 0..BURST {
        received.insert(second.message().await.2);
    }
    assert_eq!(received.len(), BURST as usize);
    let sent = || first.handle.stats()[0].sent[&Protocol::PartialSignatures].messages;
    eventually(|| sent() == u64::from(BURST)).await;
    assert_eq!(first.handle.stats()[0].dropped, 0);
    assert_eq!(first.handle.stats()[0].retried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_message_passes() {
    let [first, mut second] = Cluster::new(2).start().await;
    let large: Bytes = (0..5 * 1024 * 1024u32).map(|byte| byte as u8).collect();
    first.handle.send(1, Protocol::Qbft, large.clone());
    assert_eq!(second.message().await.2, large);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_consumer_slows_the_sender_and_loses_nothing() {
    let mut cluster = Cluster::new(2);
    cluster.limits = Limits {
        events: 4,
        streams_out: 8,
        ..Limits::default()
    };
    let [first, mut second] = cluster.start().await;
    for number in 0..100u8 {
        let bytes = Bytes::copy_from_slice(&[number]);
        first.handle.send(1, Protocol::Qbft, bytes);
    }
    // Eight streams are open, of which the other side has handed on what fits.
    eventually(|| first.handle.stats()[0].queued_messages < 100).await;
    assert!(first.handle.stats()[0].queued_messages > 80);
    let mut received = BTreeSet::new();
    for _ in 0..100 {
        received.insert(second.message().await.2);
    }
    assert_eq!(received.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_is_answered_also_when_empty() {
    let [first, mut second] = Cluster::new(2).start().await;
    let answering = tokio::spawn(async move {
        loop {
            if let Event::Request {
                from: 0,
                protocol: Protocol::PeerInfo,
                bytes,
                reply,
            } = second.event().await
            {
                reply.send([b"re: ", &bytes[..]].concat().into()).unwrap();
            }
        }
    });
    for question in ["", "who"] {
        let asked = first
            .handle
            .request(1, Protocol::PeerInfo, content(question));
        assert_eq!(asked.await, Ok(content(&format!("re: {question}"))));
    }
    answering.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn request_without_an_answer_ends() {
    let mut cluster = Cluster::new(2);
    cluster.limits.receive_timeout = Duration::from_millis(200);
    let [first, mut second] = cluster.start().await;
    let refusing = tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            if let Event::Request { bytes, reply, .. } = second.event().await
                && bytes != "drop"
            {
                kept.push(reply);
            }
        }
    });
    let dropped = first.handle.request(1, Protocol::PeerInfo, content("drop"));
    assert_eq!(dropped.await, Err(RequestError::NoResponse));
    let kept = first.handle.request(1, Protocol::PeerInfo, content("keep"));
    assert_eq!(kept.await, Err(RequestError::NoResponse));
    refusing.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn request_times_out_when_the_consumer_does_not_move() {
    let mut cluster = Cluster::new(2);
    cluster.limits.send_timeout = Duration::from_millis(200);
    let [first, _second] = cluster.start().await;
    let asked = first.handle.request(1, Protocol::PeerInfo, Bytes::new());
    assert_eq!(
        asked.await,
        Err(RequestError::Timeout(Duration::from_millis(200)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn impossible_requests_fail_at_once() {
    let cluster = Cluster::new(2);
    let node = cluster.node(0);
    let ask = |peer, protocol| node.handle.request(peer, protocol, Bytes::new());
    assert_eq!(
        ask(1, Protocol::PeerInfo).await,
        Err(RequestError::NotConnected { peer: 1 })
    );
    assert_eq!(
        ask(0, Protocol::PeerInfo).await,
        Err(RequestError::UnknownPeer { peer: 0 })
    );
    assert!(matches!(
        ask(1, Protocol::Qbft).await,
        Err(RequestError::NotARequest { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn protocol_that_is_not_served_is_unsupported_under_both_names() {
    let [first, second] = Cluster::new(2).start().await;
    let asked = first.handle.request(1, Protocol::Priority, Bytes::new());
    assert_eq!(asked.await, Err(RequestError::Unsupported));
    assert_eq!(first.handle.stats()[0].unsupported, 1);
    drop(second);
}

#[tokio::test(flavor = "multi_thread")]
async fn priority_is_exchanged_when_served() {
    let mut cluster = Cluster::new(2);
    cluster.protocols.push(Protocol::Priority);
    let [first, mut second] = cluster.start().await;
    let asked = first.handle.request(1, Protocol::Priority, content("mine"));
    let answering = async {
        loop {
            if let Event::Request { reply, .. } = second.event().await {
                return reply.send(content("yours")).unwrap();
            }
        }
    };
    let (response, ()) = tokio::join!(asked, answering);
    assert_eq!(response, Ok(content("yours")));
}

#[tokio::test(flavor = "multi_thread")]
async fn message_waits_for_a_peer_that_restarts() {
    let cluster = Cluster::new(2);
    let (mut first, second) = cluster.pair().await;
    let address = second.handle.listen_addresses();
    drop(second);
    first.disconnected().await;
    first.handle.send(1, Protocol::Qbft, content("kept"));
    assert_eq!(first.handle.stats()[0].queued_messages, 1);

    let mut config = cluster.config(1);
    config.listen = address;
    let mut second = Node::start(config);
    assert_eq!(second.message().await, (0, Protocol::Qbft, content("kept")));
    eventually(|| first.handle.stats()[0].queued_messages == 0).await;
    assert_eq!(first.handle.stats()[0].dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn full_queue_drops_the_oldest_and_counts_it() {
    let mut cluster = Cluster::new(2);
    cluster.limits.queue_messages = 3;
    let first = cluster.node(0);
    for number in 0..5 {
        first
            .handle
            .send(1, Protocol::Qbft, content(&number.to_string()));
    }
    let stats = &first.handle.stats()[0];
    assert_eq!((stats.queued_messages, stats.dropped), (3, 2));

    let mut second = cluster.node_dialling(1, &first);
    let mut received = BTreeSet::new();
    for _ in 0..3 {
        received.insert(second.message().await.2);
    }
    assert_eq!(received, ["2", "3", "4"].map(content).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn stranger_is_refused_both_ways() {
    let cluster = Cluster::new(2);
    let first = cluster.node(0);
    // A node of another cluster believes that the first node is a member of its own.
    let others = Cluster::with_keys([cluster.secrets[0], [77; 32]]);
    let mut config = others.config(1);
    config.addresses.insert(0, first.handle.listen_addresses());
    let stranger = Node::start(config);
    stranger
        .handle
        .send(0, Protocol::Qbft, content("let me in"));
    eventually(|| {
        let stats = &stranger.handle.stats()[0];
        stats.connections_total + stats.dial_failures >= 2
    })
    .await;
    assert!(first.handle.connected().is_empty());
    assert_eq!(first.handle.stats()[0].connections_total, 0);

    // And the first node does not take the stranger for its peer when it dials that address.
    let mut config = cluster.config(0);
    config
        .addresses
        .insert(1, stranger.handle.listen_addresses());
    let dialling = Node::start(config);
    eventually(|| dialling.handle.stats()[0].dial_failures >= 1).await;
    assert!(dialling.handle.connected().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_report_the_round_trip() {
    let [mut first, _second] = Cluster::new(2).start().await;
    loop {
        if let Event::Ping { peer: 1, rtt } = first.event().await {
            assert!(rtt > Duration::ZERO);
            break;
        }
    }
    assert!(first.handle.stats()[0].rtt.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_network_ends_its_events_and_fails_requests() {
    let cluster = Cluster::new(2);
    let (mut first, mut second) = cluster.pair().await;
    let asked = first.handle.request(1, Protocol::PeerInfo, Bytes::new());
    cluster.cancellation.cancel();
    assert_eq!(asked.await, Err(RequestError::Stopped));
    while first.events.recv().await.is_some() {}
    while second.events.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn network_stops_when_its_handle_is_dropped() {
    let node = Cluster::new(2).node(0);
    let Node { handle, mut events } = node;
    let clone = handle.clone();
    drop(handle);
    assert!(events.try_recv().is_none());
    drop(clone);
    assert!(events.recv().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn port_in_use_is_named_with_the_next_step() {
    let cluster = Cluster::new(2);
    let first = cluster.node(0);
    let mut config = cluster.config(1);
    config.listen = first.handle.listen_addresses();
    let error = Network::start(config).unwrap_err();
    assert!(matches!(error, Error::PortInUse { .. }));
    let text = error.to_string();
    let address = first.handle.listen_addresses()[0].to_string();
    assert!(text.contains(&address) && text.contains("choose another port"));
}

#[tokio::test(flavor = "multi_thread")]
async fn address_that_does_not_fit_the_cluster_is_refused() {
    let cluster = Cluster::new(2);
    let address: flotilla_p2p::Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let mut config = cluster.config(0);
    config.addresses.insert(2, vec![address.clone()]);
    assert!(matches!(
        Network::start(config),
        Err(Error::UnknownPeer { peer: 2, last: 1 })
    ));
    let stranger = Cluster::with_keys([[9; 32], [10; 32]]).node(0);
    let named = address.with_p2p(stranger.handle.peer_id()).unwrap();
    let mut config = cluster.config(0);
    config.addresses.insert(1, vec![named]);
    assert!(matches!(
        Network::start(config),
        Err(Error::AddressOfAnother { peer: 1, .. })
    ));
}
