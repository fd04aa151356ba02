//! Opening the clusters' folders: files, locks, names. Nothing here talks to a peer or a beacon node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flotilla_cluster::{
    ContractWallet, LoadOptions, Network, Networks, RENEWAL_PERIOD, VerifyOptions,
};
use flotilla_types::{PublicKeyBytes, Timestamp};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::{PEER_VERSION, StartError};
use crate::clock::wall_clock;
use crate::config::{ClusterConfig, Config};
use crate::folder::{Folder, FolderError, KeyFileLock};
use crate::lock::FolderLock;
use crate::remote::ExecutionClient;
use crate::telemetry::{ClusterNames, ClusterSize, ClusterTelemetry, Telemetry};

/// A cluster's files, opened.
pub(super) struct Opened {
    pub(super) config: ClusterConfig,
    pub(super) folder: Folder,
    pub(super) lock_hash: [u8; 32],
    pub(super) telemetry: ClusterTelemetry,
    pub(super) validators: Vec<PublicKeyBytes>,
    pub(super) _held: Held,
}

pub(super) async fn open_folders(
    config: &Config,
    telemetry: &Telemetry,
    started: Timestamp,
) -> Result<Vec<Opened>, StartError> {
    let mut opened: Vec<Opened> = Vec::new();
    let mut owners: BTreeMap<PublicKeyBytes, PathBuf> = BTreeMap::new();
    for cluster in &config.clusters {
        let cluster = open_folder(config, cluster.clone(), telemetry, started).await?;
        let folder = &cluster.folder.paths.data;
        for validator in &cluster.validators {
            if let Some(first) = owners.insert(*validator, folder.clone()) {
                return Err(StartError::SharedValidator {
                    validator: *validator,
                    first,
                    second: folder.clone(),
                });
            }
        }
        opened.push(cluster);
    }
    for cluster in &config.clusters {
        if let Some(validator) = cluster.signers.stranger(|key| owners.contains_key(key)) {
            return Err(StartError::StrangerInSigners(validator));
        }
    }
    if opened.is_empty() {
        Err(StartError::NoCluster)
    } else {
        Ok(opened)
    }
}

/// What keeps other processes away from a folder until it is dropped.
pub(crate) struct Held {
    _folder: FolderLock,
    _key_file: Option<DropGuard>,
}

async fn open_folder(
    config: &Config,
    cluster: ClusterConfig,
    telemetry: &Telemetry,
    started: Timestamp,
) -> Result<Opened, StartError> {
    if !cluster.paths.data.is_dir() {
        let hint = "name the folder with your cluster-lock.json with --data-dir, or make a cluster with `create cluster` or `dkg`";
        return Err(FolderError::Missing {
            path: cluster.paths.data.clone(),
            hint,
        }
        .into());
    }
    let guard = FolderLock::acquire(&cluster.paths.data)?;
    let networks = match &config.custom_network {
        Some(network) => Networks::public().with_custom(network.clone()),
        None => Networks::public(),
    };
    let (paths, no_verify) = (cluster.paths.clone(), config.no_verify);
    let rehearses = config.synthetic_proposals;
    let (password, execution) = (
        cluster.identity_password.clone(),
        config.execution_client.clone(),
    );
    let (folder, network) = tokio::task::spawn_blocking(move || {
        let execution = execution
            .map(|address| ExecutionClient::connect(&address))
            .transpose()?;
        let verify = VerifyOptions {
            extra_checks: false,
            contract_wallet: execution
                .as_ref()
                .map(|client| client as &dyn ContractWallet),
            ..VerifyOptions::new(&networks)
        };
        let folder = Folder::open(paths, &password, &LoadOptions { verify, no_verify })?;
        let network = networks.by_fork_version(folder.lock.fork_version()).ok();
        if rehearses {
            check_rehearsal(network, &folder.paths.lock)?;
        }
        let name = network.map_or_else(|| "unknown".into(), |network| network.name.clone());
        Ok::<_, StartError>((folder, name))
    })
    .await
    .map_err(|error| StartError::Stopped(format!("opening the folder: {error}")))??;
    let key_file_lock = match cluster.key_file_lock {
        true => Some(hold_key_file(&folder).await?),
        false => None,
    };
    folder
        .findings
        .iter()
        .for_each(|finding| warn!(%finding, "cluster lock"));
    folder
        .warnings
        .iter()
        .for_each(|warning| warn!(%warning, "data folder"));
    let lock = &folder.lock;
    let lock_hash = lock
        .lock_hash()
        .try_into()
        .map_err(|_| StartError::LockHash(folder.paths.lock.clone()))?;
    let peers: Vec<String> = match lock.peers() {
        Ok(peers) => peers.iter().map(|peer| peer.id.short()).collect(),
        Err(_) => vec![],
    };
    let names = ClusterNames {
        hash: hex::encode(lock_hash)[..7].to_owned(),
        name: lock.name().to_owned(),
        network,
        peer: peers.get(folder.me.get()).cloned().unwrap_or_default(),
        nickname: config.nickname.clone(),
        version: PEER_VERSION.into(),
        peers,
        timer: "eager_dlinear",
    };
    let size = ClusterSize {
        operators: lock.operators().len(),
        threshold: lock.threshold(),
        validators: lock.validators().len(),
    };
    let validators = lock
        .validators()
        .iter()
        .map(|validator| validator.public_key)
        .collect();
    let telemetry = telemetry.cluster(names, size, started);
    Ok(Opened {
        config: cluster,
        lock_hash,
        telemetry,
        validators,
        folder,
        _held: Held {
            _folder: guard,
            _key_file: key_file_lock,
        },
    })
}

/// Blocks are signed for rehearsal only where a mistake costs no money.
fn check_rehearsal(network: Option<&Network>, lock: &Path) -> Result<(), StartError> {
    match network {
        Some(network) if network.has_real_money() => Err(StartError::RehearsalOfRealMoney {
            lock: lock.to_owned(),
            network: network.name.clone(),
        }),
        _ => Ok(()),
    }
}

/// Marks the identity key as used, now and every second until the returned guard is dropped.
async fn hold_key_file(folder: &Folder) -> Result<DropGuard, StartError> {
    let lock = KeyFileLock::acquire(&folder.paths.identity, &folder.lock, wall_clock())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let mut period = tokio::time::interval(RENEWAL_PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                _ = period.tick() => {}
            }
            // A rename without sync: too short to be worth a thread of its own.
            if let Err(error) = lock.renew(wall_clock()) {
                warn!(%error, "other processes cannot see that this key is in use");
            }
        }
    });
    Ok(stop.drop_guard())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn proposals_are_rehearsed_on_test_networks_only() {
        let networks = Networks::public();
        let check = |name| {
            let network = networks.by_name(name).unwrap();
            check_rehearsal(Some(network), Path::new("cluster-lock.json"))
        };
        for name in ["hoodi", "sepolia"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in ["mainnet", "gnosis"] {
            let error = check(name).unwrap_err().to_string();
            assert!(
                error.contains(name) && error.contains("--synthetic-block-proposals"),
                "{error}"
            );
        }
        assert!(check_rehearsal(None, Path::new("cluster-lock.json")).is_ok());
    }
}
