//! The chain-split guard's verdicts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flotilla_duty::guard::{Question, Verdict};
use flotilla_types::{Checkpoint, Epoch, Root, Slot};
use serde_json::{Value, json};

use super::beacon::{Answer, Asked, FakeBeacon, data, missing};
use super::{SLOTS, chain, patient_chain};
use crate::duties::{examine, head};

const JUSTIFIED: Root = Root([3; 32]);
const TARGET: Root = Root([4; 32]);
const FORK: Root = Root([5; 32]);
const STRANGE: Root = Root([6; 32]);

fn checkpoint(epoch: u64, root: Root) -> Checkpoint {
    Checkpoint {
        epoch: Epoch(epoch),
        root,
    }
}

/// A vote from the justified checkpoint.
fn vote(target: Root) -> Question {
    Question::Vote {
        source: checkpoint(3, JUSTIFIED),
        target: checkpoint(4, target),
    }
}

fn finality() -> Answer {
    data(json!({
        "previous_justified": checkpoint(2, Root([2; 32])),
        "current_justified": checkpoint(3, JUSTIFIED),
        "finalized": checkpoint(2, Root([2; 32])),
    }))
}

fn header(root: Root, slot: u64, parent: Root, canonical: bool) -> Value {
    json!({ "root": root, "canonical": canonical, "header": { "message": {
        "slot": slot.to_string(), "proposer_index": "3", "parent_root": parent,
        "state_root": root, "body_root": root,
    }}})
}

/// A node whose chain has the justified block at the border of epoch 3 and the target at that of epoch 4; a block of another
/// branch, beside the target, descends from a block that is no later than the justified one.
fn known(asked: &Asked) -> Answer {
    let is_about = |root: Root| asked.path.ends_with(&format!("/headers/{root}"));
    match () {
        () if asked.path.contains("finality") => finality(),
        () if is_about(JUSTIFIED) => data(header(JUSTIFIED, 3 * SLOTS, Root([2; 32]), true)),
        () if is_about(TARGET) => data(header(TARGET, 4 * SLOTS, JUSTIFIED, true)),
        () if is_about(FORK) => data(header(FORK, 4 * SLOTS, STRANGE, false)),
        () if is_about(STRANGE) => data(header(STRANGE, 3 * SLOTS, Root([1; 32]), false)),
        () => missing(),
    }
}

#[tokio::test]
async fn a_target_on_our_chain_fits() {
    let beacon = FakeBeacon::start(known).await;
    let verdict = examine(&beacon.node, &patient_chain(), vote(TARGET)).await;
    assert_eq!(verdict, Verdict::Fits);
}

#[tokio::test]
async fn a_branch_that_leaves_after_the_justified_block_fits() {
    let beacon = FakeBeacon::start(|asked: &Asked| {
        match asked.path.ends_with(&format!("/headers/{FORK}")) {
            true => data(header(FORK, 4 * SLOTS, JUSTIFIED, false)),
            false => known(asked),
        }
    })
    .await;
    let verdict = examine(&beacon.node, &patient_chain(), vote(FORK)).await;
    assert_eq!(verdict, Verdict::Fits);
}

#[tokio::test]
async fn a_branch_that_leaves_before_the_justified_block_conflicts() {
    let beacon = FakeBeacon::start(known).await;
    let verdict = examine(&beacon.node, &patient_chain(), vote(FORK)).await;
    assert_eq!(verdict, Verdict::Conflicts);
}

#[tokio::test]
async fn a_source_that_is_not_on_our_chain_conflicts_whatever_the_target() {
    let beacon = FakeBeacon::start(known).await;
    for source in [STRANGE, Root([0xee; 32])] {
        let question = Question::Vote {
            source: checkpoint(3, source),
            target: checkpoint(4, TARGET),
        };
        let verdict = examine(&beacon.node, &patient_chain(), question).await;
        assert_eq!(verdict, Verdict::Conflicts, "{source}");
    }
}

/// The second time, the block is there.
#[tokio::test]
async fn a_late_target_is_waited_for() {
    let came = Arc::new(AtomicBool::new(false));
    let beacon = FakeBeacon::start(move |asked: &Asked| {
        let is_early =
            asked.path.contains(&TARGET.to_string()) && !came.swap(true, Ordering::Relaxed);
        if is_early { missing() } else { known(asked) }
    })
    .await;
    let verdict = examine(&beacon.node, &patient_chain(), vote(TARGET)).await;
    assert_eq!(verdict, Verdict::Fits);
    assert_eq!(beacon.count(&TARGET.to_string()), 2);
}

#[tokio::test]
async fn a_target_that_does_not_come_is_unknown_and_does_not_cost_the_slot() {
    let slot = Duration::from_millis(600);
    let beacon = FakeBeacon::start(known).await;
    let verdict = examine(&beacon.node, &chain(slot), vote(Root([0xee; 32]))).await;
    assert!(
        matches!(verdict, Verdict::Unknown | Verdict::Silent),
        "{verdict:?}"
    );
}

#[tokio::test]
async fn a_node_that_fails_or_says_nothing_is_silent_and_bounded() {
    let chain = chain(Duration::from_millis(600));
    for answer in [Answer::Json(500, json!({})), Answer::Silence] {
        let beacon = FakeBeacon::start(move |_: &Asked| answer.clone()).await;
        let asked = examine(&beacon.node, &chain, vote(TARGET));
        let verdict = tokio::time::timeout(Duration::from_secs(10), asked).await;
        assert_eq!(verdict, Ok(Verdict::Silent));
    }
}

#[tokio::test]
async fn a_block_must_build_on_an_earlier_one_that_is_known_and_is_not_waited_for() {
    let beacon = FakeBeacon::start(known).await;
    for (slot, parent, expected) in [
        (4 * SLOTS + 1, TARGET, Verdict::Fits),
        (4 * SLOTS, TARGET, Verdict::Conflicts),
        (4 * SLOTS + 1, Root([0xee; 32]), Verdict::Unknown),
    ] {
        let question = Question::Block {
            slot: Slot(slot),
            parent,
        };
        let verdict = examine(&beacon.node, &patient_chain(), question).await;
        assert_eq!(verdict, expected, "slot {slot} on {parent}");
    }
    assert_eq!(beacon.count(&Root([0xee; 32]).to_string()), 1);
}

#[tokio::test]
async fn a_head_that_the_execution_client_has_not_verified_is_not_signed() {
    let root = |optimistic: bool| {
        Answer::Json(
            200,
            json!({ "execution_optimistic": optimistic, "data": { "root": TARGET } }),
        )
    };
    let verified = FakeBeacon::start(move |_: &Asked| root(false)).await;
    assert_eq!(head(&verified.node).await, Ok(TARGET));
    for answer in [root(true), missing()] {
        let beacon = FakeBeacon::start(move |_: &Asked| answer.clone()).await;
        let error = head(&beacon.node).await.unwrap_err();
        assert!(error.temporary, "{}", error.text);
    }
}
