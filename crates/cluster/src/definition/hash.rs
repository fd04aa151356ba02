//! Config and definition hash per version (spec 10 §2.4).
//!
//! Both walk the same fields; the definition hash adds what comes after agreement: ENRs, signatures
//! and the config hash itself. Traps that look like mistakes but are the format: the order differs
//! from the JSON's, empty values vanish before v1.5, and v1.0 leaves out the timestamp in one of two.

use super::{Addresses, Definition, Operator, ValidatorAddresses};
use crate::hashing::{Chunk, Fields, HashError, WALLET_SIGNATURE_BYTES, address_bytes};
use crate::json::prefixed_hex;
use crate::version::Version;

/// Most operators in a cluster.
pub(crate) const MAX_OPERATORS: usize = 256;
/// Most validators in a cluster.
pub(crate) const MAX_VALIDATORS: usize = 65536;
/// Most deposit amounts in a definition and deposits of a validator.
pub(crate) const MAX_DEPOSITS: usize = 256;
const MAX_UUID: usize = 64;
const MAX_NAME: usize = 256;
const MAX_VERSION: usize = 16;
const MAX_TIMESTAMP: usize = 32;
const MAX_ALGORITHM: usize = 32;
const MAX_ENR: usize = 1024;
const MAX_PROTOCOL: usize = 256;

/// Which of the two hashes is computed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Config,
    Definition,
}

pub(super) fn config_hash(definition: &Definition) -> Result<Chunk, HashError> {
    hash(definition, Scope::Config)
}

pub(super) fn definition_hash(definition: &Definition) -> Result<Chunk, HashError> {
    hash(definition, Scope::Definition)
}

fn hash(definition: &Definition, scope: Scope) -> Result<Chunk, HashError> {
    let mut fields = Fields::new();
    match definition.version {
        Version::V1_0 | Version::V1_1 | Version::V1_2 => add_early(&mut fields, definition, scope)?,
        Version::V1_3 | Version::V1_4 => {
            add_ssz_with_one_address_pair(&mut fields, definition, scope)?
        }
        _ => add_ssz(&mut fields, definition, scope)?,
    }
    Ok(fields.root())
}

/// v1.0 to v1.2: texts as they stand in the file, so that even the case of an address matters.
fn add_early(fields: &mut Fields, definition: &Definition, scope: Scope) -> Result<(), HashError> {
    let version = definition.version;
    let addresses = definition.first_addresses();
    fields.raw(definition.uuid.as_bytes());
    fields.raw(definition.name.as_bytes());
    fields.raw(version.as_str().as_bytes());
    fields.number(definition.num_validators);
    fields.number(definition.threshold);
    fields.raw(addresses.fee_recipient.as_bytes());
    fields.raw(addresses.withdrawal.as_bytes());
    fields.raw(definition.dkg_algorithm.as_bytes());
    fields.raw(prefixed_hex(&definition.fork_version.0).as_bytes());
    let count = definition.operators.len();
    fields.list(
        "operators",
        count,
        &definition.operators,
        |list, operator| {
            match scope {
                Scope::Config => list.raw(operator.address.as_bytes()),
                Scope::Definition => list.chunk(early_operator(operator, version)),
            }
            Ok(())
        },
    )?;
    if scope == Scope::Config || version > Version::V1_0 {
        fields.raw(definition.timestamp.as_bytes());
    }
    Ok(())
}

fn early_operator(operator: &Operator, version: Version) -> Chunk {
    let mut fields = Fields::new();
    fields.raw(operator.address.as_bytes());
    fields.raw(operator.enr.as_bytes());
    if version <= Version::V1_1 {
        fields.number(0); // The nonce, which was never anything else.
    }
    fields.raw(&operator.config_signature);
    fields.raw(&operator.enr_signature);
    fields.root()
}

/// v1.3 and v1.4: SSZ, but absent for empty addresses and signatures.
fn add_ssz_with_one_address_pair(
    fields: &mut Fields,
    definition: &Definition,
    scope: Scope,
) -> Result<(), HashError> {
    let addresses = definition.first_addresses();
    add_heading(fields, definition)?;
    add_optional_address(fields, "fee_recipient_address", &addresses.fee_recipient)?;
    add_optional_address(fields, "withdrawal_address", &addresses.withdrawal)?;
    fields.text("dkg_algorithm", &definition.dkg_algorithm, MAX_ALGORITHM)?;
    fields.raw(&definition.fork_version.0);
    fields.list(
        "operators",
        MAX_OPERATORS,
        &definition.operators,
        |list, operator| {
            let mut item = Fields::new();
            add_optional_address(&mut item, "operators.address", &operator.address)?;
            if scope == Scope::Definition {
                item.text("operators.enr", &operator.enr, MAX_ENR)?;
                item.raw(&operator.config_signature);
                item.raw(&operator.enr_signature);
            }
            list.chunk(item.root());
            Ok(())
        },
    )?;
    if definition.version.has_creator() {
        let mut creator = Fields::new();
        add_optional_address(&mut creator, "creator.address", &definition.creator.address)?;
        if scope == Scope::Definition {
            creator.raw(&definition.creator.config_signature);
        }
        fields.chunk(creator.root());
    }
    if scope == Scope::Definition {
        fields.raw(&definition.config_hash);
    }
    Ok(())
}

/// v1.5 and later.
fn add_ssz(fields: &mut Fields, definition: &Definition, scope: Scope) -> Result<(), HashError> {
    let version = definition.version;
    add_heading(fields, definition)?;
    fields.text("dkg_algorithm", &definition.dkg_algorithm, MAX_ALGORITHM)?;
    fields.fixed("fork_version", &definition.fork_version.0, 4)?;
    fields.list(
        "operators",
        MAX_OPERATORS,
        &definition.operators,
        |list, operator| {
            let mut item = Fields::new();
            item.address("operators.address", &operator.address)?;
            if scope == Scope::Definition {
                item.text("operators.enr", &operator.enr, MAX_ENR)?;
                add_signature(
                    &mut item,
                    version,
                    "operators.config_signature",
                    &operator.config_signature,
                )?;
                add_signature(
                    &mut item,
                    version,
                    "operators.enr_signature",
                    &operator.enr_signature,
                )?;
            }
            list.chunk(item.root());
            Ok(())
        },
    )?;
    let mut creator = Fields::new();
    creator.address("creator.address", &definition.creator.address)?;
    if scope == Scope::Definition {
        add_signature(
            &mut creator,
            version,
            "creator.config_signature",
            &definition.creator.config_signature,
        )?;
    }
    fields.chunk(creator.root());
    fields.list(
        "validators",
        MAX_VALIDATORS,
        definition.each_addresses(),
        |list, pair| {
            let mut item = Fields::new();
            item.address("validators.fee_recipient_address", &pair.fee_recipient)?;
            item.address("validators.withdrawal_address", &pair.withdrawal)?;
            list.chunk(item.root());
            Ok(())
        },
    )?;
    if version.has_partial_deposits() {
        fields.numbers("deposit_amounts", &definition.deposit_amounts, MAX_DEPOSITS)?;
    }
    if version.has_consensus_protocol() {
        fields.text(
            "consensus_protocol",
            &definition.consensus_protocol,
            MAX_PROTOCOL,
        )?;
    }
    if version.has_gas_limit() {
        fields.number(definition.target_gas_limit);
        fields.flag(definition.compounding);
    }
    if scope == Scope::Definition {
        fields.fixed("config_hash", &definition.config_hash, 32)?;
    }
    Ok(())
}

/// The fields with which every SSZ version begins.
fn add_heading(fields: &mut Fields, definition: &Definition) -> Result<(), HashError> {
    fields.text("uuid", &definition.uuid, MAX_UUID)?;
    fields.text("name", &definition.name, MAX_NAME)?;
    fields.text("version", definition.version.as_str(), MAX_VERSION)?;
    fields.text("timestamp", &definition.timestamp, MAX_TIMESTAMP)?;
    fields.number(definition.num_validators);
    fields.number(definition.threshold);
    Ok(())
}

fn add_optional_address(
    fields: &mut Fields,
    field: &'static str,
    text: &str,
) -> Result<(), HashError> {
    if let Some(bytes) = address_bytes(field, text)? {
        fields.raw(&bytes);
    }
    Ok(())
}

fn add_signature(
    fields: &mut Fields,
    version: Version,
    field: &'static str,
    signature: &[u8],
) -> Result<(), HashError> {
    if version.has_signature_lists() {
        fields.signatures(field, signature)
    } else {
        fields.fixed(field, signature, WALLET_SIGNATURE_BYTES)
    }
}

impl Definition {
    /// The pair that stands for all validators before v1.5.
    fn first_addresses(&self) -> ValidatorAddresses {
        match &self.addresses {
            Addresses::Shared(pair) => pair.clone(),
            Addresses::Each(pairs) => pairs.first().cloned().unwrap_or_default(),
        }
    }
}
