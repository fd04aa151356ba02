//! Byte strings of fixed length, each its own type: roots, fork versions, public keys, signatures.
//!
//! Keys and signatures are only bytes here. Whether they are points on the curve is another room's question.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not the hex form of a byte string of the expected length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseBytesError {
    /// The text has another length.
    #[error("expected {expected} hex characters after an optional 0x, got {got}")]
    Length {
        /// Hex characters of the type.
        expected: usize,
        /// Bytes of text found, prefix left out.
        got: usize,
    },
    /// The length is right, a character is not hex.
    #[error(
        "expected {expected} hex characters after an optional 0x, got another character among them"
    )]
    Character {
        /// Hex characters of the type.
        expected: usize,
    },
}

/// Fills `bytes` from hex text of exactly its length; `0x` is optional, case does not matter.
pub(crate) fn parse_hex(text: &str, bytes: &mut [u8]) -> Result<(), ParseBytesError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let expected = bytes.len() * 2;
    if digits.len() != expected {
        return Err(ParseBytesError::Length {
            expected,
            got: digits.len(),
        });
    }
    hex::decode_to_slice(digits, bytes).map_err(|_| ParseBytesError::Character { expected })
}

/// The first and last bytes, enough to recognise a value in a log.
fn fmt_short(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match bytes {
        [a, b, c, d, .., y, z] if bytes.len() > 8 => {
            write!(f, "0x{a:02x}{b:02x}{c:02x}{d:02x}…{y:02x}{z:02x}")
        }
        short => write!(f, "0x{}", hex::encode(short)),
    }
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            libssz_derive::SszEncode, libssz_derive::SszDecode, libssz_derive::HashTreeRoot,
        )]
        #[ssz(transparent)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;
        }

        impl Default for $name {
            /// All zero.
            fn default() -> Self {
                Self([0; $length])
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 2 * $length];
                hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
                f.write_str("0x")?;
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                fmt_short(&self.0, f)?;
                f.write_str(")")
            }
        }

        impl FromStr for $name {
            type Err = ParseBytesError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0; $length];
                parse_hex(text, &mut bytes).map(|()| Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::json::from_text(deserializer)
            }
        }
    };
}

fixed_bytes! {
    /// A 32-byte hash tree root.
    Root, 32
}

fixed_bytes! {
    /// A fork's 4-byte version, which also tells networks apart.
    ForkVersion, 4
}

fixed_bytes! {
    /// A compressed BLS public key: 48 bytes, not checked to be a point.
    PublicKeyBytes, 48
}

fixed_bytes! {
    /// A compressed BLS signature: 96 bytes, not checked to be a point.
    SignatureBytes, 96
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_in_any_case_with_or_without_prefix() {
        let version = ForkVersion([0x10, 0, 0xab, 0xcd]);
        for text in ["0x1000abcd", "1000ABCD", "0x1000AbCd"] {
            assert_eq!(text.parse::<ForkVersion>().unwrap(), version);
        }
        assert_eq!(version.to_string(), "0x1000abcd");
    }

    #[test]
    fn wrong_length_and_wrong_character_are_told_apart() {
        assert_eq!(
            "0x10".parse::<ForkVersion>(),
            Err(ParseBytesError::Length {
                expected: 8,
                got: 2
            })
        );
        assert_eq!(
            "0x1000abcx".parse::<ForkVersion>(),
            Err(ParseBytesError::Character { expected: 8 })
        );
        assert_eq!(
            "1000ab\u{e9}".parse::<ForkVersion>(),
            Err(ParseBytesError::Character { expected: 8 })
        );
    }

    #[test]
    fn debug_is_short() {
        assert_eq!(format!("{:?}", Root([0xab; 32])), "Root(0xabababab…abab)");
        assert_eq!(
            format!("{:?}", ForkVersion([1, 2, 3, 4])),
            "ForkVersion(0x01020304)"
        );
    }

    #[test]
    fn json_is_hex_text() {
        let json = serde_json::to_string(&ForkVersion([1, 2, 3, 4])).unwrap();
        assert_eq!(json, "\"0x01020304\"");
        assert_eq!(
            serde_json::from_str::<ForkVersion>(&json).unwrap(),
            ForkVersion([1, 2, 3, 4])
        );
    }
}
