//! Ethereum node records: how an operator's identity key stands in definitions (spec 10 §1.3).
//!
//! Only the key matters to a cluster. Records of older versions carry addresses and other sequence
//! numbers; those are kept and otherwise ignored. Signatures are deterministic, so one key has exactly
//! one record made here, and texts may be compared.

mod rlp;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use flotilla_crypto::{IdentityKey, IdentityPublicKey};
use thiserror::Error;

use crate::address::keccak;

const PREFIX: &str = "enr:";
const KEY_ID: &[u8] = b"id";
const KEY_SECP256K1: &[u8] = b"secp256k1";
const SCHEME: &[u8] = b"v4";

/// Go's decoder, whose texts these are, does not look at the unused bits of the last character.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A valid node record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enr {
    signature: [u8; 64],
    sequence: Vec<u8>,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    public_key: IdentityPublicKey,
}

/// A text that is not a valid record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EnrError {
    /// The text does not start with `enr:`.
    #[error("the ENR does not start with \"enr:\"")]
    Prefix,
    /// What follows is not base64url.
    #[error("the ENR is not base64url; check that it was copied whole")]
    Base64,
    /// The content is not a list of byte strings.
    #[error("the ENR's content is not an RLP list of byte strings; check that it was copied whole")]
    Rlp,
    /// Signature, sequence number and one pair are the least.
    #[error("the ENR has {found} elements, expected an even number of at least 4")]
    ElementCount {
        /// Elements in the list.
        found: usize,
    },
    /// A key stands twice.
    #[error("the ENR has the key {key:?} twice")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The identity scheme is not `v4`.
    #[error("the ENR's identity scheme is not \"v4\"")]
    Scheme,
    /// No public key.
    #[error("the ENR has no secp256k1 key")]
    NoPublicKey,
    /// The public key is not a point of the curve.
    #[error("the ENR's secp256k1 key is not a point on the curve")]
    PublicKey,
    /// The record was not signed by its key.
    #[error("the ENR's signature is not by its own key; check that it was copied whole")]
    Signature,
}

impl Enr {
    /// The record of a key: sequence number 0 and nothing but the key.
    #[must_use]
    pub fn from_key(key: &IdentityKey) -> Self {
        let public_key = key.public();
        let pairs = BTreeMap::from([
            (KEY_ID.to_vec(), SCHEME.to_vec()),
            (KEY_SECP256K1.to_vec(), public_key.to_compressed().to_vec()),
        ]);
        let sequence = Vec::new(); // RLP writes 0 as an empty string.
        let content: Vec<&[u8]> = std::iter::once(sequence.as_slice())
            .chain(flat(&pairs))
            .collect();
        let mut signature = [0; 64];
        signature.copy_from_slice(&key.sign(&keccak(&rlp::encode_list(content)))[..64]);
        Self {
            signature,
            sequence,
            pairs,
            public_key,
        }
    }

    /// Reads and verifies a record's text. Trailing `=` are ignored.
    ///
    /// # Errors
    /// The first thing that makes it invalid.
    pub fn parse(text: &str) -> Result<Self, EnrError> {
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or(EnrError::Prefix)?
            .trim_end_matches('=');
        let bytes = LENIENT.decode(encoded).map_err(|_| EnrError::Base64)?;
        let elements = rlp::decode_list(&bytes).ok_or(EnrError::Rlp)?;
        let [signature, content @ ..] = elements.as_slice() else {
            return Err(EnrError::ElementCount { found: 0 });
        };
        let [sequence, listed_pairs @ ..] = content else {
            return Err(EnrError::ElementCount { found: 1 });
        };
        if listed_pairs.is_empty() || listed_pairs.len() % 2 == 1 {
            return Err(EnrError::ElementCount {
                found: elements.len(),
            });
        }
        let pairs = read_pairs(listed_pairs)?;
        if pairs.get(KEY_ID).is_some_and(|scheme| scheme != SCHEME) {
            return Err(EnrError::Scheme);
        }
        let key_bytes = pairs.get(KEY_SECP256K1).ok_or(EnrError::NoPublicKey)?;
        let public_key =
            IdentityPublicKey::from_sec1(key_bytes).map_err(|_| EnrError::PublicKey)?;
        // The order of the record itself is what was signed.
        let digest = keccak(&rlp::encode_list(content.iter().copied()));
        let signature = <[u8; 64]>::try_from(*signature).map_err(|_| EnrError::Signature)?;
        if !public_key.verify(&digest, &signature) {
            return Err(EnrError::Signature);
        }
        Ok(Self {
            signature,
            sequence: sequence.to_vec(),
            pairs,
            public_key,
        })
    }

    /// The record's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let elements = [self.signature.as_slice(), &self.sequence]
            .into_iter()
            .chain(flat(&self.pairs));
        format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(rlp::encode_list(elements))
        )
    }

    /// The key the record is about and signed with.
    #[must_use]
    pub fn public_key(&self) -> &IdentityPublicKey {
        &self.public_key
    }

    /// The signature over the record, `R || S`.
    #[must_use]
    pub fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// The value under `key`, for example `ip` or `tcp` of an old record.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.pairs.get(key.as_bytes()).map(Vec::as_slice)
    }
}

impl fmt::Display for Enr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl FromStr for Enr {
    type Err = EnrError;

    fn from_str(text: &str) -> Result<Self, EnrError> {
        Self::parse(text)
    }
}

fn read_pairs(listed: &[&[u8]]) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, EnrError> {
    let mut pairs = BTreeMap::new();
    for pair in listed.chunks_exact(2) {
        if pairs.insert(pair[0].to_vec(), pair[1].to_vec()).is_some() {
            return Err(EnrError::DuplicateKey {
                key: String::from_utf8_lossy(pair[0]).into_owned(),
            });
        }
    }
    Ok(pairs)
}

fn flat(pairs: &BTreeMap<Vec<u8>, Vec<u8>>) -> impl Iterator<Item = &[u8]> {
    pairs
        .iter()
        .flat_map(|(key, value)| [key.as_slice(), value.as_slice()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "enr:-HW4QEp-BLhP30tqTGFbR9n2PdUKWP9qc0zphIRmn8_jpm4BYkgekztXQaPA_znRW8RvNYHo0pUwyPEwUGGeZu26XlKAgmlkgnY0iXNlY3AyNTZrMaEDG4TFVnsSZECZXT7VqroFZdceGDRgSBn_nBf16dXdB48";

    fn key(byte: u8) -> IdentityKey {
        IdentityKey::from_bytes(&[byte; 32]).unwrap()
    }

    /// A record with any content after the signature, signed properly.
    fn signed(key: &IdentityKey, content: &[&[u8]]) -> String {
        let signature = key.sign(&keccak(&rlp::encode_list(content.iter().copied())));
        let elements = std::iter::once(&signature[..64]).chain(content.iter().copied());
        format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(rlp::encode_list(elements))
        )
    }

    #[test]
    fn one_key_has_one_text() {
        assert_eq!(Enr::from_key(&key(1)).to_text(), TEXT);
        assert_eq!(Enr::parse(TEXT).unwrap(), Enr::from_key(&key(1)));
    }

    #[test]
    fn padding_is_stripped() {
        assert!(Enr::parse(&format!("{TEXT}==")).is_ok());
    }

    #[test]
    fn every_check_has_its_error() {
        let key = key(7);
        let public = key.public().to_compressed();
        let public = public.as_slice();
        let cases: [(&str, &[&[u8]], EnrError); 7] = [
            ("no pair", &[b""], EnrError::ElementCount { found: 2 }),
            (
                "odd",
                &[b"", b"id", b"v4", b"x"],
                EnrError::ElementCount { found: 5 },
            ),
            (
                "twice",
                &[b"", b"id", b"v4", b"id", b"v4"],
                EnrError::DuplicateKey { key: "id".into() },
            ),
            (
                "scheme",
                &[b"", b"id", b"v5", b"secp256k1", public],
                EnrError::Scheme,
            ),
            ("no key", &[b"", b"id", b"v4"], EnrError::NoPublicKey),
            (
                "bad key",
                &[b"", b"id", b"v4", b"secp256k1", &public[1..]],
                EnrError::PublicKey,
            ),
            (
                "fine without id",
                &[b"\x01", b"secp256k1", public],
                EnrError::Prefix,
            ),
        ];
        for (name, content, error) in cases {
            let outcome = Enr::parse(&signed(&key, content));
            match error {
                EnrError::Prefix => assert!(outcome.is_ok(), "{name}"),
                error => assert_eq!(outcome.unwrap_err(), error, "{name}"),
            }
        }
        assert_eq!(Enr::parse(&TEXT[4..]).unwrap_err(), EnrError::Prefix);
        assert_eq!(Enr::parse("enr:***").unwrap_err(), EnrError::Base64);
        assert_eq!(Enr::parse("enr:gA").unwrap_err(), EnrError::Rlp);
        let other = signed(&self::key(8), &[b"", b"id", b"v4", b"secp256k1", public]);
        assert_eq!(Enr::parse(&other).unwrap_err(), EnrError::Signature);
    }

    #[test]
    fn uncompressed_key_is_the_same_key() {
        let key = key(9);
        let uncompressed = [&[4][..], &key.public().uncompressed_xy()].concat();
        let enr = Enr::parse(&signed(
            &key,
            &[b"", b"id", b"v4", b"secp256k1", &uncompressed],
        ))
        .unwrap();
        assert_eq!(enr.public_key(), &key.public());
    }

    proptest! {
        #[test]
        fn parse_never_panics(text in "(enr:)?[A-Za-z0-9_=-]{0,200}") {
            let _ = Enr::parse(&text);
        }

        #[test]
        fn changed_text_is_refused(position in 4..TEXT.len() - 1, byte in b'a'..=b'z') {
            let mut text = TEXT.as_bytes().to_vec();
            prop_assume!(text[position] != byte);
            text[position] = byte;
            prop_assert!(Enr::parse(std::str::from_utf8(&text).unwrap()).is_err());
        }

        #[test]
        fn every_key_reads_back(bytes in any::<[u8; 32]>()) {
            if let Ok(key) = IdentityKey::from_bytes(&bytes) {
                let enr = Enr::from_key(&key);
                prop_assert_eq!(Enr::parse(&enr.to_text()).unwrap(), enr);
            }
        }
    }
}
