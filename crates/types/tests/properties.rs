//! Decoders of foreign bytes never panic, and what is encoded is decoded to the same value.

#![allow(clippy::unwrap_used)]

mod samples;

use std::collections::BTreeMap;

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, AttesterValue, Bitlist, ChainSpec, Checkpoint,
    CommitteeBits, CommitteeIndex, DutyKind, Epoch, Fork, ListSizes, Proposal, PublicKeyBytes,
    Root, SignatureBytes, SignedAttestation, SignedData, SignedProposal, SingleAttestation, Slot,
    UnsignedData, ValidatorIndex,
};
use samples::{Draw, SIZES};

use proptest::{array::uniform32, collection::vec, option, prelude::*, sample::select};

fn root() -> impl Strategy<Value = Root> {
    uniform32(any::<u8>()).prop_map(Root)
}

fn signature() -> impl Strategy<Value = SignatureBytes> {
    vec(any::<u8>(), 96).prop_map(|bytes| SignatureBytes(bytes.try_into().unwrap()))
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    (any::<u64>(), root()).prop_map(|(epoch, root)| Checkpoint {
        epoch: Epoch(epoch),
        root,
    })
}

fn data() -> impl Strategy<Value = AttestationData> {
    (
        any::<u64>(),
        any::<u64>(),
        root(),
        checkpoint(),
        checkpoint(),
    )
        .prop_map(
            |(slot, index, beacon_block_root, source, target)| AttestationData {
                slot: Slot(slot),
                index: CommitteeIndex(index),
                beacon_block_root,
                source,
                target,
            },
        )
}

fn duty() -> impl Strategy<Value = AttesterDuty> {
    (vec(any::<u8>(), 48), any::<[u64; 6]>()).prop_map(|(pubkey, numbers)| AttesterDuty {
        pubkey: PublicKeyBytes(pubkey.try_into().unwrap()),
        slot: Slot(numbers[0]),
        validator_index: ValidatorIndex(numbers[1]),
        committee_index: CommitteeIndex(numbers[2]),
        committee_length: numbers[3],
        committees_at_slot: numbers[4],
        validator_committee_index: numbers[5],
    })
}

fn bitlist() -> impl Strategy<Value = Bitlist> {
    (vec(any::<u8>(), 0..300), 1..=u8::MAX).prop_map(|(mut bytes, last)| {
        bytes.push(last);
        Bitlist::from_bytes(bytes).unwrap()
    })
}

fn signed() -> impl Strategy<Value = SignedAttestation> {
    let fork = select(Fork::ALL);
    let committees = vec(any::<u8>(), 1..=CommitteeBits::MAX_BYTES);
    (
        fork,
        option::of(any::<u64>()),
        bitlist(),
        data(),
        signature(),
        committees,
    )
        .prop_map(
            |(fork, index, aggregation_bits, data, signature, committees)| {
                let attestation = if fork.has_committee_bits() {
                    let committee_bits = CommitteeBits::from_bytes(committees).unwrap();
                    Attestation::Electra {
                        aggregation_bits,
                        data,
                        signature,
                        committee_bits,
                    }
                } else {
                    Attestation::Phase0 {
                        aggregation_bits,
                        data,
                        signature,
                    }
                };
                SignedAttestation {
                    fork,
                    validator_index: index.map(ValidatorIndex),
                    attestation,
                }
            },
        )
}

/// Valid bytes with a few of them changed, and cut or not: closer to the decoders' branches than noise.
fn damaged(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (
        valid,
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(mut bytes, changes, end, cut)| {
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            bytes
        })
}

/// The wire bytes of some kind, of some fork.
fn encoded() -> impl Strategy<Value = Vec<u8>> {
    let forks = select(Fork::ALL);
    (forks, any::<u64>(), any::<prop::sample::Index>()).prop_map(|(fork, seed, which)| {
        let draw = &mut Draw(seed);
        let unsigned = samples::unsigned(fork, draw);
        let signed = samples::signed(fork, draw);
        let mut all: Vec<Vec<u8>> = unsigned.iter().map(UnsignedData::encode).collect();
        all.extend(signed.iter().map(SignedData::encode));
        all.swap_remove(which.index(all.len()))
    })
}

/// Whatever decodes, encodes to bytes that decode to the same again.
fn probe(bytes: &[u8]) {
    let sizes = SIZES;
    for &kind in DutyKind::ALL {
        if let Ok(value) = UnsignedData::decode(kind, bytes, sizes) {
            assert_eq!(
                UnsignedData::decode(kind, &value.encode(), sizes),
                Ok(value)
            );
        }
        if let Ok(value) = SignedData::decode(kind, bytes, sizes) {
            assert_eq!(SignedData::decode(kind, &value.encode(), sizes), Ok(value));
        }
    }
    for &fork in Fork::ALL {
        let _ = Attestation::decode(fork, bytes);
    }
    let _ = (
        AttestationData::decode(bytes),
        SingleAttestation::decode(bytes),
    );
}

proptest! {
    #[test]
    fn attester_values_survive_the_wire(data in data(), duty in duty()) {
        let value = UnsignedData::Attester(AttesterValue { data, duty });
        prop_assert_eq!(UnsignedData::decode(DutyKind::Attester, &value.encode(), &ListSizes::MAINNET), Ok(value));
    }

    // A slot whose low half is 20 is read as an indexed header, here as in every other implementation.
    #[test]
    fn signed_attestations_survive_the_wire(signed in signed().prop_filter("ambiguous", |signed| {
        signed.validator_index.is_some() || signed.data().slot.0 as u32 != 20
    })) {
        let json = serde_json::to_vec(&signed).unwrap();
        prop_assert_eq!(SignedAttestation::decode(&json), Ok(signed.clone()));
        prop_assert_eq!(SignedAttestation::decode(&signed.encode()), Ok(signed));
    }

    #[test]
    fn single_attestations_survive_both_encodings(
        numbers in any::<[u64; 2]>(), data in data(), signature in signature(),
    ) {
        let single = SingleAttestation {
            committee_index: CommitteeIndex(numbers[0]),
            attester_index: ValidatorIndex(numbers[1]),
            data,
            signature,
        };
        prop_assert_eq!(SingleAttestation::decode(&single.encode()), Ok(single));
        let json = serde_json::to_string(&single).unwrap();
        prop_assert_eq!(serde_json::from_str::<SingleAttestation>(&json).unwrap(), single);
    }

    #[test]
    fn decoders_take_noise(bytes in vec(any::<u8>(), 0..600)) {
        probe(&bytes);
    }

    #[test]
    fn decoders_take_damaged_values(bytes in damaged((data(), duty()).prop_map(|(data, duty)| {
        AttesterValue { data, duty }.encode()
    }))) {
        probe(&bytes);
    }

    #[test]
    fn decoders_take_damaged_attestations(bytes in damaged(signed().prop_map(|signed| signed.encode()))) {
        probe(&bytes);
    }

    #[test]
    fn decoders_take_damaged_json(bytes in damaged(signed().prop_map(|signed| serde_json::to_vec(&signed).unwrap()))) {
        probe(&bytes);
    }

    #[test]
    fn configurations_of_any_text_are_read_or_refused(
        key in select(vec!["SECONDS_PER_SLOT", "SLOT_DURATION_MS", "SLOTS_PER_EPOCH", "GENESIS_FORK_VERSION",
            "FULU_FORK_EPOCH", "GLOAS_FORK_EPOCH", "ATTESTATION_DUE_BPS", "MAX_COMMITTEES_PER_SLOT"]),
        value in prop_oneof![any::<u64>().prop_map(|number| number.to_string()), ".{0,40}"],
    ) {
        let version = flotilla_types::ForkVersion::default();
        let mut config: BTreeMap<String, String> =
            ChainSpec::mainnet_like(std::time::Duration::from_secs(12), 32, version).to_config();
        config.insert(key.to_owned(), value);
        if let Ok(spec) = ChainSpec::from_config(&config) {
            prop_assert!(spec.slots_per_epoch > 0 && !spec.slot_duration.is_zero());
        }
    }
}

// Each case is a value of every kind, blocks among them.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_kind_survives_the_wire(fork in select(Fork::ALL), seed: u64) {
        for data in samples::unsigned(fork, &mut Draw(seed)) {
            let read = UnsignedData::decode(data.kind(), &data.encode(), SIZES);
            prop_assert_eq!(read, Ok(data));
        }
        for data in samples::signed(fork, &mut Draw(seed)) {
            let read = SignedData::decode(data.kind(), &data.encode(), SIZES);
            prop_assert_eq!(read, Ok(data));
        }
    }

    #[test]
    fn proposals_survive_the_beacon_api(fork in select(Fork::ALL), seed: u64) {
        for data in samples::signed(fork, &mut Draw(seed)) {
            let SignedData::Proposer(signed) = data else { continue };
            let blinded = signed.proposal.is_blinded();
            let json = serde_json::to_value(signed.to_json(SIZES)).unwrap();
            let read = SignedProposal::from_json(fork, blinded, &json, SIZES);
            prop_assert_eq!(read, Ok(signed.clone()));
            let read = SignedProposal::from_ssz(fork, blinded, &signed.to_ssz(), SIZES);
            prop_assert_eq!(read, Ok(signed.clone()));
            let json = serde_json::to_value(signed.proposal.to_json(SIZES)).unwrap();
            let read = Proposal::from_json(fork, blinded, &json, SIZES);
            prop_assert_eq!(read, Ok(signed.proposal));
        }
    }

    #[test]
    fn decoders_take_damaged_bytes_of_every_kind(bytes in damaged(encoded())) {
        probe(&bytes);
    }
}
