//! Combining the partial signatures of all validators of one message.
//!
//! Peers are honest almost always, so the order is optimistic: combine first, verify the resulting
//! group signatures in one batch, and look at single partial signatures only if that fails. A group
//! signature that verifies needs no checked ingredients. Partial signatures are therefore only
//! decoded at first; membership in the subgroup is checked on the sum, the one point that is used.
//! On failure every partial signature of the failed validators is checked against its share's
//! public key, which names the culprits exactly.

use std::collections::BTreeSet;

use blst::blst_p2_affine;

use crate::batch::{Batch, Randomness};
use crate::bls::{PublicKey, Signature};
use crate::recombine::Recombiner;
use crate::share_index::ShareIndex;
use crate::verified::Verified;

/// What is known of one validator's signature of the message.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The validator's public key.
    pub group_key: &'a PublicKey,
    /// The public keys of its shares; share `i` at position `i - 1`.
    pub share_keys: &'a [PublicKey],
    /// Partial signatures as they came from peers, those to try first in front. Of several for one
    /// share the first counts.
    pub partials: Vec<(ShareIndex, [u8; 96])>,
}

/// What became of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Combined {
    /// The validator's signature; it verifies under the group key.
    Signature(Verified<[u8; 96]>),
    /// Not enough good partial signatures.
    ///
    /// If `good` nevertheless has `threshold` members or more, the share keys do not belong to the
    /// group key: a broken lock file, no peer's fault.
    Short {
        /// Shares whose partial signature is wrong: malformed, not their key's, or of no share of
        /// this validator.
        bad: Vec<ShareIndex>,
        /// Shares whose partial signature verifies under the share's key.
        good: Vec<ShareIndex>,
    },
}

/// Combines, for each request, `threshold` partial signatures of `message` into the group's.
///
/// The results come in the order of the requests.
pub fn combine_all(
    threshold: usize,
    message: &[u8; 32],
    requests: &[Request<'_>],
) -> Vec<Combined> {
    combine(threshold, message, requests, Randomness::from_os)
}

/// [`combine_all`] with coefficients from `seed`, for simulations that must replay.
///
/// Whoever knows the seed beforehand can make wrong signatures pass.
pub fn combine_all_seeded(
    seed: [u8; 32],
    threshold: usize,
    message: &[u8; 32],
    requests: &[Request<'_>],
) -> Vec<Combined> {
    combine(threshold, message, requests, || Randomness::from_seed(seed))
}

/// Which of these are their key's signatures of `message`. What cannot be decoded is not.
pub fn verify_partials(message: &[u8; 32], items: &[(&PublicKey, [u8; 96])]) -> Vec<bool> {
    verify_decodable(message, items, Randomness::from_os())
}

/// [`verify_partials`] with coefficients from `seed`, for simulations that must replay.
///
/// Whoever knows the seed beforehand can make wrong signatures pass.
pub fn verify_partials_seeded(
    seed: [u8; 32],
    message: &[u8; 32],
    items: &[(&PublicKey, [u8; 96])],
) -> Vec<bool> {
    verify_decodable(message, items, Randomness::from_seed(seed))
}

fn verify_decodable(
    message: &[u8; 32],
    items: &[(&PublicKey, [u8; 96])],
    randomness: Randomness,
) -> Vec<bool> {
    let signatures: Vec<Option<Signature>> = items
        .iter()
        .map(|(_, bytes)| Signature::from_bytes(bytes).ok())
        .collect();
    let mut valid: Vec<bool> = signatures.iter().map(Option::is_some).collect();
    let (positions, decoded): (Vec<usize>, Vec<(&PublicKey, &Signature)>) = signatures
        .iter()
        .enumerate()
        .filter_map(|(position, signature)| {
            Some((position, (items[position].0, signature.as_ref()?)))
        })
        .unzip();
    for invalid in Batch::new(message, &decoded, randomness).invalid() {
        valid[positions[invalid]] = false;
    }
    valid
}

fn combine(
    threshold: usize,
    message: &[u8; 32],
    requests: &[Request<'_>],
    randomness: impl Fn() -> Randomness,
) -> Vec<Combined> {
    let recombiner = Recombiner::new();
    let mut candidates: Vec<Candidate<'_>> = requests.iter().map(Candidate::new).collect();

    attempt(
        threshold,
        message,
        &mut candidates,
        &recombiner,
        randomness(),
    );
    if candidates.iter().any(Candidate::is_open) {
        expose(message, &mut candidates, randomness());
        attempt(
            threshold,
            message,
            &mut candidates,
            &recombiner,
            randomness(),
        );
    }
    candidates.into_iter().map(Candidate::finish).collect()
}

/// Combines each open candidate's first `threshold` partial signatures and keeps those results that
/// verify.
fn attempt(
    threshold: usize,
    message: &[u8; 32],
    candidates: &mut [Candidate<'_>],
    recombiner: &Recombiner,
    randomness: Randomness,
) {
    let sums: Vec<(usize, Signature)> = candidates
        .iter_mut()
        .enumerate()
        .filter(|(_, candidate)| candidate.is_open())
        .filter_map(|(position, candidate)| Some((position, candidate.sum(threshold, recombiner)?)))
        .collect();
    let items: Vec<(&PublicKey, &Signature)> = sums
        .iter()
        .map(|(position, sum)| (candidates[*position].request.group_key, sum))
        .collect();
    let invalid: BTreeSet<usize> = Batch::new(message, &items, randomness)
        .invalid()
        .into_iter()
        .collect();
    for (item, (position, sum)) in sums.iter().enumerate() {
        if !invalid.contains(&item) {
            candidates[*position].signature = Some(Verified::checked_in_batch(sum.to_bytes()));
        }
    }
}

/// Checks every partial signature of the open candidates, in one batch for all of them.
fn expose(message: &[u8; 32], candidates: &mut [Candidate<'_>], randomness: Randomness) {
    let mut places = Vec::new();
    let mut items = Vec::new();
    for (position, candidate) in candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.is_open())
    {
        for (share, bytes) in &candidate.partials {
            // `Candidate::new` kept only shares that have a key.
            places.push((position, *share));
            items.push((&candidate.request.share_keys[share.peer()], **bytes));
        }
    }
    let valid = verify_decodable(message, &items, randomness);
    for ((position, share), _) in places.into_iter().zip(valid).filter(|(_, valid)| !valid) {
        candidates[position].drop_partial(share);
    }
}

/// A request on its way.
struct Candidate<'a> {
    request: &'a Request<'a>,
    /// Not known to be bad; one for each share, each with a key.
    partials: Vec<(ShareIndex, &'a [u8; 96])>,
    bad: BTreeSet<ShareIndex>,
    signature: Option<Verified<[u8; 96]>>,
}

impl<'a> Candidate<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        let mut seen = BTreeSet::new();
        let first = request
            .partials
            .iter()
            .filter(|(share, _)| seen.insert(*share));
        let (partials, strangers): (Vec<_>, Vec<_>) = first
            .map(|(share, bytes)| (*share, bytes))
            .partition(|(share, _)| share.peer() < request.share_keys.len());
        let bad = strangers.into_iter().map(|(share, _)| share).collect();
        Self {
            request,
            partials,
            bad,
            signature: None,
        }
    }

    fn is_open(&self) -> bool {
        self.signature.is_none()
    }

    /// The combination of the first `threshold` partial signatures that are points at all.
    fn sum(&mut self, threshold: usize, recombiner: &Recombiner) -> Option<Signature> {
        let mut points = Vec::with_capacity(threshold);
        let mut malformed = Vec::new();
        for (share, bytes) in &self.partials {
            if points.len() == threshold {
                break;
            }
            match Signature::decode_unchecked(bytes) {
                Some(point) => points.push((*share, point)),
                None => malformed.push(*share),
            }
        }
        malformed
            .into_iter()
            .for_each(|share| self.drop_partial(share));
        if points.len() < threshold {
            return None;
        }
        let borrowed: Vec<(ShareIndex, &blst_p2_affine)> = points
            .iter()
            .map(|(share, point)| (*share, point))
            .collect();
        Signature::from_unchecked_sum(&recombiner.weigh(&borrowed).ok()?)
    }

    fn drop_partial(&mut self, share: ShareIndex) {
        self.partials.retain(|(other, _)| *other != share);
        self.bad.insert(share);
    }

    fn finish(self) -> Combined {
        match self.signature {
            Some(signature) => Combined::Signature(signature),
            None => Combined::Short {
                bad: self.bad.into_iter().collect(),
                good: self.partials.into_iter().map(|(share, _)| share).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use blst::blst_p2;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::bls::SecretKey;
    use crate::raw::Point;
    use crate::shares::split;

    const MESSAGE: [u8; 32] = [6; 32];
    const THRESHOLD: usize = 3;

    struct Validator {
        secret: SecretKey,
        key: PublicKey,
        shares: Vec<SecretKey>,
        share_keys: Vec<PublicKey>,
    }

    impl Validator {
        fn new(seed: u64) -> Self {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let secret = SecretKey::generate(&mut rng);
            let shares: Vec<SecretKey> = split(&secret, THRESHOLD, 4, &mut rng)
                .unwrap()
                .into_iter()
                .map(|(_, share)| share)
                .collect();
            let share_keys = shares.iter().map(SecretKey::public_key).collect();
            Self {
                key: secret.public_key(),
                secret,
                shares,
                share_keys,
            }
        }

        /// Good partial signatures of these peers.
        fn request(&self, peers: &[usize]) -> Request<'_> {
            let partials = peers
                .iter()
                .map(|peer| {
                    (
                        ShareIndex::from_peer(*peer),
                        self.shares[*peer].sign(&MESSAGE).to_bytes(),
                    )
                })
                .collect();
            Request {
                group_key: &self.key,
                share_keys: &self.share_keys,
                partials,
            }
        }

        fn is_signed(&self, combined: &Combined) -> bool {
            let expected = self.secret.sign(&MESSAGE).to_bytes();
            matches!(combined, Combined::Signature(signature) if **signature == expected)
        }

        /// A well-formed signature of something else.
        fn wrong(&self) -> [u8; 96] {
            self.secret.sign(&[0; 32]).to_bytes()
        }
    }

    fn share(peer: usize) -> ShareIndex {
        ShareIndex::from_peer(peer)
    }

    #[test]
    fn good_partials_of_all_validators_combine() {
        let validators: Vec<_> = (0..5).map(Validator::new).collect();
        let peers = [[0, 1, 2], [1, 2, 3], [3, 0, 1], [2, 3, 0], [0, 1, 3]];
        let requests: Vec<_> = validators
            .iter()
            .zip(&peers)
            .map(|(validator, peers)| validator.request(peers))
            .collect();
        let combined = combine_all(THRESHOLD, &MESSAGE, &requests);
        assert!(
            validators
                .iter()
                .zip(&combined)
                .all(|(validator, combined)| validator.is_signed(combined))
        );
    }

    #[test]
    fn a_wrong_partial_is_replaced_by_a_spare_one_and_costs_other_validators_nothing() {
        let validators: Vec<_> = (0..3).map(Validator::new).collect();
        let mut requests: Vec<_> = validators
            .iter()
            .map(|validator| validator.request(&[0, 1, 2, 3]))
            .collect();
        requests[1].partials[1].1 = validators[1].wrong();
        let combined = combine_all(THRESHOLD, &MESSAGE, &requests);
        assert!(
            validators
                .iter()
                .zip(&combined)
                .all(|(validator, combined)| validator.is_signed(combined))
        );
    }

    #[test]
    fn the_culprits_are_named_when_too_few_are_left() {
        let validator = Validator::new(1);
        let mut request = validator.request(&[0, 1, 2, 3]);
        request.partials[1].1 = validator.wrong();
        request.partials[3].1 = [0xff; 96];
        let expected = Combined::Short {
            bad: vec![share(1), share(3)],
            good: vec![share(0), share(2)],
        };
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[request]), [expected]);
    }

    #[test]
    fn partials_too_few_from_the_start_are_judged_all_the_same() {
        let validator = Validator::new(1);
        let mut request = validator.request(&[0, 3]);
        request.partials[0].1 = validator.wrong();
        let expected = Combined::Short {
            bad: vec![share(0)],
            good: vec![share(3)],
        };
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[request]), [expected]);
    }

    #[test]
    fn shares_without_a_key_are_bad_and_repeated_ones_ignored() {
        let validator = Validator::new(1);
        let mut request = validator.request(&[0, 1, 0]);
        request.partials.push((share(9), request.partials[0].1));
        let expected = Combined::Short {
            bad: vec![share(9)],
            good: vec![share(0), share(1)],
        };
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[request]), [expected]);
    }

    /// Some point of the curve outside the subgroup.
    fn stray_point() -> blst_p2_affine {
        let mut bytes = [0; 96];
        bytes[0] = 0x80;
        (0..=u8::MAX)
            .find_map(|x| {
                bytes[95] = x;
                Signature::decode_unchecked(&bytes).filter(|point| !blst_p2::in_subgroup(point))
            })
            .unwrap()
    }

    /// A partial signature with a stray point added.
    fn shifted(bytes: &[u8; 96]) -> [u8; 96] {
        let point = Signature::decode_unchecked(bytes).unwrap();
        let sum = blst_p2::infinity()
            .add_affine(&point)
            .add_affine(&stray_point());
        Signature::from_sum(&sum).to_bytes()
    }

    #[test]
    fn a_point_outside_the_subgroup_is_bad() {
        let validator = Validator::new(1);
        let mut request = validator.request(&[0, 1, 2]);
        request.partials[2].1 = shifted(&request.partials[2].1);
        let expected = Combined::Short {
            bad: vec![share(2)],
            good: vec![share(0), share(1)],
        };
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[request]), [expected]);
    }

    #[test]
    fn stray_points_that_cancel_out_leave_the_one_right_signature() {
        // The weights of shares 1 and 2 among 1, 2, 3 are opposite. The sum is what is used, and it
        // is right.
        let validator = Validator::new(1);
        let mut request = validator.request(&[0, 1, 2]);
        for (_, bytes) in &mut request.partials[..2] {
            *bytes = shifted(bytes);
        }
        let items: Vec<_> = validator
            .share_keys
            .iter()
            .zip(&request.partials)
            .map(|(key, (_, s))| (key, *s))
            .collect();
        assert_eq!(verify_partials(&MESSAGE, &items), [false, false, true]);
        assert!(validator.is_signed(&combine_all(THRESHOLD, &MESSAGE, &[request])[0]));
    }

    #[test]
    fn share_keys_of_another_validator_show_as_enough_good_shares() {
        let (validator, other) = (Validator::new(1), Validator::new(2));
        let request = Request {
            group_key: &other.key,
            ..validator.request(&[0, 1, 2])
        };
        let expected = Combined::Short {
            bad: vec![],
            good: vec![share(0), share(1), share(2)],
        };
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[request]), [expected]);
    }

    #[test]
    fn no_requests_and_a_threshold_of_zero_sign_nothing() {
        assert_eq!(combine_all(THRESHOLD, &MESSAGE, &[]), []);
        let validator = Validator::new(1);
        let request = validator.request(&[0]);
        assert!(matches!(
            combine_all(0, &MESSAGE, &[request])[..],
            [Combined::Short { .. }]
        ));
    }

    #[test]
    fn partials_are_judged_one_by_one() {
        let validator = Validator::new(1);
        let good = validator.shares[0].sign(&MESSAGE).to_bytes();
        let items = [
            (&validator.share_keys[0], good),
            (&validator.share_keys[1], good),
            (&validator.share_keys[0], [0xff; 96]),
            (
                &validator.share_keys[3],
                validator.shares[3].sign(&MESSAGE).to_bytes(),
            ),
        ];
        assert_eq!(
            verify_partials(&MESSAGE, &items),
            [true, false, false, true]
        );
        assert_eq!(
            verify_partials_seeded([1; 32], &MESSAGE, &items),
            [true, false, false, true]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn a_signature_comes_out_exactly_when_enough_peers_are_good(
            order in Just(vec![0, 1, 2, 3]).prop_shuffle(),
            faults in prop::collection::vec(0..3_u8, 4),
            seed: [u8; 32],
        ) {
            let validator = Validator::new(3);
            let mut request = validator.request(&order);
            for (share, bytes) in &mut request.partials {
                match faults[share.peer()] {
                    0 => {}
                    1 => *bytes = validator.wrong(),
                    _ => bytes[40] ^= 1,
                }
            }
            let (good, bad): (Vec<_>, Vec<_>) =
                (0..4).map(share).partition(|share| faults[share.peer()] == 0);
            let combined = combine_all_seeded(seed, THRESHOLD, &MESSAGE, &[request]).remove(0);
            match combined {
                Combined::Short { bad: named, good: counted } => {
                    prop_assert!(good.len() < THRESHOLD);
                    prop_assert_eq!(named, bad);
                    let counted: BTreeSet<_> = counted.into_iter().collect();
                    prop_assert_eq!(counted, good.into_iter().collect());
                }
                signed => {
                    prop_assert!(good.len() >= THRESHOLD);
                    prop_assert!(validator.is_signed(&signed));
                }
            }
        }
    }
}
