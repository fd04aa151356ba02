//! Rules all encodings of duties share: SSZ first, else JSON, and the headers before SSZ values (spec 30 §2.2, §2.3).

use super::attestation::SizeError;
use crate::{BitsError, DutyKind, Fork};

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// This crate has no data of that kind.
    #[error("data of kind {0} is not supported")]
    Kind(DutyKind),
    /// Too few or too many bytes.
    #[error("{what}: expected {expected} bytes, got {got}")]
    Length {
        /// The container.
        what: &'static str,
        /// Bytes it has, or needs at least.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// An offset that does not point where the container's layout has it.
    #[error("{what}: offset {got} instead of {expected}")]
    Offset {
        /// The container.
        what: &'static str,
        /// The canonical offset.
        expected: usize,
        /// The offset found.
        got: usize,
    },
    /// A version number no known fork has.
    #[error("unknown data version {0}")]
    Version(u64),
    /// A value of another fork's shape.
    #[error("{what}: not of the shape of {fork}")]
    Shape {
        /// The value.
        what: &'static str,
        /// The fork it should be of.
        fork: Fork,
    },
    /// Too few or too many items.
    #[error("{what}: {got} of them, expected 1 to {limit}")]
    Count {
        /// The items.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// Bits of an impossible form or number.
    #[error("{field}: {error}")]
    Bits {
        /// The field.
        field: &'static str,
        /// What is wrong.
        error: BitsError,
    },
    /// SSZ of another form.
    #[error("{what}: {problem}")]
    Ssz {
        /// The container.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// JSON of another form.
    #[error("{what}, as JSON: {problem}")]
    Json {
        /// The value.
        what: &'static str,
        /// What is wrong, and where.
        problem: String,
    },
}

impl From<SizeError> for DecodeError {
    fn from(SizeError { field, error }: SizeError) -> Self {
        Self::Bits { field, error }
    }
}

impl DecodeError {
    pub(super) fn ssz(what: &'static str) -> impl FnOnce(libssz::DecodeError) -> Self {
        move |error| Self::Ssz {
            what,
            problem: error.to_string(),
        }
    }

    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |error| Self::Json {
            what,
            problem: error.to_string(),
        }
    }

    pub(super) fn bits(field: &'static str) -> impl FnOnce(BitsError) -> Self {
        move |error| Self::Bits { field, error }
    }
}

/// SSZ, and when that fails and the text begins with a brace, JSON. The SSZ error is told otherwise.
pub(super) fn ssz_or_json<T>(
    bytes: &[u8],
    ssz: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
    json: impl FnOnce(&[u8]) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    match ssz(bytes) {
        Err(_) if bytes.trim_ascii_start().starts_with(b"{") => json(bytes),
        result => result,
    }
}

/// Longest JSON of an attestation that is read from members: its bits in hex, and room for the rest.
pub(super) const ATTESTATION_JSON_BYTES: usize = 64 << 10;

/// Reads JSON whose layout depends on its own fork number. It is held whole before that is known, in many times the
/// memory of its text, so the text is bounded.
pub(super) fn bounded_json<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    limit: usize,
) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::Json {
            what,
            problem: format!("{} bytes, the limit is {limit}", bytes.len()),
        });
    }
    serde_json::from_slice(bytes).map_err(DecodeError::json(what))
}

/// Compact JSON: the members' form of objects that have no SSZ form, or whose SSZ form is not in use.
pub(super) fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("structures of text, numbers and lists have a JSON form")
}

/// Wire bytes of a type that is JSON only.
macro_rules! json_wire {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The bytes on the cluster's wire: compact JSON.
            pub fn encode(&self) -> Vec<u8> {
                $crate::data::codec::json_bytes(self)
            }

            /// Reads the bytes on the cluster's wire.
            ///
            /// # Errors
            /// [`DecodeError::Json`](crate::DecodeError::Json).
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::DecodeError> {
                serde_json::from_slice(bytes).map_err($crate::DecodeError::json($what))
            }
        }
    };
}
pub(super) use json_wire;

/// The little-endian word at a place; `None` past the end.
pub(super) fn word_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk::<4>()
        .map(|word| u32::from_le_bytes(*word))
}

/// The little-endian double word at a place; `None` past the end.
pub(super) fn word_u64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk::<8>()
        .map(|word| u64::from_le_bytes(*word))
}

/// The header that tells fork and validator: 8 bytes each, and the offset 20.
pub(super) const INDEXED_HEADER: usize = 20;
/// The header that tells the fork: 8 bytes, and the offset 12.
pub(super) const PLAIN_HEADER: usize = 12;

/// The fork number at the head of a wrapper.
pub(super) fn fork_of(
    bytes: &[u8],
    what: &'static str,
    header: usize,
) -> Result<Fork, DecodeError> {
    let too_short = DecodeError::Length {
        what,
        expected: header,
        got: bytes.len(),
    };
    let number = word_u64(bytes, 0)
        .filter(|_| bytes.len() >= header)
        .ok_or(too_short)?;
    Fork::from_wire(number).ok_or(DecodeError::Version(number))
}

/// The header that tells the fork.
pub(super) fn plain_header(fork: Fork) -> Vec<u8> {
    let mut bytes = fork.wire().to_le_bytes().to_vec();
    bytes.extend_from_slice(&(PLAIN_HEADER as u32).to_le_bytes());
    bytes
}

/// The fork and the value behind a plain header.
pub(super) fn versioned<'a>(
    bytes: &'a [u8],
    what: &'static str,
) -> Result<(Fork, &'a [u8]), DecodeError> {
    let fork = fork_of(bytes, what, PLAIN_HEADER)?;
    let value = behind(bytes, what, PLAIN_HEADER)?;
    Ok((fork, value))
}

/// The value behind a header whose last word is its own length.
pub(super) fn behind<'a>(
    bytes: &'a [u8],
    what: &'static str,
    header: usize,
) -> Result<&'a [u8], DecodeError> {
    let got = word_u32(bytes, header - 4).unwrap_or_default() as usize;
    match bytes.get(header..) {
        Some(value) if got == header => Ok(value),
        _ => Err(DecodeError::Offset {
            what,
            expected: header,
            got,
        }),
    }
}
