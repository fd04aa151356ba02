//! Own bytes and roots that must never change: the wire is shared with other software.
//!
//! `data/frozen.json` was written when this crate agreed with all shared vectors; it lets a build without them notice a
//! slip. Values are drawn from the number of their fork.

#![allow(clippy::unwrap_used)]

mod samples;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use flotilla_types::{
    Chain, ChainSpec, DutyKind, Fork, ForkVersion, Root, SignedData, Timestamp, UnsignedData,
};
use libssz_merkle::{Sha2Hasher, Sha256Hasher as _};
use serde_json::{Value, json};

use samples::{Draw, SIZES, signed, unsigned};

fn chain() -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0x10, 0, 0, 0])),
        genesis_time: Timestamp::from_secs(1_700_000_000),
        genesis_validators_root: Root([7; 32]),
    }
}

/// Short encodings whole; of long ones their length and hash.
fn shown(bytes: &[u8]) -> Value {
    match bytes.len() {
        0..400 => json!(hex::encode(bytes)),
        length => json!({"bytes": length, "sha256": hex::encode(Sha2Hasher.hash(bytes))}),
    }
}

fn current() -> Value {
    let mut entries = BTreeMap::new();
    for &fork in Fork::ALL {
        for (place, data) in unsigned(fork, &mut Draw(fork.wire())).iter().enumerate() {
            let name = format!("{fork} unsigned {place:02} {}", data.kind());
            entries.insert(
                name,
                json!({"wire": shown(&data.encode()), "slot": data.slot()}),
            );
        }
        for (place, data) in signed(fork, &mut Draw(fork.wire())).iter().enumerate() {
            let name = format!("{fork} signed {place:02} {}", data.kind());
            entries.insert(
                name,
                json!({
                    "wire": shown(&data.encode()),
                    "message_root": data.message_root(),
                    "signing_root": data.signing_root(&chain()),
                }),
            );
        }
    }
    json!(entries)
}

#[test]
fn bytes_and_roots_are_those_of_the_own_vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frozen.json");
    let frozen: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let current = current();
    assert_eq!(
        frozen.as_object().unwrap().len(),
        current.as_object().unwrap().len()
    );
    for (name, entry) in current.as_object().unwrap() {
        assert_eq!(frozen[name], *entry, "{name}");
    }
}

#[test]
fn every_kind_has_a_sample() {
    let without = [
        DutyKind::Signature,
        DutyKind::BuilderProposer,
        DutyKind::InfoSync,
    ];
    let with = DutyKind::ALL
        .iter()
        .filter(|kind| !without.contains(kind))
        .copied();
    let samples = signed(Fork::Fulu, &mut Draw(0));
    let sampled: BTreeSet<_> = samples.iter().map(SignedData::kind).collect();
    assert_eq!(sampled, with.collect());
}

#[test]
fn what_is_encoded_is_decoded_to_the_same() {
    for &fork in Fork::ALL {
        for data in unsigned(fork, &mut Draw(fork.wire())) {
            assert_eq!(
                UnsignedData::decode(data.kind(), &data.encode(), SIZES),
                Ok(data)
            );
        }
        for data in signed(fork, &mut Draw(fork.wire())) {
            assert_eq!(
                SignedData::decode(data.kind(), &data.encode(), SIZES),
                Ok(data)
            );
        }
    }
}

#[test]
fn a_fork_that_cannot_be_blinded_refuses_blinded_bytes() {
    for fork in [Fork::Phase0, Fork::Altair] {
        for data in unsigned(fork, &mut Draw(1)) {
            if let UnsignedData::Proposer(proposal) = data {
                let mut bytes = proposal.encode();
                bytes[8] = 1;
                assert!(UnsignedData::decode(DutyKind::Proposer, &bytes, SIZES).is_err());
            }
        }
    }
}
