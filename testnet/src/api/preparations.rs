//! What nodes say ahead of proposals: fee recipients and builder registrations, checked like everything else that is signed.

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use flotilla_cluster::registration::{Registration, RegistrationMessage};
use flotilla_types::{
    DecodeError, DutyKind, ExecutionAddress, SignedValidatorRegistration, ValidatorIndex,
};
use serde::Deserialize;

use super::Endpoint;
use super::error::ApiError;
use super::media::{self, Received};

/// Fee recipient, gas limit, timestamp, key and signature.
const REGISTRATION_BYTES: usize = 20 + 8 + 8 + 48 + 96;

#[derive(Debug, Deserialize)]
struct Preparation {
    validator_index: ValidatorIndex,
    fee_recipient: ExecutionAddress,
}

/// `POST /eth/v1/validator/prepare_beacon_proposer`: an address for each validator, never the zero address.
pub(crate) async fn prepare(
    State(endpoint): State<Endpoint>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    media::only_json(&headers)?;
    let preparations: Vec<Preparation> = serde_json::from_slice(&body).map_err(|error| {
        refuse(
            &endpoint,
            format!("the body is not a list of those: {error}"),
        )
    })?;
    for preparation in preparations {
        let (index, address) = (preparation.validator_index, preparation.fee_recipient);
        if address == ExecutionAddress::default() {
            let text = format!("validator {index}: the zero address as fee recipient");
            return Err(refuse(&endpoint, text));
        }
        // Real beacon nodes keep what they are told of anybody; only the cluster's is of use here.
        if endpoint.simulator.registry().key(index).is_none() {
            let text = format!("there is no validator {index} of the cluster");
            return Err(refuse(&endpoint, text));
        }
        let mut world = endpoint.simulator.world();
        world.intents().prepare(endpoint.operator, index, address);
    }
    Ok(StatusCode::OK)
}

/// `POST /eth/v1/validator/register_validator`: registrations signed by the validators.
pub(crate) async fn register(
    State(endpoint): State<Endpoint>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let received = Received::read(&endpoint, request).await?;
    let registrations = received.list(
        "list of registrations",
        Some(REGISTRATION_BYTES),
        media::from_json,
        registration_from_ssz,
    );
    for item in endpoint.counted(DutyKind::BuilderRegistration, registrations)? {
        check(&endpoint, &item)?;
        let index = endpoint.simulator.registry().index(&item.message.pubkey);
        if let Some(index) = index {
            let mut world = endpoint.simulator.world();
            world.intents().register(index, item.message);
        }
    }
    Ok(StatusCode::OK)
}

fn check(endpoint: &Endpoint, item: &SignedValidatorRegistration) -> Result<(), ApiError> {
    let fork_version = endpoint.simulator.chain().spec.forks.genesis_version();
    let registration = Registration {
        message: RegistrationMessage::from(item.message),
        signature: item.signature,
    };
    let key = registration.message.public_key;
    if endpoint.simulator.registry().index(&key).is_none() {
        let text = format!("{key} is no validator of the cluster");
        return Err(refuse(endpoint, text));
    }
    // Few and seldom: they need no worker.
    if !registration.verifies(fork_version) {
        let text = format!("{key} did not sign its registration");
        return Err(refuse(endpoint, text));
    }
    Ok(())
}

/// Read field by field: all have a fixed size.
fn registration_from_ssz(bytes: &[u8]) -> Result<SignedValidatorRegistration, DecodeError> {
    let wrong = || DecodeError::Length {
        what: "registration",
        expected: REGISTRATION_BYTES,
        got: bytes.len(),
    };
    let (recipient, rest) = bytes.split_first_chunk::<20>().ok_or_else(wrong)?;
    let (gas_limit, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (timestamp, rest) = rest.split_first_chunk::<8>().ok_or_else(wrong)?;
    let (key, rest) = rest.split_first_chunk::<48>().ok_or_else(wrong)?;
    let signature = <[u8; 96]>::try_from(rest).map_err(|_| wrong())?;
    Ok(SignedValidatorRegistration {
        message: flotilla_types::ValidatorRegistration {
            fee_recipient: ExecutionAddress(*recipient),
            gas_limit: u64::from_le_bytes(*gas_limit),
            timestamp: u64::from_le_bytes(*timestamp),
            pubkey: flotilla_types::PublicKeyBytes(*key),
        },
        signature: flotilla_types::SignatureBytes(signature),
    })
}

fn refuse(endpoint: &Endpoint, text: String) -> ApiError {
    endpoint
        .simulator
        .reject(DutyKind::BuilderRegistration, "preparation");
    ApiError::bad_request(text)
}
