//! `flotilla slashing-protection`: a folder's signing history, to and from other signers (EIP-3076).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use flotilla_cluster::Lock;
use flotilla_duty::slashing::{Embargo, Floor, History};
use flotilla_node::folder::{self, Overwrite, Paths};
use flotilla_node::lock::FolderLock;
use flotilla_node::slashing::interchange::{Form, highest};
use flotilla_node::slashing::{self, FILE_NAME, Imported, Snapshot};
use flotilla_types::{PublicKeyBytes, Root};
use serde_json::{Value, json};

use crate::run::default_data_dir;
use crate::say;

/// The commands.
#[derive(clap::Subcommand)]
pub enum SlashingProtection {
    Import(Import),
    Export(Export),
    Show(Show),
}

/// Take over the history of an earlier signer.
///
/// Stop that signer for good first, then export its history, then import it here, then start the node. Nothing at or below the
/// newest entries of the file is signed again. An import only ever forbids more; it can be repeated, and several files can be
/// imported one after another. The node must be stopped meanwhile.
///
/// If the file reaches to within two epochs of the node's start, the node signs for its validators at once; otherwise it may
/// wait for the next epoch.
#[derive(clap::Args)]
pub struct Import {
    /// The EIP-3076 file that the earlier signer exported.
    file: PathBuf,
    /// Refuse a file of another chain than this. Without it the file's chain is taken if the folder has no history yet.
    #[arg(long, value_name = "ROOT")]
    genesis_validators_root: Option<Root>,
    #[command(flatten)]
    folder: Folder,
}

/// Write the history for another signer.
///
/// Works while the node runs, but is complete only once the node has been stopped for good: what is signed after the export is
/// not in it. An existing file is never overwritten.
#[derive(clap::Args)]
pub struct Export {
    /// The file to write.
    file: PathBuf,
    /// One entry of each kind for each validator, with the highest slot and epochs, instead of all that are kept.
    #[arg(long)]
    minimal: bool,
    #[command(flatten)]
    folder: Folder,
}

/// Show what the history forbids. Works while the node runs.
#[derive(clap::Args)]
pub struct Show {
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    folder: Folder,
}

#[derive(clap::Args)]
struct Folder {
    /// The node's folder; .flotilla if it exists, else .charon.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The cluster lock, instead of the one in the data folder.
    #[arg(long)]
    lock_file: Option<PathBuf>,
}

impl Folder {
    /// The data folder, which must be there.
    fn data(&self) -> anyhow::Result<PathBuf> {
        let data = self.data_dir.clone().unwrap_or_else(default_data_dir);
        ensure!(
            data.is_dir(),
            "{} is no folder; name the node's with --data-dir",
            data.display()
        );
        Ok(data)
    }

    /// The group public keys of the cluster, in the order of its lock.
    fn validators(&self, data: &Path) -> anyhow::Result<Vec<PublicKeyBytes>> {
        let usual = Paths::in_folder(data).lock;
        let path = self.lock_file.as_ref().unwrap_or(&usual);
        let context = || {
            format!(
                "{} (the cluster's validators are read from it; another one can be named with --lock-file)",
                path.display()
            )
        };
        let bytes = folder::read(path, "name it with --lock-file")?;
        let lock = Lock::parse(&bytes).with_context(context)?;
        let validators = lock.validators().iter();
        Ok(validators.map(|validator| validator.public_key).collect())
    }
}

/// Runs a command.
pub fn execute(command: &SlashingProtection) -> anyhow::Result<()> {
    match command {
        SlashingProtection::Import(arguments) => import(arguments),
        SlashingProtection::Export(arguments) => export(arguments),
        SlashingProtection::Show(arguments) => show(arguments),
    }
}

fn import(arguments: &Import) -> anyhow::Result<()> {
    let data = arguments.folder.data()?;
    let members: BTreeSet<_> = arguments.folder.validators(&data)?.into_iter().collect();
    let _guard = FolderLock::acquire(&data)?;
    let imported = slashing::import_file(
        &data,
        &arguments.file,
        arguments.genesis_validators_root,
        &members,
    )?;
    say(&told(&imported, &arguments.file, &data));
    Ok(())
}

fn told(imported: &Imported, file: &Path, data: &Path) -> String {
    let (count, newest) = (imported.floors.len(), imported.newest());
    let mut text = format!(
        "Imported the history of {count} validators from {} into {}{}.\nNewest attestation: target epoch {}; newest block: slot {}. \
         Nothing at or below a validator's newest entries is signed again.",
        file.display(),
        data.join(FILE_NAME).display(),
        if imported.created {
            ", which is new"
        } else {
            ""
        },
        or_none(newest.target),
        or_none(newest.slot),
    );
    let mut add = |count: usize, what: &str| {
        if count > 0 {
            text.push_str(&format!("\n{count} {what}"));
        }
    };
    add(
        imported.foreign,
        "validators in the file are not of this cluster; they were left out.",
    );
    add(
        imported.absent,
        "validators of this cluster are not in the file; nothing is known of what was signed for them elsewhere.",
    );
    add(
        imported.lifted,
        "validators need no longer wait for the end of an embargo: the file covers that time.",
    );
    text.push_str("\nThe signer that it comes from must never sign again.");
    text
}

fn export(arguments: &Export) -> anyhow::Result<()> {
    let data = arguments.folder.data()?;
    let form = match arguments.minimal {
        true => Form::Minimal,
        false => Form::Complete,
    };
    let file = snapshot(&data)?.export(form);
    let text = serde_json::to_vec(&file)?;
    folder::write_atomic(&arguments.file, &text, 0o600, Overwrite::Refuse)?;
    say(&format!(
        "Wrote the history of {} validators to {}.\nIt holds what was signed until now: before another signer takes over, stop this \
         node for good and export again.",
        file.data.len(),
        arguments.file.display()
    ));
    Ok(())
}

fn snapshot(data: &Path) -> anyhow::Result<Snapshot> {
    Snapshot::read(data)?.with_context(|| {
        format!(
            "{} has no {FILE_NAME}: no node has run there yet, and nothing was imported",
            data.display()
        )
    })
}

fn show(arguments: &Show) -> anyhow::Result<()> {
    let data = arguments.folder.data()?;
    let snapshot = snapshot(&data)?;
    let rows = rows(&arguments.folder.validators(&data)?, &snapshot.histories);
    say(&match arguments.json {
        true => document(&snapshot, &rows).to_string(),
        false => table(&data, &snapshot, &rows),
    });
    Ok(())
}

/// What is known of one validator.
struct Row {
    validator: PublicKeyBytes,
    /// Its place in the lock; `None` for a validator that the cluster does not have.
    place: Option<usize>,
    newest: Floor,
    attestations: usize,
    blocks: usize,
}

impl Row {
    fn new(validator: PublicKeyBytes, place: Option<usize>, history: Option<&History>) -> Self {
        let kept = |count: fn(&History) -> usize| history.map_or(0, count);
        Self {
            validator,
            place,
            newest: history.map(highest).unwrap_or_default(),
            attestations: kept(|history| history.attestations().count()),
            blocks: kept(|history| history.blocks().count()),
        }
    }
}

/// The cluster's validators, with or without history, then all others that have one.
fn rows(cluster: &[PublicKeyBytes], histories: &BTreeMap<PublicKeyBytes, History>) -> Vec<Row> {
    let members = cluster
        .iter()
        .enumerate()
        .map(|(place, validator)| Row::new(*validator, Some(place), histories.get(validator)));
    let known: BTreeSet<_> = cluster.iter().collect();
    let others = histories
        .iter()
        .filter(|(validator, _)| !known.contains(validator))
        .map(|(validator, history)| Row::new(*validator, None, Some(history)));
    members.chain(others).collect()
}

fn document(snapshot: &Snapshot, rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!({
            "pubkey": row.validator.to_string(),
            "index_in_lock": row.place,
            "newest_source_epoch": row.newest.source.map(|epoch| epoch.0),
            "newest_target_epoch": row.newest.target.map(|epoch| epoch.0),
            "newest_block_slot": row.newest.slot.map(|slot| slot.0),
            "attestations_kept": row.attestations,
            "blocks_kept": row.blocks,
            "embargo": snapshot.embargo.is_some() && !snapshot.exempt.contains(&row.validator),
        })
    };
    let embargo = |embargo: Embargo| json!({ "epoch": embargo.epoch.0, "slot": embargo.slot.0 });
    json!({
        "genesis_validators_root": snapshot.genesis_validators_root.to_string(),
        "signer": snapshot.signer.map(|signer| signer.name()),
        "heartbeat_slot": snapshot.heartbeat.map(|slot| slot.0),
        "embargo": snapshot.embargo.map(embargo),
        "validators": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn table(data: &Path, snapshot: &Snapshot, rows: &[Row]) -> String {
    let mut text = format!(
        "{}\n  chain        genesis validators root {}\n  signer       {}\n  last in use  {}\n",
        data.join(FILE_NAME).display(),
        snapshot.genesis_validators_root,
        snapshot.signer.map_or("none yet", |signer| signer.name()),
        snapshot.heartbeat.map_or_else(
            || "never by a node".to_owned(),
            |slot| format!("slot {slot}")
        ),
    );
    if let Some(embargo) = snapshot.embargo {
        text.push_str(&format!(
            "  embargo      nothing up to epoch {} and slot {} is signed, for all but {} validators\n",
            embargo.epoch,
            embargo.slot,
            snapshot.exempt.len()
        ));
    }
    text.push_str(
        "\n  index  validator         newest source  newest target   newest block  attestations  blocks\n",
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  {:>5}  {}  {:>13}  {:>13}  {:>13}  {:>12}  {:>6}",
            or_none(row.place),
            short(&row.validator),
            or_none(row.newest.source),
            or_none(row.newest.target),
            or_none(row.newest.slot),
            row.attestations,
            row.blocks,
        );
    }
    text.push_str(
        "\nThe last two columns count what is kept in full; everything older counts as signed.",
    );
    text
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `0x`, the first four and the last two bytes.
fn short(validator: &PublicKeyBytes) -> String {
    let text = hex::encode(validator);
    format!("0x{}…{}", &text[..8], &text[text.len() - 4..])
}
