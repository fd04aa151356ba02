//! Rules all encodings of duties share: SSZ first, else JSON, and the headers before SSZ values (spec 30 §2.2, §2.3).

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

impl DecodeError {
    pub(super) fn ssz(what: &'static str) -> impl FnOnce(libssz::DecodeError) -> Self {
        move |error| Self::Ssz {
            what,
            problem: error.to_string(),
        }
    }

    pub(super) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
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
