//! Outcomes as lines of JSON, to whoever reads along.
//!
//! Writers never wait. A reader that falls more than [`BACKLOG`] lines behind gets one last line that says so, and is cut off.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use flotilla_duty::Outcome;
use flotilla_duty::io::Item;
use flotilla_duty::outcome::{Fate, ItemOutcome};
use flotilla_types::{PeerIndex, Timestamp};
use futures::stream;
use serde_json::{Map, Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};

use crate::telemetry::{slow, stages};

/// Lines kept for slow readers.
const BACKLOG: usize = 1024;

/// Readers at the same time.
const READERS: usize = 16;

/// Which of its outcomes a duty tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Where it stands when the next slot begins.
    Late,
    /// Its end.
    Ended,
}

/// The stream. Clones are the same stream.
#[derive(Clone, Debug)]
pub struct OutcomeStream {
    lines: broadcast::Sender<Bytes>,
    readers: Arc<Semaphore>,
}

impl Default for OutcomeStream {
    fn default() -> Self {
        Self {
            lines: broadcast::Sender::new(BACKLOG),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }
}

impl OutcomeStream {
    /// Tells an outcome to all who read. `cluster` is the first 7 hex digits of the lock hash.
    pub fn tell(&self, cluster: &str, kind: Kind, outcome: &Outcome) {
        if self.lines.receiver_count() > 0 {
            // An error means that the last reader has just left.
            let _ = self.lines.send(line(&to_json(cluster, kind, outcome)));
        }
    }

    /// An endless body with every line from now on; `None` if [`READERS`] read already.
    pub(super) fn body(&self) -> Option<Body> {
        let permit = Arc::clone(&self.readers).try_acquire_owned().ok()?;
        let reader = Reader {
            lines: self.lines.subscribe(),
            _permit: permit,
        };
        Some(Body::from_stream(stream::unfold(Some(reader), next)))
    }
}

struct Reader {
    lines: broadcast::Receiver<Bytes>,
    _permit: OwnedSemaphorePermit,
}

async fn next(
    reader: Option<Reader>,
) -> Option<(Result<Bytes, std::convert::Infallible>, Option<Reader>)> {
    let mut reader = reader?;
    match reader.lines.recv().await {
        Ok(line) => Some((Ok(line), Some(reader))),
        Err(RecvError::Lagged(lost)) => {
            Some((Ok(line(&json!({"kind": "cut_off", "lost": lost}))), None))
        }
        Err(RecvError::Closed) => None,
    }
}

fn line(value: &Value) -> Bytes {
    Bytes::from(format!("{value}\n"))
}

fn to_json(cluster: &str, kind: Kind, outcome: &Outcome) -> Value {
    let validators: Vec<Value> = outcome
        .items
        .iter()
        .map(|entry| validator(outcome.due, entry))
        .collect();
    json!({
        "kind": match kind { Kind::Late => "late", Kind::Ended => "ended" },
        "cluster": cluster,
        "slot": outcome.duty.slot.0,
        "duty": outcome.duty.kind.name(),
        "due_ms": outcome.due.as_millis(),
        "round": outcome.round,
        "leader": outcome.leader.map(PeerIndex::get),
        "stages_ms": reached(outcome.due, stages::shared(outcome)),
        "slowest": slow::slowest(outcome).map(|slow| json!({
            "step": slow.step.name(),
            "ms": slow.took.as_secs_f64() * 1000.0,
        })),
        "validators": validators,
    })
}

fn validator(due: Timestamp, (item, outcome): (&Item, &ItemOutcome)) -> Value {
    let mut fields = reached(due, stages::own(outcome));
    fields.insert("pubkey".to_owned(), json!(item.validator));
    if item.part != 0 {
        fields.insert("subcommittee".to_owned(), json!(item.part));
    }
    match &outcome.fate {
        Fate::Submitted => {
            fields.insert("fate".to_owned(), json!("submitted"));
        }
        Fate::Missed {
            step,
            reason,
            peers,
        } => {
            let peers: Vec<usize> = peers.iter().map(|peer| peer.get()).collect();
            fields.insert("fate".to_owned(), json!("missed"));
            fields.insert("step".to_owned(), json!(step.name()));
            fields.insert("reason".to_owned(), json!(reason.to_string()));
            fields.insert("peers".to_owned(), json!(peers));
        }
    }
    Value::Object(fields)
}

/// Milliseconds after the due point of every stage that was reached; a stage before it, as when waiting for a head, counts as 0.
fn reached<const N: usize>(
    due: Timestamp,
    stages: [(&'static str, Option<Timestamp>); N],
) -> Map<String, Value> {
    let after_due = |(stage, at): (&str, Option<Timestamp>)| {
        let millis = at?.saturating_since(due).as_secs_f64() * 1000.0;
        Some((stage.to_owned(), json!(millis)))
    };
    stages.into_iter().filter_map(after_due).collect()
}
