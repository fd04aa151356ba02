//! Sets up the HTTP client so that plain http needs nothing and https uses what the process has installed.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder, redirect};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

use super::{endpoint::Endpoint, error::ConfigError};

/// The client for all endpoints.
pub(super) fn client(
    endpoints: &[Arc<Endpoint>],
    connect: Duration,
) -> Result<Client, ConfigError> {
    let builder = Client::builder()
        .connect_timeout(connect)
        .user_agent(concat!("flotilla/", env!("CARGO_PKG_VERSION")))
        // A redirect would turn a submission into a question; whoever moved should be configured.
        .redirect(redirect::Policy::none());
    let builder = match endpoints.iter().find(|endpoint| endpoint.is_https()) {
        Some(endpoint) if CryptoProvider::get_default().is_none() => {
            return Err(ConfigError::NoTlsProvider {
                endpoint: endpoint.label().to_owned(),
            });
        }
        Some(_) => builder,
        None => without_tls(builder)?,
    };
    builder
        .build()
        .map_err(|error| ConfigError::Client(error.to_string()))
}

/// A client for http alone. It still holds a TLS configuration, here one that trusts nobody: it needs no provider of the
/// process and does not read the system's certificates.
fn without_tls(builder: ClientBuilder) -> Result<ClientBuilder, ConfigError> {
    let tls =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ConfigError::Client(error.to_string()))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
    Ok(builder.tls_backend_preconfigured(tls))
}
