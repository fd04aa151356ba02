//! Time and room.

use std::{sync::Arc, time::Duration};

use flotilla_beacon::server::{Limits, Roster};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    memory::{INDICES, UNDECIDED, group},
    setup::{PATIENCE, Setup, error, limits, ok},
};
use crate::upstream::{Reply, Server};

const DUTIES: &str = "/eth/v1/validator/duties/attester/3";
const SHORT: Duration = Duration::from_millis(200);

fn undecided() -> String {
    format!("/eth/v1/validator/attestation_data?slot={UNDECIDED}&committee_index=0")
}

#[tokio::test]
async fn before_the_validators_are_known_requests_wait_and_are_then_answered() {
    let setup = Setup::new().await;
    let known = setup.api.roster.send_replace(None);
    let asked = tokio::spawn(ok(setup.post(DUTIES).json(&json!(["7"]))));
    let asking = async {
        while setup.activity.last_request().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap();
    assert!(!asked.is_finished());
    setup.api.roster.send_replace(known);
    assert_eq!(asked.await.unwrap()["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn validators_that_stay_unknown_are_503_and_nothing_is_remembered() {
    let setup = Setup::bounded(Limits {
        deadline: SHORT,
        ..limits()
    })
    .await;
    let known = setup.api.roster.send_replace(None);
    for path in [DUTIES, "/eth/v1/validator/beacon_committee_selections"] {
        let (status, message, _) = error(setup.post(path).body("[]")).await;
        assert_eq!(status, 503);
        assert!(message.contains("not known yet"), "{message}");
    }
    for path in [
        "/eth/v1/beacon/states/head/validators/7",
        "/eth/v1/validator/duties/proposer/3",
    ] {
        let (status, ..) = error(setup.get(path)).await;
        assert_eq!(status, 503, "{path}");
    }
    setup.api.roster.send_replace(known);
    let answer = ok(setup.post(DUTIES).body("[7]")).await;
    assert_eq!(answer["data"].as_array().unwrap().len(), 1);
    let none = Roster::new([(INDICES[0], group(0))]);
    setup.api.roster.send_replace(Some(Arc::new(none)));
    let answer = ok(setup.post(DUTIES).body("[8]")).await;
    assert_eq!(answer["data"], json!([]));
}

#[tokio::test]
async fn at_the_deadline_it_is_408() {
    let setup = Setup::bounded(Limits {
        deadline: SHORT,
        ..limits()
    })
    .await;
    let (status, message, _) = error(setup.get(&undecided())).await;
    assert_eq!((status, &*message), (408, "client cancelled request"));
    // A body that does not come.
    let mut stream = TcpStream::connect(setup.address).await.unwrap();
    let head = format!("POST {DUTIES} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n[");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_silent_beacon_node_is_408_too() {
    let setup = Setup::before(
        vec![Server::always(Reply::Hang(Vec::new())).await],
        Limits {
            deadline: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let (status, ..) = error(setup.get("/eth/v1/config/spec")).await;
    assert_eq!(status, 408);
}

#[tokio::test]
async fn an_answer_of_which_nothing_more_comes_is_ended() {
    let part = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";
    let setup = Setup::before(
        vec![Server::always(Reply::Hang(part.into())).await],
        Limits {
            idle: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let response = setup.get("/eth/v1/config/spec").send().await.unwrap();
    let body = tokio::time::timeout(PATIENCE, response.bytes());
    assert!(body.await.unwrap().is_err());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let large = Reply::json(200, "x".repeat(32 << 20));
    let setup = Setup::before(
        vec![Server::always(large).await],
        Limits {
            stall: SHORT,
            ..limits()
        },
        None,
    )
    .await;
    let mut stream = TcpStream::connect(setup.address).await.unwrap();
    let ask = b"GET /eth/v1/config/spec HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    assert_eq!(setup.seen.of("proxy").await.status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_and_its_place_is_free_again() {
    let setup = Setup::bounded(Limits {
        requests: 1,
        ..limits()
    })
    .await;
    let mut stream = TcpStream::connect(setup.address).await.unwrap();
    let head = format!(
        "GET {} HTTP/1.1\r\nhost: x\r\nuser-agent: gone/1\r\n\r\n",
        undecided()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let busy = async {
        loop {
            let response = setup.get("/eth/v1/node/version").send().await.unwrap();
            if response.status() == 503 {
                return super::setup::refused(response).await;
            }
        }
    };
    let (_, message, _) = tokio::time::timeout(PATIENCE, busy).await.unwrap();
    assert_eq!(message, "too many requests at a time");
    drop(stream);
    let told = setup.seen.of("attestation_data").await;
    assert_eq!(
        (told.status, told.user_agent.as_deref()),
        (408, Some("gone/1"))
    );
    setup.json("/eth/v1/node/version").await;
}

#[tokio::test]
async fn only_so_many_large_bodies_are_held_at_a_time() {
    let setup = Setup::bounded(Limits {
        large_bodies: 1,
        ..limits()
    })
    .await;
    let head = |length: &str| {
        let fork = "eth-consensus-version: fulu";
        format!("POST /eth/v2/beacon/blocks HTTP/1.1\r\nhost: x\r\n{fork}\r\n{length}\r\n\r\n")
    };
    let mut held = TcpStream::connect(setup.address).await.unwrap();
    let large = head("content-length: 2000000");
    held.write_all(large.as_bytes()).await.unwrap();
    let busy = async {
        loop {
            let mut stream = TcpStream::connect(setup.address).await.unwrap();
            let unknown = head("transfer-encoding: chunked") + "1\r\n[\r\n0\r\n\r\n";
            stream.write_all(unknown.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            match &answer {
                b"HTTP/1.1 503" => return,
                answer => assert_eq!(answer, b"HTTP/1.1 400"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, busy).await.unwrap();
    // Small ones need no such place.
    let (status, ..) = error(setup.post("/eth/v2/beacon/blocks").body("[")).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_counted() {
    let setup = Setup::bounded(Limits {
        connections: 1,
        ..limits()
    })
    .await;
    let held = TcpStream::connect(setup.address).await.unwrap();
    let mut refused = TcpStream::connect(setup.address).await.unwrap();
    let mut byte = [0; 1];
    let read = refused.read(&mut byte);
    let read = tokio::time::timeout(PATIENCE, read).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
    assert_eq!(*setup.seen.refused.lock().unwrap(), 1);
    drop(held);
}

#[tokio::test]
async fn a_head_has_little_time_but_a_connection_between_requests_has_much() {
    let setup = Setup::bounded(Limits {
        header: SHORT,
        ..limits()
    })
    .await;
    let mut slow = TcpStream::connect(setup.address).await.unwrap();
    slow.write_all(b"GET /eth/v1/node").await.unwrap();
    let mut kept = TcpStream::connect(setup.address).await.unwrap();
    let ask = b"GET /eth/v1/node/version HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut answer = vec![0; 1024];
    kept.write_all(ask).await.unwrap();
    assert!(kept.read(&mut answer).await.unwrap() > 0);

    let closed = tokio::time::timeout(PATIENCE, slow.read_to_end(&mut answer));
    closed.await.unwrap().unwrap();
    tokio::time::sleep(2 * SHORT).await;
    kept.write_all(ask).await.unwrap();
    assert!(kept.read(&mut answer).await.unwrap() > 0);
    // And once more half a head.
    kept.write_all(&ask[..9]).await.unwrap();
    let closed = tokio::time::timeout(PATIENCE, kept.read_to_end(&mut answer));
    closed.await.unwrap().unwrap();
}
