//! The lock hash per version (spec 10 §3.2): the definition hash and what each validator has.

use super::{DistributedValidator, Lock, LockedDeposit, LockedRegistration};
use crate::definition::{MAX_DEPOSITS, MAX_OPERATORS, MAX_VALIDATORS};
use crate::hashing::{Chunk, Fields, HashError};
use crate::json::prefixed_hex;
use crate::version::Version;

const PUBLIC_KEY: usize = 48;
const SIGNATURE: usize = 96;
const CREDENTIALS: usize = 32;

pub(super) fn lock_hash(lock: &Lock) -> Result<Chunk, HashError> {
    let version = lock.definition.version;
    let limit = if version.has_ssz_hashing() {
        MAX_VALIDATORS
    } else {
        lock.validators.len()
    };
    let mut fields = Fields::new();
    fields.chunk(lock.definition.compute_definition_hash()?);
    fields.list(
        "distributed_validators",
        limit,
        &lock.validators,
        |list, validator| {
            list.chunk(validator_root(validator, version)?);
            Ok(())
        },
    )?;
    Ok(fields.root())
}

fn validator_root(validator: &DistributedValidator, version: Version) -> Result<Chunk, HashError> {
    let mut fields = Fields::new();
    if version.has_ssz_hashing() {
        fields.raw(&validator.public_key.0);
        add_shares(&mut fields, validator, MAX_OPERATORS)?;
    } else {
        fields.raw(prefixed_hex(&validator.public_key.0).as_bytes());
        add_shares(&mut fields, validator, validator.public_shares.len())?;
    }
    if version.has_single_deposit() {
        let none = LockedDeposit::default();
        let deposit = deposit_fields(validator.deposits.first().unwrap_or(&none))?;
        if version == Version::V1_6 {
            fields.append(deposit); // A historic omission, now fixed in stone: no object around the four.
        } else {
            fields.chunk(deposit.root());
        }
    } else if version.has_partial_deposits() {
        fields.list(
            "partial_deposit_data",
            MAX_DEPOSITS,
            &validator.deposits,
            |list, deposit| {
                list.chunk(deposit_fields(deposit)?.root());
                Ok(())
            },
        )?;
    }
    if version.has_registrations() {
        fields.chunk(registration_root(&validator.registration)?);
    }
    Ok(fields.root())
}

fn add_shares(
    fields: &mut Fields,
    validator: &DistributedValidator,
    limit: usize,
) -> Result<(), HashError> {
    fields.list(
        "public_shares",
        limit,
        &validator.public_shares,
        |list, share| {
            list.raw(&share.0);
            Ok(())
        },
    )
}

fn deposit_fields(deposit: &LockedDeposit) -> Result<Fields, HashError> {
    let mut fields = Fields::new();
    fields.fixed("deposit.pubkey", &deposit.public_key, PUBLIC_KEY)?;
    fields.fixed(
        "deposit.withdrawal_credentials",
        &deposit.withdrawal_credentials,
        CREDENTIALS,
    )?;
    fields.number(deposit.amount);
    fields.fixed("deposit.signature", &deposit.signature, SIGNATURE)?;
    Ok(fields)
}

fn registration_root(registration: &LockedRegistration) -> Result<Chunk, HashError> {
    let mut message = Fields::new();
    message.raw(&registration.fee_recipient); // Absent when empty, even in the newest versions.
    message.number(registration.gas_limit);
    message.number(registration.timestamp.cast_unsigned());
    message.fixed(
        "builder_registration.message.pubkey",
        &registration.public_key,
        PUBLIC_KEY,
    )?;
    let mut fields = Fields::new();
    fields.chunk(message.root());
    fields.fixed(
        "builder_registration.signature",
        &registration.signature,
        SIGNATURE,
    )?;
    Ok(fields.root())
}
