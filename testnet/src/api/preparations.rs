//! What nodes say ahead of proposals: fee recipients and builder registrations, checked like everything else that is signed.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use flotilla_cluster::Address;
use flotilla_cluster::registration::{Registration, RegistrationMessage};
use flotilla_types::{SignedValidatorRegistration, ValidatorIndex};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Endpoint;
use super::error::ApiError;

#[derive(Debug, Deserialize)]
struct Preparation {
    validator_index: ValidatorIndex,
    fee_recipient: String,
}

/// `POST /eth/v1/validator/prepare_beacon_proposer`: an address for each validator, never the zero address.
pub(crate) async fn prepare(
    State(endpoint): State<Endpoint>,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    for preparation in list::<Preparation>(&body)? {
        let index = preparation.validator_index;
        let address = Address::parse(&preparation.fee_recipient)
            .map_err(|error| refuse(&endpoint, error.to_string()))?;
        if address.is_zero() {
            let text = format!("validator {index}: the zero address as fee recipient");
            return Err(refuse(&endpoint, text));
        }
        if endpoint.simulator.registry().key(index).is_none() {
            return Err(refuse(
                &endpoint,
                format!("there is no validator {index} of the cluster"),
            ));
        }
    }
    Ok(StatusCode::OK)
}

/// `POST /eth/v1/validator/register_validator`: registrations signed by the validators.
pub(crate) async fn register(
    State(endpoint): State<Endpoint>,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let fork_version = endpoint.simulator.chain().spec.forks.genesis_version();
    for item in list::<SignedValidatorRegistration>(&body)? {
        let registration = Registration {
            message: RegistrationMessage::from(item.message),
            signature: item.signature,
        };
        let key = registration.message.public_key;
        if endpoint.simulator.registry().index(&key).is_none() {
            return Err(refuse(
                &endpoint,
                format!("{key} is no validator of the cluster"),
            ));
        }
        // Few and seldom: they need no worker.
        if !registration.verifies(fork_version) {
            return Err(refuse(
                &endpoint,
                format!("{key} did not sign its registration"),
            ));
        }
    }
    Ok(StatusCode::OK)
}

fn list<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::bad_request(format!("the body is not a list of those: {error}")))
}

fn refuse(endpoint: &Endpoint, text: String) -> ApiError {
    endpoint.simulator.reject("preparation");
    ApiError::bad_request(text)
}
