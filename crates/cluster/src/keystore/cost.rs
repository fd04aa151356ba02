//! What a derivation costs, and how much of it a file may ask for.

use std::fmt;

use hmac::Hmac;
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

/// Rounds of PBKDF2 that a file may ask for: 64 times the usual 2^18.
const MAX_ROUNDS: u32 = 1 << 24;
/// Memory that scrypt may take: 4 times the usual 256 MiB.
const MAX_MEMORY_BYTES: u64 = 1 << 30;
/// Blocks of 128 bytes that scrypt may mix, all lanes together: 8 times the usual 2^21.
const MAX_MIXED_BLOCKS: u64 = 1 << 24;

/// The derivation function with its parameters, within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pbkdf2 { rounds: u32 },
    Scrypt { log_n: u8, r: u32, p: u32 },
}

/// A derivation that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CostError {
    /// PBKDF2 rounds out of bounds.
    #[error("{rounds} rounds of pbkdf2, expected 1 to {MAX_ROUNDS}")]
    Rounds {
        /// Rounds asked for.
        rounds: u64,
    },
    /// The scrypt parameters are not possible ones.
    #[error(
        "scrypt parameters n = {n}, r = {r}, p = {p}: n must be a power of two above 1, r and p at least 1"
    )]
    ScryptForm {
        /// Cost.
        n: u64,
        /// Block size.
        r: u64,
        /// Lanes.
        p: u64,
    },
    /// scrypt would take too much memory or time.
    #[error(
        "scrypt parameters n = {n}, r = {r}, p = {p} need {memory} bytes and {blocks} block operations, at most \
         {MAX_MEMORY_BYTES} and {MAX_MIXED_BLOCKS} are allowed"
    )]
    ScryptWork {
        /// Cost.
        n: u64,
        /// Block size.
        r: u64,
        /// Lanes.
        p: u64,
        /// Memory in bytes.
        memory: u64,
        /// Blocks of 128 bytes mixed.
        blocks: u64,
    },
}

impl Cost {
    /// What keystores of real validators are written with: PBKDF2 with 2^18 rounds.
    pub const FULL: Self = Self(Kind::Pbkdf2 { rounds: 1 << 18 });

    /// For tests and local testnets only: PBKDF2 with 16 rounds.
    pub const INSECURE: Self = Self(Kind::Pbkdf2 { rounds: 16 });

    /// PBKDF2 with HMAC-SHA-256.
    ///
    /// # Errors
    /// Rounds out of bounds.
    pub fn pbkdf2(rounds: u64) -> Result<Self, CostError> {
        u32::try_from(rounds)
            .ok()
            .filter(|rounds| (1..=MAX_ROUNDS).contains(rounds))
            .map(|rounds| Self(Kind::Pbkdf2 { rounds }))
            .ok_or(CostError::Rounds { rounds })
    }

    /// scrypt with cost `n`, block size `r` and `p` lanes.
    ///
    /// # Errors
    /// Parameters that are not possible, or too much memory or work.
    pub fn scrypt(n: u64, r: u64, p: u64) -> Result<Self, CostError> {
        if !n.is_power_of_two() || n < 2 || r == 0 || p == 0 {
            return Err(CostError::ScryptForm { n, r, p });
        }
        let memory = n.saturating_mul(r).saturating_mul(128);
        let blocks = n.saturating_mul(r).saturating_mul(p);
        let lanes_memory = p.saturating_mul(r).saturating_mul(128);
        if memory.max(lanes_memory) > MAX_MEMORY_BYTES || blocks > MAX_MIXED_BLOCKS {
            return Err(CostError::ScryptWork {
                n,
                r,
                p,
                memory: memory.max(lanes_memory),
                blocks,
            });
        }
        match (
            u8::try_from(n.trailing_zeros()),
            u32::try_from(r),
            u32::try_from(p),
        ) {
            // The crate's own conditions, so that deriving cannot fail.
            (Ok(log_n), Ok(r), Ok(p)) if scrypt::Params::new(log_n, r, p).is_ok() => {
                Ok(Self(Kind::Scrypt { log_n, r, p }))
            }
            _ => Err(CostError::ScryptForm { n, r, p }),
        }
    }

    /// Memory that one derivation takes, in bytes: what bounds how many may run side by side.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        match self.0 {
            Kind::Pbkdf2 { .. } => 0,
            Kind::Scrypt { log_n, r, .. } => (1 << log_n) * u64::from(r) * 128,
        }
    }

    /// PBKDF2's rounds, if that is the function.
    pub(super) fn rounds(self) -> Option<u32> {
        match self.0 {
            Kind::Pbkdf2 { rounds } => Some(rounds),
            Kind::Scrypt { .. } => None,
        }
    }

    /// scrypt's `n`, `r` and `p`, if that is the function.
    pub(super) fn scrypt_parameters(self) -> Option<[u64; 3]> {
        match self.0 {
            Kind::Pbkdf2 { .. } => None,
            Kind::Scrypt { log_n, r, p } => Some([1 << log_n, r.into(), p.into()]),
        }
    }

    /// The 32-byte key for a password.
    pub(super) fn derive(self, password: &[u8], salt: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        match self.0 {
            Kind::Pbkdf2 { rounds } => {
                pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, rounds, key.as_mut_slice())
                    .expect("HMAC takes keys of any length")
            }
            Kind::Scrypt { log_n, r, p } => {
                let parameters =
                    scrypt::Params::new(log_n, r, p).expect("checked when the cost was made");
                scrypt::scrypt(password, salt, &parameters, key.as_mut_slice())
                    .expect("32 bytes are a valid output");
            }
        }
        key
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Pbkdf2 { rounds } => write!(f, "pbkdf2, {rounds} rounds"),
            Kind::Scrypt { log_n, r, p } => write!(f, "scrypt, n = 2^{log_n}, r = {r}, p = {p}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_costs_are_within_bounds() {
        assert!(Cost::pbkdf2(1 << 18).is_ok());
        let scrypt = Cost::scrypt(1 << 18, 8, 1);
        assert_eq!(scrypt.map(Cost::memory_bytes), Ok(256 << 20));
    }

    #[test]
    fn excess_and_nonsense_are_refused() {
        for rounds in [0, u64::from(MAX_ROUNDS) + 1, u64::MAX] {
            assert_eq!(Cost::pbkdf2(rounds), Err(CostError::Rounds { rounds }));
        }
        for [n, r, p] in [[0, 8, 1], [1, 8, 1], [3, 8, 1], [2, 0, 1], [2, 8, 0]] {
            assert_eq!(
                Cost::scrypt(n, r, p),
                Err(CostError::ScryptForm { n, r, p })
            );
        }
        for [n, r, p] in [
            [1 << 21, 8, 1],
            [1 << 18, 8, 64],
            [1 << 63, 1, 1],
            [2, u64::MAX, 1],
            [2, 1, 1 << 40],
        ] {
            assert!(
                matches!(Cost::scrypt(n, r, p), Err(CostError::ScryptWork { .. })),
                "{n} {r} {p}"
            );
        }
    }
}
