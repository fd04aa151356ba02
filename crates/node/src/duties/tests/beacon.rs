//! A beacon node that answers by a function, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri, header::CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use flotilla_beacon::client::{BeaconNode, Timeouts};
use serde_json::{Value, json};

/// What was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub method: Method,
    /// Path and query.
    pub path: String,
    pub body: Bytes,
}

impl Asked {
    pub fn is_post(&self) -> bool {
        self.method == Method::POST
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// With this status.
    Json(u16, Value),
    /// Nothing, ever.
    Silence,
}

/// An answer that is just data.
pub(super) fn data(data: impl serde::Serialize) -> Answer {
    Answer::Json(200, json!({ "data": data }))
}

/// What a node says that does not have it.
pub(super) fn missing() -> Answer {
    Answer::Json(404, json!({ "code": 404, "message": "not found" }))
}

/// A beacon node behind one endpoint.
pub(super) struct FakeBeacon {
    pub node: BeaconNode,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeBeacon {
    /// Serves on a free port until the test's runtime ends.
    pub async fn start(answer: impl Fn(&Asked) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let router = Router::new().fallback(move |method: Method, uri: Uri, body: Bytes| {
            let path = uri.path_and_query().unwrap().to_string();
            let asked = Asked { method, path, body };
            let reply = answer(&asked);
            log.lock().unwrap().push(asked);
            respond(reply)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let timeouts = Timeouts::for_slot(Duration::from_secs(120));
        let node = BeaconNode::new(vec![url.parse().unwrap()], timeouts).unwrap();
        Self { node, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often something was asked whose path has this in it.
    pub fn count(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked
            .iter()
            .filter(|asked| asked.path.contains(part))
            .count()
    }
}

async fn respond(answer: Answer) -> Response {
    match answer {
        Answer::Json(status, body) => {
            let status = StatusCode::from_u16(status).unwrap();
            let json = [(CONTENT_TYPE, "application/json")];
            (status, json, body.to_string()).into_response()
        }
        Answer::Silence => std::future::pending().await,
    }
}

/// A block of Fulu without anything in it but so many transactions.
pub(super) fn block(slot: u64, transactions: usize) -> Value {
    let (root, signature) = (
        format!("0x{}", "01".repeat(32)),
        format!("0x{}", "03".repeat(96)),
    );
    let bits = format!("0x{}", "01".repeat(64));
    json!({
        "slot": slot.to_string(), "proposer_index": "8", "parent_root": root, "state_root": root,
        "body": {
            "randao_reveal": signature,
            "eth1_data": { "deposit_root": root, "deposit_count": "1", "block_hash": root },
            "graffiti": root,
            "proposer_slashings": [], "attester_slashings": [], "attestations": [],
            "deposits": [], "voluntary_exits": [], "bls_to_execution_changes": [],
            "sync_aggregate": { "sync_committee_bits": bits, "sync_committee_signature": signature },
            "blob_kzg_commitments": [format!("0x{}", "05".repeat(48))],
            "execution_requests": { "deposits": [], "withdrawals": [], "consolidations": [] },
            "execution_payload": {
                "parent_hash": root, "fee_recipient": format!("0x{}", "ab".repeat(20)), "state_root": root,
                "receipts_root": root, "logs_bloom": format!("0x{}", "04".repeat(256)), "prev_randao": root,
                "block_number": "9", "gas_limit": "10", "gas_used": "11", "timestamp": "12",
                "extra_data": "0x05", "base_fee_per_gas": "13", "block_hash": root, "blob_gas_used": "0",
                "excess_blob_gas": "0", "transactions": vec!["0x0607"; transactions], "withdrawals": [],
            },
        },
    })
}
