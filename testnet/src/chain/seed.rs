//! One number from which everything random in the chain follows, so that a run can be repeated.

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;
use sha2::{Digest, Sha256};

/// The seed of a chain. Each use names its purpose, so that adding one use does not change the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// 32 bytes that depend on the seed, the purpose and a number (a slot, an epoch).
    pub fn bytes(self, purpose: &str, number: u64) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0.to_le_bytes());
        hash.update(number.to_le_bytes());
        hash.update(purpose.as_bytes());
        hash.finalize().into()
    }

    /// A generator seeded with [`Seed::bytes`].
    pub fn rng(self, purpose: &str, number: u64) -> ChaCha12Rng {
        ChaCha12Rng::from_seed(self.bytes(purpose, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purpose_number_and_seed_all_matter() {
        let base = Seed(1).bytes("block", 1);
        assert_eq!(base, Seed(1).bytes("block", 1));
        assert_ne!(base, Seed(2).bytes("block", 1));
        assert_ne!(base, Seed(1).bytes("block", 2));
        assert_ne!(base, Seed(1).bytes("order", 1));
    }
}
