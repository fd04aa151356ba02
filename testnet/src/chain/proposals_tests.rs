//! What becomes of proposals, and of slots that have none.
#![allow(clippy::unwrap_used)]

use flotilla_types::{
    DomainType, DutyKind, ExecutionAddress, Proposal, SignatureBytes, SignedProposal, Slot,
    Timestamp, ValidatorIndex, ValidatorRegistration,
};

use crate::chain::fixture::Fixture;
use crate::chain::{Arrival, BlockRequest, Fault, Judgement, MakeError, Maker, Proposer};

const TO: ExecutionAddress = ExecutionAddress([5; 20]);

/// The first slots of the cluster and of strangers.
fn slots(fixture: &Fixture, cluster: bool) -> impl Iterator<Item = Slot> {
    (1..60).map(Slot).filter(move |slot| {
        matches!(fixture.world.proposer(*slot), Proposer::Cluster(_)) == cluster
    })
}

fn reveal(fixture: &Fixture, slot: Slot) -> SignatureBytes {
    let epoch = fixture.world.chain().epoch_of(slot);
    let proposer = fixture.world.proposer(slot).index();
    fixture.sign(
        proposer,
        (DomainType::RANDAO, epoch),
        epoch.tree_hash_root(),
    )
}

fn request(fixture: &Fixture, slot: Slot, builder: bool) -> BlockRequest {
    BlockRequest {
        slot,
        randao: reveal(fixture, slot),
        graffiti: [6; 32],
        builder,
        endpoint: 0,
    }
}

/// The first slot of the cluster, at its beginning, and its proposer, who is prepared.
fn turn(fixture: &mut Fixture) -> (Slot, ValidatorIndex) {
    let slot = slots(fixture, true).next().unwrap();
    fixture.pass(slot.0, 1);
    let proposer = fixture.world.proposer(slot).index();
    fixture.world.intents().prepare(0, proposer, TO);
    (slot, proposer)
}

fn made(fixture: &mut Fixture, slot: Slot, builder: bool) -> Proposal {
    let request = request(fixture, slot, builder);
    let at = fixture.at(slot.0, 1);
    let (ingredients, _) = fixture.world.ingredients(&request, at).unwrap();
    match ingredients.maker {
        Maker::Local => fixture.world.kitchen.full(&ingredients).unwrap(),
        Maker::Builder => fixture.world.kitchen.blinded(&ingredients).unwrap(),
    }
}

fn signed(fixture: &Fixture, proposal: Proposal) -> SignedProposal {
    let facts = *proposal.facts();
    let epoch = fixture.world.chain().epoch_of(facts.header.slot);
    let signature = fixture.sign(
        facts.header.proposer_index,
        (DomainType::BEACON_PROPOSER, epoch),
        facts.root,
    );
    SignedProposal {
        proposal,
        signature,
    }
}

#[test]
fn a_timely_proposal_becomes_the_head() {
    let mut fixture = Fixture::new();
    let (slot, proposer) = turn(&mut fixture);
    let proposal = made(&mut fixture, slot, false);
    let block = signed(&fixture, proposal);
    let at = fixture.at(slot.0, 10);
    assert_eq!(fixture.bring(&block, at), Judgement::Included);
    assert_eq!(fixture.bring(&block, at), Judgement::Duplicate);
    let head = fixture.world.history().head();
    assert_eq!(
        (head.header.slot, head.root),
        (slot, block.proposal.facts().root)
    );
    let results = fixture.world.results(DutyKind::Proposer, slot);
    assert_eq!(
        results,
        [((proposer, 0), Some(Arrival { at, endpoint: 0 }))]
    );
}

#[test]
fn a_late_proposal_is_taken_note_of_and_its_slot_stays_empty() {
    let mut fixture = Fixture::new();
    let (slot, _) = turn(&mut fixture);
    let proposal = made(&mut fixture, slot, false);
    let block = signed(&fixture, proposal);
    let at = fixture.at(slot.0, 70);
    assert_eq!(fixture.bring(&block, at), Judgement::Late);
    assert!(fixture.world.history().block(slot).is_none());
    fixture.pass(slot.0 + 4, 30);
    assert!(fixture.world.history().block(slot).is_none());
}

#[test]
fn strangers_blocks_come_by_themselves_and_follow_the_head() {
    let mut fixture = Fixture::new();
    let mut strangers = slots(&fixture, false).collect::<Vec<_>>().into_iter();
    let (first, second) = (strangers.next().unwrap(), strangers.next().unwrap());
    fixture.pass(second.0, 30);
    let history = fixture.world.history();
    let (one, two) = (
        history.block(first).unwrap(),
        history.block(second).unwrap(),
    );
    // What lies between are slots of the cluster, which nobody filled.
    assert_eq!(two.header.parent_root, one.root);
    assert!(one.signed.is_some());
}

#[test]
fn a_second_block_of_a_slot_is_slashable() {
    let mut fixture = Fixture::new();
    let (slot, proposer) = turn(&mut fixture);
    let one = made(&mut fixture, slot, false);
    fixture
        .world
        .intents()
        .prepare(0, proposer, ExecutionAddress([6; 20]));
    let two = made(&mut fixture, slot, false);
    fixture.world.intents().prepare(1, proposer, TO);
    let at = fixture.at(slot.0, 10);
    let (one, two) = (signed(&fixture, one), signed(&fixture, two));
    assert_eq!(fixture.bring(&one, at), Judgement::Included);
    assert_eq!(fixture.refused(&two, at), Fault::SecondBlock(slot.0));
    assert_eq!(fixture.world.totals().slashable, 1);
}

#[test]
fn a_block_for_somebody_who_was_not_prepared_is_refused() {
    let mut fixture = Fixture::new();
    let (slot, proposer) = turn(&mut fixture);
    let proposal = made(&mut fixture, slot, false);
    fixture
        .world
        .intents()
        .prepare(0, proposer, ExecutionAddress([6; 20]));
    let block = signed(&fixture, proposal);
    let at = fixture.at(slot.0, 10);
    assert_eq!(fixture.refused(&block, at), Fault::WrongFeeRecipient);
}

#[test]
fn a_payload_of_another_kitchen_or_on_another_parent_is_refused() {
    let mut fixture = Fixture::new();
    let (slot, _) = turn(&mut fixture);
    let request = request(&fixture, slot, false);
    let at = fixture.at(slot.0, 1);
    let (ingredients, _) = fixture.world.ingredients(&request, at).unwrap();
    let mut kitchen = fixture.world.kitchen;
    kitchen.seed.0 += 1;
    let foreign = signed(&fixture, kitchen.full(&ingredients).unwrap());
    assert_eq!(fixture.refused(&foreign, at), Fault::UnknownPayload);
    let mut ingredients = ingredients;
    ingredients.parent.0[0] ^= 1;
    let orphan = fixture.world.kitchen.full(&ingredients).unwrap();
    let orphan = signed(&fixture, orphan);
    assert_eq!(fixture.refused(&orphan, at), Fault::WrongParent);
}

#[test]
fn a_block_of_the_wrong_proposer_or_with_a_wrong_reveal_is_refused() {
    let mut fixture = Fixture::new();
    let (slot, proposer) = turn(&mut fixture);
    let request = request(&fixture, slot, false);
    let at = fixture.at(slot.0, 1);
    let (ingredients, _) = fixture.world.ingredients(&request, at).unwrap();
    let other = fixture
        .world
        .registry()
        .members()
        .map(|(index, _)| index)
        .find(|index| *index != proposer)
        .unwrap();
    let mut wrong = ingredients.clone();
    wrong.proposer = other;
    let epoch = fixture.world.chain().epoch_of(slot);
    wrong.randao = fixture.sign(other, (DomainType::RANDAO, epoch), epoch.tree_hash_root());
    let block = signed(&fixture, fixture.world.kitchen.full(&wrong).unwrap());
    let (expected, found) = (proposer.0, other.0);
    assert_eq!(
        fixture.refused(&block, at),
        Fault::WrongProposer { expected, found }
    );
    let mut wrong = ingredients;
    wrong.randao = SignatureBytes([3; 96]);
    let block = signed(&fixture, fixture.world.kitchen.full(&wrong).unwrap());
    assert_eq!(fixture.refused(&block, at), Fault::BadRandao);
}

#[test]
fn blocks_are_made_for_the_current_slot_of_the_cluster_with_somebody_to_pay() {
    let mut fixture = Fixture::new();
    let slot = slots(&fixture, true).next().unwrap();
    let ask = |fixture: &mut Fixture, slot: Slot, at: Timestamp| {
        let request = BlockRequest {
            slot,
            randao: SignatureBytes([0; 96]),
            graffiti: [0; 32],
            builder: false,
            endpoint: 0,
        };
        fixture.world.ingredients(&request, at).unwrap_err()
    };
    let at = fixture.pass(slot.0, 1);
    assert!(matches!(
        ask(&mut fixture, Slot(slot.0 + 1), at),
        MakeError::NotNow { .. }
    ));
    assert!(matches!(
        ask(&mut fixture, slot, at),
        MakeError::NoFeeRecipient(_)
    ));
    let stranger = slots(&fixture, false).next().unwrap();
    let at = fixture.pass(stranger.0, 1);
    assert_eq!(
        ask(&mut fixture, stranger, at),
        MakeError::NotOurs(stranger.0)
    );
}

#[test]
fn a_registered_validator_gets_the_builders_block_for_its_own_recipient() {
    let mut fixture = Fixture::new();
    let (slot, proposer) = turn(&mut fixture);
    assert!(!made(&mut fixture, slot, true).is_blinded());
    let registration = ValidatorRegistration {
        fee_recipient: ExecutionAddress([9; 20]),
        ..ValidatorRegistration::default()
    };
    fixture.world.intents().register(proposer, registration);
    assert!(!made(&mut fixture, slot, false).is_blinded());
    let blinded = made(&mut fixture, slot, true);
    assert!(blinded.is_blinded());
    assert_eq!(
        blinded.facts().fee_recipient,
        Some(registration.fee_recipient)
    );
    let block = signed(&fixture, blinded);
    let at = fixture.at(slot.0, 10);
    assert_eq!(fixture.bring(&block, at), Judgement::Included);
}
