//! What operators hold: definitions, locks, keystores, deposits, ENRs.
//!
//! Every file that describes a cluster or carries its keys is read, checked and made here, byte for
//! byte as the other implementations of the field have it. All of it is pure: functions take bytes
//! and give bytes; time and randomness are arguments; disk, network and threads are the caller's.
//! The crate must not know of running nodes.
//!
//! ```
//! use flotilla_cluster::{LoadOptions, Lock, Networks, VerifyOptions};
//!
//! fn open(bytes: &[u8]) -> Result<Lock, flotilla_cluster::LoadError> {
//!     let networks = Networks::public();
//!     let options = LoadOptions { verify: VerifyOptions::new(&networks), no_verify: false };
//!     let loaded = Lock::load(bytes, &options)?;
//!     for finding in &loaded.findings {
//!         eprintln!("{finding}"); // Nothing that stops a node.
//!     }
//!     Ok(loaded.file)
//! }
//! # assert!(open(b"{}").is_err());
//! ```
//!
//! | Module | One idea |
//! |---|---|
//! | `definition` | [`Definition`]: what operators agree on before they have a key |
//! | `lock` | [`Lock`]: and after |
//! | `verify` | whether either holds: one pass, every [`Finding`] |
//! | `eip712` | what wallets sign |
//! | `enr`, `peer` | [`Enr`], [`PeerId`]: operators on the network |
//! | [`keystore`] | a secret under a password (EIP-2335) |
//! | [`deposit`], [`registration`] | what a validator signs once |
//! | `key_guard` | [`KeyGuard`]: one process per identity key, the way Charon marks it |
//! | `network` | [`Networks`]: which chain a fork version means |
//! | `matching` | [`match_shares`]: which secret is whose share |
//! | [`collect`] | what operators sign one by one and a server collects |
//! | [`create`], [`combine`] | a whole cluster from keys, and keys from a whole cluster |

mod address;
pub mod collect;
pub mod combine;
pub mod create;
mod definition;
pub mod deposit;
mod eip712;
mod enr;
mod hashing;
mod json;
mod key_guard;
pub mod keystore;
mod lock;
mod matching;
mod network;
mod peer;
pub mod registration;
mod rfc3339;
mod signing;
mod verify;
mod version;

/// The vectors that check private building blocks are found like those of the integration tests.
#[cfg(test)]
#[path = "../tests/vectors/place.rs"]
#[allow(clippy::print_stdout)]
mod vector_place;

pub use address::{Address, AddressError};
pub use definition::{
    Addresses, Creator, DEFAULT_GAS_LIMIT, Definition, EncodeError, MIN_OPERATORS, NewDefinition,
    NewDefinitionError, Operator, SUPPORTED_PROTOCOL, ValidatorAddresses, check_protocol,
    default_threshold, random_uuid,
};
pub use eip712::{
    ContractWallet, TERMS_HASH, TypedMessage, contract_accepts, contract_call_data, terms_digest,
};
pub use enr::{Enr, EnrError};
pub use hashing::HashError;
pub use json::{MAX_FILE_BYTES, ParseError};
pub use key_guard::{KeyGuard, KeyInUse, RENEWAL_PERIOD};
pub use keystore::{Cost, CostError, DecryptError, Keystore};
pub use lock::{DistributedValidator, Lock, LockedDeposit, LockedRegistration};
pub use matching::{MatchError, match_shares, share_places};
pub use network::{Network, Networks, UnknownNetwork};
pub use peer::{Peer, PeerError, PeerId, peers};
pub use rfc3339::definition_timestamp;
pub use verify::{
    Check, Finding, LoadError, LoadOptions, Loaded, Progress, Severity, VerifyOptions,
};
pub use version::Version;
