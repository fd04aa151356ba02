//! Partial signatures of peers that are of the wrong kind, slot, fork, validator or signer: told by name, and no loss to the
//! duty.

use flotilla_crypto::ShareIndex;
use flotilla_duty::io::{Combined, Item, PartialSet, Rejected};
use flotilla_duty::{Fate, Input, Output};
use flotilla_types::{
    AttestationData, AttesterDuty, Duty, DutyKind, PeerIndex, PublicKeyBytes, SignedData, Slot,
};

use crate::bench::{
    ALICE, BOB, Bench, Signer, attestation, attester, data, ended, selection, value,
};

const AT: u64 = 3;
const DUTY: Duty = Duty::attester(Slot(AT));
/// In no cluster of ours.
const STRANGER: PublicKeyBytes = PublicKeyBytes([0xcc; 48]);

fn duty() -> AttesterDuty {
    attester(ALICE, AT)
}

fn agreed() -> AttestationData {
    data(AT, 1, 2)
}

/// A node whose share has signed what the cluster agreed on; two more signatures make the group's.
fn signed() -> Bench {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, &[duty()], &[]);
    bench.until(bench.chain.due(DUTY));
    let agreed = value(&[duty()], agreed());
    bench.step(Input::Fetched {
        duty: DUTY,
        result: Ok(agreed.clone()),
    });
    bench.decide(DUTY, &agreed);
    bench.record();
    bench.sign(DutyKind::Attester);
    assert_eq!(bench.sent().len(), 1);
    bench.taken();
    bench
}

/// Why the engine took nothing of a set that peer 1 sent.
fn rejected(bench: &mut Bench, set: PartialSet) -> Vec<Rejected> {
    bench.taken();
    let from = PeerIndex::new(1);
    bench.step(Input::Partials { from, set });
    let reasons = bench.outputs.iter().filter_map(|output| match output {
        Output::Rejected {
            from: culprit,
            reason,
            ..
        } if *culprit == from => Some(*reason),
        _ => None,
    });
    reasons.collect()
}

/// Two peers sign what was agreed, and the group's signature goes out.
fn completes(bench: &mut Bench) {
    bench.taken();
    bench.hear(&[2, 3], DUTY, &[attestation(duty(), agreed())]);
    bench.combine(DutyKind::Attester);
    let submitted = bench
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Submit { duty: DUTY, items } if items.len() == 1));
    assert!(submitted, "{:?}", bench.outputs);
}

fn set(bench: &Bench, object: (PublicKeyBytes, SignedData)) -> PartialSet {
    bench.partials(1, DUTY, &[object])
}

#[test]
fn an_object_of_another_kind_is_refused() {
    let mut bench = signed();
    let wrong = set(&bench, selection(ALICE, AT));
    assert_eq!(rejected(&mut bench, wrong), [Rejected::WrongSlot]);
    completes(&mut bench);
}

#[test]
fn an_object_of_another_slot_is_refused() {
    let mut bench = signed();
    let wrong = set(
        &bench,
        attestation(attester(ALICE, AT + 1), data(AT + 1, 1, 2)),
    );
    assert_eq!(rejected(&mut bench, wrong), [Rejected::WrongSlot]);
    completes(&mut bench);
}

#[test]
fn an_object_of_an_unknown_validator_is_refused_with_all_beside_it() {
    let mut bench = signed();
    let wrong = [
        attestation(duty(), agreed()),
        attestation(attester(STRANGER, AT), agreed()),
    ];
    let wrong = bench.partials(1, DUTY, &wrong);
    assert_eq!(rejected(&mut bench, wrong), [Rejected::UnknownValidator]);
    completes(&mut bench);
}

#[test]
fn a_validator_of_ours_without_this_duty_takes_nothing_from_the_others() {
    let mut bench = signed();
    let wrong = set(&bench, attestation(attester(BOB, AT), agreed()));
    // Peers may know of duties before we do.
    assert_eq!(rejected(&mut bench, wrong), []);
    completes(&mut bench);
}

#[test]
fn another_members_share_is_refused() {
    let mut bench = signed();
    let mut wrong = set(&bench, attestation(duty(), agreed()));
    wrong.share = ShareIndex::from_peer(2);
    assert_eq!(rejected(&mut bench, wrong), [Rejected::ForeignShare]);
    completes(&mut bench);
}

#[test]
fn a_second_root_of_one_share_is_refused() {
    let mut bench = signed();
    let first = set(&bench, attestation(duty(), data(AT, 9, 2)));
    assert_eq!(rejected(&mut bench, first), []);
    let second = set(&bench, attestation(duty(), agreed()));
    assert_eq!(rejected(&mut bench, second), [Rejected::SecondRoot]);
    completes(&mut bench);
}

/// The object is the agreed one, and the signature is over its root in another fork's domain, or another signer's: only the
/// workers can tell.
#[test]
fn a_signature_of_another_fork_or_signer_is_found_by_the_workers_and_others_take_its_place() {
    let mut bench = signed();
    bench.hear(&[1, 2], DUTY, &[attestation(duty(), agreed())]);
    let item = bench
        .outputs
        .iter()
        .find_map(|output| match output {
            Output::Combine { duty: DUTY, items } => Some(items[0].item),
            _ => None,
        })
        .unwrap();
    assert_eq!(item, Item::whole(ALICE));
    bench.taken();
    let short = Combined::Short {
        bad: vec![ShareIndex::from_peer(1)],
        good: vec![ShareIndex::from_peer(0), ShareIndex::from_peer(2)],
    };
    bench.step(Input::Combined {
        duty: DUTY,
        results: vec![(item, short)],
    });
    let culprit = bench.outputs.iter().find_map(|output| match output {
        Output::Rejected { from, reason, .. } => Some((from.get(), *reason)),
        _ => None,
    });
    assert_eq!(culprit, Some((1, Rejected::BadSignature)));
    bench.hear(&[3], DUTY, &[attestation(duty(), agreed())]);
    bench.combine(DutyKind::Attester);
    bench.step(Input::Submitted {
        duty: DUTY,
        accepted: vec![item],
        refused: vec![],
    });
    assert_eq!(ended(&bench.outputs, DUTY).unwrap()[&item], Fate::Submitted);
}
