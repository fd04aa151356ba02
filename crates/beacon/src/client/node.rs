//! The logical beacon node: every question this project asks.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flotilla_types::{
    AttestationData, ChainSpec, CommitteeIndex, Epoch, Fork, PublicKeyBytes, Slot, ValidatorIndex,
};
use futures::future::join_all;
use reqwest::{
    Client, Method, Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use serde::Serialize;

use super::{
    answers::{self, AttesterDuties, Genesis, Syncing, Validator},
    endpoint::{Accept, Answer, Call, Endpoint, EndpointStatus},
    error::{ConfigError, Failure, QueryError, Reason},
    events::{self, Events, Topic},
    observer::Observer,
    submission::{self, AttestationBatch, ProposerPreparation, SubmitError},
    tls,
};

/// Most bytes of answers with a fixed number of fields.
const SMALL: usize = 64 << 10;
/// Most bytes of `config/spec`.
const SPEC: usize = 1 << 20;
/// Most bytes per asked item, about three times what nodes send.
const PER_ITEM: usize = 2 << 10;
/// How many keys fit into the address of one GET.
const KEYS_PER_GET: usize = 64;

/// How long to wait for what. Each request has its whole time from connecting to the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer.
    pub query: Duration,
    /// For taking a submission.
    pub submit: Duration,
    /// Without any byte of an event stream, after which it is opened anew.
    pub events_idle: Duration,
    /// Before an event stream is first opened again; doubles up to thirty times itself.
    pub events_reconnect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            query: Duration::from_secs(2),
            submit: Duration::from_secs(2),
            events_idle: Duration::from_secs(60),
            events_reconnect: Duration::from_secs(1),
        }
    }
}

/// One logical beacon node behind one or more endpoints. Cheap to clone.
///
/// Endpoints are asked in the given order, healthy ones first. An endpoint is unhealthy when it is not reached, too slow,
/// broken, or answers 5xx, until its next good answer; and when it says that it is not in sync, until it says that it is.
/// Since a healthy second endpoint keeps an unhealthy first one from being asked, call [`BeaconNode::syncing`] regularly,
/// such as once a slot: it asks all.
#[derive(Clone)]
pub struct BeaconNode {
    endpoints: Arc<[Arc<Endpoint>]>,
    client: Client,
    timeouts: Timeouts,
    observer: Option<Arc<dyn Observer>>,
}

impl BeaconNode {
    /// A client of these endpoints.
    ///
    /// For https endpoints `main` must have installed a TLS provider (`rustls::crypto::CryptoProvider::install_default`);
    /// plain http needs none.
    ///
    /// # Errors
    /// [`ConfigError`] without endpoints, for addresses that are not http, or https ones without a TLS provider.
    pub fn new(endpoints: Vec<Url>, timeouts: Timeouts) -> Result<Self, ConfigError> {
        Self::with_headers(endpoints, timeouts, &[])
    }

    /// A client that adds these headers to every request, such as a provider's access token.
    ///
    /// # Errors
    /// As [`BeaconNode::new`], and [`ConfigError::Header`].
    pub fn with_headers(
        endpoints: Vec<Url>,
        timeouts: Timeouts,
        headers: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        if endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        let endpoints: Arc<[_]> = endpoints
            .iter()
            .map(|url| Endpoint::new(url).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let client = tls::client(&endpoints, timeouts.connect, header_map(headers)?)?;
        Ok(Self {
            endpoints,
            client,
            timeouts,
            observer: None,
        })
    }

    /// Tells an observer of every request from now on.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Each endpoint's health as last seen, in configured order.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.status())
            .collect()
    }

    /// The chain's configuration (`GET /eth/v1/config/spec`).
    ///
    /// # Errors
    /// [`QueryError`]; its text names a key that is missing or wrong.
    pub async fn spec(&self) -> Result<ChainSpec, QueryError> {
        self.query(
            &self.get("spec", "/eth/v1/config/spec", SPEC),
            answers::spec,
        )
        .await
    }

    /// The beginning of the chain (`GET /eth/v1/beacon/genesis`).
    ///
    /// # Errors
    /// [`QueryError`]; nodes answer 404 while genesis is not known.
    pub async fn genesis(&self) -> Result<Genesis, QueryError> {
        self.query(
            &self.get("genesis", "/eth/v1/beacon/genesis", SMALL),
            answers::plain,
        )
        .await
    }

    /// The beginning of the chain as each endpoint has it, in configured order, so that an endpoint of another chain is
    /// found before it is needed.
    pub async fn genesis_by_endpoint(&self) -> Vec<(String, Result<Genesis, Failure>)> {
        let call = self.get("genesis", "/eth/v1/beacon/genesis", SMALL);
        let asked = self.endpoints.iter().map(|endpoint| async {
            (
                endpoint.label().to_owned(),
                self.ask(endpoint, &call, answers::plain).await,
            )
        });
        join_all(asked).await
    }

    /// Name and version of the node (`GET /eth/v1/node/version`), at most 128 printable characters.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn version(&self) -> Result<String, QueryError> {
        self.query(
            &self.get("node_version", "/eth/v1/node/version", SMALL),
            answers::version,
        )
        .await
    }

    /// How many peers the node has (`GET /eth/v1/node/peer_count`).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn peer_count(&self) -> Result<u64, QueryError> {
        self.query(
            &self.get("node_peer_count", "/eth/v1/node/peer_count", SMALL),
            answers::connected_peers,
        )
        .await
    }

    /// How far the node is (`GET /eth/v1/node/syncing`). Asks all endpoints at once and renews their health: one that is
    /// syncing, optimistic or without its execution client is asked last. Returns the state of the first that is ready,
    /// else of the first that answered.
    ///
    /// # Errors
    /// [`QueryError`] when none answered.
    pub async fn syncing(&self) -> Result<Syncing, QueryError> {
        let call = self.get("node_syncing", "/eth/v1/node/syncing", SMALL);
        let asked = self.endpoints.iter().map(|endpoint| async {
            let state = self.ask(endpoint, &call, answers::plain::<Syncing>).await?;
            endpoint.set_ready(state.is_ready());
            Ok::<_, Failure>(state)
        });
        let (mut states, mut failures) = (Vec::new(), Vec::new());
        for result in join_all(asked).await {
            match result {
                Ok(state) => states.push(state),
                Err(failure) => failures.push(failure),
            }
        }
        let best = states
            .iter()
            .find(|state| state.is_ready())
            .or(states.first());
        best.copied().ok_or(QueryError { failures })
    }

    /// The state's validators with these keys, in the node's order; keys it does not know are left out
    /// (`POST /eth/v1/beacon/states/head/validators`, and GET where a node lacks that).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn validators(&self, keys: &[PublicKeyBytes]) -> Result<Vec<Validator>, QueryError> {
        // Without keys a node would answer with its whole state.
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let body = serde_json::json!({ "ids": keys, "statuses": [] });
        let call = self.post(
            "validators",
            "/eth/v1/beacon/states/head/validators",
            body.to_string(),
            SMALL + PER_ITEM * keys.len(),
        );
        match self
            .query(&call, |answer| answers::validators(answer, keys))
            .await
        {
            Err(error) if lacks_post(&error) => self.validators_by_get(keys).await,
            result => result,
        }
    }

    async fn validators_by_get(
        &self,
        keys: &[PublicKeyBytes],
    ) -> Result<Vec<Validator>, QueryError> {
        let mut validators = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_PER_GET) {
            let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let path = format!("/eth/v1/beacon/states/head/validators?id={}", ids.join(","));
            let call = self.get("validators", &path, SMALL + PER_ITEM * keys.len());
            validators.extend(
                self.query(&call, |answer| answers::validators(answer, keys))
                    .await?,
            );
        }
        Ok(validators)
    }

    /// The attester duties of these validators in an epoch, at most one ahead
    /// (`POST /eth/v1/validator/duties/attester/{epoch}`). Duties of others make an answer unusable.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn attester_duties(
        &self,
        epoch: Epoch,
        validators: &[ValidatorIndex],
    ) -> Result<AttesterDuties, QueryError> {
        let path = format!("/eth/v1/validator/duties/attester/{epoch}");
        let body = serde_json::json!(validators).to_string();
        let call = self.post(
            "attester_duties",
            &path,
            body,
            SMALL + PER_ITEM * validators.len(),
        );
        self.query(&call, |answer| answers::attester_duties(answer, validators))
            .await
    }

    /// What to attest in a slot (`GET /eth/v1/validator/attestation_data`), in SSZ where the node has it. The slot of the
    /// answer is checked; whether its checkpoints make sense is for the caller to judge.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn attestation_data(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
    ) -> Result<AttestationData, QueryError> {
        let mut call = self.get(
            "attestation_data",
            &answers::attestation_data_path(slot, committee),
            SMALL,
        );
        call.accept = Accept::SszOrJson;
        self.query(&call, |answer| answers::attestation_data(answer, slot))
            .await
    }

    /// Submits attestations of one fork to all endpoints at once (`POST /eth/v2/beacon/pool/attestations`). Returns when
    /// every attestation was accepted by some endpoint; requests to slower endpoints go on in the background, each within
    /// its timeout. An attestation that a node knows already counts as accepted.
    ///
    /// # Errors
    /// [`SubmitError`] with the positions that no endpoint accepted.
    pub async fn submit_attestations(
        &self,
        fork: Fork,
        attestations: impl Into<AttestationBatch<'_>>,
    ) -> Result<(), SubmitError> {
        let batch = attestations.into();
        if batch.is_empty() {
            return Ok(());
        }
        let mut call = self.post(
            "submit_attestations",
            "/eth/v2/beacon/pool/attestations",
            batch.to_json(),
            SMALL,
        );
        (call.fork, call.timeout) = (Some(fork), self.timeouts.submit);
        submission::submit(
            &self.endpoints,
            &self.client,
            self.observer.as_ref(),
            Arc::new(call),
            batch.len(),
        )
        .await
    }

    /// Tells all endpoints who receives the fees of these validators' blocks
    /// (`POST /eth/v1/validator/prepare_beacon_proposer`). They forget it after some epochs.
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn prepare_proposers(
        &self,
        preparations: &[ProposerPreparation],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/prepare_beacon_proposer";
        self.tell("submit_proposal_preparations", path, preparations)
            .await
    }

    /// Hands signed builder registrations to all endpoints (`POST /eth/v1/validator/register_validator`); each is the JSON of a
    /// `SignedValidatorRegistration`.
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted them.
    pub async fn register_validators(
        &self,
        registrations: &[impl Serialize],
    ) -> Result<(), SubmitError> {
        let path = "/eth/v1/validator/register_validator";
        self.tell("submit_validator_registrations", path, registrations)
            .await
    }

    /// A list that is taken as a whole.
    async fn tell(
        &self,
        label: &'static str,
        path: &str,
        list: &[impl Serialize],
    ) -> Result<(), SubmitError> {
        if list.is_empty() {
            return Ok(());
        }
        let body = serde_json::to_string(list).expect("items have text keys and plain values");
        let mut call = self.post(label, path, body, SMALL);
        call.timeout = self.timeouts.submit;
        submission::submit(
            &self.endpoints,
            &self.client,
            self.observer.as_ref(),
            Arc::new(call),
            1,
        )
        .await
    }

    /// Submits a signed voluntary exit, as JSON, to all endpoints at once (`POST /eth/v1/beacon/pool/voluntary_exits`).
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn submit_voluntary_exit(&self, exit: String) -> Result<(), SubmitError> {
        let path = "/eth/v1/beacon/pool/voluntary_exits";
        let mut call = self.post("submit_voluntary_exit", path, exit, SMALL);
        call.timeout = self.timeouts.submit;
        submission::submit(
            &self.endpoints,
            &self.client,
            self.observer.as_ref(),
            Arc::new(call),
            1,
        )
        .await
    }

    /// The events of all endpoints in one stream without end, so that one silent endpoint hides nothing; consumers see an
    /// event once per endpoint. Broken streams are opened again, with a growing pause. Dropping the stream closes all.
    pub fn events(&self, topics: &[Topic]) -> Events {
        events::open(&self.endpoints, &self.client, &self.timeouts, topics)
    }

    fn get(&self, label: &'static str, path: &str, limit: usize) -> Call {
        let (path, timeout) = (path.to_owned(), self.timeouts.query);
        Call {
            label,
            method: Method::GET,
            path,
            body: None,
            fork: None,
            accept: Accept::Json,
            limit,
            timeout,
        }
    }

    fn post(&self, label: &'static str, path: &str, body: String, limit: usize) -> Call {
        Call {
            method: Method::POST,
            body: Some(Bytes::from(body)),
            ..self.get(label, path, limit)
        }
    }

    /// Asks one endpoint after another, healthy ones first.
    async fn query<T>(
        &self,
        call: &Call,
        parse: impl Fn(Answer) -> Result<T, String>,
    ) -> Result<T, QueryError> {
        let mut order: Vec<&Arc<Endpoint>> = self.endpoints.iter().collect();
        order.sort_by_key(|endpoint| !endpoint.is_healthy());
        let mut failures = Vec::new();
        for endpoint in order {
            match self.ask(endpoint, call, &parse).await {
                Ok(value) => return Ok(value),
                Err(failure) => {
                    tracing::debug!(%failure, "beacon node gave no usable answer");
                    failures.push(failure);
                }
            }
        }
        Err(QueryError { failures })
    }

    async fn ask<T>(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        parse: impl FnOnce(Answer) -> Result<T, String>,
    ) -> Result<T, Failure> {
        endpoint
            .ask(&self.client, self.observer.as_deref(), call, parse)
            .await
            .map_err(|refusal| refusal.failure)
    }
}

/// Whether every endpoint answered that it does not know this request.
fn lacks_post(error: &QueryError) -> bool {
    let lacks = |failure: &Failure| {
        matches!(
            failure.reason,
            Reason::Status {
                status: 404 | 405 | 415 | 501,
                ..
            }
        )
    };
    error.failures.iter().all(lacks)
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, ConfigError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let error = || ConfigError::Header { name: name.clone() };
        let mut value = HeaderValue::from_str(value).map_err(|_| error())?;
        value.set_sensitive(true);
        map.insert(name.parse::<HeaderName>().map_err(|_| error())?, value);
    }
    Ok(map)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_no_tls_provider_and_https_says_so() {
        let new = |text: &str| BeaconNode::new(vec![text.parse().unwrap()], Timeouts::default());
        assert!(new("http://127.0.0.1:5052").is_ok());
        let error = new("https://user:secret@host").err().unwrap();
        assert!(
            matches!(&error, ConfigError::NoTlsProvider { endpoint } if endpoint == "https://host"),
            "{error}"
        );
    }

    #[test]
    fn no_endpoint_and_impossible_headers_are_refused() {
        assert!(matches!(
            BeaconNode::new(vec![], Timeouts::default()),
            Err(ConfigError::NoEndpoint)
        ));
        let endpoints = vec!["http://host".parse().unwrap()];
        let headers = [("x-token".to_owned(), "secret\n".to_owned())];
        let error = BeaconNode::with_headers(endpoints, Timeouts::default(), &headers)
            .err()
            .unwrap();
        assert_eq!(
            error.to_string(),
            "beacon node header \"x-token\": not a valid HTTP header"
        );
    }
}
