//! What others ask of a block.

use libssz_derive::HashTreeRoot;

use super::PROOF_BYTES;
use crate::{
    ExecutionAddress, Root, SignatureBytes, Slot, ValidatorIndex,
    data::{
        block::payload_field,
        shape::{Fault, Shape},
    },
    signing::tree_hash,
};

/// A block in five lines. Its root is the block's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, HashTreeRoot)]
pub struct BlockHeader {
    /// The slot.
    pub slot: Slot,
    /// Who proposes.
    pub proposer_index: ValidatorIndex,
    /// The block before it.
    pub parent_root: Root,
    /// The state after it.
    pub state_root: Root,
    /// Root of all that is in it. A full block and its blinded form have the same.
    pub body_root: Root,
}

/// What others ask of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockFacts {
    /// The header.
    pub header: BlockHeader,
    /// The header's root, which is what the proposer signs.
    pub root: Root,
    /// The reveal of randomness.
    pub randao_reveal: SignatureBytes,
    /// The proposer's free 32 bytes.
    pub graffiti: [u8; 32],
    /// Who receives the fees; `None` before Bellatrix.
    pub fee_recipient: Option<ExecutionAddress>,
    /// The payload's hash on the execution layer; `None` before Bellatrix.
    pub block_hash: Option<Root>,
    /// How many blobs the block commits to.
    pub blobs: usize,
}

impl BlockFacts {
    /// Checks a block's bytes and reads the facts. Hashing checks the body; the header's four other fields cannot be wrong.
    pub(super) fn read(shape: &Shape, blinded: bool, bytes: &[u8]) -> Result<Self, Fault> {
        let (body_shape, body) = shape.field(bytes, "body")?;
        let body_root = body_shape
            .root(body)
            .map_err(|fault| fault.within("body"))?;
        let number = |name| {
            let (_, bytes) = shape.field(bytes, name)?;
            array(bytes).map(u64::from_le_bytes)
        };
        let root = |name| array(shape.field(bytes, name)?.1).map(Root);
        let header = BlockHeader {
            slot: Slot(number("slot")?),
            proposer_index: ValidatorIndex(number("proposer_index")?),
            parent_root: root("parent_root")?,
            state_root: root("state_root")?,
            body_root: Root(body_root),
        };
        // Before some fork there is no payload, and no commitment.
        let payload = body_shape.field(body, payload_field(blinded)).ok();
        let of_payload = |name| payload.and_then(|(shape, bytes)| shape.field(bytes, name).ok());
        let commitments = body_shape.field(body, "blob_kzg_commitments").ok();
        Ok(Self {
            header,
            root: tree_hash(&header),
            randao_reveal: SignatureBytes(array(body_shape.field(body, "randao_reveal")?.1)?),
            graffiti: array(body_shape.field(body, "graffiti")?.1)?,
            fee_recipient: of_payload("fee_recipient")
                .map(|(_, bytes)| array(bytes).map(ExecutionAddress))
                .transpose()?,
            block_hash: of_payload("block_hash")
                .map(|(_, bytes)| array(bytes).map(Root))
                .transpose()?,
            blobs: commitments.map_or(0, |(_, bytes)| bytes.len() / PROOF_BYTES),
        })
    }
}

/// The first bytes as an array.
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    let first = bytes.first_chunk().copied();
    first.ok_or_else(|| Fault::new(format!("{} bytes instead of {N}", bytes.len())))
}
