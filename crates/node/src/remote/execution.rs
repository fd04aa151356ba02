//! An execution client, asked what contract wallets say about signatures (ERC-1271).

use std::time::Duration;

use flotilla_cluster::{
    Address as WalletAddress, ContractWallet, contract_accepts, contract_call_data,
};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::http::{Address, RemoteError, client, exchange, not_understood, successful};

/// Longest wait for the client to be there at all (spec of the field: 10 s).
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for one answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between two attempts to find the client there.
const RETRY_PERIOD: Duration = Duration::from_millis(500);
/// Largest answer read: the answer is one word.
const LIMIT_BYTES: usize = 1 << 20;

/// A JSON-RPC endpoint. Its calls block: verification is work for a thread of its own, never for an async task.
pub struct ExecutionClient {
    address: Address,
    client: Client,
    runtime: Runtime,
}

impl std::fmt::Debug for ExecutionClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExecutionClient({})", self.address.label())
    }
}

impl ExecutionClient {
    /// Waits until the client answers, at most ten seconds. Blocks.
    ///
    /// # Errors
    /// The address is none, or nothing that answers `web3_clientVersion` is there.
    pub fn connect(address: &str) -> Result<Self, RemoteError> {
        Self::connect_within(address, START_TIMEOUT)
    }

    fn connect_within(address: &str, timeout: Duration) -> Result<Self, RemoteError> {
        let address = Address::parse(address)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| RemoteError::Unreachable {
                address: address.label(),
                reason: error.to_string(),
            })?;
        let this = Self {
            client: client()?,
            address,
            runtime,
        };
        this.runtime.block_on(async {
            let end = tokio::time::Instant::now() + timeout;
            loop {
                match this.call("web3_clientVersion", json!([])).await {
                    Ok(_) => return Ok(()),
                    Err(error) if tokio::time::Instant::now() + RETRY_PERIOD >= end => {
                        return Err(error);
                    }
                    Err(_) => tokio::time::sleep(RETRY_PERIOD).await,
                }
            }
        })?;
        Ok(this)
    }

    async fn call(&self, method: &str, parameters: Value) -> Result<Value, RemoteError> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": parameters });
        let request = self.client.post(self.address.url().clone()).json(&body);
        let answer = exchange(&self.address, request, LIMIT_BYTES, CALL_TIMEOUT).await?;
        let body = successful(&self.address, answer)?;
        let mut answer: Value =
            serde_json::from_slice(&body).map_err(|error| not_understood(&self.address, &error))?;
        if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
            let text = error.get("message").and_then(Value::as_str);
            let text = text.unwrap_or("an error without a message");
            return Err(not_understood(
                &self.address,
                &format_args!("{method}: {text}"),
            ));
        }
        Ok(answer["result"].take())
    }
}

impl ContractWallet for ExecutionClient {
    fn accepts(
        &self,
        address: WalletAddress,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, String> {
        let data = format!("0x{}", hex::encode(contract_call_data(digest, signature)));
        let call =
            json!([{ "to": format!("0x{}", hex::encode(address.0)), "data": data }, "latest"]);
        let result = self
            .runtime
            .block_on(self.call("eth_call", call))
            .map_err(|error| error.to_string())?;
        let text = result.as_str().unwrap_or_default();
        let returned = hex::decode(text.strip_prefix("0x").unwrap_or(text))
            .map_err(|_| format!("{}: eth_call returned no hex", self.address.label()))?;
        if returned.is_empty() {
            return Err(format!("{address} has no contract code"));
        }
        Ok(contract_accepts(&returned))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::routing::post;
    use axum::{Json, Router};

    use super::super::testing::serve;
    use super::*;

    /// A wallet at 0x11… that accepts, one at 0x22… that reverts, no code elsewhere.
    async fn answer(Json(request): Json<Value>) -> Json<Value> {
        let result = |value: &str| Json(json!({ "jsonrpc": "2.0", "id": 1, "result": value }));
        let to = request["params"][0]["to"].as_str().unwrap_or_default();
        match (request["method"].as_str().unwrap(), &to.get(..4)) {
            ("web3_clientVersion", _) => result("test"),
            ("eth_call", Some("0x11")) => {
                let data = request["params"][0]["data"].as_str().unwrap();
                assert!(data.starts_with("0x1626ba7e0707"), "{data}");
                result(&format!("0x1626ba7e{}", "00".repeat(28)))
            }
            ("eth_call", Some("0x22")) => {
                Json(json!({ "error": { "message": "execution reverted" } }))
            }
            _ => result("0x"),
        }
    }

    #[test]
    fn wallets_accept_revert_or_are_not_there() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(serve(Router::new().route("/", post(answer))));
        let client = ExecutionClient::connect(&server).unwrap();
        let ask = |byte| client.accepts(WalletAddress([byte; 20]), &[7; 32], &[1; 130]);
        assert_eq!(ask(0x11), Ok(true));
        assert!(ask(0x22).unwrap_err().contains("execution reverted"));
        assert!(ask(0x33).unwrap_err().contains("no contract code"));
    }

    #[test]
    fn a_client_that_is_not_there_is_named() {
        let error = ExecutionClient::connect_within("http://127.0.0.1:1", Duration::ZERO);
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("http://127.0.0.1:1: "), "{error}");
    }
}
