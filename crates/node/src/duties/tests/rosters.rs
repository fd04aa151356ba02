//! Lists of duties, kept as long as what they depend on stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use flotilla_duty::io::{Assignments, Roster};
use flotilla_types::{Epoch, ProposerDuty, Root, Slot, ValidatorIndex};
use serde_json::{Value, json};

use super::beacon::{Answer, Asked, FakeBeacon, data};
use super::{SLOTS, attester, key, patient_chain};
use crate::duties::{Rehearsal, Rosters};

/// Validators 1 and 2, the latter not active yet.
fn validators() -> Value {
    let entry = |number: u8, status: &str, activation: u64| {
        json!({ "index": number.to_string(), "balance": "32", "status": status, "validator": {
            "pubkey": key(number), "activation_epoch": activation.to_string(),
            "exit_epoch": u64::MAX.to_string(),
        }})
    };
    json!([entry(1, "active_ongoing", 0), entry(2, "pending_queued", 9)])
}

/// A beacon node whose lists depend on the root that the counter says.
async fn beacon(root: Arc<AtomicU8>) -> FakeBeacon {
    FakeBeacon::start(move |asked: &Asked| {
        let list = |duties: Value| {
            let root = Root([root.load(Ordering::Relaxed); 32]);
            Answer::Json(
                200,
                json!({ "dependent_root": root, "execution_optimistic": false, "data": duties }),
            )
        };
        match asked.path.as_str() {
            path if path.ends_with("/validators") => data(validators()),
            path if path.contains("/duties/attester/") => list(json!([attester(1, 3 * SLOTS, 0)])),
            path if path.contains("/duties/proposer/") => list(json!([foreign_proposer()])),
            path => panic!("{path}"),
        }
    })
    .await
}

fn foreign_proposer() -> ProposerDuty {
    ProposerDuty {
        pubkey: key(99),
        validator_index: ValidatorIndex(99),
        slot: Slot(3 * SLOTS + 2),
    }
}

fn rosters(rehearsal: Option<Rehearsal>) -> Rosters {
    Rosters::new(vec![key(1), key(2)], Arc::new(patient_chain()), rehearsal)
}

#[tokio::test]
async fn a_list_is_asked_for_again_when_what_it_depends_on_changes() {
    let root = Arc::new(AtomicU8::new(1));
    let beacon = beacon(Arc::clone(&root)).await;
    let rosters = rosters(None);
    let of = |number: u8| Root([number; 32]);
    let get = |roster| rosters.get(&beacon.node, Epoch(3), roster);
    for roster in [Roster::Attesters, Roster::Proposers] {
        assert_eq!(get(roster).await.unwrap().dependent_root, of(1));
    }
    root.store(2, Ordering::Relaxed);
    // As the head of epoch 3 says, the lists still hold.
    rosters.head(Epoch(3), of(1), of(7));
    for roster in [Roster::Attesters, Roster::Proposers] {
        assert_eq!(get(roster).await.unwrap().dependent_root, of(1));
    }
    rosters.head(Epoch(3), of(2), of(7));
    for roster in [Roster::Attesters, Roster::Proposers] {
        assert_eq!(
            get(roster).await.unwrap().dependent_root,
            of(2),
            "{roster:?}"
        );
    }
    assert_eq!(beacon.count("/duties/attester/3"), 2);
}

#[tokio::test]
async fn attesters_of_the_next_epoch_depend_on_the_current_root() {
    let root = Arc::new(AtomicU8::new(1));
    let beacon = beacon(Arc::clone(&root)).await;
    let rosters = rosters(None);
    let get = || rosters.get(&beacon.node, Epoch(3), Roster::Attesters);
    get().await.unwrap();
    rosters.head(Epoch(2), Root([8; 32]), Root([1; 32]));
    get().await.unwrap();
    assert_eq!(beacon.count("/duties/"), 1);
    rosters.head(Epoch(2), Root([8; 32]), Root([2; 32]));
    get().await.unwrap();
    assert_eq!(beacon.count("/duties/"), 2);
}

#[tokio::test]
async fn who_our_validators_are_is_asked_once_an_epoch() {
    let beacon = beacon(Arc::new(AtomicU8::new(1))).await;
    let rosters = rosters(None);
    for (epoch, questions) in [(3, 1), (3, 1), (2, 1), (4, 2), (9, 3)] {
        let active = rosters
            .members
            .active_in(&beacon.node, Epoch(epoch))
            .await
            .unwrap();
        // The second is activated in epoch 9, whatever its status says.
        let expected = if epoch == 9 { 2 } else { 1 };
        assert_eq!(active.len(), expected, "epoch {epoch}");
        assert_eq!(beacon.count("/validators"), questions, "epoch {epoch}");
    }
    assert_eq!(rosters.members.active(), 2);
}

#[tokio::test]
async fn only_active_validators_are_asked_about() {
    let beacon = beacon(Arc::new(AtomicU8::new(1))).await;
    rosters(None)
        .get(&beacon.node, Epoch(3), Roster::Attesters)
        .await
        .unwrap();
    let asked = beacon.asked();
    let about = asked
        .iter()
        .find(|asked| asked.path.contains("/duties/"))
        .unwrap();
    assert!(about.is_post());
    assert_eq!(about.json(), json!(["1"]));
}

#[tokio::test]
async fn rehearsals_are_added_to_the_proposers_and_told_from_real_ones() {
    let beacon = beacon(Arc::new(AtomicU8::new(1))).await;
    for (rehearsal, expected) in [(None, 1), (Some(Rehearsal::default()), 2)] {
        let rosters = rosters(rehearsal);
        let list = rosters
            .get(&beacon.node, Epoch(3), Roster::Proposers)
            .await
            .unwrap();
        let Assignments::Proposers(duties) = &list.assignments else {
            panic!("proposers were asked for");
        };
        assert_eq!(duties.len(), expected);
        let synthetic = rosters
            .rehearsal_of(&beacon.node, duties.last().unwrap())
            .await
            .unwrap();
        assert_eq!(synthetic.is_some(), expected == 2);
        let real = rosters
            .rehearsal_of(&beacon.node, &foreign_proposer())
            .await
            .unwrap();
        assert!(real.is_none());
    }
}
