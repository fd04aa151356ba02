//! What is seen of validator clients at the API server.

use std::sync::Arc;

use flotilla_beacon::server::{Observer, Served};

use super::ClusterTelemetry;

/// Counts a cluster's requests of validator clients; to be handed to its API server.
pub struct ApiObserver(ClusterTelemetry);

impl ClusterTelemetry {
    /// What the cluster's API server tells its requests to.
    pub fn api_observer(&self) -> Arc<ApiObserver> {
        Arc::new(ApiObserver(self.clone()))
    }
}

impl Observer for ApiObserver {
    fn served(&self, request: &Served<'_>) {
        let (telemetry, metrics) = (&self.0, &self.0.metrics);
        let endpoint = ("endpoint", request.endpoint);
        let content_type = media_type(request.content_type);
        metrics
            .api_requests
            .get_or_create(&telemetry.labels([endpoint, ("content_type", content_type)]))
            .inc();
        if request.status.is_client_error() || request.status.is_server_error() {
            let labels = telemetry.labels([endpoint, ("status_code", request.status.as_str())]);
            metrics.api_errors.get_or_create(&labels).inc();
        }
        let seconds = request.latency.as_secs_f64();
        // A stream of events lasts as long as the client likes.
        if request.endpoint != "events" {
            metrics
                .api_latency
                .get_or_create(&telemetry.labels([endpoint]))
                .observe(seconds);
        }
        if let Some(path) = request
            .path
            .filter(|path| telemetry.seen().takes_path(path))
        {
            metrics
                .api_proxy_latency
                .get_or_create(&telemetry.labels([("path", path)]))
                .observe(seconds);
        }
        if let Some(agent) = request.user_agent {
            metrics.api_user_agent.replace(
                telemetry.labels([]),
                telemetry.labels([("user_agent", agent)]),
            );
        }
    }

    fn connection_refused(&self) {
        let labels = self.0.labels([]);
        self.0.metrics.api_refused.get_or_create(&labels).inc();
    }
}

/// The types that answers have; whatever else a beacon node behind us invents is one series.
fn media_type(content_type: Option<&str>) -> &'static str {
    const KNOWN: [&str; 4] = [
        "application/json",
        "application/octet-stream",
        "text/event-stream",
        "text/plain",
    ];
    match content_type {
        None => "none",
        Some(text) => {
            let plain = text.split(';').next().unwrap_or_default().trim();
            let known = KNOWN
                .into_iter()
                .find(|known| plain.eq_ignore_ascii_case(known));
            known.unwrap_or("other")
        }
    }
}
