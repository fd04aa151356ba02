//! `builder_registrations_overrides.json`: registrations made after the lock (spec 50 §4).
//!
//! Per validator the newest counts; one of the file counts only when it is strictly newer than the lock's.

use std::collections::BTreeMap;

use flotilla_types::{ForkVersion, PublicKeyBytes, SignatureBytes, SignedValidatorRegistration};
use thiserror::Error;

use super::{Registration, RegistrationMessage};
use crate::address::Address;
use crate::json::{Field, ParseError, parse};
use crate::lock::Lock;

/// An overrides file that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OverridesError {
    /// It cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A signature is not the validator's.
    #[error("[{position}]: the signature is not that of validator {public_key}")]
    BadSignature {
        /// Position in the file, from 0.
        position: usize,
        /// The validator.
        public_key: PublicKeyBytes,
    },
}

/// Reads an overrides file and checks every signature.
///
/// # Errors
/// The file is not of that form, or a signature is wrong.
pub fn parse_overrides(
    bytes: &[u8],
    genesis_fork_version: ForkVersion,
) -> Result<Vec<Registration>, OverridesError> {
    let registrations = Field::root(&parse(bytes)?).list(read)?;
    match registrations
        .iter()
        .position(|registration| !registration.verifies(genesis_fork_version))
    {
        None => Ok(registrations),
        Some(position) => {
            let public_key = registrations[position].message.public_key;
            Err(OverridesError::BadSignature {
                position,
                public_key,
            })
        }
    }
}

/// The file's text: by public key, compact.
#[must_use]
pub fn to_json(registrations: &[Registration]) -> String {
    let mut sorted: Vec<&Registration> = registrations.iter().collect();
    sorted.sort_by_key(|registration| registration.message.public_key);
    let entry = |registration: &&Registration| serde_json::json!({ "version": "v1", "v1": SignedValidatorRegistration::from(*registration) });
    serde_json::Value::from(sorted.iter().map(entry).collect::<Vec<_>>()).to_string()
}

fn read(field: &Field<'_>) -> Result<Registration, ParseError> {
    let version = field.get("version")?;
    if version.text()? != "v1" {
        return Err(version.expected("\"v1\""));
    }
    let body = field.get("v1")?;
    let message = body.get("message")?;
    let fee_recipient = message.get("fee_recipient")?;
    Ok(Registration {
        message: RegistrationMessage {
            fee_recipient: Address::parse(fee_recipient.text()?)
                .map_err(|_| fee_recipient.expected("0x and 40 hex digits"))?,
            gas_limit: message.get("gas_limit")?.decimal()?,
            timestamp: message.get("timestamp")?.decimal()?,
            public_key: PublicKeyBytes(message.get("pubkey")?.hex_sized()?),
        },
        signature: SignatureBytes(body.get("signature")?.hex_sized()?),
    })
}

/// The registration that counts for each validator of the lock, in validator order: the newest of
/// the lock's and the overrides'. `None` where there is none.
#[must_use]
pub fn effective(lock: &Lock, overrides: &[Registration]) -> Vec<Option<Registration>> {
    let mut newest: BTreeMap<PublicKeyBytes, &Registration> = BTreeMap::new();
    for candidate in overrides {
        let entry = newest
            .entry(candidate.message.public_key)
            .or_insert(candidate);
        if candidate.message.timestamp > entry.message.timestamp {
            *entry = candidate;
        }
    }
    let count = lock.validators.len();
    (0..count)
        .map(|index| {
            let own = lock.registration(index);
            let newer = newest
                .get(&lock.validators[index].public_key)
                .copied()
                .filter(|candidate| {
                    own.as_ref()
                        .is_none_or(|own| candidate.message.timestamp > own.message.timestamp)
                });
            newer.cloned().or(own)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flotilla_crypto::SecretKey;

    const FORK: ForkVersion = ForkVersion([0x10, 0, 9, 0x10]);

    fn lock() -> Lock {
        Lock::parse(include_bytes!(
            "../../tests/data/v1.11.0/node0/cluster-lock.json"
        ))
        .unwrap()
    }

    fn registration(public_key: PublicKeyBytes, timestamp: u64) -> Registration {
        let message = RegistrationMessage {
            fee_recipient: Address([9; 20]),
            gas_limit: 1,
            timestamp,
            public_key,
        };
        message.sign(&SecretKey::from_bytes(&[1; 32]).unwrap(), FORK)
    }

    #[test]
    fn only_strictly_newer_overrides_count() {
        let lock = lock();
        let keys: Vec<PublicKeyBytes> = lock
            .validators
            .iter()
            .map(|validator| validator.public_key)
            .collect();
        let genesis = 1_742_213_400;
        let overrides = [
            registration(keys[0], genesis),
            registration(keys[1], genesis + 1),
            registration(keys[1], genesis + 3),
            registration(keys[1], genesis + 2),
        ];
        let effective = effective(&lock, &overrides);
        assert_eq!(effective[0], lock.registration(0));
        assert_eq!(
            effective[1].as_ref().unwrap().message.timestamp,
            genesis + 3
        );
    }

    #[test]
    fn wrong_signature_is_named_by_position() {
        let key = SecretKey::from_bytes(&[1; 32]).unwrap();
        let public_key = PublicKeyBytes(key.public_key().to_bytes());
        let text = |signature: SignatureBytes| {
            format!(
                r#"[{{"version":"v1","v1":{{"message":{{"fee_recipient":"0x0909090909090909090909090909090909090909",
                "gas_limit":"1","timestamp":"5","pubkey":"{public_key}"}},"signature":"{signature}"}}}}]"#
            )
        };
        let signed = registration(public_key, 5);
        let parsed = parse_overrides(text(signed.signature).as_bytes(), FORK).unwrap();
        assert_eq!(parsed, [signed]);
        let other = registration(public_key, 6).signature;
        let error = parse_overrides(text(other).as_bytes(), FORK).unwrap_err();
        assert_eq!(
            error,
            OverridesError::BadSignature {
                position: 0,
                public_key
            }
        );
    }
}
