//! Who is asked, in which order, and what happens when an answer is late or missing.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, stream::FuturesUnordered};
use tokio::time::{Instant, timeout_at};

use super::{
    endpoint::Endpoint,
    error::{Failure, QueryError, Reason},
    exchange::{Answer, Call},
    node::BeaconNode,
    race::{self, Asked, Second},
};

/// Which part of its time a request has before the next endpoint is asked beside it.
const HEDGE: u32 = 4;
/// Which part of its time a question to all waits for better answers.
const BETTER: u32 = 8;
/// Slots that an endpoint may lag without being asked later: heads are looked at while blocks arrive.
const LAG: u64 = 1;

impl BeaconNode {
    /// Whether the last answer to a question came from a fallback.
    pub fn is_using_fallback(&self) -> bool {
        self.using_fallback.load(Ordering::Relaxed)
    }

    /// All endpoints, the best-placed first.
    pub(super) fn by_standing(&self) -> Vec<&Arc<Endpoint>> {
        let best = self
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.is_healthy())
            .filter_map(|endpoint| endpoint.head_slot())
            .max();
        let mut order: Vec<&Arc<Endpoint>> = self.endpoints.iter().collect();
        order.sort_by_cached_key(|endpoint| {
            let lag = endpoint.lag(best).saturating_sub(LAG);
            (!endpoint.is_healthy(), endpoint.is_fallback(), lag)
        });
        order
    }

    /// Asks the best-placed endpoint; the next when one fails, or beside it when it is late. The first good answer wins.
    pub(super) async fn query<T, E: Into<Reason>>(
        &self,
        call: &Call,
        parse: impl Fn(Answer) -> Result<T, E>,
    ) -> Result<T, QueryError> {
        self.query_either(call, None, parse).await
    }

    /// As [`Self::query`]; an endpoint that does not know the request is asked by an older one.
    pub(super) async fn query_either<T, E: Into<Reason>>(
        &self,
        call: &Call,
        older: Option<&Call>,
        parse: impl Fn(Answer) -> Result<T, E>,
    ) -> Result<T, QueryError> {
        let (late, parse) = (call.timeout / HEDGE, &parse);
        let mut waiting = self.by_standing().into_iter();
        let mut open = FuturesUnordered::new();
        let mut asked: Vec<(&Arc<Endpoint>, Instant)> = Vec::new();
        let mut failures = Vec::new();
        loop {
            if let Some(endpoint) = waiting.next() {
                asked.push((endpoint, Instant::now()));
                let answer = self.ask_either(endpoint, call, older, parse);
                open.push(answer.map(move |result| (endpoint, result)));
            }
            let next = match waiting.len() {
                0 => open.next().await,
                // Late: the next is asked beside those that are open.
                _ => match timeout_at(Instant::now() + late, open.next()).await {
                    Ok(next) => next,
                    Err(_) => continue,
                },
            };
            let Some((endpoint, result)) = next else {
                return Err(QueryError { failures });
            };
            asked.retain(|(other, _)| !Arc::ptr_eq(other, endpoint));
            match result {
                Ok(value) => {
                    self.note_late(call, &asked, late);
                    self.note_answer_of(endpoint);
                    return Ok(value);
                }
                Err(failure) => {
                    tracing::debug!(%failure, "beacon node gave no usable answer");
                    failures.push(failure);
                }
            }
        }
    }

    fn note_answer_of(&self, endpoint: &Endpoint) {
        self.using_fallback
            .store(endpoint.is_fallback(), Ordering::Relaxed);
    }

    /// Those that are late when another has answered are asked later next time.
    fn note_late(&self, call: &Call, asked: &[(&Arc<Endpoint>, Instant)], late: Duration) {
        for (endpoint, since) in asked {
            let latency = since.elapsed();
            if latency >= late {
                endpoint.overtaken(self.observer.as_deref(), call, latency);
            }
        }
    }

    /// As [`Self::query`], where 404 means that there is no such thing. `None` when no endpoint has it and at least one
    /// says so.
    pub(super) async fn query_optional<T>(
        &self,
        call: &Call,
        parse: impl Fn(Answer) -> Result<T, String>,
    ) -> Result<Option<T>, QueryError> {
        absent_if(self.query(call, parse).await, &[404])
    }

    /// Asks all healthy primaries at once (without any, all healthy fallbacks) and takes the best of what comes soon, else
    /// the first that comes. When all of them fail or are late, the others are asked.
    pub(super) async fn query_best<'a, T: Send + 'a, K: Ord>(
        &'a self,
        call: &'a Call,
        parse: &'a (impl Fn(Answer) -> Result<T, String> + Sync),
        rank: impl Fn(&T) -> K,
    ) -> Result<T, QueryError> {
        let order = self.by_standing();
        let standing = |endpoint: &Endpoint| (endpoint.is_healthy(), endpoint.is_fallback());
        let first = order.first().map(|endpoint| standing(endpoint));
        let (first, others): (Vec<_>, Vec<_>) = order
            .into_iter()
            .partition(|endpoint| Some(standing(endpoint)) == first);
        let second = Second {
            after: call.timeout / HEDGE,
            ask: Box::new(move || self.ask_group(others, call, parse)),
        };
        let first = self.ask_group(first, call, parse);
        let rank = |(_, value): &(_, T)| rank(value);
        let won = race::run(first, Some(second), call.timeout / BETTER, rank)
            .await
            .map_err(|failures| QueryError { failures })?;
        let (endpoint, value) = won.answer;
        self.note_answer_of(endpoint);
        Ok(value)
    }

    fn ask_group<'a, T: Send + 'a>(
        &'a self,
        group: Vec<&'a Arc<Endpoint>>,
        call: &'a Call,
        parse: &'a (impl Fn(Answer) -> Result<T, String> + Sync),
    ) -> Vec<Asked<'a, (&'a Endpoint, T), Failure>> {
        let ask = |endpoint: &'a Arc<Endpoint>| {
            let asked = self.ask(endpoint, call, parse);
            asked.map_ok(|value| (&**endpoint, value)).boxed()
        };
        group.into_iter().map(ask).collect()
    }

    async fn ask_either<T, E: Into<Reason>>(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        older: Option<&Call>,
        parse: impl Fn(Answer) -> Result<T, E>,
    ) -> Result<T, Failure> {
        match (self.ask(endpoint, call, &parse).await, older) {
            (Err(failure), Some(older)) if failure.reason.is_unknown_request() => {
                self.ask(endpoint, older, parse).await
            }
            (result, _) => result,
        }
    }

    /// Asks one endpoint.
    pub(super) async fn ask<T, E: Into<Reason>>(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        parse: impl FnOnce(Answer) -> Result<T, E>,
    ) -> Result<T, Failure> {
        endpoint
            .ask(&self.client, self.observer.as_deref(), call, parse)
            .await
            .map_err(|refusal| refusal.failure)
    }
}

/// `None` when an endpoint answered one of these statuses and no other had better to say.
pub(super) fn absent_if<T>(
    result: Result<T, QueryError>,
    statuses: &[u16],
) -> Result<Option<T>, QueryError> {
    let absent = |failure: &Failure| matches!(&failure.reason, Reason::Status { status, .. } if statuses.contains(status));
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.failures.iter().any(absent) => Ok(None),
        Err(error) => Err(error),
    }
}
