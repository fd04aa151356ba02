//! The JSON of a definition: keys, order and forms per version (spec 10 §2.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flotilla_types::ForkVersion;

use super::{Addresses, Creator, Definition, EncodeError, Operator, ValidatorAddresses};
use crate::deposit::check_amounts;
use crate::json::{Field, Output, ParseError, prefixed_hex};
use crate::version::Version;

pub(super) fn read(field: &Field<'_>) -> Result<Definition, ParseError> {
    let version_field = field.get("version")?;
    let version = Version::from_text(version_field.text()?)
        .ok_or_else(|| version_field.expected("a version from v1.0.0 to v1.11.0"))?;
    let text = |key| Ok::<_, ParseError>(field.get(key)?.text()?.to_owned());
    let definition = Definition {
        version,
        uuid: text("uuid")?,
        name: text("name")?,
        timestamp: text("timestamp")?,
        num_validators: field.get("num_validators")?.number()?,
        threshold: field.get("threshold")?.number()?,
        dkg_algorithm: text("dkg_algorithm")?,
        fork_version: ForkVersion(field.get("fork_version")?.hex_sized()?),
        operators: field
            .get("operators")?
            .list(|operator| read_operator(operator, version))?,
        creator: if version.has_creator() {
            read_creator(&field.get("creator")?)?
        } else {
            Creator::default()
        },
        addresses: read_addresses(field, version)?,
        deposit_amounts: if version.has_partial_deposits() {
            field.get("deposit_amounts")?.list(read_amount)?
        } else {
            Vec::new()
        },
        consensus_protocol: if version.has_consensus_protocol() {
            text("consensus_protocol")?
        } else {
            String::new()
        },
        target_gas_limit: if version.has_gas_limit() {
            field.get("target_gas_limit")?.number()?
        } else {
            0
        },
        compounding: version.has_gas_limit() && field.get("compounding")?.flag()?,
        config_hash: read_bytes(&field.get("config_hash")?, version)?,
        definition_hash: read_bytes(&field.get("definition_hash")?, version)?,
        unknown_fields: Vec::new(),
    };
    check(field, &definition)?;
    Ok(definition)
}

/// What is an error already when reading (spec 10 §2.2).
fn check(field: &Field<'_>, definition: &Definition) -> Result<(), ParseError> {
    if let Addresses::Each(pairs) = &definition.addresses
        && pairs.len() as u64 != definition.num_validators
    {
        let expected = format!(
            "as many entries as num_validators says: {}",
            definition.num_validators
        );
        return Err(field
            .get("validators")?
            .mismatch(expected, pairs.len().to_string()));
    }
    check_amounts(&definition.deposit_amounts, definition.compounding).map_err(|error| {
        field.get("deposit_amounts").map_or_else(
            |error| error,
            |amounts| amounts.mismatch("valid deposit amounts", error.to_string()),
        )
    })
}

fn read_operator(field: &Field<'_>, version: Version) -> Result<Operator, ParseError> {
    if version.is_base64() && field.get("nonce")?.number()? != 0 {
        return Err(field.get("nonce")?.expected("0"));
    }
    Ok(Operator {
        address: field.get("address")?.text()?.to_owned(),
        enr: field.get("enr")?.text()?.to_owned(),
        config_signature: read_bytes(&field.get("config_signature")?, version)?,
        enr_signature: read_bytes(&field.get("enr_signature")?, version)?,
    })
}

fn read_creator(field: &Field<'_>) -> Result<Creator, ParseError> {
    Ok(Creator {
        address: field.get("address")?.text()?.to_owned(),
        config_signature: field.get("config_signature")?.hex()?,
    })
}

fn read_addresses(field: &Field<'_>, version: Version) -> Result<Addresses, ParseError> {
    if version.has_validator_addresses() {
        Ok(Addresses::Each(field.get("validators")?.list(read_pair)?))
    } else {
        Ok(Addresses::Shared(read_pair(field)?))
    }
}

fn read_pair(field: &Field<'_>) -> Result<ValidatorAddresses, ParseError> {
    Ok(ValidatorAddresses {
        fee_recipient: field.get("fee_recipient_address")?.text()?.to_owned(),
        withdrawal: field.get("withdrawal_address")?.text()?.to_owned(),
    })
}

fn read_amount(field: &Field<'_>) -> Result<u64, ParseError> {
    if field.is_absent() {
        return Err(field.expected("a decimal number in quotes"));
    }
    field.decimal()
}

/// Bytes in the encoding of `version`.
pub(crate) fn read_bytes(field: &Field<'_>, version: Version) -> Result<Vec<u8>, ParseError> {
    if version.is_base64() {
        field.base64()
    } else {
        field.hex()
    }
}

/// Bytes in the encoding of `version`.
pub(crate) fn write_bytes(bytes: &[u8], version: Version) -> Output {
    if version.is_base64() {
        Output::Text(STANDARD.encode(bytes))
    } else {
        Output::Text(prefixed_hex(bytes))
    }
}

pub(super) fn write(definition: &Definition) -> Result<Output, EncodeError> {
    let version = definition.version;
    let mut sealed = definition.clone();
    sealed.update_hashes()?;

    let mut entries = Vec::new();
    let optional = |key, text: &str, entries: &mut Vec<(&'static str, Output)>| {
        if !text.is_empty() {
            entries.push((key, Output::text(text)));
        }
    };
    optional("name", &definition.name, &mut entries);
    if version.has_creator() {
        entries.push(("creator", write_creator(&definition.creator)));
    }
    let operators = definition
        .operators
        .iter()
        .map(|operator| write_operator(operator, version))
        .collect();
    entries.push(("operators", Output::list_or_null(operators)));
    entries.push(("uuid", Output::text(&definition.uuid)));
    entries.push(("version", Output::text(version.as_str())));
    optional("timestamp", &definition.timestamp, &mut entries);
    entries.push(("num_validators", Output::number(definition.num_validators)));
    entries.push(("threshold", Output::number(definition.threshold)));
    if version.has_validator_addresses() {
        let pairs = definition
            .each_addresses()
            .map(|pair| Output::Object(write_pair(pair)))
            .collect();
        entries.push(("validators", Output::list_or_null(pairs)));
    } else {
        let pair = single_pair(definition)?;
        optional("fee_recipient_address", &pair.fee_recipient, &mut entries);
        optional("withdrawal_address", &pair.withdrawal, &mut entries);
    }
    entries.push(("dkg_algorithm", Output::text(&definition.dkg_algorithm)));
    entries.push((
        "fork_version",
        Output::text(prefixed_hex(&definition.fork_version.0)),
    ));
    if version.has_partial_deposits() {
        let amounts = definition
            .deposit_amounts
            .iter()
            .map(|amount| Output::text(amount.to_string()))
            .collect();
        entries.push(("deposit_amounts", Output::list_or_null(amounts)));
    }
    if version.has_consensus_protocol() {
        entries.push((
            "consensus_protocol",
            Output::text(&definition.consensus_protocol),
        ));
    }
    if version.has_gas_limit() {
        entries.push((
            "target_gas_limit",
            Output::number(definition.target_gas_limit),
        ));
        entries.push(("compounding", Output::Flag(definition.compounding)));
    }
    entries.push(("config_hash", write_bytes(&sealed.config_hash, version)));
    entries.push((
        "definition_hash",
        write_bytes(&sealed.definition_hash, version),
    ));
    Ok(Output::Object(entries))
}

fn write_creator(creator: &Creator) -> Output {
    Output::Object(vec![
        ("address", Output::text(&creator.address)),
        (
            "config_signature",
            Output::Text(prefixed_hex(&creator.config_signature)),
        ),
    ])
}

fn write_operator(operator: &Operator, version: Version) -> Output {
    let mut entries = vec![
        ("address", Output::text(&operator.address)),
        ("enr", Output::text(&operator.enr)),
    ];
    if version.is_base64() {
        entries.push(("nonce", Output::number(0)));
    }
    entries.push((
        "config_signature",
        write_bytes(&operator.config_signature, version),
    ));
    entries.push((
        "enr_signature",
        write_bytes(&operator.enr_signature, version),
    ));
    Output::Object(entries)
}

fn write_pair(pair: &ValidatorAddresses) -> Vec<(&'static str, Output)> {
    vec![
        ("fee_recipient_address", Output::text(&pair.fee_recipient)),
        ("withdrawal_address", Output::text(&pair.withdrawal)),
    ]
}

/// The one pair that versions before 1.5 can express.
fn single_pair(definition: &Definition) -> Result<ValidatorAddresses, EncodeError> {
    let mut pairs = definition.each_addresses();
    let Some(first) = pairs.next() else {
        return Ok(match &definition.addresses {
            Addresses::Shared(pair) => pair.clone(),
            Addresses::Each(_) => ValidatorAddresses::default(),
        });
    };
    match pairs.position(|pair| pair != first) {
        None => Ok(first.clone()),
        Some(position) => Err(EncodeError::UnequalAddresses {
            version: definition.version,
            index: position + 1,
        }),
    }
}
