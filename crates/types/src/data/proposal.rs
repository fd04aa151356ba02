//! Proposals: blocks, full or blinded, of every fork, as bytes with what others ask of them.
//!
//! A block is looked into once, where it enters: its layout is checked, its root computed, and the few facts that
//! decisions depend on are read out ([`BlockFacts`]). From there on it is bytes, shared and never opened again.

mod facts;
mod json;
mod layout;

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;

use self::{json::ProposalJson, layout::Layout};
use super::codec::DecodeError;
use crate::{Fork, ListSizes, SignatureBytes, Slot};

pub use facts::{BlockFacts, BlockHeader};

/// Name in errors.
const WHAT: &str = "proposal";
/// Fork, form and offset before a proposal on the cluster's wire.
const HEADER: usize = 13;
/// Bytes of a proof, and of a commitment.
const PROOF_BYTES: usize = 48;
/// Offset and signature: where the block begins in a signed block.
const MESSAGE_AT: usize = 4 + SignatureBytes::LENGTH;
/// Three offsets: where the block begins in contents.
const BLOCK_AT: usize = 12;

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
        ProposalJson::new(self, None, sizes)
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
        let signature = signature.ok_or(layout::too_short(MESSAGE_AT, &[]))?;
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
        ProposalJson::new(&self.proposal, Some(&self.signature), sizes)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Root, data::block::block};

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
