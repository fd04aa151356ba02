//! Public keys, public shares and the aggregate signature of a lock (spec 10 §3.4, steps 2 to 4).

use std::collections::BTreeMap;

use flotilla_crypto::shares::recombine_public;
use flotilla_crypto::{PublicKey, ShareIndex, Signature, fast_aggregate_verify};
use flotilla_types::PublicKeyBytes;

use super::{Check, Findings};
use crate::definition::MAX_OPERATORS;
use crate::lock::{DistributedValidator, Lock};

pub(super) fn verify(lock: &Lock, findings: &mut Findings) {
    let aggregate = parse_aggregate(&lock.signature_aggregate);
    if let Err(problem) = &aggregate {
        findings.error(Check::AggregatePresence, "signature_aggregate", problem);
    }
    verify_threshold(lock, findings);
    verify_distinct_keys(lock, findings);

    let mut keys = Some(Vec::new());
    for (index, validator) in lock.validators.iter().enumerate() {
        let shares = verify_validator(lock, index, validator, findings);
        keys = keys.zip(shares).map(|(mut keys, shares)| {
            keys.extend(shares);
            keys
        });
    }
    // With a malformed share the sum of keys has no meaning; the share has been reported.
    if let (Ok(aggregate), Some(keys), Ok(lock_hash)) = (aggregate, keys, lock.compute_lock_hash())
        && !is_by_all(&keys, &lock_hash, &aggregate)
    {
        let message =
            "not the sum of signatures of the lock hash by every share of every validator";
        findings.error(Check::Aggregate, "signature_aggregate", message);
    }
}

fn parse_aggregate(bytes: &[u8]) -> Result<[u8; 96], String> {
    match bytes.len() {
        96 => Ok(bytes.try_into().expect("the length is 96")),
        0 => Err("expected a signature, found none".to_owned()),
        length => Err(format!("expected 96 bytes, found {length}")),
    }
}

fn is_by_all(keys: &[PublicKey], lock_hash: &[u8; 32], aggregate: &[u8; 96]) -> bool {
    Signature::from_bytes(aggregate)
        .is_ok_and(|signature| fast_aggregate_verify(keys, lock_hash, &signature))
}

fn verify_threshold(lock: &Lock, findings: &mut Findings) {
    let operators = lock.operators().len();
    if operators > MAX_OPERATORS {
        let message = format_args!("at most {MAX_OPERATORS} are possible, found {operators}");
        findings.error(Check::PublicShares, "cluster_definition.operators", message);
    }
    if !(1..=operators).contains(&lock.threshold()) {
        let message = format_args!(
            "expected 1 to {operators} for {operators} operators, found {}",
            lock.definition.threshold
        );
        findings.error(Check::PublicShares, "cluster_definition.threshold", message);
    }
}

fn verify_distinct_keys(lock: &Lock, findings: &mut Findings) {
    let keys = lock
        .validators
        .iter()
        .map(|validator| &validator.public_key);
    for (first, second) in repeats(keys) {
        let path = format_args!("distributed_validators[{second}].distributed_public_key");
        findings.error(
            Check::PublicShares,
            path,
            format_args!("the same key as distributed_validators[{first}]"),
        );
    }
}

/// Pairs of positions at which the same key stands.
pub(super) fn repeats<'a>(
    keys: impl IntoIterator<Item = &'a PublicKeyBytes>,
) -> Vec<(usize, usize)> {
    let mut seen = BTreeMap::new();
    keys.into_iter()
        .enumerate()
        .map(|(index, key)| (*seen.entry(key).or_insert(index), index))
        .filter(|(first, index)| first != index)
        .collect()
}

/// The validator's shares as points; `None` when there is one that is not.
fn verify_validator(
    lock: &Lock,
    index: usize,
    validator: &DistributedValidator,
    findings: &mut Findings,
) -> Option<Vec<PublicKey>> {
    let path = format!("distributed_validators[{index}]");
    let operators = lock.operators().len();
    let counts_match = validator.public_shares.len() == operators;
    if !counts_match {
        let message = format_args!(
            "expected one for each of {operators} operators, found {}",
            validator.public_shares.len()
        );
        findings.error(
            Check::PublicShares,
            format_args!("{path}.public_shares"),
            message,
        );
    }
    for (first, second) in repeats(&validator.public_shares) {
        let message = format_args!("the same share as public_shares[{first}]");
        findings.error(
            Check::PublicShares,
            format_args!("{path}.public_shares[{second}]"),
            message,
        );
    }
    let group = parse_key(
        &validator.public_key,
        || format!("{path}.distributed_public_key"),
        findings,
    );
    let parsed = validator.public_shares.iter().enumerate();
    let shares: Vec<Option<PublicKey>> = parsed
        .map(|(share, key)| parse_key(key, || format!("{path}.public_shares[{share}]"), findings))
        .collect();
    let shares: Vec<PublicKey> = shares.into_iter().collect::<Option<_>>()?;
    let group = group?;
    if counts_match && operators <= MAX_OPERATORS && (1..=operators).contains(&lock.threshold()) {
        verify_polynomial(&path, &group, &shares, lock.threshold(), findings);
    }
    Some(shares)
}

fn parse_key(
    bytes: &PublicKeyBytes,
    path: impl Fn() -> String,
    findings: &mut Findings,
) -> Option<PublicKey> {
    PublicKey::from_bytes(&bytes.0)
        .map_err(|error| findings.error(Check::PublicShares, path(), error))
        .ok()
}

/// The first `threshold` shares give the group key, and so does each later one in place of the
/// last of them: then all lie on one polynomial of degree `threshold - 1`.
fn verify_polynomial(
    path: &str,
    group: &PublicKey,
    shares: &[PublicKey],
    threshold: usize,
    findings: &mut Findings,
) {
    let numbered: Vec<(ShareIndex, &PublicKey)> = shares
        .iter()
        .enumerate()
        .map(|(peer, key)| (ShareIndex::from_peer(peer), key))
        .collect();
    let gives_group =
        |set: &[(ShareIndex, &PublicKey)]| recombine_public(set).is_ok_and(|key| key == *group);
    if !gives_group(&numbered[..threshold]) {
        let message = format_args!("the first {threshold} public shares do not recombine to it");
        findings.error(
            Check::PublicShares,
            format_args!("{path}.distributed_public_key"),
            message,
        );
        return;
    }
    for (peer, share) in numbered.iter().enumerate().skip(threshold) {
        let mut set = numbered[..threshold - 1].to_vec();
        set.push(*share);
        if !gives_group(&set) {
            let message =
                format_args!("does not lie on the polynomial of the first {threshold} shares");
            findings.error(
                Check::PublicShares,
                format_args!("{path}.public_shares[{peer}]"),
                message,
            );
        }
    }
}
