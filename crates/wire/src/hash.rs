//! The hash that stands for a message in agreements and under signatures (spec 20 §3.4, `hashProto`).
//!
//! It is the SSZ Merkle root of the deterministic encoding, without the length mixed in. Two consequences matter: up to
//! 32 bytes are padded, not hashed, and nothing at all hashes to zero, which is why "no value" is 32 zero bytes.

use sha2::{Digest, Sha256};

/// Length of a hash and of a leaf, in bytes.
const LEAF: usize = 32;

/// Merkle root of `bytes`, cut into 32-byte leaves and padded with zeros.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> [u8; LEAF] {
    let mut level: Vec<[u8; LEAF]> = bytes.chunks(LEAF).map(leaf).collect();
    let mut padding = [0; LEAF];
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| join(&pair[0], pair.get(1).unwrap_or(&padding)))
            .collect();
        padding = join(&padding, &padding);
    }
    level.first().copied().unwrap_or(padding)
}

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; LEAF] {
    Sha256::digest(bytes).into()
}

fn leaf(bytes: &[u8]) -> [u8; LEAF] {
    let mut leaf = [0; LEAF];
    leaf[..bytes.len()].copy_from_slice(bytes);
    leaf
}

fn join(left: &[u8; LEAF], right: &[u8; LEAF]) -> [u8; LEAF] {
    Sha256::new()
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hashes_to_zero() {
        assert_eq!(hash_bytes(&[]), [0; 32]);
    }

    #[test]
    fn up_to_32_bytes_are_padded_and_not_hashed() {
        assert_eq!(hash_bytes(&[0xd3]), leaf(&[0xd3]));
        assert_eq!(hash_bytes(&[7; 32]), [7; 32]);
    }

    #[test]
    fn an_odd_level_is_filled_with_the_root_of_zeros() {
        let root = hash_bytes(&[1; 160]);
        let (pair, zeros) = (join(&[1; 32], &[1; 32]), join(&[0; 32], &[0; 32]));
        let last = join(&[1; 32], &[0; 32]);
        assert_eq!(root, join(&join(&pair, &pair), &join(&last, &zeros)));
    }
}
