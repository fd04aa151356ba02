//! Messages of the sync committee's members.

use libssz::{SszDecode as _, SszEncode as _};
use libssz_derive::{SszDecode, SszEncode};
use serde::{Deserialize, Serialize};

use super::codec::{DecodeError, ssz_or_json};
use crate::{Root, SignatureBytes, Slot, ValidatorIndex};

/// Name in errors.
const WHAT: &str = "sync committee message";

/// What a member of the sync committee says of the head: 144 bytes of SSZ. The signature covers the root alone.
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
    Serialize,
    Deserialize,
)]
pub struct SyncCommitteeMessage {
    /// The slot.
    pub slot: Slot,
    /// The head.
    pub beacon_block_root: Root,
    /// The member.
    pub validator_index: ValidatorIndex,
    /// The signature.
    pub signature: SignatureBytes,
}

impl SyncCommitteeMessage {
    /// The SSZ form, which is that on the cluster's wire.
    pub fn encode(&self) -> Vec<u8> {
        self.to_ssz()
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
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
