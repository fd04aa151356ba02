//! What becomes of attestations and aggregates.
#![allow(clippy::unwrap_used)]

use flotilla_types::{
    AggregateAndProof, AttesterDuty, CommitteeIndex, DomainType, Epoch, Fork, ListSizes, Root,
    SignatureBytes, SignedAggregateAndProof, SingleAttestation, Slot, ValidatorIndex,
    is_attestation_aggregator,
};

use crate::chain::fixture::Fixture;
use crate::chain::{Fault, Judgement};

/// The first duty of epoch 1 for which the right attestation can be given before the block of the slot is late.
fn duty(fixture: &mut Fixture) -> AttesterDuty {
    let duties = fixture.world.duties(Epoch(1));
    *duties.values().min_by_key(|duty| duty.slot).unwrap()
}

fn sign(fixture: &Fixture, mut attestation: SingleAttestation) -> SingleAttestation {
    attestation.signature = fixture.sign(
        attestation.attester_index,
        (DomainType::BEACON_ATTESTER, attestation.data.target.epoch),
        attestation.data.tree_hash_root(),
    );
    attestation
}

/// The right attestation of a duty at 40 % of its slot.
fn right(fixture: &mut Fixture, duty: &AttesterDuty) -> SingleAttestation {
    fixture.pass(duty.slot.0, 40);
    let data = fixture
        .world
        .history()
        .attestation_data(duty.slot, duty.slot);
    let attestation = SingleAttestation {
        committee_index: duty.committee_index,
        attester_index: duty.validator_index,
        data,
        signature: SignatureBytes([0; 96]),
    };
    sign(fixture, attestation)
}

fn refused(change: impl FnOnce(&mut SingleAttestation)) -> Fault {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let mut attestation = right(&mut fixture, &duty);
    change(&mut attestation);
    let attestation = sign(&fixture, attestation);
    let at = fixture.at(duty.slot.0, 40);
    let fault = fixture.refused(&attestation, at);
    assert_eq!(fixture.world.totals().faults[fault.label()], 1);
    fault
}

#[test]
fn a_timely_attestation_is_included_once() {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let attestation = right(&mut fixture, &duty);
    let at = fixture.at(duty.slot.0, 40);
    assert_eq!(fixture.bring(&attestation, at), Judgement::Included);
    assert_eq!(fixture.bring(&attestation, at), Judgement::Duplicate);
    let late = fixture.at(duty.slot.0 + 1, 1);
    assert_eq!(fixture.bring(&attestation, late), Judgement::Duplicate);
    let totals = fixture.world.totals();
    assert_eq!(
        (totals.duplicates, totals.rejected, totals.slashable),
        (2, 0, 0)
    );
}

#[test]
fn an_attestation_after_the_next_slot_began_is_late_and_not_refused() {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let attestation = right(&mut fixture, &duty);
    let late = fixture.at(duty.slot.0 + 1, 0);
    assert_eq!(fixture.bring(&attestation, late), Judgement::Late);
}

#[test]
fn what_the_chain_does_not_expect_is_refused() {
    assert_eq!(
        refused(|a| a.data.beacon_block_root = Root([1; 32])),
        Fault::WrongHead
    );
    assert_eq!(
        refused(|a| a.data.source.epoch = Epoch(7)),
        Fault::WrongSource
    );
    assert_eq!(
        refused(|a| a.data.target.root = Root([1; 32])),
        Fault::WrongTarget
    );
    assert_eq!(
        refused(|a| a.data.index = CommitteeIndex(1)),
        Fault::IllegalIndex(1)
    );
    assert!(matches!(
        refused(|a| a.committee_index.0 += 1),
        Fault::WrongCommittee { .. }
    ));
    assert!(matches!(
        refused(|a| a.data.slot.0 -= 1),
        Fault::WrongSlot(_)
    ));
    assert!(matches!(
        refused(|a| a.data.slot.0 += 1),
        Fault::TooEarly(_)
    ));
}

#[test]
fn an_attestation_older_than_the_books_is_refused() {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let attestation = right(&mut fixture, &duty);
    let at = fixture.at(duty.slot.0 + 65, 40);
    assert!(matches!(
        fixture.refused(&attestation, at),
        Fault::TooOld(_)
    ));
}

#[test]
fn a_strangers_attestation_is_refused_unchecked() {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let mut attestation = right(&mut fixture, &duty);
    attestation.attester_index = ValidatorIndex(u64::MAX);
    let at = fixture.at(duty.slot.0, 40);
    assert_eq!(
        fixture.refused(&attestation, at),
        Fault::UnknownValidator(u64::MAX)
    );
}

#[test]
fn a_bad_signature_is_refused_and_is_no_evidence_but_a_refused_vote_is() {
    let mut fixture = Fixture::new();
    let duty = duty(&mut fixture);
    let good = right(&mut fixture, &duty);
    let at = fixture.at(duty.slot.0, 40);
    fixture.bring(&good, at);
    let mut other = good;
    other.data.beacon_block_root = Root([1; 32]);
    assert_eq!(fixture.refused(&other, at), Fault::BadSignature);
    assert_eq!(fixture.world.totals().slashable, 0);
    let signed = sign(&fixture, other);
    assert_eq!(fixture.refused(&signed, at), Fault::WrongHead);
    assert_eq!(fixture.world.totals().slashable, 1);
}

/// The first attester in a few epochs that aggregates, and its proof.
fn aggregator(fixture: &mut Fixture) -> (AttesterDuty, SignatureBytes) {
    for epoch in 1..20 {
        for duty in fixture.world.duties(Epoch(epoch)).values() {
            let domain = (DomainType::SELECTION_PROOF, Epoch(epoch));
            let proof = fixture.sign(duty.validator_index, domain, duty.slot.tree_hash_root());
            if is_attestation_aggregator(&proof, duty.committee_length, 16) {
                return (*duty, proof);
            }
        }
    }
    panic!("nobody aggregates")
}

/// The aggregate of the aggregator's own attestation, brought at 70 % of the slot.
fn aggregate(fixture: &mut Fixture) -> (AttesterDuty, AggregateAndProof) {
    let (duty, selection_proof) = aggregator(fixture);
    let attestation = right(fixture, &duty);
    let at = fixture.at(duty.slot.0, 40);
    assert_eq!(fixture.bring(&attestation, at), Judgement::Included);
    fixture.pass(duty.slot.0, 70);
    let root = attestation.data.tree_hash_root();
    let aggregate = fixture
        .world
        .aggregate(duty.slot, root, duty.committee_index)
        .unwrap();
    let message = AggregateAndProof {
        aggregator_index: duty.validator_index,
        aggregate,
        selection_proof,
    };
    (duty, message)
}

fn signed(fixture: &Fixture, slot: Slot, message: AggregateAndProof) -> SignedAggregateAndProof {
    let epoch = fixture.world.chain().epoch_of(slot);
    let root = message.tree_hash_root(&ListSizes::MINIMAL).unwrap();
    let signature = fixture.sign(
        message.aggregator_index,
        (DomainType::AGGREGATE_AND_PROOF, epoch),
        root,
    );
    SignedAggregateAndProof::new(Fork::Fulu, message, signature, &ListSizes::MINIMAL).unwrap()
}

#[test]
fn the_served_aggregate_is_taken_when_it_comes_back_signed() {
    let mut fixture = Fixture::new();
    let (duty, message) = aggregate(&mut fixture);
    let item = signed(&fixture, duty.slot, message);
    let at = fixture.at(duty.slot.0, 70);
    assert_eq!(fixture.bring(&item, at), Judgement::Included);
    assert_eq!(fixture.bring(&item, at), Judgement::Duplicate);
    let due = fixture
        .world
        .results(flotilla_types::DutyKind::Aggregator, duty.slot);
    let own = due.iter().find(|(part, _)| part.0 == duty.validator_index);
    assert!(own.unwrap().1.is_some());
}

#[test]
fn an_aggregate_with_a_wrong_proof_sum_or_committee_is_refused() {
    let mut fixture = Fixture::new();
    let (duty, message) = aggregate(&mut fixture);
    let at = fixture.at(duty.slot.0, 70);
    let mut bad = message.clone();
    bad.selection_proof = *message.aggregate.signature();
    let item = signed(&fixture, duty.slot, bad);
    assert_eq!(fixture.refused(&item, at), Fault::BadSelectionProof);
    let mut bad = message.clone();
    bad.aggregate = message.aggregate.with_signature(message.selection_proof);
    let item = signed(&fixture, duty.slot, bad);
    assert_eq!(fixture.refused(&item, at), Fault::BadAggregate);
}

#[test]
fn somebody_who_is_not_selected_aggregates_in_vain() {
    let mut fixture = Fixture::new();
    // Find an attester whose proof selects nobody.
    let mut found = None;
    for epoch in 1..20 {
        for duty in fixture.world.duties(Epoch(epoch)).values() {
            let domain = (DomainType::SELECTION_PROOF, Epoch(epoch));
            let proof = fixture.sign(duty.validator_index, domain, duty.slot.tree_hash_root());
            if found.is_none() && !is_attestation_aggregator(&proof, duty.committee_length, 16) {
                found = Some((*duty, proof));
            }
        }
    }
    let (duty, selection_proof) = found.unwrap();
    let attestation = right(&mut fixture, &duty);
    let at = fixture.at(duty.slot.0, 40);
    fixture.bring(&attestation, at);
    let aggregate = fixture
        .world
        .aggregate(
            duty.slot,
            attestation.data.tree_hash_root(),
            duty.committee_index,
        )
        .unwrap();
    let message = AggregateAndProof {
        aggregator_index: duty.validator_index,
        aggregate,
        selection_proof,
    };
    let item = signed(&fixture, duty.slot, message);
    let at = fixture.at(duty.slot.0, 70);
    assert_eq!(fixture.refused(&item, at), Fault::NotAggregator);
}
