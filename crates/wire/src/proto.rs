//! The schemas of `proto/` as compiled code, field by field.
//!
//! Nothing here has been checked. Messages whose bytes must survive, or that are read in great number, are not decoded
//! through these types (see `statement.rs`); tests hold both ways of reading against each other.

#![allow(missing_docs, clippy::all)]

/// Agreement, partial signatures and preferences.
pub mod core {
    include!(concat!(env!("OUT_DIR"), "/core.corepb.v1.rs"));
}

/// What nodes say about themselves.
pub mod peer_info {
    include!(concat!(env!("OUT_DIR"), "/app.peerinfo.peerinfopb.v1.rs"));
}
