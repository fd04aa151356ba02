//! Submissions: to all endpoints at once, counted per item.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use tokio::task::JoinSet;

use super::{
    error::{Failure, Reason, excerpt, write_failures},
    exchange::{Answer, Call, Refusal},
    known::{all_known, is_known},
    node::BeaconNode,
};

/// One endpoint's refusal of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The endpoint, without credentials.
    pub endpoint: String,
    /// What it said, shortened.
    pub message: String,
}

/// Items that no endpoint accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitError {
    /// How many items were submitted.
    pub total: usize,
    /// Positions accepted by no endpoint, ascending. Never empty.
    pub unaccepted: Vec<usize>,
    /// What endpoints said about single items, by position.
    pub rejections: BTreeMap<usize, Vec<Rejection>>,
    /// Endpoints that failed or refused as a whole.
    pub failures: Vec<Failure>,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} not accepted: ",
            self.unaccepted.len(),
            self.total
        )?;
        write_failures(f, &self.failures)?;
        let first = self
            .rejections
            .iter()
            .find_map(|(position, list)| Some((position, list.first()?)));
        let Some((position, rejection)) = first else {
            return Ok(());
        };
        let separator = if self.failures.is_empty() { "" } else { "; " };
        write!(
            f,
            "{separator}item {position} by {}: {}",
            rejection.endpoint, rejection.message
        )?;
        match self.rejections.len() {
            1 => Ok(()),
            items => write!(f, " (and {} more)", items - 1),
        }
    }
}

impl std::error::Error for SubmitError {}

/// The body of a refusal that names items (Beacon API, `IndexedError`).
#[derive(Deserialize)]
struct IndexedError {
    failures: Vec<IndexedFailure>,
}

#[derive(Deserialize)]
struct IndexedFailure {
    #[serde(deserialize_with = "position")]
    index: u64,
    #[serde(default)]
    message: String,
}

/// The API says a number; some nodes have sent text.
fn position<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Position {
        Number(u64),
        Text(flotilla_types::Slot),
    }
    Ok(match Position::deserialize(deserializer)? {
        Position::Number(number) => number,
        Position::Text(number) => number.0,
    })
}

/// What is known of a submission so far.
struct Tally {
    total: usize,
    open: BTreeSet<usize>,
    rejections: BTreeMap<usize, Vec<Rejection>>,
    failures: Vec<Failure>,
}

impl Tally {
    fn new(total: usize) -> Self {
        Self {
            total,
            open: (0..total).collect(),
            rejections: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Takes in one endpoint's answer. A 400 that names items means that the others were accepted (Beacon API).
    fn add(&mut self, result: Result<(), Refusal>) {
        let Err(Refusal { failure, body }) = result else {
            return self.open.clear();
        };
        let rejected = matches!(failure.reason, Reason::Status { status: 400, .. });
        match serde_json::from_slice::<IndexedError>(&body) {
            Ok(error) if rejected && !error.failures.is_empty() => {
                self.add_indexed(&failure.endpoint, &error.failures)
            }
            // Of several items a node that says so only once would not say which.
            _ if (self.total == 1 && is_known(&body)) || all_known(&body) => self.open.clear(),
            _ => self.failures.push(failure),
        }
    }

    fn add_indexed(&mut self, endpoint: &str, failures: &[IndexedFailure]) {
        let mut refused = BTreeSet::new();
        for failure in failures
            .iter()
            .filter(|failure| !is_known(failure.message.as_bytes()))
        {
            // A position past the end tells nothing about our items.
            let Some(position) = usize::try_from(failure.index)
                .ok()
                .filter(|&at| at < self.total)
            else {
                continue;
            };
            if refused.insert(position) {
                let (endpoint, message) =
                    (endpoint.to_owned(), excerpt(failure.message.as_bytes()));
                self.rejections
                    .entry(position)
                    .or_default()
                    .push(Rejection { endpoint, message });
            }
        }
        self.open.retain(|position| refused.contains(position));
    }

    fn into_result(mut self) -> Result<(), SubmitError> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.rejections
            .retain(|position, _| self.open.contains(position));
        let Self {
            total,
            open,
            rejections,
            failures,
        } = self;
        Err(SubmitError {
            total,
            unaccepted: open.into_iter().collect(),
            rejections,
            failures,
        })
    }
}

/// The same submission in another encoding, made when the first endpoint asks for it.
pub(super) type OtherEncoding = LazyLock<Call, Box<dyn FnOnce() -> Call + Send>>;

/// What goes to all endpoints.
pub(super) struct Submission {
    call: Arc<Call>,
    /// For endpoints that do not read the encoding of `call`.
    other: Option<Arc<OtherEncoding>>,
    /// How many items it has.
    total: usize,
}

impl Submission {
    /// A list that is accepted or refused item by item.
    pub(super) fn of_items(call: Call, total: usize) -> Self {
        Self {
            call: Arc::new(call),
            other: None,
            total,
        }
    }

    /// One thing.
    pub(super) fn of_one(call: Call) -> Self {
        Self::of_items(call, 1)
    }

    /// Adds what is sent to endpoints that answer 415 to the first encoding.
    pub(super) fn or_else(self, other: impl FnOnce() -> Call + Send + 'static) -> Self {
        let other: Box<dyn FnOnce() -> Call + Send> = Box::new(other);
        Self {
            other: Some(Arc::new(LazyLock::new(other))),
            ..self
        }
    }
}

/// What is said beside success does not matter.
fn taken(_: Answer) -> Result<(), String> {
    Ok(())
}

impl BeaconNode {
    /// Sends to all endpoints; returns as soon as every item is accepted by one. The rest goes on in the background.
    pub(super) async fn submit(&self, submission: Submission) -> Result<(), SubmitError> {
        let Submission { call, other, total } = submission;
        let mut tasks = JoinSet::new();
        for endpoint in &*self.endpoints {
            let (endpoint, client) = (endpoint.clone(), self.client.clone());
            let (call, other, observer) = (call.clone(), other.clone(), self.observer.clone());
            tasks.spawn(async move {
                let observer = observer.as_deref();
                let result = endpoint.ask(&client, observer, &call, taken).await;
                match (result, other) {
                    (Err(refusal), Some(other)) if is_unread(&refusal) => {
                        endpoint.ask(&client, observer, &other, taken).await
                    }
                    (result, _) => result,
                }
            });
        }
        let mut tally = Tally::new(total);
        while let Some(joined) = tasks.join_next().await {
            // A task can only fail to join by a panic, which the runtime has reported; it accepted nothing.
            if let Ok(result) = joined {
                tally.add(result);
            }
            if tally.open.is_empty() {
                tasks.detach_all();
                return Ok(());
            }
        }
        tally.into_result()
    }
}

/// Whether an endpoint does not read this encoding.
const fn is_unread(refusal: &Refusal) -> bool {
    matches!(refusal.failure.reason, Reason::Status { status: 415, .. })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refusal(endpoint: &str, status: u16, body: &str) -> Result<(), Refusal> {
        let reason = Reason::Status {
            status,
            body: body.to_owned(),
        };
        let failure = Failure {
            endpoint: endpoint.into(),
            method: "POST",
            path: "/pool".into(),
            reason,
        };
        Err(Refusal {
            failure,
            body: body.as_bytes().to_vec(),
        })
    }

    fn result(total: usize, answers: Vec<Result<(), Refusal>>) -> Result<(), SubmitError> {
        let mut tally = Tally::new(total);
        answers.into_iter().for_each(|answer| tally.add(answer));
        tally.into_result()
    }

    #[test]
    fn one_endpoint_that_accepts_all_is_enough() {
        assert_eq!(result(3, vec![refusal("one", 503, ""), Ok(())]), Ok(()));
    }

    #[test]
    fn items_accepted_by_different_endpoints_add_up() {
        let (first, second) = (
            r#"{"failures":[{"index":0,"message":"bad"}]}"#,
            r#"{"failures":[{"index":"2"}]}"#,
        );
        assert_eq!(
            result(
                3,
                vec![refusal("one", 400, first), refusal("two", 400, second)]
            ),
            Ok(())
        );
    }

    #[test]
    fn items_refused_everywhere_are_told_with_what_was_said() {
        let body = r#"{"code":400,"message":"some failed","failures":[{"index":1,"message":"unknown head"}]}"#;
        let error =
            result(3, vec![refusal("one", 400, body), refusal("two", 502, "")]).unwrap_err();
        assert_eq!(error.unaccepted, [1]);
        let text = "1 of 3 not accepted: POST two/pool: status 502; item 1 by one: unknown head";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn what_a_node_knows_already_is_accepted() {
        let body = r#"{"failures":[{"index":0,"message":"PriorAttestationKnown { .. }"}]}"#;
        assert_eq!(result(2, vec![refusal("one", 400, body)]), Ok(()));
        let flat = r#"{"code":400,"message":"PriorAttestationKnown"}"#;
        assert_eq!(result(1, vec![refusal("one", 400, flat)]), Ok(()));
        assert!(
            result(2, vec![refusal("one", 400, flat)]).is_err(),
            "of several it does not say which"
        );
    }

    #[test]
    fn a_refusal_without_items_accepts_nothing() {
        for body in [
            "",
            "{}",
            r#"{"failures":[]}"#,
            r#"{"failures":[{"index":-1}]}"#,
            "<html>",
        ] {
            assert_eq!(
                result(2, vec![refusal("one", 400, body)])
                    .unwrap_err()
                    .unaccepted,
                [0, 1],
                "{body}"
            );
        }
        let named = r#"{"failures":[{"index":0}]}"#;
        assert_eq!(
            result(2, vec![refusal("one", 500, named)])
                .unwrap_err()
                .unaccepted,
            [0, 1]
        );
    }
}
