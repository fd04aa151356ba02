//! Lets the node count requests without this room knowing any metrics library.

use std::time::Duration;

/// One finished request to one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What was asked, as in the label of the `app_eth2_*` metrics: `attestation_data`, `submit_attestations`, …
    pub label: &'static str,
    /// The endpoint, without credentials.
    pub endpoint: &'a str,
    /// From sending to the last byte read and understood.
    pub latency: Duration,
    /// Whether a usable answer came.
    pub ok: bool,
}

/// Told of every request. Called on the asking task, so it must not block.
pub trait Observer: Send + Sync {
    /// A request has finished, well or not.
    fn request(&self, request: &Request<'_>);
}
