//! Bytes of the cluster's wire, as far as they are attestations'.

use flotilla_types::{
    Attestation, AttesterValue, CommitteeIndex, DutyKind, Fork, SignedAttestation, SignedData,
    UnsignedData,
};
use serde_json::Value;

use crate::folder::{bytes, files, json_files, text};

/// Kinds whose data this crate does not carry yet; everything else must decode or be refused as the file says.
fn is_ours(case: &Value) -> bool {
    text(case, "duty") == "attester" && matches!(text(case, "kind"), "signed" | "unsigned")
}

#[test]
fn wire_payloads_vectors() {
    for (name, file) in json_files("duties", "wire_payloads") {
        let cases: Vec<&Value> = file
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| is_ours(case))
            .collect();
        assert!(!cases.is_empty(), "{name} has nothing for this crate");
        for case in cases {
            let label = format!("{name}: {}", text(case, "name"));
            let bytes = bytes(case, "bytes");
            let encoded = match text(case, "kind") {
                "unsigned" => {
                    UnsignedData::decode(DutyKind::Attester, &bytes).map(|data| data.encode())
                }
                _ => SignedData::decode(DutyKind::Attester, &bytes).map(|data| data.encode()),
            };
            if case["expect"] == "error" {
                assert!(encoded.is_err(), "{label}");
                continue;
            }
            assert_eq!(encoded.unwrap(), bytes, "{label}");
            if text(case, "kind") == "signed" {
                check_fields(&label, &bytes, &case["fields"]);
            }
        }
    }
}

/// The decoded value says what the file's fields say.
fn check_fields(label: &str, bytes: &[u8], fields: &Value) {
    let signed = SignedAttestation::decode(bytes).unwrap();
    let from_json = serde_json::json!({
        "version": fields["version"],
        "validator_index": fields["validator_index"],
        "attestation": fields["attestation"],
    });
    assert_eq!(
        SignedAttestation::decode(from_json.to_string().as_bytes()).unwrap(),
        signed,
        "{label}"
    );
    if let (Some(committee), Some(_)) = (fields["committee_index"].as_str(), signed.validator_index)
    {
        let single = signed.to_single().unwrap();
        assert_eq!(
            single.committee_index,
            CommitteeIndex(committee.parse().unwrap()),
            "{label}"
        );
    }
}

/// Malformed wrappers of other kinds: the same headers, so the attester's decoder must refuse them as well.
#[test]
fn malformed_wire_payloads_vectors() {
    for (name, file) in json_files("duties", "wire_payloads") {
        for case in file
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["expect"] == "error")
        {
            let bytes = bytes(case, "bytes");
            assert!(
                SignedData::decode(DutyKind::Attester, &bytes).is_err(),
                "{name}: {}",
                text(case, "name")
            );
        }
    }
}

#[test]
fn versioned_attestation_vectors() {
    let json = files("duties", "TestJSONSerialisation_VersionedAttestation");
    let ssz = files("duties", "TestSSZSerialisation_VersionedAttestation");
    for ((json_name, json), (ssz_name, ssz)) in json.into_iter().zip(ssz) {
        let signed =
            SignedAttestation::decode(&ssz).unwrap_or_else(|error| panic!("{ssz_name}: {error}"));
        assert_eq!(signed.encode(), ssz, "{ssz_name}");
        assert_eq!(
            SignedAttestation::decode(&json).unwrap(),
            signed,
            "{json_name}"
        );
        let compact: String = String::from_utf8(json)
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(
            serde_json::to_string(&signed).unwrap(),
            compact,
            "{json_name}"
        );
    }
}

#[test]
fn aggregated_attestation_vectors() {
    const HEADER: usize = 12;
    for (name, ssz) in files(
        "duties",
        "TestSSZSerialisation_VersionedAggregatedAttestation",
    ) {
        let attestation = Attestation::decode(Fork::Fulu, &ssz[HEADER..]).unwrap();
        assert_eq!(attestation.encode(), ssz[HEADER..], "{name}");
    }
}

#[test]
fn attestation_data_vectors() {
    for (name, json) in files("duties", "TestJSONSerialisation_AttestationData") {
        let value = AttesterValue::decode(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
        let compact: String = String::from_utf8(json)
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(serde_json::to_string(&value).unwrap(), compact, "{name}");
        let ssz = value.encode();
        assert_eq!(
            (ssz.len(), AttesterValue::decode(&ssz)),
            (AttesterValue::SSZ_BYTES, Ok(value)),
            "{name}"
        );
    }
}
