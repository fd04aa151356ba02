//! The built-in signer: this process holds the shares (S7) and signs what the slashing database has recorded.
//!
//! It asks nothing and decides nothing: the engine asks for a signature only after the database's answer. Keys lie in memory
//! that is cleared on drop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flotilla_crypto::SecretKey;
use flotilla_duty::io::Item;
use flotilla_types::{PublicKeyBytes, Root, SignatureBytes};

use crate::workers::{WorkError, Workers};

/// The shares of one cluster's validators, by group public key.
#[derive(Clone)]
pub struct Signer {
    shares: Arc<BTreeMap<PublicKeyBytes, SecretKey>>,
    workers: Workers,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} shares)", self.shares.len())
    }
}

impl Signer {
    /// From this operator's share of each validator.
    pub fn new(shares: BTreeMap<PublicKeyBytes, SecretKey>, workers: Workers) -> Self {
        Self {
            shares: Arc::new(shares),
            workers,
        }
    }

    /// Validators that this signer has a share of.
    pub fn validators(&self) -> impl Iterator<Item = &PublicKeyBytes> {
        self.shares.keys()
    }

    /// Whether it has a share of this validator.
    pub fn has(&self, validator: &PublicKeyBytes) -> bool {
        self.shares.contains_key(validator)
    }

    /// Signs each root with the share of its validator, on the worker threads. Validators without a share here are left out.
    pub async fn sign(
        &self,
        items: Vec<(Item, Root)>,
    ) -> Result<Vec<(Item, SignatureBytes)>, WorkError> {
        let shares = Arc::clone(&self.shares);
        let sign = move |(item, root): (Item, Root)| {
            let share = shares.get(&item.validator)?;
            Some((item, SignatureBytes(share.sign(&root.0).to_bytes())))
        };
        self.workers
            .run_split(items, move |part| {
                part.into_iter().filter_map(&sign).collect()
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_crypto::{Signature, os_rng, verify};

    use super::*;

    #[tokio::test]
    async fn every_validator_with_a_share_is_signed_for() {
        let mut rng = os_rng().unwrap();
        let secrets: Vec<SecretKey> = (0..9).map(|_| SecretKey::generate(&mut rng)).collect();
        let validator = |position: usize| PublicKeyBytes([u8::try_from(position).unwrap(); 48]);
        let public: Vec<_> = secrets.iter().map(SecretKey::public_key).collect();
        let shares = secrets
            .into_iter()
            .enumerate()
            .map(|(position, secret)| (validator(position), secret))
            .collect();
        let signer = Signer::new(shares, Workers::start().unwrap());

        let root = Root([3; 32]);
        let signatures = signer
            .sign(
                (0..10)
                    .map(|position| (Item::whole(validator(position)), root))
                    .collect(),
            )
            .await
            .unwrap();
        assert_eq!(signatures.len(), 9);
        for (position, (key, signature)) in signatures.iter().enumerate() {
            assert_eq!(key.validator, validator(position));
            assert!(verify(
                &public[position],
                &root.0,
                &Signature::from_bytes(&signature.0).unwrap()
            ));
        }
        assert!(!format!("{signer:?}").contains("SecretKey"));
    }
}
