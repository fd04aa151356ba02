//! Checks beyond those that decide whether a node starts: what would go wrong later, or cost money.

use std::collections::BTreeSet;

use flotilla_crypto::PublicKey;

use super::claims::find_false;
use super::keys::ValidatorKeys;
use super::progress::Tracker;
use super::{Check, Findings, VerifyOptions};
use crate::address::Address;
use crate::definition::{Addresses, Definition, MAX_VALIDATORS, check_protocol, default_threshold};
use crate::deposit::{check_amount, deposit_amounts, withdrawal_credentials};
use crate::json::prefixed_hex;
use crate::lock::{DistributedValidator, Lock};
use crate::peer::{PeerError, peers};
use crate::verify::shares::repeats;

const ADDRESS_BYTES: usize = 20;

/// What can be said about a definition alone.
pub(super) fn verify_definition(
    definition: &Definition,
    options: &VerifyOptions<'_>,
    findings: &mut Findings,
) {
    verify_threshold(definition, findings);
    verify_withdrawal_addresses(definition, options, findings);
    if let Err(error) = check_protocol(&definition.consensus_protocol) {
        findings.warning(Check::Protocol, "consensus_protocol", error);
    }
    warn_of_unknown_fields(&definition.unknown_fields, definition, findings);
    verify_text_ends(definition, findings);
}

fn warn_of_unknown_fields(paths: &[String], definition: &Definition, findings: &mut Findings) {
    for path in paths {
        let message = format_args!(
            "no such field in version {}: it is ignored",
            definition.version
        );
        findings.warning(Check::UnknownField, path, message);
    }
}

/// Early hashes pad texts with zeros, so a text with more zeros at its end hashes the same.
fn verify_text_ends(definition: &Definition, findings: &mut Findings) {
    if definition.version.has_ssz_hashing() {
        return;
    }
    let mut texts = vec![
        ("uuid".to_owned(), &definition.uuid),
        ("name".to_owned(), &definition.name),
        ("timestamp".to_owned(), &definition.timestamp),
        ("dkg_algorithm".to_owned(), &definition.dkg_algorithm),
    ];
    if let Addresses::Shared(pair) = &definition.addresses {
        texts.push(("fee_recipient_address".to_owned(), &pair.fee_recipient));
        texts.push(("withdrawal_address".to_owned(), &pair.withdrawal));
    }
    for (index, operator) in definition.operators.iter().enumerate() {
        texts.push((format!("operators[{index}].address"), &operator.address));
    }
    for (path, text) in texts {
        if text.ends_with('\0') {
            let message = format_args!(
                "expected a text without zero bytes at its end, found {}",
                text.len() - text.trim_end_matches('\0').len()
            );
            findings.error(Check::TextEnd, path, message);
        }
    }
}

fn verify_threshold(definition: &Definition, findings: &mut Findings) {
    let operators = definition.operators.len();
    let usual = default_threshold(operators);
    if definition.threshold == usual as u64 || operators == 0 {
        return;
    }
    let note = match definition.threshold {
        0 | 1 => ": one operator alone can sign",
        low if low.saturating_mul(2) <= operators as u64 => {
            ": two halves of the cluster can sign different things"
        }
        _ => "",
    };
    let message = format_args!(
        "{} of {operators}, the usual is {usual}{note}",
        definition.threshold
    );
    findings.warning(Check::Threshold, "threshold", message);
}

fn verify_withdrawal_addresses(
    definition: &Definition,
    options: &VerifyOptions<'_>,
    findings: &mut Findings,
) {
    let real_money = options
        .networks
        .by_fork_version(definition.fork_version)
        .is_ok_and(crate::network::Network::has_real_money);
    let each = definition.version.has_validator_addresses();
    // A pair shared by all validators is looked at once.
    let distinct = if each { MAX_VALIDATORS } else { 1 };
    for (index, pair) in definition.each_addresses().enumerate().take(distinct) {
        let path = if each {
            format!("validators[{index}].withdrawal_address")
        } else {
            "withdrawal_address".to_owned()
        };
        match Address::parse(&pair.withdrawal) {
            Err(error) => findings.warning(Check::Withdrawal, path, error),
            Ok(address) if address.is_zero() && real_money => {
                findings.error(
                    Check::Withdrawal,
                    path,
                    "the zero address: what is deposited would be lost",
                );
            }
            Ok(_) => {}
        }
    }
}

/// What needs the keys too.
pub(super) fn verify_lock(
    lock: &Lock,
    keys: &[ValidatorKeys],
    findings: &mut Findings,
    tracker: &mut Tracker<'_>,
) {
    warn_of_unknown_fields(&lock.unknown_fields, &lock.definition, findings);
    verify_peers(lock, findings);
    verify_share_reuse(lock, findings);
    let unsigned = unsigned_deposits(lock, keys, tracker);
    for (index, validator) in lock.validators.iter().enumerate() {
        verify_deposits(lock, index, validator, &unsigned, findings);
        verify_registration_fields(lock, index, validator, findings);
    }
}

fn verify_peers(lock: &Lock, findings: &mut Findings) {
    match peers(lock.operators()) {
        Ok(_) => {}
        // From v1.7 the node signatures have reported it.
        Err(PeerError::Enr { .. }) if lock.definition.version.has_registrations() => {}
        Err(error) => findings.error(Check::Peers, "cluster_definition", error),
    }
}

fn verify_share_reuse(lock: &Lock, findings: &mut Findings) {
    let owners: Vec<usize> = lock
        .validators
        .iter()
        .enumerate()
        .flat_map(|(index, validator)| std::iter::repeat_n(index, validator.public_shares.len()))
        .collect();
    let shares = lock
        .validators
        .iter()
        .flat_map(|validator| &validator.public_shares);
    for (first, second) in repeats(shares) {
        let (first, second) = (owners[first], owners[second]);
        if first != second {
            let path = format_args!("distributed_validators[{second}].public_shares");
            findings.error(
                Check::ShareReuse,
                path,
                format_args!("has a share of distributed_validators[{first}]"),
            );
        }
    }
}

/// Validator and position of the deposits that their validators have not signed.
fn unsigned_deposits(
    lock: &Lock,
    keys: &[ValidatorKeys],
    tracker: &mut Tracker<'_>,
) -> BTreeSet<(usize, usize)> {
    let validators = lock.validators.iter().enumerate();
    let deposits = validators.flat_map(|(index, validator)| {
        let known = keys.get(index).and_then(|keys| keys.group.ok());
        let deposits = validator.deposits.iter().enumerate();
        deposits.filter_map(move |(position, locked)| {
            let deposit = locked.to_deposit()?;
            let signer = &deposit.message.public_key.0;
            let key = known
                .filter(|key| key.to_bytes() == *signer)
                .or_else(|| PublicKey::from_bytes(signer).ok());
            let claim = key.and_then(|key| deposit.claim(key, lock.fork_version()));
            Some(((index, position), claim))
        })
    });
    find_false(deposits, tracker)
}

fn verify_deposits(
    lock: &Lock,
    index: usize,
    validator: &DistributedValidator,
    unsigned: &BTreeSet<(usize, usize)>,
    findings: &mut Findings,
) {
    let definition = &lock.definition;
    if validator.deposits.is_empty() {
        return; // Before v1.6 there is no place for them, and v1.7 locks exist without.
    }
    let name = if definition.version.has_single_deposit() {
        "deposit_data"
    } else {
        "partial_deposit_data"
    };
    let path = format!("distributed_validators[{index}].{name}");
    let credentials = definition
        .validator_addresses(index)
        .and_then(|pair| Address::parse(&pair.withdrawal).ok())
        .map(|address| withdrawal_credentials(address, definition.compounding));
    for (position, locked) in validator.deposits.iter().enumerate() {
        let path = if definition.version.has_single_deposit() {
            path.clone() // Not a list.
        } else {
            format!("{path}[{position}]")
        };
        let Some(deposit) = locked.to_deposit() else {
            findings.error(Check::Deposit, path, "a field has a wrong length");
            continue;
        };
        let message = &deposit.message;
        if message.public_key != validator.public_key {
            findings.error(
                Check::Deposit,
                format_args!("{path}.pubkey"),
                "not the validator's public key",
            );
        }
        if let Some(expected) = credentials
            && message.withdrawal_credentials != expected
        {
            let text = format_args!(
                "expected {} as the definition's withdrawal address gives, found {}",
                prefixed_hex(&expected),
                prefixed_hex(&message.withdrawal_credentials)
            );
            findings.error(
                Check::Deposit,
                format_args!("{path}.withdrawal_credentials"),
                text,
            );
        }
        if let Err(error) = check_amount(message.amount, definition.compounding) {
            findings.error(Check::Deposit, format_args!("{path}.amount"), error);
        }
        if unsigned.contains(&(index, position)) {
            let text =
                "not the validator's signature of the deposit: what is deposited would be lost";
            findings.error(Check::Deposit, format_args!("{path}.signature"), text);
        }
    }
    verify_amounts(definition, validator, &path, findings);
}

fn verify_amounts(
    definition: &Definition,
    validator: &DistributedValidator,
    path: &str,
    findings: &mut Findings,
) {
    if !definition.version.has_partial_deposits() {
        return;
    }
    let found: Vec<u64> = validator
        .deposits
        .iter()
        .map(|deposit| deposit.amount)
        .collect();
    let expected = deposit_amounts(&definition.deposit_amounts, definition.compounding);
    if found != expected {
        let text = format_args!(
            "expected deposits of {expected:?} Gwei as the definition says, found {found:?}"
        );
        findings.warning(Check::Deposit, path, text);
    }
}

fn verify_registration_fields(
    lock: &Lock,
    index: usize,
    validator: &DistributedValidator,
    findings: &mut Findings,
) {
    let stored = &validator.registration;
    if !lock.definition.version.has_registrations() || stored.is_missing() {
        return;
    }
    let path = format!("distributed_validators[{index}].builder_registration.message");
    if stored.public_key != validator.public_key.0 {
        findings.warning(
            Check::RegistrationFields,
            format_args!("{path}.pubkey"),
            "not the validator's public key",
        );
    }
    // Without this check nothing would see zeros at its end: they hash as the padding they replace.
    if stored.fee_recipient.len() != ADDRESS_BYTES {
        let text = format_args!(
            "expected {} bytes, found {}",
            ADDRESS_BYTES,
            stored.fee_recipient.len()
        );
        findings.error(
            Check::RegistrationFields,
            format_args!("{path}.fee_recipient"),
            text,
        );
        return;
    }
    let wanted = lock
        .definition
        .validator_addresses(index)
        .and_then(|pair| Address::parse(&pair.fee_recipient).ok());
    if let Some(wanted) = wanted
        && stored.fee_recipient != wanted.0
    {
        let text = format_args!(
            "expected {wanted} as the definition says, found {}",
            prefixed_hex(&stored.fee_recipient)
        );
        findings.warning(
            Check::RegistrationFields,
            format_args!("{path}.fee_recipient"),
            text,
        );
    }
}
