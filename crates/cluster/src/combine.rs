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
    /// A folder has more keys than the lock has validators.
    #[error("folder {folder} has {found} keys, the lock has {validators} validators")]
    TooManyKeys {
        /// Position of the folder, from 0.
        folder: usize,
        /// Keys in it.
        found: usize,
        /// Validators in the lock.
        validators: usize,
    },
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
        /// Share numbers that no folder has.
        missing: String,
    },
    /// A key is not a share of the validator its position says.
    #[error("key {validator} of folder {folder} is no share of validator {validator}")]
    UnknownShare {
        /// Position of the folder, from 0.
        folder: usize,
        /// Validator index.
        validator: usize,
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

/// The whole keys, in validator order. Each folder is one operator's secrets in validator order; it
/// may end early, then the keys end with the longest.
///
/// # Errors
/// A secret that is not a share of its validator, too few of them, or a wrong result.
pub fn secrets(lock: &Lock, folders: &[Vec<SecretKey>]) -> Result<Vec<SecretKey>, CombineError> {
    let validators = lock.validators.len();
    if let Some(folder) = folders.iter().position(|keys| keys.len() > validators) {
        return Err(CombineError::TooManyKeys {
            folder,
            found: folders[folder].len(),
            validators,
        });
    }
    let count = folders
        .iter()
        .map(Vec::len)
        .max()
        .ok_or(CombineError::Empty)?;
    lock.validators[..count]
        .iter()
        .enumerate()
        .map(|(index, validator)| secret(lock.threshold(), index, validator, folders))
        .collect()
}

fn secret(
    threshold: usize,
    index: usize,
    validator: &DistributedValidator,
    folders: &[Vec<SecretKey>],
) -> Result<SecretKey, CombineError> {
    let mut shares = BTreeMap::new();
    for (folder, keys) in folders.iter().enumerate() {
        if let Some(key) = keys.get(index) {
            let share = share_index(validator, key).ok_or(CombineError::UnknownShare {
                folder,
                validator: index,
            })?;
            shares.insert(share, key); // The same folder twice counts once.
        }
    }
    if shares.len() < threshold {
        return Err(CombineError::TooFewShares {
            validator: index,
            found: shares.len(),
            threshold,
            missing: missing_shares(validator, &shares),
        });
    }
    let shares: Vec<_> = shares.into_iter().collect();
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

fn share_index(validator: &DistributedValidator, key: &SecretKey) -> Option<ShareIndex> {
    let public_key = key.public_key().to_bytes();
    let position = validator
        .public_shares
        .iter()
        .position(|share| share.0 == public_key)?;
    ShareIndex::new(position as u64 + 1)
}

fn missing_shares(
    validator: &DistributedValidator,
    found: &BTreeMap<ShareIndex, &SecretKey>,
) -> String {
    let numbers = (1..=validator.public_shares.len() as u64).filter_map(ShareIndex::new);
    numbers
        .filter(|share| !found.contains_key(share))
        .map(|share| share.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}
