//! Proposals: blocks, full or blinded, of every fork, as bytes with what others ask of them.
//!
//! A block is looked into once, where it enters: its layout is checked, its root computed, and the few facts that
//! decisions depend on are read out ([`BlockFacts`]). From there on it is bytes, shared and never opened again.

use std::{borrow::Cow, fmt, sync::Arc};

use libssz_derive::HashTreeRoot;
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};
use serde_json::Value;

use super::{
    block::{block, can_be_blinded, has_blobs, payload_field},
    codec::{DecodeError, behind, fork_of, ssz_or_json, word_u32},
    shape::{Fault, Shape},
};
use crate::{
    ExecutionAddress, Fork, ListSizes, Root, SignatureBytes, Slot, ValidatorIndex, json::hex_bytes,
    signing::tree_hash,
};

/// Name in errors.
const WHAT: &str = "proposal";
/// Fork, form and offset before a proposal on the cluster's wire.
const HEADER: usize = 13;
/// Bytes of a proof.
const PROOF_BYTES: usize = 48;
/// Offset and signature: where the block begins in a signed block.
const MESSAGE_AT: usize = 4 + SignatureBytes::LENGTH;
/// Three offsets: where the block begins in contents.
const BLOCK_AT: usize = 12;

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
    fn read(shape: &Shape, blinded: bool, bytes: &[u8]) -> Result<Self, Fault> {
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

/// Whether a block carries its payload, and what travels beside it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// With a payload.
    Full,
    /// With a payload, and with proofs and blobs one after the other beside it: from Deneb on.
    WithBlobs { proofs: Arc<[u8]>, blobs: Arc<[u8]> },
    /// With the payload's header: a builder has the rest.
    Blinded,
}

/// A block to be proposed, with the blobs it commits to. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Proposal {
    fork: Fork,
    facts: BlockFacts,
    form: Form,
    block: Arc<[u8]>,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal")
            .field("fork", &self.fork)
            .field("blinded", &self.is_blinded())
            .field("facts", &self.facts)
            .field("block_bytes", &self.block.len())
            .finish_non_exhaustive()
    }
}

/// A proposal and its signature.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignedProposal {
    /// The proposal.
    pub proposal: Proposal,
    /// The signature.
    pub signature: SignatureBytes,
}

/// Borrowed from SSZ, or owned where they come from JSON.
type Bytes<'a> = Cow<'a, [u8]>;

/// A proposal as it came, not looked into yet.
struct Loose<'a> {
    block: Bytes<'a>,
    /// Proofs and blobs.
    beside: Option<(Bytes<'a>, Bytes<'a>)>,
}

/// Which of the layouts a value has.
#[derive(Clone, Copy)]
struct Layout<'a> {
    fork: Fork,
    blinded: bool,
    signed: bool,
    sizes: &'a ListSizes,
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
    fn split<'b>(
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
    fn split_json(
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
    fn check(&self, loose: Loose<'_>) -> Result<Proposal, DecodeError> {
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

    fn of_wire(
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
                let wrapper: Wrapper =
                    serde_json::from_slice(json).map_err(DecodeError::json(WHAT))?;
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

fn too_short(expected: usize, bytes: &[u8]) -> DecodeError {
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

impl Proposal {
    /// Reads the Beacon API's SSZ: a block, blinded or not, from Deneb on with proofs and blobs if it is not.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn from_ssz(
        fork: Fork,
        blinded: bool,
        bytes: &[u8],
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let layout = Layout {
            fork,
            blinded,
            signed: false,
            sizes,
        };
        layout.check(layout.split(bytes)?.0)
    }

    /// Reads the same as the Beacon API's JSON.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn from_json(
        fork: Fork,
        blinded: bool,
        json: &Value,
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let layout = Layout {
            fork,
            blinded,
            signed: false,
            sizes,
        };
        layout.check(layout.split_json(json)?.0)
    }

    /// The Beacon API's SSZ.
    pub fn to_ssz(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        self.append(None, &mut bytes);
        bytes
    }

    /// The Beacon API's JSON, under the list sizes that the proposal was read with.
    pub fn to_json(&self, sizes: &ListSizes) -> impl Serialize + '_ {
        ProposalJson {
            proposal: self,
            signature: None,
            shape: block(self.fork, self.is_blinded(), sizes),
            blob_bytes: sizes.blob_bytes() as usize,
        }
    }

    /// The bytes on the cluster's wire: a header with fork and form, and the SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header();
        self.append(None, &mut bytes);
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        Layout::of_wire(false, bytes, sizes).map(|(proposal, _)| proposal)
    }

    /// The fork.
    pub const fn fork(&self) -> Fork {
        self.fork
    }

    /// Whether it has the header of its payload only.
    pub const fn is_blinded(&self) -> bool {
        matches!(self.form, Form::Blinded)
    }

    /// What others ask of the block.
    pub const fn facts(&self) -> &BlockFacts {
        &self.facts
    }

    /// The slot.
    pub const fn slot(&self) -> Slot {
        self.facts.header.slot
    }

    /// The block alone, in its SSZ form.
    pub fn block(&self) -> &[u8] {
        &self.block
    }

    /// About how many bytes its encoding has.
    fn bytes(&self) -> usize {
        let beside = match &self.form {
            Form::WithBlobs { proofs, blobs } => proofs.len() + blobs.len(),
            Form::Full | Form::Blinded => 0,
        };
        HEADER + BLOCK_AT + MESSAGE_AT + self.block.len() + beside
    }

    fn header(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes());
        bytes.extend_from_slice(&self.fork.wire().to_le_bytes());
        bytes.push(u8::from(self.is_blinded()));
        bytes.extend_from_slice(&(HEADER as u32).to_le_bytes());
        bytes
    }

    /// Appends the SSZ form, with a signature or without.
    fn append(&self, signature: Option<&SignatureBytes>, bytes: &mut Vec<u8>) {
        let message = if signature.is_some() { MESSAGE_AT } else { 0 };
        if let Form::WithBlobs { proofs, .. } = &self.form {
            let proofs_at = BLOCK_AT + message + self.block.len();
            for offset in [BLOCK_AT, proofs_at, proofs_at + proofs.len()] {
                bytes.extend_from_slice(&word(offset));
            }
        }
        if let Some(signature) = signature {
            bytes.extend_from_slice(&word(MESSAGE_AT));
            bytes.extend_from_slice(&signature.0);
        }
        bytes.extend_from_slice(&self.block);
        if let Form::WithBlobs { proofs, blobs } = &self.form {
            bytes.extend_from_slice(proofs);
            bytes.extend_from_slice(blobs);
        }
    }
}

/// An offset. A block and its proofs came in a message, or text, of far less than 4 GiB.
const fn word(offset: usize) -> [u8; 4] {
    (offset as u32).to_le_bytes()
}

impl SignedProposal {
    /// Reads the Beacon API's SSZ: a signed block, blinded or not, from Deneb on with proofs and blobs if it is not.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn from_ssz(
        fork: Fork,
        blinded: bool,
        bytes: &[u8],
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let layout = Layout {
            fork,
            blinded,
            signed: true,
            sizes,
        };
        let (loose, signature) = layout.split(bytes)?;
        Self::of(layout.check(loose)?, signature)
    }

    /// Reads the same as the Beacon API's JSON.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn from_json(
        fork: Fork,
        blinded: bool,
        json: &Value,
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let layout = Layout {
            fork,
            blinded,
            signed: true,
            sizes,
        };
        let (loose, signature) = layout.split_json(json)?;
        Self::of(layout.check(loose)?, signature)
    }

    fn of(proposal: Proposal, signature: Option<SignatureBytes>) -> Result<Self, DecodeError> {
        // A layout that is signed has one.
        let signature = signature.ok_or(too_short(MESSAGE_AT, &[]))?;
        Ok(Self {
            proposal,
            signature,
        })
    }

    /// The Beacon API's SSZ.
    pub fn to_ssz(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.proposal.bytes());
        self.proposal.append(Some(&self.signature), &mut bytes);
        bytes
    }

    /// The Beacon API's JSON, under the list sizes that the proposal was read with.
    pub fn to_json(&self, sizes: &ListSizes) -> impl Serialize + '_ {
        ProposalJson {
            proposal: &self.proposal,
            signature: Some(&self.signature),
            shape: block(self.proposal.fork, self.proposal.is_blinded(), sizes),
            blob_bytes: sizes.blob_bytes() as usize,
        }
    }

    /// The bytes on the cluster's wire: a header with fork and form, and the SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.proposal.header();
        self.proposal.append(Some(&self.signature), &mut bytes);
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for any other layout than the fork's under these list sizes.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let (proposal, signature) = Layout::of_wire(true, bytes, sizes)?;
        Self::of(proposal, signature)
    }
}

/// The JSON of a proposal, signed or not.
struct ProposalJson<'a> {
    proposal: &'a Proposal,
    signature: Option<&'a SignatureBytes>,
    shape: Shape,
    blob_bytes: usize,
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
    message: super::shape::Json<'a>,
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A block of Capella, full, with one transaction and one withdrawal.
    fn full() -> Value {
        let (root, hash) = (Root([1; 32]), Root([2; 32]));
        let signature = SignatureBytes([3; 96]);
        json!({
            "slot": "7", "proposer_index": "8", "parent_root": root, "state_root": hash,
            "body": {
                "randao_reveal": signature,
                "eth1_data": {"deposit_root": root, "deposit_count": "1", "block_hash": hash},
                "graffiti": hash,
                "proposer_slashings": [], "attester_slashings": [], "attestations": [],
                "deposits": [], "voluntary_exits": [], "bls_to_execution_changes": [],
                "sync_aggregate": {
                    "sync_committee_bits": format!("0x{}", "01".repeat(64)),
                    "sync_committee_signature": signature,
                },
                "execution_payload": {
                    "parent_hash": root, "fee_recipient": format!("0x{}", "ab".repeat(20)),
                    "state_root": root, "receipts_root": root,
                    "logs_bloom": format!("0x{}", "04".repeat(256)), "prev_randao": root,
                    "block_number": "9", "gas_limit": "10", "gas_used": "11", "timestamp": "12",
                    "extra_data": "0x05", "base_fee_per_gas": "13", "block_hash": hash,
                    "transactions": ["0x060708"],
                    "withdrawals": [{
                        "index": "1", "validator_index": "2",
                        "address": format!("0x{}", "cd".repeat(20)), "amount": "3",
                    }],
                },
            },
        })
    }

    /// The same with the roots of the payload's lists in place of the lists.
    fn blinded(sizes: &ListSizes) -> Value {
        let mut json = full();
        let body = json["body"].as_object_mut().unwrap();
        let mut payload = body.remove("execution_payload").unwrap();
        let layout = block(Fork::Capella, false, sizes);
        let ssz = layout.parse_json(&full()).unwrap();
        let (shape, bytes) = layout.field(&ssz, "body").unwrap();
        let (shape, bytes) = shape.field(bytes, "execution_payload").unwrap();
        for (list, root) in [
            ("transactions", "transactions_root"),
            ("withdrawals", "withdrawals_root"),
        ] {
            let (shape, bytes) = shape.field(bytes, list).unwrap();
            payload.as_object_mut().unwrap().remove(list);
            payload[root] = json!(Root(shape.root(bytes).unwrap()));
        }
        body.insert("execution_payload_header".into(), payload);
        json
    }

    #[test]
    fn a_block_and_its_blinded_form_have_the_same_facts() {
        let sizes = &ListSizes::MAINNET;
        let full = Proposal::from_json(Fork::Capella, false, &full(), sizes).unwrap();
        let blinded = Proposal::from_json(Fork::Capella, true, &blinded(sizes), sizes).unwrap();
        assert_eq!(full.facts(), blinded.facts());
        assert_ne!(full, blinded);
        assert_eq!(full.slot(), Slot(7));
        assert_eq!(full.facts().blobs, 0);
    }

    #[test]
    fn limits_are_those_of_the_chain() {
        let none = ListSizes {
            max_transactions_per_payload: 0,
            ..ListSizes::MAINNET
        };
        let error = Proposal::from_json(Fork::Capella, false, &full(), &none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "proposal: body.execution_payload.transactions: 1 items, the limit is 0"
        );
    }

    #[test]
    fn a_form_is_0_or_1() {
        let sizes = &ListSizes::MAINNET;
        let proposal = Proposal::from_json(Fork::Capella, false, &full(), sizes).unwrap();
        let mut bytes = proposal.encode();
        assert_eq!(Proposal::decode(&bytes, sizes), Ok(proposal));
        for form in [1, 2] {
            bytes[8] = form;
            assert!(Proposal::decode(&bytes, sizes).is_err(), "{form}");
        }
    }

    #[test]
    fn half_a_blob_is_refused() {
        let sizes = &ListSizes {
            field_elements_per_blob: 2,
            max_blob_commitments_per_block: 3,
            ..ListSizes::MAINNET
        };
        let mut block = full();
        let body = &mut block["body"];
        body["blob_kzg_commitments"] = json!([]);
        body["execution_payload"]["blob_gas_used"] = json!("1");
        body["execution_payload"]["excess_blob_gas"] = json!("1");
        let blobs = vec![format!("0x{}", "09".repeat(64)); 3];
        let contents = json!({"block": block, "kzg_proofs": [], "blobs": blobs});
        let proposal = Proposal::from_json(Fork::Deneb, false, &contents, sizes).unwrap();
        let mut bytes = proposal.to_ssz();
        let read = |bytes: &[u8]| Proposal::from_ssz(Fork::Deneb, false, bytes, sizes);
        assert_eq!(read(&bytes), Ok(proposal));
        bytes.push(0);
        assert_eq!(
            read(&bytes).unwrap_err().to_string(),
            "proposal: blobs: 193 bytes are no whole items of 64"
        );
        bytes.extend([0; 63]);
        assert_eq!(
            read(&bytes).unwrap_err().to_string(),
            "proposal: blobs: 4 items, the limit is 3"
        );
    }
}
