//! The HTTP client for what runs on this machine.

use reqwest::Client;

/// A client without proxies and without a limit on the whole time of a request; requests set their own.
pub(crate) fn client() -> Client {
    // Only the first call in a process installs it; every later one finds it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .build()
        .expect("a client without TLS settings can always be built")
}
