//! Voluntary exits.

use libssz::{SszDecode as _, SszEncode as _};
use libssz_derive::{HashTreeRoot, SszDecode, SszEncode};
use serde::{Deserialize, Serialize};

use super::codec::{DecodeError, json_bytes, ssz_or_json};
use crate::{Epoch, Root, SignatureBytes, ValidatorIndex, signing::tree_hash};

/// Name in errors.
const WHAT: &str = "voluntary exit";

/// A wish to leave the validator set.
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
pub struct VoluntaryExit {
    /// The earliest epoch to leave in.
    pub epoch: Epoch,
    /// Who leaves.
    pub validator_index: ValidatorIndex,
}

impl VoluntaryExit {
    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }
}

/// A voluntary exit with its signature. Among members it is JSON, although it has an SSZ form of 112 bytes.
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
pub struct SignedVoluntaryExit {
    /// The wish.
    pub message: VoluntaryExit,
    /// The signature.
    pub signature: SignatureBytes,
}

impl SignedVoluntaryExit {
    /// The bytes on the cluster's wire: compact JSON.
    pub fn encode(&self) -> Vec<u8> {
        json_bytes(self)
    }

    /// The SSZ form.
    pub fn encode_ssz(&self) -> Vec<u8> {
        self.to_ssz()
    }

    /// Reads the bytes on the cluster's wire, JSON or SSZ.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ssz = |bytes: &[u8]| Self::from_ssz_bytes(bytes).map_err(DecodeError::ssz(WHAT));
        ssz_or_json(bytes, ssz, |json| {
            serde_json::from_slice(json).map_err(DecodeError::json(WHAT))
        })
    }
}
