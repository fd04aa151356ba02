//! Small valid blocks of the running fork: what a beacon node or a builder offers a proposer.

use flotilla_types::{
    ExecutionAddress, Fork, ListSizes, Proposal, Root, SignatureBytes, Slot, ValidatorIndex,
};
use serde_json::{Value, json};

/// What tells one of these blocks from another.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// The fork whose layout it has.
    pub fork: Fork,
    /// Its slot.
    pub slot: Slot,
    /// Who proposes.
    pub proposer: ValidatorIndex,
    /// The block before it.
    pub parent: Root,
    /// The reveal of randomness.
    pub randao: SignatureBytes,
    /// Who receives the fees.
    pub fee_recipient: ExecutionAddress,
    /// The proposer's free bytes.
    pub graffiti: Root,
    /// Whether a builder has the payload.
    pub blinded: bool,
}

impl Draft {
    /// The block, without anything in it.
    pub fn proposal(&self, sizes: &ListSizes) -> Proposal {
        let block = json!({
            "slot": self.slot, "proposer_index": self.proposer, "parent_root": self.parent,
            "state_root": Root([4; 32]), "body": self.body(sizes),
        });
        let json = match self.blinded {
            true => block,
            false => json!({"block": block, "kzg_proofs": [], "blobs": []}),
        };
        Proposal::from_json(self.fork, self.blinded, &json, sizes)
            .expect("the layout below is that of Electra and Fulu")
    }

    fn body(&self, sizes: &ListSizes) -> Value {
        let payload = match self.blinded {
            true => "execution_payload_header",
            false => "execution_payload",
        };
        json!({
            "randao_reveal": self.randao,
            "eth1_data": {
                "deposit_root": Root::default(), "deposit_count": "0", "block_hash": Root::default(),
            },
            "graffiti": self.graffiti,
            "proposer_slashings": [], "attester_slashings": [], "attestations": [],
            "deposits": [], "voluntary_exits": [], "bls_to_execution_changes": [],
            "blob_kzg_commitments": [],
            "execution_requests": {"deposits": [], "withdrawals": [], "consolidations": []},
            "sync_aggregate": {
                "sync_committee_bits": zeros(sizes.sync_committee_size as usize / 8),
                "sync_committee_signature": SignatureBytes([0; 96]),
            },
            payload: self.payload(sizes),
        })
    }

    fn payload(&self, sizes: &ListSizes) -> Value {
        let mut payload = json!({
            "parent_hash": Root::default(), "fee_recipient": self.fee_recipient,
            "state_root": Root::default(), "receipts_root": Root::default(),
            "logs_bloom": zeros(sizes.bytes_per_logs_bloom as usize),
            "prev_randao": Root::default(), "block_number": "1", "gas_limit": "1",
            "gas_used": "0", "timestamp": "1", "extra_data": "0x", "base_fee_per_gas": "1",
            "block_hash": Root([5; 32]), "blob_gas_used": "0", "excess_blob_gas": "0",
        });
        let lists = ["transactions", "withdrawals"];
        for list in lists {
            match self.blinded {
                true => payload[format!("{list}_root")] = json!(Root::default()),
                false => payload[list] = json!([]),
            }
        }
        payload
    }
}

fn zeros(bytes: usize) -> String {
    format!("0x{}", "00".repeat(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_both_forms_say_what_was_asked_of_them() {
        for (fork, blinded) in [
            (Fork::Electra, false),
            (Fork::Fulu, false),
            (Fork::Fulu, true),
        ] {
            let draft = Draft {
                fork,
                slot: Slot(9),
                proposer: ValidatorIndex(3),
                parent: Root([1; 32]),
                randao: SignatureBytes([2; 96]),
                fee_recipient: ExecutionAddress([3; 20]),
                graffiti: Root([6; 32]),
                blinded,
            };
            let proposal = draft.proposal(&ListSizes::MAINNET);
            let facts = proposal.facts();
            assert_eq!((proposal.slot(), proposal.fork()), (Slot(9), fork));
            assert_eq!(proposal.is_blinded(), blinded);
            assert_eq!(facts.randao_reveal, draft.randao);
            assert_eq!(facts.fee_recipient, Some(draft.fee_recipient));
            assert_eq!(facts.header.parent_root, draft.parent);
        }
    }
}
