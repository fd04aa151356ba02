//! Splitting keys that exist: where they come from, and what keeps them from signing twice.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::create::File;
use flotilla_cluster::{Definition, ValidatorAddresses};
use flotilla_crypto::SecretKey;
use flotilla_node::folder::{open_in_sequence, open_recursively};
use flotilla_node::slashing::interchange::Interchange;
use flotilla_node::slashing::{IMPORT_FILE_NAME, read_history};
use flotilla_types::PublicKeyBytes;
use zeroize::Zeroizing;

use crate::bar::Bar;
use crate::warn;

/// What must be known before a key is split, in words.
const EXPLANATION: &str = "\
a key that is split goes on being a key: whoever still signs with it, beside the cluster, gets the validator slashed.
  1. Stop the validator client that has it now, for good, and remove the keystore there.
  2. Export what it has signed (EIP-3076; for example `lighthouse account validator slashing-protection export FILE`).
  3. Give that file here with --slashing-protection FILE: every node refuses what would contradict it.
Without such a file, say --without-slashing-protection: you then vouch that the old signer has been off for at least two epochs
(13 minutes on mainnet) before any node of the cluster starts";

/// Flags for splitting.
#[derive(clap::Args)]
pub struct Existing {
    /// Split keys that exist, instead of making new ones.
    #[arg(
        long,
        requires = "split_keys_dir",
        help_heading = "Splitting existing keys"
    )]
    pub split_existing_keys: bool,
    /// Folder with the keystores to split (EIP-2335) and their passwords (NAME.txt beside NAME.json).
    #[arg(long, help_heading = "Splitting existing keys")]
    split_keys_dir: Option<PathBuf>,
    /// What the old signer has signed (EIP-3076); put into every node's folder and imported at its first start.
    #[arg(
        long,
        value_name = "FILE",
        requires = "split_existing_keys",
        help_heading = "Splitting existing keys"
    )]
    slashing_protection: Option<PathBuf>,
    /// Split without (or beyond) such a file: I vouch that the old signer has been off for at least two epochs.
    #[arg(
        long,
        requires = "split_existing_keys",
        help_heading = "Splitting existing keys"
    )]
    without_slashing_protection: bool,
}

impl Existing {
    /// Refuses to split before it is said how double signing is prevented.
    pub fn check_consent(&self) -> anyhow::Result<()> {
        ensure!(
            !self.split_existing_keys
                || self.slashing_protection.is_some()
                || self.without_slashing_protection,
            "{EXPLANATION}"
        );
        Ok(())
    }

    /// The keys, in validator order, or none if new ones are to be made.
    pub fn keys(&self, ordered: bool) -> anyhow::Result<Option<Vec<SecretKey>>> {
        let Some(folder) = self
            .split_keys_dir
            .as_deref()
            .filter(|_| self.split_existing_keys)
        else {
            return Ok(None);
        };
        let bar = Bar::new("decrypting keystores");
        let progress = |done: usize, total: usize| bar.done(done, total);
        let keys = match ordered {
            true => open_in_sequence(folder, &progress)
                .context("validators have different addresses, so the keystores must be numbered in their order")?,
            false => open_recursively(folder, &progress)?,
        };
        Ok(Some(keys.into_iter().map(|(_, key)| key).collect()))
    }

    /// The history of these keys as a file for every node's folder, and warnings told.
    pub fn history(&self, keys: &[SecretKey]) -> anyhow::Result<Option<Interchange>> {
        let Some(path) = &self.slashing_protection else {
            if self.split_existing_keys {
                warn(
                    "no history of the old signer: it must have been off for at least two epochs before a node starts",
                );
            }
            return Ok(None);
        };
        let keys: BTreeSet<PublicKeyBytes> = keys
            .iter()
            .map(|key| PublicKeyBytes(key.public_key().to_bytes()))
            .collect();
        let mut history = read_history(path)?;
        history.floors.retain(|key, _| keys.contains(key));
        let missing: Vec<String> = keys
            .iter()
            .filter(|key| !history.floors.contains_key(key))
            .map(ToString::to_string)
            .collect();
        if !missing.is_empty() {
            let text = format!(
                "{} says nothing about {} of the {} keys: {}",
                path.display(),
                missing.len(),
                keys.len(),
                missing.join(", ")
            );
            match self.without_slashing_protection {
                true => warn(&text),
                false => bail!(
                    "{text}. If they have never signed, or the old signer has been off for at least two epochs, add \
                     --without-slashing-protection"
                ),
            }
        }
        Ok(Some(history.to_file()))
    }
}

/// The file for a node's folder.
pub fn import_file(history: &Interchange) -> anyhow::Result<File> {
    Ok(File {
        path: IMPORT_FILE_NAME.to_owned(),
        mode: 0o600,
        bytes: Zeroizing::new(serde_json::to_vec(history)?),
    })
}

/// Whether it matters which key becomes which validator.
pub fn addresses_differ(definition: &Definition) -> bool {
    let all: Vec<&ValidatorAddresses> = (0..)
        .map_while(|index| definition.validator_addresses(index))
        .take(usize::try_from(definition.num_validators).unwrap_or(usize::MAX))
        .collect();
    let same = |one: &ValidatorAddresses, other: &ValidatorAddresses| {
        one.fee_recipient.eq_ignore_ascii_case(&other.fee_recipient)
            && one.withdrawal.eq_ignore_ascii_case(&other.withdrawal)
    };
    all.windows(2).any(|pair| !same(pair[0], pair[1]))
}
