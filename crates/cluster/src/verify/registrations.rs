//! Builder registrations of a lock (spec 10 §3.4, step 5).

use super::{Check, Findings};
use crate::address::Address;
use crate::lock::{DistributedValidator, Lock};

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
    let registration = lock
        .registration(index)
        .ok_or_else(|| malformed(lock, index, validator))?;
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

/// Why there is nothing to verify.
fn malformed(lock: &Lock, index: usize, validator: &DistributedValidator) -> String {
    match lock
        .definition
        .validator_addresses(index)
        .map(|pair| Address::parse(&pair.fee_recipient))
    {
        None => "the definition has no fee recipient for this validator".to_owned(),
        Some(Err(error)) => format!("the definition's fee recipient: {error}"),
        Some(Ok(_)) => format!(
            "expected a signature of 96 bytes, found {}",
            validator.registration.signature.len()
        ),
    }
}
