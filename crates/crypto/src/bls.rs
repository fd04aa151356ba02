//! BLS signatures on BLS12-381 as Ethereum uses them: public keys in G1 (48 bytes), signatures in
//! G2 (96 bytes), 32-byte messages, proof-of-possession ciphersuite.
//!
//! Every point that enters as bytes is checked here once (encoding, curve, prime-order subgroup,
//! not infinity), so the types stand for valid points and nothing later has to look again.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use blst::{BLST_ERROR, Pairing, blst_p1, blst_p1_affine, blst_p2, blst_p2_affine, min_pk};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::raw::{self, Point};

/// The ciphersuite's domain separation tag (consensus specs, phase 0, "BLS signatures").
pub(crate) const CIPHERSUITE: &[u8] = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_";

/// Why bytes are no key or signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is zero or not below the group order.
    #[error("the secret key is not in the range from 1 to the group order")]
    SecretOutOfRange,
    /// The bytes are not the compressed form of a point of G1.
    #[error("the public key is not the compressed form of a point on the curve")]
    PublicKeyEncoding,
    /// The public key is the point at infinity, under which everyone can sign.
    #[error("the public key is the point at infinity")]
    PublicKeyInfinity,
    /// The public key lies outside the prime-order subgroup.
    #[error("the public key is not in the prime-order subgroup")]
    PublicKeySubgroup,
    /// The bytes are not the compressed form of a point of G2.
    #[error("the signature is not the compressed form of a point on the curve")]
    SignatureEncoding,
    /// The signature is the point at infinity, which no valid key produces.
    #[error("the signature is the point at infinity")]
    SignatureInfinity,
    /// The signature lies outside the prime-order subgroup.
    #[error("the signature is not in the prime-order subgroup")]
    SignatureSubgroup,
}

/// A secret key, or a share of one: a scalar from 1 to the group order less one.
///
/// Cleared on drop; prints as `SecretKey(..)`; signs in constant time.
#[derive(Clone)]
pub struct SecretKey(min_pk::SecretKey);

impl SecretKey {
    /// Reads 32 big-endian bytes.
    ///
    /// # Errors
    /// [`KeyError::SecretOutOfRange`] for zero and for numbers not below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        min_pk::SecretKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| KeyError::SecretOutOfRange)
    }

    /// A fresh key from 32 bytes of `rng`, through `KeyGen` of the BLS draft, so uniform and never
    /// zero.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut material = Zeroizing::new([0; 32]);
        rng.fill_bytes(material.as_mut_slice());
        Self(
            min_pk::SecretKey::key_gen(material.as_slice(), &[])
                .expect("32 bytes are enough key material"),
        )
    }

    /// The secret as 32 big-endian bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public key of this secret.
    pub fn public_key(&self) -> PublicKey {
        PublicKey::from_point(self.0.sk_to_pk())
    }

    /// Signs a message, always with the same result.
    pub fn sign(&self, message: &[u8; 32]) -> Signature {
        Signature(self.0.sign(message, CIPHERSUITE, &[]))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(..)")
    }
}

/// A valid public key: a point of the prime-order subgroup of G1 other than infinity.
///
/// Ordered and hashed by its 48 compressed bytes.
#[derive(Clone, Copy)]
pub struct PublicKey {
    point: min_pk::PublicKey,
    bytes: [u8; 48],
}

impl PublicKey {
    /// Reads the 48-byte compressed form.
    ///
    /// # Errors
    /// Unless the bytes are the form of a point in the subgroup other than infinity.
    pub fn from_bytes(bytes: &[u8; 48]) -> Result<Self, KeyError> {
        let point = min_pk::PublicKey::key_validate(bytes).map_err(|error| match error {
            BLST_ERROR::BLST_PK_IS_INFINITY => KeyError::PublicKeyInfinity,
            BLST_ERROR::BLST_POINT_NOT_IN_GROUP => KeyError::PublicKeySubgroup,
            _ => KeyError::PublicKeyEncoding,
        })?;
        Ok(Self::from_point(point))
    }

    /// The 48-byte compressed form.
    pub fn to_bytes(&self) -> [u8; 48] {
        self.bytes
    }

    /// Takes a point computed from valid ones; infinity is the one way it can fall out.
    pub(crate) fn from_sum(point: &blst_p1) -> Result<Self, KeyError> {
        if point.is_infinity() {
            return Err(KeyError::PublicKeyInfinity);
        }
        Ok(Self::from_point(point.to_affine().into()))
    }

    pub(crate) fn affine(&self) -> &blst_p1_affine {
        (&self.point).into()
    }

    fn from_point(point: min_pk::PublicKey) -> Self {
        Self {
            point,
            bytes: point.compress(),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl Hash for PublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey(0x{})", hex::encode(self.bytes))
    }
}

/// A well-formed signature: a point of the prime-order subgroup of G2. Whether it fits a key and a
/// message is [`verify`]'s question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(min_pk::Signature);

impl Signature {
    /// Reads the 96-byte compressed form.
    ///
    /// # Errors
    /// Unless the bytes are the form of a point in the subgroup other than infinity.
    pub fn from_bytes(bytes: &[u8; 96]) -> Result<Self, KeyError> {
        let point = min_pk::Signature::sig_validate(bytes, true).map_err(|error| match error {
            BLST_ERROR::BLST_PK_IS_INFINITY => KeyError::SignatureInfinity,
            BLST_ERROR::BLST_POINT_NOT_IN_GROUP => KeyError::SignatureSubgroup,
            _ => KeyError::SignatureEncoding,
        })?;
        Ok(Self(point))
    }

    /// The 96-byte compressed form.
    pub fn to_bytes(&self) -> [u8; 96] {
        self.0.compress()
    }

    /// Takes a point computed from well-formed signatures.
    pub(crate) fn from_sum(point: &blst_p2) -> Self {
        Self(point.to_affine().into())
    }

    pub(crate) fn affine(&self) -> &blst_p2_affine {
        (&self.0).into()
    }

    /// Decodes a point of the curve other than infinity, without the subgroup check: only for sums
    /// that end in [`Signature::from_unchecked_sum`].
    pub(crate) fn decode_unchecked(bytes: &[u8; 96]) -> Option<blst_p2_affine> {
        let point = min_pk::Signature::uncompress(bytes).ok()?;
        let affine: blst_p2_affine = point.into();
        (affine != blst_p2_affine::default()).then_some(affine)
    }

    /// Takes a sum of points of the curve, if it lies in the subgroup and is not infinity.
    pub(crate) fn from_unchecked_sum(point: &blst_p2) -> Option<Self> {
        let affine = point.to_affine();
        (!point.is_infinity() && blst_p2::in_subgroup(&affine)).then(|| Self(affine.into()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Signature(0x{})", hex::encode(self.to_bytes()))
    }
}

/// Whether `signature` is `key`'s signature of `message`.
pub fn verify(key: &PublicKey, message: &[u8; 32], signature: &Signature) -> bool {
    HashedMessage::new(message).verify(key.affine(), signature.affine())
}

/// The sum of signatures, as one signature. Infinity (which verifies under no key) if there are
/// none.
pub fn aggregate(signatures: &[Signature]) -> Signature {
    let sum = signatures
        .iter()
        .fold(blst_p2::infinity(), |sum, signature| {
            sum.add_affine(signature.affine())
        });
    Signature::from_sum(&sum)
}

/// Whether `signature` is the sum of all `keys`' signatures of one `message`. False without keys.
///
/// The keys' owners must have proven that they hold the secrets, else one of them could have
/// chosen a key that cancels the others. In a lock file the owners' signatures under each key do.
pub fn fast_aggregate_verify(
    keys: &[PublicKey],
    message: &[u8; 32],
    signature: &Signature,
) -> bool {
    let sum = keys
        .iter()
        .fold(blst_p1::infinity(), |sum, key| sum.add_affine(key.affine()));
    HashedMessage::new(message).verify(&sum.to_affine(), signature.affine())
}

/// A message's image in the group of signatures, kept when several checks share the message.
pub(crate) struct HashedMessage(blst_p2_affine);

impl HashedMessage {
    pub(crate) fn new(message: &[u8; 32]) -> Self {
        Self(raw::hash_to_signature_group(message, CIPHERSUITE))
    }

    pub(crate) fn point(&self) -> &blst_p2_affine {
        &self.0
    }

    /// Whether e(key, H(message)) = e(generator, signature). Both points must be in their
    /// subgroups.
    pub(crate) fn verify(&self, key: &blst_p1_affine, signature: &blst_p2_affine) -> bool {
        // Infinity as key accepts infinity as signature of everything.
        if *key == blst_p1_affine::default() || *signature == blst_p2_affine::default() {
            return false;
        }
        let mut pairing = Pairing::new(true, CIPHERSUITE);
        pairing.raw_aggregate(&self.0, key);
        pairing.raw_aggregate(signature, &raw::generator().negate().to_affine());
        pairing.commit();
        pairing.finalverify(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    const ORDER: [u8; 32] = [
        0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8,
        0x05, 0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00,
        0x00, 0x01,
    ];

    fn key(seed: u64) -> SecretKey {
        SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    /// The compressed form of infinity.
    fn infinity<const N: usize>() -> [u8; N] {
        let mut bytes = [0; N];
        bytes[0] = 0xc0;
        bytes
    }

    /// The form of some point of the curve outside the subgroup: nearly every point is.
    fn outside_the_subgroup<const N: usize>(on_curve: impl Fn(&[u8; N]) -> bool) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[0] = 0x80;
        (1..=u8::MAX)
            .map(|x| {
                bytes[N - 1] = x;
                bytes
            })
            .find(on_curve)
            .unwrap()
    }

    #[test]
    fn secrets_out_of_range_are_refused() {
        let mut largest = ORDER;
        largest[31] = 0;
        for bytes in [[0; 32], ORDER, [0xff; 32]] {
            assert_eq!(
                SecretKey::from_bytes(&bytes).err(),
                Some(KeyError::SecretOutOfRange)
            );
        }
        assert_eq!(
            *SecretKey::from_bytes(&largest).unwrap().to_bytes(),
            largest
        );
    }

    #[test]
    fn infinity_is_neither_key_nor_signature() {
        assert_eq!(
            PublicKey::from_bytes(&infinity()),
            Err(KeyError::PublicKeyInfinity)
        );
        assert_eq!(
            Signature::from_bytes(&infinity()),
            Err(KeyError::SignatureInfinity)
        );
        assert!(Signature::decode_unchecked(&infinity()).is_none());
    }

    #[test]
    fn points_outside_the_subgroup_are_refused() {
        let key = outside_the_subgroup(|bytes| min_pk::PublicKey::uncompress(bytes).is_ok());
        assert_eq!(
            PublicKey::from_bytes(&key),
            Err(KeyError::PublicKeySubgroup)
        );
        let signature = outside_the_subgroup(|bytes| min_pk::Signature::uncompress(bytes).is_ok());
        assert_eq!(
            Signature::from_bytes(&signature),
            Err(KeyError::SignatureSubgroup)
        );
        let point = Signature::decode_unchecked(&signature).unwrap();
        assert_eq!(
            Signature::from_unchecked_sum(&blst_p2::infinity().add_affine(&point)),
            None
        );
    }

    #[test]
    fn a_signature_verifies_under_its_key_and_message_only() {
        let signature = key(1).sign(&[1; 32]);
        assert!(verify(&key(1).public_key(), &[1; 32], &signature));
        assert!(!verify(&key(2).public_key(), &[1; 32], &signature));
        assert!(!verify(&key(1).public_key(), &[2; 32], &signature));
    }

    #[test]
    fn the_sum_of_signatures_verifies_under_all_keys_together() {
        let keys: Vec<_> = (1..4).map(|seed| key(seed).public_key()).collect();
        let signatures: Vec<_> = (1..4).map(|seed| key(seed).sign(&[9; 32])).collect();
        let sum = aggregate(&signatures);
        assert!(fast_aggregate_verify(&keys, &[9; 32], &sum));
        assert!(!fast_aggregate_verify(&keys[..2], &[9; 32], &sum));
    }

    #[test]
    fn an_aggregate_of_nothing_verifies_under_nothing() {
        let nothing = aggregate(&[]);
        assert!(!fast_aggregate_verify(&[], &[9; 32], &nothing));
        assert!(!verify(&key(1).public_key(), &[9; 32], &nothing));
    }

    #[test]
    fn keys_that_cancel_out_verify_nothing() {
        let mut negated = key(1).public_key().to_bytes();
        negated[0] ^= 0x20;
        let keys = [
            key(1).public_key(),
            PublicKey::from_bytes(&negated).unwrap(),
        ];
        assert!(!fast_aggregate_verify(&keys, &[9; 32], &aggregate(&[])));
    }

    #[test]
    fn debug_output_and_errors_hold_no_secret() {
        let secret = hex::encode(*key(1).to_bytes());
        assert_eq!(format!("{:?}", key(1)), "SecretKey(..)");
        let error = SecretKey::from_bytes(&ORDER).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("73ed"));
        assert!(!format!("{:?}", key(1).public_key()).contains(&secret));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn foreign_bytes_never_panic_and_what_decodes_encodes_back(
            key: [u8; 48],
            first in any::<[u8; 48]>(),
            second in any::<[u8; 48]>(),
        ) {
            let signature: [u8; 96] = [first, second].concat().try_into().unwrap();
            if let Ok(key) = PublicKey::from_bytes(&key) {
                prop_assert_eq!(PublicKey::from_bytes(&key.to_bytes()), Ok(key));
            }
            if let Ok(decoded) = Signature::from_bytes(&signature) {
                prop_assert_eq!(decoded.to_bytes(), signature);
            }
            let _ = Signature::decode_unchecked(&signature);
        }

        #[test]
        fn keys_and_signatures_survive_a_round_trip(seed: u64, message: [u8; 32]) {
            let secret = key(seed);
            let (public, signature) = (secret.public_key(), secret.sign(&message));
            let again = SecretKey::from_bytes(&secret.to_bytes()).unwrap();
            prop_assert_eq!(again.to_bytes(), secret.to_bytes());
            prop_assert_eq!(PublicKey::from_bytes(&public.to_bytes()), Ok(public));
            prop_assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
        }

        #[test]
        fn a_flipped_bit_never_verifies(bit in 0..768_usize) {
            let mut bytes = key(1).sign(&[1; 32]).to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = Signature::from_bytes(&bytes)
                .is_ok_and(|signature| verify(&key(1).public_key(), &[1; 32], &signature));
            prop_assert!(!accepted);
        }
    }
}
