//! Voluntary exits: kept, sent again, collected until there are enough.

use flotilla_duty::io::{Item, PartialSet};
use flotilla_duty::{Fate, Input, Output};
use flotilla_types::{
    Duty, DutyKind, Epoch, PublicKeyBytes, SignatureBytes, SignedData, SignedVoluntaryExit, Slot,
    VoluntaryExit,
};

use crate::bench::{ALICE, Bench, SLOTS, Signer, ended, index};

const DUTY: Duty = Duty::new(Slot(0), DutyKind::Exit);

fn wish(epoch: u64) -> VoluntaryExit {
    VoluntaryExit {
        epoch: Epoch(epoch),
        validator_index: index(ALICE),
    }
}

fn exit() -> (PublicKeyBytes, SignedData) {
    let signed = SignedVoluntaryExit {
        message: wish(0),
        signature: SignatureBytes([0; 96]),
    };
    (ALICE, SignedData::Exit(signed))
}

fn kept(bench: &Bench) -> Vec<PartialSet> {
    let kept = bench.outputs.iter().filter_map(|output| match output {
        Output::Keep(set) => Some(set.clone()),
        _ => None,
    });
    kept.collect()
}

/// A node whose operator has asked for the exit; what its share has signed.
fn asked() -> (Bench, PartialSet) {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.step(Input::Exit {
        validator: ALICE,
        exit: wish(0),
    });
    bench.sign(DutyKind::Exit);
    let sent = bench.sent().pop().unwrap();
    (bench, sent)
}

fn submitted(bench: &mut Bench) -> bool {
    let submitted = bench.outputs.iter().find_map(|output| match output {
        Output::Submit { duty: DUTY, items } => Some(items.iter().map(|(item, _)| *item).collect()),
        _ => None,
    });
    let Some(accepted) = submitted else {
        return false;
    };
    bench.step(Input::Submitted {
        duty: DUTY,
        accepted,
        refused: vec![],
    });
    true
}

#[test]
fn our_share_of_an_exit_is_kept_before_it_is_sent_and_sent_again_each_epoch() {
    let (mut bench, sent) = asked();
    assert_eq!(kept(&bench), std::slice::from_ref(&sent));
    for epoch in 1..4 {
        bench.taken();
        bench.until(bench.chain.slot_start(Slot(epoch * SLOTS + 1)));
        assert_eq!(bench.sent(), std::slice::from_ref(&sent), "epoch {epoch}");
    }
}

#[test]
fn peers_shares_are_kept_and_enough_of_them_are_submitted() {
    let (mut bench, _) = asked();
    bench.taken();
    bench.hear(&[1], DUTY, &[exit()]);
    assert_eq!(kept(&bench).len(), 1);
    bench.until(bench.chain.slot_start(Slot(20 * SLOTS)));
    bench.hear(&[3], DUTY, &[exit()]);
    bench.combine(DutyKind::Exit);
    assert!(submitted(&mut bench));
    let fates = ended(&bench.outputs, DUTY).unwrap();
    assert_eq!(fates[&Item::whole(ALICE)], Fate::Submitted);
    bench.taken();
    bench.until(bench.chain.slot_start(Slot(22 * SLOTS)));
    assert_eq!(bench.sent(), []);
}

#[test]
fn what_comes_after_the_end_is_not_kept_any_more() {
    let (mut bench, _) = asked();
    bench.hear(&[1, 2], DUTY, &[exit()]);
    bench.combine(DutyKind::Exit);
    assert!(submitted(&mut bench));
    bench.taken();
    bench.hear(&[3], DUTY, &[exit()]);
    assert_eq!(kept(&bench), []);
}

#[test]
fn a_restarted_node_goes_on_with_what_was_kept_and_signs_nothing_anew() {
    let (mut before, own) = asked();
    before.hear(&[1], DUTY, &[exit()]);
    let mut bench = Bench::started(3, Signer::Builtin);
    for set in kept(&before) {
        bench.step(Input::Kept(set));
    }
    bench.until(bench.chain.slot_start(Slot(SLOTS + 1)));
    assert_eq!(bench.sent(), [own]);
    assert!(
        !bench
            .outputs
            .iter()
            .any(|output| matches!(output, Output::Sign { .. }))
    );
    bench.hear(&[2], DUTY, &[exit()]);
    bench.combine(DutyKind::Exit);
    assert!(submitted(&mut bench));
}

#[test]
fn peers_that_open_many_exits_do_not_keep_ours_from_being_signed() {
    let mut bench = Bench::started(100 * SLOTS, Signer::Builtin);
    for epoch in 0..90 {
        let duty = Duty::new(Slot(epoch * SLOTS), DutyKind::Exit);
        let signed = SignedVoluntaryExit {
            message: wish(epoch),
            signature: SignatureBytes([0; 96]),
        };
        bench.hear(&[1], duty, &[(ALICE, SignedData::Exit(signed))]);
    }
    bench.taken();
    bench.step(Input::Exit {
        validator: ALICE,
        exit: wish(95),
    });
    bench.sign(DutyKind::Exit);
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn s11_a_paused_node_sends_nothing_again() {
    let (mut bench, sent) = asked();
    bench.step(Input::Pause(true));
    bench.taken();
    bench.until(bench.chain.slot_start(Slot(SLOTS + 1)));
    assert_eq!(bench.sent(), []);
    bench.step(Input::Pause(false));
    bench.until(bench.chain.slot_start(Slot(2 * SLOTS + 1)));
    assert_eq!(bench.sent(), [sent]);
}

#[test]
fn an_exit_that_peers_alone_wished_for_ends_and_is_forgotten() {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.hear(&[1, 2, 3], DUTY, &[exit()]);
    bench.combine(DutyKind::Exit);
    assert!(submitted(&mut bench));
    assert!(ended(&bench.outputs, DUTY).is_some());
    bench.until(bench.chain.slot_start(Slot(SLOTS + 1)));
    assert_eq!(bench.engine.duties(), 0);
}
