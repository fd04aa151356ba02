//! Messages to bytes and back, signed.
//!
//! Peers speak protobuf; the rooms below speak in [`flotilla_duty::io`]'s words. This is the edge between the two, and the
//! only place where a peer's bytes turn into something to believe: what leaves it towards the engine is
//! [`Verified`](flotilla_crypto::Verified), or claimed and bound to its sender's share. Each decoder names what it dropped and why
//! ([`Reject`]), and none panics whatever the bytes.
//!
//! - [`consensus`]: messages of the agreement, with justifications and values,
//! - [`signatures`]: the exchange of partial signatures,
//! - [`peer_info`]: what nodes say about themselves,
//! - [`votes`]: own votes in the form in which they survive a crash (S3),
//! - [`hash`]: the hash that stands for a message,
//! - [`proto`]: the schemas, field by field.
//!
//! ```
//! use std::time::Duration;
//! use flotilla_crypto::IdentityKey;
//! use flotilla_duty::io::ConsensusDraft;
//! use flotilla_qbft::{Draft, MessageKind};
//! use flotilla_types::{Chain, ChainSpec, Duty, DutyKind, ForkVersion, PeerIndex, Root, Slot, Timestamp};
//! use flotilla_wire::consensus::Codec;
//!
//! let keys = [1, 2, 3, 4].map(|number| IdentityKey::from_bytes(&[number; 32]).expect("a scalar"));
//! let spec = ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0; 4]));
//! let chain = Chain { spec, genesis_time: Timestamp::from_secs(0), genesis_validators_root: Root([0; 32]) };
//! let codec = Codec::new(keys.iter().map(IdentityKey::public).collect(), &[DutyKind::Attester], chain.spec.sizes);
//!
//! let draft = Draft { kind: MessageKind::RoundChange, round: 2, value: None, prepared_round: 0, prepared_value: None };
//! let draft = ConsensusDraft { duty: Duty::attester(Slot(5)), draft, justification: vec![], values: vec![] };
//! let sealed = codec.seal(draft, PeerIndex::new(3), &keys[3])?;
//! let heard = codec.decode(&sealed.bytes, chain.slot_start(Slot(5)), &chain)?;
//! assert_eq!(heard, sealed.message);
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! It must not know of sockets, streams, frame lengths, files or tasks: `p2p` moves the bytes, `node` keeps the log.

pub mod consensus;
mod fields;
pub mod hash;
pub mod peer_info;
pub mod proto;
mod recent;
mod reject;
pub mod signatures;
mod statement;
#[cfg(test)]
mod testing;
mod values;
mod version;
pub mod votes;

pub use reject::Reject;
pub use values::value_hash;
pub use version::writes_plural_contributions;
