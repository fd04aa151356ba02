//! What becomes of sync messages, contributions and exits.
#![allow(clippy::unwrap_used)]

use flotilla_types::{
    ContributionAndProof, DomainType, DutyKind, Epoch, ListSizes, Root, SignatureBytes,
    SignedContributionAndProof, SignedVoluntaryExit, Slot, SyncAggregatorSelectionData,
    SyncCommitteeMessage, ValidatorIndex, VoluntaryExit, is_sync_aggregator,
};

use crate::chain::fixture::Fixture;
use crate::chain::{Fault, Judgement, PERIOD_EPOCHS, Proposer};

const SLOT: Slot = Slot(9);

fn member(fixture: &mut Fixture) -> ValidatorIndex {
    let committee = fixture.world.sync_committee(Epoch(1));
    committee.members().next().unwrap().0
}

/// A validator's message about the head at 40 % of the slot.
fn message(fixture: &mut Fixture, slot: Slot, validator: ValidatorIndex) -> SyncCommitteeMessage {
    fixture.pass(slot.0, 40);
    let root = fixture.world.history().head().root;
    about(fixture, slot, validator, root)
}

fn about(
    fixture: &Fixture,
    slot: Slot,
    validator_index: ValidatorIndex,
    beacon_block_root: Root,
) -> SyncCommitteeMessage {
    let epoch = fixture.world.chain().epoch_of(slot);
    let signature = fixture.sign(
        validator_index,
        (DomainType::SYNC_COMMITTEE, epoch),
        beacon_block_root,
    );
    SyncCommitteeMessage {
        slot,
        beacon_block_root,
        validator_index,
        signature,
    }
}

#[test]
fn every_member_is_due_in_every_slot() {
    let mut fixture = Fixture::new();
    let members = fixture.world.sync_committee(Epoch(1)).members().count();
    assert!(members > 0);
    let due = fixture.world.results(DutyKind::SyncMessage, SLOT);
    assert_eq!(due.len(), members);
    assert!(due.iter().all(|(_, arrival)| arrival.is_none()));
}

#[test]
fn a_members_message_about_the_head_is_included_once() {
    let mut fixture = Fixture::new();
    let member = member(&mut fixture);
    let message = message(&mut fixture, SLOT, member);
    let at = fixture.at(SLOT.0, 40);
    assert_eq!(fixture.bring(&message, at), Judgement::Included);
    assert_eq!(fixture.bring(&message, at), Judgement::Duplicate);
    let at = fixture.at(SLOT.0 + 2, 40);
    assert_eq!(fixture.refused(&message, at), Fault::TooOld(SLOT.0));
}

#[test]
fn messages_about_another_head_or_of_others_are_refused() {
    let mut fixture = Fixture::new();
    let member = member(&mut fixture);
    let at = fixture.pass(SLOT.0, 40);
    let wrong = about(&fixture, SLOT, member, Root([1; 32]));
    assert_eq!(fixture.refused(&wrong, at), Fault::WrongHead);
    let mut unsigned = message(&mut fixture, SLOT, member);
    unsigned.signature = wrong.signature;
    assert_eq!(fixture.refused(&unsigned, at), Fault::BadSignature);
    let committee = fixture.world.sync_committee(Epoch(1));
    let other = fixture
        .world
        .registry()
        .members()
        .map(|(index, _)| index)
        .find(|index| committee.positions(*index).is_empty())
        .unwrap();
    let other_message = message(&mut fixture, SLOT, other);
    assert_eq!(
        fixture.refused(&other_message, at),
        Fault::NotInSyncCommittee(other.0)
    );
}

#[test]
fn at_the_end_of_a_period_both_committees_are_heard_and_members_of_both_are_due() {
    let mut fixture = Fixture::new();
    let slot = Slot(PERIOD_EPOCHS * 8 - 1);
    let old = fixture.world.sync_committee(Epoch(PERIOD_EPOCHS - 1));
    let new = fixture.world.sync_committee(Epoch(PERIOD_EPOCHS));
    let due: Vec<_> = fixture.world.results(DutyKind::SyncMessage, slot);
    for ((index, _), _) in due {
        assert!(!old.positions(index).is_empty() && !new.positions(index).is_empty());
    }
    for committee in [old, new] {
        let (member, _) = committee.members().next().unwrap();
        let message = message(&mut fixture, slot, member);
        let at = fixture.at(slot.0, 40);
        assert!(!matches!(
            fixture.bring(&message, at),
            Judgement::Refused(_)
        ));
    }
}

/// A member that is selected in a slot, with subcommittee and proof.
fn contributor(fixture: &mut Fixture) -> (Slot, ValidatorIndex, u64, SignatureBytes) {
    for slot in 1..30 {
        let (slot, epoch) = (Slot(slot), Epoch(slot / 8));
        let committee = fixture.world.sync_committee_of(slot);
        for (index, _) in committee.members() {
            for subcommittee_index in committee.subcommittees(index) {
                let data = SyncAggregatorSelectionData {
                    slot,
                    subcommittee_index,
                };
                let domain = (DomainType::SYNC_COMMITTEE_SELECTION_PROOF, epoch);
                let proof = fixture.sign(index, domain, data.tree_hash_root());
                if is_sync_aggregator(&proof, &ListSizes::MINIMAL) {
                    return (slot, index, subcommittee_index, proof);
                }
            }
        }
    }
    panic!("nobody is selected")
}

fn contribution(fixture: &mut Fixture) -> (Slot, SignedContributionAndProof) {
    let (slot, index, subcommittee, selection_proof) = contributor(fixture);
    let message = message(fixture, slot, index);
    let at = fixture.at(slot.0, 40);
    assert_eq!(fixture.bring(&message, at), Judgement::Included);
    let contribution = fixture
        .world
        .contribution(slot, message.beacon_block_root, subcommittee)
        .unwrap();
    let message = ContributionAndProof {
        aggregator_index: index,
        contribution,
        selection_proof,
    };
    (slot, signed(fixture, slot, message))
}

fn signed(
    fixture: &Fixture,
    slot: Slot,
    message: ContributionAndProof,
) -> SignedContributionAndProof {
    let epoch = fixture.world.chain().epoch_of(slot);
    let signature = fixture.sign(
        message.aggregator_index,
        (DomainType::CONTRIBUTION_AND_PROOF, epoch),
        message.tree_hash_root(),
    );
    SignedContributionAndProof { message, signature }
}

#[test]
fn the_served_contribution_is_taken_when_it_comes_back_signed() {
    let mut fixture = Fixture::new();
    let (slot, item) = contribution(&mut fixture);
    let at = fixture.at(slot.0, 70);
    assert_eq!(fixture.bring(&item, at), Judgement::Included);
    assert_eq!(fixture.bring(&item, at), Judgement::Duplicate);
    let part = (
        item.message.aggregator_index,
        item.message.contribution.subcommittee_index,
    );
    let due = fixture.world.results(DutyKind::SyncContribution, slot);
    assert!(
        due.iter()
            .any(|(own, arrival)| *own == part && arrival.is_some())
    );
}

#[test]
fn a_contribution_with_wrong_bits_proof_or_root_is_refused() {
    let mut fixture = Fixture::new();
    let (slot, item) = contribution(&mut fixture);
    let at = fixture.at(slot.0, 70);
    let mut bad = item.message.clone();
    bad.selection_proof = item.signature;
    let bad = signed(&fixture, slot, bad);
    assert_eq!(fixture.refused(&bad, at), Fault::BadSelectionProof);
    let mut bad = item.message.clone();
    bad.contribution.signature = item.signature;
    let bad = signed(&fixture, slot, bad);
    assert_eq!(fixture.refused(&bad, at), Fault::BadAggregate);
    let mut bad = item.message.clone();
    bad.contribution.aggregation_bits = Default::default();
    let bad = signed(&fixture, slot, bad);
    assert_eq!(fixture.refused(&bad, at), Fault::WrongBits);
}

fn exit(fixture: &Fixture, validator_index: ValidatorIndex, epoch: Epoch) -> SignedVoluntaryExit {
    let message = VoluntaryExit {
        epoch,
        validator_index,
    };
    let domain = (DomainType::VOLUNTARY_EXIT, epoch);
    SignedVoluntaryExit {
        message,
        signature: fixture.sign(validator_index, domain, message.tree_hash_root()),
    }
}

#[test]
fn a_validator_that_leaves_has_no_duties_two_epochs_later() {
    let mut fixture = Fixture::new();
    let (leaver, _) = fixture.world.registry().members().next().unwrap();
    let at = fixture.pass(SLOT.0, 50);
    let early = exit(&fixture, leaver, Epoch(2));
    assert_eq!(fixture.refused(&early, at), Fault::ExitTooEarly(2));
    let item = exit(&fixture, leaver, Epoch(1));
    assert_eq!(fixture.bring(&item, at), Judgement::Included);
    assert_eq!(fixture.bring(&item, at), Judgement::Duplicate);
    assert_eq!(fixture.world.results(DutyKind::Exit, SLOT).len(), 1);
    assert!(fixture.world.duties(Epoch(2)).contains_key(&leaver));
    assert!(!fixture.world.duties(Epoch(3)).contains_key(&leaver));
    for slot in 24..200 {
        assert_ne!(
            fixture.world.proposer(Slot(slot)),
            Proposer::Cluster(leaver)
        );
        let due = fixture.world.results(DutyKind::SyncMessage, Slot(slot));
        assert!(due.iter().all(|((index, _), _)| *index != leaver));
    }
}
