//! Publishing to an Obol API: an offer to others to look a cluster up, never needed to run one (spec of the field, part 50 §2).

use std::time::Duration;

use flotilla_cluster::{Definition, Lock, TERMS_HASH, terms_digest};
use flotilla_crypto::IdentityKey;
use reqwest::StatusCode;
use serde_json::json;

use super::http::{Address, RemoteError, client, exchange, successful};

const TIMEOUT: Duration = Duration::from_secs(10);
const LIMIT_BYTES: usize = 1 << 20;

/// Posts a lock.
///
/// # Errors
/// It was not taken. A lock that is there already is a success.
pub async fn publish_lock(address: &str, lock: &Lock) -> Result<(), RemoteError> {
    // The path of the address is dropped for locks, and kept for everything else: so the API has it.
    let address = Address::parse(address)?.replaced("/lock");
    let body = lock.to_json().map_err(|error| RemoteError::Answer {
        address: address.label(),
        reason: error.to_string(),
    })?;
    post(&address, None, body).await
}

/// Signs the terms in the name of the creator and posts the definition; returns the URL at which it is found afterwards.
///
/// # Errors
/// Either was not taken.
pub async fn publish_definition(
    address: &str,
    definition: &Definition,
    creator: &IdentityKey,
) -> Result<String, RemoteError> {
    let base = Address::parse(address)?;
    let terms = json!({
        "address": definition.creator.address,
        "version": 1,
        "terms_and_conditions_hash": TERMS_HASH,
        "fork_version": definition.fork_version.to_string(),
    });
    let signature = creator.sign(&terms_digest());
    post(
        &base.appended("termsAndConditions"),
        Some(&signature),
        terms.to_string(),
    )
    .await?;
    let address = base.appended("definition");
    let body = definition.to_json().map_err(|error| RemoteError::Answer {
        address: address.label(),
        reason: error.to_string(),
    })?;
    post(&address, Some(&definition.creator.config_signature), body).await?;
    let found = base.appended(&format!(
        "definition/0x{}",
        hex::encode(&definition.config_hash)
    ));
    Ok(found.label())
}

async fn post(
    address: &Address,
    signature: Option<&[u8]>,
    body: String,
) -> Result<(), RemoteError> {
    let mut request = client()?
        .post(address.url().clone())
        .header("Content-Type", "application/json")
        .body(body);
    if let Some(signature) = signature {
        request = request.bearer_auth(format!("0x{}", hex::encode(signature)));
    }
    match exchange(address, request, LIMIT_BYTES, TIMEOUT).await? {
        (StatusCode::CONFLICT, _) => Ok(()),
        answer => successful(address, answer).map(|_| ()),
    }
}
