//! Proposals for rehearsal.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_beacon::client::{Validator, ValidatorStatus};
use flotilla_duty::Input;
use flotilla_duty::io::Item;
use flotilla_types::{
    Duty, DutyKind, Epoch, ExecutionAddress, Fork, Proposal, ProposerDuty, SignatureBytes,
    SignedData, SignedProposal, Slot, UnsignedData, ValidatorIndex,
};
use serde_json::json;

use super::beacon::{Answer, Asked, FakeBeacon, block, missing};
use super::{SLOTS, key, patient_chain};
use crate::duties::synthetic::{self, is_synthetic, proposers};
use crate::duties::{Rehearsal, swallow};

fn validator(number: u8) -> Validator {
    Validator {
        index: ValidatorIndex(number.into()),
        pubkey: key(number),
        status: ValidatorStatus::ActiveOngoing,
        balance_gwei: 32,
        activation_epoch: Epoch(0),
        exit_epoch: Epoch::FAR_FUTURE,
    }
}

fn turn(number: u8, slot: u64) -> ProposerDuty {
    ProposerDuty {
        pubkey: key(number),
        validator_index: ValidatorIndex(number.into()),
        slot: Slot(slot),
    }
}

fn in_epoch(epoch: u64, active: &[Validator], real: &[ProposerDuty]) -> Vec<ProposerDuty> {
    proposers(&patient_chain(), Epoch(epoch), active, real)
}

#[test]
fn each_validator_has_the_slot_of_its_index_once_an_epoch() {
    let active: Vec<Validator> = (0..8).map(validator).collect();
    let found: BTreeSet<_> = in_epoch(3, &active, &[]).into_iter().collect();
    let expected = (0..8).map(|number| turn(number, 3 * SLOTS + u64::from(number)));
    assert_eq!(found, expected.collect());
}

#[test]
fn who_proposes_for_real_does_not_rehearse_and_keeps_its_slot() {
    let active: Vec<Validator> = (0..8).map(validator).collect();
    let slot = |slot: u64| 3 * SLOTS + slot;
    // The turn of a validator of another cluster takes no slot from ours.
    let real = [turn(2, slot(5)), turn(99, slot(1))];
    let found = in_epoch(3, &active, &real);
    let slots: BTreeSet<u64> = found.iter().map(|duty| duty.slot.0).collect();
    assert_eq!(slots, [0, 1, 3, 4, 6, 7].map(slot).into());
}

/// 1 and 9 want one slot; which of them has it changes from epoch to epoch, and all members say the same.
#[test]
fn the_order_changes_by_epoch_and_not_by_the_order_of_the_answer() {
    let active = [validator(1), validator(9)];
    let turned = [validator(9), validator(1)];
    let winners: BTreeSet<u64> = (0..16)
        .map(|epoch| {
            let found = in_epoch(epoch, &active, &[]);
            assert_eq!(found, in_epoch(epoch, &turned, &[]));
            assert_eq!((found.len(), found[0].slot), (1, Slot(epoch * SLOTS + 1)));
            found[0].validator_index.0
        })
        .collect();
    assert_eq!(winners, [1, 9].into());
}

/// A node with blocks at slots 20 and 22.
async fn beacon() -> FakeBeacon {
    FakeBeacon::start(|asked: &Asked| {
        let found = [20, 22]
            .into_iter()
            .find(|slot| asked.path.ends_with(&format!("/{slot}")));
        found.map_or_else(missing, |slot| {
            let signed =
                json!({ "message": block(slot, 25), "signature": SignatureBytes([9; 96]) });
            Answer::Json(200, json!({ "version": "fulu", "data": signed }))
        })
    })
    .await
}

async fn rehearsed(slot: u64) -> Result<Proposal, flotilla_duty::io::FetchError> {
    let (chain, randao) = (patient_chain(), SignatureBytes([7; 96]));
    let payee = Some(ExecutionAddress([5; 20]));
    let beacon = beacon().await;
    let set = synthetic::block(&beacon.node, &chain, &turn(1, slot), randao, payee).await?;
    match set.into_values().next() {
        Some(UnsignedData::Proposer(proposal)) => Ok(proposal),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_block_is_the_last_real_one_with_other_facts() {
    let made = rehearsed(24).await.unwrap();
    let facts = made.facts();
    assert_eq!((made.fork(), made.is_blinded()), (Fork::Fulu, false));
    assert_eq!(
        (made.slot(), facts.header.proposer_index),
        (Slot(24), ValidatorIndex(1))
    );
    assert_eq!(facts.randao_reveal, SignatureBytes([7; 96]));
    assert_eq!(facts.fee_recipient, Some(ExecutionAddress([5; 20])));
    assert_eq!(&facts.graffiti, b"SYNTHETIC BLOCK: DO NOT SUBMIT\0\0");
    assert_eq!(facts.blobs, 0);
    let json = serde_json::to_value(made.to_json(&patient_chain().spec.sizes)).unwrap();
    let payload = &json["block"]["body"]["execution_payload"];
    assert_eq!(payload["transactions"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_block_in_an_epoch_there_is_nothing_to_rehearse_with() {
    let error = rehearsed(22 + SLOTS + 1).await.unwrap_err();
    assert!(error.temporary, "{}", error.text);
}

#[tokio::test]
async fn what_is_marked_is_swallowed_and_counts_as_accepted() {
    let item = |proposal| {
        let signed = SignedProposal {
            proposal,
            signature: SignatureBytes([9; 96]),
        };
        (Item::whole(key(1)), SignedData::Proposer(signed))
    };
    let marked = vec![item(rehearsed(24).await.unwrap())];
    assert!(is_synthetic(&marked));
    assert!(!is_synthetic(&[]));
    let mut real = block(24, 1);
    real["body"]["blob_kzg_commitments"] = json!([]);
    let contents = json!({ "block": real, "kzg_proofs": [], "blobs": [] });
    let sizes = &patient_chain().spec.sizes;
    let real = Proposal::from_json(Fork::Fulu, false, &contents, sizes).unwrap();
    assert!(!is_synthetic(&[item(real)]));
    let duty = Duty::new(Slot(24), DutyKind::Proposer);
    let Input::Submitted {
        duty: of,
        accepted,
        refused,
    } = swallow(duty, marked)
    else {
        panic!("what became of it was expected");
    };
    assert_eq!(
        (of, accepted, refused),
        (duty, vec![Item::whole(key(1))], vec![])
    );
}

#[test]
fn a_payee_is_the_one_said_last() {
    let rehearsal = Rehearsal::default();
    assert_eq!(rehearsal.payee(&key(1)), None);
    let address = ExecutionAddress([5; 20]);
    rehearsal.pay_to(&BTreeMap::from([(key(1), address)]));
    assert_eq!(rehearsal.payee(&key(1)), Some(address));
    rehearsal.pay_to(&BTreeMap::new());
    assert_eq!(rehearsal.payee(&key(1)), None);
}
