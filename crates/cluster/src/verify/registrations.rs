//! Builder registrations of a lock (spec 10 §3.4, step 5).

use flotilla_types::SignatureBytes;

use super::{Check, Findings};
use crate::address::Address;
use crate::lock::{DistributedValidator, Lock};
use crate::registration::{Registration, RegistrationMessage};

pub(super) fn verify(lock: &Lock, findings: &mut Findings) {
    for (index, validator) in lock.validators.iter().enumerate() {
        if let Err(problem) = check(lock, index, validator) {
            let path = format_args!("distributed_validators[{index}].builder_registration");
            findings.error(Check::Registration, path, problem);
        }
    }
}

fn check(lock: &Lock, index: usize, validator: &DistributedValidator) -> Result<(), String> {
    let missing = validator.registration.is_missing();
    if !lock.definition.version.has_registrations() {
        return if missing {
            Ok(())
        } else {
            Err("expected none before v1.7".to_owned())
        };
    }
    if missing {
        return Err("expected a registration, found none".to_owned());
    }
    let registration = signed_registration(lock, index, validator)?;
    if registration.verifies(lock.fork_version()) {
        Ok(())
    } else {
        Err(format!(
            "the signature is not the validator's over fee recipient {}, gas limit {} and time {}",
            registration.message.fee_recipient,
            registration.message.gas_limit,
            registration.message.timestamp
        ))
    }
}

/// What the validator must have signed: the fee recipient is the *definition's*, the key the validator's.
fn signed_registration(
    lock: &Lock,
    index: usize,
    validator: &DistributedValidator,
) -> Result<Registration, String> {
    let stored = &validator.registration;
    let fee_recipient = lock
        .definition
        .validator_addresses(index)
        .ok_or_else(|| "the definition has no fee recipient for this validator".to_owned())
        .and_then(|pair| {
            Address::parse(&pair.fee_recipient)
                .map_err(|error| format!("the definition's fee recipient: {error}"))
        })?;
    let signature = stored.signature.as_slice().try_into().map(SignatureBytes);
    Ok(Registration {
        message: RegistrationMessage {
            fee_recipient,
            gas_limit: stored.gas_limit,
            timestamp: stored.timestamp.cast_unsigned(),
            public_key: validator.public_key,
        },
        signature: signature.map_err(|_| {
            format!(
                "expected a signature of 96 bytes, found {}",
                stored.signature.len()
            )
        })?,
    })
}
