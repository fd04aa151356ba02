//! Validator clients that ask early, late and twice, and hand in what they should and should not.

use flotilla_duty::io::{ClientRequest, Input, Item, NotTaken, Question, Reply, Value};
use flotilla_duty::slashing::Refusal;
use flotilla_types::{
    AttestationData, AttesterDuty, CommitteeIndex, Duty, DutyKind, Epoch, PublicKeyBytes, Root,
    SignatureBytes, SignedData, Slot, SyncCommitteeMessage,
};

use crate::bench::{
    ALICE, BOB, Bench, SLOT, Signer, attestation, attester, checked, data, index, value,
};

const AT: u64 = 3;
const DUTY: Duty = Duty::attester(Slot(AT));

fn duty() -> AttesterDuty {
    attester(ALICE, AT)
}

fn agreed() -> AttestationData {
    data(AT, 1, 2)
}

fn agreed_value() -> Value {
    value(&[duty()], agreed())
}

/// A node whose own beacon node has given what will be agreed, a second after the due point.
fn waiting() -> Bench {
    let mut bench = Bench::started(1, Signer::Client);
    bench.assign(0, &[duty()], &[]);
    bench.until(bench.chain.due(DUTY));
    bench.step(Input::Fetched {
        duty: DUTY,
        result: Ok(agreed_value()),
    });
    bench.taken();
    bench
}

fn ask(bench: &mut Bench, request: u64) {
    bench.step(Input::Ask {
        request: ClientRequest(request),
        question: Question::Attestation {
            slot: Slot(AT),
            committee: CommitteeIndex(0),
        },
    });
}

fn offer(bench: &mut Bench, request: u64, duty: Duty, object: (PublicKeyBytes, SignedData)) {
    let set = bench.partials(0, duty, &[object]);
    bench.step(Input::Offer {
        request: ClientRequest(request),
        set: checked(set),
    });
}

fn refused(why: NotTaken) -> Reply {
    Reply::NotTaken(vec![(Item::whole(ALICE), why)])
}

#[test]
fn early_late_and_repeated_questions_get_the_agreed_answer() {
    let mut bench = waiting();
    ask(&mut bench, 1);
    ask(&mut bench, 2);
    assert_eq!(bench.replies(), []);
    bench.decide(DUTY, &agreed_value());
    let answer = || Reply::Attestation(agreed());
    assert_eq!(bench.replies(), [(1, answer()), (2, answer())]);
    bench.taken();
    ask(&mut bench, 3);
    assert_eq!(bench.replies(), [(3, answer())]);
}

#[test]
fn a_question_a_slot_ahead_waits_and_one_after_the_end_is_answered_with_nothing() {
    let mut bench = Bench::started(1, Signer::Client);
    bench.assign(0, &[duty()], &[]);
    bench.until(bench.chain.slot_start(Slot(AT)) - SLOT);
    ask(&mut bench, 1);
    assert_eq!(bench.replies(), []);
    let deadline = bench.chain.deadline(DUTY).unwrap();
    bench.until(deadline);
    assert_eq!(bench.replies(), [(1, Reply::None)]);
    ask(&mut bench, 2);
    assert_eq!(bench.replies().last(), Some(&(2, Reply::None)));
}

#[test]
fn a_question_that_is_forgotten_is_not_answered() {
    let mut bench = waiting();
    ask(&mut bench, 1);
    bench.step(Input::Forget(ClientRequest(1)));
    bench.decide(DUTY, &agreed_value());
    assert_eq!(bench.replies(), []);
}

#[test]
fn a_signature_before_the_decision_is_held_then_recorded_then_sent() {
    let mut bench = waiting();
    offer(&mut bench, 1, DUTY, attestation(duty(), agreed()));
    assert_eq!((bench.sent().len(), bench.replies()), (0, vec![]));
    bench.decide(DUTY, &agreed_value());
    // S2: the database first.
    assert_eq!((bench.sent().len(), bench.replies()), (0, vec![]));
    bench.record();
    assert_eq!(bench.sent().len(), 1);
    assert_eq!(bench.replies(), [(1, Reply::Taken)]);
}

#[test]
fn a_signature_over_something_else_than_agreed_is_refused() {
    let mut bench = waiting();
    let other = data(AT, 9, 2);
    offer(&mut bench, 1, DUTY, attestation(duty(), other));
    bench.decide(DUTY, &agreed_value());
    assert_eq!(bench.replies(), [(1, refused(NotTaken::NotAgreed))]);
    bench.record();
    offer(&mut bench, 2, DUTY, attestation(duty(), other));
    assert_eq!(
        bench.replies().last(),
        Some(&(2, refused(NotTaken::NotAgreed)))
    );
    assert_eq!(bench.sent(), []);
    offer(&mut bench, 3, DUTY, attestation(duty(), agreed()));
    assert_eq!(bench.replies().last(), Some(&(3, Reply::Taken)));
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn what_the_slashing_database_refuses_is_not_taken() {
    let mut bench = waiting();
    offer(&mut bench, 1, DUTY, attestation(duty(), agreed()));
    bench.decide(DUTY, &agreed_value());
    let refusal = Refusal::DoubleVote(Epoch(0));
    bench.step(Input::Recorded {
        duty: DUTY,
        results: vec![(ALICE, Err(refusal.clone()))],
    });
    let expected = refused(NotTaken::Slashing(refusal));
    assert_eq!(bench.replies(), [(1, expected)]);
    assert_eq!(bench.sent(), []);
}

#[test]
fn a_signature_that_comes_twice_is_taken_twice_and_sent_once() {
    let mut bench = waiting();
    bench.decide(DUTY, &agreed_value());
    bench.record();
    for request in [1, 2] {
        offer(&mut bench, request, DUTY, attestation(duty(), agreed()));
    }
    assert_eq!(bench.replies(), [(1, Reply::Taken), (2, Reply::Taken)]);
    assert_eq!(bench.sent().len(), 1);
}

fn head(root: u8) -> (PublicKeyBytes, SignedData) {
    let message = SyncCommitteeMessage {
        slot: Slot(AT),
        beacon_block_root: Root([root; 32]),
        validator_index: index(ALICE),
        signature: SignatureBytes([0; 96]),
    };
    (ALICE, SignedData::SyncMessage(message))
}

#[test]
fn s8_a_second_head_of_a_client_is_refused() {
    let duty = Duty::new(Slot(AT), DutyKind::SyncMessage);
    let mut bench = waiting();
    offer(&mut bench, 1, duty, head(1));
    offer(&mut bench, 2, duty, head(2));
    offer(&mut bench, 3, duty, head(1));
    assert_eq!(
        bench.replies(),
        [
            (1, Reply::Taken),
            (2, refused(NotTaken::SignedBefore)),
            (3, Reply::Taken),
        ]
    );
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn an_object_of_another_slot_than_its_duty_is_refused() {
    let mut bench = waiting();
    let duty = Duty::new(Slot(AT + 1), DutyKind::SyncMessage);
    offer(&mut bench, 1, duty, head(1));
    assert_eq!(bench.replies(), [(1, refused(NotTaken::NotDue))]);
    assert_eq!(bench.sent(), []);
}

#[test]
fn where_the_built_in_signer_signs_a_client_is_refused() {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, &[duty()], &[]);
    bench.until(bench.chain.due(DUTY));
    offer(&mut bench, 1, DUTY, attestation(duty(), agreed()));
    assert_eq!(bench.replies(), [(1, refused(NotTaken::Builtin))]);
}

#[test]
fn s7_each_validator_of_a_divided_folder_has_its_own_signer() {
    let mut bench = Bench::started(1, Signer::Mixed);
    let both = [duty(), attester(BOB, AT)];
    bench.assign(0, &both, &[]);
    bench.until(bench.chain.due(DUTY));
    let agreed_value = value(&both, agreed());
    bench.step(Input::Fetched {
        duty: DUTY,
        result: Ok(agreed_value.clone()),
    });
    bench.decide(DUTY, &agreed_value);
    bench.record();
    bench.sign(DutyKind::Attester);
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].items.keys().eq([&ALICE]), "{sent:?}");

    bench.taken();
    offer(&mut bench, 1, DUTY, attestation(duty(), agreed()));
    offer(&mut bench, 2, DUTY, attestation(both[1], agreed()));
    bench.record();
    let replies = bench.replies();
    assert_eq!(replies[0], (1, refused(NotTaken::Builtin)));
    assert_eq!(replies[1], (2, Reply::Taken));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    assert!(sent[0].items.keys().eq([&BOB]), "{sent:?}");
}

#[test]
fn s11_a_paused_node_takes_nothing() {
    let mut bench = waiting();
    bench.decide(DUTY, &agreed_value());
    bench.step(Input::Pause(true));
    offer(&mut bench, 1, DUTY, attestation(duty(), agreed()));
    assert_eq!(bench.replies(), [(1, refused(NotTaken::Paused))]);
    assert_eq!(bench.sent(), []);
}
