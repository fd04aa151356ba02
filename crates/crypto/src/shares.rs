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
        "{total} shares with threshold {threshold}: the number of shares must be from the threshold to {MAX_SHARES}"
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
/// When `threshold` is less than 2, `total` less than `threshold` or more than [`MAX_SHARES`], or when the two
/// libraries disagree.
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
