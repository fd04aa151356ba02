//! Server-sent events: heads and blocks when they are seen, finalised checkpoints, exits.
//!
//! The chain never reorganises, but what an endpoint shows of it may ([`View`]): so each connection also looks at the head
//! now and then, and tells of another one in the same slot as a `chain_reorg`. A listener that falls far behind loses the
//! oldest events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use flotilla_types::{Epoch, Root, Slot};
use futures::Stream;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::Endpoint;
use super::error::ApiError;
use super::view::View;
use crate::chain::Event as News;

/// Between looks at the head that is shown.
const LOOK: Duration = Duration::from_millis(100);

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
    let shown = endpoint.view().head();
    let listener = Listener {
        news: endpoint.simulator.listen(),
        shown,
        endpoint,
        topics,
        pending: VecDeque::new(),
    };
    let events = futures::stream::unfold(listener, |mut listener| async move {
        let event = listener.event().await?;
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

/// One connection.
struct Listener {
    endpoint: Endpoint,
    news: broadcast::Receiver<News>,
    topics: Vec<String>,
    /// The head that the listener knows of.
    shown: (Slot, Root),
    pending: VecDeque<Event>,
}

impl Listener {
    /// The next event; `None` when the chain has ended.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            match tokio::time::timeout(LOOK, self.news.recv()).await {
                Ok(Ok(News::Head(slot))) => self.block(slot),
                Ok(Ok(News::Exit(exit))) => self.push("voluntary_exit", || json!(exit)),
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {}
                Ok(Err(broadcast::error::RecvError::Closed)) => return None,
                Err(_) => self.look(),
            }
        }
    }

    fn push(&mut self, topic: &str, data: impl FnOnce() -> Value) {
        if self.topics.iter().any(|asked| asked == topic) {
            let event = Event::default().event(topic).data(data().to_string());
            self.pending.push_back(event);
        }
    }

    /// A block was seen.
    fn block(&mut self, slot: Slot) {
        let endpoint = self.endpoint.clone();
        let view = endpoint.view();
        let Some(block) = view.history().block(slot) else {
            return;
        };
        let root = view.root_of(block);
        self.shown = (slot, root);
        self.push("block_gossip", || json!({ "slot": slot, "block": root }));
        self.push(
            "block",
            || json!({ "slot": slot, "block": root, "execution_optimistic": false }),
        );
        self.push("head", || head(&view, slot, root));
        let epoch = view.world.chain().epoch_of(slot);
        let before = view.history().block_by(Slot(slot.0.saturating_sub(1)));
        if view.world.chain().epoch_of(before.header.slot) < epoch {
            let finalized = view.checkpoint(view.history().finalized(epoch));
            self.push("finalized_checkpoint", || {
                json!({
                    "block": finalized.root, "state": Root([0; 32]), "epoch": finalized.epoch,
                    "execution_optimistic": false,
                })
            });
        }
    }

    /// Compares the head that is shown now with the one that was told of.
    fn look(&mut self) {
        let endpoint = self.endpoint.clone();
        let view = endpoint.view();
        let (slot, root) = view.head();
        let (known_slot, known) = self.shown;
        if slot != known_slot || root == known {
            return;
        }
        self.shown = (slot, root);
        let epoch = view.world.chain().epoch_of(slot);
        self.push("chain_reorg", || {
            json!({
                "slot": slot, "depth": "1", "old_head_block": known, "new_head_block": root,
                "old_head_state": Root([0; 32]), "new_head_state": Root([0; 32]),
                "epoch": epoch, "execution_optimistic": false,
            })
        });
        self.push("head", || head(&view, slot, root));
    }
}

fn head(view: &View<'_>, slot: Slot, root: Root) -> Value {
    let chain = view.world.chain();
    let epoch = chain.epoch_of(slot);
    json!({
        "slot": slot,
        "block": root,
        "state": Root([0; 32]),
        "epoch_transition": chain.first_slot(epoch) == slot,
        "previous_duty_dependent_root": view.dependent_root(epoch),
        "current_duty_dependent_root": view.dependent_root(Epoch(epoch.0 + 1)),
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
