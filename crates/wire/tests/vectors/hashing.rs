//! The hash that stands for a message, and the hash of values.

use std::collections::BTreeMap;

use flotilla_crypto::IdentityKey;
use flotilla_types::{AttesterValue, DutyKind, ListSizes, PublicKeyBytes, UnsignedData};
use flotilla_wire::hash::hash_bytes;
use flotilla_wire::proto::core::UnsignedDataSet;
use flotilla_wire::value_hash;
use prost::Message as _;

use crate::folder::{bytes, files, hash, list, number, text, unhex};

#[test]
fn hash_bytes_lengths_vectors() {
    for file in files("consensus", "hash_bytes_lengths") {
        for case in list(&file, "cases") {
            assert_eq!(
                hash_bytes(&bytes(case, "bytes_hex")),
                hash(case, "hash_hex"),
                "{}",
                case["length"]
            );
        }
    }
}

#[test]
fn hash_proto_short_vectors() {
    for file in files("consensus", "hash_proto_short") {
        for case in list(&file, "cases") {
            assert_eq!(
                hash_bytes(&bytes(case, "proto_hex")),
                hash(case, "hash_proto_hex"),
                "{}",
                text(case, "name")
            );
        }
    }
}

#[test]
fn unsigned_data_set_hash_vectors() {
    for file in files("consensus", "hash_proto_unsigned_data_set") {
        let entries = file["map_value_ssz_hex"].as_object().unwrap();
        let set = entries.iter().map(|(key, data)| {
            let data = UnsignedData::decode(
                DutyKind::Attester,
                &unhex(data.as_str().unwrap()),
                &ListSizes::MAINNET,
            )
            .unwrap();
            (key.parse::<PublicKeyBytes>().unwrap(), data)
        });
        assert_eq!(value_hash(&set.collect()), hash(&file, "hash_proto_hex"));
        assert_eq!(
            hash_bytes(&bytes(&file, "unsigned_data_set_proto_hex")),
            hash(&file, "hash_proto_hex")
        );
    }
}

/// The JSON form of the same set, through our types.
#[test]
fn test_hash_proto_golden_vectors() {
    let sets = files("consensus", "TestHashProto");
    for (set, expected) in sets
        .into_iter()
        .zip(files("consensus", "hash_proto_unsigned_data_set"))
    {
        let set: BTreeMap<PublicKeyBytes, AttesterValue> = serde_json::from_value(set).unwrap();
        let set = set
            .into_iter()
            .map(|(key, value)| (key, UnsignedData::Attester(value)))
            .collect();
        assert_eq!(value_hash(&set), hash(&expected, "hash_proto_hex"));
    }
}

/// Values of every kind are decoded, and encoded to the same bytes; so they hash to the same.
#[test]
fn consensus_values_vectors() {
    for file in files("consensus", "consensus_values") {
        for case in list(&file, "values") {
            let (name, proto) = (text(case, "name"), bytes(case, "proto_hex"));
            let decoded = UnsignedDataSet::decode(&*proto).unwrap();
            assert_eq!(decoded.encode_to_vec(), proto, "{name}");
            assert_eq!(hash_bytes(&proto), hash(case, "hash_proto"), "{name}");
            let kind = i32::try_from(number(case, "duty_type")).unwrap();
            let kind = DutyKind::from_wire(kind).unwrap();
            let set = decoded.set.iter().map(|(key, data)| {
                let data = UnsignedData::decode(kind, data, &ListSizes::MAINNET)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(data.kind(), kind, "{name}");
                (key.parse().unwrap(), data)
            });
            assert_eq!(
                value_hash(&set.collect()),
                hash(case, "hash_proto"),
                "{name}"
            );
        }
    }
}

/// Keys and signatures are `crypto`'s; that they sign the hash directly is ours.
#[test]
fn k1_recoverable_signature_vectors() {
    for file in files("consensus", "k1_recoverable_signature") {
        let key = IdentityKey::from_hex(text(&file, "private_key_hex")).unwrap();
        let signature = key.sign(&hash(&file, "digest_hex"));
        assert_eq!(signature.as_slice(), bytes(&file, "signature_rsv_hex"));
        assert!(key.public().verify(&hash(&file, "digest_hex"), &signature));
    }
}
