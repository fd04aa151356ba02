//! The database file: its schema, and reading and writing it. No rule of signing lives here.
//!
//! The file is SQLite in write-ahead mode with `synchronous = FULL`, held under an exclusive lock for as long as it is open:
//! a commit has returned only after its sync. One file belongs to one genesis validators root, which `meta` records, so that
//! rows need no column for it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Attestation, Block, Embargo, Floor, History, Vote};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use super::identity::{FileIdentity, Identity};
use super::{ShareEpoch, SignerKind};

/// The schema this build writes, kept in SQLite's `user_version`.
pub const SCHEMA_VERSION: i64 = 1;

/// Votes are ordered by time first: what a cluster signs in one epoch lands on neighbouring pages, and a commit syncs few of them.
const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE floors (pubkey BLOB PRIMARY KEY, source INTEGER, target INTEGER, slot INTEGER) STRICT, WITHOUT ROWID;
CREATE TABLE lifted (pubkey BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE attestations (
    pubkey BLOB NOT NULL, target INTEGER NOT NULL, source INTEGER NOT NULL,
    signing_root BLOB NOT NULL, share_epoch INTEGER NOT NULL, PRIMARY KEY (target, pubkey)
) STRICT, WITHOUT ROWID;
CREATE TABLE blocks (
    pubkey BLOB NOT NULL, slot INTEGER NOT NULL,
    signing_root BLOB NOT NULL, share_epoch INTEGER NOT NULL, PRIMARY KEY (slot, pubkey)
) STRICT, WITHOUT ROWID;
";

/// Why the file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite's own word: disk full, file damaged, not a database, and so on.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// Another process has it open.
    #[error("another process has it open")]
    InUse,
    /// A newer Flotilla wrote it.
    #[error(
        "it has schema version {found}, this build knows up to {SCHEMA_VERSION}; run the newer build that wrote it"
    )]
    NewerSchema {
        /// The file's version.
        found: i64,
    },
    /// It does not contain what its schema promises.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Write-ahead mode is refused by the file system.
    #[error("the file system does not allow write-ahead mode (SQLite answered {0:?})")]
    NoWriteAhead(String),
}

/// Everything in `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    pub genesis_validators_root: Root,
    /// The last slot at which the owner of the file is known to have been alive; `None` before genesis.
    pub heartbeat: Option<Slot>,
    pub identity: Identity,
    pub signer: Option<SignerKind>,
    pub share_epoch: ShareEpoch,
    pub embargo: Option<Embargo>,
}

/// What one transaction writes.
#[derive(Debug, Default)]
pub struct Changes {
    /// New votes.
    pub votes: Vec<RecordItem>,
    /// Validators whose oldest votes sank into their floor.
    pub sunk: BTreeMap<PublicKeyBytes, Sunk>,
    /// A sign of life.
    pub heartbeat: Option<Slot>,
    /// Validators exempt from the embargo from now on.
    pub lifted: BTreeSet<PublicKeyBytes>,
}

/// A validator's floor, and where its complete history now begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sunk {
    pub floor: Floor,
    pub first_target: Option<Epoch>,
    pub first_slot: Option<Slot>,
}

impl Sunk {
    /// As it stands in `history`.
    pub fn of(history: &History) -> Self {
        Self {
            floor: history.floor(),
            first_target: history
                .attestations()
                .next()
                .map(|attestation| attestation.target),
            first_slot: history.blocks().next().map(|block| block.slot),
        }
    }

    /// Whether something known in full at `earlier` has sunk into the floor since.
    pub fn lies_beyond(&self, earlier: &Self) -> bool {
        self.floor != earlier.floor
            || earlier
                .first_target
                .is_some_and(|target| self.first_target > Some(target))
            || earlier
                .first_slot
                .is_some_and(|slot| self.first_slot > Some(slot))
    }
}

impl Changes {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.votes.is_empty()
            && self.sunk.is_empty()
            && self.heartbeat.is_none()
            && self.lifted.is_empty()
    }
}

/// The open file.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the file, creating it if `create`, and takes its lock. Everything readable afterwards is also on disk.
    pub fn open(path: &Path, create: bool) -> Result<Self, StoreError> {
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
        let mut store = Self {
            connection: Connection::open_with_flags(path, flags)?,
        };
        store.configure().map_err(StoreError::or_in_use)?;
        Ok(store)
    }

    fn configure(&mut self) -> Result<(), StoreError> {
        // Whoever else has the file will keep it for as long as it runs; waiting would only delay the refusal.
        self.connection.busy_timeout(Duration::ZERO)?;
        // Exclusive before write-ahead: the log's index then lives in this process, not in a shared file.
        self.connection
            .pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let mode: String = self
            .connection
            .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::NoWriteAhead(mode));
        }
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        self.migrate()?;
        let verdict: String = self
            .connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(StoreError::Damaged(verdict));
        }
        // A process that died between writing and syncing leaves rows that are readable but not yet durable. The
        // checkpoint syncs the log and writes them to the main file, so that "signed before" can be relied upon.
        let busy: i64 =
            self.connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            Err(StoreError::InUse)
        } else {
            Ok(())
        }
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let found: i64 = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            SCHEMA_VERSION => Ok(()),
            0 => {
                let transaction = self.connection.transaction()?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                Ok(transaction.commit()?)
            }
            found => Err(StoreError::NewerSchema { found }),
        }
    }

    /// What the last session left in `meta`; `None` in a file that no session has used.
    pub fn meta(&self) -> Result<Option<Meta>, StoreError> {
        let Some(root) = self.value("genesis_validators_root")? else {
            return Ok(None);
        };
        let embargo = match (self.number("embargo_epoch")?, self.number("embargo_slot")?) {
            (Some(epoch), Some(slot)) => Some(Embargo {
                epoch: Epoch(epoch),
                slot: Slot(slot),
            }),
            _ => None,
        };
        let signer = self.value("signer")?.map(|name| {
            SignerKind::from_text(&name)
                .ok_or_else(|| StoreError::Damaged(format!("meta signer is {name:?}")))
        });
        Ok(Some(Meta {
            genesis_validators_root: root.parse().map_err(|_| {
                StoreError::Damaged(format!("meta genesis_validators_root is {root:?}"))
            })?,
            heartbeat: self.number("heartbeat")?.map(Slot),
            identity: Identity {
                machine: self.value("machine")?,
                file: FileIdentity {
                    device: self.number("device")?.unwrap_or_default(),
                    inode: self.number("inode")?.unwrap_or_default(),
                },
            },
            signer: signer.transpose()?,
            share_epoch: ShareEpoch(self.number("share_epoch")?.unwrap_or_default()),
            embargo,
        }))
    }

    /// Replaces `meta` and, if given, the exemptions from an earlier embargo by those from the one in `meta`. Synced on return.
    pub fn write_meta(
        &mut self,
        meta: &Meta,
        lifted: Option<&BTreeSet<PublicKeyBytes>>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        let root = meta.genesis_validators_root.to_string();
        put(&transaction, "genesis_validators_root", Some(root))?;
        put(
            &transaction,
            "heartbeat",
            meta.heartbeat.map(|slot| slot.0.to_string()),
        )?;
        put(&transaction, "machine", meta.identity.machine.clone())?;
        put(
            &transaction,
            "device",
            Some(meta.identity.file.device.to_string()),
        )?;
        put(
            &transaction,
            "inode",
            Some(meta.identity.file.inode.to_string()),
        )?;
        put(
            &transaction,
            "signer",
            meta.signer.map(|kind| kind.to_string()),
        )?;
        put(
            &transaction,
            "share_epoch",
            Some(meta.share_epoch.0.to_string()),
        )?;
        put(
            &transaction,
            "embargo_epoch",
            meta.embargo.map(|embargo| embargo.epoch.0.to_string()),
        )?;
        put(
            &transaction,
            "embargo_slot",
            meta.embargo.map(|embargo| embargo.slot.0.to_string()),
        )?;
        if let Some(lifted) = lifted {
            transaction.execute("DELETE FROM lifted", [])?;
            lift(&transaction, lifted)?;
        }
        Ok(transaction.commit()?)
    }

    /// Every validator's history, as complete as the file has it.
    pub fn histories(&self) -> Result<BTreeMap<PublicKeyBytes, History>, StoreError> {
        let mut histories = self.floors()?;
        let mut statement = self.connection.prepare(
            "SELECT pubkey, source, target, signing_root FROM attestations ORDER BY target",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let vote = Attestation {
                source: Epoch(row.get(1)?),
                target: Epoch(row.get(2)?),
                signing_root: Root(row.get(3)?),
            };
            histories
                .entry(PublicKeyBytes(row.get(0)?))
                .or_default()
                .insert(&Vote::Attestation(vote));
        }
        let mut statement = self
            .connection
            .prepare("SELECT pubkey, slot, signing_root FROM blocks ORDER BY slot")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let block = Block {
                slot: Slot(row.get(1)?),
                signing_root: Root(row.get(2)?),
            };
            histories
                .entry(PublicKeyBytes(row.get(0)?))
                .or_default()
                .insert(&Vote::Block(block));
        }
        Ok(histories)
    }

    fn floors(&self) -> Result<BTreeMap<PublicKeyBytes, History>, StoreError> {
        let mut statement = self
            .connection
            .prepare("SELECT pubkey, source, target, slot FROM floors")?;
        let rows = statement.query_map([], |row| {
            let floor = Floor {
                source: row.get::<_, Option<u64>>(1)?.map(Epoch),
                target: row.get::<_, Option<u64>>(2)?.map(Epoch),
                slot: row.get::<_, Option<u64>>(3)?.map(Slot),
            };
            Ok((PublicKeyBytes(row.get(0)?), History::with_floor(floor)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Validators exempt from the embargo in force.
    pub fn lifted(&self) -> Result<BTreeSet<PublicKeyBytes>, StoreError> {
        let mut statement = self.connection.prepare("SELECT pubkey FROM lifted")?;
        let rows = statement.query_map([], |row| Ok(PublicKeyBytes(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Writes `changes` in one transaction: on return they are synced, or none of them is in the file.
    pub fn write(&mut self, changes: &Changes, share_epoch: ShareEpoch) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for item in &changes.votes {
            insert(&transaction, item, share_epoch)?;
        }
        for (validator, sunk) in &changes.sunk {
            sink(&transaction, validator, sunk)?;
        }
        if let Some(slot) = changes.heartbeat {
            put(&transaction, "heartbeat", Some(slot.0.to_string()))?;
        }
        lift(&transaction, &changes.lifted)?;
        Ok(transaction.commit()?)
    }

    fn value(&self, key: &str) -> Result<Option<String>, StoreError> {
        let query = "SELECT value FROM meta WHERE key = ?1";
        Ok(self
            .connection
            .query_row(query, params![key], |row| row.get(0))
            .optional()?)
    }

    fn number(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let parse = |text: String| {
            text.parse()
                .map_err(|_| StoreError::Damaged(format!("meta {key} is {text:?}")))
        };
        self.value(key)?.map(parse).transpose()
    }

    /// Makes the file system look full at `pages` pages, as a disk would.
    #[cfg(test)]
    pub fn limit_pages(&self, pages: u32) {
        self.connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
            .expect("a pragma");
    }
}

impl StoreError {
    /// SQLite's two words for a foreign lock, as one sentence.
    fn or_in_use(self) -> Self {
        match &self {
            Self::Sqlite(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
                ) =>
            {
                Self::InUse
            }
            _ => self,
        }
    }
}

fn put(transaction: &Transaction<'_>, key: &str, value: Option<String>) -> Result<(), StoreError> {
    match value {
        Some(value) => transaction
            .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute(params![key, value])?,
        None => transaction.execute("DELETE FROM meta WHERE key = ?1", params![key])?,
    };
    Ok(())
}

fn lift(
    transaction: &Transaction<'_>,
    validators: &BTreeSet<PublicKeyBytes>,
) -> Result<(), StoreError> {
    let mut statement =
        transaction.prepare_cached("INSERT OR IGNORE INTO lifted (pubkey) VALUES (?1)")?;
    for validator in validators {
        statement.execute(params![validator.0])?;
    }
    Ok(())
}

/// A plain insert: that a row for this target or slot exists already would be a bug, and fails the transaction.
fn insert(
    transaction: &Transaction<'_>,
    item: &RecordItem,
    share_epoch: ShareEpoch,
) -> Result<(), StoreError> {
    let validator = item.validator.0;
    match &item.vote {
        Vote::Attestation(vote) => transaction
            .prepare_cached(
                "INSERT INTO attestations (pubkey, target, source, signing_root, share_epoch) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![validator, vote.target.0, vote.source.0, vote.signing_root.0, share_epoch.0])?,
        Vote::Block(block) => transaction
            .prepare_cached("INSERT INTO blocks (pubkey, slot, signing_root, share_epoch) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![validator, block.slot.0, block.signing_root.0, share_epoch.0])?,
    };
    Ok(())
}

/// Writes a floor and deletes what lies before the complete history.
fn sink(
    transaction: &Transaction<'_>,
    validator: &PublicKeyBytes,
    sunk: &Sunk,
) -> Result<(), StoreError> {
    let (validator, floor) = (validator.0, sunk.floor);
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO floors (pubkey, source, target, slot) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            validator,
            floor.source.map(|epoch| epoch.0),
            floor.target.map(|epoch| epoch.0),
            floor.slot.map(|slot| slot.0)
        ])?;
    if let Some(first) = sunk.first_target {
        transaction
            .prepare_cached("DELETE FROM attestations WHERE pubkey = ?1 AND target < ?2")?
            .execute(params![validator, first.0])?;
    }
    if let Some(first) = sunk.first_slot {
        transaction
            .prepare_cached("DELETE FROM blocks WHERE pubkey = ?1 AND slot < ?2")?
            .execute(params![validator, first.0])?;
    }
    Ok(())
}
