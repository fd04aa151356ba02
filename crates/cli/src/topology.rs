//! A topology: the shape of a cluster and its links, as `cluster-configs/` has them for the testnet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use flotilla_cluster::Definition;
use flotilla_node::folder;
use flotilla_testnet::options::parse_duration;
use serde::Deserialize;

/// A topology file. Fields it does not have are an error: a misspelt one must not be ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// For people.
    #[serde(rename = "about")]
    _about: String,
    /// Definition file, relative to this one.
    definition: PathBuf,
    latency: String,
    jitter: String,
}

/// What the testnet takes from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Operators.
    pub nodes: usize,
    /// Shares needed to sign.
    pub threshold: usize,
    /// Validators.
    pub validators: usize,
    /// One-way latency between nodes.
    pub latency: Duration,
    /// Its random part.
    pub jitter: Duration,
}

impl Topology {
    /// Reads a topology and the definition that it names.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let hint = "see cluster-configs/ for examples";
        let file: File = serde_json::from_slice(&folder::read(path, hint)?)
            .with_context(|| path.display().to_string())?;
        let duration = |name: &str, text: &str| {
            parse_duration(text)
                .map_err(|error| anyhow::anyhow!("{}: {name}: {error}", path.display()))
        };
        let definition_path = path
            .parent()
            .unwrap_or(Path::new("."))
            .join(&file.definition);
        let definition = Definition::parse(&folder::read(&definition_path, hint)?)
            .with_context(|| definition_path.display().to_string())?;
        Ok(Self {
            nodes: definition.operators.len(),
            threshold: usize::try_from(definition.threshold)?,
            validators: usize::try_from(definition.num_validators)?,
            latency: duration("latency", &file.latency)?,
            jitter: duration("jitter", &file.jitter)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn configs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-configs")
    }

    #[test]
    fn every_example_is_read() {
        let shapes = ["solo", "squad", "pool"].map(|name| {
            let topology =
                Topology::read(&configs().join(format!("{name}.topology.json"))).unwrap();
            (topology.nodes, topology.threshold, topology.validators)
        });
        assert_eq!(shapes, [(4, 3, 2), (7, 5, 4), (10, 7, 8)]);
    }

    #[test]
    fn a_misspelt_field_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        std::fs::write(&path, r#"{"about":"","definition":"x","latencies":"1ms"}"#).unwrap();
        let error = format!("{:#}", Topology::read(&path).unwrap_err());
        assert!(
            error.contains("latencies") && error.contains("t.json"),
            "{error}"
        );
    }
}
