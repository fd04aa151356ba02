//! Server-sent events: a `head` and a `block` event when the block of a slot is seen.
//!
//! The future of the chain is known, so each connection simply sleeps until the next block; there is nothing to
//! broadcast and no listener can fall behind. The chain never reorganises, so `chain_reorg` never comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use flotilla_types::{Epoch, Root, Slot};
use futures::Stream;
use serde_json::{Value, json};

use super::Endpoint;
use super::error::ApiError;
use crate::chain::{Simulator, now};

/// Topics of the Beacon API; unknown ones are refused.
const TOPICS: [&str; 18] = [
    "head",
    "block",
    "block_gossip",
    "attestation",
    "single_attestation",
    "voluntary_exit",
    "bls_to_execution_change",
    "proposer_slashing",
    "attester_slashing",
    "finalized_checkpoint",
    "chain_reorg",
    "contribution_and_proof",
    "payload_attributes",
    "blob_sidecar",
    "data_column_sidecar",
    "light_client_finality_update",
    "light_client_optimistic_update",
    "execution_payload_available",
];

/// `GET /eth/v1/events?topics=head&topics=block`.
pub(crate) async fn stream(
    State(endpoint): State<Endpoint>,
    RawQuery(query): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let topics = topics(query.as_deref().unwrap_or_default())?;
    let first = Slot(endpoint.simulator.history().head_at(now()).0 + 1);
    let listener = Listener {
        simulator: endpoint.simulator,
        topics,
        next: first,
        pending: VecDeque::new(),
    };
    let events = futures::stream::unfold(listener, |mut listener| async move {
        let event = listener.event().await;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// The topics of a query: repeated, or with commas.
fn topics(query: &str) -> Result<Vec<String>, ApiError> {
    let values = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("topics="));
    let split = |value: &str| {
        value
            .replace("%2C", ",")
            .split(',')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let topics: Vec<String> = values.flat_map(split).collect();
    if topics.is_empty() {
        return Err(ApiError::bad_request("no topics are named"));
    }
    match topics
        .iter()
        .find(|topic| !TOPICS.contains(&topic.as_str()))
    {
        Some(unknown) => Err(ApiError::bad_request(format!(
            "there is no topic {unknown}"
        ))),
        None => Ok(topics),
    }
}

struct Listener {
    simulator: Arc<Simulator>,
    topics: Vec<String>,
    next: Slot,
    pending: VecDeque<Event>,
}

impl Listener {
    async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return event;
            }
            let slot = self.next;
            tokio::time::sleep(
                self.simulator
                    .history()
                    .seen_at(slot)
                    .saturating_since(now()),
            )
            .await;
            self.pending = self
                .topics
                .iter()
                .filter_map(|topic| event(&self.simulator, topic, slot))
                .collect();
            self.next = Slot(slot.0 + 1);
        }
    }
}

fn event(simulator: &Simulator, topic: &str, slot: Slot) -> Option<Event> {
    let history = simulator.history();
    let data: Value = match topic {
        "head" => head(simulator, slot),
        "block" => {
            json!({ "slot": slot, "block": history.block_root(slot), "execution_optimistic": false })
        }
        "block_gossip" => json!({ "slot": slot, "block": history.block_root(slot) }),
        _ => return None,
    };
    Some(Event::default().event(topic).data(data.to_string()))
}

fn head(simulator: &Simulator, slot: Slot) -> Value {
    let chain = simulator.chain();
    let history = simulator.history();
    let epoch = chain.epoch_of(slot);
    json!({
        "slot": slot,
        "block": history.block_root(slot),
        "state": Root([0; 32]),
        "epoch_transition": chain.first_slot(epoch) == slot,
        "previous_duty_dependent_root": history.dependent_root(epoch),
        "current_duty_dependent_root": history.dependent_root(Epoch(epoch.0 + 1)),
        "execution_optimistic": false,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn topics_come_repeated_or_with_commas() {
        assert_eq!(
            topics("topics=head&topics=block").unwrap(),
            ["head", "block"]
        );
        assert_eq!(
            topics("topics=head,chain_reorg").unwrap(),
            ["head", "chain_reorg"]
        );
        assert_eq!(topics("topics=head%2Cblock").unwrap(), ["head", "block"]);
    }

    #[test]
    fn no_topic_or_an_unknown_one_is_refused() {
        assert!(topics("").is_err() && topics("topics=nonsense").is_err());
    }
}
