//! What is voted for: the chain-split guard, where votes are cast and again where shares sign; and invented duties.

use flotilla_duty::guard::{Question, Verdict};
use flotilla_duty::io::Item;
use flotilla_duty::outcome::{Reason, ValueFault};
use flotilla_duty::{Fate, Input, Output};
use flotilla_qbft::MessageKind;
use flotilla_types::{AttesterDuty, Duty, Slot};

use crate::bench::{ALICE, Bench, SLOTS, Signer, attester, data, ended, leader, value};

/// In the second epoch, so that sources differ from targets.
const AT: u64 = SLOTS + 3;
const DUTY: Duty = Duty::attester(Slot(AT));
/// The justified checkpoint of our own beacon node.
const OURS: u8 = 2;
/// Another one.
const STRANGE: u8 = 3;

fn duty() -> AttesterDuty {
    attester(ALICE, AT)
}

/// A node at the due point of the duty; its beacon node gave its own data if `remembers`.
fn at_work(remembers: bool) -> Bench {
    let mut bench = Bench::started(SLOTS + 1, Signer::Builtin);
    bench.assign(1, &[duty()], &[]);
    bench.until(bench.chain.due(DUTY));
    if remembers {
        bench.step(Input::Fetched {
            duty: DUTY,
            result: Ok(value(&[duty()], data(AT, 1, OURS))),
        });
    }
    bench.taken();
    bench
}

fn question(bench: &Bench) -> Option<Question> {
    bench.outputs.iter().find_map(|output| match output {
        Output::Examine { question, .. } => Some(*question),
        _ => None,
    })
}

fn answer(bench: &mut Bench, verdict: Verdict) {
    let question = question(bench).unwrap();
    bench.step(Input::Examined {
        duty: DUTY,
        question,
        verdict,
    });
}

/// Whether a node votes for the leader's value, after this verdict on it.
fn votes(remembers: bool, source: u8, verdict: Verdict) -> bool {
    let mut bench = at_work(remembers);
    let mut data = data(AT, 9, source);
    // The block at the epoch's border: ours has another one.
    data.target.root.0[0] ^= 1;
    bench.say(
        leader(DUTY),
        DUTY,
        MessageKind::PrePrepare,
        &value(&[duty()], data),
    );
    assert_eq!(bench.said(), [], "a vote before the verdict");
    answer(&mut bench, verdict);
    bench.said().contains(&MessageKind::Prepare)
}

#[test]
fn what_our_own_beacon_node_gave_is_voted_for_without_a_question() {
    let mut bench = at_work(true);
    let same = value(&[duty()], data(AT, 9, OURS));
    bench.say(leader(DUTY), DUTY, MessageKind::PrePrepare, &same);
    assert_eq!(question(&bench), None);
    assert_eq!(bench.said(), [MessageKind::Prepare]);
}

#[test]
fn a_vote_that_fits_is_cast_and_one_that_conflicts_is_not() {
    for source in [OURS, STRANGE] {
        assert!(votes(true, source, Verdict::Fits));
        assert!(!votes(true, source, Verdict::Conflicts));
    }
}

#[test]
fn an_unknown_target_beside_our_own_is_left_to_the_others_to_vote_for() {
    for verdict in [Verdict::Unknown, Verdict::Silent] {
        for source in [OURS, STRANGE] {
            assert!(!votes(true, source, verdict), "{verdict:?}");
        }
    }
}

#[test]
fn a_node_without_beacon_node_and_memory_follows_the_others() {
    assert!(votes(false, STRANGE, Verdict::Silent));
    assert!(!votes(false, STRANGE, Verdict::Unknown));
}

#[test]
fn a_duty_that_our_beacon_node_does_not_list_is_not_voted_for() {
    let invented = attester(crate::bench::BOB, AT);
    for assigned in [vec![duty()], vec![]] {
        let mut bench = Bench::started(SLOTS + 1, Signer::Builtin);
        bench.assign(1, &assigned, &[]);
        bench.until(bench.chain.due(DUTY));
        bench.taken();
        let value = value(&[invented], data(AT, 1, OURS));
        bench.say(leader(DUTY), DUTY, MessageKind::PrePrepare, &value);
        assert_eq!(question(&bench), None);
        assert_eq!(bench.said(), [MessageKind::RoundChange]);
    }
}

#[test]
fn a_duty_of_an_epoch_whose_list_is_not_known_here_is_voted_for() {
    let mut bench = Bench::started(SLOTS + 1, Signer::Builtin);
    bench.until(bench.chain.due(DUTY));
    bench.taken();
    let value = value(&[duty()], data(AT, 1, OURS));
    bench.say(leader(DUTY), DUTY, MessageKind::PrePrepare, &value);
    answer(&mut bench, Verdict::Fits);
    assert!(bench.said().contains(&MessageKind::Prepare));
}

/// What becomes of a decision that the others have reached without us, after this verdict on it.
fn decided(source: u8, verdict: Verdict) -> Bench {
    let mut bench = at_work(true);
    bench.decide(DUTY, &value(&[duty()], data(AT, 9, source)));
    let recorded = |bench: &Bench| {
        let mut outputs = bench.outputs.iter();
        outputs.any(|output| matches!(output, Output::Record { .. }))
    };
    assert_eq!(recorded(&bench), question(&bench).is_none());
    if question(&bench).is_some() {
        answer(&mut bench, verdict);
    }
    bench
}

#[test]
fn a_decision_that_fits_is_signed() {
    for (source, verdict) in [
        (OURS, Verdict::Conflicts), // Not even asked: our own beacon node gave the same checkpoints.
        (STRANGE, Verdict::Fits),
    ] {
        let mut bench = decided(source, verdict);
        bench.record();
        bench.sign(flotilla_types::DutyKind::Attester);
        assert_eq!(bench.sent().len(), 1);
    }
}

#[test]
fn a_decision_that_does_not_fit_is_not_signed_and_ends_the_duty() {
    for verdict in [Verdict::Conflicts, Verdict::Unknown, Verdict::Silent] {
        let mut bench = decided(STRANGE, verdict);
        bench.record();
        assert_eq!(bench.sent(), []);
        let fates = ended(&bench.outputs, DUTY).unwrap();
        let Fate::Missed { reason, .. } = &fates[&Item::whole(ALICE)] else {
            panic!("it was submitted");
        };
        assert_eq!(*reason, Reason::Refused(ValueFault::OtherChain));
    }
}
