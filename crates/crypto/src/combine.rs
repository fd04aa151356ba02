//! Combining the partial signatures of all validators of one message.
//!
//! Peers are honest almost always, so the order is optimistic: combine first, verify the resulting group signatures in
//! one batch, and look at single partial signatures only if that fails. A group signature that verifies needs no
//! checked ingredients. Partial signatures are therefore only decoded at first; membership in the
//! subgroup is checked on the sum, the one point that is used. On failure every partial signature of the
//! failed validators is checked against its share's public key, which names the culprits exactly.

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
    /// Partial signatures as they came from peers, those to try first in front. Of several for one share the
    /// first counts.
    pub partials: Vec<(ShareIndex, [u8; 96])>,
}

/// What became of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Combined {
    /// The validator's signature; it verifies under the group key.
    Signature(Verified<[u8; 96]>),
    /// Not enough good partial signatures.
    ///
    /// If `good` nevertheless has `threshold` members or more, the share keys do not belong to the group key: a
    /// broken lock file, no peer's fault.
    Short {
        /// Shares whose partial signature is wrong: malformed, not their key's, or of no share of this validator.
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

/// Combines each open candidate's first `threshold` partial signatures and keeps those results that verify.
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
