//! What a client asks before its first duty: whether the node is ready, and which chain it follows.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_types::{
    Chain, ChainSpec, Epoch, ForkVersion, ParseNumberError, Root, SpecError, Timestamp,
};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::http::{Http, HttpError};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(500);

/// A chain that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChainError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("genesis_time: {0}")]
    GenesisTime(#[from] ParseNumberError),
    #[error("the node is syncing")]
    Syncing,
    #[error(
        "config/fork_schedule has version {scheduled} from epoch {epoch}, config/spec has {configured}"
    )]
    Forks {
        epoch: Epoch,
        scheduled: ForkVersion,
        configured: ForkVersion,
    },
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

/// Asks until the node is synced and tells its chain; `None` when told to stop.
pub(super) async fn chain(http: &Http, stop: &CancellationToken) -> Option<Chain> {
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => return None,
            chain = ask(http) => match chain {
                Ok(chain) => return Some(chain),
                Err(error) => error,
            },
        };
        tracing::info!("waiting for the beacon node: {error}");
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn ask(http: &Http) -> Result<Chain, ChainError> {
    #[derive(Deserialize)]
    struct Syncing {
        is_syncing: bool,
    }
    #[derive(Deserialize)]
    struct Genesis {
        genesis_time: flotilla_types::Slot,
        genesis_validators_root: Root,
    }
    let syncing: Data<Syncing> = http.get("/eth/v1/node/syncing", LIMIT).await?;
    if syncing.data.is_syncing {
        return Err(ChainError::Syncing);
    }
    let genesis: Data<Genesis> = http.get("/eth/v1/beacon/genesis", LIMIT).await?;
    let config: Data<BTreeMap<String, Value>> = http.get("/eth/v1/config/spec", LIMIT).await?;
    // What is no text is a list, such as the blob schedule, and nothing a client needs.
    let texts = config
        .data
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::String(text) => Some((key, text)),
            _ => None,
        });
    let chain = Chain {
        spec: ChainSpec::from_config(&texts.collect())?,
        genesis_time: Timestamp::from_secs(genesis.data.genesis_time.0),
        genesis_validators_root: genesis.data.genesis_validators_root,
    };
    check_schedule(http, &chain).await?;
    Ok(chain)
}

/// The schedule must be that of the configuration: signatures under another version would all be refused.
async fn check_schedule(http: &Http, chain: &Chain) -> Result<(), ChainError> {
    #[derive(Deserialize)]
    struct Entry {
        current_version: ForkVersion,
        epoch: Epoch,
    }
    let schedule: Data<Vec<Entry>> = http.get("/eth/v1/config/fork_schedule", LIMIT).await?;
    // Of forks that begin together, the last is in force.
    let in_force: BTreeMap<Epoch, ForkVersion> = schedule
        .data
        .iter()
        .map(|entry| (entry.epoch, entry.current_version))
        .collect();
    let unknown = chain.spec.forks.unknown_after();
    for (epoch, scheduled) in in_force {
        let configured = chain.fork_version_at(epoch);
        let known = epoch != Epoch::FAR_FUTURE && unknown.is_none_or(|unknown| epoch < unknown);
        if known && scheduled != configured {
            return Err(ChainError::Forks {
                epoch,
                scheduled,
                configured,
            });
        }
    }
    Ok(())
}
