//! Label sets: a cluster's unchanging labels, shared, and a metric's own.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};

/// Labels that every series of a cluster carries.
pub type Shared = Arc<[(&'static str, String); 6]>;

/// One series' labels.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Labels {
    shared: Shared,
    own: Vec<(&'static str, String)>,
}

impl Labels {
    pub fn new<const N: usize>(shared: &Shared, own: [(&'static str, &str); N]) -> Self {
        Self {
            shared: Arc::clone(shared),
            own: own.map(|(name, value)| (name, value.to_owned())).to_vec(),
        }
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, value) in self.own.iter().chain(self.shared.iter()) {
            (*name, value.as_str()).encode(encoder.encode_label())?;
        }
        Ok(())
    }
}
