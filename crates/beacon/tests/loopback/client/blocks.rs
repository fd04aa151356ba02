//! Blocks of Fulu, as small as they come.

use flotilla_types::{Fork, ListSizes, Proposal, Root, SignatureBytes, SignedProposal};
use serde_json::{Value, json};

pub(crate) const SIZES: &ListSizes = &ListSizes::MAINNET;
pub(crate) const RANDAO: SignatureBytes = SignatureBytes([3; 96]);

/// A block without anything in it; the graffiti tells blocks apart.
fn block(slot: u64, graffiti: u8) -> Value {
    let (root, bits) = (Root([1; 32]), format!("0x{}", "01".repeat(64)));
    json!({
        "slot": slot.to_string(), "proposer_index": "8", "parent_root": root, "state_root": root,
        "body": {
            "randao_reveal": RANDAO,
            "eth1_data": { "deposit_root": root, "deposit_count": "1", "block_hash": root },
            "graffiti": Root([graffiti; 32]),
            "proposer_slashings": [], "attester_slashings": [], "attestations": [],
            "deposits": [], "voluntary_exits": [], "bls_to_execution_changes": [],
            "sync_aggregate": { "sync_committee_bits": bits, "sync_committee_signature": RANDAO },
            "blob_kzg_commitments": [],
            "execution_requests": { "deposits": [], "withdrawals": [], "consolidations": [] },
        },
    })
}

fn payload() -> Value {
    let root = Root([1; 32]);
    json!({
        "parent_hash": root, "fee_recipient": format!("0x{}", "ab".repeat(20)), "state_root": root,
        "receipts_root": root, "logs_bloom": format!("0x{}", "04".repeat(256)), "prev_randao": root,
        "block_number": "9", "gas_limit": "10", "gas_used": "11", "timestamp": "12", "extra_data": "0x05",
        "base_fee_per_gas": "13", "block_hash": root, "blob_gas_used": "0", "excess_blob_gas": "0",
    })
}

/// Contents: a full block with its blobs, of which there are none.
pub(crate) fn full_json(slot: u64, graffiti: u8) -> Value {
    let (mut block, mut payload) = (block(slot, graffiti), payload());
    payload["transactions"] = json!(["0x060708"]);
    payload["withdrawals"] = json!([]);
    block["body"]["execution_payload"] = payload;
    json!({ "block": block, "kzg_proofs": [], "blobs": [] })
}

/// A blinded block.
pub(crate) fn blinded_json(slot: u64, graffiti: u8) -> Value {
    let (mut block, mut payload) = (block(slot, graffiti), payload());
    payload["transactions_root"] = json!(Root([6; 32]));
    payload["withdrawals_root"] = json!(Root([7; 32]));
    block["body"]["execution_payload_header"] = payload;
    block
}

pub(crate) fn full(slot: u64, graffiti: u8) -> Proposal {
    Proposal::from_json(Fork::Fulu, false, &full_json(slot, graffiti), SIZES).unwrap()
}

pub(crate) fn blinded(slot: u64, graffiti: u8) -> Proposal {
    Proposal::from_json(Fork::Fulu, true, &blinded_json(slot, graffiti), SIZES).unwrap()
}

pub(crate) fn signed(proposal: Proposal) -> SignedProposal {
    SignedProposal {
        proposal,
        signature: SignatureBytes([9; 96]),
    }
}
