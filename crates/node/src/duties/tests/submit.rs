//! What became of submitted objects, item by item.

use flotilla_duty::Input;
use flotilla_duty::io::{FetchError, Item};
use flotilla_types::{
    AttesterValue, Duty, DutyKind, Fork, Proposal, SignatureBytes, SignedAttestation, SignedData,
    SignedProposal, SignedVoluntaryExit, Slot, SyncCommitteeMessage, ValidatorIndex,
};
use serde_json::{Value, json};

use super::beacon::{Answer, Asked, FakeBeacon, block};
use super::{attester, key, patient_chain};
use crate::duties::submit;

const SLOT: u64 = 7;

fn messages(count: u8) -> Vec<(Item, SignedData)> {
    let message = |number: u8| SyncCommitteeMessage {
        slot: Slot(SLOT),
        validator_index: ValidatorIndex(number.into()),
        ..SyncCommitteeMessage::default()
    };
    let item = |number| {
        (
            Item::whole(key(number)),
            SignedData::SyncMessage(message(number)),
        )
    };
    (0..count).map(item).collect()
}

fn exits(count: u8) -> Vec<(Item, SignedData)> {
    let exit = |number: u8| {
        let mut exit = SignedVoluntaryExit::default();
        exit.message.validator_index = ValidatorIndex(number.into());
        (Item::whole(key(number)), SignedData::Exit(exit))
    };
    (0..count).map(exit).collect()
}

fn blocks(count: u8) -> Vec<(Item, SignedData)> {
    let signed = |number: u8| {
        let mut block = block(SLOT, 1);
        block["body"]["blob_kzg_commitments"] = json!([]);
        block["proposer_index"] = json!(number.to_string());
        let contents = json!({ "block": block, "kzg_proofs": [], "blobs": [] });
        let sizes = &patient_chain().spec.sizes;
        let signed = SignedProposal {
            proposal: Proposal::from_json(Fork::Fulu, false, &contents, sizes).unwrap(),
            signature: SignatureBytes([9; 96]),
        };
        (Item::whole(key(number)), SignedData::Proposer(signed))
    };
    (0..count).map(signed).collect()
}

/// Items that were accepted, and those that were not.
async fn submitted(
    beacon: &FakeBeacon,
    kind: DutyKind,
    items: Vec<(Item, SignedData)>,
) -> (Vec<Item>, Vec<(Item, FetchError)>) {
    let duty = Duty::new(Slot(SLOT), kind);
    match submit(&beacon.node, &patient_chain(), duty, items).await {
        Input::Submitted {
            duty: of,
            accepted,
            refused,
        } if of == duty => (accepted, refused),
        other => panic!("{other:?}"),
    }
}

/// Refuses the item at place 1 of each list.
fn indexed(_: &Asked) -> Answer {
    let failures = json!([{ "index": "1", "message": "wrong root" }]);
    Answer::Json(
        400,
        json!({ "code": 400, "message": "some failed", "failures": failures }),
    )
}

#[tokio::test]
async fn a_refused_place_is_the_item_at_that_place() {
    let beacon = FakeBeacon::start(indexed).await;
    let (accepted, refused) = submitted(&beacon, DutyKind::SyncMessage, messages(3)).await;
    assert_eq!(accepted, [0, 2].map(|number| Item::whole(key(number))));
    let [(item, error)] = refused.as_slice() else {
        panic!("{refused:?}");
    };
    assert_eq!(*item, Item::whole(key(1)));
    assert!(error.text.ends_with("wrong root"), "{}", error.text);
    assert!(!error.temporary, "the node would say so again");
}

#[tokio::test]
async fn a_node_that_fails_has_refused_nothing_for_good() {
    let beacon = FakeBeacon::start(|_: &Asked| Answer::Json(503, json!({}))).await;
    for (kind, items) in [
        (DutyKind::SyncMessage, messages(2)),
        (DutyKind::Proposer, blocks(1)),
        (DutyKind::Exit, exits(1)),
    ] {
        let all = items.len();
        let (accepted, refused) = submitted(&beacon, kind, items).await;
        assert_eq!((accepted.len(), refused.len()), (0, all), "{kind}");
        assert!(refused.iter().all(|(_, error)| error.temporary), "{kind}");
    }
}

/// The index in a submitted object.
fn index_of(asked: &Asked, place: &str) -> Value {
    asked.json().pointer(place).cloned().unwrap_or_default()
}

#[tokio::test]
async fn exits_go_one_by_one() {
    let beacon = FakeBeacon::start(|asked: &Asked| {
        match index_of(asked, "/message/validator_index") == json!("1") {
            true => Answer::Json(400, json!({ "code": 400, "message": "too young" })),
            false => Answer::Json(200, json!({})),
        }
    })
    .await;
    let (accepted, refused) = submitted(&beacon, DutyKind::Exit, exits(3)).await;
    assert_eq!(accepted, [0, 2].map(|number| Item::whole(key(number))));
    assert_eq!(refused[0].0, Item::whole(key(1)));
    assert!(
        refused[0].1.text.contains("too young"),
        "{}",
        refused[0].1.text
    );
    assert_eq!(beacon.asked().len(), 3);
}

#[tokio::test]
async fn blocks_go_one_by_one() {
    // In SSZ the signed block tells its proposer behind the three offsets, its own offset, the signature and the slot.
    const PROPOSER_AT: usize = 12 + 4 + 96 + 8;
    let beacon = FakeBeacon::start(|asked: &Asked| match asked.body[PROPOSER_AT] {
        1 => Answer::Json(400, json!({ "code": 400, "message": "unknown parent" })),
        _ => Answer::Json(200, json!({})),
    })
    .await;
    let (accepted, refused) = submitted(&beacon, DutyKind::Proposer, blocks(3)).await;
    assert_eq!(accepted, [0, 2].map(|number| Item::whole(key(number))));
    assert_eq!(refused[0].0, Item::whole(key(1)));
    assert!(
        refused[0].1.text.contains("unknown parent"),
        "{}",
        refused[0].1.text
    );
}

fn attestation(number: u8) -> SignedAttestation {
    let mut value = AttesterValue {
        duty: attester(number, SLOT, 1),
        ..AttesterValue::default()
    };
    value.data.slot = Slot(SLOT);
    SignedAttestation::from_value(&value, Fork::Fulu, SignatureBytes([1; 96])).unwrap()
}

#[tokio::test]
async fn attestations_go_as_single_ones_and_only_if_each_names_its_validator() {
    let beacon = FakeBeacon::start(|_: &Asked| Answer::Json(200, json!({}))).await;
    let item = |number, signed| (Item::whole(key(number)), SignedData::Attester(signed));
    let named = vec![item(1, attestation(1)), item(2, attestation(2))];
    let (accepted, refused) = submitted(&beacon, DutyKind::Attester, named).await;
    assert_eq!((accepted.len(), refused.len()), (2, 0));
    assert_eq!(beacon.asked()[0].json()[1]["attester_index"], "2");

    let mut nameless = attestation(2);
    nameless.validator_index = None;
    let items = vec![item(1, attestation(1)), item(2, nameless)];
    let (accepted, refused) = submitted(&beacon, DutyKind::Attester, items).await;
    assert_eq!((accepted.len(), refused.len()), (0, 2));
    assert!(
        refused[0].1.text.contains("names no validator"),
        "{}",
        refused[0].1.text
    );
    assert_eq!(beacon.asked().len(), 1, "nothing was sent");
}
