//! Operators' identities: secp256k1 keys and signatures.
//!
//! One key gives an operator its ENR, its libp2p peer ID and its signature under consensus
//! messages. The digest that is signed is always made elsewhere. Signatures are 65 bytes R ‖ S ‖ V
//! and are checked by recovering the key they were made with; ENRs use the first 64 bytes alone.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use rand::CryptoRng;
use sha3::{Digest, Keccak256};
use zeroize::Zeroizing;

/// What precedes the compressed key in a peer ID: the identity multihash (`00 25`) of a libp2p
/// `PublicKey` message with type secp256k1 (`08 02`) and 33 bytes of data (`12 21`).
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x25, 0x08, 0x02, 0x12, 0x21];

/// Why bytes or text are no identity key, or a signature reveals none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The text is not 64 hex digits. It is not repeated here: it may be most of a secret.
    #[error("the private key is not 64 hex digits")]
    SecretText,
    /// The secret is zero or not below the group order.
    #[error("the private key is not in the range from 1 to the group order")]
    SecretOutOfRange,
    /// The bytes are not a point of the curve in the form asked for.
    #[error("the public key is not a point on secp256k1 in SEC 1 form")]
    PublicKey,
    /// R or S is zero or not below the group order.
    #[error("R or S of the signature is not in the range from 1 to the group order")]
    SignatureOutOfRange,
    /// V is none of 0, 1, 27, 28.
    #[error("V of the signature is {0}, not 0, 1, 27 or 28")]
    RecoveryId(u8),
    /// No key produces this signature of this digest.
    #[error("the signature does not recover to a public key")]
    Recovery,
}

/// An operator's secp256k1 secret. Cleared on drop; prints as `IdentityKey(..)`.
#[derive(Clone)]
pub struct IdentityKey(SigningKey);

impl IdentityKey {
    /// Reads the content of a private key file: 64 hex digits of either case, white space around
    /// them allowed.
    ///
    /// # Errors
    /// Unless it is that, and the number is from 1 to the group order less one.
    pub fn from_hex(text: &str) -> Result<Self, IdentityError> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut_slice())
            .map_err(|_| IdentityError::SecretText)?;
        Self::from_bytes(&bytes)
    }

    /// Reads 32 big-endian bytes.
    ///
    /// # Errors
    /// [`IdentityError::SecretOutOfRange`] for zero and for numbers not below the group order.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, IdentityError> {
        SigningKey::from_slice(bytes)
            .map(Self)
            .map_err(|_| IdentityError::SecretOutOfRange)
    }

    /// A fresh key.
    pub fn generate<R: CryptoRng + ?Sized>(rng: &mut R) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            rng.fill_bytes(bytes.as_mut_slice());
            // Fails once in 2^128 draws: the group order is that close to 2^256.
            if let Ok(key) = Self::from_bytes(&bytes) {
                return key;
            }
        }
    }

    /// The secret as 32 big-endian bytes.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The content of a private key file: 64 lower-case hex digits.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.to_bytes().as_slice()))
    }

    /// The public key of this secret.
    pub fn public(&self) -> IdentityPublicKey {
        IdentityPublicKey::from_key(*self.0.verifying_key())
    }

    /// Signs a digest: R ‖ S ‖ V with low S and V 0 or 1, always with the same result (RFC 6979).
    pub fn sign(&self, digest: &[u8; 32]) -> [u8; 65] {
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest);
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = recovery.to_byte();
        bytes
    }

    /// Signs a digest in the form ENRs use: R ‖ S.
    pub fn sign_plain(&self, digest: &[u8; 32]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(&self.sign(digest)[..64]);
        bytes
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("IdentityKey(..)")
    }
}

/// An operator's public key: a point of secp256k1. Ordered and hashed by its compressed bytes.
#[derive(Clone, Copy)]
pub struct IdentityPublicKey {
    key: VerifyingKey,
    bytes: [u8; 33],
}

impl IdentityPublicKey {
    /// Reads the 33-byte compressed form.
    ///
    /// # Errors
    /// [`IdentityError::PublicKey`] unless it is the form of a point.
    pub fn from_compressed(bytes: &[u8; 33]) -> Result<Self, IdentityError> {
        Self::from_sec1(bytes)
    }

    /// Reads the 33-byte compressed or the 65-byte uncompressed form.
    ///
    /// # Errors
    /// [`IdentityError::PublicKey`] unless it is one of these forms of a point.
    pub fn from_sec1(bytes: &[u8]) -> Result<Self, IdentityError> {
        VerifyingKey::from_sec1_bytes(bytes)
            .map(Self::from_key)
            .map_err(|_| IdentityError::PublicKey)
    }

    /// The key that made this 65-byte signature of `digest`. High S is accepted.
    ///
    /// # Errors
    /// When R, S or V are out of range, or no key fits.
    pub fn recover(digest: &[u8; 32], signature: &[u8; 65]) -> Result<Self, IdentityError> {
        let (scalars, v) = (&signature[..64], signature[64]);
        let scalars =
            Signature::from_slice(scalars).map_err(|_| IdentityError::SignatureOutOfRange)?;
        // Wallets write 27 and 28, as Bitcoin once did.
        let recovery = match v {
            0 | 27 => RecoveryId::new(false, false),
            1 | 28 => RecoveryId::new(true, false),
            _ => return Err(IdentityError::RecoveryId(v)),
        };
        // Negating S negates the nonce's point, so its parity flips with it.
        let low = scalars.normalize_s();
        let recovery = RecoveryId::new(recovery.is_y_odd() != (low != scalars), false);
        VerifyingKey::recover_from_prehash(digest, &low, recovery)
            .map(Self::from_key)
            .map_err(|_| IdentityError::Recovery)
    }

    /// The 33-byte compressed form.
    pub fn to_compressed(&self) -> [u8; 33] {
        self.bytes
    }

    /// Both coordinates, 32 big-endian bytes each.
    pub fn uncompressed_xy(&self) -> [u8; 64] {
        let mut xy = [0; 64];
        xy.copy_from_slice(&self.key.to_sec1_point(false).as_bytes()[1..]);
        xy
    }

    /// The libp2p peer ID in binary; its text is the base58 form (`16Uiu2HA…`).
    pub fn peer_id_bytes(&self) -> [u8; 39] {
        let mut bytes = [0; 39];
        bytes[..6].copy_from_slice(&PEER_ID_PREFIX);
        bytes[6..].copy_from_slice(&self.bytes);
        bytes
    }

    /// The Ethereum address: the last 20 bytes of the Keccak-256 hash of both coordinates.
    pub fn ethereum_address(&self) -> [u8; 20] {
        let hash = Keccak256::digest(self.uncompressed_xy());
        let mut address = [0; 20];
        address.copy_from_slice(&hash[12..]);
        address
    }

    /// Whether `signature` is this key's signature of `digest`.
    ///
    /// 65 bytes must recover to this key, so V has to be right; 64 bytes (ENRs) verify as ordinary
    /// ECDSA. High S is accepted, any other length is not.
    pub fn verify(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        if let Ok(signature) = <&[u8; 65]>::try_from(signature) {
            return Self::recover(digest, signature).is_ok_and(|key| key == *self);
        }
        Signature::from_slice(signature).is_ok_and(|signature| {
            self.key
                .verify_prehash(digest, &signature.normalize_s())
                .is_ok()
        })
    }

    fn from_key(key: VerifyingKey) -> Self {
        let mut bytes = [0; 33];
        bytes.copy_from_slice(key.to_sec1_point(true).as_bytes());
        Self { key, bytes }
    }
}

impl PartialEq for IdentityPublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for IdentityPublicKey {}

impl PartialOrd for IdentityPublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IdentityPublicKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl Hash for IdentityPublicKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Debug for IdentityPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "IdentityPublicKey(0x{})",
            hex::encode(self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";

    fn key() -> IdentityKey {
        IdentityKey::from_bytes(&[1; 32]).unwrap()
    }

    /// The other of the two values of S that fit, with V to match.
    fn with_high_s(signature: &[u8; 65]) -> [u8; 65] {
        let low = Signature::from_slice(&signature[..64]).unwrap();
        let high = Signature::from_scalars(low.r().to_bytes(), (-*low.s()).to_bytes()).unwrap();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&high.to_bytes());
        bytes[64] = signature[64] ^ 1;
        bytes
    }

    #[test]
    fn key_text_may_be_surrounded_by_white_space_and_of_either_case() {
        let text = "\t0A".to_owned() + &"0b".repeat(31) + "\r\n";
        assert_eq!(
            IdentityKey::from_hex(&text).unwrap().to_hex().as_str(),
            text.trim().to_lowercase()
        );
    }

    #[test]
    fn key_text_of_other_shape_or_range_is_refused() {
        for text in [
            "",
            "0x01",
            &"01".repeat(31),
            &"01".repeat(33),
            &"0x".repeat(32),
            &"1 ".repeat(32),
        ] {
            assert_eq!(
                IdentityKey::from_hex(text).unwrap_err(),
                IdentityError::SecretText,
                "{text}"
            );
        }
        for text in ["00".repeat(32).as_str(), ORDER, &"ff".repeat(32)] {
            assert_eq!(
                IdentityKey::from_hex(text).unwrap_err(),
                IdentityError::SecretOutOfRange,
                "{text}"
            );
        }
    }

    #[test]
    fn signing_is_deterministic_with_low_s_and_v_below_two() {
        for byte in 0..32 {
            let signature = key().sign(&[byte; 32]);
            assert_eq!(signature, key().sign(&[byte; 32]));
            assert!(signature[64] < 2 && signature[32] < 0x80);
            assert_eq!(signature[..64], key().sign_plain(&[byte; 32]));
        }
    }

    #[test]
    fn every_spelling_of_v_is_accepted_and_no_other() {
        let mut signature = key().sign(&[1; 32]);
        let v = signature[64];
        for spelling in 0..=u8::MAX {
            signature[64] = spelling;
            assert_eq!(
                key().public().verify(&[1; 32], &signature),
                spelling == v || spelling == v + 27
            );
        }
        signature[64] = 2;
        assert_eq!(
            IdentityPublicKey::recover(&[1; 32], &signature),
            Err(IdentityError::RecoveryId(2))
        );
    }

    #[test]
    fn high_s_is_accepted_with_the_v_that_fits_it() {
        for byte in 0..8 {
            let mut high = with_high_s(&key().sign(&[byte; 32]));
            assert!(key().public().verify(&[byte; 32], &high));
            assert!(key().public().verify(&[byte; 32], &high[..64]));
            high[64] ^= 1;
            assert!(!key().public().verify(&[byte; 32], &high));
        }
    }

    #[test]
    fn zero_scalars_are_refused() {
        let good = key().sign(&[1; 32]);
        for range in [0..32, 32..64] {
            let mut signature = good;
            signature[range].fill(0);
            assert_eq!(
                IdentityPublicKey::recover(&[1; 32], &signature),
                Err(IdentityError::SignatureOutOfRange)
            );
            assert!(!key().public().verify(&[1; 32], &signature[..64]));
        }
    }

    #[test]
    fn another_key_digest_or_length_does_not_verify() {
        let signature = key().sign(&[1; 32]);
        let other = IdentityKey::from_bytes(&[2; 32]).unwrap().public();
        assert!(!other.verify(&[1; 32], &signature) && !other.verify(&[1; 32], &signature[..64]));
        assert!(!key().public().verify(&[2; 32], &signature));
        for length in [0, 1, 63] {
            assert!(!key().public().verify(&[1; 32], &signature[..length]));
        }
        assert!(
            !key()
                .public()
                .verify(&[1; 32], &[signature.as_slice(), &[0]].concat())
        );
    }

    #[test]
    fn debug_output_and_errors_hold_no_secret() {
        assert_eq!(format!("{:?}", key()), "IdentityKey(..)");
        let error = IdentityKey::from_hex("5e5e5e5e").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5e5e"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn foreign_bytes_never_panic(
            digest: [u8; 32],
            signature in prop::collection::vec(any::<u8>(), 0..80),
            point in prop::collection::vec(any::<u8>(), 0..70),
        ) {
            let _ = key().public().verify(&digest, &signature);
            let _ = IdentityPublicKey::from_sec1(&point);
        }

        #[test]
        fn a_recovered_key_is_the_signer_and_verifies_what_it_signed(
            secret in 1..u64::MAX,
            digest: [u8; 32],
        ) {
            let mut bytes = [0; 32];
            bytes[24..].copy_from_slice(&secret.to_be_bytes());
            let key = IdentityKey::from_bytes(&bytes).unwrap();
            let signature = key.sign(&digest);
            prop_assert_eq!(IdentityPublicKey::recover(&digest, &signature), Ok(key.public()));
            prop_assert!(key.public().verify(&digest, &signature[..64]));
        }

        #[test]
        fn public_keys_survive_a_round_trip_in_both_forms(secret in 1..u64::MAX) {
            let mut bytes = [0; 32];
            bytes[24..].copy_from_slice(&secret.to_be_bytes());
            let public = IdentityKey::from_bytes(&bytes).unwrap().public();
            let uncompressed = [&[4_u8], public.uncompressed_xy().as_slice()].concat();
            let compressed = public.to_compressed();
            prop_assert_eq!(IdentityPublicKey::from_compressed(&compressed), Ok(public));
            prop_assert_eq!(IdentityPublicKey::from_sec1(&uncompressed), Ok(public));
        }
    }
}
