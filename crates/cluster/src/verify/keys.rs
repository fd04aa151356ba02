//! The keys of a lock as points, decoded once for all checks that need them.

use flotilla_crypto::{KeyError, PublicKey};

use super::progress::Tracker;
use super::{Check, Findings};
use crate::lock::{DistributedValidator, Lock};

/// One validator's keys, or why they are none.
pub(super) struct ValidatorKeys {
    /// The group key.
    pub(super) group: Result<PublicKey, KeyError>,
    /// The public shares, in operator order.
    shares: Vec<Result<PublicKey, KeyError>>,
}

/// The keys of every validator, in the order of validators.
pub(super) fn decode(lock: &Lock, tracker: &mut Tracker<'_>) -> Vec<ValidatorKeys> {
    let validators = lock.validators.iter();
    validators
        .map(|validator| {
            let keys = ValidatorKeys::of(validator);
            tracker.advance(1);
            keys
        })
        .collect()
}

impl ValidatorKeys {
    fn of(validator: &DistributedValidator) -> Self {
        let shares = validator.public_shares.iter();
        Self {
            group: PublicKey::from_bytes(&validator.public_key.0),
            shares: shares
                .map(|share| PublicKey::from_bytes(&share.0))
                .collect(),
        }
    }

    /// Group key and shares in one row; `None` when one of them is no key.
    pub(super) fn row(&self) -> Option<Vec<PublicKey>> {
        std::iter::once(&self.group)
            .chain(&self.shares)
            .map(|key| key.ok())
            .collect()
    }

    /// Reports those that are no keys.
    pub(super) fn report(&self, index: usize, findings: &mut Findings) {
        let path = format!("distributed_validators[{index}]");
        if let Err(error) = &self.group {
            let path = format_args!("{path}.distributed_public_key");
            findings.error(Check::PublicShares, path, error);
        }
        for (share, key) in self.shares.iter().enumerate() {
            if let Err(error) = key {
                let path = format_args!("{path}.public_shares[{share}]");
                findings.error(Check::PublicShares, path, error);
            }
        }
    }
}
