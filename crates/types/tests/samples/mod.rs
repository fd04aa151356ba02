//! A value of every kind of duty, drawn from a seed: the same seed gives the same value for ever.

use flotilla_types::{
    AggregateAndProof, AggregateValue, Attestation, AttestationData, AttesterDuty, AttesterValue,
    BeaconCommitteeSelection, Bitlist, Checkpoint, CommitteeBits, CommitteeIndex,
    ContributionAndProof, Epoch, ExecutionAddress, Fork, ListSizes, Proposal, PublicKeyBytes,
    RandaoReveal, Root, SignatureBytes, SignedAggregateAndProof, SignedAttestation,
    SignedContributionAndProof, SignedData, SignedProposal, SignedValidatorRegistration,
    SignedVoluntaryExit, Slot, SubcommitteeBits, SyncCommitteeContribution, SyncCommitteeMessage,
    SyncCommitteeSelection, SyncContributions, UnsignedData, ValidatorIndex, ValidatorRegistration,
    VersionedRegistration, VoluntaryExit,
};
use serde_json::{Value, json};

/// Mainnet's list sizes, with blobs of 128 bytes.
pub const SIZES: &ListSizes = &ListSizes {
    field_elements_per_blob: 4,
    ..ListSizes::MAINNET
};

/// Numbers from a seed (SplitMix64).
pub struct Draw(pub u64);

impl Draw {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.number() as u8)
    }

    fn text(&mut self) -> String {
        self.number().to_string()
    }

    fn hex(&mut self, length: usize) -> String {
        let bytes: Vec<u8> = (0..length).map(|_| self.number() as u8).collect();
        format!("0x{}", hex::encode(bytes))
    }

    fn root(&mut self) -> Root {
        Root(self.bytes())
    }

    fn signature(&mut self) -> SignatureBytes {
        SignatureBytes(self.bytes())
    }

    fn slot(&mut self) -> Slot {
        Slot(self.number())
    }

    fn validator(&mut self) -> ValidatorIndex {
        ValidatorIndex(self.number())
    }

    /// Up to two items.
    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Value) -> Value {
        (0..self.number() % 3).map(|_| item(self)).collect()
    }

    fn data(&mut self) -> AttestationData {
        let mut checkpoint = || Checkpoint {
            epoch: Epoch(self.number()),
            root: self.root(),
        };
        let (source, target) = (checkpoint(), checkpoint());
        AttestationData {
            slot: self.slot(),
            index: CommitteeIndex(self.number()),
            beacon_block_root: self.root(),
            source,
            target,
        }
    }

    fn attestation(&mut self, fork: Fork) -> Attestation {
        let length = 1 + self.number() % SIZES.max_aggregation_bits(fork);
        let aggregation_bits = Bitlist::with_one(length, self.number() % length).unwrap();
        let (data, signature) = (self.data(), self.signature());
        if fork.has_committee_bits() {
            Attestation::Electra {
                aggregation_bits,
                data,
                signature,
                committee_bits: CommitteeBits::one(self.number() % 64).unwrap(),
            }
        } else {
            Attestation::Phase0 {
                aggregation_bits,
                data,
                signature,
            }
        }
    }

    fn contribution(&mut self) -> SyncCommitteeContribution {
        SyncCommitteeContribution {
            slot: self.slot(),
            beacon_block_root: self.root(),
            subcommittee_index: self.number(),
            aggregation_bits: SubcommitteeBits::from_bytes(&self.bytes::<16>(), SIZES).unwrap(),
            signature: self.signature(),
        }
    }

    fn proposal(&mut self, fork: Fork, blinded: bool) -> Proposal {
        let block = self.block(fork, blinded);
        let json = if fork >= Fork::Deneb && !blinded {
            let proofs = self.list(|draw| json!(draw.hex(48)));
            let blobs = self.list(|draw| json!(draw.hex(128)));
            json!({"block": block, "kzg_proofs": proofs, "blobs": blobs})
        } else {
            block
        };
        Proposal::from_json(fork, blinded, &json, SIZES).unwrap()
    }

    /// A block as the Beacon API has it.
    fn block(&mut self, fork: Fork, blinded: bool) -> Value {
        json!({
            "slot": self.text(), "proposer_index": self.text(), "parent_root": self.root(),
            "state_root": self.root(), "body": self.body(fork, blinded),
        })
    }

    fn body(&mut self, fork: Fork, blinded: bool) -> Value {
        let mut body = json!({
            "randao_reveal": self.signature(),
            "eth1_data": {
                "deposit_root": self.root(), "deposit_count": self.text(), "block_hash": self.root(),
            },
            "graffiti": self.root(),
            "proposer_slashings": self.list(|draw| json!({
                "signed_header_1": draw.signed_header(), "signed_header_2": draw.signed_header(),
            })),
            "attester_slashings": [{
                "attestation_1": self.indexed(), "attestation_2": self.indexed(),
            }],
            "attestations": self.list(|draw| json!(draw.attestation(fork))),
            "deposits": self.list(|draw| json!({
                "proof": (0..33).map(|_| json!(draw.root())).collect::<Value>(),
                "data": {
                    "pubkey": draw.hex(48), "withdrawal_credentials": draw.root(),
                    "amount": draw.text(), "signature": draw.signature(),
                },
            })),
            "voluntary_exits": self.list(|draw| json!({
                "message": {"epoch": draw.text(), "validator_index": draw.text()},
                "signature": draw.signature(),
            })),
        });
        if fork >= Fork::Altair {
            body["sync_aggregate"] = json!({
                "sync_committee_bits": self.hex(64), "sync_committee_signature": self.signature(),
            });
        }
        if fork >= Fork::Bellatrix {
            let field = match blinded {
                true => "execution_payload_header",
                false => "execution_payload",
            };
            body[field] = self.payload(fork, blinded);
        }
        if fork >= Fork::Capella {
            body["bls_to_execution_changes"] = self.list(|draw| {
                json!({
                    "message": {
                        "validator_index": draw.text(), "from_bls_pubkey": draw.hex(48),
                        "to_execution_address": ExecutionAddress(draw.bytes()),
                    },
                    "signature": draw.signature(),
                })
            });
        }
        if fork >= Fork::Deneb {
            body["blob_kzg_commitments"] = self.list(|draw| json!(draw.hex(48)));
        }
        if fork >= Fork::Electra {
            body["execution_requests"] = self.requests();
        }
        body
    }

    fn signed_header(&mut self) -> Value {
        json!({
            "message": {
                "slot": self.text(), "proposer_index": self.text(), "parent_root": self.root(),
                "state_root": self.root(), "body_root": self.root(),
            },
            "signature": self.signature(),
        })
    }

    fn indexed(&mut self) -> Value {
        json!({
            "attesting_indices": self.list(|draw| json!(draw.text())),
            "data": self.data(), "signature": self.signature(),
        })
    }

    fn payload(&mut self, fork: Fork, blinded: bool) -> Value {
        let mut payload = json!({
            "parent_hash": self.root(), "fee_recipient": ExecutionAddress(self.bytes()),
            "state_root": self.root(), "receipts_root": self.root(), "logs_bloom": self.hex(256),
            "prev_randao": self.root(), "block_number": self.text(), "gas_limit": self.text(),
            "gas_used": self.text(), "timestamp": self.text(), "extra_data": self.hex(5),
            "base_fee_per_gas": format!("{}{}", self.number(), self.number() % 1000),
            "block_hash": self.root(),
        });
        match blinded {
            true => payload["transactions_root"] = json!(self.root()),
            false => payload["transactions"] = self.list(|draw| json!(draw.hex(40))),
        }
        if fork >= Fork::Capella {
            match blinded {
                true => payload["withdrawals_root"] = json!(self.root()),
                false => {
                    payload["withdrawals"] = self.list(|draw| {
                        json!({
                            "index": draw.text(), "validator_index": draw.text(),
                            "address": draw.hex(20), "amount": draw.text(),
                        })
                    });
                }
            }
        }
        if fork >= Fork::Deneb {
            payload["blob_gas_used"] = json!(self.text());
            payload["excess_blob_gas"] = json!(self.text());
        }
        payload
    }

    fn requests(&mut self) -> Value {
        json!({
            "deposits": self.list(|draw| json!({
                "pubkey": draw.hex(48), "withdrawal_credentials": draw.root(),
                "amount": draw.text(), "signature": draw.signature(), "index": draw.text(),
            })),
            "withdrawals": self.list(|draw| json!({
                "source_address": ExecutionAddress(draw.bytes()), "validator_pubkey": draw.hex(48),
                "amount": draw.text(),
            })),
            "consolidations": self.list(|draw| json!({
                "source_address": ExecutionAddress(draw.bytes()), "source_pubkey": draw.hex(48),
                "target_pubkey": draw.hex(48),
            })),
        })
    }
}

/// Every form in which data of a fork may be blinded or not.
pub fn forms(fork: Fork) -> &'static [bool] {
    match fork >= Fork::Bellatrix {
        true => &[false, true],
        false => &[false],
    }
}

/// The values of a fork, one of each kind and form that is agreed on.
pub fn unsigned(fork: Fork, draw: &mut Draw) -> Vec<UnsignedData> {
    let duty = AttesterDuty {
        pubkey: PublicKeyBytes(draw.bytes()),
        slot: draw.slot(),
        validator_index: draw.validator(),
        committee_index: CommitteeIndex(draw.number()),
        committee_length: draw.number(),
        committees_at_slot: draw.number(),
        validator_committee_index: draw.number(),
    };
    let contributions = (0..=draw.number() % 4)
        .map(|_| draw.contribution())
        .collect();
    let mut values = vec![
        UnsignedData::Attester(AttesterValue {
            data: draw.data(),
            duty,
        }),
        UnsignedData::Aggregator(AggregateValue {
            fork: Some(fork),
            aggregate: draw.attestation(fork),
        }),
        UnsignedData::SyncContribution(SyncContributions::single(draw.contribution())),
        UnsignedData::SyncContribution(SyncContributions::plural(contributions).unwrap()),
    ];
    for &blinded in forms(fork) {
        values.push(UnsignedData::Proposer(draw.proposal(fork, blinded)));
    }
    values
}

/// The signed objects of a fork, one of each kind and form.
pub fn signed(fork: Fork, draw: &mut Draw) -> Vec<SignedData> {
    let aggregate = AggregateAndProof {
        aggregator_index: draw.validator(),
        aggregate: draw.attestation(fork),
        selection_proof: draw.signature(),
    };
    let mut objects = vec![
        SignedData::Attester(SignedAttestation {
            fork,
            validator_index: Some(draw.validator()),
            attestation: draw.attestation(fork),
        }),
        SignedData::Exit(SignedVoluntaryExit {
            message: VoluntaryExit {
                epoch: Epoch(draw.number()),
                validator_index: draw.validator(),
            },
            signature: draw.signature(),
        }),
        SignedData::BuilderRegistration(VersionedRegistration(SignedValidatorRegistration {
            message: ValidatorRegistration {
                fee_recipient: ExecutionAddress(draw.bytes()),
                gas_limit: draw.number(),
                timestamp: draw.number(),
                pubkey: PublicKeyBytes(draw.bytes()),
            },
            signature: draw.signature(),
        })),
        SignedData::Randao(RandaoReveal {
            epoch: Epoch(draw.number()),
            signature: draw.signature(),
        }),
        SignedData::PrepareAggregator(BeaconCommitteeSelection {
            validator_index: draw.validator(),
            slot: draw.slot(),
            selection_proof: draw.signature(),
        }),
        SignedData::Aggregator(
            SignedAggregateAndProof::new(fork, aggregate, draw.signature(), SIZES).unwrap(),
        ),
        SignedData::SyncMessage(SyncCommitteeMessage {
            slot: draw.slot(),
            beacon_block_root: draw.root(),
            validator_index: draw.validator(),
            signature: draw.signature(),
        }),
        SignedData::PrepareSyncContribution(SyncCommitteeSelection {
            validator_index: draw.validator(),
            slot: draw.slot(),
            subcommittee_index: draw.number(),
            selection_proof: draw.signature(),
        }),
        SignedData::SyncContribution(SignedContributionAndProof {
            message: ContributionAndProof {
                aggregator_index: draw.validator(),
                contribution: draw.contribution(),
                selection_proof: draw.signature(),
            },
            signature: draw.signature(),
        }),
    ];
    for &blinded in forms(fork) {
        objects.push(SignedData::Proposer(SignedProposal {
            proposal: draw.proposal(fork, blinded),
            signature: draw.signature(),
        }));
    }
    objects
}
