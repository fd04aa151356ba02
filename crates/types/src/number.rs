//! The chain's numbers, each its own type, since mixing them up is the classic slip.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is not a decimal number of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a decimal number below 2^64, got {length} characters that are not one")]
pub struct ParseNumberError {
    /// How many bytes the text had; the text itself may be foreign and long.
    pub length: usize,
}

/// Digits only: `u64::from_str` would also take a leading plus sign.
pub(crate) struct Decimal(pub(crate) u64);

impl FromStr for Decimal {
    type Err = ParseNumberError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ParseNumberError { length: text.len() };
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error);
        }
        text.parse().map(Self).map_err(|_| error)
    }
}

macro_rules! chain_number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            libssz_derive::SszEncode, libssz_derive::SszDecode, libssz_derive::HashTreeRoot,
        )]
        #[ssz(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseNumberError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse::<Decimal>().map(|decimal| Self(decimal.0))
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

chain_number! {
    /// A slot of the chain, from 0 at genesis. JSON: decimal text.
    Slot
}

chain_number! {
    /// An epoch of the chain, from 0 at genesis. JSON: decimal text.
    Epoch
}

chain_number! {
    /// A validator's place in the beacon state. JSON: decimal text.
    ValidatorIndex
}

chain_number! {
    /// A committee's place within its slot, and from Electra on the constant 0 inside attestation data (Gloas gives
    /// that field another meaning again, so nothing may rely on it). JSON: decimal text.
    CommitteeIndex
}

impl Epoch {
    /// What configurations write for "not scheduled" (consensus specs, `FAR_FUTURE_EPOCH`).
    pub const FAR_FUTURE: Self = Self(u64::MAX);
}

/// A member's place in the cluster's list of operators, from 0. Key shares count from 1: see [`PeerIndex::share_number`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(u16);

impl PeerIndex {
    /// The largest index: one less than the largest share number, which is a `u16` as well.
    pub const MAX: usize = u16::MAX as usize - 1;

    /// The member at this place.
    ///
    /// # Panics
    /// Above [`PeerIndex::MAX`]. Indexes come from the length of the cluster's own operator list, never from a message;
    /// for foreign numbers use [`PeerIndex::checked`].
    pub fn new(index: usize) -> Self {
        Self::checked(index).expect("a cluster has fewer than 65535 operators")
    }

    /// The member at this place, or `None` above [`PeerIndex::MAX`].
    pub fn checked(index: usize) -> Option<Self> {
        u16::try_from(index)
            .ok()
            .filter(|&index| index < u16::MAX)
            .map(Self)
    }

    /// The place in the operator list, from 0.
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    /// The number of this member's key share, from 1.
    pub const fn share_number(self) -> u16 {
        self.0 + 1
    }
}

impl fmt::Display for PeerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for PeerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerIndex({})", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn json_is_decimal_text() {
        assert_eq!(
            serde_json::to_string(&Slot(u64::MAX)).unwrap(),
            "\"18446744073709551615\""
        );
        assert_eq!(serde_json::from_str::<Slot>("\"7\"").unwrap(), Slot(7));
    }

    #[test]
    fn json_refuses_everything_else() {
        for text in [
            "7",
            "\"\"",
            "\"+7\"",
            "\"-7\"",
            "\"0x7\"",
            "\"18446744073709551616\"",
            "null",
            "\" 7\"",
        ] {
            assert!(serde_json::from_str::<Slot>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_count_from_one() {
        assert_eq!(PeerIndex::new(0).share_number(), 1);
        assert_eq!(PeerIndex::new(PeerIndex::MAX).share_number(), u16::MAX);
        assert_eq!(PeerIndex::checked(PeerIndex::MAX + 1), None);
    }
}
