//! Warnings and errors in the log, counted. The log is the process's, so is the count.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tracing::{Level, Metadata};

/// Lines by severity and topic. Topics are names of modules, so that there are a few dozen.
static LINES: Mutex<BTreeMap<(Severity, &'static str), u64>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Severity {
    Error,
    Warning,
}

/// Counts a line of the log; to be called by the process's subscriber.
pub fn log_line(line: &Metadata<'static>) {
    let severity = match *line.level() {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warning,
        _ => return,
    };
    *lines().entry((severity, topic(line.target()))).or_insert(0) += 1;
}

/// The room that a line comes from; of the node itself, the module.
fn topic(target: &'static str) -> &'static str {
    let mut parts = target.split("::");
    let package = parts.next().unwrap_or(target);
    match package.strip_prefix("flotilla_") {
        Some("node") => parts.next().unwrap_or("node"),
        Some(room) => room,
        None => package,
    }
}

fn lines() -> MutexGuard<'static, BTreeMap<(Severity, &'static str), u64>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows the counts at each scrape.
#[derive(Debug)]
pub struct LogCollector;

impl Collector for LogCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counts = lines().clone();
        for (severity, name, help) in [
            (Severity::Error, "app_log_error", "Errors in the log"),
            (Severity::Warning, "app_log_warn", "Warnings in the log"),
        ] {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((of, topic), count) in &counts {
                if *of == severity {
                    let labels = [("topic", *topic)];
                    ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_belong_to_their_room_or_module() {
        assert_eq!(topic("flotilla_node::slashing::committer"), "slashing");
        assert_eq!(topic("flotilla_p2p::network"), "p2p");
        assert_eq!(topic("rustls"), "rustls");
    }
}
