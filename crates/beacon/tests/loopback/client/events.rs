//! Event streams that end, break and lie.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flotilla_beacon::client::{Event, Told, Topic};
use flotilla_types::{Epoch, Root, Slot};
use futures::StreamExt as _;

use super::node;
use crate::upstream::{Reply, Server};

fn head(slot: u64) -> String {
    let root = Root([slot as u8; 32]);
    format!(
        "event: head\ndata: {{\"slot\":\"{slot}\",\"block\":\"{root}\",\"state\":\"{root}\",\"epoch_transition\":false,\
         \"previous_duty_dependent_root\":\"{root}\",\"current_duty_dependent_root\":\"{root}\"}}\n\n"
    )
}

fn slot_of(told: Told) -> u64 {
    match told.event {
        Event::Head { slot, .. }
        | Event::ChainReorg { slot, .. }
        | Event::Block { slot, .. }
        | Event::BlockGossip { slot, .. } => slot.0,
    }
}

#[tokio::test]
async fn events_come_in_order_from_the_asked_topics() {
    let root = Root([4; 32]);
    let reorg = format!(
        "event: chain_reorg\ndata: {{\"slot\":\"9\",\"depth\":\"2\",\"old_head_block\":\"{root}\",\
         \"new_head_block\":\"{root}\",\"old_head_state\":\"{root}\",\"new_head_state\":\"{root}\",\"epoch\":\"1\"}}\n\n"
    );
    let body = format!(": hello\n\n{}{reorg}", head(7));
    let server = Server::always(Reply::events(&body)).await;
    let mut events = node(&[&server]).events(&[Topic::Head, Topic::ChainReorg]);
    assert_eq!(slot_of(events.next().await.unwrap()), 7);
    let expected = Event::ChainReorg {
        slot: Slot(9),
        depth: 2,
        old_head_block: root,
        new_head_block: root,
        epoch: Epoch(1),
    };
    let told = events.next().await.unwrap();
    assert_eq!(told.event, expected);
    assert!(told.endpoint.ends_with("/base"), "{}", told.endpoint);
    let asked = server.asked().remove(0);
    assert_eq!(
        asked.path,
        "/base/eth/v1/events?topics=head&topics=chain_reorg"
    );
    assert_eq!(asked.header("accept"), Some("text/event-stream"));
}

#[tokio::test]
async fn a_broken_stream_is_opened_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let oversized = format!("{}data: {}", head(1), "x".repeat(70_000));
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::json(503, "syncing"),
        1 => Reply::Raw(Vec::new()),
        2 => Reply::events(&oversized),
        3 => Reply::events(&format!("event: head\ndata: {{}}\n\n{}", head(2))),
        _ => Reply::events(&head(3)),
    })
    .await;
    let events = node(&[&server]).events(&[Topic::Head]);
    let slots: Vec<u64> = events.take(3).map(slot_of).collect().await;
    assert_eq!(slots, [1, 2, 3]);
}

#[tokio::test]
async fn endpoints_do_not_hide_each_other() {
    let (silent, speaking) = (
        Server::always(Reply::Hang(Vec::new())).await,
        Server::always(Reply::events(&head(5))).await,
    );
    let mut events = node(&[&silent, &speaking]).events(&[Topic::Head]);
    assert_eq!(slot_of(events.next().await.unwrap()), 5);
}

#[tokio::test]
async fn blocks_are_told_when_they_come_and_when_they_are_imported() {
    let root = Root([4; 32]);
    let data = format!("data: {{\"slot\":\"9\",\"block\":\"{root}\"}}\n\n");
    let body = format!("event: block_gossip\n{data}event: block\n{data}");
    let server = Server::always(Reply::events(&body)).await;
    let mut events = node(&[&server]).events(&[Topic::Block, Topic::BlockGossip]);
    let (slot, block) = (Slot(9), root);
    let gossip = events.next().await.unwrap().event;
    assert_eq!(gossip, Event::BlockGossip { slot, block });
    let imported = events.next().await.unwrap().event;
    assert_eq!(imported, Event::Block { slot, block });
    let path = "/base/eth/v1/events?topics=block&topics=block_gossip";
    assert_eq!(server.asked()[0].path, path);
}
