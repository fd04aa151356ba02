//! Partial signatures on their way in.

use flotilla_beacon::server::ItemFailure;
use flotilla_types::{
    AggregateAndProof, Attestation, AttestationData, Bitlist, CommitteeIndex, Fork, ListSizes,
    SignatureBytes, SignedAggregateAndProof, SignedContributionAndProof, SignedData,
    SingleAttestation, Slot, SubcommitteeBits, SyncCommitteeMessage, ValidatorIndex,
};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{
    memory::group,
    setup::{ELECTRA_EPOCH, Setup, error},
};

pub(crate) const ATTESTATIONS: &str = "/eth/v2/beacon/pool/attestations";

pub(crate) fn single(validator: u64, slot: u64) -> SingleAttestation {
    SingleAttestation {
        committee_index: CommitteeIndex(3),
        attester_index: ValidatorIndex(validator),
        data: AttestationData {
            slot: Slot(slot),
            ..AttestationData::default()
        },
        signature: SignatureBytes([9; 96]),
    }
}

const FULU_SLOT: u64 = ELECTRA_EPOCH * 32;

async fn accepted(request: RequestBuilder) {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "");
}

#[tokio::test]
async fn attestations_get_their_validators_key_and_the_chains_fork() {
    let setup = Setup::new().await;
    let body = json!([single(7, FULU_SLOT), single(8, FULU_SLOT)]);
    let request = setup.post(ATTESTATIONS).json(&body);
    accepted(request.header("eth-consensus-version", "Electra")).await;
    let taken = setup.api.taken();
    assert_eq!(
        (taken.len(), taken[0].0, taken[1].0),
        (2, group(0), group(1))
    );
    let attestation = taken[1].1.attester().unwrap();
    assert_eq!(attestation.fork.name(), "fulu");
    assert_eq!(attestation.validator_index, Some(ValidatorIndex(8)));
    assert_eq!(attestation.signature(), &SignatureBytes([9; 96]));
}

#[tokio::test]
async fn before_electra_one_bit_tells_the_validator() {
    let setup = Setup::new().await;
    let attestation = |bits: &str, committee: u64| {
        let data = AttestationData {
            index: CommitteeIndex(committee),
            ..AttestationData::default()
        };
        json!({"aggregation_bits": bits, "data": data, "signature": SignatureBytes([9; 96])})
    };
    // Bit 5; bit 5 of another committee; bits 4 and 5; none. The highest bit is the length.
    let body = json!([
        attestation("0xa0", 3),
        attestation("0xa0", 4),
        attestation("0xb0", 3),
        attestation("0x80", 3)
    ]);
    let request = setup.post(ATTESTATIONS).json(&body);
    let (status, _, failures) = error(request.header("eth-consensus-version", "deneb")).await;
    assert_eq!(status, 400);
    let place = "place 5 of committee 4 in slot 0 is none of this cluster's validators";
    let bits = "expected exactly one aggregation bit";
    let expected = [(1, place), (2, bits), (3, bits)];
    let expected = expected.map(|(index, message)| json!({"index": index, "message": message}));
    assert_eq!(failures, json!(expected));
    let taken = setup.api.taken();
    assert_eq!((taken.len(), taken[0].0), (1, group(0)));
}

#[tokio::test]
async fn failing_items_are_told_by_their_place_and_keep_no_other_back() {
    let setup = Setup::new().await;
    *setup.api.refusals.lock().unwrap() = vec![ItemFailure {
        index: 1,
        message: "differs from what was decided".to_owned(),
    }];
    let body = json!([
        single(99, FULU_SLOT),
        single(7, FULU_SLOT),
        single(8, FULU_SLOT)
    ]);
    let request = setup.post(ATTESTATIONS).json(&body);
    let (status, _, failures) = error(request.header("eth-consensus-version", "fulu")).await;
    assert_eq!(status, 400);
    let expected = json!([
        {"index": 0, "message": "validator index 99 is none of this cluster's validators"},
        {"index": 2, "message": "differs from what was decided"},
    ]);
    assert_eq!(failures, expected);
    assert_eq!(setup.api.taken().len(), 2);
}

#[tokio::test]
async fn attestations_of_another_shape_than_the_slots_fork_are_refused() {
    let setup = Setup::new().await;
    let request = setup
        .post(ATTESTATIONS)
        .json(&json!([single(7, FULU_SLOT - 1)]));
    let (_, _, failures) = error(request.header("eth-consensus-version", "electra")).await;
    let message = format!(
        "Eth-Consensus-Version is electra, but slot {} is of deneb",
        FULU_SLOT - 1
    );
    assert_eq!(failures[0]["message"], message);
    assert!(setup.api.taken().is_empty());
}

#[tokio::test]
async fn everything_else_that_is_signed_is_handed_in() {
    let setup = Setup::new().await;
    let (root, signature) = (format!("0x{}", "11".repeat(32)), SignatureBytes([9; 96]));
    let contribution = json!({
        "slot": "5", "beacon_block_root": root, "subcommittee_index": "2",
        "aggregation_bits": format!("0x{}", "01".repeat(16)), "signature": signature,
    });
    let aggregate = json!({
        "aggregation_bits": "0xa0", "data": AttestationData::default(), "signature": signature,
    });
    let proof = |name: &str, inner: Value| {
        json!({
            "message": {"aggregator_index": "8", name: inner, "selection_proof": signature},
            "signature": signature,
        })
    };
    let exit = json!({"message": {"epoch": "3", "validator_index": "8"}, "signature": signature});
    let message = json!({
        "slot": "5", "beacon_block_root": root, "validator_index": "8", "signature": signature,
    });
    for (path, body, kind) in [
        (
            "/eth/v1/beacon/pool/sync_committees",
            json!([message]),
            "sync_message",
        ),
        (
            "/eth/v1/validator/contribution_and_proofs",
            json!([proof("contribution", contribution)]),
            "sync_contribution",
        ),
        (
            "/eth/v2/validator/aggregate_and_proofs",
            json!([proof("aggregate", aggregate)]),
            "aggregator",
        ),
        ("/eth/v1/beacon/pool/voluntary_exits", exit, "exit"),
    ] {
        let request = setup.post(path).json(&body);
        accepted(request.header("eth-consensus-version", "deneb")).await;
        let (validator, data): (_, SignedData) = setup.api.taken().pop().unwrap();
        assert_eq!(
            (validator, data.kind().to_string()),
            (group(1), kind.to_owned()),
            "{path}"
        );
    }
}

#[tokio::test]
async fn lists_are_taken_in_ssz_too() {
    let setup = Setup::new().await;
    let signature = SignatureBytes([9; 96]);
    let post = |path: &str, fork: &str, body: Vec<u8>| {
        let request = setup
            .post(path)
            .header("content-type", "application/octet-stream");
        request.header("eth-consensus-version", fork).body(body)
    };
    let singles = [single(7, FULU_SLOT), single(8, FULU_SLOT)];
    let bytes = singles.map(|single| single.encode()).concat();
    accepted(post(ATTESTATIONS, "fulu", bytes)).await;
    let taken = setup.api.taken();
    assert_eq!(
        (taken.len(), taken[0].0, taken[1].0),
        (2, group(0), group(1))
    );

    let message = SyncCommitteeMessage {
        validator_index: ValidatorIndex(8),
        signature,
        ..SyncCommitteeMessage::default()
    };
    accepted(post(
        "/eth/v1/beacon/pool/sync_committees",
        "",
        message.encode(),
    ))
    .await;
    assert_eq!(
        setup.api.taken().pop().unwrap().1,
        SignedData::SyncMessage(message)
    );

    let aggregate = Attestation::Phase0 {
        aggregation_bits: Bitlist::with_one(9, 3).unwrap(),
        data: AttestationData::default(),
        signature,
    };
    let offset = 4_u32.to_le_bytes();
    let bytes = [
        &offset[..],
        &aggregate_and_proof(aggregate.clone()).encode()[12..],
    ]
    .concat();
    accepted(post(
        "/eth/v2/validator/aggregate_and_proofs",
        "deneb",
        bytes,
    ))
    .await;
    let (validator, data) = setup.api.taken().pop().unwrap();
    assert_eq!(validator, group(1));
    assert_eq!(data, SignedData::Aggregator(aggregate_and_proof(aggregate)));
}

#[tokio::test]
async fn contributions_in_ssz_have_the_presets_size() {
    let setup = Setup::new().await;
    let sizes = &ListSizes::MAINNET;
    let mut signed = SignedContributionAndProof::default();
    signed.message.aggregator_index = ValidatorIndex(7);
    let bits = SubcommitteeBits::from_bytes(&[5; 16], sizes).unwrap();
    signed.message.contribution.aggregation_bits = bits;
    let post = |body: Vec<u8>| {
        let request = setup.post("/eth/v1/validator/contribution_and_proofs");
        request
            .header("content-type", "application/octet-stream")
            .body(body)
    };
    accepted(post([signed.encode(), signed.encode()].concat())).await;
    let expected = (group(0), SignedData::SyncContribution(signed.clone()));
    assert_eq!(setup.api.taken(), [expected.clone(), expected]);
    let (status, ..) = error(post(signed.encode()[1..].to_vec())).await;
    assert_eq!(status, 415);
}

fn aggregate_and_proof(aggregate: Attestation) -> SignedAggregateAndProof {
    let signature = SignatureBytes([9; 96]);
    let message = AggregateAndProof {
        aggregator_index: ValidatorIndex(8),
        aggregate,
        selection_proof: signature,
    };
    SignedAggregateAndProof::new(Fork::Deneb, message, signature, &ListSizes::MAINNET).unwrap()
}

#[tokio::test]
async fn registrations_and_preparations_are_swallowed_whatever_they_say() {
    let setup = Setup::new().await;
    for path in ["register_validator", "prepare_beacon_proposer"] {
        let request = setup.post(&format!("/eth/v1/validator/{path}"));
        let request = request.header("content-type", "application/octet-stream");
        accepted(request.body("nonsense")).await;
    }
    assert!(setup.upstreams[0].asked().is_empty());
}
