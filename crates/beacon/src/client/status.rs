//! Questions about the node and the chain's beginning.

use flotilla_types::ChainSpec;
use futures::future::join_all;

use super::{
    answers::{self, Genesis, Syncing},
    endpoint::Endpoint,
    error::{Failure, QueryError},
    node::BeaconNode,
};

/// Most bytes of answers with a fixed number of fields.
pub(super) const SMALL: usize = 64 << 10;
/// Where the beginning of the chain is asked for.
const GENESIS: &str = "/eth/v1/beacon/genesis";
/// Most bytes of `config/spec`.
const SPEC: usize = 1 << 20;

impl BeaconNode {
    /// The chain's configuration (`GET /eth/v1/config/spec`).
    ///
    /// # Errors
    /// [`QueryError`]; its text names a key that is missing or wrong.
    pub async fn spec(&self) -> Result<ChainSpec, QueryError> {
        self.query(
            &self.get("spec", "/eth/v1/config/spec", SPEC),
            answers::spec,
        )
        .await
    }

    /// The beginning of the chain (`GET /eth/v1/beacon/genesis`).
    ///
    /// # Errors
    /// [`QueryError`]; nodes answer 404 while genesis is not known.
    pub async fn genesis(&self) -> Result<Genesis, QueryError> {
        self.query(&self.get("genesis", GENESIS, SMALL), answers::plain)
            .await
    }

    /// The beginning of the chain as each endpoint has it, in configured order, so that an endpoint of another chain is
    /// found before it is needed.
    pub async fn genesis_by_endpoint(&self) -> Vec<(String, Result<Genesis, Failure>)> {
        let call = self.get("genesis", GENESIS, SMALL);
        let asked = self.endpoints.iter().map(|endpoint| async {
            (
                endpoint.label().to_owned(),
                self.ask(endpoint, &call, answers::plain).await,
            )
        });
        join_all(asked).await
    }

    /// Name and version of the node (`GET /eth/v1/node/version`), at most 128 printable characters.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn version(&self) -> Result<String, QueryError> {
        self.query(
            &self.get("node_version", "/eth/v1/node/version", SMALL),
            answers::version,
        )
        .await
    }

    /// How many peers the node has (`GET /eth/v1/node/peer_count`).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn peer_count(&self) -> Result<u64, QueryError> {
        self.query(
            &self.get("node_peer_count", "/eth/v1/node/peer_count", SMALL),
            answers::connected_peers,
        )
        .await
    }

    /// How far the node is (`GET /eth/v1/node/syncing`). Asks all endpoints at once and renews their health: one that is
    /// syncing, optimistic or without its execution client is asked last, one of another chain not at all. Returns the state of the first that is ready,
    /// else of the first that answered.
    ///
    /// # Errors
    /// [`QueryError`] when none answered.
    pub async fn syncing(&self) -> Result<Syncing, QueryError> {
        let call = self.get("node_syncing", "/eth/v1/node/syncing", SMALL);
        let asked = self.endpoints.iter().map(|endpoint| async {
            self.check_chain(endpoint).await;
            let state = self.ask(endpoint, &call, answers::plain::<Syncing>).await?;
            endpoint.set_syncing(&state);
            Ok::<_, Failure>(state)
        });
        let (mut states, mut failures) = (Vec::new(), Vec::new());
        for result in join_all(asked).await {
            match result {
                Ok(state) => states.push(state),
                Err(failure) => failures.push(failure),
            }
        }
        let best = states
            .iter()
            .find(|state| state.is_ready())
            .or(states.first());
        best.copied().ok_or(QueryError { failures })
    }

    /// Finds out which chain an endpoint serves, unless that is known.
    async fn check_chain(&self, endpoint: &Endpoint) {
        let chain = self.chain.as_ref();
        let Some(chain) = chain.filter(|_| endpoint.needs_chain_check()) else {
            return;
        };
        let call = self.get("genesis", GENESIS, SMALL);
        let observer = self.observer.as_deref();
        let genesis = endpoint
            .ask_of_any_chain(&self.client, observer, &call, answers::plain::<Genesis>)
            .await;
        // Without an answer it is checked at the next occasion.
        if let Ok(genesis) = genesis {
            let expected = chain.genesis_validators_root;
            endpoint.set_chain(expected, genesis.genesis_validators_root);
        }
    }
}
