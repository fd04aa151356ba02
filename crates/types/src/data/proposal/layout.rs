//! Takes proposals apart: blocks with or without signatures, with or without blobs beside them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::{BLOCK_AT, BlockFacts, Form, HEADER, MESSAGE_AT, PROOF_BYTES, Proposal, WHAT};
use crate::{
    Fork, ListSizes, SignatureBytes,
    data::{
        block::{block, can_be_blinded, has_blobs},
        codec::{DecodeError, behind, bounded_json, fork_of, ssz_or_json, word_u32},
        shape::{Fault, Shape},
    },
};

/// Longest JSON of a proposal that is read from members, none of whom writes any: blocks with twenty blobs fit.
const WIRE_JSON_BYTES: usize = 8 << 20;

/// Borrowed from SSZ, or owned where they come from JSON.
type Bytes<'a> = Cow<'a, [u8]>;

/// A proposal as it came, not looked into yet.
pub(super) struct Loose<'a> {
    block: Bytes<'a>,
    /// Proofs and blobs.
    beside: Option<(Bytes<'a>, Bytes<'a>)>,
}

/// Which of the layouts a value has.
#[derive(Clone, Copy)]
pub(super) struct Layout<'a> {
    pub(super) fork: Fork,
    pub(super) blinded: bool,
    pub(super) signed: bool,
    pub(super) sizes: &'a ListSizes,
}

impl<'a> Layout<'a> {
    fn block(&self) -> Shape {
        block(self.fork, self.blinded, self.sizes)
    }

    fn has_blobs(&self) -> bool {
        !self.blinded && has_blobs(self.fork)
    }

    fn proofs(&self) -> Shape {
        Shape::Bytes(PROOF_BYTES).list(self.sizes.max_kzg_proofs(self.fork))
    }

    fn blobs(&self) -> Shape {
        // Bounded where it is read, so the conversion is exact.
        Shape::Bytes(self.sizes.blob_bytes() as usize)
            .list(self.sizes.max_blob_commitments_per_block)
    }

    /// Takes SSZ apart: contents, if there are blobs, and a signed block in it, if it is signed.
    pub(super) fn split<'b>(
        &self,
        bytes: &'b [u8],
    ) -> Result<(Loose<'b>, Option<SignatureBytes>), DecodeError> {
        let (block, beside) = if self.has_blobs() {
            let [block, proofs, blobs] = three(bytes)?;
            (block, Some((Cow::Borrowed(proofs), Cow::Borrowed(blobs))))
        } else {
            (bytes, None)
        };
        let (signature, block) = if self.signed {
            let (head, block) = block
                .split_at_checked(MESSAGE_AT)
                .ok_or(too_short(MESSAGE_AT, block))?;
            expect_offset(head, 0, MESSAGE_AT)?;
            let signature = head[4..].first_chunk().copied().map(SignatureBytes);
            (signature, block)
        } else {
            (None, block)
        };
        let block = Cow::Borrowed(block);
        Ok((Loose { block, beside }, signature))
    }

    /// The same from the Beacon API's JSON.
    pub(super) fn split_json(
        &self,
        json: &Value,
    ) -> Result<(Loose<'static>, Option<SignatureBytes>), DecodeError> {
        let (block, beside) = if self.has_blobs() {
            let name = if self.signed { "signed_block" } else { "block" };
            let read = |name: &str, shape: Shape| {
                shape
                    .parse_json(&json[name])
                    .map(Cow::Owned)
                    .map_err(|fault| fault.within(name))
                    .map_err(Fault::in_json(WHAT))
            };
            let proofs = read("kzg_proofs", self.proofs())?;
            (&json[name], Some((proofs, read("blobs", self.blobs())?)))
        } else {
            (json, None)
        };
        let (block, signature) = if self.signed {
            let signature = SignatureBytes::deserialize(&block["signature"])
                .map_err(DecodeError::json(WHAT))?;
            (&block["message"], Some(signature))
        } else {
            (block, None)
        };
        let block = self
            .block()
            .parse_json(block)
            .map(Cow::Owned)
            .map_err(Fault::in_json(WHAT))?;
        Ok((Loose { block, beside }, signature))
    }

    /// Looks into a proposal, this once.
    pub(super) fn check(&self, loose: Loose<'_>) -> Result<Proposal, DecodeError> {
        let fork = self.fork;
        if self.blinded && !can_be_blinded(fork) {
            return Err(DecodeError::Shape { what: WHAT, fork });
        }
        let facts = BlockFacts::read(&self.block(), self.blinded, &loose.block)
            .map_err(Fault::in_ssz(WHAT))?;
        let form = match loose.beside {
            Some((proofs, blobs)) => {
                self.proofs()
                    .count(&proofs)
                    .map_err(|fault| fault.within("kzg_proofs"))
                    .map_err(Fault::in_ssz(WHAT))?;
                self.blobs()
                    .count(&blobs)
                    .map_err(|fault| fault.within("blobs"))
                    .map_err(Fault::in_ssz(WHAT))?;
                Form::WithBlobs {
                    proofs: proofs.into(),
                    blobs: blobs.into(),
                }
            }
            None if self.blinded => Form::Blinded,
            None => Form::Full,
        };
        Ok(Proposal {
            fork,
            facts,
            form,
            block: loose.block.into(),
        })
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    pub(super) fn of_wire(
        signed: bool,
        bytes: &[u8],
        sizes: &'a ListSizes,
    ) -> Result<(Proposal, Option<SignatureBytes>), DecodeError> {
        ssz_or_json(
            bytes,
            |bytes| {
                let fork = fork_of(bytes, WHAT, HEADER)?;
                let value = behind(bytes, WHAT, HEADER)?;
                let blinded = match bytes[8] {
                    0 => false,
                    1 => true,
                    _ => return Err(DecodeError::Shape { what: WHAT, fork }),
                };
                let layout = Self {
                    fork,
                    blinded,
                    signed,
                    sizes,
                };
                let (loose, signature) = layout.split(value)?;
                Ok((layout.check(loose)?, signature))
            },
            |json| {
                #[derive(Deserialize)]
                struct Wrapper {
                    version: u64,
                    block: Value,
                    #[serde(default)]
                    blinded: bool,
                }
                let wrapper: Wrapper = bounded_json(json, WHAT, WIRE_JSON_BYTES)?;
                let fork = Fork::from_wire(wrapper.version)
                    .ok_or(DecodeError::Version(wrapper.version))?;
                let layout = Self {
                    fork,
                    blinded: wrapper.blinded,
                    signed,
                    sizes,
                };
                let (loose, signature) = layout.split_json(&wrapper.block)?;
                Ok((layout.check(loose)?, signature))
            },
        )
    }
}

pub(super) fn too_short(expected: usize, bytes: &[u8]) -> DecodeError {
    DecodeError::Length {
        what: WHAT,
        expected,
        got: bytes.len(),
    }
}

fn expect_offset(bytes: &[u8], at: usize, expected: usize) -> Result<(), DecodeError> {
    match word_u32(bytes, at).unwrap_or_default() as usize {
        got if got == expected => Ok(()),
        got => Err(DecodeError::Offset {
            what: WHAT,
            expected,
            got,
        }),
    }
}

/// Contents: three offsets and what they point to.
fn three(bytes: &[u8]) -> Result<[&[u8]; 3], DecodeError> {
    if bytes.len() < BLOCK_AT {
        return Err(too_short(BLOCK_AT, bytes));
    }
    expect_offset(bytes, 0, BLOCK_AT)?;
    let offset = |at| word_u32(bytes, at).unwrap_or_default() as usize;
    let (proofs, blobs) = (offset(4), offset(8));
    let parts = (|| {
        Some([
            bytes.get(BLOCK_AT..proofs)?,
            bytes.get(proofs..blobs)?,
            bytes.get(blobs..)?,
        ])
    })();
    parts.ok_or(DecodeError::Offset {
        what: WHAT,
        expected: bytes.len(),
        got: proofs.max(blobs),
    })
}
