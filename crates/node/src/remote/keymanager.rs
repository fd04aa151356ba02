//! Key managers: validator clients that take keystores over HTTP (the Keymanager API).

use std::time::Duration;

use reqwest::Client;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::http::{Address, RemoteError, client, exchange, not_understood, successful, unsendable};

/// Longest wait to reach a key manager at all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time a key manager has per keystore: each costs it a key derivation.
const TIMEOUT_PER_KEYSTORE: Duration = Duration::from_secs(2);
/// Largest answer read: a short line per keystore.
const LIMIT_BYTES: usize = 16 << 20;

/// A key manager that did not take all keystores.
#[derive(Debug, thiserror::Error)]
pub enum KeyManagerError {
    /// The exchange failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// It answered, and did not take a keystore.
    #[error("{address} did not take keystore {position}: {status}: {message}")]
    Refused {
        /// Who was asked.
        address: String,
        /// Position of the keystore, from 0.
        position: usize,
        /// What the key manager calls it.
        status: String,
        /// Its explanation.
        message: String,
    },
    /// It answered for another number of keystores.
    #[error("{address} answered about {answered} keystores, {sent} were sent")]
    Count {
        /// Who was asked.
        address: String,
        /// Entries in the answer.
        answered: usize,
        /// Keystores sent.
        sent: usize,
    },
}

/// One key manager with its bearer token.
pub struct KeyManager {
    address: Address,
    token: Zeroizing<String>,
    client: Client,
}

impl std::fmt::Debug for KeyManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyManager({})", self.address.label())
    }
}

#[derive(Serialize)]
struct Import<'a> {
    keystores: &'a [&'a str],
    passwords: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    slashing_protection: Option<&'a str>,
}

#[derive(Deserialize)]
struct Imported {
    data: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    message: String,
}

impl KeyManager {
    /// The key manager at `address`.
    ///
    /// # Errors
    /// The address is not one of http or https.
    pub fn new(address: &str, token: &str) -> Result<Self, RemoteError> {
        Ok(Self {
            address: Address::parse(address)?,
            token: Zeroizing::new(token.to_owned()),
            client: client()?,
        })
    }

    /// Whether a password would travel in the open.
    pub fn is_unencrypted(&self) -> bool {
        self.address.url().scheme() == "http"
    }

    /// The address without credentials.
    pub fn label(&self) -> String {
        self.address.label()
    }

    /// Whether it takes connections: asked of all before the first is given a key.
    ///
    /// # Errors
    /// No connection within two seconds.
    pub async fn probe(&self) -> Result<(), RemoteError> {
        let url = self.address.url();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or_default();
        let connect = tokio::net::TcpStream::connect((host, port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(RemoteError::Unreachable {
                address: self.address.label(),
                reason: error.to_string(),
            }),
            Err(_) => Err(RemoteError::Timeout {
                address: self.address.label(),
                limit: CONNECT_TIMEOUT,
            }),
        }
    }

    /// Gives it keystores with their passwords, and what these keys have signed before (EIP-3076 text).
    ///
    /// # Errors
    /// It did not take every one. What it did take, it keeps.
    pub async fn import(
        &self,
        keystores: &[&str],
        passwords: &[&str],
        slashing_protection: Option<&str>,
    ) -> Result<(), KeyManagerError> {
        let import = Import {
            keystores,
            passwords,
            slashing_protection,
        };
        let body =
            serde_json::to_vec(&import).map_err(|error| unsendable(&self.address, &error))?;
        let address = self.address.appended("eth/v1/keystores");
        let request = self
            .client
            .post(address.url().clone())
            .bearer_auth(self.token.as_str())
            .header("Content-Type", "application/json")
            .body(body);
        let count = u32::try_from(keystores.len()).unwrap_or(u32::MAX);
        let timeout = TIMEOUT_PER_KEYSTORE.saturating_mul(count.max(1));
        let answer = exchange(&address, request, LIMIT_BYTES, timeout).await?;
        let body = successful(&address, answer)?;
        let answer: Imported =
            serde_json::from_slice(&body).map_err(|error| not_understood(&self.address, &error))?;
        if answer.data.len() != keystores.len() {
            return Err(KeyManagerError::Count {
                address: self.address.label(),
                answered: answer.data.len(),
                sent: keystores.len(),
            });
        }
        let taken = |status: &Status| matches!(status.status.as_str(), "imported" | "duplicate");
        match answer
            .data
            .into_iter()
            .enumerate()
            .find(|(_, status)| !taken(status))
        {
            None => Ok(()),
            Some((position, status)) => Err(KeyManagerError::Refused {
                address: self.address.label(),
                position,
                status: status.status,
                message: status.message,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::super::testing::serve;
    use super::*;

    /// Takes keystores called `good` from whoever has the token.
    async fn keystores(headers: HeaderMap, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
        if headers.get("authorization").unwrap() != "Bearer token" {
            return (
                StatusCode::UNAUTHORIZED,
                Json(json!({ "message": "who are you" })),
            );
        }
        let keystores = body["keystores"].as_array().unwrap();
        assert_eq!(keystores.len(), body["passwords"].as_array().unwrap().len());
        let status = |keystore: &Value| match keystore.as_str().unwrap() {
            "good" => json!({ "status": "imported" }),
            _ => json!({ "status": "error", "message": "bad checksum" }),
        };
        let data: Vec<Value> = keystores.iter().map(status).collect();
        (StatusCode::OK, Json(json!({ "data": data })))
    }

    async fn import(token: &str, names: &[&str]) -> Result<(), KeyManagerError> {
        let server = serve(Router::new().route("/eth/v1/keystores", post(keystores))).await;
        let manager = KeyManager::new(&server, token).unwrap();
        manager.probe().await.unwrap();
        manager.import(names, names, None).await
    }

    #[tokio::test]
    async fn keystores_are_taken_one_by_one() {
        import("token", &["good", "good"]).await.unwrap();
        let error = import("token", &["good", "bad"])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("did not take keystore 1: error: bad checksum"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_wrong_token_is_told() {
        let error = import("other", &["good"]).await.unwrap_err().to_string();
        assert!(error.contains("401 Unauthorized"), "{error}");
        assert!(!error.contains("other"), "{error}");
    }

    #[tokio::test]
    async fn a_manager_that_is_not_there_is_found_out_first() {
        let manager = KeyManager::new("http://127.0.0.1:1", "token").unwrap();
        assert!(matches!(
            manager.probe().await,
            Err(RemoteError::Unreachable { .. })
        ));
    }
}
