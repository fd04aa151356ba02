//! Reading the database without stopping the node that owns it.
//!
//! The node holds the file under an exclusive lock and keeps the index of the write-ahead log in its memory, so that SQLite
//! cannot read beside it. The two files can be copied, though, if it is done in the right order: whatever a checkpoint writes to
//! the main file while that is copied stands in the log too, until the log begins anew, which its header tells. So: header,
//! main file, log, header again; if both headers are equal, the copy is what a crash at that moment would have left, and opens
//! like it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flotilla_duty::slashing::{Embargo, Floor, History};
use flotilla_types::{PublicKeyBytes, Root, Slot};

use super::identity::FileIdentity;
use super::interchange::{self, Contents, Form, Interchange};
use super::store::Store;
use super::{FILE_NAME, OpenError, SignerKind};

/// Copies tried before it is given up; the log begins anew every thousand pages or so.
const ATTEMPTS: usize = 10;

/// Bytes of the log's header, which holds its number and two salts.
const HEADER_BYTES: u64 = 32;

/// What a database holds at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The chain.
    pub genesis_validators_root: Root,
    /// Who signs with the folder's shares; `None` if no node has used it yet.
    pub signer: Option<SignerKind>,
    /// The last sign of life of its node.
    pub heartbeat: Option<Slot>,
    /// What is not signed, since the database may have been older than the last signature.
    pub embargo: Option<Embargo>,
    /// Validators that the embargo does not apply to.
    pub exempt: BTreeSet<PublicKeyBytes>,
    /// Every validator's history.
    pub histories: BTreeMap<PublicKeyBytes, History>,
}

impl Snapshot {
    /// Reads the database of a data folder, in use or not; `None` if there is none.
    ///
    /// Must not be called by the process that has it open: closing a file releases all of a process's locks on it.
    ///
    /// # Errors
    /// It cannot be read or is damaged, or the node writes faster than it can be copied.
    pub fn read(folder: &Path) -> Result<Option<Self>, OpenError> {
        let path = folder.join(FILE_NAME);
        let io_error = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        match fs::symlink_metadata(&path) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.map_err(io_error)?,
        };
        let place = tempfile::tempdir().map_err(io_error)?;
        let copy = place.path().join(FILE_NAME);
        copy_both(&path, &copy).map_err(io_error)?;
        Self::of(&copy).map_err(|source| OpenError::Store {
            path: path.clone(),
            source,
        })
    }

    fn of(copy: &Path) -> Result<Option<Self>, super::StoreError> {
        let store = Store::open(copy, false)?;
        let Some(meta) = store.meta()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            genesis_validators_root: meta.genesis_validators_root,
            signer: meta.signer,
            heartbeat: meta.heartbeat,
            embargo: meta.embargo,
            exempt: store.lifted()?,
            histories: store.histories()?,
        }))
    }

    /// The history as a file for another signer. What the embargo forbids counts as signed, so that the other refuses it too.
    pub fn export(&self, form: Form) -> Interchange {
        interchange::export(&self.with_embargo(), self.genesis_validators_root, form)
    }

    /// What another signer must not sign, as floors; the embargo counts.
    pub fn contents(&self) -> Contents {
        let floors = self.with_embargo().into_iter();
        Contents {
            genesis_validators_root: self.genesis_validators_root,
            floors: floors
                .map(|(validator, history)| (validator, interchange::highest(&history)))
                .collect(),
        }
    }

    fn with_embargo(&self) -> BTreeMap<PublicKeyBytes, History> {
        let mut histories = self.histories.clone();
        if let Some(embargo) = self.embargo {
            for (validator, history) in &mut histories {
                if !self.exempt.contains(validator) {
                    history.raise(Floor {
                        source: None,
                        target: Some(embargo.epoch),
                        slot: Some(embargo.slot),
                    });
                }
            }
        }
        histories
    }
}

fn log_of(path: &Path) -> PathBuf {
    path.with_extension("sqlite-wal")
}

fn copy_both(path: &Path, copy: &Path) -> io::Result<()> {
    for _ in 0..ATTEMPTS {
        let before = Mark::of(path)?;
        fs::copy(path, copy)?;
        match fs::copy(log_of(path), log_of(copy)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A copy of an earlier attempt may be there.
                File::create(log_of(copy))?;
            }
            result => {
                result?;
            }
        }
        if Mark::of(path)? == before {
            return Ok(());
        }
    }
    Err(io::Error::other(format!(
        "the node wrote to it during each of {ATTEMPTS} attempts to read it; try again"
    )))
}

/// What stays the same for as long as the log does not begin anew.
#[derive(PartialEq, Eq)]
struct Mark {
    file: FileIdentity,
    header: Vec<u8>,
    /// Without a log nothing may touch the main file: a node that started and stopped between two looks would have.
    modified: Option<SystemTime>,
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        let mut header = Vec::new();
        match File::open(log_of(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => {
                result?.take(HEADER_BYTES).read_to_end(&mut header)?;
            }
        }
        let modified = match header.is_empty() {
            true => Some(fs::metadata(path)?.modified()?),
            false => None,
        };
        Ok(Self {
            file: FileIdentity::of(path)?,
            header,
            modified,
        })
    }
}
