//! Results of the health checks.

use std::collections::BTreeSet;

use super::ClusterTelemetry;
use super::families::flag;
use crate::health::{CHECKS, Failing};

impl ClusterTelemetry {
    /// The checks have been evaluated; `failing` are those that fail.
    pub fn health(&self, failing: &[Failing]) {
        let failing: BTreeSet<&str> = failing.iter().map(|failing| failing.name).collect();
        for check in CHECKS {
            let labels = self.labels([
                ("severity", check.severity.label()),
                ("name", check.name),
                ("description", check.description),
            ]);
            let fails = failing.contains(check.name);
            flag(&self.metrics.health_checks, &labels, fails);
            self.metrics
                .health_failed
                .get_or_create(&labels)
                .inc_by(u64::from(fails));
        }
    }
}
