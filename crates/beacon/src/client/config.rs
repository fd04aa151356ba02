//! What the operator sets: addresses with their headers, and how long to wait for what.

use std::{fmt, time::Duration};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};

use super::error::ConfigError;

/// One address of a beacon node.
#[derive(Clone, PartialEq, Eq)]
pub struct EndpointConfig {
    /// http or https; user and password in it are sent as basic authentication.
    pub url: Url,
    /// Sent with every request to this endpoint, such as a provider's access token.
    pub headers: Vec<(String, String)>,
    /// Whether it is asked only when the others fail, are unhealthy or slow. Submissions go to all.
    pub is_fallback: bool,
}

impl EndpointConfig {
    /// An endpoint that is asked first and needs no headers.
    pub const fn primary(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            is_fallback: false,
        }
    }

    /// An endpoint for when the others fail.
    pub const fn fallback(url: Url) -> Self {
        Self {
            url,
            headers: Vec::new(),
            is_fallback: true,
        }
    }

    /// The headers as HTTP has them; their values are never shown.
    pub(super) fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let error = || ConfigError::Header { name: name.clone() };
            let mut value = HeaderValue::from_str(value).map_err(|_| error())?;
            value.set_sensitive(true);
            map.insert(name.parse::<HeaderName>().map_err(|_| error())?, value);
        }
        Ok(map)
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("EndpointConfig")
            .field("host", &self.url.host_str())
            .field("headers", &names)
            .field("is_fallback", &self.is_fallback)
            .finish_non_exhaustive()
    }
}

/// How long to wait for what. Each request has its whole time from connecting to the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For an answer that a duty waits for. After a quarter of it the next endpoint is asked beside the first.
    pub query: Duration,
    /// For an answer that is wanted once an epoch: duties, validators, rewards.
    pub epoch_query: Duration,
    /// For taking a submission.
    pub submit: Duration,
    /// For taking a block, which a node checks and spreads before it answers.
    pub publish: Duration,
    /// Without any byte of an event stream, after which it is opened anew.
    pub events_idle: Duration,
    /// Before an event stream is first opened again; doubles up to thirty times itself.
    pub events_reconnect: Duration,
}

impl Timeouts {
    /// Those of a chain whose slots have this length: an answer may take a quarter of a slot, and another endpoint is asked
    /// beside it after a sixteenth; a submission may take half a slot, since what is given up may have been taken.
    pub fn for_slot(slot: Duration) -> Self {
        Self {
            connect: slot / 12,
            query: slot / 4,
            epoch_query: slot / 2,
            submit: slot / 2,
            publish: slot / 2,
            events_idle: slot.saturating_mul(5),
            events_reconnect: slot / 12,
        }
    }
}

impl Default for Timeouts {
    /// Those of mainnet, for the questions from which the slot's length is learnt.
    fn default() -> Self {
        Self::for_slot(Duration::from_secs(12))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_follow_the_slot() {
        let (long, short) = (
            Timeouts::default(),
            Timeouts::for_slot(Duration::from_secs(3)),
        );
        assert_eq!(long.query, Duration::from_secs(3));
        assert_eq!(short.query, Duration::from_millis(750));
        assert_eq!(short.submit, Duration::from_millis(1500));
        assert_eq!(long.connect, short.connect * 4);
    }

    #[test]
    fn a_configuration_never_shows_its_secrets() {
        let mut endpoint = EndpointConfig::primary("http://user:secret@host/key".parse().unwrap());
        endpoint.headers = vec![("x-token".into(), "secret".into())];
        let shown = format!("{endpoint:?}");
        assert!(
            shown.contains("x-token") && shown.contains("host"),
            "{shown}"
        );
        assert!(
            !shown.contains("secret") && !shown.contains("key"),
            "{shown}"
        );
    }

    #[test]
    fn impossible_headers_are_refused_by_name() {
        let mut endpoint = EndpointConfig::primary("http://host".parse().unwrap());
        endpoint.headers = vec![("x-token".into(), "secret\n".into())];
        assert_eq!(
            endpoint.header_map().unwrap_err().to_string(),
            "beacon node header \"x-token\": not a valid HTTP header"
        );
    }
}
