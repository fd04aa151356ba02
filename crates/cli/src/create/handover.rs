//! Shares to key managers instead of files: each operator's validator client takes its own over HTTP.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use flotilla_cluster::Lock;
use flotilla_cluster::create::{Created, CreatedNode, File, PendingKeystore};
use flotilla_node::folder::seal;
use flotilla_node::remote::KeyManager;
use flotilla_node::slashing::interchange::Interchange;
use flotilla_types::PublicKeyBytes;

use crate::bar::Bar;
use crate::warn;

/// Flags for key managers.
#[derive(clap::Args)]
pub struct KeyManagers {
    /// Key managers that take the shares instead of files, one per node: http(s)://HOST:PORT
    #[arg(
        long,
        value_delimiter = ',',
        requires = "keymanager_auth_tokens",
        help_heading = "Key managers"
    )]
    keymanager_addresses: Vec<String>,
    /// Their bearer tokens, in the same order.
    #[arg(
        long,
        value_delimiter = ',',
        requires = "keymanager_addresses",
        help_heading = "Key managers"
    )]
    keymanager_auth_tokens: Vec<String>,
}

impl KeyManagers {
    /// One per node, or none at all.
    pub fn open(&self, nodes: usize) -> anyhow::Result<Vec<KeyManager>> {
        ensure!(
            self.keymanager_addresses.len() == self.keymanager_auth_tokens.len(),
            "--keymanager-addresses has {} entries, --keymanager-auth-tokens {}",
            self.keymanager_addresses.len(),
            self.keymanager_auth_tokens.len()
        );
        ensure!(
            self.keymanager_addresses.is_empty() || self.keymanager_addresses.len() == nodes,
            "--keymanager-addresses has {} entries; give one for each of the {nodes} nodes",
            self.keymanager_addresses.len()
        );
        let managers = self
            .keymanager_addresses
            .iter()
            .zip(&self.keymanager_auth_tokens)
            .map(|(address, token)| {
                KeyManager::new(address, token).context("--keymanager-addresses")
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        for manager in managers.iter().filter(|manager| manager.is_unencrypted()) {
            warn(&format!(
                "{}: shares and passwords travel in the open over http",
                manager.label()
            ));
        }
        Ok(managers)
    }
}

/// Gives every node's shares to its key manager, once all of them can be reached.
pub async fn hand_over(
    managers: &[KeyManager],
    created: &Created,
    history: Option<&Interchange>,
) -> anyhow::Result<()> {
    for manager in managers {
        manager.probe().await?;
    }
    for (manager, node) in managers.iter().zip(&created.nodes) {
        let keystores: Vec<&PendingKeystore> = node.keystores.iter().collect();
        let bar = Bar::new("encrypting keystores");
        let sealed = seal(&keystores, &|done, total| bar.done(done, total));
        let text = |file: &File| String::from_utf8_lossy(&file.bytes).into_owned();
        let (keystores, passwords): (Vec<String>, Vec<String>) = sealed
            .iter()
            .map(|[keystore, password]| (text(keystore), text(password)))
            .unzip();
        let history = history
            .map(|history| serde_json::to_string(&under_shares(history, &created.lock, node)))
            .transpose()?;
        manager
            .import(&texts(&keystores), &texts(&passwords), history.as_deref())
            .await?;
    }
    Ok(())
}

fn texts(list: &[String]) -> Vec<&str> {
    list.iter().map(String::as_str).collect()
}

/// The history as a validator client knows its keys: by public share instead of group key.
fn under_shares(history: &Interchange, lock: &Lock, node: &CreatedNode) -> Interchange {
    let share =
        |keystore: &PendingKeystore| PublicKeyBytes(keystore.secret().public_key().to_bytes());
    let shares: BTreeMap<PublicKeyBytes, PublicKeyBytes> = lock
        .validators()
        .iter()
        .map(|validator| validator.public_key)
        .zip(node.keystores.iter().map(share))
        .collect();
    let mut history = history.clone();
    history
        .data
        .retain_mut(|entry| match shares.get(&entry.pubkey) {
            Some(share) => {
                entry.pubkey = *share;
                true
            }
            None => false,
        });
    history
}
