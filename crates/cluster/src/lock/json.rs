//! The JSON of a lock: keys, order and forms per version (spec 10 §3.1).

use flotilla_types::PublicKeyBytes;

use super::{DistributedValidator, Lock, LockedDeposit, LockedRegistration};
use crate::definition::{Definition, EncodeError, read_bytes, write_bytes};
use crate::json::{Field, Output, ParseError, prefixed_hex};
use crate::version::Version;

pub(super) fn read(field: &Field<'_>) -> Result<Lock, ParseError> {
    let definition = Definition::read(&field.get("cluster_definition")?)?;
    let version = definition.version;
    Ok(Lock {
        validators: field
            .get("distributed_validators")?
            .list(|validator| read_validator(validator, version))?,
        signature_aggregate: read_bytes(&field.get("signature_aggregate")?, version)?,
        lock_hash: read_bytes(&field.get("lock_hash")?, version)?,
        node_signatures: if version.has_registrations() {
            field.get("node_signatures")?.list(Field::hex)?
        } else {
            Vec::new()
        },
        definition,
        unknown_fields: Vec::new(),
    })
}

fn read_validator(field: &Field<'_>, version: Version) -> Result<DistributedValidator, ParseError> {
    let abandoned = field.get("fee_recipient_address")?;
    if version < Version::V1_6 && !abandoned.is_absent() && !abandoned.text()?.is_empty() {
        return Err(abandoned.expected("nothing: the field was given up before v1.6"));
    }
    Ok(DistributedValidator {
        public_key: PublicKeyBytes(field.get("distributed_public_key")?.hex_sized()?),
        public_shares: field.get("public_shares")?.list(|share| {
            let bytes = read_bytes(share, version)?;
            share.sized(&bytes).map(PublicKeyBytes)
        })?,
        deposits: if version.has_single_deposit() {
            let deposit = read_deposit(&field.get("deposit_data")?)?;
            if deposit == LockedDeposit::default() {
                Vec::new()
            } else {
                vec![deposit]
            }
        } else if version.has_partial_deposits() {
            field.get("partial_deposit_data")?.list(read_deposit)?
        } else {
            Vec::new()
        },
        registration: if version.has_registrations() {
            read_registration(&field.get("builder_registration")?)?
        } else {
            LockedRegistration::default()
        },
    })
}

fn read_deposit(field: &Field<'_>) -> Result<LockedDeposit, ParseError> {
    Ok(LockedDeposit {
        public_key: field.get("pubkey")?.hex()?,
        withdrawal_credentials: field.get("withdrawal_credentials")?.hex()?,
        amount: field.get("amount")?.decimal()?,
        signature: field.get("signature")?.hex()?,
    })
}

fn read_registration(field: &Field<'_>) -> Result<LockedRegistration, ParseError> {
    let message = field.get("message")?;
    Ok(LockedRegistration {
        fee_recipient: message.get("fee_recipient")?.hex()?,
        gas_limit: message.get("gas_limit")?.number()?,
        timestamp: message.get("timestamp")?.integer()?,
        public_key: message.get("pubkey")?.hex()?,
        signature: field.get("signature")?.hex()?,
    })
}

pub(super) fn write(lock: &Lock) -> Result<Output, EncodeError> {
    let version = lock.definition.version;
    let mut sealed = lock.clone();
    sealed.update_hashes()?;
    let validators = lock
        .validators
        .iter()
        .map(|validator| write_validator(validator, version))
        .collect();
    let mut entries = vec![
        ("cluster_definition", lock.definition.write()?),
        ("distributed_validators", Output::list_or_null(validators)),
        (
            "signature_aggregate",
            write_bytes(&lock.signature_aggregate, version),
        ),
        ("lock_hash", write_bytes(&sealed.lock_hash, version)),
    ];
    if version.has_registrations() {
        let signatures = lock
            .node_signatures
            .iter()
            .map(|signature| Output::Text(prefixed_hex(signature)))
            .collect();
        entries.push(("node_signatures", Output::List(signatures)));
    }
    Ok(Output::Object(entries))
}

fn write_validator(validator: &DistributedValidator, version: Version) -> Output {
    let mut entries = vec![(
        "distributed_public_key",
        Output::Text(prefixed_hex(&validator.public_key.0)),
    )];
    if !validator.public_shares.is_empty() {
        // The one place where v1.0 and v1.1 mix both encodings: keys in hex, shares in base64.
        let shares = validator
            .public_shares
            .iter()
            .map(|share| write_bytes(&share.0, version));
        entries.push(("public_shares", Output::List(shares.collect())));
    }
    if version.has_single_deposit() {
        let none = LockedDeposit::default();
        entries.push((
            "deposit_data",
            write_deposit(validator.deposits.first().unwrap_or(&none)),
        ));
    }
    if version.has_registrations() {
        entries.push((
            "builder_registration",
            write_registration(&validator.registration),
        ));
    }
    if version.has_partial_deposits() && !validator.deposits.is_empty() {
        entries.push((
            "partial_deposit_data",
            Output::List(validator.deposits.iter().map(write_deposit).collect()),
        ));
    }
    Output::Object(entries)
}

fn write_deposit(deposit: &LockedDeposit) -> Output {
    Output::Object(vec![
        ("pubkey", Output::Text(prefixed_hex(&deposit.public_key))),
        (
            "withdrawal_credentials",
            Output::Text(prefixed_hex(&deposit.withdrawal_credentials)),
        ),
        ("amount", Output::text(deposit.amount.to_string())),
        ("signature", Output::Text(prefixed_hex(&deposit.signature))),
    ])
}

fn write_registration(registration: &LockedRegistration) -> Output {
    let message = vec![
        (
            "fee_recipient",
            Output::Text(prefixed_hex(&registration.fee_recipient)),
        ),
        ("gas_limit", Output::number(registration.gas_limit)),
        ("timestamp", Output::number(registration.timestamp)),
        (
            "pubkey",
            Output::Text(prefixed_hex(&registration.public_key)),
        ),
    ];
    Output::Object(vec![
        ("message", Output::Object(message)),
        (
            "signature",
            Output::Text(prefixed_hex(&registration.signature)),
        ),
    ])
}
