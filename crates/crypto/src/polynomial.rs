//! The secret polynomial, computed twice.
//!
//! This is the only file that speaks to `threshold_crypto`. That library evaluates the polynomial
//! and its commitment; blst computes the same values independently, and unless both agree no share
//! leaves. The old library's known defects are fenced off by what is *not* called:
//!
//! - shares are evaluated at the share's number itself (`evaluate(x)`), never through
//!   `secret_key_share`, which counts from 0 and would shift every share by one;
//! - coefficients come from our generator through blst, never from its own outdated `rand`;
//! - it never multiplies a point by a secret: its multiplication takes variable time;
//! - commitments are never empty and hold no infinity, both of which it would accept;
//! - it never recombines: a repeated index gives it a wrong result without an error.

use blst::blst_p1;
use rand::CryptoRng;
use serde::Deserialize;
use serde::de::value::{Error as ValueError, MapDeserializer};
use threshold_crypto::ff::PrimeField;
use threshold_crypto::group::{CurveAffine, CurveProjective};
use threshold_crypto::poly::{Commitment, Poly};
use threshold_crypto::{Fr, FrRepr};
use zeroize::{Zeroize, Zeroizing};

use crate::bls::{KeyError, PublicKey, SecretKey};
use crate::raw::{Point, Scalar};
use crate::share_index::ShareIndex;
use crate::shares::{MAX_SHARES, SplitError};

/// A secret polynomial over the scalar field; its value at 0 is the shared secret, its value at `x`
/// is share `x`.
///
/// Cleared on drop.
pub struct Polynomial {
    /// Lowest power first; never empty.
    coefficients: Vec<SecretKey>,
    /// The commitment to each coefficient, in the same order.
    commitments: Vec<PublicKey>,
    oracle: Poly,
    public_oracle: Commitment,
}

impl std::fmt::Debug for Polynomial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Polynomial")
            .field("commitments", &self.commitments)
            .finish_non_exhaustive()
    }
}

impl Polynomial {
    /// A polynomial through `secret` at 0 with `threshold - 1` further random coefficients, so that
    /// `threshold` shares determine it.
    ///
    /// # Errors
    /// When `threshold` is less than 2 or more than [`MAX_SHARES`].
    pub fn random<R: CryptoRng + ?Sized>(
        secret: &SecretKey,
        threshold: usize,
        rng: &mut R,
    ) -> Result<Self, SplitError> {
        if !(2..=MAX_SHARES).contains(&threshold) {
            return Err(SplitError::Threshold { threshold });
        }
        let mut coefficients = vec![secret.clone()];
        coefficients.extend((1..threshold).map(|_| SecretKey::generate(rng)));
        Self::new(coefficients)
    }

    fn new(coefficients: Vec<SecretKey>) -> Result<Self, SplitError> {
        let commitments: Vec<PublicKey> = coefficients.iter().map(SecretKey::public_key).collect();
        let oracle = Poly::from(
            coefficients
                .iter()
                .map(to_field)
                .collect::<Result<Vec<_>, _>>()?,
        );
        let public_oracle = commitment(&commitments)?;
        Ok(Self {
            coefficients,
            commitments,
            oracle,
            public_oracle,
        })
    }

    /// The commitments to the coefficients, lowest power first; the first is the group public key.
    pub fn commitments(&self) -> &[PublicKey] {
        &self.commitments
    }

    /// The share with this number, after both implementations agreed on it and on its public key.
    ///
    /// # Errors
    /// [`SplitError::Mismatch`] when they did not: a defect in a library or in the machine.
    pub fn share(&self, index: ShareIndex) -> Result<SecretKey, SplitError> {
        let mut evaluated: Fr = self.oracle.evaluate(u64::from(index.get()));
        let theirs = to_bytes(&mut evaluated);
        let ours = self.evaluate(index);
        if *theirs != *ours {
            return Err(SplitError::Mismatch { index });
        }
        let share = SecretKey::from_bytes(&ours).map_err(|_| SplitError::Mismatch { index })?;
        let public = share.public_key();
        let committed = self
            .public_oracle
            .evaluate(u64::from(index.get()))
            .into_affine()
            .into_compressed();
        let expected =
            public_share(&self.commitments, index).map_err(|_| SplitError::Mismatch { index })?;
        if committed.as_ref() != public.to_bytes() || expected != public {
            return Err(SplitError::Mismatch { index });
        }
        Ok(share)
    }

    /// Horner's rule with blst's constant-time scalars.
    fn evaluate(&self, index: ShareIndex) -> Zeroizing<[u8; 32]> {
        let x = Scalar::from_u128(index.get().into());
        let coefficients = self.coefficients.iter().rev().map(|coefficient| {
            Scalar::from_be_bytes(&coefficient.to_bytes())
                .expect("a secret key is below the group order")
        });
        coefficients
            .fold(Scalar::from_u128(0), |sum, coefficient| {
                sum.multiply(&x).add(&coefficient)
            })
            .to_be_bytes()
    }
}

/// The public key of share `index`, from the commitments to a polynomial's coefficients (Feldman).
///
/// # Errors
/// When there are no commitments, or when they cancel out at this index.
pub fn public_share(commitments: &[PublicKey], index: ShareIndex) -> Result<PublicKey, KeyError> {
    let sum = commitments
        .iter()
        .rev()
        .fold(blst_p1::infinity(), |sum, commitment| {
            times(&sum, index.get()).add_affine(commitment.affine())
        });
    PublicKey::from_sum(&sum)
}

/// A public point times a small public number, by doubling and adding.
fn times(point: &blst_p1, factor: u16) -> blst_p1 {
    (0..u16::BITS - factor.leading_zeros())
        .rev()
        .fold(blst_p1::infinity(), |product, bit| {
            let doubled = product.double();
            if factor >> bit & 1 == 1 {
                doubled.add(point)
            } else {
                doubled
            }
        })
}

/// Their commitment with our points. Its fields are private, so the points enter through serde.
fn commitment(points: &[PublicKey]) -> Result<Commitment, SplitError> {
    // An empty commitment would make their `degree` wrap around and their `public_key` panic.
    assert!(
        !points.is_empty(),
        "a polynomial has at least one coefficient"
    );
    let bytes: Vec<Vec<u8>> = points
        .iter()
        .map(|point| point.to_bytes().to_vec())
        .collect();
    let map = MapDeserializer::<_, ValueError>::new(std::iter::once(("coeff", bytes)));
    Commitment::deserialize(map).map_err(|_| SplitError::Commitment)
}

/// Our secret as their field element. The caller hands it to `Poly`, which clears it on drop.
fn to_field(secret: &SecretKey) -> Result<Fr, SplitError> {
    let bytes = secret.to_bytes();
    let mut limbs = [0_u64; 4];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.rchunks_exact(8)) {
        *limb = chunk
            .iter()
            .fold(0, |limb, byte| (limb << 8) | u64::from(*byte));
    }
    let element = Fr::from_repr(FrRepr(limbs)).map_err(|_| SplitError::Secret);
    limbs.zeroize();
    element
}

/// Their field element as our bytes. Clears the element.
fn to_bytes(element: &mut Fr) -> Zeroizing<[u8; 32]> {
    let mut repr = element.into_repr();
    // Their secret key type clears what it is made from, and itself on drop.
    drop(threshold_crypto::SecretKey::from_mut(element));
    let mut bytes = Zeroizing::new([0; 32]);
    for (chunk, limb) in bytes.rchunks_exact_mut(8).zip(&repr.0) {
        chunk.copy_from_slice(&limb.to_be_bytes());
    }
    repr.0.zeroize();
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn polynomial(seed: u64) -> Polynomial {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let secret = SecretKey::generate(&mut rng);
        Polynomial::random(&secret, 3, &mut rng).unwrap()
    }

    fn share(number: u64) -> ShareIndex {
        ShareIndex::new(number).unwrap()
    }

    #[test]
    fn both_implementations_agree_at_small_and_large_numbers() {
        for number in [1, 2, 3, 7, 255, 256, 65_535] {
            let secret = polynomial(1).share(share(number)).unwrap();
            assert_eq!(
                public_share(polynomial(1).commitments(), share(number)),
                Ok(secret.public_key())
            );
        }
    }

    #[test]
    fn a_disagreement_on_the_secret_hands_out_nothing() {
        let mut polynomial = polynomial(1);
        polynomial.oracle = self::polynomial(2).oracle.clone();
        assert_eq!(
            polynomial.share(share(1)).unwrap_err(),
            SplitError::Mismatch { index: share(1) }
        );
    }

    #[test]
    fn a_disagreement_on_the_public_share_hands_out_nothing() {
        let mut theirs = polynomial(1);
        theirs.public_oracle = polynomial(2).public_oracle.clone();
        assert_eq!(
            theirs.share(share(1)).unwrap_err(),
            SplitError::Mismatch { index: share(1) }
        );
        let mut ours = polynomial(1);
        ours.commitments = polynomial(2).commitments.clone();
        assert_eq!(
            ours.share(share(1)).unwrap_err(),
            SplitError::Mismatch { index: share(1) }
        );
    }

    #[test]
    fn no_commitments_have_no_public_share() {
        assert_eq!(
            public_share(&[], share(1)),
            Err(KeyError::PublicKeyInfinity)
        );
    }

    #[test]
    fn a_cleared_field_element_is_gone() {
        let mut element =
            to_field(&SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(3))).unwrap();
        let bytes = to_bytes(&mut element);
        assert_ne!(*bytes, [0; 32]);
        assert_eq!(element.into_repr().0, [0; 4]);
    }

    #[test]
    fn debug_output_holds_no_coefficient() {
        let polynomial = polynomial(1);
        let text = format!("{polynomial:?}");
        assert!(
            polynomial
                .coefficients
                .iter()
                .all(|secret| !text.contains(&hex::encode(*secret.to_bytes())))
        );
    }
}
