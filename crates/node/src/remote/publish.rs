//! Publishing to an Obol API: an offer to others to look a cluster up, never needed to run one (spec of the field, part 50 §2).

use std::time::Duration;

use flotilla_cluster::{Definition, Lock, TERMS_HASH, terms_digest};
use flotilla_crypto::IdentityKey;
use serde_json::json;

use super::http::{Address, RemoteError, accepted, client, exchange, unsendable};

const TIMEOUT: Duration = Duration::from_secs(10);
const LIMIT_BYTES: usize = 1 << 20;

/// Posts a lock.
///
/// # Errors
/// It was not taken. A lock that is there already is a success.
pub async fn publish_lock(address: &str, lock: &Lock) -> Result<(), RemoteError> {
    // The path of the address is dropped for locks, and kept for everything else: so the API has it.
    let address = Address::parse(address)?.replaced("/lock");
    let body = lock
        .to_json()
        .map_err(|error| unsendable(&address, &error))?;
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
    let body = definition
        .to_json()
        .map_err(|error| unsendable(&address, &error))?;
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
    let answer = exchange(address, request, LIMIT_BYTES, TIMEOUT).await?;
    accepted(address, answer).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::State;
    use axum::http::{HeaderMap, StatusCode, Uri};
    use axum::routing::post;
    use flotilla_cluster::create::{Request, cluster};
    use flotilla_cluster::{
        Address as Wallet, Creator, Networks, NewDefinition, Operator, ValidatorAddresses,
    };
    use flotilla_crypto::{IdentityPublicKey, os_rng};

    use super::super::testing::serve;
    use super::*;

    type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

    /// Notes path, authorization and body; says that it has the definition already, and refuses everything under `/full`.
    async fn take(
        State(seen): State<Seen>,
        uri: Uri,
        headers: HeaderMap,
        body: String,
    ) -> (StatusCode, &'static str) {
        let authorization = headers.get("authorization");
        let authorization = authorization.map_or("", |value| value.to_str().unwrap());
        let path = uri.path().to_owned();
        let answer = match path.as_str() {
            "/v1/definition" => (StatusCode::CONFLICT, "known"),
            "/lock" | "/v1/termsAndConditions" => (StatusCode::CREATED, ""),
            _ => (StatusCode::INSUFFICIENT_STORAGE, "no room"),
        };
        seen.lock()
            .unwrap()
            .push((path, authorization.to_owned(), body));
        answer
    }

    fn definition(creator: &IdentityKey) -> Definition {
        let networks = Networks::public();
        let address = "0x000000000000000000000000000000000000dEaD".to_owned();
        NewDefinition {
            operators: vec![Operator::default(); 3],
            creator: Creator {
                address: Wallet(creator.public().ethereum_address()).to_string(),
                config_signature: vec![7; 65],
            },
            validators: vec![ValidatorAddresses {
                fee_recipient: address.clone(),
                withdrawal: address,
            }],
            ..NewDefinition::new(networks.by_name("hoodi").unwrap())
        }
        .build(&mut os_rng().unwrap())
        .unwrap()
    }

    async fn server() -> (String, Seen) {
        let seen = Seen::default();
        let router = Router::new()
            .route("/{*path}", post(take))
            .with_state(Arc::clone(&seen));
        (serve(router).await, seen)
    }

    #[tokio::test]
    async fn a_definition_goes_with_the_creators_signature_of_the_terms() {
        let (server, seen) = server().await;
        let creator = IdentityKey::generate(&mut os_rng().unwrap());
        let definition = definition(&creator);
        let found = publish_definition(&format!("{server}/v1"), &definition, &creator)
            .await
            .unwrap();
        let hash = hex::encode(&definition.config_hash);
        assert_eq!(found, format!("{server}/v1/definition/0x{hash}"));
        let seen = seen.lock().unwrap();
        let [(terms, signature, _), (path, config, body)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(
            (terms.as_str(), path.as_str()),
            ("/v1/termsAndConditions", "/v1/definition")
        );
        let signature = hex::decode(signature.strip_prefix("Bearer 0x").unwrap()).unwrap();
        let signer = IdentityPublicKey::recover(&terms_digest(), &signature.try_into().unwrap());
        assert_eq!(signer.unwrap(), creator.public());
        assert_eq!(config, &format!("Bearer 0x{}", "07".repeat(65)));
        assert_eq!(Definition::parse(body.as_bytes()).unwrap(), definition);
    }

    #[tokio::test]
    async fn a_lock_goes_to_the_root_of_the_host() {
        let (server, seen) = server().await;
        let networks = Networks::public();
        let mut rng = os_rng().unwrap();
        let mut definition = definition(&IdentityKey::generate(&mut rng));
        definition.creator = Creator::default();
        let request = Request::new(definition, networks.by_name("hoodi").unwrap());
        let lock = cluster(request, &mut rng).unwrap().lock;
        publish_lock(&format!("{server}/v1"), &lock).await.unwrap();
        assert_eq!(seen.lock().unwrap()[0].0, "/lock");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_its_words() {
        let (server, _) = server().await;
        let creator = IdentityKey::generate(&mut os_rng().unwrap());
        let base = format!("{server}/full");
        let error = publish_definition(&base, &definition(&creator), &creator).await;
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("507") && error.contains("no room"),
            "{error}"
        );
    }
}
