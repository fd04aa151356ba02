//! The building blocks of cluster hashes (spec 10 §2.3): SSZ hashing with the field's historic quirks.
//!
//! A field yields one 32-byte chunk or none. Encoders that yield *none* for empty input shift the
//! fields after it; hashes of versions 1.0 to 1.4 depend on that. What is hashed in which order is
//! decided by the definition and the lock, not here.

use sha2::{Digest, Sha256};
use thiserror::Error;

/// One leaf or node of the tree.
pub(crate) type Chunk = [u8; 32];

const ZERO_CHUNK: Chunk = [0; 32];

/// A value too large for its place in the tree, or not of the form that is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// More bytes or elements than the format allows.
    #[error("{field} has {found} {unit}, at most {limit} are allowed")]
    TooLong {
        /// The JSON name of the field.
        field: &'static str,
        /// Largest number allowed.
        limit: usize,
        /// Number found.
        found: usize,
        /// What is counted: bytes, elements, signatures.
        unit: &'static str,
    },
    /// Not an address of 20 bytes in hex.
    #[error("{field} is {found:?}, expected an address of 20 bytes in hex")]
    Address {
        /// The JSON name of the field.
        field: &'static str,
        /// The text found.
        found: String,
    },
    /// A signature blob that is not a sequence of 65-byte signatures.
    #[error("{field} has {found} bytes, expected a multiple of 65")]
    SignatureBlob {
        /// The JSON name of the field.
        field: &'static str,
        /// Length in bytes.
        found: usize,
    },
}

/// Most 65-byte signatures in one signature field.
pub(crate) const MAX_BLOB_SIGNATURES: usize = 32;

/// Length of one wallet signature.
pub(crate) const WALLET_SIGNATURE_BYTES: usize = 65;

/// The chunks of an object's fields, in hashing order.
#[derive(Default)]
pub(crate) struct Fields(Vec<Chunk>);

impl Fields {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The object's own chunk. No fields at all hash to zero, one field to itself.
    pub(crate) fn root(&self) -> Chunk {
        merkle_root(&self.0, self.0.len())
    }

    /// Adds an object, or anything else that is already one chunk.
    pub(crate) fn chunk(&mut self, chunk: Chunk) {
        self.0.push(chunk);
    }

    /// Adds the fields of another object as if they were this one's own.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `raw`: nothing for no bytes, one right-padded chunk up to 32 bytes, a root above.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let chunks = chunks(bytes);
        if !chunks.is_empty() {
            self.0.push(merkle_root(&chunks, chunks.len()));
        }
    }

    /// A number, little-endian.
    pub(crate) fn number(&mut self, number: u64) {
        self.raw(&number.to_le_bytes());
    }

    /// A flag.
    pub(crate) fn flag(&mut self, flag: bool) {
        self.raw(&[u8::from(flag)]);
    }

    /// `fixed`: zeros on the *left* up to `size`, so that empty input hashes as zeros.
    pub(crate) fn fixed(
        &mut self,
        field: &'static str,
        bytes: &[u8],
        size: usize,
    ) -> Result<(), HashError> {
        at_most(field, "bytes", size, bytes.len())?;
        let mut padded = vec![0; size - bytes.len()];
        padded.extend_from_slice(bytes);
        self.raw(&padded);
        Ok(())
    }

    /// `addr`: 20 bytes, zeros for an empty text.
    pub(crate) fn address(&mut self, field: &'static str, text: &str) -> Result<(), HashError> {
        self.raw(&address_bytes(field, text)?.unwrap_or_default());
        Ok(())
    }

    /// `text`: bytes as a list of at most `limit`, with their length mixed in.
    pub(crate) fn text(
        &mut self,
        field: &'static str,
        text: &str,
        limit: usize,
    ) -> Result<(), HashError> {
        self.bytes_list(field, text.as_bytes(), limit)
    }

    fn bytes_list(
        &mut self,
        field: &'static str,
        bytes: &[u8],
        limit: usize,
    ) -> Result<(), HashError> {
        at_most(field, "bytes", limit, bytes.len())?;
        self.0.push(mix_length(
            merkle_root(&chunks(bytes), limit.div_ceil(32)),
            bytes.len(),
        ));
        Ok(())
    }

    /// `list`: the elements' chunks under `limit`, with the number of elements mixed in.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        limit: usize,
        items: impl IntoIterator<Item = T>,
        mut add: impl FnMut(&mut Fields, T) -> Result<(), HashError>,
    ) -> Result<(), HashError> {
        let mut elements = Fields::new();
        let mut count = 0;
        for item in items {
            count += 1;
            add(&mut elements, item)?;
        }
        at_most(field, "elements", limit, count)?;
        self.0
            .push(mix_length(merkle_root(&elements.0, limit), count));
        Ok(())
    }

    /// `u64s`: numbers packed four per chunk.
    pub(crate) fn numbers(
        &mut self,
        field: &'static str,
        numbers: &[u64],
        limit: usize,
    ) -> Result<(), HashError> {
        at_most(field, "elements", limit, numbers.len())?;
        let packed: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        self.0.push(mix_length(
            merkle_root(&chunks(&packed), limit.div_ceil(4)),
            numbers.len(),
        ));
        Ok(())
    }

    /// `sigs`: a list of 65-byte signatures, taken from one blob.
    pub(crate) fn signatures(&mut self, field: &'static str, blob: &[u8]) -> Result<(), HashError> {
        if !blob.len().is_multiple_of(WALLET_SIGNATURE_BYTES) {
            return Err(HashError::SignatureBlob {
                field,
                found: blob.len(),
            });
        }
        let signatures = blob.chunks_exact(WALLET_SIGNATURE_BYTES);
        self.list(field, MAX_BLOB_SIGNATURES, signatures, |list, signature| {
            list.raw(signature);
            Ok(())
        })
    }
}

/// The 20 bytes of an address in hex with or without `0x`; `None` for an empty text.
pub(crate) fn address_bytes(
    field: &'static str,
    text: &str,
) -> Result<Option<[u8; 20]>, HashError> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut bytes = [0; 20];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).map_err(|_| {
        HashError::Address {
            field,
            found: text.chars().take(80).collect(),
        }
    })?;
    Ok(Some(bytes))
}

fn at_most(
    field: &'static str,
    unit: &'static str,
    limit: usize,
    found: usize,
) -> Result<(), HashError> {
    if found > limit {
        Err(HashError::TooLong {
            field,
            limit,
            found,
            unit,
        })
    } else {
        Ok(())
    }
}

fn chunks(bytes: &[u8]) -> Vec<Chunk> {
    bytes
        .chunks(32)
        .map(|part| {
            let mut chunk = ZERO_CHUNK;
            chunk[..part.len()].copy_from_slice(part);
            chunk
        })
        .collect()
}

/// Merkle root over `leaves`, padded with zero chunks to the next power of two of at least `limit`.
/// The caller has checked that there are at most `limit` leaves.
fn merkle_root(leaves: &[Chunk], limit: usize) -> Chunk {
    if limit == 0 {
        return ZERO_CHUNK;
    }
    let mut level = leaves.to_vec();
    let mut padding = ZERO_CHUNK;
    for _ in 0..limit.next_power_of_two().trailing_zeros() {
        if level.len() % 2 == 1 {
            level.push(padding);
        }
        level = level
            .chunks_exact(2)
            .map(|pair| hash_pair(&pair[0], &pair[1]))
            .collect();
        padding = hash_pair(&padding, &padding);
    }
    level.first().copied().unwrap_or(padding)
}

fn mix_length(root: Chunk, length: usize) -> Chunk {
    let mut length_chunk = ZERO_CHUNK;
    length_chunk[..8].copy_from_slice(&(length as u64).to_le_bytes());
    hash_pair(&root, &length_chunk)
}

/// SHA-256 of two chunks.
pub(crate) fn hash_pair(left: &Chunk, right: &Chunk) -> Chunk {
    Sha256::new()
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::vector_place;

    #[test]
    fn empty_raw_value_is_absent_but_empty_fixed_value_is_zeros() {
        let mut fields = Fields::new();
        fields.raw(&[]);
        assert!(fields.0.is_empty());
        assert_eq!(fields.root(), ZERO_CHUNK);
        fields.fixed("f", &[], 4).unwrap();
        assert_eq!(fields.0, [ZERO_CHUNK]);
    }

    #[test]
    fn fixed_pads_on_the_left_and_chunks_on_the_right() {
        let mut fields = Fields::new();
        fields.fixed("f", &[0xab, 0xcd], 4).unwrap();
        let mut expected = ZERO_CHUNK;
        expected[2..4].copy_from_slice(&[0xab, 0xcd]);
        assert_eq!(fields.root(), expected);
    }

    #[test]
    fn object_of_one_field_is_that_field() {
        let mut fields = Fields::new();
        fields.number(7);
        let mut expected = ZERO_CHUNK;
        expected[0] = 7;
        assert_eq!(fields.root(), expected);
    }

    #[test]
    fn padding_uses_zero_subtrees() {
        let leaf = [1; 32];
        let zero_pair = hash_pair(&ZERO_CHUNK, &ZERO_CHUNK);
        let expected = hash_pair(&hash_pair(&leaf, &ZERO_CHUNK), &zero_pair);
        assert_eq!(merkle_root(&[leaf], 3), expected);
        assert_eq!(merkle_root(&[leaf], 4), expected);
        assert_eq!(merkle_root(&[], 4), hash_pair(&zero_pair, &zero_pair));
        assert_eq!(merkle_root(&[], 1), ZERO_CHUNK);
        assert_eq!(merkle_root(&[leaf], 1), leaf);
    }

    #[test]
    fn vectors_hash_primitives() {
        let Some(folder) = vector_place::folder("cluster/known-answers") else {
            return;
        };
        let cases = std::fs::read(folder.join("hash-primitives.json")).unwrap();
        let cases: Vec<serde_json::Value> = serde_json::from_slice(&cases).unwrap();
        for case in &cases {
            let mut fields = Fields::new();
            for field in case["fields"].as_array().unwrap() {
                let text = field[1].as_str().unwrap_or_default();
                let bytes = || hex::decode(text.strip_prefix("0x").unwrap()).unwrap();
                let size = field[2].as_u64().unwrap_or_default() as usize;
                match field[0].as_str().unwrap() {
                    // Texts of this file are arbitrary bytes.
                    "text" => fields.bytes_list("text", &bytes(), size).unwrap(),
                    "raw" => fields.raw(&bytes()),
                    "bytesN" => fields.fixed("bytesN", &bytes(), size).unwrap(),
                    "u64" => fields.number(field[1].as_u64().unwrap()),
                    "addr" => fields.address("addr", text).unwrap(),
                    other => panic!("unknown field form {other}"),
                }
            }
            assert_eq!(
                hex::encode(fields.root()),
                case["root"].as_str().unwrap(),
                "{}",
                case["name"]
            );
        }
    }

    #[test]
    fn limits_are_errors_with_numbers() {
        let mut fields = Fields::new();
        let error = fields.text("uuid", &"x".repeat(65), 64).unwrap_err();
        assert_eq!(
            error.to_string(),
            "uuid has 65 bytes, at most 64 are allowed"
        );
        assert!(fields.fixed("f", &[0; 5], 4).is_err());
        assert!(fields.numbers("n", &[0; 257], 256).is_err());
        assert!(fields.signatures("s", &[0; 64]).is_err());
        assert!(fields.signatures("s", &[0; 65 * 33]).is_err());
        assert!(fields.address("a", "0x12").is_err());
        assert!(fields.list("l", 1, [1, 2], |_, _| Ok(())).is_err());
    }
}
