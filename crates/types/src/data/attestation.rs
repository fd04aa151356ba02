//! Attestation data, and attestations in every shape up to Fulu.

use libssz::{SszDecode as _, SszEncode as _};
use libssz_derive::{HashTreeRoot, SszDecode, SszEncode};
use libssz_merkle::{Sha2Hasher, merkleize};
use serde::{Deserialize, Serialize};

use super::codec::{DecodeError, word_u32};
use crate::{
    Bitlist, BitsError, CommitteeBits, CommitteeIndex, Epoch, Fork, ListSizes, Root,
    SignatureBytes, Slot, ValidatorIndex, signing::tree_hash,
};

/// An epoch and the block that began it.
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
pub struct Checkpoint {
    /// The epoch.
    pub epoch: Epoch,
    /// Root of its first block, or of the last one before it.
    pub root: Root,
}

/// What an attester says: 128 bytes of SSZ.
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
pub struct AttestationData {
    /// The slot attested in.
    pub slot: Slot,
    /// The committee; 0 from Electra on, with another meaning again from Gloas on.
    pub index: CommitteeIndex,
    /// The head of the chain.
    pub beacon_block_root: Root,
    /// The justified checkpoint.
    pub source: Checkpoint,
    /// The checkpoint of the slot's epoch.
    pub target: Checkpoint,
}

impl AttestationData {
    /// Bytes of the SSZ form.
    pub const SSZ_BYTES: usize = 128;

    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }

    /// The SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        self.to_ssz()
    }

    /// Reads the SSZ form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but 128 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_ssz_bytes(bytes).map_err(DecodeError::ssz("attestation data"))
    }
}

/// More bits than the chain's preset allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {error}")]
pub struct SizeError {
    /// The field.
    pub field: &'static str,
    /// What is wrong.
    pub error: BitsError,
}

/// An attestation with as many voters as its bits say. One variant per shape, not per fork.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Attestation {
    /// Up to Deneb: bits over one committee, which `data.index` names.
    Phase0 {
        /// Who of the committee voted.
        aggregation_bits: Bitlist,
        /// For what.
        data: AttestationData,
        /// Their aggregated signature.
        signature: SignatureBytes,
    },
    /// From Electra on: bits over all committees that `committee_bits` names (EIP-7549).
    Electra {
        /// Who of the committees voted.
        aggregation_bits: Bitlist,
        /// For what.
        data: AttestationData,
        /// Their aggregated signature.
        signature: SignatureBytes,
        /// Which committees.
        committee_bits: CommitteeBits,
    },
}

#[derive(SszEncode, SszDecode, Deserialize)]
struct Phase0Layout {
    aggregation_bits: Bitlist,
    data: AttestationData,
    signature: SignatureBytes,
}

#[derive(Deserialize)]
struct ElectraLayout {
    aggregation_bits: Bitlist,
    data: AttestationData,
    signature: SignatureBytes,
    committee_bits: CommitteeBits,
}

/// Name in errors.
const WHAT: &str = "attestation";
/// Offset, data and signature: all that is fixed before committee bits.
const PHASE0_FIXED: usize = 4 + AttestationData::SSZ_BYTES + SignatureBytes::LENGTH;

impl Attestation {
    /// What is attested.
    pub const fn data(&self) -> &AttestationData {
        match self {
            Self::Phase0 { data, .. } | Self::Electra { data, .. } => data,
        }
    }

    /// The signature.
    pub const fn signature(&self) -> &SignatureBytes {
        match self {
            Self::Phase0 { signature, .. } | Self::Electra { signature, .. } => signature,
        }
    }

    /// Puts another signature in.
    pub fn with_signature(mut self, new: SignatureBytes) -> Self {
        match &mut self {
            Self::Phase0 { signature, .. } | Self::Electra { signature, .. } => *signature = new,
        }
        self
    }

    /// The voters' bits.
    pub const fn aggregation_bits(&self) -> &Bitlist {
        match self {
            Self::Phase0 {
                aggregation_bits, ..
            }
            | Self::Electra {
                aggregation_bits, ..
            } => aggregation_bits,
        }
    }

    /// Whether this is the shape of a fork's attestations.
    pub const fn has_shape_of(&self, fork: Fork) -> bool {
        matches!(self, Self::Electra { .. }) == fork.has_committee_bits()
    }

    /// The SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PHASE0_FIXED + 64);
        let committee_bits: &[u8] = match self {
            Self::Phase0 { .. } => &[],
            Self::Electra { committee_bits, .. } => committee_bits.as_bytes(),
        };
        // Far below 2^32: the committee bits have at most CommitteeBits::MAX_BYTES.
        let offset = (PHASE0_FIXED + committee_bits.len()) as u32;
        bytes.extend_from_slice(&offset.to_le_bytes());
        self.data().ssz_append(&mut bytes);
        bytes.extend_from_slice(&self.signature().0);
        bytes.extend_from_slice(committee_bits);
        bytes.extend_from_slice(self.aggregation_bits().as_bytes());
        bytes
    }

    /// Reads the SSZ form of a fork's attestations.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] does not produce.
    pub fn decode(fork: Fork, bytes: &[u8]) -> Result<Self, DecodeError> {
        if fork.has_committee_bits() {
            Self::decode_electra(bytes)
        } else {
            Self::decode_phase0(bytes)
        }
    }

    fn decode_phase0(bytes: &[u8]) -> Result<Self, DecodeError> {
        let layout = Phase0Layout::from_ssz_bytes(bytes).map_err(DecodeError::ssz(WHAT))?;
        let Phase0Layout {
            aggregation_bits,
            data,
            signature,
        } = layout;
        Ok(Self::Phase0 {
            aggregation_bits,
            data,
            signature,
        })
    }

    /// The offset of the bit list is the end of the committee bits, so it tells the preset.
    fn decode_electra(bytes: &[u8]) -> Result<Self, DecodeError> {
        let expected = PHASE0_FIXED + CommitteeBits::WIRE_BYTES;
        let too_short = DecodeError::Length {
            what: WHAT,
            expected,
            got: bytes.len(),
        };
        let offset = word_u32(bytes, 0).ok_or(too_short)? as usize;
        let wrong_offset = DecodeError::Offset {
            what: WHAT,
            expected,
            got: offset,
        };
        let (fixed, list) = bytes.split_at_checked(offset).ok_or(wrong_offset.clone())?;
        let (head, committees) = fixed.split_at_checked(PHASE0_FIXED).ok_or(wrong_offset)?;
        let (data, signature) = head[4..].split_at(AttestationData::SSZ_BYTES);
        Ok(Self::Electra {
            aggregation_bits: Bitlist::from_bytes(list.to_vec())
                .map_err(DecodeError::bits("aggregation_bits"))?,
            data: AttestationData::decode(data)?,
            signature: SignatureBytes::from_ssz_bytes(signature).map_err(DecodeError::ssz(WHAT))?,
            committee_bits: CommitteeBits::from_bytes(committees.to_vec())
                .map_err(DecodeError::bits("committee_bits"))?,
        })
    }

    /// Reads the Beacon API's JSON of a fork's attestations.
    ///
    /// # Errors
    /// [`DecodeError::Json`].
    pub fn from_json(fork: Fork, json: &serde_json::Value) -> Result<Self, DecodeError> {
        if fork.has_committee_bits() {
            let layout = ElectraLayout::deserialize(json).map_err(DecodeError::json(WHAT))?;
            let ElectraLayout {
                aggregation_bits,
                data,
                signature,
                committee_bits,
            } = layout;
            Ok(Self::Electra {
                aggregation_bits,
                data,
                signature,
                committee_bits,
            })
        } else {
            let layout = Phase0Layout::deserialize(json).map_err(DecodeError::json(WHAT))?;
            let Phase0Layout {
                aggregation_bits,
                data,
                signature,
            } = layout;
            Ok(Self::Phase0 {
                aggregation_bits,
                data,
                signature,
            })
        }
    }

    /// Whether a preset allows this many bits.
    ///
    /// # Errors
    /// [`SizeError`] if it does not.
    pub fn check_sizes(&self, sizes: &ListSizes) -> Result<(), SizeError> {
        let (bits, limit) = (self.aggregation_bits().length(), self.bit_limit(sizes));
        if bits > limit {
            return Err(SizeError {
                field: "aggregation_bits",
                error: BitsError::TooLong { bits, limit },
            });
        }
        if let Self::Electra { committee_bits, .. } = self {
            let (bits, limit) = (
                committee_bits.as_bytes().len() as u64 * 8,
                sizes.max_committees_per_slot,
            );
            if bits.div_ceil(8) != limit.div_ceil(8) {
                return Err(SizeError {
                    field: "committee_bits",
                    error: BitsError::TooLong { bits, limit },
                });
            }
        }
        Ok(())
    }

    const fn bit_limit(&self, sizes: &ListSizes) -> u64 {
        match self {
            Self::Phase0 { .. } => sizes.max_aggregation_bits(Fork::Phase0),
            Self::Electra { .. } => sizes.max_aggregation_bits(Fork::Electra),
        }
    }

    /// The hash tree root under a preset's list sizes.
    ///
    /// # Errors
    /// [`SizeError`] if there are more bits than the preset allows.
    pub fn tree_hash_root(&self, sizes: &ListSizes) -> Result<Root, SizeError> {
        self.check_sizes(sizes)?;
        let bits = self
            .aggregation_bits()
            .tree_hash_root(self.bit_limit(sizes))
            .map_err(|error| SizeError {
                field: "aggregation_bits",
                error,
            })?;
        let mut fields = vec![
            bits.0,
            self.data().tree_hash_root().0,
            tree_hash(self.signature()).0,
        ];
        if let Self::Electra { committee_bits, .. } = self {
            fields.push(committee_bits.tree_hash_root().0);
        }
        Ok(Root(merkleize(&Sha2Hasher, &fields, None)))
    }
}

/// One validator's own attestation as clients submit it from Electra on: 240 bytes of SSZ.
#[derive(
    Clone,
    Copy,
    Debug,
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
pub struct SingleAttestation {
    /// The validator's committee.
    pub committee_index: CommitteeIndex,
    /// The validator.
    pub attester_index: ValidatorIndex,
    /// What it attests.
    pub data: AttestationData,
    /// Its signature.
    pub signature: SignatureBytes,
}

impl SingleAttestation {
    /// The SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        self.to_ssz()
    }

    /// Reads the SSZ form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but 240 bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::from_ssz_bytes(bytes).map_err(DecodeError::ssz("single attestation"))
    }
}
