//! Blocks of every form, in SSZ and JSON.

use flotilla_types::{
    DutyKind, Fork, ListSizes, Proposal, SignedData, SignedProposal, UnsignedData,
};
use serde_json::Value;

use crate::{
    encodings::compact,
    folder::{files, json_files},
};

/// The list sizes of the chains that vectors are from.
const SIZES: &ListSizes = &ListSizes::MAINNET;

#[test]
fn full_proposal_vectors() {
    let json = json_files("duties", "TestJSONSerialisation_VersionedProposal");
    let ssz = files("duties", "TestSSZSerialisation_VersionedProposal");
    for ((name, json), (_, ssz)) in json.into_iter().zip(ssz) {
        let proposal = Proposal::decode(&ssz, SIZES).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(proposal.encode(), ssz, "{name}");
        assert_eq!(
            (proposal.fork(), proposal.is_blinded()),
            (Fork::Fulu, false),
            "{name}"
        );
        let read = Proposal::decode(json.to_string().as_bytes(), SIZES);
        assert!(read == Ok(proposal.clone()), "{name}");
        let written = serde_json::to_value(proposal.to_json(SIZES)).unwrap();
        assert!(written == json["block"], "{name}");
        let again = Proposal::from_ssz(Fork::Fulu, false, &proposal.to_ssz(), SIZES);
        assert!(again == Ok(proposal.clone()), "{name}");
        assert_facts(&name, &proposal, &json["block"]["block"]);
        let data = UnsignedData::decode(DutyKind::Proposer, &ssz, SIZES);
        assert!(data == Ok(UnsignedData::Proposer(proposal)), "{name}");
    }
}

/// What is read out of a block is what its JSON says.
fn assert_facts(name: &str, proposal: &Proposal, block: &Value) {
    let facts = proposal.facts();
    let payload = match proposal.is_blinded() {
        true => &block["body"]["execution_payload_header"],
        false => &block["body"]["execution_payload"],
    };
    let text = |value: &dyn std::fmt::Display| Value::String(value.to_string());
    assert_eq!(text(&facts.header.slot), block["slot"], "{name}");
    assert_eq!(
        text(&facts.header.proposer_index),
        block["proposer_index"],
        "{name}"
    );
    assert_eq!(
        text(&facts.header.parent_root),
        block["parent_root"],
        "{name}"
    );
    assert_eq!(
        text(&facts.header.state_root),
        block["state_root"],
        "{name}"
    );
    assert_eq!(
        text(&facts.randao_reveal),
        block["body"]["randao_reveal"],
        "{name}"
    );
    assert_eq!(
        text(&format_args!("0x{}", hex::encode(facts.graffiti))),
        block["body"]["graffiti"],
        "{name}"
    );
    assert_eq!(
        text(&facts.fee_recipient.unwrap()),
        payload["fee_recipient"],
        "{name}"
    );
    assert_eq!(
        text(&facts.block_hash.unwrap()),
        payload["block_hash"],
        "{name}"
    );
    let commitments = block["body"]["blob_kzg_commitments"].as_array().unwrap();
    assert_eq!(facts.blobs, commitments.len(), "{name}");
}

#[test]
fn signed_blinded_proposal_vectors() {
    let kind = "VersionedSignedBlindedProposal";
    let json = files(
        "duties",
        "TestJSONSerialisation_VersionedSignedBlindedProposal",
    );
    let ssz = files(
        "duties",
        "TestSSZSerialisation_VersionedSignedBlindedProposal",
    );
    for ((name, json), (_, ssz)) in json.into_iter().zip(ssz) {
        let signed = SignedProposal::decode(&ssz, SIZES).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(signed.encode(), ssz, "{name}");
        assert!(signed.proposal.is_blinded(), "{name}");
        assert_eq!(
            SignedProposal::decode(&json, SIZES),
            Ok(signed.clone()),
            "{name}"
        );
        let value: Value = serde_json::from_slice(&json).unwrap();
        // Field by field in the same order: the text itself is compared.
        let written = serde_json::to_string(&signed.to_json(SIZES)).unwrap();
        let expected = String::from_utf8(compact(&json)).unwrap();
        assert_eq!(
            expected,
            format!("{{\"version\":4,\"block\":{written},\"blinded\":true}}"),
            "{name}"
        );
        let again = SignedProposal::from_json(Fork::Deneb, true, &value["block"], SIZES);
        assert_eq!(again, Ok(signed.clone()), "{name}");
        assert_facts(&name, &signed.proposal, &value["block"]["message"]);
        assert_eq!(
            SignedData::decode(DutyKind::Proposer, &ssz, SIZES),
            Ok(SignedData::Proposer(signed)),
            "{name}"
        );
    }
}

#[test]
fn signed_full_proposal_vectors() {
    // The second is a historic sample, with more slashings than the fork allows: limits are the chain's.
    let many = ListSizes {
        max_attester_slashings_electra: 8,
        ..*SIZES
    };
    for (kind, sizes) in [
        ("TestJSONSerialisation_VersionedSignedProposal", SIZES),
        ("TestJSONSerialisation_VersionedSignedBeaconBlock", &many),
    ] {
        for (name, json) in json_files("duties", kind) {
            let signed = SignedProposal::decode(json.to_string().as_bytes(), sizes)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(signed.proposal.fork(), Fork::Fulu, "{name}");
            let written = serde_json::to_value(signed.to_json(sizes)).unwrap();
            assert!(written == json["block"], "{name}");
            let ssz = SignedProposal::from_ssz(Fork::Fulu, false, &signed.to_ssz(), sizes);
            assert!(ssz == Ok(signed.clone()), "{name}");
            assert!(
                SignedProposal::decode(&signed.encode(), sizes) == Ok(signed),
                "{name}"
            );
        }
    }
}

/// Samples of older software, behind a header that is no longer in use.
#[test]
fn historic_block_vectors() {
    const HEADER: usize = 12;
    let unsigned = [
        (
            "TestSSZSerialisation_VersionedBeaconBlock",
            Fork::Altair,
            false,
        ),
        (
            "TestSSZSerialisation_VersionedBlindedBeaconBlock",
            Fork::Deneb,
            true,
        ),
    ];
    for (kind, fork, blinded) in unsigned {
        for (name, ssz) in files("duties", kind) {
            let proposal = Proposal::from_ssz(fork, blinded, &ssz[HEADER..], SIZES)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(proposal.to_ssz(), ssz[HEADER..], "{name}");
            let json = serde_json::to_value(proposal.to_json(SIZES)).unwrap();
            let read = Proposal::from_json(fork, blinded, &json, SIZES);
            assert_eq!(read, Ok(proposal), "{name}");
        }
    }
    let signed = [
        (
            "TestSSZSerialisation_VersionedSignedBeaconBlock",
            Fork::Altair,
            false,
        ),
        (
            "TestSSZSerialisation_VersionedSignedBlindedBeaconBlock",
            Fork::Deneb,
            true,
        ),
    ];
    for (kind, fork, blinded) in signed {
        for (name, ssz) in files("duties", kind) {
            let proposal = SignedProposal::from_ssz(fork, blinded, &ssz[HEADER..], SIZES)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(proposal.to_ssz(), ssz[HEADER..], "{name}");
        }
    }
    let ssz = files("duties", "TestSSZSerialisation_VersionedBlindedBeaconBlock");
    let json = json_files(
        "duties",
        "TestJSONSerialisation_VersionedBlindedBeaconBlock",
    );
    for ((name, json), (_, ssz)) in json.into_iter().zip(ssz) {
        assert_eq!(
            Proposal::from_json(Fork::Deneb, true, &json["block"], SIZES),
            Proposal::from_ssz(Fork::Deneb, true, &ssz[HEADER..], SIZES),
            "{name}"
        );
    }
}
