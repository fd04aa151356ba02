//! Which secret is whose share: matched by public key, whatever the files were called (spec 10 §4).

use std::collections::BTreeMap;

use flotilla_crypto::{SecretKey, ShareIndex};
use flotilla_types::PublicKeyBytes;
use thiserror::Error;

use crate::lock::Lock;

/// Secrets that do not fit the lock.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MatchError {
    /// The lock itself is ambiguous.
    #[error(
        "public share {share} stands in the lock under validator {first} and validator {second}"
    )]
    AmbiguousLock {
        /// The public share.
        share: PublicKeyBytes,
        /// Validator index of its first place.
        first: usize,
        /// Validator index of its second place.
        second: usize,
    },
    /// The secret belongs to another cluster.
    #[error("key {position} (public key {public_key}) is no share of any validator in the lock")]
    Unknown {
        /// Position among the secrets given, from 0.
        position: usize,
        /// Its public key.
        public_key: PublicKeyBytes,
    },
    /// The secret belongs to another operator of this cluster. What it signs would be counted as
    /// a forgery by every peer.
    #[error(
        "key {position} is share {found} of validator {validator}, this operator's shares are number {expected}"
    )]
    OtherOperator {
        /// Position among the secrets given, from 0.
        position: usize,
        /// Validator index.
        validator: usize,
        /// The share it is.
        found: ShareIndex,
        /// The share of this operator.
        expected: ShareIndex,
    },
    /// Two secrets for one validator.
    #[error("key {position} is a second share of validator {validator}")]
    Repeated {
        /// Position of the second among the secrets given, from 0.
        position: usize,
        /// Validator index.
        validator: usize,
    },
}

/// Assigns one operator's secrets to validators, by index in the lock. Validators without a secret
/// are left out; whether that matters the caller knows.
///
/// # Errors
/// A secret that is not this operator's share of some validator, or two of one.
pub fn match_shares(
    lock: &Lock,
    me: ShareIndex,
    secrets: Vec<SecretKey>,
) -> Result<BTreeMap<usize, SecretKey>, MatchError> {
    let places = share_places(lock)?;
    let mut matched = BTreeMap::new();
    for (position, secret) in secrets.into_iter().enumerate() {
        let public_key = PublicKeyBytes(secret.public_key().to_bytes());
        let (validator, found) = *places.get(&public_key).ok_or(MatchError::Unknown {
            position,
            public_key,
        })?;
        if found != me {
            return Err(MatchError::OtherOperator {
                position,
                validator,
                found,
                expected: me,
            });
        }
        if matched.insert(validator, secret).is_some() {
            return Err(MatchError::Repeated {
                position,
                validator,
            });
        }
    }
    Ok(matched)
}

/// Validator index and share of every public share.
///
/// # Errors
/// [`MatchError::AmbiguousLock`].
pub fn share_places(
    lock: &Lock,
) -> Result<BTreeMap<PublicKeyBytes, (usize, ShareIndex)>, MatchError> {
    let mut places = BTreeMap::new();
    for (validator, entry) in lock.validators.iter().enumerate() {
        for (share, index) in entry
            .public_shares
            .iter()
            .zip((1..).filter_map(ShareIndex::new))
        {
            let earlier = places.insert(*share, (validator, index));
            if let Some((first, _)) = earlier.filter(|(first, _)| *first != validator) {
                return Err(MatchError::AmbiguousLock {
                    share: *share,
                    first,
                    second: validator,
                });
            }
        }
    }
    Ok(places)
}
