//! Proposals as the Beacon API's JSON, written from their bytes.

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use super::{Form, PROOF_BYTES, Proposal};
use crate::{
    ListSizes, SignatureBytes,
    data::{
        block::block,
        shape::{Json, Shape},
    },
    json::hex_bytes,
};

/// The JSON of a proposal, signed or not.
pub(super) struct ProposalJson<'a> {
    proposal: &'a Proposal,
    signature: Option<&'a SignatureBytes>,
    shape: Shape,
    blob_bytes: usize,
}

impl<'a> ProposalJson<'a> {
    pub(super) fn new(
        proposal: &'a Proposal,
        signature: Option<&'a SignatureBytes>,
        sizes: &ListSizes,
    ) -> Self {
        Self {
            proposal,
            signature,
            shape: block(proposal.fork, proposal.is_blinded(), sizes),
            // Bounded where it is read, so the conversion is exact.
            blob_bytes: sizes.blob_bytes() as usize,
        }
    }
}

impl Serialize for ProposalJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let block = BlockJson {
            message: self.shape.json(&self.proposal.block),
            signature: self.signature,
        };
        let Form::WithBlobs { proofs, blobs } = &self.proposal.form else {
            return block.serialize(serializer);
        };
        let mut contents = serializer.serialize_struct("contents", 3)?;
        match self.signature {
            Some(_) => contents.serialize_field("signed_block", &block)?,
            None => contents.serialize_field("block", &block)?,
        }
        contents.serialize_field("kzg_proofs", &Items(proofs, PROOF_BYTES))?;
        contents.serialize_field("blobs", &Items(blobs, self.blob_bytes))?;
        contents.end()
    }
}

/// The JSON of a block, signed or not.
struct BlockJson<'a> {
    message: Json<'a>,
    signature: Option<&'a SignatureBytes>,
}

impl Serialize for BlockJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(signature) = self.signature else {
            return self.message.serialize(serializer);
        };
        let mut signed = serializer.serialize_struct("signed", 2)?;
        signed.serialize_field("message", &self.message)?;
        signed.serialize_field("signature", signature)?;
        signed.end()
    }
}

/// Items of a size, as a list of hex.
struct Items<'a>(&'a [u8], usize);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.chunks(self.1.max(1)).map(Item))
    }
}

struct Item<'a>(&'a [u8]);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex_bytes::serialize(self.0, serializer)
    }
}
