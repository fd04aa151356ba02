//! What is passed on, and how.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::Method;
use serde_json::json;

use super::setup::{PATIENCE, Setup, error, limits};
use crate::upstream::{Reply, Server};

const PATH: &str = "/eth/v2/beacon/blocks/0xab?b=2&a=1";

async fn before(upstreams: Vec<Server>) -> Setup {
    Setup::before(upstreams, limits(), None).await
}

#[tokio::test]
async fn the_nodes_own_answer_comes_back_unchanged() {
    let raw = "HTTP/1.1 404 Nothing\r\ncontent-type: text/plain; x=y\r\nx-own: 1\r\ncontent-length: 7\r\nconnection: close\r\n\r\nnothing";
    let setup = before(vec![Server::always(Reply::Raw(raw.into())).await]).await;
    let request = setup.get(PATH).header("accept", "application/octet-stream");
    let request = request
        .header("authorization", "Bearer of the client")
        .header("user-agent", "vc/1");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 404);
    assert_eq!(response.headers()["content-type"], "text/plain; x=y");
    assert_eq!(response.headers()["x-own"], "1");
    assert!(!response.headers().contains_key("connection"));
    assert_eq!(response.text().await.unwrap(), "nothing");

    let asked = setup.upstreams[0].asked().remove(0);
    assert_eq!(asked.path, format!("/base{PATH}"));
    assert_eq!(asked.header("accept"), Some("application/octet-stream"));
    assert_eq!(asked.header("user-agent"), Some("vc/1"));
    assert_eq!(
        asked.header("authorization"),
        Some("Basic dXNlcjpzZWNyZXQ=")
    );
    assert_eq!(asked.header("content-length"), None);
    let told = setup.seen.of("proxy").await;
    assert_eq!(told.path.as_deref(), Some("eth_v2_beacon_blocks_{hex}"));
    assert_eq!(
        (told.status, told.user_agent.as_deref()),
        (404, Some("vc/1"))
    );
    assert!(setup.activity.last_request().is_some());
}

#[tokio::test]
async fn every_method_is_passed_on_also_where_another_is_answered_here() {
    let setup = before(vec![Server::always(Reply::json(200, "{}")).await]).await;
    let url = |path: &str| format!("http://{}{path}", setup.address);
    for (method, path) in [
        (Method::DELETE, "/eth/v1/keystores"),
        (Method::GET, "/eth/v2/beacon/pool/attestations"),
        (
            Method::POST,
            "/eth/v1/validator/beacon_committee_subscriptions",
        ),
    ] {
        let request = setup
            .client
            .request(method.clone(), url(path))
            .json(&json!([1]));
        assert_eq!(request.send().await.unwrap().status(), 200);
        let asked = setup.upstreams[0].asked().pop().unwrap();
        assert_eq!(
            (asked.method, asked.path),
            (method.to_string(), format!("/base{path}"))
        );
        assert_eq!(asked.body, b"[1]");
    }
}

#[tokio::test]
async fn a_head_request_keeps_its_length_and_has_no_body() {
    let raw = "HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\n";
    let setup = before(vec![Server::always(Reply::Raw(raw.into())).await]).await;
    let url = format!("http://{}/eth/v1/node/version", setup.address);
    let response = setup.client.head(url).send().await.unwrap();
    assert_eq!(response.headers()["content-length"], "1234");
    assert_eq!(setup.upstreams[0].asked()[0].method, "HEAD");
}

#[tokio::test]
async fn events_come_as_they_happen() {
    let raw = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: head\ndata: {}\n\n";
    let setup = before(vec![Server::always(Reply::Hang(raw.into())).await]).await;
    let response = setup
        .get("/eth/v1/events?topics=head")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let first = tokio::time::timeout(PATIENCE, stream.next()).await.unwrap();
    assert_eq!(first.unwrap().unwrap(), "event: head\ndata: {}\n\n");
    drop(stream);
    assert_eq!(setup.seen.of("events").await.status, 200);
}

#[tokio::test]
async fn questions_go_on_to_the_next_node_after_a_failure() {
    let bad = Server::always(Reply::json(503, "not in sync")).await;
    let good = Server::always(Reply::json(200, "{}")).await;
    let setup = before(vec![bad, good]).await;
    for _ in 0..2 {
        assert_eq!(
            setup
                .get("/eth/v1/node/syncing")
                .send()
                .await
                .unwrap()
                .status(),
            200
        );
    }
    let asked = setup
        .upstreams
        .iter()
        .map(|upstream| upstream.asked().len());
    assert_eq!(asked.collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn without_a_better_answer_the_nodes_failure_is_the_answer() {
    let bad = Server::always(Reply::json(503, "not in sync")).await;
    let setup = before(vec![bad]).await;
    let response = setup.get("/eth/v1/node/health").send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(response.text().await.unwrap(), "not in sync");
}

#[tokio::test]
async fn what_tells_something_is_told_to_all_nodes() {
    let refusing = Server::always(Reply::json(400, "what?")).await;
    let (first, second) = (
        Server::always(Reply::json(200, "")).await,
        Server::always(Reply::json(200, "")).await,
    );
    let setup = before(vec![refusing, first, second]).await;
    let request = setup.post("/eth/v1/validator/sync_committee_subscriptions");
    assert_eq!(request.body("[]").send().await.unwrap().status(), 200);
    for upstream in &setup.upstreams {
        let told = async {
            while upstream.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, told).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_that_is_gone_is_named_without_its_password() {
    let mut setup = before(vec![Server::always(Reply::json(200, "")).await]).await;
    let label = setup.upstreams[0].label();
    setup.upstreams.clear();
    let told = async {
        loop {
            let response = setup.get("/eth/v1/config/spec").send().await.unwrap();
            if response.status() == 502 {
                return super::setup::refused(response).await;
            }
        }
    };
    let (_, message, _) = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert!(
        message.starts_with(&format!("no beacon node answered: {label}: ")),
        "{message}"
    );
    assert!(!message.contains("secret"));
    let (status, ..) = error(setup.get("/eth/v1/config/spec")).await;
    assert_eq!(status, 502);
}
