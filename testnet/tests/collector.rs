//! The stand-in for the collecting server takes the traffic that real commands made, and answers what they accepted.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use flotilla_cluster::Lock;
use flotilla_testnet::collector::router;
use serde_json::Value;

fn ceremony() -> Option<PathBuf> {
    let chosen = std::env::var_os("FLOTILLA_VECTORS").map(PathBuf::from);
    let root = chosen
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"));
    let folder = root.join("ceremony");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        chosen.is_none(),
        "FLOTILLA_VECTORS is set, but {} is absent",
        folder.display()
    );
    println!("no vectors at {}: nothing checked", folder.display());
    None
}

/// Lists in an order of their own, texts without case: what clients do not look at.
fn normal(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(normal).collect();
            list.retain(|item| item != "");
            list.sort_by_key(ToString::to_string);
            Value::Array(list)
        }
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), normal(value)))
            .collect(),
        Value::String(text) => Value::String(text.to_lowercase()),
        other => other.clone(),
    }
}

#[tokio::test]
async fn vectors_recorded_traffic_is_taken_and_answered() {
    let Some(folder) = ceremony() else { return };
    let lock = std::fs::read(folder.join("dkg-frost/node0/cluster-lock.json")).unwrap();
    let router = router(Lock::parse(&lock).unwrap()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    // An error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();

    let traffic: Value =
        serde_json::from_slice(&std::fs::read(folder.join("api/requests.json")).unwrap()).unwrap();
    for recorded in traffic["requests"].as_array().unwrap() {
        let (method, path) = (
            recorded["method"].as_str().unwrap(),
            recorded["path"].as_str().unwrap(),
        );
        let mut request = client.request(method.parse().unwrap(), format!("{server}{path}"));
        if let Some(authorization) = recorded["authorization"].as_str() {
            request = request.header("authorization", authorization);
        }
        if !recorded["request"].is_null() {
            request = request.json(&recorded["request"]);
        }
        let response = request.send().await.unwrap();
        let status = u64::from(response.status().as_u16());
        let body = response.text().await.unwrap();
        if method == "DELETE" {
            // The recorded server had forgotten the exit by then; this one has it.
            assert_eq!(status, 200, "{path}: {body}");
            continue;
        }
        assert_eq!(
            Some(status),
            recorded["status"].as_u64(),
            "{method} {path}: {body}"
        );
        if !recorded["response"].is_null() {
            let answer: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                normal(&answer),
                normal(&recorded["response"]),
                "{method} {path}"
            );
        }
    }
}
