//! What a node does with bytes written by hand, as other implementations or an attacker would.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use bytes::Bytes;
use flotilla_p2p::{Event, Fault, Protocol};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::SubstreamBox;
use support::{
    Cluster, Node, content, eventually, patiently,
    raw::{RawPeer, negotiation, read_to_end},
};

const QBFT: &str = "/charon/consensus/qbft/2.0.0";

async fn node_and_raw_peer(cluster: &Cluster) -> (Node, RawPeer) {
    let mut node = cluster.node(0);
    let address = node.handle.listen_addresses().remove(0);
    let peer = RawPeer::connect(cluster.secrets[1], address).await;
    node.connected(1).await;
    (node, peer)
}

async fn fault(node: &mut Node) -> Fault {
    loop {
        match node.event().await {
            Event::Oversized {
                peer: 1,
                protocol: Protocol::Qbft,
                reason,
            }
            | Event::Malformed {
                peer: 1,
                protocol: Protocol::Qbft,
                reason,
            } => return reason,
            _ => {}
        }
    }
}

async fn send(peer: &RawPeer, bytes: &[u8]) -> SubstreamBox {
    let mut stream = peer.open_with(QBFT, bytes).await;
    stream.close().await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn lazy_go_stream_is_read_answered_and_closed() {
    let (mut node, peer) = node_and_raw_peer(&Cluster::new(2)).await;
    let mut stream = send(&peer, b"\x05hello").await;
    assert_eq!(node.message().await, (1, Protocol::Qbft, content("hello")));
    assert_eq!(read_to_end(&mut stream).await, negotiation(QBFT));
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_frame_is_counted_and_the_connection_survives() {
    let (mut node, peer) = node_and_raw_peer(&Cluster::new(2)).await;
    // 32 MiB and one byte.
    let _stream = send(&peer, b"\x81\x80\x80\x10x").await;
    let expected = Fault::Oversized {
        length: 32 * 1024 * 1024 + 1,
        limit: 32 * 1024 * 1024,
    };
    assert_eq!(fault(&mut node).await, expected);
    assert_eq!(node.handle.stats()[0].oversized, 1);
    let _stream = send(&peer, b"\x05after").await;
    assert_eq!(node.message().await.2, content("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_are_counted_and_the_connection_survives() {
    let (mut node, peer) = node_and_raw_peer(&Cluster::new(2)).await;
    let _stream = send(&peer, b"\x05abc").await;
    let expected = Fault::Truncated {
        received: 3,
        announced: Some(5),
    };
    assert_eq!(fault(&mut node).await, expected);
    let _stream = send(&peer, b"\x80\x00").await;
    assert_eq!(fault(&mut node).await, Fault::BadLength);
    assert_eq!(node.handle.stats()[0].malformed, 2);
    let _stream = send(&peer, b"\x05after").await;
    assert_eq!(node.message().await.2, content("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn frame_that_never_ends_is_given_up() {
    let mut cluster = Cluster::new(2);
    cluster.limits.receive_timeout = std::time::Duration::from_millis(100);
    let (mut node, peer) = node_and_raw_peer(&cluster).await;
    let _stream = peer.open_with(QBFT, b"\x05abc").await;
    assert_eq!(fault(&mut node).await, Fault::TooSlow);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_protocol_and_frame_leave_in_one_flight() {
    let (node, mut peer) = node_and_raw_peer(&Cluster::new(2)).await;
    node.handle.send(1, Protocol::Qbft, content("hello"));
    // Nothing was answered yet, and still the whole message and the end of the stream are here.
    let mut stream = peer.accept(QBFT).await;
    assert_eq!(read_to_end(&mut stream).await, b"\x05hello");
    assert_eq!(node.handle.stats()[0].streams_out, 1);
    stream.write_all(&negotiation(QBFT)).await.unwrap();
    stream.close().await.unwrap();
    eventually(|| node.handle.stats()[0].streams_out == 0).await;
    assert_eq!(node.handle.stats()[0].sent[&Protocol::Qbft].messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_that_is_reset_unanswered_is_tried_once_more() {
    let (node, mut peer) = node_and_raw_peer(&Cluster::new(2)).await;
    node.handle.send(1, Protocol::Qbft, content("hello"));
    for _ in 0..2 {
        drop(peer.accept(QBFT).await);
    }
    eventually(|| node.handle.stats()[0].dropped == 1).await;
    assert_eq!(node.handle.stats()[0].retried, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_ends_returns_unanswered_messages_to_the_queue() {
    let cluster = Cluster::new(2);
    let (node, mut peer) = node_and_raw_peer(&cluster).await;
    for number in 0..20 {
        let bytes = content(&number.to_string());
        node.handle.send(1, Protocol::Qbft, bytes);
    }
    let _unanswered = peer.accept(QBFT).await;
    drop(peer);
    let mut second = cluster.node_dialling(1, &node);
    let mut received = std::collections::BTreeSet::new();
    for _ in 0..20 {
        received.insert(second.message().await.2);
    }
    assert_eq!(received.len(), 20);
    assert_eq!(node.handle.stats()[0].dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_answers_no_ping_is_disconnected_and_keeps_its_messages() {
    let mut cluster = Cluster::new(2);
    cluster.limits.dead_after = std::time::Duration::from_millis(100);
    let (mut node, mut peer) = node_and_raw_peer(&cluster).await;
    node.handle.send(1, Protocol::Qbft, content("hello"));
    let _unanswered = peer.accept(QBFT).await;
    node.disconnected().await;
    assert_eq!(node.handle.stats()[0].queued_messages, 1);
    assert!(node.handle.stats()[0].connections.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_takes_no_bytes_is_disconnected_all_the_same() {
    let mut cluster = Cluster::new(2);
    cluster.limits.dead_after = std::time::Duration::from_millis(100);
    let (mut node, peer) = node_and_raw_peer(&cluster).await;
    peer.freeze();
    // More than the kernel's buffers hold, in as many streams as may be open, since each may fill
    // its window: an orderly close cannot finish.
    for _ in 0..128 {
        let large = Bytes::from(vec![7; 300 * 1024]);
        node.handle.send(1, Protocol::PartialSignatures, large);
    }
    node.disconnected().await;
    assert_eq!(node.handle.stats()[0].queued_messages, 128);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_protocol_is_not_tried_again() {
    let (node, mut peer) = node_and_raw_peer(&Cluster::new(2)).await;
    node.handle.send(1, Protocol::Qbft, content("hello"));
    let mut stream = peer.accept(QBFT).await;
    stream
        .write_all(b"\x13/multistream/1.0.0\n\x03na\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    eventually(|| node.handle.stats()[0].unsupported == 1).await;
    assert_eq!(node.handle.stats()[0].retried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn burst_of_foreign_streams_is_never_dropped() {
    // go-yamux has at most 256 streams open that are not acknowledged, this Yamux as well.
    const BURST: usize = 600;
    let (mut node, peer) = node_and_raw_peer(&Cluster::new(2)).await;
    let mut streams = Vec::new();
    for number in 0..BURST {
        let frame = [&[2], &u16::try_from(number).unwrap().to_be_bytes()[..]].concat();
        streams.push(peer.open_with(QBFT, &frame).await);
    }
    let mut received = std::collections::BTreeSet::new();
    for _ in 0..BURST {
        received.insert(node.message().await.2);
    }
    assert_eq!(received.len(), BURST);
    assert_eq!(node.handle.stats()[0].malformed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn slashless_priority_is_served() {
    let mut cluster = Cluster::new(2);
    cluster.protocols.push(Protocol::Priority);
    let (mut node, peer) = node_and_raw_peer(&cluster).await;
    let legacy = "charon/priority/2.0.0";
    let mut stream = peer.open_with(legacy, b"\x04mine").await;
    stream.close().await.unwrap();
    loop {
        if let Event::Request { bytes, reply, .. } = node.event().await {
            assert_eq!(bytes, "mine");
            reply.send(Bytes::from_static(b"yours")).unwrap();
            break;
        }
    }
    let expected = [negotiation(legacy), b"\x05yours".to_vec()].concat();
    assert_eq!(read_to_end(&mut stream).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn slashless_priority_is_proposed_after_a_refusal() {
    let (node, mut peer) = node_and_raw_peer(&Cluster::new(2)).await;
    let handle = node.handle.clone();
    let asked =
        tokio::spawn(async move { handle.request(1, Protocol::Priority, content("mine")).await });
    let mut stream = peer.accept("/charon/priority/2.0.0").await;
    stream
        .write_all(b"\x13/multistream/1.0.0\n\x03na\n")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let line = b"\x16charon/priority/2.0.0\n";
    let mut proposed = vec![0; line.len()];
    patiently(stream.read_exact(&mut proposed)).await.unwrap();
    assert_eq!(proposed, line);
    stream
        .write_all(&[&line[..], b"\x05yours"].concat())
        .await
        .unwrap();
    stream.close().await.unwrap();
    assert_eq!(asked.await.unwrap(), Ok(content("yours")));
}
