//! Blocks out of nothing: a body with a made-up execution payload, full or blinded.
//!
//! Payloads have no transactions. Their hash follows from slot, parent, fee recipient and maker, so that a block that
//! comes back can be told from one that nobody here has made, without remembering any.

use flotilla_types::{
    Attestation, DecodeError, ExecutionAddress, Fork, ListSizes, Proposal, Root, SignatureBytes,
    SignedProposal, Slot, ValidatorIndex,
};
use libssz_merkle::{Sha2Hasher, merkleize, mix_in_length};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Seed;

/// One of so many slots has a blob in the blocks of the own execution layer.
const SLOTS_PER_BLOB: u64 = 8;
/// Proofs beside one blob: one for each cell of the extended blob.
const CELLS: usize = 128;
/// Bytes of a proof.
const PROOF_BYTES: usize = 48;
/// Gas limit of payloads.
const GAS_LIMIT: u64 = 60_000_000;

/// Who makes a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The beacon node's own execution layer.
    Local,
    /// A block builder.
    Builder,
}

/// What a block is made of.
#[derive(Clone, Debug)]
pub struct Ingredients {
    /// Its slot.
    pub slot: Slot,
    /// Who proposes.
    pub proposer: ValidatorIndex,
    /// The block before it.
    pub parent: Root,
    /// The reveal of randomness.
    pub randao: SignatureBytes,
    /// The proposer's free 32 bytes.
    pub graffiti: [u8; 32],
    /// Who receives the fees.
    pub fee_recipient: ExecutionAddress,
    /// When the slot begins, in Unix seconds.
    pub timestamp: u64,
    /// Attestations in it, at most as many as the fork allows.
    pub attestations: Vec<Attestation>,
    /// Who makes the payload.
    pub maker: Maker,
}

/// The kitchen of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Kitchen {
    /// Everything random follows from it.
    pub seed: Seed,
    /// List sizes of the chain.
    pub sizes: ListSizes,
}

impl Kitchen {
    /// The block with its payload, and with a blob now and then.
    ///
    /// # Errors
    /// [`DecodeError`] if there are more attestations or bits than the list sizes allow.
    pub fn full(&self, of: &Ingredients) -> Result<Proposal, DecodeError> {
        let blobs = self.blobs(of);
        let blob = format!("0x{}", "00".repeat(self.blob_bytes()));
        let proof = format!("0x{}", hex::encode([0xc0; PROOF_BYTES]));
        let contents = json!({
            "block": self.block(of, ("execution_payload", self.payload(of))),
            "kzg_proofs": vec![proof; blobs * CELLS],
            "blobs": vec![blob; blobs],
        });
        Proposal::from_json(Fork::Fulu, false, &contents, &self.sizes)
    }

    /// The same block with the header of its payload only. It has the same root.
    ///
    /// # Errors
    /// As [`Self::full`].
    pub fn blinded(&self, of: &Ingredients) -> Result<Proposal, DecodeError> {
        let block = self.block(of, ("execution_payload_header", self.payload_header(of)));
        Proposal::from_json(Fork::Fulu, true, &block, &self.sizes)
    }

    /// The full block of one that came back blinded: what the builder reveals.
    ///
    /// # Errors
    /// [`DecodeError`] if it was not blinded.
    pub fn reveal(&self, blinded: &SignedProposal) -> Result<SignedProposal, DecodeError> {
        let failed = |error: serde_json::Error| DecodeError::Json {
            what: "blinded block",
            problem: error.to_string(),
        };
        let json = serde_json::to_value(blinded.to_json(&self.sizes)).map_err(failed)?;
        let mut block = json["message"].clone();
        let mut payload = block["body"]["execution_payload_header"].take();
        payload["transactions"] = json!([]);
        payload["withdrawals"] = json!([]);
        block["body"]["execution_payload"] = payload;
        let contents = json!({ "block": block, "kzg_proofs": [], "blobs": [] });
        Ok(SignedProposal {
            proposal: Proposal::from_json(Fork::Fulu, false, &contents, &self.sizes)?,
            signature: blinded.signature,
        })
    }

    /// The hash of a payload.
    pub fn payload_hash(
        &self,
        slot: Slot,
        parent: Root,
        fee_recipient: ExecutionAddress,
        maker: Maker,
    ) -> Root {
        let mut hash = Sha256::new();
        hash.update(self.seed.bytes("payload", slot.0));
        hash.update(parent.0);
        hash.update(fee_recipient.0);
        hash.update([maker as u8]);
        Root(hash.finalize().into())
    }

    /// Bytes that must lie beside a full block that commits to so many blobs.
    pub fn bytes_beside(&self, blobs: usize) -> usize {
        blobs * (CELLS * PROOF_BYTES + self.blob_bytes())
    }

    /// Blocks of builders have none, since a blinded block travels without them.
    fn blobs(&self, of: &Ingredients) -> usize {
        usize::from(of.maker == Maker::Local && of.slot.0 % SLOTS_PER_BLOB == 3)
    }

    fn blob_bytes(&self) -> usize {
        // The list sizes are those of a preset.
        self.sizes.blob_bytes() as usize
    }

    fn block(&self, of: &Ingredients, (name, payload): (&str, Value)) -> Value {
        let bits = "00".repeat(self.sizes.sync_committee_size.div_ceil(8) as usize);
        let commitment = format!("0x{}", hex::encode([0xc0; PROOF_BYTES]));
        let mut body = json!({
            "randao_reveal": of.randao,
            "eth1_data": {
                "deposit_root": Root([0; 32]), "deposit_count": "0", "block_hash": Root([0; 32]),
            },
            "graffiti": Root(of.graffiti),
            "proposer_slashings": [], "attester_slashings": [],
            "attestations": of.attestations,
            "deposits": [], "voluntary_exits": [], "bls_to_execution_changes": [],
            // Nobody's bits go with the signature at infinity.
            "sync_aggregate": {
                "sync_committee_bits": format!("0x{bits}"),
                "sync_committee_signature": infinity(),
            },
            "blob_kzg_commitments": vec![commitment; self.blobs(of)],
            "execution_requests": { "deposits": [], "withdrawals": [], "consolidations": [] },
        });
        body[name] = payload;
        json!({
            "slot": of.slot,
            "proposer_index": of.proposer,
            "parent_root": of.parent,
            "state_root": Root(self.seed.bytes("state", of.slot.0)),
            "body": body,
        })
    }

    fn payload(&self, of: &Ingredients) -> Value {
        let mut payload = self.payload_facts(of);
        payload["transactions"] = json!([]);
        payload["withdrawals"] = json!([]);
        payload
    }

    fn payload_header(&self, of: &Ingredients) -> Value {
        let mut header = self.payload_facts(of);
        header["transactions_root"] = json!(empty_list(self.sizes.max_transactions_per_payload));
        header["withdrawals_root"] = json!(empty_list(self.sizes.max_withdrawals_per_payload));
        header
    }

    fn payload_facts(&self, of: &Ingredients) -> Value {
        let bloom = "00".repeat(self.sizes.bytes_per_logs_bloom as usize);
        json!({
            "parent_hash": Root(self.seed.bytes("payload parent", of.slot.0)),
            "fee_recipient": of.fee_recipient,
            "state_root": Root(self.seed.bytes("execution state", of.slot.0)),
            "receipts_root": Root([0; 32]),
            "logs_bloom": format!("0x{bloom}"),
            "prev_randao": Root(self.seed.bytes("randao", of.slot.0)),
            "block_number": of.slot,
            "gas_limit": GAS_LIMIT.to_string(),
            "gas_used": "0",
            "timestamp": of.timestamp.to_string(),
            "extra_data": "0x",
            "base_fee_per_gas": "7",
            "block_hash": self.payload_hash(of.slot, of.parent, of.fee_recipient, of.maker),
            "blob_gas_used": "0",
            "excess_blob_gas": "0",
        })
    }
}

/// The root of a list without items.
fn empty_list(limit: u64) -> Root {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let root = merkleize(&Sha2Hasher, &[], Some(limit));
    Root(mix_in_length(&Sha2Hasher, &root, 0))
}

/// The signature of nobody.
fn infinity() -> SignatureBytes {
    let mut bytes = [0; 96];
    bytes[0] = 0xc0;
    SignatureBytes(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ingredients(slot: u64, maker: Maker) -> Ingredients {
        Ingredients {
            slot: Slot(slot),
            proposer: ValidatorIndex(7),
            parent: Root([4; 32]),
            randao: SignatureBytes([5; 96]),
            graffiti: [6; 32],
            fee_recipient: ExecutionAddress([7; 20]),
            timestamp: 1_000,
            attestations: Vec::new(),
            maker,
        }
    }

    #[test]
    fn a_block_holds_what_it_is_made_of() {
        for sizes in [ListSizes::MAINNET, ListSizes::MINIMAL] {
            let kitchen = Kitchen {
                seed: Seed(1),
                sizes,
            };
            let of = ingredients(3, Maker::Local);
            let proposal = kitchen.full(&of).unwrap();
            let facts = proposal.facts();
            assert_eq!(facts.header.parent_root, of.parent);
            assert_eq!(facts.randao_reveal, of.randao);
            assert_eq!(facts.graffiti, of.graffiti);
            assert_eq!(facts.fee_recipient, Some(of.fee_recipient));
            let hash = kitchen.payload_hash(of.slot, of.parent, of.fee_recipient, of.maker);
            assert_eq!((facts.block_hash, facts.blobs), (Some(hash), 1));
            let beside = proposal.to_ssz().len() - 12 - proposal.block().len();
            assert_eq!(beside, kitchen.bytes_beside(1));
        }
    }

    #[test]
    fn a_blinded_block_has_the_root_of_the_full_one() {
        for sizes in [ListSizes::MAINNET, ListSizes::MINIMAL] {
            let kitchen = Kitchen {
                seed: Seed(1),
                sizes,
            };
            let of = ingredients(3, Maker::Builder);
            let (full, blinded) = (kitchen.full(&of).unwrap(), kitchen.blinded(&of).unwrap());
            assert_eq!(full.facts().root, blinded.facts().root);
            assert!(blinded.is_blinded() && !full.is_blinded());
            let signature = SignatureBytes([8; 96]);
            let proposal = blinded;
            let revealed = kitchen.reveal(&SignedProposal {
                proposal,
                signature,
            });
            assert_eq!(revealed.unwrap().proposal, full);
        }
    }

    #[test]
    fn a_payload_is_its_makers_and_its_recipients() {
        let kitchen = Kitchen {
            seed: Seed(1),
            sizes: ListSizes::MINIMAL,
        };
        let hash = |address, maker| {
            kitchen.payload_hash(
                Slot(3),
                Root([4; 32]),
                ExecutionAddress([address; 20]),
                maker,
            )
        };
        assert_ne!(hash(1, Maker::Local), hash(1, Maker::Builder));
        assert_ne!(hash(1, Maker::Local), hash(2, Maker::Local));
    }
}
