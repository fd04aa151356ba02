//! Randomness from the operating system, as the one generator type the crate hands out.

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct RandomnessError(getrandom::Error);

/// A generator fit for keys, seeded afresh by the operating system.
///
/// # Errors
/// When the operating system has no randomness to give, which on a running system does not happen.
pub fn os_rng() -> Result<ChaCha20Rng, RandomnessError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(RandomnessError)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}
