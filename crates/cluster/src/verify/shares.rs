//! Public keys, public shares and the aggregate signature of a lock (spec 10 §3.4, steps 2 to 4).

use std::collections::BTreeMap;

use flotilla_crypto::batch::fold_rows;
use flotilla_crypto::shares::recombine_public;
use flotilla_crypto::{PublicKey, ShareIndex, Signature, fast_aggregate_verify};
use flotilla_types::PublicKeyBytes;

use super::keys::ValidatorKeys;
use super::{Check, Findings};
use crate::definition::MAX_OPERATORS;
use crate::lock::Lock;

pub(super) fn verify(lock: &Lock, keys: &[ValidatorKeys], findings: &mut Findings) {
    let aggregate = parse_aggregate(&lock.signature_aggregate);
    if let Err(problem) = &aggregate {
        findings.error(Check::AggregatePresence, "signature_aggregate", problem);
    }
    verify_threshold(lock, findings);
    verify_distinct_keys(lock, findings);

    let rows: Vec<Option<Vec<PublicKey>>> = keys.iter().map(ValidatorKeys::row).collect();
    let suspects = Suspects::of(lock, &rows);
    for (index, (keys, row)) in keys.iter().zip(&rows).enumerate() {
        verify_counts(lock, index, findings);
        keys.report(index, findings);
        if let Some(row) = row
            && suspects.include(row)
        {
            verify_polynomial(index, row, lock.threshold(), findings);
        }
    }
    // With a malformed share the sum of keys has no meaning; the share has been reported.
    let rows: Option<Vec<Vec<PublicKey>>> = rows.into_iter().collect();
    if let (Ok(aggregate), Some(rows), Ok(lock_hash)) = (aggregate, rows, lock.compute_lock_hash())
        && !is_by_all(&rows, &lock_hash, &aggregate)
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

fn is_by_all(rows: &[Vec<PublicKey>], lock_hash: &[u8; 32], aggregate: &[u8; 96]) -> bool {
    let shares: Vec<PublicKey> = rows
        .iter()
        .flat_map(|row| row.iter().skip(1).copied())
        .collect();
    Signature::from_bytes(aggregate)
        .is_ok_and(|signature| fast_aggregate_verify(&shares, lock_hash, &signature))
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

fn verify_counts(lock: &Lock, index: usize, findings: &mut Findings) {
    let shares = &lock.validators[index].public_shares;
    let path = format!("distributed_validators[{index}].public_shares");
    let operators = lock.operators().len();
    if shares.len() != operators {
        let message = format_args!(
            "expected one for each of {operators} operators, found {}",
            shares.len()
        );
        findings.error(Check::PublicShares, &path, message);
    }
    for (first, second) in repeats(shares) {
        let message = format_args!("the same share as public_shares[{first}]");
        findings.error(
            Check::PublicShares,
            format_args!("{path}[{second}]"),
            message,
        );
    }
}

/// Which validators' polynomials must be looked at one by one.
///
/// If all validators' shares lie on polynomials, so do those of their weighted sum, and if one's do
/// not, the sum's do not either. So one look at the sum usually clears all.
enum Suspects {
    /// None: all are well, or without a threshold there is nothing to look for.
    None,
    /// Those with this many keys, group key and shares.
    RowsOf(usize),
}

impl Suspects {
    fn of(lock: &Lock, rows: &[Option<Vec<PublicKey>>]) -> Self {
        let (operators, threshold) = (lock.operators().len(), lock.threshold());
        if operators > MAX_OPERATORS || !(1..=operators).contains(&threshold) {
            return Self::None;
        }
        let complete = rows.iter().flatten().map(Vec::as_slice);
        let complete: Vec<&[PublicKey]> =
            complete.filter(|row| row.len() == operators + 1).collect();
        match fold_rows(&complete) {
            Some(sum) if polynomial_faults(&sum, threshold).is_empty() => Self::None,
            _ => Self::RowsOf(operators + 1),
        }
    }

    fn include(&self, row: &[PublicKey]) -> bool {
        matches!(self, Self::RowsOf(length) if row.len() == *length)
    }
}

/// What does not lie on the polynomial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The group key.
    Group,
    /// The share of the peer with this index.
    Share(usize),
}

/// The first `threshold` shares give the group key, and so does each later one in place of the
/// last of them: then all lie on one polynomial of degree `threshold - 1`.
fn polynomial_faults(row: &[PublicKey], threshold: usize) -> Vec<Fault> {
    let Some((group, shares)) = row.split_first() else {
        return vec![Fault::Group];
    };
    let numbered: Vec<(ShareIndex, &PublicKey)> = shares
        .iter()
        .enumerate()
        .map(|(peer, key)| (ShareIndex::from_peer(peer), key))
        .collect();
    let gives_group =
        |set: &[(ShareIndex, &PublicKey)]| recombine_public(set).is_ok_and(|key| key == *group);
    if !gives_group(&numbered[..threshold]) {
        return vec![Fault::Group];
    }
    let later = numbered.iter().enumerate().skip(threshold);
    later
        .filter(|(_, share)| {
            let mut set = numbered[..threshold - 1].to_vec();
            set.push(**share);
            !gives_group(&set)
        })
        .map(|(peer, _)| Fault::Share(peer))
        .collect()
}

fn verify_polynomial(index: usize, row: &[PublicKey], threshold: usize, findings: &mut Findings) {
    let path = format!("distributed_validators[{index}]");
    for fault in polynomial_faults(row, threshold) {
        let (path, message) = match fault {
            Fault::Group => (
                format!("{path}.distributed_public_key"),
                format!("the first {threshold} public shares do not recombine to it"),
            ),
            Fault::Share(peer) => (
                format!("{path}.public_shares[{peer}]"),
                format!("does not lie on the polynomial of the first {threshold} shares"),
            ),
        };
        findings.error(Check::PublicShares, path, message);
    }
}
