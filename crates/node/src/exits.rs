//! Voluntary exits that are being collected in the cluster, on disk: operators ask for them on different days, and no company's
//! server keeps what they have signed.
//!
//! `exits.json` in the data folder holds every member's partial signature; it is read at start, and peers are sent ours again
//! each epoch. An operator's wish is a file in `exit-requests/`, named after the validator, which stays until it is signed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flotilla_crypto::ShareIndex;
use flotilla_duty::io::{Partial, PartialSet};
use flotilla_types::{
    Chain, Duty, DutyKind, Epoch, PublicKeyBytes, SignedData, SignedVoluntaryExit,
};
use serde::{Deserialize, Serialize};

use crate::folder::{self, FolderError, Overwrite, WriteError};

/// Name of the file with partial signatures in the data folder.
pub const EXITS_FILE_NAME: &str = "exits.json";
/// Name of the folder with operators' wishes in the data folder.
pub const EXIT_REQUESTS_FOLDER_NAME: &str = "exit-requests";
/// Epochs that are kept of one member's share of one validator, the newest (spec 30 §5.2): a member's partial signatures are not
/// checked before there are enough, and can so push out none but its own.
const EPOCHS_KEPT: usize = 10;

/// Why exits could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ExitsError {
    /// The file.
    #[error(transparent)]
    Read(#[from] FolderError),
    /// Its content.
    #[error("{path}: {source}; it holds partial signatures of exits: move it away to start without them", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// One member's partial signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    validator: PublicKeyBytes,
    share: u64,
    exit: SignedVoluntaryExit,
}

/// How far an exit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The validator's group public key.
    pub validator: PublicKeyBytes,
    /// The epoch it wants to leave in, at the earliest.
    pub epoch: Epoch,
    /// The shares that have signed, from 1.
    pub shares: Vec<u64>,
}

/// The exits of one cluster.
#[derive(Debug)]
pub(crate) struct Exits {
    folder: PathBuf,
    kept: BTreeMap<Key, SignedVoluntaryExit>,
}

/// Validator, epoch and share.
type Key = (PublicKeyBytes, Epoch, u64);

impl Exits {
    /// Reads what is kept in a data folder.
    pub fn open(folder: &Path) -> Result<Self, ExitsError> {
        let path = folder.join(EXITS_FILE_NAME);
        let kept: Vec<Kept> = match path.exists() {
            false => Vec::new(),
            true => {
                let bytes = folder::read(&path, "it was there a moment ago")?;
                serde_json::from_slice(&bytes)
                    .map_err(|source| ExitsError::Content { path, source })?
            }
        };
        let key = |kept: Kept| {
            (
                (kept.validator, kept.exit.message.epoch, kept.share),
                kept.exit,
            )
        };
        Ok(Self {
            folder: folder.to_owned(),
            kept: kept.into_iter().map(key).collect(),
        })
    }

    /// What is kept, as messages of the members.
    pub fn sets(&self, chain: &Chain) -> Vec<PartialSet> {
        let mut sets: BTreeMap<(Epoch, u64), BTreeMap<PublicKeyBytes, Partial>> = BTreeMap::new();
        for (&(validator, epoch, share), exit) in &self.kept {
            let data = SignedData::Exit(*exit);
            let signing_root = data.signing_root(chain);
            let set = sets.entry((epoch, share)).or_default();
            set.insert(validator, Partial { data, signing_root });
        }
        let set = |((epoch, share), items)| {
            Some(PartialSet {
                duty: Duty::new(chain.first_slot(epoch), DutyKind::Exit),
                share: ShareIndex::new(share)?,
                items,
            })
        };
        sets.into_iter().filter_map(set).collect()
    }

    /// Keeps a member's partial signatures. The first one of a share for an epoch stays.
    pub fn keep(&mut self, set: &PartialSet) -> Result<(), WriteError> {
        let share = u64::from(set.share.get());
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for (validator, partial) in &set.items {
            if let SignedData::Exit(exit) = &partial.data {
                let key = (*validator, exit.message.epoch, share);
                if let Entry::Vacant(place) = self.kept.entry(key) {
                    place.insert(*exit);
                    old.extend(self.make_room(validator, share));
                    new.push(key);
                }
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let written = self.write();
        if written.is_err() {
            // What is not on disk is not kept: the wish stays, and is signed again.
            for key in &new {
                self.kept.remove(key);
            }
            self.kept.extend(old);
        }
        written
    }

    /// Takes away a share's oldest epoch of a validator if there are too many.
    fn make_room(
        &mut self,
        validator: &PublicKeyBytes,
        share: u64,
    ) -> Option<(Key, SignedVoluntaryExit)> {
        let all = (*validator, Epoch(0), 0)..=(*validator, Epoch(u64::MAX), u64::MAX);
        let mut epochs = self.kept.range(all).filter(|((_, _, by), _)| *by == share);
        let (&oldest, _) = epochs.next()?;
        match epochs.count() < EPOCHS_KEPT {
            true => None,
            false => self.kept.remove_entry(&oldest),
        }
    }

    /// Forgets validators that have left.
    pub fn forget(&mut self, left: &BTreeSet<PublicKeyBytes>) -> Result<(), WriteError> {
        let before = self.kept.len();
        self.kept
            .retain(|(validator, ..), _| !left.contains(validator));
        match self.kept.len() < before {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// The epoch that most members have signed for: joining them is what completes an exit.
    pub fn epoch_of(&self, validator: &PublicKeyBytes) -> Option<Epoch> {
        self.progress()
            .into_iter()
            .filter(|progress| progress.validator == *validator)
            .max_by_key(|progress| progress.shares.len())
            .map(|progress| progress.epoch)
    }

    /// Whether this share has signed an exit of this validator.
    pub fn has_signed(&self, validator: &PublicKeyBytes, share: ShareIndex) -> bool {
        let share = u64::from(share.get());
        self.kept
            .keys()
            .any(|(kept, _, by)| kept == validator && *by == share)
    }

    /// How far every exit is.
    pub fn progress(&self) -> Vec<Progress> {
        let mut shares: BTreeMap<(PublicKeyBytes, Epoch), Vec<u64>> = BTreeMap::new();
        for &(validator, epoch, share) in self.kept.keys() {
            shares.entry((validator, epoch)).or_default().push(share);
        }
        let progress = |((validator, epoch), shares)| Progress {
            validator,
            epoch,
            shares,
        };
        shares.into_iter().map(progress).collect()
    }

    fn write(&self) -> Result<(), WriteError> {
        let kept = |(&(validator, _, share), exit): (&Key, &_)| Kept {
            validator,
            share,
            exit: *exit,
        };
        let kept: Vec<Kept> = self.kept.iter().map(kept).collect();
        let json = serde_json::to_vec_pretty(&kept).expect("keys and numbers can be written");
        let path = self.folder.join(EXITS_FILE_NAME);
        folder::write_atomic(&path, &json, 0o600, Overwrite::Replace)
    }
}

/// The validators that the operator wants to leave. Names that are no public key are ignored.
pub(crate) fn requested(folder: &Path) -> Vec<PublicKeyBytes> {
    let Ok(entries) = fs::read_dir(folder.join(EXIT_REQUESTS_FOLDER_NAME)) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

/// Asks a running node to sign a validator's exit.
///
/// # Errors
/// Those of the file system.
pub fn request(folder: &Path, validator: PublicKeyBytes) -> io::Result<()> {
    let requests = folder.join(EXIT_REQUESTS_FOLDER_NAME);
    fs::create_dir_all(&requests)?;
    fs::write(requests.join(validator.to_string()), "")
}

/// Whether a wish is still open.
pub fn is_requested(folder: &Path, validator: &PublicKeyBytes) -> bool {
    let requests = folder.join(EXIT_REQUESTS_FOLDER_NAME);
    requests.join(validator.to_string()).exists()
}

/// How far the exits of a data folder are; to be asked beside a running node too.
///
/// # Errors
/// [`ExitsError`].
pub fn progress(folder: &Path) -> Result<Vec<Progress>, ExitsError> {
    Exits::open(folder).map(|exits| exits.progress())
}

/// A wish that was carried out, or can not be.
pub(crate) fn settle_request(folder: &Path, validator: &PublicKeyBytes) {
    let path = folder
        .join(EXIT_REQUESTS_FOLDER_NAME)
        .join(validator.to_string());
    // If it stays, signing again changes nothing.
    let _ = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use flotilla_types::{
        ChainSpec, ForkVersion, Root, SignatureBytes, Timestamp, ValidatorIndex, VoluntaryExit,
    };
    use tempfile::TempDir;

    use super::*;

    const VALIDATOR: PublicKeyBytes = PublicKeyBytes([7; 48]);

    fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0])),
            genesis_time: Timestamp::from_secs(1),
            genesis_validators_root: Root([1; 32]),
        }
    }

    fn set(share: u64, epoch: u64, signature: u8) -> PartialSet {
        let data = SignedData::Exit(SignedVoluntaryExit {
            message: VoluntaryExit {
                epoch: Epoch(epoch),
                validator_index: ValidatorIndex(3),
            },
            signature: SignatureBytes([signature; 96]),
        });
        let signing_root = data.signing_root(&chain());
        PartialSet {
            duty: Duty::new(chain().first_slot(Epoch(epoch)), DutyKind::Exit),
            share: ShareIndex::new(share).unwrap(),
            items: [(VALIDATOR, Partial { data, signing_root })].into(),
        }
    }

    #[test]
    fn what_is_kept_survives_a_restart_and_the_first_signature_stays() {
        let folder = TempDir::new().unwrap();
        let mut exits = Exits::open(folder.path()).unwrap();
        exits.keep(&set(1, 5, 1)).unwrap();
        exits.keep(&set(1, 5, 2)).unwrap();
        exits.keep(&set(3, 5, 3)).unwrap();
        exits.keep(&set(2, 4, 4)).unwrap();
        let mut exits = Exits::open(folder.path()).unwrap();
        let mut kept = exits.sets(&chain());
        kept.sort_by_key(|set| set.share);
        assert_eq!(kept, [set(1, 5, 1), set(2, 4, 4), set(3, 5, 3)]);
        assert_eq!(exits.epoch_of(&VALIDATOR), Some(Epoch(5)));
        assert!(exits.has_signed(&VALIDATOR, ShareIndex::new(1).unwrap()));
        exits.forget(&[VALIDATOR].into()).unwrap();
        assert!(Exits::open(folder.path()).unwrap().progress().is_empty());
    }

    #[test]
    fn a_member_can_push_out_only_what_it_has_signed_itself() {
        let folder = TempDir::new().unwrap();
        let mut exits = Exits::open(folder.path()).unwrap();
        exits.keep(&set(1, 2, 1)).unwrap();
        for epoch in 1..30 {
            exits.keep(&set(3, epoch, 3)).unwrap();
        }
        let exits = Exits::open(folder.path()).unwrap();
        let epochs = |share| {
            let kept = exits.kept.keys().filter(move |(_, _, by)| *by == share);
            kept.map(|(_, epoch, _)| epoch.0).collect::<Vec<_>>()
        };
        assert_eq!(epochs(1), [2]);
        assert_eq!(epochs(3), (20..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_wish_stays_until_it_is_settled() {
        let folder = TempDir::new().unwrap();
        assert!(requested(folder.path()).is_empty());
        request(folder.path(), VALIDATOR).unwrap();
        request(folder.path(), VALIDATOR).unwrap();
        assert_eq!(requested(folder.path()), [VALIDATOR]);
        settle_request(folder.path(), &VALIDATOR);
        assert!(requested(folder.path()).is_empty());
    }

    #[test]
    fn a_file_that_is_no_list_of_exits_is_named() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(EXITS_FILE_NAME), "{").unwrap();
        let error = Exits::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(EXITS_FILE_NAME), "{error}");
    }
}
