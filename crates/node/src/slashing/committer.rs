//! The database's own thread: takes all waiting requests, judges them in order, and makes one sync serve them all.
//!
//! The in-memory histories run ahead of the file only within one call of [`Committer::serve`]. If the commit fails, they are
//! thrown away, nothing of the batch is permitted, and every later batch first tries to open and read the file again:
//! memory is rolled back by re-reading the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Embargo, Floor, History, Permission, Refusal, Vote};
use flotilla_types::{PublicKeyBytes, Slot};

use super::identity::FileIdentity;
use super::store::{Changes, Store, StoreError, Sunk};
use super::{Answer, DatabaseError, Health, Reply, ShareEpoch};

/// Requests served by one transaction at most; the rest wait for the next.
const BATCH_LIMIT: usize = 256;

/// What the thread is asked for.
pub enum Request {
    /// Judge, write, sync, answer.
    Record(Record),
    /// Note that this node is alive at a slot.
    Heartbeat(Slot),
    /// Raise floors and, if `lift`, end the embargo for the validators named.
    Import {
        floors: BTreeMap<PublicKeyBytes, Floor>,
        lift: bool,
        reply: Reply<()>,
    },
    /// Read everything.
    Histories(Reply<BTreeMap<PublicKeyBytes, History>>),
    /// Close the file and end the thread.
    Close(SyncSender<()>),
}

/// Votes to record, and whom to tell. Whoever asked is always answered: with refusals if this is dropped instead.
pub struct Record {
    items: Vec<RecordItem>,
    reply: Option<Box<dyn FnOnce(Answer) + Send>>,
}

impl Record {
    /// A request to record `items`.
    pub fn new(items: Vec<RecordItem>, reply: impl FnOnce(Answer) + Send + 'static) -> Self {
        Self {
            items,
            reply: Some(Box::new(reply)),
        }
    }

    fn answer(mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            reply(answer);
        }
    }

    /// Answers that nothing may be signed.
    pub fn refuse(self, reason: &str) {
        let answer = self.refusal(reason);
        self.answer(answer);
    }

    fn refusal(&self, reason: &str) -> Answer {
        let refuse =
            |item: &RecordItem| (item.validator, Err(Refusal::Database(reason.to_owned())));
        Answer {
            results: self.items.iter().map(refuse).collect(),
            sync: None,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply(self.refusal("it is closed"));
        }
    }
}

/// The file as it is open, with its contents in memory.
pub struct Open {
    pub store: Store,
    pub histories: BTreeMap<PublicKeyBytes, History>,
    pub lifted: BTreeSet<PublicKeyBytes>,
    /// Validators whose floor has risen in memory since it was last written. Writing it can wait for a heartbeat, off the path
    /// of a duty: until then the file has a few rows more than memory, and reading them gives the same history.
    sunk: BTreeMap<PublicKeyBytes, Sunk>,
}

impl Open {
    /// Reads everything that signing depends on.
    pub fn read(store: Store) -> Result<Self, StoreError> {
        Ok(Self {
            histories: store.histories()?,
            lifted: store.lifted()?,
            sunk: BTreeMap::new(),
            store,
        })
    }

    /// Judges one vote; a new one is noted in memory and in `changes`.
    fn judge(
        &mut self,
        embargo: Option<Embargo>,
        item: &RecordItem,
        changes: &mut Changes,
    ) -> Result<(), Refusal> {
        if let Some(embargo) = embargo.filter(|_| !self.lifted.contains(&item.validator)) {
            embargo.check(&item.vote)?;
        }
        fits(&item.vote)?;
        let history = self.histories.entry(item.validator).or_default();
        if history.check(&item.vote)? == Permission::Repeat {
            return Ok(());
        }
        let before = Sunk::of(history);
        history.insert(&item.vote);
        let after = Sunk::of(history);
        if after.lies_beyond(&before) {
            self.sunk.insert(item.validator, after);
        }
        changes.votes.push(item.clone());
        Ok(())
    }
}

/// SQLite's integers have 63 bits; an honest epoch or slot has far fewer.
fn fits(vote: &Vote) -> Result<(), Refusal> {
    let largest = match vote {
        Vote::Attestation(attestation) => attestation.source.0.max(attestation.target.0),
        Vote::Block(block) => block.slot.0,
    };
    match i64::try_from(largest) {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::Database(format!(
            "{largest} is no plausible epoch or slot"
        ))),
    }
}

/// The thread's state.
pub struct Committer {
    path: PathBuf,
    identity: FileIdentity,
    share_epoch: ShareEpoch,
    embargo: Option<Embargo>,
    /// The open file, or why there is none.
    open: Result<Open, String>,
    health: Health,
}

impl Committer {
    /// Takes over a file that has just been opened and read.
    pub fn new(
        path: PathBuf,
        identity: FileIdentity,
        share_epoch: ShareEpoch,
        embargo: Option<Embargo>,
        open: Open,
        health: Health,
    ) -> Self {
        Self {
            path,
            identity,
            share_epoch,
            embargo,
            open: Ok(open),
            health,
        }
    }

    /// Serves requests until all handles are gone or one of them closes the database.
    pub fn run(mut self, requests: &Receiver<Request>) {
        while let Ok(first) = requests.recv() {
            let mut batch = vec![first];
            batch.extend(requests.try_iter().take(BATCH_LIMIT - 1));
            if let Some(closed) = self.serve(batch) {
                drop(self);
                // The closer may have stopped waiting; the file is closed either way.
                let _ = closed.send(());
                return;
            }
        }
    }

    /// Serves one batch with at most one transaction. Returns whom to tell once the file is closed, if one asked for that.
    pub fn serve(&mut self, batch: Vec<Request>) -> Option<SyncSender<()>> {
        let mut records = Vec::new();
        let mut heartbeat = None;
        let mut others = Vec::new();
        for request in batch {
            match request {
                Request::Record(record) => records.push(record),
                Request::Heartbeat(slot) => heartbeat = heartbeat.max(Some(slot)),
                other => others.push(other),
            }
        }
        for (answer, record) in self.commit(&records, heartbeat).into_iter().zip(records) {
            record.answer(answer);
        }
        let mut closer = None;
        for request in others {
            match request {
                Request::Import {
                    floors,
                    lift,
                    reply,
                } => reply(self.import(&floors, lift)),
                Request::Histories(reply) => reply(self.ready().map(|open| open.histories.clone())),
                Request::Close(closed) => closer = Some(closed),
                Request::Record(_) | Request::Heartbeat(_) => {} // Served above.
            }
        }
        closer
    }

    /// Judges and writes; one answer per entry of `records`.
    fn commit(&mut self, records: &[Record], heartbeat: Option<Slot>) -> Vec<Answer> {
        if records.is_empty() && heartbeat.is_none() {
            return Vec::new();
        }
        match self.try_commit(records, heartbeat) {
            Ok(answers) => answers,
            Err(error) => records
                .iter()
                .map(|record| record.refusal(&error.0))
                .collect(),
        }
    }

    fn try_commit(
        &mut self,
        records: &[Record],
        heartbeat: Option<Slot>,
    ) -> Result<Vec<Answer>, DatabaseError> {
        let embargo = self.embargo;
        let open = self.ready()?;
        let mut changes = Changes {
            heartbeat,
            ..Changes::default()
        };
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            let judge =
                |item: &RecordItem| (item.validator, open.judge(embargo, item, &mut changes));
            answers.push(Answer {
                results: record.items.iter().map(judge).collect(),
                sync: None,
            });
        }
        if heartbeat.is_some() {
            changes.sunk = std::mem::take(&mut open.sunk);
        }
        let sync = self.write(&changes)?;
        for answer in &mut answers {
            answer.sync = sync;
        }
        Ok(answers)
    }

    fn import(
        &mut self,
        floors: &BTreeMap<PublicKeyBytes, Floor>,
        lift: bool,
    ) -> Result<(), DatabaseError> {
        let open = self.ready()?;
        let mut changes = Changes::default();
        for (validator, floor) in floors {
            let history = open.histories.entry(*validator).or_default();
            history.raise(*floor);
            changes.sunk.insert(*validator, Sunk::of(history));
            if lift {
                open.lifted.insert(*validator);
                changes.lifted.insert(*validator);
            }
        }
        self.write(&changes).map(|_| ())
    }

    /// Writes and syncs. On failure the file is let go together with what memory believed.
    fn write(&mut self, changes: &Changes) -> Result<Option<Duration>, DatabaseError> {
        let share_epoch = self.share_epoch;
        let open = self.ready()?;
        if changes.is_empty() {
            return Ok(None);
        }
        let started = Instant::now();
        match open.store.write(changes, share_epoch) {
            Ok(()) => {
                self.health.committed(changes.votes.len());
                Ok(Some(started.elapsed()))
            }
            Err(error) => Err(self.fail(error.to_string())),
        }
    }

    /// The open file; after a failure, it is opened and read again first.
    fn ready(&mut self) -> Result<&mut Open, DatabaseError> {
        // A file that was moved away still takes our writes, and none of them would be found after a restart.
        match FileIdentity::of(&self.path) {
            Ok(identity) if identity == self.identity => {}
            Ok(_) => {
                return Err(
                    self.fail("the file was replaced while in use; restart the node".to_owned())
                );
            }
            Err(error) => return Err(self.fail(format!("the file is gone: {error}"))),
        }
        if self.open.is_err() {
            match Store::open(&self.path, false).and_then(Open::read) {
                Ok(open) => {
                    tracing::warn!(path = %self.path.display(), "the slashing database works again");
                    self.open = Ok(open);
                }
                Err(error) => return Err(self.fail(error.to_string())),
            }
        }
        self.health.set(None);
        self.open
            .as_mut()
            .map_err(|reason| DatabaseError(reason.clone()))
    }

    fn fail(&mut self, reason: String) -> DatabaseError {
        if self.health.set(Some(reason.clone())) {
            tracing::error!(path = %self.path.display(), reason, "the slashing database failed; nothing is signed");
        }
        self.open = Err(reason.clone());
        DatabaseError(reason)
    }

    /// The open file, for tests that break it.
    #[cfg(test)]
    pub fn open_mut(&mut self) -> &mut Open {
        self.open.as_mut().expect("open")
    }
}
