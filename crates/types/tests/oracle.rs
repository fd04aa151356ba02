//! A second, independent family of SSZ crates agrees with ours byte by byte and root by root.

#![allow(clippy::unwrap_used)]

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, AttesterValue, Bitlist, Checkpoint, CommitteeBits,
    CommitteeIndex, Epoch, Fork, ListSizes, PublicKeyBytes, Root, SignatureBytes,
    SingleAttestation, Slot, ValidatorIndex,
};
use ssz::{Decode as _, Encode as _};
use ssz_derive::{Decode, Encode};
use ssz_types::{BitList, BitVector, FixedVector};
use tree_hash_derive::TreeHash;
use typenum::{U4, U8, U48, U64, U96, U2048, U8192, U131072};

type Bytes<N> = FixedVector<u8, N>;
type Hash = FixedVector<u8, typenum::U32>;

#[derive(Encode, Decode, TreeHash)]
struct OracleCheckpoint {
    epoch: u64,
    root: Hash,
}

#[derive(Encode, Decode, TreeHash)]
struct OracleData {
    slot: u64,
    index: u64,
    beacon_block_root: Hash,
    source: OracleCheckpoint,
    target: OracleCheckpoint,
}

#[derive(Encode, Decode, TreeHash)]
struct OraclePhase0 {
    aggregation_bits: BitList<U2048>,
    data: OracleData,
    signature: Bytes<U96>,
}

#[derive(Encode, Decode, TreeHash)]
struct OracleElectra {
    aggregation_bits: BitList<U131072>,
    data: OracleData,
    signature: Bytes<U96>,
    committee_bits: BitVector<U64>,
}

#[derive(Encode, Decode, TreeHash)]
struct OracleElectraMinimal {
    aggregation_bits: BitList<U8192>,
    data: OracleData,
    signature: Bytes<U96>,
    committee_bits: BitVector<U4>,
}

#[derive(Encode, Decode, TreeHash)]
struct OracleSingle {
    committee_index: u64,
    attester_index: u64,
    data: OracleData,
    signature: Bytes<U96>,
}

#[derive(Encode, Decode)]
struct OracleDuty {
    pubkey: Bytes<U48>,
    numbers: FixedVector<u64, typenum::U6>,
}

fn data() -> AttestationData {
    AttestationData {
        slot: Slot(0x0102_0304_0506_0708),
        index: CommitteeIndex(9),
        beacon_block_root: Root([3; 32]),
        source: Checkpoint {
            epoch: Epoch(11),
            root: Root([4; 32]),
        },
        target: Checkpoint {
            epoch: Epoch(u64::MAX),
            root: Root([5; 32]),
        },
    }
}

fn bits(lengths: &[u64]) -> impl Iterator<Item = Bitlist> + '_ {
    lengths
        .iter()
        .map(|&length| Bitlist::with_one(length, length / 2).unwrap())
}

fn root_of(value: &impl tree_hash::TreeHash) -> Root {
    Root(value.tree_hash_root().0)
}

#[test]
fn attestation_data_agrees() {
    let oracle = OracleData::from_ssz_bytes(&data().encode()).unwrap();
    assert_eq!(oracle.as_ssz_bytes(), data().encode());
    assert_eq!(data().tree_hash_root(), root_of(&oracle));
}

#[test]
fn phase0_attestations_agree() {
    for aggregation_bits in bits(&[1, 8, 255, 256, 257, 2048]) {
        let attestation = Attestation::Phase0 {
            aggregation_bits,
            data: data(),
            signature: SignatureBytes([7; 96]),
        };
        let oracle = OraclePhase0::from_ssz_bytes(&attestation.encode()).unwrap();
        assert_eq!(
            Attestation::decode(Fork::Deneb, &oracle.as_ssz_bytes()).unwrap(),
            attestation
        );
        assert_eq!(
            attestation.tree_hash_root(&ListSizes::MAINNET).unwrap(),
            root_of(&oracle)
        );
    }
}

#[test]
fn electra_attestations_agree_in_the_mainnet_preset() {
    for aggregation_bits in bits(&[1, 9, 256, 4096, 131_072]) {
        let committee_bits = CommitteeBits::one(63).unwrap();
        let signature = SignatureBytes([7; 96]);
        let attestation = Attestation::Electra {
            aggregation_bits,
            data: data(),
            signature,
            committee_bits,
        };
        let oracle = OracleElectra::from_ssz_bytes(&attestation.encode()).unwrap();
        assert_eq!(
            Attestation::decode(Fork::Fulu, &oracle.as_ssz_bytes()).unwrap(),
            attestation
        );
        assert_eq!(
            attestation.tree_hash_root(&ListSizes::MAINNET).unwrap(),
            root_of(&oracle)
        );
    }
}

#[test]
fn electra_attestations_agree_in_the_minimal_preset() {
    for aggregation_bits in bits(&[1, 300, 8192]) {
        let committee_bits = CommitteeBits::from_bytes(vec![0b1010]).unwrap();
        let signature = SignatureBytes([7; 96]);
        let attestation = Attestation::Electra {
            aggregation_bits,
            data: data(),
            signature,
            committee_bits,
        };
        let oracle = OracleElectraMinimal::from_ssz_bytes(&attestation.encode()).unwrap();
        assert_eq!(
            Attestation::decode(Fork::Fulu, &oracle.as_ssz_bytes()).unwrap(),
            attestation
        );
        assert_eq!(
            attestation.tree_hash_root(&ListSizes::MINIMAL).unwrap(),
            root_of(&oracle)
        );
        assert!(
            attestation.tree_hash_root(&ListSizes::MAINNET).is_err(),
            "another preset's committees"
        );
    }
}

#[test]
fn single_attestations_agree() {
    let (committee_index, attester_index) = (CommitteeIndex(2), ValidatorIndex(3));
    let signature = SignatureBytes([7; 96]);
    let single = SingleAttestation {
        committee_index,
        attester_index,
        data: data(),
        signature,
    };
    let oracle = OracleSingle::from_ssz_bytes(&single.encode()).unwrap();
    assert_eq!(
        SingleAttestation::decode(&oracle.as_ssz_bytes()).unwrap(),
        single
    );
    assert_eq!(oracle.committee_index, 2);
}

#[test]
fn attester_values_agree() {
    let duty = AttesterDuty {
        pubkey: PublicKeyBytes([8; 48]),
        slot: Slot(1),
        validator_index: ValidatorIndex(2),
        committee_index: CommitteeIndex(3),
        committee_length: 4,
        committees_at_slot: 5,
        validator_committee_index: 6,
    };
    let bytes = AttesterValue { data: data(), duty }.encode();
    let oracle = OracleDuty::from_ssz_bytes(&bytes[136..]).unwrap();
    assert_eq!(oracle.numbers.to_vec(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(oracle.pubkey.to_vec(), [8; 48]);
    assert_eq!(
        <FixedVector<u8, U8> as ssz::Decode>::from_ssz_bytes(&bytes[..8])
            .unwrap()
            .to_vec(),
        [8, 0, 0, 0, 136, 0, 0, 0]
    );
}
