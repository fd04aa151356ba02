//! A server under test, with everything around it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use flotilla_beacon::{
    client::{BeaconNode, Forwarder, Timeouts},
    server::{Activity, Config, Limits, Observer, Served, Server, Tls},
};
use flotilla_types::{Chain, ChainSpec, Epoch, ForkVersion, Root, Timestamp};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tokio::task::AbortHandle;

use super::memory::Memory;
use crate::upstream::{self, Reply};

/// The first epoch of Electra, and of Fulu; all forks before begin at once.
pub(crate) const ELECTRA_EPOCH: u64 = 10;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What an observer was told.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) endpoint: &'static str,
    pub(crate) path: Option<String>,
    pub(crate) status: u16,
    pub(crate) user_agent: Option<String>,
}

#[derive(Default)]
pub(crate) struct Seen {
    told: Mutex<Vec<Told>>,
    pub(crate) changed: tokio::sync::Notify,
    pub(crate) refused: Mutex<usize>,
}

impl Seen {
    /// What it is told of the first request to an endpoint, now or later.
    pub(crate) async fn of(&self, endpoint: &str) -> Told {
        loop {
            let changed = self.changed.notified();
            let told = self.told.lock().unwrap().clone();
            if let Some(told) = told.into_iter().find(|told| told.endpoint == endpoint) {
                return told;
            }
            tokio::time::timeout(PATIENCE, changed).await.unwrap();
        }
    }
}

impl Observer for Seen {
    fn served(&self, request: &Served<'_>) {
        self.told.lock().unwrap().push(Told {
            endpoint: request.endpoint,
            path: request.path.map(str::to_owned),
            status: request.status.as_u16(),
            user_agent: request.user_agent.map(str::to_owned),
        });
        self.changed.notify_one();
    }

    fn connection_refused(&self) {
        *self.refused.lock().unwrap() += 1;
        self.changed.notify_one();
    }
}

pub(crate) fn chain() -> Chain {
    let spec = ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0; 4]));
    let mut config = spec.to_config();
    for fork in ["ELECTRA", "FULU"] {
        config.insert(
            format!("{fork}_FORK_EPOCH"),
            Epoch(ELECTRA_EPOCH).to_string(),
        );
    }
    Chain {
        spec: ChainSpec::from_config(&config).unwrap(),
        genesis_time: Timestamp::from_secs(1000),
        genesis_validators_root: Root([1; 32]),
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        deadline: PATIENCE,
        header: PATIENCE,
        handshake: PATIENCE,
        ..Limits::default()
    }
}

pub(crate) struct Setup {
    pub(crate) address: SocketAddr,
    pub(crate) api: Arc<Memory>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) activity: Activity,
    pub(crate) client: Client,
    pub(crate) upstreams: Vec<upstream::Server>,
    task: AbortHandle,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::bounded(limits()).await
    }

    pub(crate) async fn bounded(limits: Limits) -> Self {
        let upstream = upstream::Server::always(Reply::json(404, "nothing here")).await;
        Self::before(vec![upstream], limits, None).await
    }

    pub(crate) async fn before(
        upstreams: Vec<upstream::Server>,
        limits: Limits,
        tls: Option<Tls>,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let urls: Vec<_> = upstreams.iter().map(upstream::Server::url).collect();
        let timeouts = Timeouts {
            connect: PATIENCE,
            ..Timeouts::default()
        };
        let forwarder = Forwarder::new(BeaconNode::new(urls, timeouts).unwrap(), PATIENCE);
        let config = Config {
            address: "127.0.0.1:0".parse().unwrap(),
            tls,
            version: "flotilla/charon/v0.1.0-abcdef0/amd64-linux".to_owned(),
            chain: Arc::new(chain()),
            limits,
        };
        let (api, seen) = (Arc::new(Memory::new()), Arc::new(Seen::default()));
        let server = Server::bind(config, api.clone(), forwarder, seen.clone());
        let server = server.await.unwrap();
        let (address, activity) = (server.address(), server.activity());
        let task = tokio::spawn(server.run(std::future::pending()));
        Self {
            address,
            api,
            seen,
            activity,
            client: Client::builder().no_proxy().build().unwrap(),
            upstreams,
            task: task.abort_handle(),
        }
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("http://{}{path}", self.address))
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address))
    }

    /// A question that is answered with JSON.
    pub(crate) async fn json(&self, path: &str) -> Value {
        ok(self.get(path)).await
    }
}

/// The JSON of a success.
pub(crate) async fn ok(request: RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/json");
    response.json().await.unwrap()
}

/// An error, checked to be one in the API's form.
pub(crate) async fn error(request: RequestBuilder) -> (u16, String, Value) {
    refused(request.send().await.unwrap()).await
}

pub(crate) async fn refused(response: Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["code"], status, "{body}");
    let message = body["message"].as_str().unwrap().to_owned();
    (status, message, body["failures"].clone())
}
