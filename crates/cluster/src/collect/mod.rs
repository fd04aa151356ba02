//! What operators sign one by one and a server collects until a threshold is there: exits, further deposits, builder
//! registrations (part 50 §2 of the field's specification).
//!
//! The server is trusted with nothing. Whatever comes back is matched to shares by verification, never by its place in a list,
//! and the result is verified under the validator's key. Bodies and roots are here; requests are the caller's.

pub mod deposit;
pub mod exit;
pub mod registration;

use std::collections::BTreeMap;

use flotilla_crypto::combine::{Combined, Request, combine_all};
use flotilla_crypto::{PublicKey, ShareIndex, Signature, verify};
use flotilla_types::{PublicKeyBytes, SignatureBytes};
use thiserror::Error;

use crate::lock::{DistributedValidator, Lock};

/// Partial signatures that do not make a validator's signature.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CollectError {
    /// The validator is not of this cluster.
    #[error("validator {0} is not in this cluster")]
    UnknownValidator(PublicKeyBytes),
    /// Too few good ones.
    #[error(
        "validator {validator}: {found} of the {threshold} signatures needed; missing are those of the shares {missing}{}",
        unknown_signers(*.strangers)
    )]
    TooFew {
        /// The validator.
        validator: PublicKeyBytes,
        /// Distinct shares that signed this.
        found: usize,
        /// Shares needed.
        threshold: usize,
        /// Share numbers that have not, from 1.
        missing: String,
        /// Signatures that are no share's of this message.
        strangers: usize,
    },
    /// A key in the lock is none, or the shares do not belong to the key: the lock was not verified.
    #[error("validator {0}: its keys in the lock do not fit each other")]
    Lock(PublicKeyBytes),
}

fn unknown_signers(count: usize) -> String {
    match count {
        0 => String::new(),
        count => format!(" ({count} more are no share's signature of this)"),
    }
}

impl Lock {
    /// The validator with this public key.
    ///
    /// # Errors
    /// There is none.
    pub fn validator(
        &self,
        public_key: &PublicKeyBytes,
    ) -> Result<&DistributedValidator, CollectError> {
        self.validators
            .iter()
            .find(|validator| validator.public_key == *public_key)
            .ok_or(CollectError::UnknownValidator(*public_key))
    }

    /// The validator's signature of `message`, from at least a threshold of its shares' in any order. Repeated ones count once;
    /// those that are no share's are left out.
    ///
    /// # Errors
    /// The validator is not of this cluster, or too few shares have signed.
    pub fn threshold_signature(
        &self,
        public_key: &PublicKeyBytes,
        message: &[u8; 32],
        signatures: &[SignatureBytes],
    ) -> Result<SignatureBytes, CollectError> {
        let validator = self.validator(public_key)?;
        let broken = || CollectError::Lock(*public_key);
        let key = |bytes: &PublicKeyBytes| PublicKey::from_bytes(&bytes.0).map_err(|_| broken());
        let group_key = key(public_key)?;
        let share_keys = validator
            .public_shares
            .iter()
            .map(key)
            .collect::<Result<Vec<_>, _>>()?;
        let mut partials = BTreeMap::new();
        let mut strangers = 0;
        for signature in signatures {
            match signer(&share_keys, message, signature) {
                Some(share) => {
                    partials.insert(share, signature.0);
                }
                None => strangers += 1,
            }
        }
        if partials.len() < self.threshold() {
            let numbers = (1..=share_keys.len() as u64).filter_map(ShareIndex::new);
            let missing: Vec<String> = numbers
                .filter(|share| !partials.contains_key(share))
                .map(|share| share.to_string())
                .collect();
            return Err(CollectError::TooFew {
                validator: *public_key,
                found: partials.len(),
                threshold: self.threshold(),
                missing: missing.join(", "),
                strangers,
            });
        }
        let request = Request {
            group_key: &group_key,
            share_keys: &share_keys,
            partials: partials.into_iter().collect(),
        };
        match combine_all(self.threshold(), message, &[request]).pop() {
            Some(Combined::Signature(signature)) => Ok(SignatureBytes(signature.into_inner())),
            _ => Err(broken()),
        }
    }
}

/// Whose share this is a signature of: the few shares of a cluster are tried in turn.
fn signer(
    share_keys: &[PublicKey],
    message: &[u8; 32],
    signature: &SignatureBytes,
) -> Option<ShareIndex> {
    let signature = Signature::from_bytes(&signature.0).ok()?;
    let signed = |key: &PublicKey| verify(key, message, &signature);
    share_keys
        .iter()
        .position(signed)
        .map(ShareIndex::from_peer)
}
