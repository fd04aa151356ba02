//! What an engine has computed: claims checked, partial signatures combined. Maps `duty`'s words to `crypto`'s.
//!
//! An engine never verifies a signature itself; it asks, and takes the answer as [`Verified`].

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use flotilla_crypto::combine::{self, Request, combine_all, verify_partials};
use flotilla_crypto::{KeyError, PublicKey, Verified};
use flotilla_duty::io::{Claim, Combination, Combined, Item};
use flotilla_types::{PublicKeyBytes, Root, SignatureBytes};

use super::{WorkError, Workers};

/// The cluster's public keys, decoded and checked once.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    validators: BTreeMap<PublicKeyBytes, ValidatorKeys>,
}

#[derive(Clone, Debug)]
struct ValidatorKeys {
    group: PublicKey,
    /// Share `i` at position `i - 1`.
    shares: Vec<PublicKey>,
}

/// A key of the lock file that is no public key.
#[derive(Debug, thiserror::Error)]
pub enum KeyTableError {
    /// The group's.
    #[error("the public key of validator {validator} is none: {source}")]
    Group {
        /// Whose.
        validator: PublicKeyBytes,
        /// Why.
        source: KeyError,
    },
    /// A share's.
    #[error("the public key of share {share} of validator {validator} is none: {source}")]
    Share {
        /// Whose.
        validator: PublicKeyBytes,
        /// Which, from 1.
        share: usize,
        /// Why.
        source: KeyError,
    },
}

impl KeyTable {
    /// From each validator's group key and the keys of its shares, share `i` at position `i - 1`.
    pub fn new(
        validators: impl IntoIterator<Item = (PublicKeyBytes, Vec<PublicKeyBytes>)>,
    ) -> Result<Self, KeyTableError> {
        let decode = |(validator, shares): (PublicKeyBytes, Vec<PublicKeyBytes>)| {
            let group = PublicKey::from_bytes(&validator.0)
                .map_err(|source| KeyTableError::Group { validator, source })?;
            let share_key = |(position, bytes): (usize, &PublicKeyBytes)| {
                let share = position + 1;
                PublicKey::from_bytes(&bytes.0).map_err(|source| KeyTableError::Share {
                    validator,
                    share,
                    source,
                })
            };
            let shares = shares
                .iter()
                .enumerate()
                .map(share_key)
                .collect::<Result<_, _>>()?;
            Ok((validator, ValidatorKeys { group, shares }))
        };
        Ok(Self {
            validators: validators
                .into_iter()
                .map(decode)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The place, from 0, of the share of this validator that made a signature, if one did.
    pub fn signer_of(
        &self,
        validator: &PublicKeyBytes,
        root: &Root,
        signature: &SignatureBytes,
    ) -> Option<usize> {
        let keys = self.validators.get(validator)?;
        let items: Vec<_> = keys.shares.iter().map(|key| (key, signature.0)).collect();
        let holds = verify_partials(&root.0, &items);
        holds.iter().position(|holds| *holds)
    }

    fn share_key(&self, claim: &Claim) -> Option<&PublicKey> {
        self.validators
            .get(&claim.item.validator)?
            .shares
            .get(claim.share.peer())
    }
}

/// Claims that hold and claims that do not, as [`Input::Checked`](flotilla_duty::Input::Checked) takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Every one verified.
    pub good: Verified<Vec<Claim>>,
    /// Wrong, malformed, or of a share that does not exist.
    pub bad: Vec<Claim>,
}

/// Checks claims over one root on the pool.
pub async fn check(
    workers: &Workers,
    keys: Arc<KeyTable>,
    signing_root: Root,
    claims: Vec<Claim>,
) -> Result<Checked, WorkError> {
    workers
        .run(move || check_here(&keys, signing_root, claims))
        .await
}

fn check_here(keys: &KeyTable, signing_root: Root, claims: Vec<Claim>) -> Checked {
    let known: Vec<_> = claims
        .iter()
        .filter_map(|claim| Some((keys.share_key(claim)?, claim.signature.0)))
        .collect();
    let mut verdicts = verify_partials(&signing_root.0, &known).into_iter();
    let mut bad = Vec::new();
    let mut good = Vec::new();
    for claim in claims {
        // One verdict per claim with a key, in order.
        let holds = keys.share_key(&claim).is_some() && verdicts.next().unwrap_or(false);
        if holds {
            good.push(claim)
        } else {
            bad.push(claim)
        }
    }
    // The check is the batch above; `Infallible` says that nothing is left to fail here.
    let Ok(good) = Verified::check(good, |_| Ok::<(), Infallible>(()));
    Checked { good, bad }
}

/// A signature, under the key of a validator's group or of one of its shares.
#[derive(Clone, Debug)]
pub struct Signed {
    validator: PublicKeyBytes,
    /// The share's place from 0; `None` for the group.
    share: Option<usize>,
    root: Root,
    signature: SignatureBytes,
}

impl Signed {
    /// By the share at this place, from 0.
    pub fn by_share(
        validator: PublicKeyBytes,
        share: usize,
        root: Root,
        signature: SignatureBytes,
    ) -> Self {
        Self {
            validator,
            share: Some(share),
            root,
            signature,
        }
    }

    /// By the group.
    pub fn by_group(validator: PublicKeyBytes, root: Root, signature: SignatureBytes) -> Self {
        Self {
            validator,
            share: None,
            root,
            signature,
        }
    }
}

/// Verifies signatures on the pool, those over one root together; which of the things they belong to have one that does not
/// hold.
pub async fn verify(
    workers: &Workers,
    keys: Arc<KeyTable>,
    signed: Vec<(usize, Signed)>,
) -> Result<BTreeSet<usize>, WorkError> {
    workers.run(move || verify_here(&keys, signed)).await
}

/// A signature under a key, and the place of what it belongs to.
type Owned<'a> = (usize, &'a PublicKey, [u8; 96]);

fn verify_here(keys: &KeyTable, signed: Vec<(usize, Signed)>) -> BTreeSet<usize> {
    let mut bad = BTreeSet::new();
    let mut by_root: BTreeMap<Root, Vec<Owned<'_>>> = BTreeMap::new();
    for (owner, signed) in &signed {
        let validator = keys.validators.get(&signed.validator);
        let key = validator.and_then(|keys| match signed.share {
            Some(share) => keys.shares.get(share),
            None => Some(&keys.group),
        });
        match key {
            Some(key) => {
                let same = by_root.entry(signed.root).or_default();
                same.push((*owner, key, signed.signature.0));
            }
            None => _ = bad.insert(*owner),
        }
    }
    for (root, same) in by_root {
        let items: Vec<_> = same.iter().map(|(_, key, bytes)| (*key, *bytes)).collect();
        let holds = verify_partials(&root.0, &items);
        let wrong = same.iter().zip(holds).filter(|(_, holds)| !holds);
        bad.extend(wrong.map(|((owner, ..), _)| *owner));
    }
    bad
}

/// Combines partial signatures on the pool, those over one root together; one result per item asked for.
pub async fn combine(
    workers: &Workers,
    keys: Arc<KeyTable>,
    threshold: usize,
    items: Vec<Combination>,
) -> Result<Vec<(Item, Combined)>, WorkError> {
    // One batch shares its pairings, so splitting pays less than for signing; but half the batch on each of two threads still
    // ends sooner.
    workers
        .run_split(items, move |part| {
            let mut by_root: BTreeMap<Root, Vec<Combination>> = BTreeMap::new();
            for item in part {
                by_root.entry(item.signing_root).or_default().push(item);
            }
            by_root
                .into_iter()
                .flat_map(|(root, items)| combine_here(&keys, threshold, root, items))
                .collect()
        })
        .await
}

fn combine_here(
    keys: &KeyTable,
    threshold: usize,
    signing_root: Root,
    items: Vec<Combination>,
) -> Vec<(Item, Combined)> {
    let requests: Vec<Option<Request<'_>>> = items
        .iter()
        .map(|item| {
            let validator = keys.validators.get(&item.item.validator)?;
            let partials = item
                .partials
                .iter()
                .map(|(share, signature)| (*share, signature.0))
                .collect();
            Some(Request {
                group_key: &validator.group,
                share_keys: &validator.shares,
                partials,
            })
        })
        .collect();
    let known: Vec<Request<'_>> = requests.iter().flatten().cloned().collect();
    let mut combined = combine_all(threshold, &signing_root.0, &known).into_iter();
    let mut results = Vec::with_capacity(items.len());
    for (item, request) in items.iter().zip(&requests) {
        // A validator outside the cluster has no good share.
        let result = request
            .as_ref()
            .and_then(|_| combined.next())
            .map_or_else(|| strangers(item), translate);
        results.push((item.item, result));
    }
    results
}

fn translate(combined: combine::Combined) -> Combined {
    match combined {
        combine::Combined::Signature(signature) => {
            Combined::Signature(signature.map(SignatureBytes))
        }
        combine::Combined::Short { bad, good } => Combined::Short { bad, good },
    }
}

fn strangers(item: &Combination) -> Combined {
    Combined::Short {
        bad: item.partials.iter().map(|(share, _)| *share).collect(),
        good: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_crypto::{SecretKey, ShareIndex, os_rng, shares};

    use super::*;

    const ROOT: Root = Root([7; 32]);

    struct Group {
        key: PublicKeyBytes,
        shares: Vec<(ShareIndex, SecretKey)>,
    }

    fn group() -> Group {
        let mut rng = os_rng().unwrap();
        let secret = SecretKey::generate(&mut rng);
        let shares = shares::split(&secret, 3, 4, &mut rng).unwrap();
        Group {
            key: PublicKeyBytes(secret.public_key().to_bytes()),
            shares,
        }
    }

    impl Group {
        fn public(&self) -> (PublicKeyBytes, Vec<PublicKeyBytes>) {
            let key = |(_, secret): &(ShareIndex, SecretKey)| {
                PublicKeyBytes(secret.public_key().to_bytes())
            };
            (self.key, self.shares.iter().map(key).collect())
        }

        fn claims(&self) -> Vec<Claim> {
            let claim = |(share, secret): &(ShareIndex, SecretKey)| Claim {
                item: Item::whole(self.key),
                share: *share,
                signature: SignatureBytes(secret.sign(&ROOT.0).to_bytes()),
            };
            self.shares.iter().map(claim).collect()
        }
    }

    #[tokio::test]
    async fn claims_are_told_apart_by_their_share_keys() {
        let group = group();
        let keys = Arc::new(KeyTable::new([group.public()]).unwrap());
        let mut claims = group.claims();
        claims[1].signature = claims[0].signature;
        claims[2].item.validator = PublicKeyBytes([9; 48]);
        let stray = Claim {
            share: ShareIndex::new(9).unwrap(),
            ..claims[0].clone()
        };
        claims.push(stray.clone());
        let workers = Workers::start().unwrap();
        let checked = check(&workers, keys, ROOT, claims.clone()).await.unwrap();
        assert_eq!(*checked.good, vec![claims[0].clone(), claims[3].clone()]);
        assert_eq!(
            checked.bad,
            vec![claims[1].clone(), claims[2].clone(), stray]
        );
    }

    #[tokio::test]
    async fn partial_signatures_combine_and_strangers_do_not() {
        let groups: Vec<Group> = (0..5).map(|_| group()).collect();
        let keys = Arc::new(KeyTable::new(groups.iter().map(Group::public)).unwrap());
        let combination = |group: &Group| Combination {
            item: Item::whole(group.key),
            signing_root: ROOT,
            partials: group
                .claims()
                .into_iter()
                .map(|claim| (claim.share, claim.signature))
                .collect(),
        };
        let mut items: Vec<Combination> = groups.iter().map(combination).collect();
        items[2].item.validator = PublicKeyBytes([9; 48]);
        items[3].partials[0].1 = items[3].partials[1].1;
        items[3].partials[2].1 = items[3].partials[1].1;
        let workers = Workers::start().unwrap();
        let results = combine(&workers, keys, 3, items.clone()).await.unwrap();
        assert!(
            results
                .iter()
                .map(|(validator, _)| validator)
                .eq(items.iter().map(|item| &item.item))
        );
        for (position, (_, result)) in results.iter().enumerate() {
            match (position, result) {
                (2, Combined::Short { good, .. }) => assert!(good.is_empty()),
                (3, Combined::Short { bad, good }) => assert_eq!((bad.len(), good.len()), (2, 2)),
                (0 | 1 | 4, Combined::Signature(_)) => {}
                (position, result) => panic!("validator {position}: {result:?}"),
            }
        }
    }

    #[test]
    fn key_that_is_no_point_is_named() {
        let group = group();
        let (key, mut shares) = group.public();
        shares[2] = PublicKeyBytes([0; 48]);
        assert!(matches!(
            KeyTable::new([(key, shares)]),
            Err(KeyTableError::Share { share: 3, .. })
        ));
    }
}
