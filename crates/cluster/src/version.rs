//! The versions of the cluster files and what each of them brought.
//!
//! Hashes depend on the version in many small ways; asking this type in words keeps comparisons of
//! version numbers out of the code that hashes, reads and writes.

use std::fmt;

/// Version of a definition and of the lock that contains it (spec 10 §2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// Base; byte fields in base64.
    V1_0,
    /// The timestamp is part of the definition hash.
    V1_1,
    /// Hex instead of base64; no operator nonce.
    V1_2,
    /// Real SSZ hashing, EIP-712 signatures.
    V1_3,
    /// A creator.
    V1_4,
    /// Addresses per validator.
    V1_5,
    /// Deposit data in the lock.
    V1_6,
    /// Builder registrations and node signatures in the lock.
    V1_7,
    /// Deposit amounts; several deposits per validator.
    V1_8,
    /// Consensus protocol.
    V1_9,
    /// Target gas limit and compounding.
    V1_10,
    /// Signature blobs of multi-signature wallets.
    V1_11,
}

impl Version {
    /// Every version, oldest first.
    pub const ALL: [Self; 12] = [
        Self::V1_0,
        Self::V1_1,
        Self::V1_2,
        Self::V1_3,
        Self::V1_4,
        Self::V1_5,
        Self::V1_6,
        Self::V1_7,
        Self::V1_8,
        Self::V1_9,
        Self::V1_10,
        Self::V1_11,
    ];

    /// The version that new files get unless an older one is asked for.
    pub const LATEST: Self = Self::V1_11;

    /// The text in the files, for example `v1.10.0`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "v1.0.0",
            Self::V1_1 => "v1.1.0",
            Self::V1_2 => "v1.2.0",
            Self::V1_3 => "v1.3.0",
            Self::V1_4 => "v1.4.0",
            Self::V1_5 => "v1.5.0",
            Self::V1_6 => "v1.6.0",
            Self::V1_7 => "v1.7.0",
            Self::V1_8 => "v1.8.0",
            Self::V1_9 => "v1.9.0",
            Self::V1_10 => "v1.10.0",
            Self::V1_11 => "v1.11.0",
        }
    }

    /// The version with exactly this text; `None` if there is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|version| version.as_str() == text)
    }

    /// Byte fields are base64 rather than hex, and operators carry a nonce.
    #[must_use]
    pub fn is_base64(self) -> bool {
        self <= Self::V1_1
    }

    /// Hashing follows SSZ lists and text lengths rather than the early ad-hoc scheme.
    #[must_use]
    pub fn has_ssz_hashing(self) -> bool {
        self >= Self::V1_3
    }

    /// Operators sign with EIP-712.
    #[must_use]
    pub fn has_wallet_signatures(self) -> bool {
        self >= Self::V1_3
    }

    /// The definition names its creator.
    #[must_use]
    pub fn has_creator(self) -> bool {
        self >= Self::V1_4
    }

    /// Each validator has its own pair of addresses.
    #[must_use]
    pub fn has_validator_addresses(self) -> bool {
        self >= Self::V1_5
    }

    /// Validators of the lock carry one deposit (`v1.6`, `v1.7`).
    #[must_use]
    pub fn has_single_deposit(self) -> bool {
        matches!(self, Self::V1_6 | Self::V1_7)
    }

    /// Validators of the lock carry a list of deposits, and the definition its amounts.
    #[must_use]
    pub fn has_partial_deposits(self) -> bool {
        self >= Self::V1_8
    }

    /// The lock carries builder registrations and node signatures.
    #[must_use]
    pub fn has_registrations(self) -> bool {
        self >= Self::V1_7
    }

    /// The definition names the consensus protocol.
    #[must_use]
    pub fn has_consensus_protocol(self) -> bool {
        self >= Self::V1_9
    }

    /// The definition has a target gas limit and the compounding flag.
    #[must_use]
    pub fn has_gas_limit(self) -> bool {
        self >= Self::V1_10
    }

    /// Signature fields may hold several concatenated signatures.
    #[must_use]
    pub fn has_signature_lists(self) -> bool {
        self >= Self::V1_11
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_found_by_its_text_and_no_other_is() {
        for version in Version::ALL {
            assert_eq!(Version::from_text(version.as_str()), Some(version));
        }
        for text in ["", "v1.12.0", "v1.10", "1.10.0", "V1.10.0", "v2.0.0"] {
            assert_eq!(Version::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn ten_comes_after_nine() {
        assert!(Version::V1_10 > Version::V1_9);
        assert_eq!(Version::ALL.last(), Some(&Version::LATEST));
    }
}
