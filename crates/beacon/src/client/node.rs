//! The logical beacon node: its endpoints, and how it is set up. What it can be asked is in the files beside.

use std::sync::{Arc, atomic::AtomicBool};

use bytes::Bytes;
use flotilla_types::Chain;
use reqwest::{Client, Method, Url};

use super::{
    config::{EndpointConfig, Timeouts},
    endpoint::{Endpoint, EndpointStatus},
    error::ConfigError,
    events::{self, Events, Topic},
    exchange::{Accept, Body, Call},
    observer::Observer,
    tls,
};

/// One logical beacon node behind one or more endpoints. Cheap to clone.
///
/// A question goes to the best-placed endpoint: a healthy one, primaries before fallbacks, the one whose head is the most
/// advanced, then in the given order. It goes to the next when that one fails, and beside it when it has not answered
/// within a quarter of its time. An endpoint is unhealthy when it is not reached, too slow, broken, or answers 5xx, until
/// its next good answer; and when it says that it is not in sync, until it says that it is. Since a healthy second endpoint
/// keeps an unhealthy first one from being asked, call [`BeaconNode::syncing`] regularly, such as once a slot: it asks all.
#[derive(Clone)]
pub struct BeaconNode {
    pub(super) endpoints: Arc<[Arc<Endpoint>]>,
    pub(super) client: Client,
    pub(super) timeouts: Timeouts,
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// Which chain all should serve; `None` while it is not known.
    pub(super) chain: Option<Arc<Chain>>,
    /// Who gave the last answer.
    pub(super) using_fallback: Arc<AtomicBool>,
}

impl BeaconNode {
    /// A client of these addresses, all of them primaries without headers.
    ///
    /// For https endpoints `main` must have installed a TLS provider (`rustls::crypto::CryptoProvider::install_default`);
    /// plain http needs none.
    ///
    /// # Errors
    /// [`ConfigError`] without endpoints, for addresses that are not http, or https ones without a TLS provider.
    pub fn new(endpoints: Vec<Url>, timeouts: Timeouts) -> Result<Self, ConfigError> {
        Self::with_headers(endpoints, timeouts, &[])
    }

    /// A client of primaries that adds the same headers to every request.
    ///
    /// # Errors
    /// As [`BeaconNode::new`], and [`ConfigError::Header`].
    pub fn with_headers(
        endpoints: Vec<Url>,
        timeouts: Timeouts,
        headers: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let configs: Vec<_> = endpoints
            .into_iter()
            .map(|url| EndpointConfig {
                headers: headers.to_vec(),
                ..EndpointConfig::primary(url)
            })
            .collect();
        Self::with_endpoints(&configs, timeouts)
    }

    /// A client of primaries and fallbacks, each with its own headers.
    ///
    /// # Errors
    /// As [`BeaconNode::with_headers`].
    pub fn with_endpoints(
        endpoints: &[EndpointConfig],
        timeouts: Timeouts,
    ) -> Result<Self, ConfigError> {
        if endpoints.is_empty() {
            return Err(ConfigError::NoEndpoint);
        }
        let endpoints: Arc<[_]> = endpoints
            .iter()
            .map(|config| Endpoint::new(config).map(Arc::new))
            .collect::<Result<_, _>>()?;
        let client = tls::client(&endpoints, timeouts.connect)?;
        Ok(Self {
            endpoints,
            client,
            timeouts,
            observer: None,
            chain: None,
            using_fallback: Arc::default(),
        })
    }

    /// The same endpoints, health included, with other timeouts: those of the chain, once its slot is known.
    ///
    /// # Errors
    /// [`ConfigError`] as [`BeaconNode::new`].
    pub fn with_timeouts(self, timeouts: Timeouts) -> Result<Self, ConfigError> {
        let client = tls::client(&self.endpoints, timeouts.connect)?;
        Ok(Self {
            client,
            timeouts,
            ..self
        })
    }

    /// From now on [`BeaconNode::syncing`] also checks that endpoints serve this chain, by its genesis validators root. One
    /// that serves another is neither asked nor told anything until it serves this one. And an epoch's duties must lie in
    /// its slots.
    pub fn with_chain(mut self, chain: Arc<Chain>) -> Self {
        self.chain = Some(chain);
        self
    }

    /// Tells an observer of every request from now on.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// How well each endpoint stands as last seen, in configured order.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        self.endpoints
            .iter()
            .map(|endpoint| endpoint.status())
            .collect()
    }

    /// The events of all endpoints in one stream without end, so that one silent endpoint hides nothing; consumers see an
    /// event once per endpoint. Broken streams are opened again, with a growing pause. Dropping the stream closes all.
    pub fn events(&self, topics: &[Topic]) -> Events {
        events::open(&self.endpoints, &self.client, &self.timeouts, topics)
    }

    /// A question in JSON.
    pub(super) fn get(&self, label: &'static str, path: &str, limit: usize) -> Call {
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

    /// A question with a body of JSON.
    pub(super) fn post(&self, label: &'static str, path: &str, body: String, limit: usize) -> Call {
        Call {
            method: Method::POST,
            body: Some(Body::Json(Bytes::from(body))),
            ..self.get(label, path, limit)
        }
    }
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
    fn at_least_one_endpoint_is_needed() {
        assert!(matches!(
            BeaconNode::new(vec![], Timeouts::default()),
            Err(ConfigError::NoEndpoint)
        ));
    }
}
