//! Histories from elsewhere, into the database of a node that is not running: floors rise before anything may be signed.
//!
//! The caller holds the folder's lock. An import is merged to the safer side: whatever the database refused, it goes on to refuse.
//! It leaves the signs by which the next start judges the file's age alone, so that no doubt is hidden by a command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flotilla_duty::slashing::{Embargo, Floor};
use flotilla_types::{PublicKeyBytes, Root};

use super::identity::{FileIdentity, Identity, machine_id};
use super::interchange::{self, Contents, InterchangeError, MAX_FILE_BYTES};
use super::store::{Changes, Meta, Store, Sunk};
use super::{FILE_NAME, OpenError, ShareEpoch, covers};

/// The EIP-3076 file in a data folder that the next start imports.
pub const IMPORT_FILE_NAME: &str = "slashing-protection.json";

/// What it is called afterwards.
pub const IMPORTED_FILE_NAME: &str = "slashing-protection.imported.json";

/// What an import has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Whether there was no database before.
    pub created: bool,
    /// The cluster's validators that the file names, each with its floor as the file has it.
    pub floors: BTreeMap<PublicKeyBytes, Floor>,
    /// The cluster's validators that the file does not name.
    pub absent: usize,
    /// Validators in the file that are not the cluster's; they are left out.
    pub foreign: usize,
    /// Validators for which the embargo in force has ended, since the file covers the time.
    pub lifted: usize,
}

impl Imported {
    /// The highest of each kind over all floors: how far the file reaches.
    pub fn newest(&self) -> Floor {
        let floors = || self.floors.values();
        Floor {
            source: floors().filter_map(|floor| floor.source).max(),
            target: floors().filter_map(|floor| floor.target).max(),
            slot: floors().filter_map(|floor| floor.slot).max(),
        }
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is longer than any export of a cluster.
    #[error("{path} has more than {MAX_FILE_BYTES} bytes; export it in the minimal form", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged, or of another chain than asked for.
    #[error("{path}: {source}; nothing was imported, export it again from the earlier signer", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: InterchangeError,
    },
    /// The file names validators, and none of them is the cluster's: it is the wrong file.
    #[error(
        "{path} has the history of {found} validators, and none of them is among the {members} of this cluster; nothing was \
         imported, take the export of the signer that had these validators' keys",
        path = path.display()
    )]
    OtherValidators {
        /// The file.
        path: PathBuf,
        /// How many it names.
        found: usize,
        /// How many the cluster has.
        members: usize,
    },
    /// The database is of another chain than the file.
    #[error(
        "{path} is of the chain with genesis validators root {found}, the slashing database in {folder} of the one with \
         {expected}; nothing was imported",
        path = path.display(), folder = folder.display()
    )]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// The data folder.
        folder: PathBuf,
        /// The file's root.
        found: Root,
        /// The database's.
        expected: Root,
    },
    /// The database cannot be opened or written.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The file was imported and cannot be given its new name.
    #[error("{path} was imported and cannot be renamed to {IMPORTED_FILE_NAME}: {source}", path = path.display())]
    Rename {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Imports one file: raises the floors of `members`, the cluster's validators, durably.
///
/// Without a database, one is made, of the file's chain; the next start refuses another. If `chain` is given, the file must be
/// of it. An embargo in force ends for the validators whose newest attestation in the file is no more than
/// [`STALE_EPOCHS`](super::STALE_EPOCHS) older than it (S4). Blocks on files.
///
/// # Errors
/// The file cannot be read or is not what it should be, or the database cannot be written: then nothing is imported.
pub fn import_file(
    folder: &Path,
    file: &Path,
    chain: Option<Root>,
    members: &BTreeSet<PublicKeyBytes>,
) -> Result<Imported, ImportError> {
    let content = |source| ImportError::Content {
        path: file.to_owned(),
        source,
    };
    let contents = read_history(file)?;
    let found = contents.genesis_validators_root;
    if let Some(expected) = chain.filter(|expected| *expected != found) {
        return Err(content(InterchangeError::OtherChain { found, expected }));
    }
    raise(folder, file, contents, members)
}

/// Imports [`IMPORT_FILE_NAME`] in a data folder, if it is there, and renames it. A crash between the two repeats the import,
/// which changes nothing.
///
/// # Errors
/// As for [`import_file`]; the node must not start, since the file holds what it must not sign.
pub fn import_pending(
    folder: &Path,
    chain: Root,
    members: &BTreeSet<PublicKeyBytes>,
) -> Result<Option<Imported>, ImportError> {
    let path = folder.join(IMPORT_FILE_NAME);
    // A dangling link is not "no file".
    match fs::symlink_metadata(&path) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ImportError::Read { path, source }),
        Ok(_) => {}
    }
    let imported = import_file(folder, &path, Some(chain), members)?;
    fs::rename(&path, folder.join(IMPORTED_FILE_NAME))
        .and_then(|()| File::open(folder)?.sync_all())
        .map_err(|source| ImportError::Rename { path, source })?;
    Ok(Some(imported))
}

/// What a history file says.
///
/// # Errors
/// It cannot be read, is longer than any export of a cluster, or is not of the form of EIP-3076.
pub fn read_history(path: &Path) -> Result<Contents, ImportError> {
    interchange::read(&read(path)?).map_err(|source| ImportError::Content {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, ImportError> {
    let error = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(error)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImportError::TooLarge {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

fn raise(
    folder: &Path,
    file: &Path,
    contents: Contents,
    members: &BTreeSet<PublicKeyBytes>,
) -> Result<Imported, ImportError> {
    let path = folder.join(FILE_NAME);
    let store_error = |source| OpenError::Store {
        path: path.clone(),
        source,
    };
    let total = contents.floors.len();
    let mut floors = contents.floors;
    floors.retain(|validator, _| members.contains(validator));
    if floors.is_empty() && total > 0 {
        return Err(ImportError::OtherValidators {
            path: file.to_owned(),
            found: total,
            members: members.len(),
        });
    }

    let mut store = Store::open(&path, true).map_err(store_error)?;
    let earlier = store.meta().map_err(store_error)?;
    let (found, created) = (contents.genesis_validators_root, earlier.is_none());
    let meta = match earlier {
        Some(meta) if meta.genesis_validators_root != found => {
            return Err(ImportError::OtherChain {
                path: file.to_owned(),
                folder: folder.to_owned(),
                found,
                expected: meta.genesis_validators_root,
            });
        }
        Some(meta) => meta,
        None => {
            let meta = unused(&path, found)?;
            store.write_meta(&meta, None).map_err(store_error)?;
            meta
        }
    };
    let changes = changes(&mut store, &floors, meta.embargo).map_err(store_error)?;
    store
        .write(&changes, meta.share_epoch)
        .map_err(store_error)?;
    Ok(Imported {
        created,
        absent: members.len() - floors.len(),
        foreign: total - floors.len(),
        lifted: changes.lifted.len(),
        floors,
    })
}

/// What a database says about itself that no node has used yet.
fn unused(path: &Path, genesis_validators_root: Root) -> Result<Meta, OpenError> {
    let file = FileIdentity::of(path).map_err(|source| OpenError::Io {
        path: path.to_owned(),
        source,
    })?;
    Ok(Meta {
        genesis_validators_root,
        heartbeat: None,
        identity: Identity {
            machine: machine_id(),
            file,
        },
        signer: None,
        share_epoch: ShareEpoch(0),
        embargo: None,
    })
}

fn changes(
    store: &mut Store,
    floors: &BTreeMap<PublicKeyBytes, Floor>,
    embargo: Option<Embargo>,
) -> Result<Changes, super::StoreError> {
    let mut histories = store.histories()?;
    let mut changes = Changes::default();
    for (validator, floor) in floors {
        let mut history = histories.remove(validator).unwrap_or_default();
        history.raise(*floor);
        changes.sunk.insert(*validator, Sunk::of(&history));
        if embargo.is_some_and(|embargo| covers(floor, embargo)) {
            changes.lifted.insert(*validator);
        }
    }
    Ok(changes)
}
