//! Sharing a key among operators (Shamir), and recombining what they hold.
//!
//! A polynomial of degree `threshold - 1` has the secret as its value at 0; share `x` is its value
//! at `x`. Any `threshold` shares determine it, fewer say nothing.

use rand::CryptoRng;

use crate::bls::SecretKey;
pub use crate::polynomial::{Polynomial, public_share};
pub use crate::recombine::{RecombineError, Recombiner, recombine_public, recombine_secret};
use crate::share_index::ShareIndex;

/// The largest number of shares of one key.
pub const MAX_SHARES: usize = 256;

/// Why a key was not split. Nothing was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// One share would be the secret itself, or the polynomial too long.
    #[error("the threshold is {threshold}, it must be from 2 to {MAX_SHARES}")]
    Threshold {
        /// The threshold asked for.
        threshold: usize,
    },
    /// Fewer shares than are needed to sign, or more than a cluster can have.
    #[error(
        "{total} shares with threshold {threshold}: there must be {threshold} to {MAX_SHARES} shares"
    )]
    Total {
        /// The number of shares asked for.
        total: usize,
        /// The threshold asked for.
        threshold: usize,
    },
    /// Both implementations computed different values: a defect in a library or in the machine.
    #[error("two independent computations of share {index} disagree")]
    Mismatch {
        /// The share they disagree on.
        index: ShareIndex,
    },
    /// One implementation does not take the other's public point.
    #[error("the two implementations disagree on whether a commitment is a valid point")]
    Commitment,
    /// One implementation does not take the other's secret.
    #[error("the two implementations disagree on whether a coefficient is in range")]
    Secret,
}

/// Splits `secret` into `total` shares, any `threshold` of which suffice.
///
/// Each share and its public key are computed by two independent libraries before any is returned.
///
/// # Errors
/// When `threshold` is less than 2, `total` less than `threshold` or more than [`MAX_SHARES`], or
/// when the two libraries disagree.
pub fn split<R: CryptoRng + ?Sized>(
    secret: &SecretKey,
    threshold: usize,
    total: usize,
    rng: &mut R,
) -> Result<Vec<(ShareIndex, SecretKey)>, SplitError> {
    if !(threshold..=MAX_SHARES).contains(&total) {
        return Err(SplitError::Total { total, threshold });
    }
    let polynomial = Polynomial::random(secret, threshold, rng)?;
    (0..total)
        .map(|peer| {
            let index = ShareIndex::from_peer(peer);
            Ok((index, polynomial.share(index)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;

    fn attempt(threshold: usize, total: usize) -> Result<Vec<(ShareIndex, SecretKey)>, SplitError> {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = SecretKey::generate(&mut rng);
        split(&secret, threshold, total, &mut rng)
    }

    #[test]
    fn thresholds_that_share_nothing_or_cannot_be_met_are_refused() {
        assert_eq!(
            attempt(0, 4).unwrap_err(),
            SplitError::Threshold { threshold: 0 }
        );
        assert_eq!(
            attempt(1, 4).unwrap_err(),
            SplitError::Threshold { threshold: 1 }
        );
        assert_eq!(
            attempt(5, 4).unwrap_err(),
            SplitError::Total {
                total: 4,
                threshold: 5
            }
        );
        assert_eq!(
            attempt(3, 257).unwrap_err(),
            SplitError::Total {
                total: 257,
                threshold: 3
            }
        );
    }

    #[test]
    fn shares_are_numbered_from_one_in_the_order_of_peers() {
        let numbers: Vec<u16> = attempt(3, 4)
            .unwrap()
            .iter()
            .map(|(index, _)| index.get())
            .collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
    }

    #[test]
    fn no_share_is_the_secret() {
        let secret = SecretKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
        assert!(
            attempt(2, 20)
                .unwrap()
                .iter()
                .all(|(_, share)| share.to_bytes() != secret.to_bytes())
        );
    }
}
