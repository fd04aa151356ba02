//! Where the facts of the chain come from: the simulator of this process, or somebody else's beacon node.
//!
//! Of a foreign chain only times are known. What became of duties there is what the nodes themselves say of it: something
//! is included if a beacon node has accepted it from one of them, and due is what any of them had to do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{
    Chain, ChainSpec, DutyKind, ForkVersion, ParseNumberError, Root, Slot, SpecError, Timestamp,
};
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chain::{Arrival, Simulator, Totals, now};
use crate::report::{Ledger, Presence, SlotDuties};

/// The largest answer read.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the facts of a foreign chain are not known.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The beacon node did not answer.
    #[error("{url}: {error}")]
    Request {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        error: reqwest::Error,
    },
    /// The answer is longer than any of its kind.
    #[error("{url}: the answer has more than {LARGEST_ANSWER} bytes")]
    TooLong {
        /// What was asked.
        url: String,
    },
    /// The answer is not what the Beacon API has there.
    #[error("{url}: {error}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// The configuration does not make sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The genesis time is no number.
    #[error("genesis_time: {0}")]
    GenesisTime(ParseNumberError),
    /// The cluster is for another chain.
    #[error("the lock is for genesis fork version {lock}, the beacon node's chain has {chain}")]
    OtherChain {
        /// The lock's.
        lock: ForkVersion,
        /// The chain's.
        chain: ForkVersion,
    },
}

/// The source of a run's facts.
#[derive(Debug)]
pub(super) enum Truth {
    /// The simulator.
    Simulated(Arc<Simulator>),
    /// Somebody else's chain.
    Foreign(Box<Chain>),
}

impl Truth {
    /// Times, forks and domains.
    pub(super) fn chain(&self) -> &Chain {
        match self {
            Truth::Simulated(simulator) => simulator.chain(),
            Truth::Foreign(chain) => chain,
        }
    }

    /// The slot of the clock; slot 0 before genesis.
    pub(super) fn current_slot(&self) -> Slot {
        self.chain().slot_at(now()).unwrap_or_default()
    }

    /// What was counted so far; nothing of a foreign chain.
    pub(super) fn totals(&self) -> Totals {
        match self {
            Truth::Simulated(simulator) => simulator.totals(),
            Truth::Foreign(_) => Totals::default(),
        }
    }

    /// What became of each duty of a kind in a slot.
    pub(super) fn presence(&self, kind: DutyKind, slot: u64, ledger: &Ledger) -> SlotDuties {
        match self {
            Truth::Simulated(simulator) => simulated(simulator, kind, slot),
            Truth::Foreign(_) => ledger.told(slot, kind.name()),
        }
    }
}

fn simulated(simulator: &Simulator, kind: DutyKind, slot: u64) -> SlotDuties {
    let results = simulator.results_of(kind, Slot(slot));
    let deadline = simulator.deadline(kind, Slot(slot));
    let presence = |arrival: Option<Arrival>| match arrival {
        Some(arrival) if arrival.at < deadline => Presence::Included,
        Some(arrival) => {
            let late = arrival.at.saturating_since(deadline);
            Presence::Late(late.as_secs_f64() * 1e3)
        }
        None => Presence::Absent,
    };
    let presence = results.into_iter().filter_map(|((validator, _), arrival)| {
        Some((simulator.registry().key(validator)?, presence(arrival)))
    });
    presence.collect()
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
    genesis_validators_root: Root,
}

/// Asks a beacon node for the facts of its chain, which must be the one that the cluster is for.
pub(super) async fn foreign_chain(
    client: &Client,
    url: &str,
    lock: ForkVersion,
) -> Result<Chain, ForeignError> {
    let config: BTreeMap<String, Value> = ask(client, url, "/eth/v1/config/spec").await?;
    // Newer keys, such as the blob schedule, are lists.
    let texts = config.into_iter().filter_map(|(key, value)| match value {
        Value::String(text) => Some((key, text)),
        _ => None,
    });
    let spec = ChainSpec::from_config(&texts.collect())?;
    let chain = spec.forks.genesis_version();
    if chain != lock {
        return Err(ForeignError::OtherChain { lock, chain });
    }
    let genesis: Genesis = ask(client, url, "/eth/v1/beacon/genesis").await?;
    let seconds: Slot = genesis
        .genesis_time
        .parse()
        .map_err(ForeignError::GenesisTime)?;
    Ok(Chain {
        spec,
        genesis_time: Timestamp::from_secs(seconds.0),
        genesis_validators_root: genesis.genesis_validators_root,
    })
}

async fn ask<T: DeserializeOwned>(
    client: &Client,
    url: &str,
    path: &str,
) -> Result<T, ForeignError> {
    let url = format!("{}{path}", url.trim_end_matches('/'));
    let failed = |error| ForeignError::Request {
        url: url.clone(),
        error,
    };
    let request = client.get(&url).timeout(PATIENCE);
    let mut response = request.send().await.map_err(failed)?;
    response.error_for_status_ref().map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(ForeignError::TooLong { url });
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Result<Answer<T>, _> = serde_json::from_slice(&body);
    answer
        .map(|answer| answer.data)
        .map_err(|error| ForeignError::Answer { url, error })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;
    use crate::api::Server;
    use crate::chain::{Config, Seed};

    #[tokio::test]
    async fn the_facts_of_a_chain_are_those_its_beacon_node_serves() {
        let version = ForkVersion([0x10, 0, 0, 7]);
        let chain = Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(3), 8, version),
            genesis_time: Timestamp::from_secs(now().as_secs()),
            genesis_validators_root: Root([3; 32]),
        };
        let config = Config {
            chain: chain.clone(),
            seed: Seed(1),
            validators: Vec::new(),
        };
        let simulator = Simulator::start(config).unwrap();
        let server = Server::start(simulator, 0).await.unwrap();
        let client = crate::http::client();
        let read = foreign_chain(&client, &server.url(), version).await;
        assert_eq!(read.unwrap(), chain);
        let other = foreign_chain(&client, &server.url(), ForkVersion([9; 4])).await;
        assert!(matches!(other, Err(ForeignError::OtherChain { .. })));
    }

    #[tokio::test]
    async fn an_answer_without_end_is_given_up() {
        let endless = || async {
            Body::from_stream(futures::stream::repeat_with(|| {
                Ok::<_, std::convert::Infallible>(vec![b' '; 1 << 16])
            }))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/eth/v1/config/spec", get(endless));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let client = crate::http::client();
        let read = foreign_chain(&client, &url, ForkVersion([9; 4])).await;
        assert!(matches!(read, Err(ForeignError::TooLong { .. })));
        server.abort();
    }
}
