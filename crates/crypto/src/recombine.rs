//! From shares back to the whole: secrets, public keys and signatures.
//!
//! Every element given is used. Any `threshold` of them yield the group's value, and more yield the
//! same as long as all are consistent; fewer yield something well-formed that verifies under no
//! one's key. So callers verify the result, never trust it for having come out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use blst::{blst_p1, blst_p1_affine, blst_p2, blst_p2_affine};

use crate::bls::{KeyError, PublicKey, SecretKey, Signature};
use crate::lagrange::{self, Coefficients};
use crate::raw::Scalar;
use crate::share_index::ShareIndex;
use crate::shares::MAX_SHARES;

/// Why shares do not recombine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecombineError {
    /// There is nothing to recombine.
    #[error("no shares to recombine")]
    Empty,
    /// More elements than a cluster has operators.
    #[error("{0} shares to recombine, at most {MAX_SHARES} are possible")]
    TooMany(usize),
    /// Two elements claim to be the same share.
    #[error("share {0} occurs twice")]
    Duplicate(ShareIndex),
    /// The shares cancel out: they do not come from one valid key.
    #[error("the shares recombine to no valid key: {0}")]
    Invalid(#[from] KeyError),
}

/// The secret whose shares these are.
///
/// # Errors
/// When indexes repeat, when there are none or too many, or when the sum is zero.
pub fn recombine_secret(shares: &[(ShareIndex, &SecretKey)]) -> Result<SecretKey, RecombineError> {
    let shares = in_order(shares)?;
    let weights = lagrange::scalars(&indexes(&shares));
    let sum = shares.iter().zip(&weights).try_fold(
        Scalar::from_u128(0),
        |sum, ((_, share), weight)| {
            let share =
                Scalar::from_be_bytes(&share.to_bytes()).ok_or(KeyError::SecretOutOfRange)?;
            Ok::<_, KeyError>(sum.add(&weight.multiply(&share)))
        },
    )?;
    Ok(SecretKey::from_bytes(&sum.to_be_bytes())?)
}

/// The public key whose shares these are.
///
/// # Errors
/// When indexes repeat, when there are none or too many, or when the sum is infinity.
pub fn recombine_public(shares: &[(ShareIndex, &PublicKey)]) -> Result<PublicKey, RecombineError> {
    let shares = in_order(shares)?;
    let points: Vec<blst_p1_affine> = shares.iter().map(|(_, key)| *key.affine()).collect();
    let sum: blst_p1 = Coefficients::new(&indexes(&shares)).weigh(&points);
    Ok(PublicKey::from_sum(&sum)?)
}

/// Recombines signatures and remembers the coefficients of the sets of shares it has met.
///
/// A cluster meets few sets: usually the fastest `threshold` peers. At most
/// [`Recombiner::CAPACITY`] sets are kept; then the one not used for longest makes room.
#[derive(Debug)]
pub struct Recombiner {
    coefficients: fn(&[ShareIndex]) -> Coefficients,
    cache: Mutex<Cache>,
}

#[derive(Debug, Default)]
struct Cache {
    uses: u64,
    sets: BTreeMap<Vec<ShareIndex>, (u64, Arc<Coefficients>)>,
}

impl Recombiner {
    /// How many sets of shares are remembered.
    pub const CAPACITY: usize = 256;

    /// An empty one.
    pub fn new() -> Self {
        Self {
            coefficients: Coefficients::new,
            cache: Mutex::default(),
        }
    }

    /// One that always multiplies by full scalars: slower, with the same results. It is the
    /// yardstick of tests and benches.
    pub fn naive() -> Self {
        Self {
            coefficients: Coefficients::scalar,
            cache: Mutex::default(),
        }
    }

    /// The signature whose partial signatures these are, not verified.
    ///
    /// # Errors
    /// When indexes repeat, or when there are none or too many.
    pub fn recombine(
        &self,
        partials: &[(ShareIndex, &Signature)],
    ) -> Result<Signature, RecombineError> {
        let points: Vec<_> = partials
            .iter()
            .map(|(index, signature)| (*index, signature.affine()))
            .collect();
        Ok(Signature::from_sum(&self.weigh(&points)?))
    }

    /// The weighted sum of points of the curve. If some lie outside the subgroup, so may the sum.
    pub(crate) fn weigh(
        &self,
        partials: &[(ShareIndex, &blst_p2_affine)],
    ) -> Result<blst_p2, RecombineError> {
        let partials = in_order(partials)?;
        let points: Vec<blst_p2_affine> = partials.iter().map(|(_, point)| **point).collect();
        Ok(self.coefficients_of(indexes(&partials)).weigh(&points))
    }

    fn coefficients_of(&self, set: Vec<ShareIndex>) -> Arc<Coefficients> {
        // The cache is valid between any two statements, so a panic elsewhere does not spoil it.
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.uses += 1;
        let now = cache.uses;
        if let Some((last_use, coefficients)) = cache.sets.get_mut(&set) {
            *last_use = now;
            return Arc::clone(coefficients);
        }
        if cache.sets.len() >= Self::CAPACITY {
            let oldest = cache
                .sets
                .iter()
                .min_by_key(|(_, (last_use, _))| *last_use)
                .map(|(set, _)| set.clone());
            oldest.and_then(|oldest| cache.sets.remove(&oldest));
        }
        let coefficients = Arc::new((self.coefficients)(&set));
        cache.sets.insert(set, (now, Arc::clone(&coefficients)));
        coefficients
    }
}

impl Default for Recombiner {
    fn default() -> Self {
        Self::new()
    }
}

/// The elements by ascending index, after the checks that hold for every kind of element.
fn in_order<T: Copy>(shares: &[(ShareIndex, T)]) -> Result<Vec<(ShareIndex, T)>, RecombineError> {
    match shares.len() {
        0 => return Err(RecombineError::Empty),
        1..=MAX_SHARES => {}
        count => return Err(RecombineError::TooMany(count)),
    }
    let mut sorted = shares.to_vec();
    sorted.sort_by_key(|(index, _)| *index);
    match sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(RecombineError::Duplicate(pair[0].0)),
        None => Ok(sorted),
    }
}

fn indexes<T>(shares: &[(ShareIndex, T)]) -> Vec<ShareIndex> {
    shares.iter().map(|(index, _)| *index).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::bls::verify;
    use crate::raw::Point;
    use crate::shares::split;

    fn cluster(threshold: usize, total: usize) -> (SecretKey, Vec<(ShareIndex, SecretKey)>) {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let secret = SecretKey::generate(&mut rng);
        let shares = split(&secret, threshold, total, &mut rng).unwrap();
        (secret, shares)
    }

    /// Recombines secret, public key and signature from some of the shares.
    fn assert_recombines(secret: &SecretKey, shares: &[&(ShareIndex, SecretKey)]) {
        let message = [3; 32];
        let public: Vec<_> = shares
            .iter()
            .map(|(index, share)| (*index, share.public_key()))
            .collect();
        let partials: Vec<_> = shares
            .iter()
            .map(|(index, share)| (*index, share.sign(&message)))
            .collect();

        let secrets: Vec<_> = shares
            .iter()
            .map(|(index, share)| (*index, share))
            .collect();
        assert_eq!(
            recombine_secret(&secrets).unwrap().to_bytes(),
            secret.to_bytes()
        );
        let public: Vec<_> = public.iter().map(|(index, key)| (*index, key)).collect();
        assert_eq!(recombine_public(&public).unwrap(), secret.public_key());
        let partials: Vec<_> = partials
            .iter()
            .map(|(index, partial)| (*index, partial))
            .collect();
        for recombiner in [Recombiner::new(), Recombiner::naive()] {
            assert_eq!(
                recombiner.recombine(&partials).unwrap(),
                secret.sign(&message)
            );
        }
    }

    #[test]
    fn all_shares_of_a_large_cluster_recombine() {
        let (secret, shares) = cluster(20, 40);
        assert_recombines(&secret, &shares.iter().collect::<Vec<_>>());
    }

    #[test]
    fn fewer_than_threshold_shares_yield_another_key() {
        let (secret, shares) = cluster(3, 4);
        let two: Vec<_> = shares[..2]
            .iter()
            .map(|(index, share)| (*index, share))
            .collect();
        assert_ne!(
            recombine_secret(&two).unwrap().to_bytes(),
            secret.to_bytes()
        );
    }

    #[test]
    fn a_repeated_share_is_an_error_everywhere() {
        let (secret, shares) = cluster(2, 3);
        let (index, share) = &shares[0];
        let expected = RecombineError::Duplicate(*index);
        let (public, partial) = (share.public_key(), secret.sign(&[1; 32]));
        assert_eq!(
            recombine_secret(&[(*index, share), (*index, share)]).unwrap_err(),
            expected
        );
        assert_eq!(
            recombine_public(&[(*index, &public), (*index, &public)]),
            Err(expected)
        );
        assert_eq!(
            Recombiner::new().recombine(&[(*index, &partial), (*index, &partial)]),
            Err(expected)
        );
    }

    #[test]
    fn nothing_and_too_much_are_errors() {
        let partial = cluster(2, 2).0.sign(&[1; 32]);
        let many: Vec<_> = (0..=MAX_SHARES)
            .map(|peer| (ShareIndex::from_peer(peer), &partial))
            .collect();
        assert_eq!(Recombiner::new().recombine(&[]), Err(RecombineError::Empty));
        assert_eq!(
            Recombiner::new().recombine(&many),
            Err(RecombineError::TooMany(257))
        );
    }

    #[test]
    fn public_keys_that_cancel_out_are_an_error() {
        // The weights of shares 1 and 2 are 2 and -1.
        let key = cluster(2, 2).0.public_key();
        let sum = blst_p1::infinity()
            .add_affine(key.affine())
            .add_affine(key.affine());
        let double = PublicKey::from_sum(&sum).unwrap();
        let shares = [
            (ShareIndex::from_peer(0), &key),
            (ShareIndex::from_peer(1), &double),
        ];
        assert_eq!(
            recombine_public(&shares),
            Err(RecombineError::Invalid(KeyError::PublicKeyInfinity))
        );
    }

    #[test]
    fn the_cache_stays_bounded_and_forgets_the_set_not_used_for_longest() {
        let recombiner = Recombiner::new();
        let set = |first: usize| {
            vec![
                ShareIndex::from_peer(first),
                ShareIndex::from_peer(first + 1),
            ]
        };
        recombiner.coefficients_of(set(0));
        for first in 1..Recombiner::CAPACITY + 10 {
            recombiner.coefficients_of(set(first));
            recombiner.coefficients_of(set(0));
        }
        let cache = recombiner.cache.lock().unwrap();
        assert_eq!(cache.sets.len(), Recombiner::CAPACITY);
        assert!(cache.sets.contains_key(&set(0)) && !cache.sets.contains_key(&set(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_threshold_shares_in_any_order_recombine(
            order in Just((0..10_usize).collect::<Vec<_>>()).prop_shuffle(),
            threshold in 2..8_usize,
            extra in 0..3_usize,
        ) {
            let (secret, shares) = cluster(threshold, 10);
            let chosen = &order[..threshold + extra];
            let chosen: Vec<_> = chosen.iter().map(|peer| &shares[*peer]).collect();
            assert_recombines(&secret, &chosen);
        }
    }

    #[test]
    fn a_recombined_signature_verifies_under_the_group_key() {
        let (secret, shares) = cluster(7, 10);
        let partials: Vec<_> = shares[3..]
            .iter()
            .map(|(index, share)| (*index, share.sign(&[5; 32])))
            .collect();
        let partials: Vec<_> = partials
            .iter()
            .map(|(index, partial)| (*index, partial))
            .collect();
        let signature = Recombiner::new().recombine(&partials).unwrap();
        assert!(verify(&secret.public_key(), &[5; 32], &signature));
    }
}
