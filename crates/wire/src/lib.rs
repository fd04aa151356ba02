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
//! - [`hash`]: the hash that stands for a message.
//!
//! It must not know of sockets, streams, frame lengths, files or tasks: `p2p` moves the bytes, `node` keeps the log.

pub mod consensus;
mod fields;
pub mod hash;
pub mod peer_info;
#[doc(hidden)]
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
