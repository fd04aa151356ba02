//! Each question: what is sent, what is understood, what is refused.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use flotilla_beacon::client::{BeaconNode, Observer, Reason, Request, ValidatorStatus};
use flotilla_types::{
    AttestationData, AttesterDuty, ChainSpec, CommitteeIndex, Epoch, ForkVersion, PublicKeyBytes,
    Root, Slot, Timestamp, ValidatorIndex,
};
use serde_json::json;

use super::{node, timeouts};
use crate::upstream::{Reply, Server};

fn data() -> AttestationData {
    AttestationData {
        slot: Slot(7),
        beacon_block_root: Root([3; 32]),
        ..AttestationData::default()
    }
}

#[tokio::test]
async fn spec_and_genesis_are_read() {
    let spec = ChainSpec::mainnet_like(Duration::from_secs(3), 8, ForkVersion([0x10, 0, 0, 1]));
    let config = spec.to_config();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/base/eth/v1/config/spec" => Reply::ok(&json!({ "data": config })),
        "/base/eth/v1/beacon/genesis" => Reply::ok(&json!({ "data": {
            "genesis_time": "1700000000",
            "genesis_validators_root": Root([9; 32]),
            "genesis_fork_version": "0x10000001",
        }})),
        _ => Reply::json(404, "{}"),
    })
    .await;
    let node = node(&[&server]);
    assert_eq!(node.spec().await.unwrap(), spec);
    let genesis = node.genesis().await.unwrap();
    assert_eq!(genesis.genesis_time, Timestamp::from_secs(1_700_000_000));
    assert_eq!(genesis.genesis_validators_root, Root([9; 32]));
    assert_eq!(genesis.genesis_fork_version, ForkVersion([0x10, 0, 0, 1]));
    let credentials = server.asked()[0]
        .header("authorization")
        .unwrap()
        .to_owned();
    assert_eq!(credentials, "Basic dXNlcjpzZWNyZXQ=");
}

#[tokio::test]
async fn version_and_peer_count_are_read() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/base/eth/v1/node/version" => {
            Reply::ok(&json!({ "data": { "version": "Lighthouse/v8\n" } }))
        }
        _ => Reply::ok(&json!({ "data": { "connected": "42", "disconnected": "1" } })),
    })
    .await;
    let node = node(&[&server]);
    assert_eq!(node.version().await.unwrap(), "Lighthouse/v8");
    assert_eq!(node.peer_count().await.unwrap(), 42);
}

#[tokio::test]
async fn attestation_data_is_read_in_either_encoding() {
    let ssz = Server::always(Reply::ssz(data().encode())).await;
    let json = Server::always(Reply::ok(&json!({ "data": data() }))).await;
    for server in [ssz, json] {
        assert_eq!(
            node(&[&server])
                .attestation_data(Slot(7), CommitteeIndex(2))
                .await
                .unwrap(),
            data()
        );
        let asked = server.asked().remove(0);
        assert_eq!(
            asked.path,
            "/base/eth/v1/validator/attestation_data?slot=7&committee_index=2"
        );
        assert_eq!(
            asked.header("accept").unwrap(),
            "application/octet-stream;q=1,application/json;q=0.9"
        );
    }
}

#[tokio::test]
async fn attestation_data_of_another_slot_is_no_answer() {
    let server = Server::always(Reply::ssz(data().encode())).await;
    let error = node(&[&server])
        .attestation_data(Slot(8), CommitteeIndex(0))
        .await
        .unwrap_err();
    let text = format!(
        "GET {}/eth/v1/validator/attestation_data?slot=8&committee_index=0: unusable answer: slot 7, asked for slot 8",
        server.label()
    );
    assert_eq!(error.to_string(), text);
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn attester_duties_are_asked_by_index() {
    let duty = AttesterDuty {
        slot: Slot(33),
        validator_index: ValidatorIndex(5),
        committee_length: 4,
        committees_at_slot: 1,
        ..AttesterDuty::default()
    };
    let server = Server::always(Reply::ok(&json!({
        "dependent_root": Root([6; 32]),
        "execution_optimistic": false,
        "data": [duty],
    })))
    .await;
    let asked = [ValidatorIndex(5), ValidatorIndex(9)];
    let duties = node(&[&server])
        .attester_duties(Epoch(1), &asked)
        .await
        .unwrap();
    assert_eq!(
        (duties.dependent_root, duties.duties),
        (Root([6; 32]), vec![duty])
    );
    let asked = server.asked().remove(0);
    assert_eq!(
        (asked.method.as_str(), asked.json()),
        ("POST", json!(["5", "9"]))
    );
    assert_eq!(asked.path, "/base/eth/v1/validator/duties/attester/1");
}

fn validator(byte: u8) -> serde_json::Value {
    json!({
        "index": byte.to_string(), "balance": "32000000001", "status": "active_ongoing",
        "validator": {
            "pubkey": PublicKeyBytes([byte; 48]), "withdrawal_credentials": Root::default(),
            "effective_balance": "32000000000", "slashed": false, "activation_eligibility_epoch": "0",
            "activation_epoch": "3", "exit_epoch": u64::MAX.to_string(), "withdrawable_epoch": u64::MAX.to_string(),
        },
    })
}

#[tokio::test]
async fn validators_are_asked_by_key_and_others_ignored() {
    let server = Server::always(Reply::ok(&json!({ "data": [validator(1), validator(2)] }))).await;
    let validators = node(&[&server])
        .validators(&[PublicKeyBytes([2; 48])])
        .await
        .unwrap();
    assert_eq!(validators.len(), 1);
    let found = &validators[0];
    assert_eq!(
        (found.index, found.status),
        (ValidatorIndex(2), ValidatorStatus::ActiveOngoing)
    );
    assert_eq!(
        (found.balance_gwei, found.activation_epoch),
        (32_000_000_001, Epoch(3))
    );
    assert_eq!(found.exit_epoch, Epoch::FAR_FUTURE);
    assert_eq!(
        server.asked()[0].json()["ids"],
        json!([PublicKeyBytes([2; 48])])
    );
}

#[tokio::test]
async fn validators_of_a_node_without_post_are_asked_by_get() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "POST" => Reply::json(405, "{}"),
        _ => Reply::ok(&json!({ "data": (1..=100).map(validator).collect::<Vec<_>>() })),
    })
    .await;
    let keys: Vec<_> = (1..=100).map(|byte| PublicKeyBytes([byte; 48])).collect();
    let validators = node(&[&server]).validators(&keys).await.unwrap();
    let found: Vec<_> = validators
        .iter()
        .map(|validator| validator.pubkey)
        .collect();
    assert_eq!(found, keys);
    assert_eq!(
        server.asked().len(),
        3,
        "one POST, and two GETs of at most 64 keys"
    );
}

#[tokio::test]
async fn no_validators_are_no_question() {
    let server = Server::always(Reply::json(500, "")).await;
    assert!(node(&[&server]).validators(&[]).await.unwrap().is_empty());
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn errors_name_endpoint_path_status_and_body() {
    let server = Server::always(Reply::json(400, r#"{"code":400,"message":"invalid"}"#)).await;
    let error = node(&[&server]).genesis().await.unwrap_err();
    let text = format!(
        "GET {}/eth/v1/beacon/genesis: status 400: {{\"code\":400,\"message\":\"invalid\"}}",
        server.label()
    );
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn oversized_answers_are_refused_announced_or_not() {
    let announced = Reply::ssz(vec![0; (64 << 10) + 1]);
    let mut unannounced = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    unannounced.resize(unannounced.len() + (64 << 10) + 1, b' ');
    for reply in [announced, Reply::Raw(unannounced)] {
        let server = Server::always(reply).await;
        let error = node(&[&server]).genesis().await.unwrap_err();
        assert_eq!(
            error.failures[0].reason,
            Reason::Oversized { limit: 64 << 10 }
        );
    }
}

#[tokio::test]
async fn truncated_garbled_and_missing_answers_are_told_apart() {
    let truncated =
        Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\":".to_vec());
    let garbled = Reply::Raw(b"\x00\x01SSH-2.0\r\n\r\n".to_vec());
    for reply in [truncated, garbled, Reply::Raw(Vec::new())] {
        let server = Server::always(reply).await;
        let error = node(&[&server]).genesis().await.unwrap_err();
        assert!(
            matches!(error.failures[0].reason, Reason::Network(_)),
            "{error}"
        );
    }
    for body in [
        "",
        "{",
        "{}",
        "[]",
        "{\"data\":null}",
        "{\"data\":{\"genesis_time\":1}}",
        "<html>",
    ] {
        let server = Server::always(Reply::json(200, body)).await;
        let error = node(&[&server]).genesis().await.unwrap_err();
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{body}: {error}"
        );
    }
    let server = Server::always(Reply::ssz(vec![0; 32])).await;
    let error = node(&[&server]).genesis().await.unwrap_err();
    assert!(
        error.to_string().contains("only JSON was asked for"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_an_error() {
    let reply = Reply::Raw(
        b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
    );
    let server = Server::always(reply).await;
    let error = node(&[&server]).genesis().await.unwrap_err();
    assert!(
        matches!(error.failures[0].reason, Reason::Status { status: 307, .. }),
        "{error}"
    );
}

/// What an observer was told.
#[derive(Default)]
struct Log(Mutex<Vec<(&'static str, String, bool)>>);

impl Observer for Log {
    fn request(&self, request: &Request<'_>) {
        self.0
            .lock()
            .unwrap()
            .push((request.label, request.endpoint.to_owned(), request.ok));
    }
}

#[tokio::test]
async fn the_observer_is_told_of_every_request() {
    let (bad, good) = (
        Server::always(Reply::json(500, "")).await,
        Server::always(Reply::ssz(data().encode())).await,
    );
    let log = Arc::new(Log::default());
    let endpoints = vec![bad.url(), good.url()];
    let node = BeaconNode::new(endpoints, timeouts())
        .unwrap()
        .with_observer(log.clone());
    node.attestation_data(Slot(7), CommitteeIndex(0))
        .await
        .unwrap();
    let told = log.0.lock().unwrap().clone();
    let expected = [
        ("attestation_data", bad.label(), false),
        ("attestation_data", good.label(), true),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn extra_headers_are_sent_with_every_request() {
    let server = Server::always(Reply::ok(&json!({ "data": { "connected": "1" } }))).await;
    let headers = [("x-token".to_owned(), "abc".to_owned())];
    let node = BeaconNode::with_headers(vec![server.url()], timeouts(), &headers).unwrap();
    node.peer_count().await.unwrap();
    assert_eq!(server.asked()[0].header("x-token"), Some("abc"));
    assert!(
        server.asked()[0]
            .header("user-agent")
            .unwrap()
            .starts_with("flotilla/")
    );
}
