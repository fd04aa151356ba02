//! Builder registrations of a lock (spec 10 §3.4, step 5).

use super::claims::find_false;
use super::keys::ValidatorKeys;
use super::progress::Tracker;
use super::{Check, Findings};
use crate::address::Address;
use crate::lock::{DistributedValidator, Lock};
use crate::registration::Registration;

pub(super) fn verify(
    lock: &Lock,
    keys: &[ValidatorKeys],
    findings: &mut Findings,
    tracker: &mut Tracker<'_>,
) {
    let validators = lock.validators.iter().enumerate();
    let stored: Vec<Result<Option<Registration>, String>> = validators
        .map(|(index, validator)| read(lock, index, validator))
        .collect();
    let claims = stored.iter().zip(keys).enumerate();
    let claims = claims.filter_map(|(index, (stored, keys))| {
        let registration = stored.as_ref().ok()?.as_ref()?;
        let key = keys.group.ok();
        Some((
            index,
            key.and_then(|key| registration.claim(key, lock.fork_version())),
        ))
    });
    let unsigned = find_false(claims, tracker);
    for (index, stored) in stored.into_iter().enumerate() {
        let problem = match stored {
            Err(problem) => problem,
            Ok(Some(registration)) if unsigned.contains(&index) => not_signed(&registration),
            Ok(_) => continue,
        };
        let path = format_args!("distributed_validators[{index}].builder_registration");
        findings.error(Check::Registration, path, problem);
    }
}

/// The registration to verify, if the version has them, or what is wrong before any signature.
fn read(
    lock: &Lock,
    index: usize,
    validator: &DistributedValidator,
) -> Result<Option<Registration>, String> {
    let missing = validator.registration.is_missing();
    match (lock.definition.version.has_registrations(), missing) {
        (false, true) => Ok(None),
        (false, false) => Err("expected none before v1.7".to_owned()),
        (true, true) => Err("expected a registration, found none".to_owned()),
        (true, false) => lock
            .registration(index)
            .map(Some)
            .ok_or_else(|| malformed(lock, index, validator)),
    }
}

fn not_signed(registration: &Registration) -> String {
    format!(
        "the signature is not the validator's over fee recipient {}, gas limit {} and time {}",
        registration.message.fee_recipient,
        registration.message.gas_limit,
        registration.message.timestamp
    )
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
