//! Bit strings whose sizes are set by the chain's preset, and therefore known at run time only.

use std::fmt;

use libssz::{SszDecode, SszEncode};
use libssz_merkle::{Sha2Hasher, merkleize, mix_in_length, pack};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Root, json::hex_bytes};

/// Bits that cannot be: wrong form or beyond any preset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BitsError {
    /// A bit list whose last byte is missing or zero, so that its length is not told.
    #[error("a bit list of {bytes} bytes has no delimiter bit")]
    NoDelimiter {
        /// Bytes found.
        bytes: usize,
    },
    /// More bits than the limit.
    #[error("{bits} bits, the limit is {limit}")]
    TooLong {
        /// Bits found or asked for.
        bits: u64,
        /// Bits allowed.
        limit: u64,
    },
    /// A bit vector without bits.
    #[error("a bit vector has no bytes")]
    Empty,
    /// A position at or past the length.
    #[error("bit {position} of {length}")]
    NoSuchBit {
        /// The position, from 0.
        position: u64,
        /// How many bits there are.
        length: u64,
    },
}

/// A list of bits in its SSZ form: little-endian bits followed by one delimiter bit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bitlist {
    bytes: Vec<u8>,
}

impl Bitlist {
    /// Most bits of any preset: 2048 validators in each of 64 committees. What a chain allows, which may be less, is
    /// checked against its own list sizes.
    pub const MAX_BITS: u64 = 2048 * 64;

    /// The list without bits: one byte with the delimiter.
    pub fn empty() -> Self {
        Self { bytes: vec![1] }
    }

    /// A list of `length` bits of which one is set.
    ///
    /// # Errors
    /// [`BitsError::TooLong`] above [`Self::MAX_BITS`], [`BitsError::NoSuchBit`] for a position past the length.
    pub fn with_one(length: u64, position: u64) -> Result<Self, BitsError> {
        if length > Self::MAX_BITS {
            return Err(BitsError::TooLong {
                bits: length,
                limit: Self::MAX_BITS,
            });
        }
        if position >= length {
            return Err(BitsError::NoSuchBit { position, length });
        }
        let mut bytes = vec![0; (length / 8 + 1) as usize];
        bytes[(length / 8) as usize] |= 1 << (length % 8);
        bytes[(position / 8) as usize] |= 1 << (position % 8);
        Ok(Self { bytes })
    }

    /// Reads the SSZ form.
    ///
    /// # Errors
    /// [`BitsError::NoDelimiter`], or [`BitsError::TooLong`] above [`Self::MAX_BITS`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BitsError> {
        if bytes.last().is_none_or(|&last| last == 0) {
            return Err(BitsError::NoDelimiter { bytes: bytes.len() });
        }
        let list = Self { bytes };
        if list.length() > Self::MAX_BITS {
            return Err(BitsError::TooLong {
                bits: list.length(),
                limit: Self::MAX_BITS,
            });
        }
        Ok(list)
    }

    /// The SSZ form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bits there are, set or not.
    pub fn length(&self) -> u64 {
        let last = self.bytes.last().copied().unwrap_or(1);
        (self.bytes.len() as u64 - 1) * 8 + u64::from(7 - last.leading_zeros())
    }

    /// Whether the bit at a position is set; `false` past the end.
    pub fn get(&self, position: u64) -> bool {
        position < self.length() && self.bytes[(position / 8) as usize] & (1 << (position % 8)) != 0
    }

    /// Positions of the set bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.length()).filter(|&position| self.get(position))
    }

    /// The hash tree root of a list limited to `limit` bits.
    ///
    /// # Errors
    /// [`BitsError::TooLong`] if there are more.
    pub fn tree_hash_root(&self, limit: u64) -> Result<Root, BitsError> {
        let length = self.length();
        if length > limit {
            return Err(BitsError::TooLong {
                bits: length,
                limit,
            });
        }
        let mut bits = self.bytes.clone();
        bits[(length / 8) as usize] &= !(1 << (length % 8));
        bits.truncate(length.div_ceil(8) as usize);
        let chunks = usize::try_from(limit.div_ceil(256)).unwrap_or(usize::MAX);
        let root = merkleize(&Sha2Hasher, &pack(&bits), Some(chunks));
        Ok(Root(mix_in_length(&Sha2Hasher, &root, length as usize)))
    }
}

impl fmt::Debug for Bitlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Bitlist({} of {} bits)",
            self.ones().count(),
            self.length()
        )
    }
}

impl SszEncode for Bitlist {
    fn is_fixed_size() -> bool {
        false
    }

    fn fixed_size() -> usize {
        0
    }

    fn encoded_len(&self) -> usize {
        self.bytes.len()
    }

    fn ssz_append(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.bytes);
    }
}

impl SszDecode for Bitlist {
    fn is_fixed_size() -> bool {
        false
    }

    fn fixed_size() -> usize {
        0
    }

    fn from_ssz_bytes(bytes: &[u8]) -> Result<Self, libssz::DecodeError> {
        Self::from_bytes(bytes.to_vec()).map_err(|error| match error {
            BitsError::NoDelimiter { .. } => libssz::DecodeError::MissingDelimiterBit,
            _ => libssz::DecodeError::ExcessBitsNotZero,
        })
    }
}

impl Serialize for Bitlist {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex_bytes::serialize(&self.bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for Bitlist {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(hex_bytes::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The committees an attestation speaks for, one bit each. Its size is the preset's number of committees, which the
/// encoding tells by its length in whole bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitteeBits {
    bytes: Vec<u8>,
}

impl CommitteeBits {
    /// Bytes of the mainnet preset's 64 committees. Members of a cluster exchange this size whatever the preset.
    pub const WIRE_BYTES: usize = 8;
    /// Most bytes accepted, four times mainnet's.
    pub const MAX_BYTES: usize = 32;

    /// One committee, in the size members of a cluster exchange.
    ///
    /// # Errors
    /// [`BitsError::NoSuchBit`] from index 64 on.
    pub fn one(index: u64) -> Result<Self, BitsError> {
        let length = Self::WIRE_BYTES as u64 * 8;
        if index >= length {
            return Err(BitsError::NoSuchBit {
                position: index,
                length,
            });
        }
        let mut bytes = vec![0; Self::WIRE_BYTES];
        bytes[(index / 8) as usize] = 1 << (index % 8);
        Ok(Self { bytes })
    }

    /// Reads the SSZ form.
    ///
    /// # Errors
    /// [`BitsError::Empty`], or [`BitsError::TooLong`] above [`Self::MAX_BYTES`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, BitsError> {
        if bytes.is_empty() {
            return Err(BitsError::Empty);
        }
        if bytes.len() > Self::MAX_BYTES {
            let (bits, limit) = (bytes.len() as u64 * 8, Self::MAX_BYTES as u64 * 8);
            return Err(BitsError::TooLong { bits, limit });
        }
        Ok(Self { bytes })
    }

    /// The SSZ form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The committees, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.bytes.len() as u64 * 8)
            .filter(|&bit| self.bytes[(bit / 8) as usize] & (1 << (bit % 8)) != 0)
    }

    /// The committee, if there is exactly one.
    pub fn only(&self) -> Option<u64> {
        let mut ones = self.ones();
        ones.next().filter(|_| ones.next().is_none())
    }

    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        Root(merkleize(&Sha2Hasher, &pack(&self.bytes), None))
    }
}

impl fmt::Debug for CommitteeBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitteeBits")?;
        f.debug_list().entries(self.ones()).finish()
    }
}

impl Serialize for CommitteeBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex_bytes::serialize(&self.bytes, serializer)
    }
}

impl<'de> Deserialize<'de> for CommitteeBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_bytes(hex_bytes::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_list_tells_its_length_by_the_delimiter() {
        for length in [1, 7, 8, 9, 128] {
            let list = Bitlist::with_one(length, length - 1).unwrap();
            assert_eq!(
                (list.length(), list.ones().collect::<Vec<_>>()),
                (length, vec![length - 1])
            );
            assert_eq!(Bitlist::from_bytes(list.as_bytes().to_vec()), Ok(list));
        }
        assert_eq!(Bitlist::empty().length(), 0);
    }

    #[test]
    fn lists_without_delimiter_or_beyond_the_limit_are_refused() {
        assert_eq!(
            Bitlist::from_bytes(vec![]),
            Err(BitsError::NoDelimiter { bytes: 0 })
        );
        assert_eq!(
            Bitlist::from_bytes(vec![1, 0]),
            Err(BitsError::NoDelimiter { bytes: 2 })
        );
        let mut longest = vec![0; 16_384];
        longest.push(1);
        assert_eq!(
            Bitlist::from_bytes(longest.clone()).unwrap().length(),
            Bitlist::MAX_BITS
        );
        *longest.last_mut().unwrap() = 2;
        assert!(matches!(
            Bitlist::from_bytes(longest),
            Err(BitsError::TooLong { .. })
        ));
        assert!(matches!(
            Bitlist::with_one(u64::MAX, 0),
            Err(BitsError::TooLong { .. })
        ));
        assert!(matches!(
            Bitlist::with_one(4, 4),
            Err(BitsError::NoSuchBit { .. })
        ));
    }

    #[test]
    fn one_committee_is_told_from_several() {
        let bits = CommitteeBits::one(63).unwrap();
        assert_eq!(bits.only(), Some(63));
        assert_eq!(CommitteeBits::from_bytes(vec![3]).unwrap().only(), None);
        assert_eq!(CommitteeBits::from_bytes(vec![0]).unwrap().only(), None);
        assert!(CommitteeBits::one(64).is_err());
        assert!(CommitteeBits::from_bytes(vec![]).is_err());
        assert!(CommitteeBits::from_bytes(vec![0; 33]).is_err());
    }
}
