#![allow(clippy::unwrap_used)]

use super::*;

const NODE: &str = "http://one";

fn root(byte: u8) -> Root {
    Root([byte; 32])
}

fn head(slot: u64, byte: u8) -> Event {
    Event::Head {
        slot: Slot(slot),
        block: root(byte),
        previous_duty_dependent_root: Root::default(),
        current_duty_dependent_root: Root::default(),
    }
}

/// A cluster that attested in slot 10 with two validators to block 1 and with one to block 9, and proposed block 1 there.
fn cluster() -> Inclusion {
    let inclusion = Inclusion::default();
    {
        let mut state = inclusion.lock();
        let validator = |number| PublicKeyBytes([number; 48]);
        let heads = [(1, 1), (2, 1), (3, 9)].map(|(number, byte)| (validator(number), root(byte)));
        let heads = BTreeMap::from(heads);
        state.heads.insert(Slot(10), heads);
        state
            .blocks
            .insert(Slot(10), (PublicKeyBytes([5; 48]), root(1)));
    }
    inclusion
}

fn fate(findings: &[Finding]) -> Option<Fate> {
    findings.iter().find_map(|finding| match finding {
        Finding::Block { fate, .. } => Some(*fate),
        Finding::Heads { .. } => None,
    })
}

fn heads(findings: &[Finding]) -> Vec<(Head, u64)> {
    let head = |finding: &Finding| match *finding {
        Finding::Heads { head, validators } => Some((head, validators)),
        Finding::Block { .. } => None,
    };
    findings.iter().filter_map(head).collect()
}

#[test]
fn blocks_and_heads_are_judged_six_slots_later_and_once() {
    let inclusion = cluster();
    for event in [head(9, 9), head(10, 1), head(11, 2)] {
        inclusion.event(NODE, &event);
    }
    assert_eq!(inclusion.settle(Slot(15)), []);
    let findings = inclusion.settle(Slot(16));
    assert_eq!(fate(&findings), Some(Fate::Included));
    assert_eq!(heads(&findings), [(Head::Correct, 2), (Head::Wrong, 1)]);
    assert_eq!(inclusion.settle(Slot(17)), []);
    let summary = inclusion.summary();
    assert_eq!(summary.heads[&Head::Correct], 2);
    assert_eq!(summary.last_missed_block, None);
}

#[test]
fn a_block_that_the_chain_went_past_is_missed() {
    for (events, expected) in [
        ([head(9, 9), head(11, 2)], Fate::Empty),
        ([head(10, 3), head(11, 2)], Fate::Replaced),
    ] {
        let inclusion = cluster();
        for event in events {
            inclusion.event(NODE, &event);
        }
        assert_eq!(fate(&inclusion.settle(Slot(16))), Some(expected));
        assert_eq!(inclusion.summary().last_missed_block, Some(10));
    }
}

#[test]
fn without_events_nothing_is_claimed_and_after_an_epoch_it_is_given_up() {
    let inclusion = cluster();
    assert_eq!(inclusion.settle(Slot(41)), []);
    let findings = inclusion.settle(Slot(42));
    assert_eq!(fate(&findings), Some(Fate::Unknown));
    assert_eq!(heads(&findings), [(Head::Unknown, 3)]);
}

#[test]
fn the_beacon_node_whose_head_is_the_newest_is_believed() {
    let inclusion = cluster();
    inclusion.event("http://lagging", &head(9, 9));
    inclusion.event("http://lagging", &head(11, 4));
    for event in [head(9, 9), head(10, 1), head(12, 2)] {
        inclusion.event(NODE, &event);
    }
    assert_eq!(fate(&inclusion.settle(Slot(16))), Some(Fate::Included));
}
