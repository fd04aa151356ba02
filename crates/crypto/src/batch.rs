//! Many signatures of one message, verified together.
//!
//! With one message m, Σ r_i·(each equation) needs two pairings for any number of signatures: e(Σ
//! r_i·P_i, H(m)) = e(G, Σ r_i·S_i). The r_i are 64-bit, never zero, and drawn after the signatures
//! are known, so wrong signatures cancel out with probability below 2^-63. This holds only inside
//! the prime-order subgroup, whose membership [`Signature`] guarantees one by one: G2's cofactor
//! has small factors, and a check of the sum alone would let errors of small order slip through.
//!
//! With messages of their own, signatures are [`Claim`]s; keys without signatures are folded by
//! [`fold_rows`]. Files are checked so, and as nobody waits for them their weights have 128 bits.

mod claims;
mod fold;

use blst::{blst_p1, blst_p1_affine, blst_p2, blst_p2_affine};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

pub use claims::{CLAIMS_AT_ONCE, Claim, find_false_claims};
pub use fold::fold_rows;

use crate::bls::{HashedMessage, PublicKey, Signature};
use crate::randomness::os_rng;
use crate::raw::Point;

/// Whether every signature is its key's signature of `message`. True if there are none.
pub fn verify_same_message(message: &[u8; 32], items: &[(&PublicKey, &Signature)]) -> bool {
    Batch::new(message, items, Randomness::from_os()).is_valid(0..items.len())
}

/// [`verify_same_message`] with coefficients from `seed`, for simulations that must replay.
///
/// Whoever knows the seed beforehand can make wrong signatures pass.
pub fn verify_same_message_seeded(
    seed: [u8; 32],
    message: &[u8; 32],
    items: &[(&PublicKey, &Signature)],
) -> bool {
    Batch::new(message, items, Randomness::from_seed(seed)).is_valid(0..items.len())
}

/// The positions, ascending, of the signatures that are not their key's signature of `message`.
///
/// Halves the set until the culprits stand alone: one check if all are good, about 2·log2(n) for
/// one culprit, and at most 2n.
pub fn find_invalid(message: &[u8; 32], items: &[(&PublicKey, &Signature)]) -> Vec<usize> {
    Batch::new(message, items, Randomness::from_os()).invalid()
}

/// [`find_invalid`] with coefficients from `seed`, for simulations that must replay.
///
/// Whoever knows the seed beforehand can make wrong signatures pass.
pub fn find_invalid_seeded(
    seed: [u8; 32],
    message: &[u8; 32],
    items: &[(&PublicKey, &Signature)],
) -> Vec<usize> {
    Batch::new(message, items, Randomness::from_seed(seed)).invalid()
}

/// Where the coefficients come from.
pub(crate) enum Randomness {
    Generator(Box<ChaCha20Rng>),
    /// The operating system gave none: signatures are verified one by one, which needs none.
    Unavailable,
}

impl Randomness {
    pub(crate) fn from_os() -> Self {
        os_rng().map_or(Self::Unavailable, |rng| Self::Generator(Box::new(rng)))
    }

    pub(crate) fn from_seed(seed: [u8; 32]) -> Self {
        Self::Generator(Box::new(ChaCha20Rng::from_seed(seed)))
    }
}

/// Signatures of one message with their keys. All points are in their subgroups.
pub(crate) struct Batch {
    message: HashedMessage,
    keys: Vec<blst_p1_affine>,
    signatures: Vec<blst_p2_affine>,
    randomness: Randomness,
}

const COEFFICIENT_BYTES: usize = 8;

impl Batch {
    pub(crate) fn new(
        message: &[u8; 32],
        items: &[(&PublicKey, &Signature)],
        randomness: Randomness,
    ) -> Self {
        Self {
            message: HashedMessage::new(message),
            keys: items.iter().map(|(key, _)| *key.affine()).collect(),
            signatures: items
                .iter()
                .map(|(_, signature)| *signature.affine())
                .collect(),
            randomness,
        }
    }

    /// Whether all signatures in `range` are valid.
    pub(crate) fn is_valid(&mut self, range: std::ops::Range<usize>) -> bool {
        let (keys, signatures) = (&self.keys[range.clone()], &self.signatures[range.clone()]);
        match &mut self.randomness {
            Randomness::Generator(rng) if range.len() > 1 => {
                let coefficients: Vec<u8> = range.flat_map(|_| coefficient(rng)).collect();
                let key = blst_p1::sum_of_products(keys, &coefficients, COEFFICIENT_BYTES);
                let signature =
                    blst_p2::sum_of_products(signatures, &coefficients, COEFFICIENT_BYTES);
                self.message
                    .verify(&key.to_affine(), &signature.to_affine())
            }
            _ => keys
                .iter()
                .zip(signatures)
                .all(|(key, signature)| self.message.verify(key, signature)),
        }
    }

    /// The positions, ascending, of the invalid signatures.
    pub(crate) fn invalid(&mut self) -> Vec<usize> {
        let mut invalid = Vec::new();
        let all = 0..self.keys.len();
        if !self.is_valid(all.clone()) {
            self.bisect(all, &mut invalid);
        }
        invalid
    }

    /// Appends the invalid positions of `range`, which is known to hold at least one.
    fn bisect(&mut self, range: std::ops::Range<usize>, invalid: &mut Vec<usize>) {
        if range.len() == 1 {
            return invalid.push(range.start);
        }
        let middle = range.start + range.len() / 2;
        let (left, right) = (range.start..middle, middle..range.end);
        if self.is_valid(left.clone()) {
            // The fault is on the right then; asking again would only confirm it.
            return self.bisect(right, invalid);
        }
        self.bisect(left, invalid);
        if !self.is_valid(right.clone()) {
            self.bisect(right, invalid);
        }
    }
}

/// A random 64-bit number other than zero, which would leave its signature unchecked.
fn coefficient(rng: &mut ChaCha20Rng) -> [u8; COEFFICIENT_BYTES] {
    loop {
        let number = rng.next_u64();
        if number != 0 {
            return number.to_le_bytes();
        }
    }
}

/// A random 128-bit number other than zero, little-endian.
fn weight(rng: &mut ChaCha20Rng) -> [u8; 16] {
    loop {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        if bytes != [0; 16] {
            return bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::bls::{SecretKey, aggregate};

    const MESSAGE: [u8; 32] = [4; 32];

    /// Signatures of `MESSAGE`, those at `wrong` over another message.
    fn signed(count: usize, wrong: &[usize]) -> Vec<(PublicKey, Signature)> {
        let mut rng = ChaCha20Rng::seed_from_u64(11);
        (0..count)
            .map(|position| {
                let secret = SecretKey::generate(&mut rng);
                let message = if wrong.contains(&position) {
                    [5; 32]
                } else {
                    MESSAGE
                };
                (secret.public_key(), secret.sign(&message))
            })
            .collect()
    }

    fn borrowed(items: &[(PublicKey, Signature)]) -> Vec<(&PublicKey, &Signature)> {
        items
            .iter()
            .map(|(key, signature)| (key, signature))
            .collect()
    }

    #[test]
    fn good_signatures_pass_together_and_one_wrong_one_fails_all() {
        assert!(verify_same_message(&MESSAGE, &[]));
        for count in [1, 2, 3, 33, 65] {
            assert!(verify_same_message(
                &MESSAGE,
                &borrowed(&signed(count, &[]))
            ));
            assert!(!verify_same_message(
                &MESSAGE,
                &borrowed(&signed(count, &[count - 1]))
            ));
        }
    }

    #[test]
    fn errors_that_cancel_in_a_plain_sum_do_not_pass() {
        // Without coefficients, swapping two signatures leaves the sums as they are.
        let mut items = signed(2, &[]);
        let swapped = items[0].1;
        items[0].1 = items[1].1;
        items[1].1 = swapped;
        assert!(!verify_same_message(&MESSAGE, &borrowed(&items)));
        assert_eq!(find_invalid(&MESSAGE, &borrowed(&items)), [0, 1]);
    }

    #[test]
    fn an_aggregate_of_nothing_fails_its_batch() {
        let mut items = signed(3, &[]);
        items[1].1 = aggregate(&[]);
        assert_eq!(find_invalid(&MESSAGE, &borrowed(&items)), [1]);
    }

    #[test]
    fn without_randomness_signatures_are_verified_one_by_one() {
        let items = signed(5, &[2]);
        assert_eq!(
            Batch::new(&MESSAGE, &borrowed(&items), Randomness::Unavailable).invalid(),
            [2]
        );
    }

    #[test]
    fn one_seed_gives_the_same_coefficients_again() {
        let mut rngs = [
            ChaCha20Rng::from_seed([1; 32]),
            ChaCha20Rng::from_seed([1; 32]),
        ];
        let drawn: Vec<[u8; 8]> = rngs.iter_mut().map(coefficient).collect();
        assert_eq!(drawn[0], drawn[1]);
        assert!(verify_same_message_seeded(
            [1; 32],
            &MESSAGE,
            &borrowed(&signed(3, &[]))
        ));
        assert_eq!(
            find_invalid_seeded([1; 32], &MESSAGE, &borrowed(&signed(3, &[0]))),
            [0]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn bisection_finds_exactly_the_wrong_ones(
            count in 1..20_usize,
            wrong in prop::collection::btree_set(0..20_usize, 0..20),
        ) {
            let wrong: Vec<_> = wrong.into_iter().filter(|position| *position < count).collect();
            prop_assert_eq!(find_invalid(&MESSAGE, &borrowed(&signed(count, &wrong))), wrong);
        }
    }
}
