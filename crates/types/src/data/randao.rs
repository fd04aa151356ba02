//! Reveals of randomness.

use libssz_derive::{HashTreeRoot, SszDecode, SszEncode};
use serde::{Deserialize, Serialize};

use super::codec::json_wire;
use crate::{Epoch, Root, SignatureBytes, signing::tree_hash};

/// A validator's randomness of an epoch, which its blocks reveal: the signature over the epoch itself.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    SszEncode,
    SszDecode,
    HashTreeRoot,
    Serialize,
    Deserialize,
)]
pub struct RandaoReveal {
    /// The epoch.
    pub epoch: Epoch,
    /// The reveal.
    pub signature: SignatureBytes,
}

json_wire!(RandaoReveal, "randao reveal");

impl Epoch {
    /// The hash tree root: what a randao reveal signs.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }
}
