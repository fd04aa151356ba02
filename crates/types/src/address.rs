//! Addresses of the execution layer.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha3::{Digest, Keccak256};

use crate::{ParseBytesError, bytes::parse_hex};

/// An address of the execution layer. JSON: `0x` and hex digits in EIP-55 case, read in any case.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    libssz_derive::SszEncode,
    libssz_derive::SszDecode,
    libssz_derive::HashTreeRoot,
)]
#[ssz(transparent)]
pub struct ExecutionAddress(pub [u8; 20]);

impl fmt::Display for ExecutionAddress {
    /// A digit is upper case where the hash of the lower-case text has a high nibble (EIP-55).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 40];
        hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
        let hash = Keccak256::digest(digits);
        for (place, digit) in digits.iter_mut().enumerate() {
            let nibble = hash[place / 2] >> (if place % 2 == 0 { 4 } else { 0 }) & 0x0f;
            if nibble >= 8 {
                digit.make_ascii_uppercase();
            }
        }
        write!(
            f,
            "0x{}",
            std::str::from_utf8(&digits).map_err(|_| fmt::Error)?
        )
    }
}

impl fmt::Debug for ExecutionAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecutionAddress({self})")
    }
}

impl FromStr for ExecutionAddress {
    type Err = ParseBytesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut address = Self::default();
        parse_hex(text, &mut address.0).map(|()| address)
    }
}

impl Serialize for ExecutionAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExecutionAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::from_text(deserializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// From EIP-55.
    #[test]
    fn text_has_checksum_case_and_is_read_in_any() {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0x52908400098527886E0F7030069857D2E4169EE7",
        ] {
            let address: ExecutionAddress = text.to_lowercase().parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.parse(), Ok(address));
        }
    }
}
