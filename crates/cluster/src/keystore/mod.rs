//! EIP-2335 keystores: a share's secret under a password (spec 10 §4).
//!
//! Key stretching is the cost an attacker pays per guess, and memory and time that a file can make
//! *us* pay. So the cost is read from the file, bounded, and can be asked before anything is
//! spent: [`Keystore::cost`]. Running many derivations side by side is the caller's business.

mod cipher;
mod cost;
pub mod folder;
mod json;
mod password;

use flotilla_crypto::{IdentityKey, SecretKey};
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

pub use cost::{Cost, CostError};
pub use password::random_password;

use crate::definition::uuid_text;
use crate::json::{Field, ParseError, parse};

/// An encrypted secret as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keystore {
    cost: Cost,
    salt: Vec<u8>,
    iv: [u8; 16],
    checksum: [u8; 32],
    ciphertext: [u8; 32],
    public_key: String,
    path: String,
    uuid: String,
    description: String,
}

/// A keystore that does not give its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecryptError {
    /// The checksum does not fit. The format cannot tell a wrong password from changed bytes, but a
    /// file that is well formed otherwise was seldom changed.
    #[error("wrong password (or the ciphertext, salt or checksum was changed)")]
    WrongPassword,
    /// The password fits, but what it opens is not a secret key.
    #[error(
        "the password is right, but the content is not a secret key of the expected kind: damaged before it was encrypted"
    )]
    NotASecretKey,
}

/// Everything random in a keystore, drawn ahead so that encrypting is a pure function to be run on
/// any thread.
#[derive(Clone, Debug)]
pub struct KeystoreRandomness {
    salt: [u8; 32],
    iv: [u8; 16],
    uuid: [u8; 16],
}

impl KeystoreRandomness {
    /// Draws from `rng`.
    pub fn draw(rng: &mut impl CryptoRng) -> Self {
        let mut randomness = Self {
            salt: [0; 32],
            iv: [0; 16],
            uuid: [0; 16],
        };
        rng.fill_bytes(&mut randomness.salt);
        rng.fill_bytes(&mut randomness.iv);
        rng.fill_bytes(&mut randomness.uuid);
        randomness
    }
}

impl Keystore {
    /// Reads a keystore file.
    ///
    /// # Errors
    /// A damaged file: where it is not of the form of EIP-2335 version 4, or asks for more
    /// derivation work than [`Cost`] allows.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        json::read(&Field::root(&parse(bytes)?))
    }

    /// Encrypts a secret under a password.
    pub fn encrypt(
        secret: &SecretKey,
        password: &str,
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self::encrypt_with(secret, password, cost, &KeystoreRandomness::draw(rng))
    }

    /// Encrypts a secret under a password with randomness drawn before.
    #[must_use]
    pub fn encrypt_with(
        secret: &SecretKey,
        password: &str,
        cost: Cost,
        randomness: &KeystoreRandomness,
    ) -> Self {
        Self {
            public_key: hex::encode(secret.public_key().to_bytes()),
            path: "m/12381/3600/0/0/0".to_owned(),
            ..Self::seal(&secret.to_bytes(), password, cost, randomness)
        }
    }

    /// Encrypts an operator's identity key. EIP-2335 leaves the meaning of the 32 bytes open; the public key is the
    /// compressed secp256k1 point, and the description tells people what the file is.
    pub fn encrypt_identity(
        key: &IdentityKey,
        password: &str,
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Self {
        let randomness = KeystoreRandomness::draw(rng);
        Self {
            public_key: hex::encode(key.public().to_compressed()),
            description: "operator identity (secp256k1)".to_owned(),
            ..Self::seal(&key.to_bytes(), password, cost, &randomness)
        }
    }

    /// The secret bytes under the password; all that describes them is left empty.
    fn seal(
        secret: &[u8; 32],
        password: &str,
        cost: Cost,
        randomness: &KeystoreRandomness,
    ) -> Self {
        let key = cost.derive(&password::normalise(password), &randomness.salt);
        let mut ciphertext = *secret;
        cipher::apply(&key, &randomness.iv, &mut ciphertext);
        Self {
            cost,
            salt: randomness.salt.to_vec(),
            iv: randomness.iv,
            checksum: cipher::checksum(&key, &ciphertext),
            ciphertext,
            public_key: String::new(),
            path: String::new(),
            uuid: uuid_text(&randomness.uuid),
            description: String::new(),
        }
    }

    /// The secret.
    ///
    /// # Errors
    /// [`DecryptError`].
    pub fn decrypt(&self, password: &str) -> Result<SecretKey, DecryptError> {
        let secret = self.open(password)?;
        SecretKey::from_bytes(&secret).map_err(|_| DecryptError::NotASecretKey)
    }

    /// The identity key in a keystore made by [`encrypt_identity`](Self::encrypt_identity).
    ///
    /// # Errors
    /// [`DecryptError`].
    pub fn decrypt_identity(&self, password: &str) -> Result<IdentityKey, DecryptError> {
        let secret = self.open(password)?;
        IdentityKey::from_bytes(&secret).map_err(|_| DecryptError::NotASecretKey)
    }

    fn open(&self, password: &str) -> Result<Zeroizing<[u8; 32]>, DecryptError> {
        let key = self.cost.derive(&password::normalise(password), &self.salt);
        if !cipher::matches(&cipher::checksum(&key, &self.ciphertext), &self.checksum) {
            return Err(DecryptError::WrongPassword);
        }
        let mut secret = Zeroizing::new(self.ciphertext);
        cipher::apply(&key, &self.iv, &mut secret);
        Ok(secret)
    }

    /// The work and memory that encrypting or decrypting takes.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// The public key as the file names it, without `0x`; it is not checked and may be empty.
    #[must_use]
    pub fn public_key_text(&self) -> &str {
        &self.public_key
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_json(&self) -> String {
        json::write(self).render()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn sealed() -> (SecretKey, Keystore) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = SecretKey::generate(&mut rng);
        let keystore = Keystore::encrypt(&secret, "pässword", Cost::INSECURE, &mut rng);
        (secret, keystore)
    }

    #[test]
    fn what_is_encrypted_decrypts_with_its_password_only() {
        let (secret, keystore) = sealed();
        assert_eq!(
            keystore.decrypt("pässword").unwrap().to_bytes(),
            secret.to_bytes()
        );
        assert_eq!(
            keystore.decrypt("pässword\n").unwrap().to_bytes(),
            secret.to_bytes()
        );
        assert_eq!(
            keystore.decrypt("password").unwrap_err(),
            DecryptError::WrongPassword
        );
    }

    #[test]
    fn scrypt_works_both_ways() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let secret = SecretKey::generate(&mut rng);
        let cost = Cost::scrypt(16, 8, 1).unwrap();
        let keystore = Keystore::encrypt(&secret, "p", cost, &mut rng);
        let read = Keystore::parse(keystore.to_json().as_bytes()).unwrap();
        assert_eq!(read.cost(), cost);
        assert_eq!(read.decrypt("p").unwrap().to_bytes(), secret.to_bytes());
    }

    #[test]
    fn an_identity_key_is_kept_under_a_password_too() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let key = IdentityKey::generate(&mut rng);
        let keystore = Keystore::encrypt_identity(&key, "p", Cost::INSECURE, &mut rng);
        let read = Keystore::parse(keystore.to_json().as_bytes()).unwrap();
        assert_eq!(read.decrypt_identity("p").unwrap().to_hex(), key.to_hex());
        assert_eq!(
            read.decrypt_identity("q").unwrap_err(),
            DecryptError::WrongPassword
        );
        assert_eq!(
            read.public_key_text(),
            hex::encode(key.public().to_compressed())
        );
    }

    #[test]
    fn opened_zero_is_not_a_key() {
        let mut keystore = sealed().1;
        let key = keystore.cost.derive(b"p", &keystore.salt);
        keystore.ciphertext = [0; 32];
        cipher::apply(&key, &keystore.iv, &mut keystore.ciphertext);
        keystore.checksum = cipher::checksum(&key, &keystore.ciphertext);
        assert_eq!(
            keystore.decrypt("p").unwrap_err(),
            DecryptError::NotASecretKey
        );
    }

    #[test]
    fn written_file_reads_back() {
        let keystore = sealed().1;
        assert_eq!(
            Keystore::parse(keystore.to_json().as_bytes()).unwrap(),
            keystore
        );
    }

    #[test]
    fn damaged_files_are_named_by_field() {
        let text = sealed().1.to_json();
        let cases = [
            ("\"version\": 4", "\"version\": 3", "version: expected 4"),
            ("aes-128-ctr", "aes-256-ctr", "crypto.cipher.function"),
            ("hmac-sha256", "hmac-sha512", "crypto.kdf.params.prf"),
            ("pbkdf2", "argon2", "crypto.kdf.function"),
            ("\"sha256\"", "\"sha512\"", "crypto.checksum.function"),
            ("\"dklen\": 32", "\"dklen\": 16", "crypto.kdf.params.dklen"),
            ("\"c\": 16", "\"c\": 99999999999", "crypto.kdf.params.c"),
            ("\"c\": 16", "\"c\": 0", "crypto.kdf.params"),
            ("\"iv\": \"", "\"iv\": \"00", "crypto.cipher.params.iv"),
        ];
        for (old, new, expected) in cases {
            assert!(text.contains(old), "{old}");
            let error = Keystore::parse(text.replace(old, new).as_bytes())
                .unwrap_err()
                .to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn parse_never_panics(position in 0usize..700, byte in any::<u8>()) {
            let mut bytes = sealed().1.to_json().into_bytes();
            let length = bytes.len();
            bytes[position % length] = byte;
            if let Ok(keystore) = Keystore::parse(&bytes)
                && keystore.cost() == Cost::INSECURE
            {
                let _ = keystore.decrypt("pässword");
            }
        }
    }
}
