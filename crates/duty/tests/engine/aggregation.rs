//! Aggregations: who is selected, and for whom they wait.

use std::time::Duration;

use flotilla_duty::Output;
use flotilla_duty::io::{AggregateRequest, Request};
use flotilla_types::{AttesterDuty, CommitteeIndex, Duty, DutyKind, PublicKeyBytes, Slot};

use crate::bench::{ALICE, BOB, Bench, SLOT, Signer, attester, data, ended, selection, value};

const AT: u64 = 3;
const AGGREGATION: Duty = Duty::new(Slot(AT), DutyKind::Aggregator);
const PREPARE: Duty = Duty::new(Slot(AT), DutyKind::PrepareAggregator);

/// Both validators attest in slot 3; the proofs of `proven` have been exchanged.
fn prepared(duties: &[AttesterDuty], proven: &[PublicKeyBytes]) -> Bench {
    let mut bench = Bench::started(1, Signer::Builtin);
    bench.assign(0, duties, &[]);
    bench.until(bench.chain.slot_start(Slot(AT)) - SLOT / 8);
    bench.sign(DutyKind::PrepareAggregator);
    for validator in proven {
        bench.hear(&[1, 2], PREPARE, &[selection(*validator, AT)]);
    }
    bench.combine(DutyKind::PrepareAggregator);
    bench
}

fn attested(bench: &mut Bench, duties: &[AttesterDuty]) {
    bench.decide(Duty::attester(Slot(AT)), &value(duties, data(AT, 1, 2)));
    // Our own beacon node knows nothing of the checkpoint, and has nothing against it.
    for output in bench.outputs.clone() {
        if let Output::Examine { duty, question } = output {
            bench.step(flotilla_duty::Input::Examined {
                duty,
                question,
                verdict: flotilla_duty::guard::Verdict::Fits,
            });
        }
    }
}

fn asked(bench: &Bench) -> Option<Vec<AggregateRequest>> {
    bench.outputs.iter().find_map(|output| match output {
        Output::Fetch {
            duty: AGGREGATION,
            request: Request::Aggregates(requests),
        } => Some(requests.clone()),
        _ => None,
    })
}

fn wanted(validator: PublicKeyBytes) -> AggregateRequest {
    AggregateRequest {
        validator,
        committee: CommitteeIndex(0),
        data: data(AT, 1, 2),
    }
}

#[test]
fn an_aggregation_starts_at_its_due_point_when_all_proofs_are_there() {
    let duties = [attester(ALICE, AT), attester(BOB, AT)];
    let mut bench = prepared(&duties, &[ALICE, BOB]);
    let due = bench.chain.due(AGGREGATION);
    bench.until(due - Duration::from_secs(1));
    attested(&mut bench, &duties);
    assert_eq!(asked(&bench), None);
    bench.until(due);
    assert_eq!(asked(&bench), Some(vec![wanted(ALICE), wanted(BOB)]));
}

#[test]
fn an_aggregation_goes_on_without_a_validator_whose_selection_never_comes() {
    let duties = [attester(ALICE, AT), attester(BOB, AT)];
    let mut bench = prepared(&duties, &[ALICE]);
    let due = bench.chain.due(AGGREGATION);
    bench.until(due - Duration::from_secs(1));
    attested(&mut bench, &duties);
    let grace_end = due + SLOT / 24;
    bench.until(grace_end - Duration::from_millis(1));
    assert_eq!(asked(&bench), None);
    bench.until(grace_end);
    assert_eq!(asked(&bench), Some(vec![wanted(ALICE)]));
}

#[test]
fn an_attestation_agreed_after_its_slot_is_still_aggregated() {
    let duties = [attester(ALICE, AT)];
    let mut bench = prepared(&duties, &[ALICE]);
    bench.until(bench.chain.slot_start(Slot(AT + 1)) + Duration::from_secs(1));
    assert_eq!(asked(&bench), None);
    attested(&mut bench, &duties);
    assert_eq!(asked(&bench), Some(vec![wanted(ALICE)]));
}

#[test]
fn where_nobody_is_selected_the_aggregation_ends_without_a_word() {
    // The proof of these tests is not selected in a committee of this length.
    let large = AttesterDuty {
        committee_length: 16 * 1021,
        ..attester(ALICE, AT)
    };
    let mut bench = prepared(&[large], &[ALICE]);
    bench.until(bench.chain.due(AGGREGATION) - Duration::from_secs(1));
    attested(&mut bench, &[large]);
    bench.until(bench.chain.deadline(AGGREGATION).unwrap() + SLOT);
    assert_eq!(asked(&bench), None);
    let told = |output: &&Output| matches!(output, Output::Ended(outcome) | Output::Late(outcome) if outcome.duty == AGGREGATION);
    assert_eq!(bench.outputs.iter().filter(told).count(), 0);
    assert!(ended(&bench.outputs, PREPARE).is_some());
}
