//! Threshold signatures: real ones, or a stand-in a thousand times cheaper.
//!
//! One BLS check costs as much as thousands of steps of the rules, so broad sweeps use the stand-in: a share's signature is a hash of
//! validator, share and root, and a group signature a hash of validator and root that can only be had through [`Scheme::combine`]
//! with a threshold of good shares. Liars here never forge; they only sign what they should not.

use std::collections::BTreeMap;

use flotilla_crypto::combine::{self, Request};
use flotilla_crypto::shares::split;
use flotilla_crypto::{PublicKey, SecretKey, ShareIndex, Signature, Verified, verify};
use flotilla_duty::io::{Combination, Combined, Item};
use flotilla_types::{PublicKeyBytes, Root, SignatureBytes};
use sha2::{Digest, Sha256};

use crate::dice::Dice;

/// How partial signatures are made, checked and combined.
#[derive(Debug)]
pub enum Scheme {
    /// Hashes.
    StandIn {
        /// Shares needed.
        threshold: usize,
    },
    /// BLS.
    Real {
        /// Shares needed.
        threshold: usize,
        /// The keys of each validator.
        keys: BTreeMap<PublicKeyBytes, Keys>,
    },
}

/// One validator's keys.
#[derive(Debug)]
pub struct Keys {
    group: PublicKey,
    shares: Vec<SecretKey>,
    share_keys: Vec<PublicKey>,
}

fn digest(parts: &[&[u8]]) -> SignatureBytes {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let mut signature = [0; 96];
    signature[..32].copy_from_slice(&hasher.finalize());
    SignatureBytes(signature)
}

impl Scheme {
    /// The stand-in, with made-up group keys.
    pub fn stand_in(
        threshold: usize,
        validators: usize,
        dice: &mut Dice,
    ) -> (Self, Vec<PublicKeyBytes>) {
        let key = |dice: &mut Dice| {
            let mut bytes = [0; 48];
            bytes[..32].copy_from_slice(&dice.bytes());
            PublicKeyBytes(bytes)
        };
        let keys = (0..validators).map(|_| key(dice)).collect();
        (Self::StandIn { threshold }, keys)
    }

    /// Real keys, shared among `nodes`.
    pub fn real(
        threshold: usize,
        nodes: usize,
        validators: usize,
        dice: &mut Dice,
    ) -> (Self, Vec<PublicKeyBytes>) {
        let keys: BTreeMap<PublicKeyBytes, Keys> = (0..validators)
            .map(|_| {
                let secret = SecretKey::generate(dice.generator());
                let shares =
                    split(&secret, threshold, nodes, dice.generator()).expect("t of n is sensible");
                let shares: Vec<SecretKey> = shares.into_iter().map(|(_, share)| share).collect();
                let share_keys = shares.iter().map(SecretKey::public_key).collect();
                let group = secret.public_key();
                (
                    PublicKeyBytes(group.to_bytes()),
                    Keys {
                        group,
                        shares,
                        share_keys,
                    },
                )
            })
            .collect();
        let order = keys.keys().copied().collect();
        (Self::Real { threshold, keys }, order)
    }

    /// A share's signature.
    pub fn sign(&self, validator: PublicKeyBytes, share: ShareIndex, root: Root) -> SignatureBytes {
        match self {
            Self::StandIn { .. } => {
                digest(&[b"share", &validator.0, &share.get().to_le_bytes(), &root.0])
            }
            Self::Real { keys, .. } => SignatureBytes(
                keys[&validator].shares[share.peer()]
                    .sign(&root.0)
                    .to_bytes(),
            ),
        }
    }

    /// Whether a share's signature is good.
    pub fn check(
        &self,
        validator: PublicKeyBytes,
        share: ShareIndex,
        root: Root,
        signature: SignatureBytes,
    ) -> bool {
        match self {
            Self::StandIn { .. } => self.sign(validator, share, root) == signature,
            Self::Real { keys, .. } => keys.get(&validator).is_some_and(|keys| {
                let key = keys.share_keys.get(share.peer());
                key.is_some_and(|key| {
                    Signature::from_bytes(&signature.0).is_ok_and(|sig| verify(key, &root.0, &sig))
                })
            }),
        }
    }

    /// Whether a group signature is good.
    pub fn check_group(
        &self,
        validator: PublicKeyBytes,
        root: Root,
        signature: SignatureBytes,
    ) -> bool {
        match self {
            Self::StandIn { .. } => digest(&[b"group", &validator.0, &root.0]) == signature,
            Self::Real { keys, .. } => keys.get(&validator).is_some_and(|keys| {
                Signature::from_bytes(&signature.0)
                    .is_ok_and(|sig| verify(&keys.group, &root.0, &sig))
            }),
        }
    }

    /// What a node's workers do with [`Output::Combine`](flotilla_duty::Output::Combine).
    pub fn combine(&self, items: &[Combination]) -> Vec<(Item, Combined)> {
        match self {
            Self::StandIn { threshold } => items
                .iter()
                .map(|item| (item.item, self.combine_stand_in(*threshold, item)))
                .collect(),
            Self::Real { threshold, keys } => {
                let mut by_root: BTreeMap<Root, Vec<Combination>> = BTreeMap::new();
                for item in items {
                    let same = by_root.entry(item.signing_root).or_default();
                    same.push(item.clone());
                }
                by_root
                    .iter()
                    .flat_map(|(root, items)| combine_real(*threshold, keys, *root, items))
                    .collect()
            }
        }
    }

    fn combine_stand_in(&self, threshold: usize, item: &Combination) -> Combined {
        let (validator, root) = (item.item.validator, item.signing_root);
        let (good, bad): (Vec<_>, Vec<_>) = item
            .partials
            .iter()
            .partition(|&&(share, signature)| self.check(validator, share, root, signature));
        let shares = |partials: Vec<(ShareIndex, SignatureBytes)>| {
            partials.into_iter().map(|(share, _)| share).collect()
        };
        if good.len() < threshold {
            return Combined::Short {
                bad: shares(bad),
                good: shares(good),
            };
        }
        let signature = digest(&[b"group", &validator.0, &root.0]);
        match Verified::check(signature, |&signature| {
            if self.check_group(validator, root, signature) {
                Ok(())
            } else {
                Err(())
            }
        }) {
            Ok(signature) => Combined::Signature(signature),
            Err(()) => Combined::Short {
                bad: shares(bad),
                good: shares(good),
            },
        }
    }
}

fn combine_real(
    threshold: usize,
    keys: &BTreeMap<PublicKeyBytes, Keys>,
    root: Root,
    items: &[Combination],
) -> Vec<(Item, Combined)> {
    let requests: Vec<Request<'_>> = items
        .iter()
        .map(|item| Request {
            group_key: &keys[&item.item.validator].group,
            share_keys: &keys[&item.item.validator].share_keys,
            partials: item
                .partials
                .iter()
                .map(|&(share, signature)| (share, signature.0))
                .collect(),
        })
        .collect();
    // A fixed seed for the batch coefficients: nobody in here chooses signatures after seeing them.
    let combined = combine::combine_all_seeded([7; 32], threshold, &root.0, &requests);
    items
        .iter()
        .zip(combined)
        .map(|(item, combined)| {
            let combined = match combined {
                combine::Combined::Signature(signature) => {
                    Combined::Signature(signature.map(SignatureBytes))
                }
                combine::Combined::Short { bad, good } => Combined::Short { bad, good },
            };
            (item.item, combined)
        })
        .collect()
}
