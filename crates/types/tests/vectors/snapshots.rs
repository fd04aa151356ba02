//! What other software schedules and submits in a set scene: times, definitions, and objects in the Beacon API's JSON; and
//! objects that members of this cluster must not send.

use std::time::Duration;

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, Chain, ChainSpec, Duty, DutyKind, Fork,
    ForkVersion, ListSizes, ProposerDuty, Root, SignedAggregateAndProof, SignedData, Slot,
    Timestamp, UnsignedData,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::folder::{files, json_files, text};

const SIZES: &ListSizes = &ListSizes::MAINNET;

/// The chain of the scheduler's scene: 12-second slots from time zero on.
fn chain() -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(Duration::from_secs(12), 16, ForkVersion([0; 4])),
        genesis_time: Timestamp::from_secs(0),
        genesis_validators_root: Root::default(),
    }
}

/// A duty as logs name it: `<slot>/<kind>`.
fn duty(text: &str) -> Duty {
    let (slot, kind) = text.split_once('/').unwrap();
    Duty::new(
        Slot(slot.parse().unwrap()),
        DutyKind::from_name(kind).unwrap(),
    )
}

/// A time of day, `<minutes>:<seconds>.<milliseconds>`.
fn time(text: &str) -> Timestamp {
    let (minutes, seconds) = text.split_once(':').unwrap();
    let (seconds, millis) = seconds.split_once('.').unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    Timestamp::from_millis(1000 * (60 * number(minutes) + number(seconds)) + number(millis))
}

/// Reads a row of an answer of the Beacon API, and finds that it is written as it came.
fn same<T: DeserializeOwned + Serialize>(json: &str) -> T {
    let value: T = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap(), json);
    value
}

/// Attesters and aggregators are told when they are due; the other software counts in thirds of a slot, the chain in
/// ten-thousandths, which is less than a millisecond apart. A proposer is told no later than its slot begins.
#[test]
fn scheduler_vectors() {
    for (name, file) in json_files("duties", "TestSchedulerDuties_") {
        let chain = chain();
        for entry in file.as_array().unwrap() {
            let (duty, at) = (duty(text(entry, "duty")), time(text(entry, "Time")));
            let due = chain.due(duty);
            let exact = due <= at && at <= due + Duration::from_millis(1);
            assert!(
                exact || duty.kind == DutyKind::Proposer && at <= due,
                "{name}: {duty}"
            );
            check_definitions(&name, duty, &entry["DutyDefSet"]);
        }
    }
}

/// Who has the duty, as the beacon node told it.
fn check_definitions(name: &str, duty: Duty, set: &Value) {
    for (key, definition) in set.as_object().unwrap() {
        let json = definition.as_str().unwrap();
        let (validator, slot) = match duty.kind {
            DutyKind::Proposer => {
                // Fields in another order than ours.
                let duty: ProposerDuty = serde_json::from_str(json).unwrap();
                (duty.pubkey, duty.slot)
            }
            _ => {
                let duty: AttesterDuty = same(json);
                (duty.pubkey, duty.slot)
            }
        };
        assert_eq!(validator.to_string(), *key, "{name}: {duty}");
        assert_eq!(slot, duty.slot, "{name}: {duty}");
    }
}

#[test]
fn attester_duties_vectors() {
    for (name, file) in json_files("duties", "TestDeterministicAttesterDuties") {
        for row in file.as_array().unwrap() {
            let duty: AttesterDuty = serde_json::from_value(row.clone()).unwrap();
            assert_eq!(serde_json::to_value(duty).unwrap(), *row, "{name}");
        }
    }
}

#[test]
fn attestation_store_vectors() {
    for (name, file) in json_files("duties", "TestAttestationStore") {
        let data: AttestationData = serde_json::from_value(file.clone()).unwrap();
        assert_eq!(serde_json::to_value(data).unwrap(), file, "{name}");
        let ssz = data.encode();
        assert_eq!(AttestationData::decode(&ssz), Ok(data), "{name}");
    }
}

/// The fork of a submitted object, and the object under the fork's name.
fn versioned(entry: &Value) -> (Fork, &Value) {
    let version = text(entry, "Version");
    let mut name = version.to_owned();
    name[..1].make_ascii_uppercase();
    (Fork::from_name(version).unwrap(), &entry[&name])
}

#[test]
fn submitted_attestations_vectors() {
    for (name, file) in json_files("duties", "TestAttest_0_attestations") {
        for entry in file.as_array().unwrap() {
            let (fork, json) = versioned(entry);
            let attestation = Attestation::from_json(fork, json)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(serde_json::to_value(&attestation).unwrap(), *json, "{name}");
            let ssz = attestation.encode();
            assert_eq!(Attestation::decode(fork, &ssz), Ok(attestation), "{name}");
        }
    }
}

#[test]
fn submitted_aggregates_vectors() {
    for (name, file) in json_files("duties", "TestAttest_0_aggregations") {
        for entry in file["SignedAggregateAndProofs"].as_array().unwrap() {
            let (fork, json) = versioned(entry);
            let signed = SignedAggregateAndProof::from_json(fork, json, SIZES)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(serde_json::to_value(&signed).unwrap(), *json, "{name}");
            let wire = signed.encode();
            let again = SignedAggregateAndProof::decode(&wire, SIZES);
            assert_eq!(again, Ok(signed), "{name}");
        }
    }
}

/// Objects of the fork after Fulu, and the bare signatures of ceremonies, are no object of any duty that there is.
#[test]
fn strange_objects_vectors() {
    for kind in [
        "TestJSONSerialisation_SignedPayloadAttestationMessage",
        "TestSSZSerialisation_SignedPayloadAttestationMessage",
        "TestSSZSerialisation_PayloadAttestationData",
        "TestJSONSerialisation_Signature",
    ] {
        for (name, bytes) in files("duties", kind) {
            for &kind in DutyKind::ALL {
                assert!(
                    SignedData::decode(kind, &bytes, SIZES).is_err(),
                    "{name} as {kind}"
                );
                assert!(
                    UnsignedData::decode(kind, &bytes, SIZES).is_err(),
                    "{name} as {kind}"
                );
            }
        }
    }
}
