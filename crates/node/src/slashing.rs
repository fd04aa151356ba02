//! The slashing database (S2, S4, S7): what stands between this node's shares and a second signature.
//!
//! Agreement keeps honest nodes together; only durable state keeps *our* share from signing twice. Every vote is written here
//! and synced before its signature leaves, whichever signer makes it. The rules are `duty`'s and pure; this module owns the
//! file `slashing.sqlite` in the data folder, the thread that writes it, and the doubts about its age. It must not know of
//! duties, peers or beacon nodes.
//!
//! Rows belong to *group* public keys. Requests that wait at the same time share one transaction and one sync. Any error of the
//! database refuses: no signature without a record.

mod committer;
mod identity;
mod import;
pub mod interchange;
mod snapshot;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Embargo, Floor, History, Refusal};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot};

use committer::{Committer, Open, Record, Request};
pub use identity::{FileIdentity, Identity, machine_id};
pub use import::{
    IMPORT_FILE_NAME, IMPORTED_FILE_NAME, ImportError, Imported, import_file, import_pending,
    read_history,
};
pub use snapshot::Snapshot;
use store::{Meta, Store};
pub use store::{SCHEMA_VERSION, StoreError};

/// The database's name in the data folder.
pub const FILE_NAME: &str = "slashing.sqlite";

/// Requests that may wait for the database's thread. A cluster asks once per duty, so that this many waiting means that the
/// disk has stopped; what comes on top is refused at once.
pub const QUEUE_LIMIT: usize = 1024;

/// A heartbeat older than this many epochs raises a doubt (S4). An imported history whose newest attestation is no older covers
/// the time: it is the heartbeat of its validator.
pub const STALE_EPOCHS: u64 = 2;

/// Which generation of shares signs; it grows by one when a cluster replaces its shares (S9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShareEpoch(pub u64);

/// Which signer owns the shares of a data folder (S7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignerKind {
    /// This process holds the shares.
    Builtin,
    /// A validator client holds them and signs through the Beacon API.
    ValidatorClient,
    /// This process holds some, a validator client the others; the digest tells one division from another.
    Mixed([u8; 32]),
}

/// How a division is written in the file, before its digest.
const MIXED: &str = "mixed:";

impl SignerKind {
    /// The word for people, of which the first two are used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SignerKind::Builtin => "builtin",
            SignerKind::ValidatorClient => "vc",
            SignerKind::Mixed(_) => "mixed",
        }
    }

    /// Reads what is written in the file, the reverse of its text form.
    pub fn from_text(text: &str) -> Option<Self> {
        if let Some(digest) = text.strip_prefix(MIXED) {
            let digest = hex::decode(digest).ok()?;
            return digest.try_into().ok().map(SignerKind::Mixed);
        }
        [SignerKind::Builtin, SignerKind::ValidatorClient]
            .into_iter()
            .find(|kind| kind.name() == text)
    }
}

impl fmt::Display for SignerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignerKind::Mixed(digest) => write!(f, "{MIXED}{}", hex::encode(digest)),
            kind => f.write_str(kind.name()),
        }
    }
}

/// What opening a database needs to know.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    /// The cluster's data folder.
    pub folder: &'a Path,
    /// The chain the rows are about.
    pub genesis_validators_root: Root,
    /// The current slot; `None` before genesis, when nothing can have been signed yet.
    pub now: Option<Slot>,
    /// Slots per epoch, at least 1.
    pub slots_per_epoch: u64,
    /// Whether any of the cluster's validators may have been active before now. The file's own rows count too.
    pub validators_active: bool,
    /// Who signs; `None` for commands that only read or import.
    pub signer: Option<SignerKind>,
    /// Whether the operator has asked for the change of signer, which costs an embargo (S7).
    pub change_signer: bool,
    /// The generation of shares in the folder.
    pub share_epoch: ShareEpoch,
    /// This machine's id, normally [`machine_id()`].
    pub machine: Option<String>,
}

/// Why the database may be older than the last signature (S4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// There was no file, while validators have been active.
    #[error("there was no slashing database although validators have been active")]
    Missing,
    /// The file was last used on another machine.
    #[error("the slashing database was last used on another machine")]
    OtherMachine,
    /// The file is a copy: its device or inode differs.
    #[error("the slashing database is a copy: it was device {} inode {}, now device {} inode {}", was.device, was.inode, is.device, is.inode)]
    OtherFile {
        /// Recorded in the file.
        was: FileIdentity,
        /// Where the file lies now.
        is: FileIdentity,
    },
    /// Commands have made the file, by an import; no node has used it yet.
    #[error(
        "the slashing database has not been used by a node yet, although validators have been active"
    )]
    Unused,
    /// The last sign of life is more than [`STALE_EPOCHS`] old.
    #[error("the slashing database was last in use at slot {heartbeat}, now it is slot {now}")]
    Stale {
        /// The last slot noted; `None` if none ever was.
        heartbeat: Slot,
        /// The current slot.
        now: Slot,
    },
    /// The last sign of life lies in the future: the clock has gone back.
    #[error(
        "the slashing database was in use at slot {heartbeat}, which is later than now, slot {now}"
    )]
    Ahead {
        /// The slot noted.
        heartbeat: Slot,
        /// The current slot.
        now: Slot,
    },
    /// The operator moved the shares to another signer.
    #[error("signing moved from {from} to {to}")]
    SignerChanged {
        /// Who signed before.
        from: SignerKind,
        /// Who signs now.
        to: SignerKind,
    },
}

/// What opening found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the file was created.
    pub created: bool,
    /// Validators it knows.
    pub validators: usize,
    /// Why the past may be unknown; empty after a plain restart.
    pub doubts: Vec<Doubt>,
    /// What is not signed because of these doubts or of earlier ones. Stays in force for good, since nobody honest asks for
    /// the past again.
    pub embargo: Option<Embargo>,
    /// How many validators the embargo does not apply to, since an imported history covers the time.
    pub exempt: usize,
}

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, read or written.
    #[error("slashing database {path}: {source}", path = path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The file system refused.
    #[error("slashing database {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to another chain.
    #[error(
        "slashing database {path} is of the chain with genesis validators root {found}, the beacon node is on {expected}",
        path = path.display()
    )]
    OtherChain {
        /// The file.
        path: PathBuf,
        /// The root in the file.
        found: Root,
        /// The beacon node's.
        expected: Root,
    },
    /// Another signer owns the shares (S7).
    #[error(
        "the shares in {folder} are signed with by `{found}`, this run asks for `{asked}`; make sure that the former has \
         stopped for good, then change the signer explicitly",
        folder = folder.display()
    )]
    OtherSigner {
        /// The data folder.
        folder: PathBuf,
        /// Who owns the shares.
        found: SignerKind,
        /// Who was asked for.
        asked: SignerKind,
    },
    /// The shares are older than those that signed before (S9).
    #[error("the shares in {folder} are of generation {asked}, generation {found} has signed before", folder = folder.display())]
    OldShares {
        /// The data folder.
        folder: PathBuf,
        /// The newest generation that has signed.
        found: u64,
        /// The folder's.
        asked: u64,
    },
}

/// The database failed; the reason is a fact about the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the slashing database failed: {0}")]
pub struct DatabaseError(pub String);

/// The answer to one request to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What may be signed, by validator, in the order asked.
    pub results: Vec<(PublicKeyBytes, Result<(), Refusal>)>,
    /// How long the transaction with its sync took; `None` if nothing was new.
    pub sync: Option<Duration>,
}

/// The database's state, as status and metrics show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Why nothing can be recorded now; `None` while it works.
    pub failing: Option<String>,
    /// Transactions committed since start, heartbeats included.
    pub commits: u64,
    /// Votes recorded since start.
    pub votes: u64,
}

/// [`Status`], shared between the thread and the handles.
#[derive(Clone, Debug, Default)]
struct Health(Arc<Mutex<Status>>);

impl Health {
    fn status(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn committed(&self, votes: usize) {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        status.commits += 1;
        status.votes += votes as u64;
    }

    /// Whether this was a change.
    fn set(&self, failing: Option<String>) -> bool {
        let mut status = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = status.failing != failing;
        status.failing = failing;
        changed
    }
}

/// A handle to the open database. The file closes when the last handle is gone, or at once with [`close`](Self::close).
#[derive(Clone)]
pub struct Database {
    queue: SyncSender<Request>,
    health: Health,
}

impl Database {
    /// Opens the database in a data folder, creating it if there is none, and starts its thread.
    ///
    /// Blocks while it reads the file. The caller shows the doubts of the report to the operator. An unknown schema version, another chain or another signer is
    /// an error: the node stays up without signing, or ends, as the caller decides.
    pub fn open(opening: &Opening<'_>) -> Result<(Self, OpenReport), OpenError> {
        let (committer, report, health) = prepare(opening)?;
        let (queue, requests) = mpsc::sync_channel(QUEUE_LIMIT);
        std::thread::Builder::new()
            .name("slashing".to_owned())
            .spawn(move || committer.run(&requests))
            .map_err(|source| OpenError::Io {
                path: opening.folder.join(FILE_NAME),
                source,
            })?;
        Ok((Self { queue, health }, report))
    }

    /// Judges, writes and syncs `items`, then calls `reply` on the database's thread: it must not block.
    ///
    /// Never blocks. If the thread is gone or [`QUEUE_LIMIT`] requests wait, `reply` is called here with refusals.
    pub fn record(&self, items: Vec<RecordItem>, reply: impl FnOnce(Answer) + Send + 'static) {
        let request = Request::Record(Record::new(items, reply));
        // A request that comes back because the thread is gone is dropped here, which answers it.
        if let Err(TrySendError::Full(Request::Record(record))) = self.queue.try_send(request) {
            record.refuse(&format!("{QUEUE_LIMIT} requests wait for it already"));
        }
    }

    /// Notes that the node is alive at `slot`, and prunes the file; twice an epoch is enough. Dropped when the queue is full.
    pub fn heartbeat(&self, slot: Slot) {
        // A heartbeat that does not get through is no loss: the database is busy, or closed.
        let _ = self.queue.try_send(Request::Heartbeat(slot));
    }

    /// Every validator's history. Blocks until the thread has answered.
    pub fn histories(&self) -> Result<BTreeMap<PublicKeyBytes, History>, DatabaseError> {
        self.ask(|reply| Request::Histories(Box::new(reply)))
    }

    /// One validator's history; empty if it is not known. Blocks like [`histories`](Self::histories).
    pub fn history(&self, validator: &PublicKeyBytes) -> Result<History, DatabaseError> {
        Ok(self.histories()?.remove(validator).unwrap_or_default())
    }

    /// Raises the floors of `floors` and, if `lift`, ends the embargo for the validators named there. Blocks until synced.
    pub fn raise(
        &self,
        floors: BTreeMap<PublicKeyBytes, Floor>,
        lift: bool,
    ) -> Result<(), DatabaseError> {
        self.ask(|reply| Request::Import {
            floors,
            lift,
            reply: Box::new(reply),
        })
    }

    /// How the database is doing.
    pub fn status(&self) -> Status {
        self.health.status()
    }

    /// Serves what waits, closes the file and releases its lock. Other handles then refuse.
    pub fn close(self) {
        let (closed, wait) = mpsc::sync_channel(1);
        if self.queue.send(Request::Close(closed)).is_ok() {
            // An error means that the thread has ended, and with it the file has been closed.
            let _ = wait.recv();
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(Reply<T>) -> Request,
    ) -> Result<T, DatabaseError> {
        let closed = || DatabaseError("it is closed".to_owned());
        let (answer, wait) = mpsc::sync_channel(1);
        let reply: Reply<T> = Box::new(move |result| {
            // The asker waits below for as long as this closure exists.
            let _ = answer.send(result);
        });
        self.queue.send(request(reply)).map_err(|_| closed())?;
        wait.recv().map_err(|_| closed())?
    }
}

/// How the thread answers a question that somebody waits for.
type Reply<T> = Box<dyn FnOnce(Result<T, DatabaseError>) + Send>;

/// Opens and reads the file, decides about doubts, and writes down who uses it from now on.
fn prepare(opening: &Opening<'_>) -> Result<(Committer, OpenReport, Health), OpenError> {
    let path = opening.folder.join(FILE_NAME);
    let store_error = |source| OpenError::Store {
        path: path.clone(),
        source,
    };
    let mut store = Store::open(&path, true).map_err(store_error)?;
    let file = FileIdentity::of(&path).map_err(|source| OpenError::Io {
        path: path.clone(),
        source,
    })?;
    let identity = Identity {
        machine: opening.machine.clone(),
        file,
    };
    let earlier = store.meta().map_err(store_error)?;
    if let Some(earlier) = &earlier {
        permit(opening, &path, earlier)?;
    }
    let histories = store.histories().map_err(store_error)?;
    let active = opening.validators_active || histories.values().any(|history| !history.is_empty());
    let doubts = match opening.now.filter(|_| active) {
        Some(now) => doubts(opening, now, earlier.as_ref(), &identity),
        None => Vec::new(),
    };
    let meta = next_meta(opening, earlier.as_ref(), identity, &doubts);
    let exempt = meta
        .embargo
        .filter(|_| !doubts.is_empty())
        .map(|embargo| exempt(&doubts, embargo, &histories));
    store
        .write_meta(&meta, exempt.as_ref())
        .map_err(store_error)?;
    let open = Open::read(store).map_err(store_error)?;
    let report = OpenReport {
        created: earlier.is_none(),
        validators: histories.len(),
        doubts,
        embargo: meta.embargo,
        exempt: open.lifted.len(),
    };
    let health = Health::default();
    let committer = Committer::new(
        path,
        file,
        opening.share_epoch,
        meta.embargo,
        open,
        health.clone(),
    );
    Ok((committer, report, health))
}

/// Whether this run may use a file with this past at all.
fn permit(opening: &Opening<'_>, path: &Path, earlier: &Meta) -> Result<(), OpenError> {
    if earlier.genesis_validators_root != opening.genesis_validators_root {
        return Err(OpenError::OtherChain {
            path: path.to_owned(),
            found: earlier.genesis_validators_root,
            expected: opening.genesis_validators_root,
        });
    }
    if earlier.share_epoch > opening.share_epoch {
        return Err(OpenError::OldShares {
            folder: opening.folder.to_owned(),
            found: earlier.share_epoch.0,
            asked: opening.share_epoch.0,
        });
    }
    match (earlier.signer, opening.signer) {
        (Some(found), Some(asked)) if found != asked && !opening.change_signer => {
            Err(OpenError::OtherSigner {
                folder: opening.folder.to_owned(),
                found,
                asked,
            })
        }
        _ => Ok(()),
    }
}

/// Every reason to think that something was signed that this file does not know (S4).
fn doubts(
    opening: &Opening<'_>,
    now: Slot,
    earlier: Option<&Meta>,
    identity: &Identity,
) -> Vec<Doubt> {
    let Some(earlier) = earlier else {
        return vec![Doubt::Missing];
    };
    let mut doubts = Vec::new();
    if earlier.identity.machine != identity.machine {
        doubts.push(Doubt::OtherMachine);
    }
    if earlier.identity.file != identity.file {
        doubts.push(Doubt::OtherFile {
            was: earlier.identity.file,
            is: identity.file,
        });
    }
    // Without a heartbeat the file was last in use before genesis, as good as at slot 0.
    let heartbeat = earlier.heartbeat.unwrap_or_default();
    if earlier.heartbeat.is_none() && earlier.signer.is_none() {
        doubts.push(Doubt::Unused);
    } else if now.0.saturating_sub(heartbeat.0)
        > STALE_EPOCHS.saturating_mul(opening.slots_per_epoch)
    {
        doubts.push(Doubt::Stale { heartbeat, now });
    }
    if heartbeat.0 > now.0.saturating_add(1) {
        doubts.push(Doubt::Ahead { heartbeat, now });
    }
    match (earlier.signer, opening.signer) {
        (Some(from), Some(to)) if from != to => doubts.push(Doubt::SignerChanged { from, to }),
        _ => {}
    }
    doubts
}

/// The validators whose imported history covers the time that the doubts are about. Only doubts about age can be answered in
/// this way: if the file may be a copy, the other one may have signed more, whatever has been imported here before.
fn exempt(
    doubts: &[Doubt],
    embargo: Embargo,
    histories: &BTreeMap<PublicKeyBytes, History>,
) -> BTreeSet<PublicKeyBytes> {
    let answerable = |doubt: &Doubt| match doubt {
        Doubt::Missing | Doubt::Unused | Doubt::Stale { .. } => true,
        Doubt::OtherMachine
        | Doubt::OtherFile { .. }
        | Doubt::Ahead { .. }
        | Doubt::SignerChanged { .. } => false,
    };
    if !doubts.iter().all(answerable) {
        return BTreeSet::new();
    }
    histories
        .iter()
        .filter(|(_, history)| covers(&history.floor(), embargo))
        .map(|(validator, _)| *validator)
        .collect()
}

/// Whether a floor is recent enough to stand for everything signed before `embargo`. A floor that votes have sunk into is some
/// [`HISTORY_LIMIT`](flotilla_duty::slashing::HISTORY_LIMIT) votes old and never is.
fn covers(floor: &Floor, embargo: Embargo) -> bool {
    floor
        .target
        .is_some_and(|target| target.0.saturating_add(STALE_EPOCHS) >= embargo.epoch.0)
}

/// What the file says about its owner from now on. An embargo only grows.
fn next_meta(
    opening: &Opening<'_>,
    earlier: Option<&Meta>,
    identity: Identity,
    doubts: &[Doubt],
) -> Meta {
    let heartbeat = opening.now.max(earlier.and_then(|meta| meta.heartbeat));
    let fresh = heartbeat
        .filter(|_| !doubts.is_empty())
        .map(|slot| Embargo {
            epoch: Epoch(
                slot.0
                    .checked_div(opening.slots_per_epoch)
                    .unwrap_or(u64::MAX),
            ),
            slot,
        });
    let old = earlier.and_then(|meta| meta.embargo);
    let embargo = match (old, fresh) {
        (Some(old), Some(fresh)) => Some(Embargo {
            epoch: old.epoch.max(fresh.epoch),
            slot: old.slot.max(fresh.slot),
        }),
        (old, fresh) => old.or(fresh),
    };
    Meta {
        genesis_validators_root: opening.genesis_validators_root,
        heartbeat,
        identity,
        signer: opening.signer.or(earlier.and_then(|meta| meta.signer)),
        share_epoch: opening.share_epoch,
        embargo,
    }
}

#[cfg(test)]
mod tests;
