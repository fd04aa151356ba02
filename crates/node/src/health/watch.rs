//! Evaluates the checks of every cluster, at once and then every half minute.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use super::{Change, Facts, Sample, Severity};
use crate::chores::Cluster;
use crate::folder;

/// How often (spec 30 §8.5).
const EVERY: Duration = Duration::from_secs(30);

/// Watches one cluster. What changes is told in the log once.
pub(crate) async fn keep_watch(cluster: Arc<Cluster>) {
    loop {
        let parts = &cluster.parts;
        let sample = Sample {
            counts: parts.telemetry.counts(),
            connected: parts.network.connected().len(),
        };
        let changes = cluster.health.evaluate(sample, &facts(&cluster));
        parts.telemetry.health(&cluster.health.failing());
        changes.iter().for_each(|change| tell(&parts.hash, change));
        tokio::time::sleep(EVERY).await;
    }
}

fn facts(cluster: &Cluster) -> Facts {
    let parts = &cluster.parts;
    let endpoints = parts.beacon.endpoints();
    let healthy = |is_fallback: bool| {
        endpoints
            .iter()
            .any(|endpoint| endpoint.healthy && endpoint.is_fallback == is_fallback)
    };
    let now = parts.chain.epoch_at(parts.clock.now());
    Facts {
        has_beacon_node: healthy(false) || healthy(true),
        uses_fallback: !healthy(false) && healthy(true),
        on_other_chain: endpoints
            .iter()
            .filter(|endpoint| endpoint.other_chain)
            .map(|endpoint| endpoint.endpoint.clone())
            .collect(),
        quorum: flotilla_qbft::quorum(parts.codec.nodes()),
        builder_api: cluster.builder_api,
        database_failing: parts.database.status().failing,
        is_paused: folder::is_paused(&parts.data_folder),
        is_client_silent: cluster.is_client_silent.load(Ordering::Relaxed),
        unknown_fork: parts
            .chain
            .spec
            .forks
            .unknown_after()
            .map(|fork| (fork, now)),
        slot_seconds: parts.chain.spec.slot_duration.as_secs_f64(),
    }
}

fn tell(cluster: &str, change: &Change) {
    match change {
        Change::Fails(failing) => {
            let (check, problem, advice) = (failing.name, &failing.problem, failing.advice);
            match failing.severity {
                Severity::Info => info!(cluster, check, problem, advice, "health check"),
                Severity::Critical | Severity::Warning => {
                    warn!(cluster, check, problem, advice, "health check fails");
                }
            }
        }
        Change::Well(check) => info!(cluster, check, "health check is well again"),
    }
}
