//! One endpoint: its address and how well it stands.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flotilla_types::{Root, Slot};
use reqwest::header::HeaderMap;

use super::{answers::Syncing, config::EndpointConfig, error::ConfigError};

/// Stands for a number nobody has told yet.
const UNKNOWN: u64 = u64::MAX;

fn known(number: &AtomicU64) -> Option<u64> {
    Some(number.load(Ordering::Relaxed)).filter(|&number| number != UNKNOWN)
}

/// How well an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// The address, without credentials.
    pub endpoint: String,
    /// `false` after a failure that speaks against the endpoint, until it answers again, and while it is not in sync.
    pub healthy: bool,
    /// Whether it is asked only when the others fail, are unhealthy or slow.
    pub is_fallback: bool,
    /// Its head as [`BeaconNode::syncing`](super::BeaconNode::syncing) last saw it.
    pub head_slot: Option<Slot>,
    /// How many slots it then was behind the clock.
    pub sync_distance: Option<u64>,
    /// Whether it serves another chain, so that it is neither asked nor told anything.
    pub other_chain: bool,
}

/// One configured address.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// With credentials, without a trailing slash.
    base: String,
    /// Without credentials.
    label: String,
    is_https: bool,
    headers: HeaderMap,
    is_fallback: bool,
    /// Its last answer was one, of any kind.
    answers: AtomicBool,
    /// It is in sync, as far as it was asked.
    ready: AtomicBool,
    /// It was found to serve our chain, and has not failed since.
    own_chain: AtomicBool,
    /// It was found to serve another chain.
    other_chain: AtomicBool,
    /// Where its head was when last asked; [`UNKNOWN`] before.
    head_slot: AtomicU64,
    /// How far that was behind the clock.
    sync_distance: AtomicU64,
}

impl Endpoint {
    pub(super) fn new(config: &EndpointConfig) -> Result<Self, ConfigError> {
        let url = &config.url;
        let mut shown = url.clone();
        // Both fail only for addresses without a host, which are refused below.
        let _ = shown
            .set_username("")
            .and_then(|()| shown.set_password(None));
        shown.set_query(None);
        shown.set_fragment(None);
        let label = shown.as_str().trim_end_matches('/').to_owned();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(ConfigError::NotHttp { endpoint: label });
        }
        let mut base = url.clone();
        base.set_query(None);
        base.set_fragment(None);
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self {
            base,
            label,
            is_https: url.scheme() == "https",
            headers: config.header_map()?,
            is_fallback: config.is_fallback,
            answers: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            own_chain: AtomicBool::new(false),
            other_chain: AtomicBool::new(false),
            head_slot: AtomicU64::new(UNKNOWN),
            sync_distance: AtomicU64::new(UNKNOWN),
        })
    }

    /// The address with credentials, without a trailing slash.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What every request to it carries.
    pub(super) const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether it is worth asking before others.
    pub(super) fn is_healthy(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
            && self.ready.load(Ordering::Relaxed)
            && !self.is_of_other_chain()
    }

    pub(super) const fn is_fallback(&self) -> bool {
        self.is_fallback
    }

    /// Its head when last asked.
    pub(super) fn head_slot(&self) -> Option<Slot> {
        known(&self.head_slot).map(Slot)
    }

    /// How many slots it is behind the clock or behind `best`, the most advanced head of all; 0 before it was asked.
    pub(super) fn lag(&self, best: Option<Slot>) -> u64 {
        let behind_best = match (self.head_slot(), best) {
            (Some(head), Some(best)) => best.0.saturating_sub(head.0),
            _ => 0,
        };
        behind_best.max(known(&self.sync_distance).unwrap_or_default())
    }

    pub(super) fn is_of_other_chain(&self) -> bool {
        self.other_chain.load(Ordering::Relaxed)
    }

    /// Whether its chain is not known, or not any more: what fails may come back as something else.
    pub(super) fn needs_chain_check(&self) -> bool {
        !self.own_chain.load(Ordering::Relaxed)
    }

    /// Notes which chain it serves; another one is worth a line in the log.
    pub(super) fn set_chain(&self, expected: Root, found: Root) {
        let own = expected == found;
        self.own_chain.store(own, Ordering::Relaxed);
        match (self.other_chain.swap(!own, Ordering::Relaxed), !own) {
            (false, true) => tracing::error!(
                endpoint = self.label,
                %expected,
                %found,
                "beacon node serves another chain, it is not used"
            ),
            (true, false) => tracing::info!(endpoint = self.label, "beacon node serves our chain"),
            _ => {}
        }
    }

    /// Notes an answer or a failure; a change is worth a line in the log.
    pub(super) fn set_answers(&self, answers: bool) {
        if !answers {
            self.own_chain.store(false, Ordering::Relaxed);
        }
        match (self.answers.swap(answers, Ordering::Relaxed), answers) {
            (false, true) => tracing::info!(endpoint = self.label, "beacon node answers again"),
            (true, false) => tracing::warn!(
                endpoint = self.label,
                "beacon node fails, others are asked first"
            ),
            _ => {}
        }
    }

    /// Notes what the endpoint said about its state; a change is worth a line in the log.
    pub(super) fn set_syncing(&self, state: &Syncing) {
        self.head_slot.store(state.head_slot.0, Ordering::Relaxed);
        self.sync_distance
            .store(state.sync_distance.0, Ordering::Relaxed);
        let ready = state.is_ready();
        match (self.ready.swap(ready, Ordering::Relaxed), ready) {
            (false, true) => tracing::info!(endpoint = self.label, "beacon node is in sync"),
            (true, false) => tracing::warn!(
                endpoint = self.label,
                "beacon node is not in sync, others are asked first"
            ),
            _ => {}
        }
    }

    pub(super) fn status(&self) -> EndpointStatus {
        EndpointStatus {
            endpoint: self.label.clone(),
            healthy: self.is_healthy(),
            is_fallback: self.is_fallback,
            head_slot: self.head_slot(),
            sync_distance: known(&self.sync_distance),
            other_chain: self.is_of_other_chain(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_queries_are_never_shown() {
        let url = "https://user:secret@host:8443/key/?token=1";
        let endpoint = Endpoint::new(&EndpointConfig::primary(url.parse().unwrap())).unwrap();
        assert_eq!(endpoint.label(), "https://host:8443/key");
        assert_eq!(endpoint.base, "https://user:secret@host:8443/key");
    }

    #[test]
    fn only_http_addresses_are_endpoints() {
        for text in ["ftp://host", "unix:/socket", "data:text/plain,x"] {
            let error = Endpoint::new(&EndpointConfig::primary(text.parse().unwrap())).unwrap_err();
            assert!(matches!(error, ConfigError::NotHttp { .. }), "{text}");
        }
    }

    #[test]
    fn an_endpoint_lags_behind_its_clock_or_behind_the_best_of_all() {
        let endpoint =
            Endpoint::new(&EndpointConfig::primary("http://host".parse().unwrap())).unwrap();
        assert_eq!(
            (endpoint.lag(Some(Slot(9))), endpoint.head_slot()),
            (0, None)
        );
        endpoint.set_syncing(&Syncing {
            head_slot: Slot(7),
            sync_distance: Slot(1),
            is_syncing: false,
            is_optimistic: false,
            el_offline: false,
        });
        assert_eq!((endpoint.lag(None), endpoint.lag(Some(Slot(9)))), (1, 2));
        assert!(endpoint.is_healthy());
    }
}
