//! From a request to its answer: which endpoint it is for, whether there is room, and what became of it.

use std::{convert::Infallible, sync::Arc};

use flotilla_types::{Fork, Slot};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming};
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

use super::{
    activity::Activity,
    answer::{self, Answer, Data, json},
    api::ValidatorApi,
    blocks,
    config::Config,
    decided, duties,
    endpoint::Endpoint,
    keys::Roster,
    observer::Observer,
    path_label::path_label,
    problem::Problem,
    proxy,
    report::{AnyBody, Report, Reported},
    request::{Asked, is_large, read},
    selections, signing, validators,
};
use crate::client::Forwarder;

/// What all requests share.
pub(super) struct Context<A> {
    pub(super) api: Arc<A>,
    pub(super) config: Config,
    pub(super) forwarder: Forwarder,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) activity: Activity,
    places: Arc<Semaphore>,
    large_places: Arc<Semaphore>,
}

impl<A: ValidatorApi> Context<A> {
    pub(super) fn new(
        api: Arc<A>,
        config: Config,
        forwarder: Forwarder,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let (places, large) = (config.limits.requests, config.limits.large_bodies);
        Self {
            api,
            config,
            forwarder,
            observer,
            activity: Activity::default(),
            places: Arc::new(Semaphore::new(places)),
            large_places: Arc::new(Semaphore::new(large)),
        }
    }

    /// The validators' indices, as soon as they are known.
    pub(super) async fn roster(&self) -> Result<Arc<Roster>, Problem> {
        let wait = self.config.roster_wait();
        timeout(wait, self.api.roster()).await.map_err(|_| {
            Problem::unavailable(
                "the validators' indices are not known yet: the beacon node has not been able to tell them",
            )
        })
    }

    /// The chain's fork at a slot.
    pub(super) fn fork_of(&self, slot: Slot) -> Fork {
        self.config.chain.fork_at(self.config.chain.epoch_of(slot))
    }

    /// Answers a request, whatever it is.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Reported>, Infallible> {
        self.activity.note();
        let path = request.uri().path();
        let endpoint = Endpoint::of(request.method(), path);
        let is_events = proxy::is_events(request.method(), path);
        let (label, path) = match endpoint {
            Some(endpoint) => (endpoint.label(), None),
            None if is_events => ("events", None),
            None => ("proxy", Some(path_label(path))),
        };
        let mut report = Report::new(self.observer.clone(), label, path, request.headers());
        // Event streams live as long as their clients; connections bound them.
        let place = match is_events {
            true => Ok(None),
            false => place(&self.places).map(Some),
        };
        let (place, result) = match place {
            Ok(place) => (place, self.answer(endpoint, request).await),
            Err(problem) => (None, Err(problem)),
        };
        let response = result.unwrap_or_else(|problem| {
            log(label, &problem);
            whole(answer::problem(&problem))
        });
        report.answered(response.status());
        Ok(response.map(|body| Reported::new(body, report, place)))
    }

    async fn answer(
        &self,
        endpoint: Option<Endpoint>,
        request: Request<Incoming>,
    ) -> Result<Response<AnyBody>, Problem> {
        let _large = match is_large(request.headers()) {
            true => Some(place(&self.large_places)?),
            false => None,
        };
        let Some(endpoint) = endpoint else {
            return proxy::pass(self, request).await;
        };
        let own = self.own(endpoint, request);
        let answer = timeout(self.config.limits.deadline, own).await;
        answer
            .unwrap_or_else(|_| Err(Problem::cancelled()))
            .map(whole)
    }

    async fn own(&self, endpoint: Endpoint, request: Request<Incoming>) -> Result<Answer, Problem> {
        let received = Instant::now();
        let (parts, body) = request.into_parts();
        let limit = endpoint.body_limit(self.api.keys().len());
        let body = read(body, limit).await?;
        let asked = Asked {
            received,
            endpoint,
            parts,
            body,
        };
        self.route(&asked).await
    }

    async fn route(&self, asked: &Asked) -> Result<Answer, Problem> {
        match asked.endpoint {
            Endpoint::AttesterDuties => duties::attester(self, asked).await,
            Endpoint::ProposerDuties | Endpoint::ProposerDutiesV2 => {
                duties::proposer(self, asked).await
            }
            Endpoint::SyncDuties => duties::sync(self, asked).await,
            Endpoint::Validators => validators::list(self, asked).await,
            Endpoint::PostValidators => validators::post(self, asked).await,
            Endpoint::Validator => validators::one(self, asked).await,
            Endpoint::AttestationData => decided::attestation_data(self, asked).await,
            Endpoint::AggregateV2 => decided::aggregate(self, asked).await,
            Endpoint::Contribution => decided::contribution(self, asked).await,
            Endpoint::BlockV3 => blocks::produce(self, asked).await,
            Endpoint::SubmitBlock | Endpoint::SubmitBlockV2 => {
                blocks::submit(self, asked, false).await
            }
            Endpoint::SubmitBlinded | Endpoint::SubmitBlindedV2 => {
                blocks::submit(self, asked, true).await
            }
            Endpoint::AttestationsV2 => signing::attestations(self, asked).await,
            Endpoint::AggregatesV2 => signing::aggregates(self, asked).await,
            Endpoint::SyncMessages => signing::sync_messages(self, asked).await,
            Endpoint::Contributions => signing::contributions(self, asked).await,
            Endpoint::Exit => signing::exit(self, asked).await,
            Endpoint::BeaconSelections => selections::beacon(self, asked).await,
            Endpoint::SyncSelections => selections::sync(self, asked).await,
            // Both are the cluster's own business: what clients wish has no effect.
            Endpoint::Registrations | Endpoint::Preparations => Ok(answer::empty()),
            Endpoint::Version => self.version(),
            Endpoint::Attestations
            | Endpoint::Aggregate
            | Endpoint::Aggregates
            | Endpoint::BlockV2
            | Endpoint::BlindedBlock
            | Endpoint::TekuProposerConfig
            | Endpoint::ProposerConfig => Err(retired(asked.endpoint)),
        }
    }

    fn version(&self) -> Result<Answer, Problem> {
        #[derive(Serialize)]
        struct Version<'a> {
            version: &'a str,
        }
        let version = &self.config.version;
        json(&Data {
            data: Version { version },
        })
    }
}

/// An endpoint whose successor a client should use instead.
fn retired(endpoint: Endpoint) -> Problem {
    tracing::warn!(
        endpoint = endpoint.label(),
        "validator client asks an old endpoint that a distributed validator does not serve: update the client"
    );
    Problem::not_found()
}

fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = places.clone().try_acquire_owned();
    place.map_err(|_| Problem::unavailable("too many requests at a time"))
}

fn whole(answer: Answer) -> Response<AnyBody> {
    answer.map(|body| {
        Full::new(body)
            .map_err(|never| match never {})
            .boxed_unsync()
    })
}

fn log(endpoint: &str, problem: &Problem) {
    let (status, message) = (problem.status.as_u16(), &*problem.message);
    let detail = problem.detail.as_deref();
    let first = problem.failures.first().map(|failure| &*failure.message);
    if problem.status.is_server_error() || first.is_some() {
        tracing::warn!(
            endpoint,
            status,
            message,
            detail,
            first,
            "validator API request failed"
        );
    } else {
        tracing::debug!(
            endpoint,
            status,
            message,
            detail,
            "validator API request refused"
        );
    }
}
