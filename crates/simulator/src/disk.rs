//! What a node has on disk: the slashing database with its sync, the vote log, signatures of duties without deadline.

use std::collections::BTreeMap;

use flotilla_crypto::ShareIndex;
use flotilla_duty::io::{PartialSet, RecordItem};
use flotilla_duty::slashing::{Embargo, History, Refusal, Vote};
use flotilla_types::{Duty, PublicKeyBytes};

/// One node's disk. It outlives the process; what is not synced may not outlive the machine.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// What a crash of the machine leaves.
    synced: BTreeMap<PublicKeyBytes, History>,
    /// What the running process sees.
    current: BTreeMap<PublicKeyBytes, History>,
    /// S4: set when the database was found missing.
    embargo: Option<Embargo>,
    /// The vote log's records, in the encoding of `wire`.
    votes: Vec<Vec<u8>>,
    /// Partial signatures of duties without deadline, synced as they are written.
    kept: BTreeMap<(Duty, ShareIndex), Vec<PartialSet>>,
}

/// The database's answer, due when its sync is done.
#[derive(Clone, Debug)]
pub struct Commit {
    /// What may be signed.
    pub results: Vec<(PublicKeyBytes, Result<(), Refusal>)>,
    /// What the sync makes durable.
    votes: Vec<(PublicKeyBytes, Vote)>,
}

impl Disk {
    /// Checks and writes; durable only after [`sync`](Self::sync).
    pub fn write(&mut self, items: &[RecordItem]) -> Commit {
        let mut commit = Commit {
            results: vec![],
            votes: vec![],
        };
        for RecordItem { validator, vote } in items {
            let history = self.current.entry(*validator).or_default();
            let allowed = self
                .embargo
                .map_or(Ok(()), |embargo| embargo.check(vote))
                .and_then(|()| history.check(vote).map(|_| ()));
            if allowed.is_ok() {
                history.insert(vote);
                commit.votes.push((*validator, *vote));
            }
            commit.results.push((*validator, allowed));
        }
        commit
    }

    /// The sync of a commit is done.
    pub fn sync(&mut self, commit: &Commit) {
        for (validator, vote) in &commit.votes {
            self.synced.entry(*validator).or_default().insert(vote);
        }
    }

    /// The process died: the operating system still writes out what it was given.
    pub fn process_died(&mut self) {
        self.synced.clone_from(&self.current);
    }

    /// The machine died: what was not synced is gone, the vote log counts for nothing.
    pub fn machine_died(&mut self) {
        self.current.clone_from(&self.synced);
        self.votes.clear();
    }

    /// The disk died: S4 applies from the moment the node starts again.
    pub fn disk_died(&mut self) {
        *self = Self::default();
    }

    /// S4: what may have been signed by now is not signed again.
    pub fn place_embargo(&mut self, embargo: Embargo) {
        self.embargo = Some(embargo);
    }

    /// Appends to the vote log.
    pub fn append_vote(&mut self, record: Vec<u8>) {
        self.votes.push(record);
    }

    /// The vote log, oldest first.
    pub fn votes(&self) -> &[Vec<u8>] {
        &self.votes
    }

    /// Keeps partial signatures.
    pub fn keep(&mut self, set: PartialSet) {
        let kept = self.kept.entry((set.duty, set.share)).or_default();
        if !kept.contains(&set) {
            kept.push(set);
        }
    }

    /// Partial signatures that were kept.
    pub fn kept(&self) -> impl Iterator<Item = &PartialSet> + '_ {
        self.kept.values().flatten()
    }

    /// The duty has ended.
    pub fn discard(&mut self, duty: Duty) {
        self.kept.retain(|(of, _), _| *of != duty);
    }

    /// A node forgets its votes (a deliberate fault).
    pub fn forget_votes(&mut self) {
        self.votes.clear();
    }
}
