//! Ethereum addresses: 20 bytes, their EIP-55 text, and the wallet behind a signature.

use std::fmt;

use flotilla_crypto::IdentityPublicKey;
use flotilla_types::ExecutionAddress;
use sha3::{Digest, Keccak256};
use thiserror::Error;

/// An Ethereum address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 20]);

/// A text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Not `0x` and 40 hex digits.
    #[error("{found:?} is not an address: expected 0x and 40 hex digits")]
    Form {
        /// The text.
        found: String,
    },
    /// The case of the letters is not the EIP-55 checksum.
    #[error(
        "{found:?} has a wrong EIP-55 checksum: expected {expected}; check that the address was copied whole"
    )]
    Checksum {
        /// The text.
        found: String,
        /// The same address in the right case.
        expected: Address,
    },
}

impl Address {
    /// Reads `0x` and 40 hex digits in any case.
    ///
    /// # Errors
    /// The text is not of that form.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut bytes = [0; 20];
        text.strip_prefix("0x")
            .and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
            .map(|()| Self(bytes))
            .ok_or_else(|| AddressError::Form {
                found: text.chars().take(80).collect(),
            })
    }

    /// Reads an address whose letters have EIP-55 case.
    ///
    /// # Errors
    /// The text is not an address, or its case is another.
    pub fn from_checksummed(text: &str) -> Result<Self, AddressError> {
        let address = Self::parse(text)?;
        if address.to_string() == text {
            Ok(address)
        } else {
            Err(AddressError::Checksum {
                found: text.to_owned(),
                expected: address,
            })
        }
    }

    /// The address of a key.
    #[must_use]
    pub fn of(key: &IdentityPublicKey) -> Self {
        Self(key.ethereum_address())
    }

    /// Whether all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 20]
    }
}

impl fmt::Display for Address {
    /// `0x` and the digits in EIP-55 case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ExecutionAddress(self.0).fmt(f)
    }
}

/// Keccak-256 as Ethereum uses it.
pub(crate) fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// From EIP-55.
    const CHECKSUMMED: [&str; 4] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ];

    #[test]
    fn checksum_follows_eip_55() {
        for text in CHECKSUMMED {
            assert_eq!(Address::from_checksummed(text).unwrap().to_string(), text);
            let error = Address::from_checksummed(&text.to_lowercase()).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(
                Address::parse(&text.to_lowercase()).unwrap().to_string(),
                text
            );
        }
    }

    #[test]
    fn form_is_prefix_and_forty_digits() {
        for text in [
            "",
            "0x",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "0xgg",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
