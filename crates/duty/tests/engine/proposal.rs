//! Proposals: the group's randomness is there when the slot begins.

use flotilla_duty::Output;
use flotilla_duty::io::{ClientRequest, Input, Request};
use flotilla_types::{
    Duty, DutyKind, Epoch, ProposerDuty, PublicKeyBytes, RandaoReveal, SignatureBytes, SignedData,
    Slot, Timestamp,
};

use crate::bench::{ALICE, BOB, Bench, GROUP, SLOT, Signer, checked, index};

const AT: u64 = 3;
const PROPOSAL: Duty = Duty::new(Slot(AT), DutyKind::Proposer);
const RANDAO: Duty = Duty::new(Slot(AT), DutyKind::Randao);

fn proposer(validator: PublicKeyBytes) -> ProposerDuty {
    ProposerDuty {
        pubkey: validator,
        validator_index: index(validator),
        slot: Slot(AT),
    }
}

fn reveal(validator: PublicKeyBytes) -> (PublicKeyBytes, SignedData) {
    let reveal = RandaoReveal {
        epoch: Epoch(0),
        signature: SignatureBytes([0; 96]),
    };
    (validator, SignedData::Randao(reveal))
}

/// The block that was asked for.
fn asked(bench: &Bench) -> Option<(ProposerDuty, SignatureBytes)> {
    bench.outputs.iter().find_map(|output| match output {
        Output::Fetch {
            duty: PROPOSAL,
            request: Request::Block { proposer, randao },
        } => Some((*proposer, *randao)),
        _ => None,
    })
}

fn reveal_of(bench: &mut Bench, validator: PublicKeyBytes) {
    bench.sign(DutyKind::Randao);
    bench.hear(&[1, 2], RANDAO, &[reveal(validator)]);
    bench.combine(DutyKind::Randao);
}

#[test]
fn a_proposal_starts_with_its_randao_ready() {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, &[], &[proposer(ALICE)]);
    let start = bench.chain.slot_start(Slot(AT));
    // S10: not before two thirds of the slot before.
    let earliest = start - SLOT / 3;
    bench.until(Timestamp::from_nanos(earliest.as_nanos() - 1));
    assert!(
        !bench
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Sign { .. }))
    );
    bench.until(earliest);
    reveal_of(&mut bench, ALICE);
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(asked(&bench), None);
    bench.until(start);
    assert_eq!(asked(&bench), Some((proposer(ALICE), GROUP)));
}

#[test]
fn a_proposer_who_changes_in_the_last_third_of_a_slot_still_finds_its_randao() {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, &[], &[proposer(ALICE)]);
    let start = bench.chain.slot_start(Slot(AT));
    bench.until(start - SLOT / 3);
    reveal_of(&mut bench, ALICE);
    bench.until(start - SLOT / 6);
    bench.taken();
    bench.assign(0, &[], &[proposer(BOB)]);
    reveal_of(&mut bench, BOB);
    assert!(bench.sent()[0].items.contains_key(&BOB));
    bench.until(start);
    assert_eq!(asked(&bench), Some((proposer(BOB), GROUP)));
}

#[test]
fn peers_that_learn_of_another_proposer_first_are_heard() {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, &[], &[proposer(ALICE)]);
    let start = bench.chain.slot_start(Slot(AT));
    bench.until(start - SLOT / 3);
    bench.hear(&[1], RANDAO, &[reveal(BOB)]);
    reveal_of(&mut bench, ALICE);
    bench.hear(&[2], RANDAO, &[reveal(BOB)]);
    bench.taken();
    bench.assign(0, &[], &[proposer(BOB)]);
    bench.sign(DutyKind::Randao);
    bench.combine(DutyKind::Randao);
    bench.until(start);
    assert_eq!(asked(&bench), Some((proposer(BOB), GROUP)));
}

#[test]
fn s10_an_early_clients_share_of_the_randomness_is_held() {
    let mut bench = Bench::started(1, Signer::Client);
    bench.assign(0, &[], &[proposer(ALICE)]);
    let start = bench.chain.slot_start(Slot(AT));
    bench.until(start - SLOT);
    let set = bench.partials(0, RANDAO, &[reveal(ALICE)]);
    bench.taken();
    bench.step(Input::Offer {
        request: ClientRequest(1),
        set: checked(set.clone()),
    });
    bench.until(Timestamp::from_nanos((start - SLOT / 3).as_nanos() - 1));
    assert_eq!((bench.sent(), bench.replies()), (vec![], vec![]));
    bench.until(start - SLOT / 3);
    assert_eq!(bench.sent(), [set]);
    assert_eq!(bench.replies().len(), 1);
}

#[test]
fn s10_a_client_is_held_to_its_time_even_if_the_duty_is_not_known() {
    let mut bench = Bench::started(1, Signer::Client);
    let start = bench.chain.slot_start(Slot(AT));
    bench.until(start - SLOT);
    let set = bench.partials(0, RANDAO, &[reveal(ALICE)]);
    bench.step(Input::Offer {
        request: ClientRequest(1),
        set: checked(set.clone()),
    });
    assert_eq!(bench.sent(), []);
    bench.until(start - SLOT / 3);
    assert_eq!(bench.sent(), [set]);
}
