//! The kinds of metric families, and where they are registered.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

use super::counts::Timing;
use super::labels::Labels;

pub type Counters = Family<Labels, Counter>;
pub type Gauges = Family<Labels, Gauge<f64, AtomicU64>>;
pub type Histograms = Family<Labels, Observed, Buckets>;

/// A histogram whose count and sum can be read, which the library's own cannot.
#[derive(Clone, Debug)]
pub struct Observed {
    histogram: Histogram,
    total: Arc<Mutex<Timing>>,
}

impl Observed {
    /// Counts one observation.
    pub fn observe(&self, value: f64) {
        self.histogram.observe(value);
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        total.count += 1;
        total.seconds += value;
    }

    /// How many there were, and their sum.
    pub fn total(&self) -> Timing {
        *self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TypedMetric for Observed {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Observed {
    fn encode(&self, encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        self.histogram.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Upper bounds of a histogram's buckets.
#[derive(Clone, Copy, Debug)]
pub struct Buckets(pub &'static [f64]);

impl MetricConstructor<Observed> for Buckets {
    fn new_metric(&self) -> Observed {
        Observed {
            histogram: Histogram::new(self.0.iter().copied()),
            total: Arc::default(),
        }
    }
}

/// A gauge that is 1 for the one value of a label that holds now.
#[derive(Debug)]
pub struct Info {
    family: Gauges,
    /// The series shown now, by the labels of its subject.
    shown: Mutex<HashMap<Labels, Labels>>,
}

impl Info {
    /// Shows `labels` for `subject`, and hides what was shown for it before.
    pub fn replace(&self, subject: Labels, labels: Labels) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        // One entry per peer or beacon node of a cluster, so that this stays small.
        if let Some(old) = shown.insert(subject, labels.clone())
            && old != labels
        {
            self.family.remove(&old);
        }
        self.family.get_or_create(&labels).set(1.0);
    }
}

/// Brings a counter up to a total that is counted elsewhere.
pub fn raise(family: &Counters, labels: &Labels, total: u64) {
    family
        .get_or_create(labels)
        .inner()
        .fetch_max(total, Ordering::Relaxed);
}

/// Sets a gauge to 1 or 0.
pub fn flag(family: &Gauges, labels: &Labels, value: bool) {
    family.get_or_create(labels).set(f64::from(u8::from(value)));
}

/// Registers families and hands them out.
pub struct Table<'a>(pub &'a mut Registry);

impl Table<'_> {
    /// `name` without `_total`, which the encoder adds.
    pub fn counter(&mut self, name: &str, help: &str) -> Counters {
        let family = Counters::default();
        self.0.register(name, help, family.clone());
        family
    }

    pub fn gauge(&mut self, name: &str, help: &str) -> Gauges {
        let family = Gauges::default();
        self.0.register(name, help, family.clone());
        family
    }

    pub fn info(&mut self, name: &str, help: &str) -> Info {
        Info {
            family: self.gauge(name, help),
            shown: Mutex::default(),
        }
    }

    pub fn histogram(&mut self, name: &str, help: &str, buckets: Buckets) -> Histograms {
        let family = Histograms::new_with_constructor(buckets);
        self.0.register(name, help, family.clone());
        family
    }
}
