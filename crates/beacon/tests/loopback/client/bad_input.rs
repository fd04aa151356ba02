//! Answers that would fill the memory, never end, or are no answers at all.

use std::time::Duration;

use flotilla_beacon::client::{BeaconNode, Reason, Timeouts};
use flotilla_types::{CommitteeIndex, Epoch, Slot};

use super::{node, timeouts};
use crate::upstream::{Reply, Server};

#[tokio::test]
async fn a_body_of_a_gigabyte_is_refused_announced_or_not() {
    let announced = Reply::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n".to_vec());
    for reply in [announced, Reply::Endless(&[b' '; 4096])] {
        let server = Server::always(reply).await;
        let node = node(&[&server]);
        let error = node.proposer_duties(Epoch(0)).await.unwrap_err();
        assert_eq!(
            error.failures[0].reason,
            Reason::Oversized { limit: 1 << 20 }
        );
    }
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_off_by_time() {
    let query = Duration::from_millis(50);
    let timeouts = Timeouts {
        query,
        epoch_query: query,
        ..timeouts()
    };
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":".to_vec();
    let server = Server::always(Reply::Hang(head)).await;
    let node = BeaconNode::new(vec![server.url()], timeouts).unwrap();
    for error in [
        node.proposer_duties(Epoch(0)).await.unwrap_err(),
        node.finality_checkpoints().await.unwrap_err(),
    ] {
        assert_eq!(error.failures[0].reason, Reason::Timeout(query));
    }
}

#[tokio::test]
async fn an_error_that_never_ends_is_cut_off_by_time() {
    let query = Duration::from_millis(50);
    let head = b"HTTP/1.1 500 X\r\ncontent-length: 100\r\n\r\noops".to_vec();
    let server = Server::always(Reply::Hang(head)).await;
    let timeouts = Timeouts {
        query,
        ..timeouts()
    };
    let node = BeaconNode::new(vec![server.url()], timeouts).unwrap();
    let error = node.genesis().await.unwrap_err();
    assert!(
        matches!(error.failures[0].reason, Reason::Status { status: 500, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn html_in_place_of_an_answer_is_a_failure() {
    let server = Server::always(Reply::html(200)).await;
    let node = node(&[&server]);
    for error in [
        node.proposer_duties(Epoch(0)).await.unwrap_err(),
        node.sync_duties(Epoch(0), &[]).await.unwrap_err(),
        node.finality_checkpoints().await.unwrap_err(),
        node.attestation_data(Slot(1), CommitteeIndex(0))
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{error}"
        );
    }
    assert!(!node.endpoints()[0].healthy);
}
