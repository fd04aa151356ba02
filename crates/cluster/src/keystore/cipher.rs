//! AES-128 in counter mode and the checksum of EIP-2335.

use aes::Aes128;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Encrypts or decrypts in place with the first half of the derived key.
pub(super) fn apply(key: &Zeroizing<[u8; 32]>, iv: &[u8; 16], data: &mut [u8; 32]) {
    let mut aes_key = Zeroizing::new([0; 16]);
    aes_key.copy_from_slice(&key[..16]);
    Ctr128BE::<Aes128>::new((&*aes_key).into(), iv.into()).apply_keystream(data);
}

/// SHA-256 of the second half of the derived key and the ciphertext.
pub(super) fn checksum(key: &Zeroizing<[u8; 32]>, ciphertext: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update(&key[16..])
        .chain_update(ciphertext)
        .finalize()
        .into()
}

/// Compares without telling by its time where the difference is.
pub(super) fn matches(left: &[u8; 32], right: &[u8; 32]) -> bool {
    left.ct_eq(right).into()
}
