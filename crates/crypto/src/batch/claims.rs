//! Many signatures of many messages by many keys, verified together.
//!
//! Σ r_i·(each equation) is Π e(r_i·P_i, H(m_i)) = e(G, Σ r_i·S_i): one Miller loop a signature is
//! left, but one final exponentiation and one multiplication of all signatures serve them all. The
//! r_i are 128-bit, and what `batch` says of them and of the subgroup holds here too.

use blst::{Pairing, blst_p1, blst_p2, blst_p2_affine};

use super::{Randomness, weight};
use crate::bls::{CIPHERSUITE, HashedMessage, PublicKey, Signature, verify};
use crate::raw::{self, Point};

/// That `signature` is `key`'s signature of `message`.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Who is said to have signed.
    pub key: PublicKey,
    /// What is said to be signed.
    pub message: [u8; 32],
    /// The signature.
    pub signature: Signature,
}

impl Claim {
    /// Whether it is true, by a check of its own.
    #[must_use]
    pub fn holds(&self) -> bool {
        verify(&self.key, &self.message, &self.signature)
    }
}

/// How many claims [`find_false_claims`] is best given at once: more save little time, and one false
/// claim makes it check all of them singly.
pub const CLAIMS_AT_ONCE: usize = 128;

/// The positions, ascending, of the claims that are not true.
///
/// True ones are checked together, in about half the time of one by one. If the whole is not true,
/// each claim is checked for itself, so a file full of wrong signatures costs at most half as much
/// again as one by one.
pub fn find_false_claims(claims: &[Claim]) -> Vec<usize> {
    find_false(claims, Randomness::from_os())
}

fn find_false(claims: &[Claim], randomness: Randomness) -> Vec<usize> {
    let messages: Vec<HashedMessage> = claims
        .iter()
        .map(|claim| HashedMessage::new(&claim.message))
        .collect();
    if claims.len() > 1 && hold_together(claims, &messages, randomness) {
        return Vec::new();
    }
    let singly = claims.iter().zip(&messages).enumerate();
    singly
        .filter(|(_, (claim, message))| {
            !message.verify(claim.key.affine(), claim.signature.affine())
        })
        .map(|(position, _)| position)
        .collect()
}

/// Whether all claims are true; false too where there is no randomness to tell.
fn hold_together(claims: &[Claim], messages: &[HashedMessage], randomness: Randomness) -> bool {
    let Randomness::Generator(mut rng) = randomness else {
        return false;
    };
    let weights: Vec<[u8; 16]> = claims.iter().map(|_| weight(&mut rng)).collect();
    let signatures: Vec<blst_p2_affine> = claims
        .iter()
        .map(|claim| *claim.signature.affine())
        .collect();
    let signature = blst_p2::sum_of_products(&signatures, weights.as_flattened(), 16);
    let mut pairing = Pairing::new(true, CIPHERSUITE);
    for ((claim, message), weight) in claims.iter().zip(messages).zip(&weights) {
        let key = blst_p1::infinity().add_affine(claim.key.affine());
        pairing.raw_aggregate(message.point(), &key.multiply_short(weight).to_affine());
    }
    // True signatures of valid keys sum up to infinity with no greater probability than false ones
    // pass; blst's pairing does not take it.
    if signature.is_infinity() {
        return false;
    }
    pairing.raw_aggregate(
        &signature.to_affine(),
        &raw::generator().negate().to_affine(),
    );
    pairing.commit();
    pairing.finalverify(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::bls::{SecretKey, aggregate};

    /// Claims with each its own key and message, those at `wrong` of another message than signed.
    fn claims(count: usize, wrong: &[usize]) -> Vec<Claim> {
        let mut rng = ChaCha20Rng::seed_from_u64(12);
        (0..count)
            .map(|position| {
                let secret = SecretKey::generate(&mut rng);
                let message = [u8::try_from(position).unwrap(); 32];
                let signature = secret.sign(&message);
                let message = if wrong.contains(&position) {
                    [255; 32]
                } else {
                    message
                };
                Claim {
                    key: secret.public_key(),
                    message,
                    signature,
                }
            })
            .collect()
    }

    #[test]
    fn true_claims_hold_together_and_one_false_one_breaks_them() {
        assert!(find_false_claims(&[]).is_empty());
        for count in [1, 2, 9, CLAIMS_AT_ONCE + 1] {
            assert!(find_false_claims(&claims(count, &[])).is_empty());
            let wrong = claims(count, &[count - 1]);
            assert_eq!(find_false_claims(&wrong), [count - 1]);
        }
        let good = claims(9, &[]);
        let messages: Vec<_> = good
            .iter()
            .map(|claim| HashedMessage::new(&claim.message))
            .collect();
        // Not by the single checks alone.
        assert!(hold_together(&good, &messages, Randomness::from_os()));
    }

    #[test]
    fn errors_that_cancel_in_a_plain_product_do_not_pass() {
        // Without weights, moving a difference from one signature to the other leaves the sum as it is.
        let mut claims = claims(2, &[]);
        let swapped = claims[0].signature;
        claims[0].signature = claims[1].signature;
        claims[1].signature = swapped;
        assert_eq!(find_false_claims(&claims), [0, 1]);
    }

    #[test]
    fn an_aggregate_of_nothing_is_no_signature() {
        let mut claims = claims(3, &[]);
        claims[1].signature = aggregate(&[]);
        assert_eq!(find_false_claims(&claims), [1]);
        claims
            .iter_mut()
            .for_each(|claim| claim.signature = aggregate(&[]));
        assert_eq!(find_false_claims(&claims), [0, 1, 2]);
    }

    #[test]
    fn one_key_may_claim_several_messages_and_several_keys_one_message() {
        let mut claims = claims(2, &[]);
        let secret = SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(12));
        claims[1] = Claim {
            message: [9; 32],
            signature: secret.sign(&[9; 32]),
            ..claims[0]
        };
        assert!(find_false_claims(&claims).is_empty());
        claims[1].message = claims[0].message;
        assert_eq!(find_false_claims(&claims), [1]);
    }

    #[test]
    fn without_randomness_claims_are_checked_one_by_one() {
        assert_eq!(find_false(&claims(5, &[2]), Randomness::Unavailable), [2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn exactly_the_false_ones_are_found(
            count in 1..20_usize,
            wrong in prop::collection::btree_set(0..20_usize, 0..20),
        ) {
            let wrong: Vec<_> = wrong.into_iter().filter(|position| *position < count).collect();
            prop_assert_eq!(find_false_claims(&claims(count, &wrong)), wrong);
        }
    }
}
