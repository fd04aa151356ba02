//! `flotilla combine`: from enough operators' folders back to whole keys.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::combine::{CombineError, check_same_cluster, secrets};
use flotilla_cluster::create::{File, PendingKeystore};
use flotilla_cluster::keystore::folder::is_keystore_name;
use flotilla_cluster::{Cost, LoadOptions, Lock};
use flotilla_crypto::{SecretKey, os_rng};
use flotilla_node::folder::{self, Overwrite, Passwords, Paths, write_atomic};
use flotilla_node::slashing::interchange::Contents;
use flotilla_node::slashing::{IMPORT_FILE_NAME, Snapshot};

use crate::bar::Bar;
use crate::network::CustomNetwork;
use crate::verification::{ExecutionEndpoint, Verification};
use crate::{say, warn};

/// Recover whole validator keys from the folders of a threshold of operators.
///
/// The cluster must be stopped for good first: a whole key that signs beside its cluster gets the validator slashed. Which share is
/// whose is found by public key, so folders and keystores may have any names.
///
/// Example:  flotilla combine --cluster-dir collected --output-dir recovered
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder whose direct subfolders are the operators' folders, each with cluster-lock.json and validator_keys.
    #[arg(long, default_value = "./")]
    cluster_dir: PathBuf,
    /// Where the recovered keystores are put.
    #[arg(long, default_value = "./validator_keys")]
    output_dir: PathBuf,
    /// Replace keystores that are there already.
    #[arg(long)]
    force: bool,
    /// Go on with locks that do not verify, or differ, with a warning.
    #[arg(long)]
    no_verify: bool,
    #[command(flatten)]
    execution: ExecutionEndpoint,
    #[command(flatten)]
    custom: CustomNetwork,
}

/// Where one operator's keys came from.
struct Source {
    folder: PathBuf,
    /// The keystores, in the order of their keys.
    files: Vec<PathBuf>,
}

/// Recovers the keys.
pub fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    if !arguments.force && arguments.output_dir.join("keystore-0.json").exists() {
        bail!(
            "{} has keystores already; choose another --output-dir, or --force to replace them",
            arguments.output_dir.display()
        );
    }
    let verification = Verification::new(&arguments.custom, &arguments.execution)?;
    let options = LoadOptions {
        verify: verification.options(),
        no_verify: arguments.no_verify,
    };
    let (mut sources, mut locks, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for folder in folders(&arguments.cluster_dir)? {
        locks.push(read_lock(&folder, &options)?);
        let bar = Bar::new("decrypting keystores");
        let keystores = Paths::in_folder(&folder).keystores;
        let progress = |done: usize, total: usize| bar.done(done, total);
        let opened = folder::open(&keystores, &Passwords::Beside, &progress)?;
        let (files, keys): (Vec<_>, Vec<_>) = opened.secrets.into_iter().unzip();
        sources.push(Source { folder, files });
        shares.push(keys);
    }
    let named = |error: CombineError| anyhow::anyhow!(with_names(&error, &sources));
    match check_same_cluster(&locks) {
        Err(error @ CombineError::OtherCluster { .. }) if arguments.no_verify => {
            warn(&with_names(&error, &sources));
        }
        result => result.map_err(named)?,
    }
    let Some(lock) = locks.last() else {
        bail!("no folders to combine");
    };
    let keys = secrets(lock, &shares).map_err(named)?;
    let history = history(&sources)?;
    let folder = &arguments.output_dir;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    // First what must not be signed, then what signs.
    write_history(arguments, history.as_ref())?;
    write(arguments, &keys)?;
    say(&format!(
        "Recovered {} keys from {} folders; they are in {}.",
        keys.len(),
        sources.len(),
        arguments.output_dir.display()
    ));
    tell_history(arguments, history.is_some());
    warn(
        "each of these keys signs alone. Before a validator client has one, every node of the cluster must have stopped for good, two \
         epochs must have passed, and its slashing history must be imported; otherwise the validator is slashed",
    );
    Ok(())
}

/// The direct subfolders that have keys, in the order of names.
fn folders(parent: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| parent.display().to_string())? {
        let path = entry?.path();
        if Paths::in_folder(&path).keystores.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    ensure!(
        !found.is_empty(),
        "{} has no subfolder with validator_keys; put the operators' folders into one and name it with --cluster-dir",
        parent.display()
    );
    Ok(found)
}

fn read_lock(folder: &Path, options: &LoadOptions<'_>) -> anyhow::Result<Lock> {
    let path = Paths::in_folder(folder).lock;
    let bytes = folder::read(&path, "every operator's folder has one")?;
    let loaded = Lock::load(&bytes, options).with_context(|| path.display().to_string())?;
    for finding in &loaded.findings {
        warn(&format!("{}: {finding}", path.display()));
    }
    Ok(loaded.file)
}

/// The error, with the files and folders that it counts.
fn with_names(error: &CombineError, sources: &[Source]) -> String {
    let folder = |index: usize| {
        let source = sources.get(index);
        source.map_or_else(String::new, |source| source.folder.display().to_string())
    };
    match error {
        CombineError::UnknownShare {
            folder: index,
            position,
        } => {
            let file = sources
                .get(*index)
                .and_then(|source| source.files.get(*position));
            let file = file.map_or_else(|| folder(*index), |file| file.display().to_string());
            let last = folder(sources.len().saturating_sub(1));
            format!("{file} is no share of any validator in the lock of {last}")
        }
        CombineError::OtherCluster {
            folder: other,
            expected,
            found,
        } => format!(
            "{} is of the cluster with lock hash {found}, {} of {expected}; combine folders of one cluster at a time",
            folder(*other),
            folder(0)
        ),
        CombineError::TooFewShares { .. } => {
            let list: Vec<String> = (0..sources.len()).map(folder).collect();
            format!("{error}; found were {}", list.join(", "))
        }
        other => other.to_string(),
    }
}

/// What the nodes have signed, as far as their slashing databases are at hand.
fn history(sources: &[Source]) -> anyhow::Result<Option<Contents>> {
    let mut merged: Option<Contents> = None;
    for source in sources {
        let Some(snapshot) = Snapshot::read(&source.folder)? else {
            continue;
        };
        let contents = snapshot.contents();
        match &mut merged {
            None => merged = Some(contents),
            Some(merged) => {
                ensure!(
                    merged.genesis_validators_root == contents.genesis_validators_root,
                    "the slashing database in {} is of another chain than those before it",
                    source.folder.display()
                );
                merged.merge(&contents);
            }
        }
    }
    Ok(merged)
}

fn write_history(arguments: &Arguments, history: Option<&Contents>) -> anyhow::Result<()> {
    let Some(history) = history else {
        return Ok(());
    };
    let overwrite = match arguments.force {
        true => Overwrite::Replace,
        false => Overwrite::Refuse,
    };
    let (path, text) = (
        arguments.output_dir.join(IMPORT_FILE_NAME),
        serde_json::to_vec(&history.to_file())?,
    );
    Ok(write_atomic(&path, &text, 0o600, overwrite)?)
}

fn tell_history(arguments: &Arguments, is_known: bool) {
    match is_known {
        true => say(&format!(
            "What these nodes have signed is in {}: import it into the validator client before it gets a key. A node whose folder is \
             not here may have signed more.",
            arguments.output_dir.join(IMPORT_FILE_NAME).display()
        )),
        false => warn(
            "none of the folders has a slashing database of flotilla: what the cluster signed is not known here. Let two epochs pass \
             after every node has stopped, or export the history where it was kept",
        ),
    }
}

/// Writes all keystores or none.
fn write(arguments: &Arguments, keys: &[SecretKey]) -> anyhow::Result<()> {
    let folder = &arguments.output_dir;
    let mut rng = os_rng()?;
    let pending: Vec<PendingKeystore> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| PendingKeystore::new(index, key.clone(), Cost::FULL, &mut rng))
        .collect();
    let bar = Bar::new("encrypting keystores");
    let sealed = folder::seal(&pending.iter().collect::<Vec<_>>(), &|done, total| {
        bar.done(done, total)
    });
    if arguments.force {
        remove_keystores(folder)?;
    }
    let mut written = Vec::new();
    for file in sealed.iter().flatten() {
        let path = folder.join(name_of(file));
        if let Err(error) = write_atomic(&path, &file.bytes, file.mode, Overwrite::Refuse) {
            for path in written {
                // The first error is the one to tell; what cannot be removed is a whole, encrypted file.
                let _ = fs::remove_file(path);
            }
            return Err(error.into());
        }
        written.push(path);
    }
    Ok(())
}

fn name_of(file: &File) -> &str {
    file.path.rsplit('/').next().unwrap_or(&file.path)
}

fn remove_keystores(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_password = name.starts_with("keystore-") && name.ends_with(".txt");
        if is_keystore_name(&name) || is_password {
            fs::remove_file(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    Ok(())
}
