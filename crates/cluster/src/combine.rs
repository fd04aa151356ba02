//! From the folders of enough operators back to whole keys (spec 10 §7.5).
//!
//! The result can sign alone. Running it beside the cluster gets the validator slashed; warning of
//! that is the command's business.

use std::collections::BTreeMap;

use flotilla_crypto::shares::{RecombineError, recombine_secret};
use flotilla_crypto::{SecretKey, ShareIndex};
use flotilla_types::PublicKeyBytes;
use thiserror::Error;

use crate::json::prefixed_hex;
use crate::lock::{DistributedValidator, Lock};
use crate::matching::{MatchError, share_places};

/// Folders that do not give the keys.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CombineError {
    /// No folder at all.
    #[error("no folders to combine")]
    Empty,
    /// The folders are of different clusters.
    #[error(
        "folder {folder} has lock hash {found}, folder 0 has {expected}: they are of different clusters"
    )]
    OtherCluster {
        /// Position of the folder, from 0.
        folder: usize,
        /// Lock hash of the first folder.
        expected: String,
        /// Lock hash of this folder.
        found: String,
    },
    /// The lock does not say whose share is whose.
    #[error(transparent)]
    Lock(#[from] MatchError),
    /// Too few shares of a validator.
    #[error(
        "validator {validator} has {found} of the {threshold} shares it needs; missing are the shares {missing}"
    )]
    TooFewShares {
        /// Validator index.
        validator: usize,
        /// Distinct shares found.
        found: usize,
        /// Shares needed.
        threshold: usize,
        /// Share numbers that no folder has, from 1, each with the name its folder has after `create cluster`.
        missing: String,
    },
    /// A key is no share of any validator.
    #[error("key {position} of folder {folder} is no share of any validator in the lock")]
    UnknownShare {
        /// Position of the folder, from 0.
        folder: usize,
        /// Position of the key in it, from 0.
        position: usize,
    },
    /// Shares that do not recombine.
    #[error("validator {validator}: {error}")]
    Recombine {
        /// Validator index.
        validator: usize,
        /// Why.
        error: RecombineError,
    },
    /// The result is not the validator's key: the lock's shares are inconsistent.
    #[error(
        "validator {validator}: the shares recombine to the key of {found}, the lock says {expected}"
    )]
    WrongKey {
        /// Validator index.
        validator: usize,
        /// Public key in the lock.
        expected: PublicKeyBytes,
        /// Public key of the result.
        found: PublicKeyBytes,
    },
}

/// Checks that the locks found in all folders are one cluster's.
///
/// # Errors
/// There is none, or their hashes differ.
pub fn check_same_cluster(locks: &[Lock]) -> Result<(), CombineError> {
    let first = locks.first().ok_or(CombineError::Empty)?;
    match locks
        .iter()
        .position(|lock| lock.lock_hash != first.lock_hash)
    {
        None => Ok(()),
        Some(folder) => Err(CombineError::OtherCluster {
            folder,
            expected: prefixed_hex(&first.lock_hash),
            found: prefixed_hex(&locks[folder].lock_hash),
        }),
    }
}

/// The whole keys, in validator order. Each folder is one operator's secrets in any order: whose they are is found by their
/// public keys. The keys end with the last validator that any folder has a share of.
///
/// # Errors
/// A secret that is no share of the cluster, too few shares of a validator, or a wrong result.
pub fn secrets(lock: &Lock, folders: &[Vec<SecretKey>]) -> Result<Vec<SecretKey>, CombineError> {
    let places = share_places(lock)?;
    let mut found: BTreeMap<usize, BTreeMap<ShareIndex, &SecretKey>> = BTreeMap::new();
    for (folder, keys) in folders.iter().enumerate() {
        for (position, key) in keys.iter().enumerate() {
            let public_key = PublicKeyBytes(key.public_key().to_bytes());
            let (validator, share) = *places
                .get(&public_key)
                .ok_or(CombineError::UnknownShare { folder, position })?;
            // The same folder twice counts once.
            found.entry(validator).or_default().insert(share, key);
        }
    }
    let (last, _) = found.last_key_value().ok_or(CombineError::Empty)?;
    let none = BTreeMap::new();
    (0..=*last)
        .map(|index| secret(lock, index, found.get(&index).unwrap_or(&none)))
        .collect()
}

fn secret(
    lock: &Lock,
    index: usize,
    shares: &BTreeMap<ShareIndex, &SecretKey>,
) -> Result<SecretKey, CombineError> {
    let (validator, threshold) = (&lock.validators[index], lock.threshold());
    if shares.len() < threshold {
        return Err(CombineError::TooFewShares {
            validator: index,
            found: shares.len(),
            threshold,
            missing: missing_shares(validator, shares),
        });
    }
    let shares: Vec<_> = shares.iter().map(|(share, key)| (*share, *key)).collect();
    let secret = recombine_secret(&shares).map_err(|error| CombineError::Recombine {
        validator: index,
        error,
    })?;
    let found = PublicKeyBytes(secret.public_key().to_bytes());
    if found != validator.public_key {
        return Err(CombineError::WrongKey {
            validator: index,
            expected: validator.public_key,
            found,
        });
    }
    Ok(secret)
}

fn missing_shares(
    validator: &DistributedValidator,
    found: &BTreeMap<ShareIndex, &SecretKey>,
) -> String {
    let numbers = (1..=validator.public_shares.len() as u64).filter_map(ShareIndex::new);
    numbers
        .filter(|share| !found.contains_key(share))
        .map(|share| format!("{share} (node{})", share.peer()))
        .collect::<Vec<_>>()
        .join(", ")
}
