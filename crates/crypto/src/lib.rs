//! Keys, signatures and shares.
//!
//! A distributed validator's key never exists in one place: each operator holds a *share* of it,
//! signs with that share, and any `threshold` of the resulting partial signatures combine into
//! the validator's signature. This crate does exactly that arithmetic, and the secp256k1
//! signatures by which operators know each other. It signs and checks 32-byte messages and must
//! not know what those bytes mean: no slots, no duties, no files, no clock.
//!
//! ```
//! use flotilla_crypto::{os_rng, shares, verify, SecretKey};
//!
//! let mut rng = os_rng()?;
//! let group = SecretKey::generate(&mut rng);
//! let shares = shares::split(&group, 3, 4, &mut rng)?;
//!
//! let message = [7; 32];
//! let partials: Vec<_> = shares[1..].iter().map(|(index, key)| (*index, key.sign(&message))).collect();
//! let partials: Vec<_> = partials.iter().map(|(index, partial)| (*index, partial)).collect();
//! let signature = shares::Recombiner::new().recombine(&partials)?;
//!
//! assert!(verify(&group.public_key(), &message, &signature));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | Module | One idea |
//! |---|---|
//! | `bls` | [`SecretKey`], [`PublicKey`], [`Signature`] on BLS12-381, and [`verify`] |
//! | [`shares`] | splitting a key, recombining keys and signatures |
//! | [`batch`] | many signatures of one message for little more than the price of one; many of many for half |
//! | [`combine`] | all validators of one message: combine first, look for culprits only on failure |
//! | `identity` | [`IdentityKey`], the operator's secp256k1 key |
//! | `verified` | [`Verified`], the proof in the type that a check was made |
//!
//! Secrets are cleared on drop, print as `..`, and take constant-time paths. All `unsafe` code
//! is in the private module `raw`.

pub mod batch;
mod bls;
pub mod combine;
mod identity;
mod lagrange;
mod polynomial;
mod randomness;
mod raw;
mod recombine;
mod share_index;
pub mod shares;
mod verified;

pub use bls::{
    KeyError, PublicKey, SecretKey, Signature, aggregate, fast_aggregate_verify, verify,
};
pub use identity::{IdentityError, IdentityKey, IdentityPublicKey};
pub use randomness::{RandomnessError, os_rng};
pub use share_index::ShareIndex;
pub use verified::Verified;
