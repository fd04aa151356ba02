//! Bytes of the cluster's wire, and JSON of the Beacon API.

use flotilla_types::{
    AggregateValue, AttesterValue, BeaconCommitteeSelection, CommitteeIndex, ContributionAndProof,
    DecodeError, DutyKind, Fork, ListSizes, SignedAttestation, SignedContributionAndProof,
    SignedData, SignedVoluntaryExit, SyncCommitteeContribution, SyncCommitteeMessage, UnsignedData,
};
use serde_json::Value;

use crate::folder::{bytes, files, json_files, text};

/// The list sizes of the chains that vectors are from.
const SIZES: &ListSizes = &ListSizes::MAINNET;

/// Bare signatures of ceremonies and whole messages are other rooms'.
fn is_ours(case: &Value) -> bool {
    text(case, "duty") != "signature" && matches!(text(case, "kind"), "signed" | "unsigned")
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
            let bytes = match text(case, "encoding") {
                "json" => text(case, "text").as_bytes().to_vec(),
                _ => bytes(case, "bytes"),
            };
            let kind = DutyKind::from_name(text(case, "duty")).unwrap();
            let encoded = match text(case, "kind") {
                "unsigned" => UnsignedData::decode(kind, &bytes, SIZES).map(|data| data.encode()),
                _ => SignedData::decode(kind, &bytes, SIZES).map(|data| data.encode()),
            };
            if case["expect"] == "error" {
                assert!(encoded.is_err(), "{label}");
                continue;
            }
            assert_eq!(encoded.unwrap(), bytes, "{label}");
            if kind == DutyKind::Attester && text(case, "kind") == "signed" {
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
                SignedData::decode(DutyKind::Attester, &bytes, SIZES).is_err(),
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
    for (name, ssz) in files(
        "duties",
        "TestSSZSerialisation_VersionedAggregatedAttestation",
    ) {
        let value =
            AggregateValue::decode(&ssz, SIZES).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(value.fork, Some(Fork::Fulu), "{name}");
        assert_eq!(value.encode(), ssz, "{name}");
    }
}

/// A pretty-printed file as it would travel.
pub(crate) fn compact(json: &[u8]) -> Vec<u8> {
    json.iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect()
}

/// What a file decodes to encodes to its compact form again.
fn check_json<T: serde::Serialize>(kind: &str, decode: impl Fn(&[u8]) -> Result<T, DecodeError>) {
    for (name, json) in files("duties", kind) {
        let value = decode(&json).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            serde_json::to_vec(&value).unwrap(),
            compact(&json),
            "{name}"
        );
    }
}

/// The same value as SSZ.
fn check_ssz<T: PartialEq + std::fmt::Debug>(
    kinds: (&str, &str),
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    let pairs = files("duties", kinds.0)
        .into_iter()
        .zip(files("duties", kinds.1));
    for ((name, json), (_, ssz)) in pairs {
        let value = decode(&ssz).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(decode(&json), Ok(value), "{name}");
        assert_eq!(encode(&decode(&ssz).unwrap()), ssz, "{name}");
    }
}

#[test]
fn sync_message_vectors() {
    let (json, ssz) = (
        "TestJSONSerialisation_SignedSyncMessage",
        "TestSSZSerialisation_SignedSyncMessage",
    );
    check_json(json, SyncCommitteeMessage::decode);
    check_ssz(
        (json, ssz),
        SyncCommitteeMessage::decode,
        SyncCommitteeMessage::encode,
    );
}

#[test]
fn contribution_vectors() {
    let (json, ssz) = (
        "TestJSONSerialisation_SignedSyncContributionAndProof",
        "TestSSZSerialisation_SignedSyncContributionAndProof",
    );
    let decode = |bytes: &[u8]| SignedContributionAndProof::decode(bytes, SIZES);
    check_json(json, decode);
    check_ssz((json, ssz), decode, SignedContributionAndProof::encode);
    let value = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    check_json("TestJSONSerialisation_SyncContributionAndProof", |json| {
        ContributionAndProof::from_json(&value(json), SIZES)
    });
    check_json("TestJSONSerialisation_SyncContribution.json", |json| {
        let contribution = SyncCommitteeContribution::decode(json, SIZES)?;
        assert_eq!(contribution.encode().len(), 160);
        assert_eq!(
            SyncCommitteeContribution::decode(&contribution.encode(), SIZES),
            Ok(contribution.clone())
        );
        Ok(contribution)
    });
}

#[test]
fn objects_in_json_vectors() {
    check_json(
        "TestJSONSerialisation_SignedVoluntaryExit",
        SignedVoluntaryExit::decode,
    );
    check_json(
        "TestJSONSerialisation_BeaconCommitteeSelection",
        BeaconCommitteeSelection::decode,
    );
}

#[test]
fn exits_in_ssz_vectors() {
    for (name, json) in files("duties", "TestJSONSerialisation_SignedVoluntaryExit") {
        let exit = SignedVoluntaryExit::decode(&json).unwrap();
        let ssz = exit.encode_ssz();
        assert_eq!(ssz.len(), 112, "{name}");
        assert_eq!(SignedVoluntaryExit::decode(&ssz), Ok(exit), "{name}");
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
