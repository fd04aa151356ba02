//! Layouts of blocks, by fork and preset (consensus specs, `BeaconBlock` and `BlindedBeaconBlock` of every fork).

use super::shape::Shape;
use crate::{Fork, ListSizes};

use Shape::{Address, BitList, BitVector, ByteList, Bytes, Container, Number, Vector};

/// A root, a hash or another 32 bytes.
const ROOT: Shape = Bytes(32);
/// A public key, or a commitment or proof of the same curve group.
const POINT: Shape = Bytes(48);
/// A signature.
const SIGNATURE: Shape = Bytes(96);
/// Slots, epochs, indexes, amounts.
const U64: Shape = Number(8);
/// Hashes that prove a deposit: the depth of the contract's tree, and one for its length. Part of the contract, and so
/// the same in every preset.
const DEPOSIT_PROOF: usize = 33;

/// A block of a fork. From Bellatrix on it can be blinded: with the header of its payload instead of the payload.
pub(super) fn block(fork: Fork, blinded: bool, sizes: &ListSizes) -> Shape {
    Container(vec![
        ("slot", U64),
        ("proposer_index", U64),
        ("parent_root", ROOT),
        ("state_root", ROOT),
        ("body", body(fork, blinded, sizes)),
    ])
}

/// Whether blocks of a fork can be blinded.
pub(super) fn can_be_blinded(fork: Fork) -> bool {
    fork >= Fork::Bellatrix
}

/// Whether full blocks of a fork travel with proofs and blobs beside them.
pub(super) fn has_blobs(fork: Fork) -> bool {
    fork >= Fork::Deneb
}

/// The name of the payload's field.
pub(super) const fn payload_field(blinded: bool) -> &'static str {
    match blinded {
        true => "execution_payload_header",
        false => "execution_payload",
    }
}

fn body(fork: Fork, blinded: bool, sizes: &ListSizes) -> Shape {
    let electra = fork >= Fork::Electra;
    let (attester_slashings, attestations) = match electra {
        true => (
            sizes.max_attester_slashings_electra,
            sizes.max_attestations_electra,
        ),
        false => (sizes.max_attester_slashings, sizes.max_attestations),
    };
    let mut fields = vec![
        ("randao_reveal", SIGNATURE),
        ("eth1_data", eth1_data()),
        ("graffiti", ROOT),
        (
            "proposer_slashings",
            proposer_slashing().list(sizes.max_proposer_slashings),
        ),
        (
            "attester_slashings",
            attester_slashing(fork, sizes).list(attester_slashings),
        ),
        ("attestations", attestation(fork, sizes).list(attestations)),
        ("deposits", deposit().list(sizes.max_deposits)),
        (
            "voluntary_exits",
            signed(exit()).list(sizes.max_voluntary_exits),
        ),
    ];
    if fork >= Fork::Altair {
        fields.push(("sync_aggregate", sync_aggregate(sizes)));
    }
    if fork >= Fork::Bellatrix {
        fields.push((payload_field(blinded), payload(fork, blinded, sizes)));
    }
    if fork >= Fork::Capella {
        fields.push((
            "bls_to_execution_changes",
            signed(credentials_change()).list(sizes.max_bls_to_execution_changes),
        ));
    }
    if fork >= Fork::Deneb {
        fields.push((
            "blob_kzg_commitments",
            POINT.list(sizes.max_blob_commitments_per_block),
        ));
    }
    if electra {
        fields.push(("execution_requests", requests(sizes)));
    }
    Container(fields)
}

fn signed(message: Shape) -> Shape {
    Container(vec![("message", message), ("signature", SIGNATURE)])
}

fn eth1_data() -> Shape {
    Container(vec![
        ("deposit_root", ROOT),
        ("deposit_count", U64),
        ("block_hash", ROOT),
    ])
}

fn proposer_slashing() -> Shape {
    let header = || {
        signed(Container(vec![
            ("slot", U64),
            ("proposer_index", U64),
            ("parent_root", ROOT),
            ("state_root", ROOT),
            ("body_root", ROOT),
        ]))
    };
    Container(vec![
        ("signed_header_1", header()),
        ("signed_header_2", header()),
    ])
}

fn attestation_data() -> Shape {
    let checkpoint = || Container(vec![("epoch", U64), ("root", ROOT)]);
    Container(vec![
        ("slot", U64),
        ("index", U64),
        ("beacon_block_root", ROOT),
        ("source", checkpoint()),
        ("target", checkpoint()),
    ])
}

fn attester_slashing(fork: Fork, sizes: &ListSizes) -> Shape {
    let indexed = || {
        Container(vec![
            (
                "attesting_indices",
                U64.list(sizes.max_aggregation_bits(fork)),
            ),
            ("data", attestation_data()),
            ("signature", SIGNATURE),
        ])
    };
    Container(vec![
        ("attestation_1", indexed()),
        ("attestation_2", indexed()),
    ])
}

fn attestation(fork: Fork, sizes: &ListSizes) -> Shape {
    let mut fields = vec![
        (
            "aggregation_bits",
            BitList(sizes.max_aggregation_bits(fork)),
        ),
        ("data", attestation_data()),
        ("signature", SIGNATURE),
    ];
    if fork.has_committee_bits() {
        fields.push(("committee_bits", BitVector(sizes.max_committees_per_slot)));
    }
    Container(fields)
}

fn deposit() -> Shape {
    Container(vec![
        ("proof", Vector(Box::new(ROOT), DEPOSIT_PROOF)),
        (
            "data",
            Container(vec![
                ("pubkey", POINT),
                ("withdrawal_credentials", ROOT),
                ("amount", U64),
                ("signature", SIGNATURE),
            ]),
        ),
    ])
}

fn exit() -> Shape {
    Container(vec![("epoch", U64), ("validator_index", U64)])
}

fn sync_aggregate(sizes: &ListSizes) -> Shape {
    Container(vec![
        ("sync_committee_bits", BitVector(sizes.sync_committee_size)),
        ("sync_committee_signature", SIGNATURE),
    ])
}

fn payload(fork: Fork, blinded: bool, sizes: &ListSizes) -> Shape {
    let mut fields = vec![
        ("parent_hash", ROOT),
        ("fee_recipient", Address),
        ("state_root", ROOT),
        ("receipts_root", ROOT),
        // Bounded where it is read, so the conversion is exact.
        ("logs_bloom", Bytes(sizes.bytes_per_logs_bloom as usize)),
        ("prev_randao", ROOT),
        ("block_number", U64),
        ("gas_limit", U64),
        ("gas_used", U64),
        ("timestamp", U64),
        ("extra_data", ByteList(sizes.max_extra_data_bytes)),
        ("base_fee_per_gas", Number(32)),
        ("block_hash", ROOT),
    ];
    fields.push(match blinded {
        true => ("transactions_root", ROOT),
        false => (
            "transactions",
            ByteList(sizes.max_bytes_per_transaction).list(sizes.max_transactions_per_payload),
        ),
    });
    if fork >= Fork::Capella {
        fields.push(match blinded {
            true => ("withdrawals_root", ROOT),
            false => (
                "withdrawals",
                withdrawal().list(sizes.max_withdrawals_per_payload),
            ),
        });
    }
    if fork >= Fork::Deneb {
        fields.extend([("blob_gas_used", U64), ("excess_blob_gas", U64)]);
    }
    Container(fields)
}

fn withdrawal() -> Shape {
    Container(vec![
        ("index", U64),
        ("validator_index", U64),
        // The one address whose text has no checksum.
        ("address", Bytes(20)),
        ("amount", U64),
    ])
}

fn credentials_change() -> Shape {
    Container(vec![
        ("validator_index", U64),
        ("from_bls_pubkey", POINT),
        ("to_execution_address", Address),
    ])
}

/// What the execution layer asks of the beacon chain (EIP-7685).
fn requests(sizes: &ListSizes) -> Shape {
    let deposit = Container(vec![
        ("pubkey", POINT),
        ("withdrawal_credentials", ROOT),
        ("amount", U64),
        ("signature", SIGNATURE),
        ("index", U64),
    ]);
    let withdrawal = Container(vec![
        ("source_address", Address),
        ("validator_pubkey", POINT),
        ("amount", U64),
    ]);
    let consolidation = Container(vec![
        ("source_address", Address),
        ("source_pubkey", POINT),
        ("target_pubkey", POINT),
    ]);
    Container(vec![
        (
            "deposits",
            deposit.list(sizes.max_deposit_requests_per_payload),
        ),
        (
            "withdrawals",
            withdrawal.list(sizes.max_withdrawal_requests_per_payload),
        ),
        (
            "consolidations",
            consolidation.list(sizes.max_consolidation_requests_per_payload),
        ),
    ])
}
