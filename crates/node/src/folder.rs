//! A node's data folder, as operators have it: identity key, cluster lock, keystores.
//!
//! Reading it ends in facts that name the file and the next step. What the files mean is `cluster`'s business; which of them a
//! command wants is `cli`'s.

mod files;
mod identity;
mod inspect;
mod key_file_lock;
mod keystores;
mod parallel;
mod staging;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flotilla_cluster::{
    DecryptError, Finding, LoadError, LoadOptions, Loaded, Lock, MatchError, ParseError, PeerError,
};
use flotilla_crypto::{IdentityError, IdentityKey, SecretKey, ShareIndex};
use flotilla_types::{PeerIndex, PublicKeyBytes};

pub use files::{Overwrite, WriteError, read, write_atomic};
pub use identity::{IdentityPassword, encrypted_identity_path, read_identity};
pub use inspect::{FileFinding, Inspected, Inspection, inspect};
pub use key_file_lock::{KeyFileLock, KeyFileLockError};
pub use keystores::{KeystoreError, Opened, Passwords, open, open_in_sequence, open_recursively};
pub use parallel::Progress;
pub use staging::{Staging, seal};

/// Where a node's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// State of the node's own: slashing database, vote log, locks.
    pub data: PathBuf,
    /// The operator's secp256k1 key, in hex.
    pub identity: PathBuf,
    /// The cluster lock.
    pub lock: PathBuf,
    /// The folder of keystores.
    pub keystores: PathBuf,
}

impl Paths {
    /// The usual names in one folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            data: folder.to_owned(),
            identity: folder.join("charon-enr-private-key"),
            lock: folder.join("cluster-lock.json"),
            keystores: folder.join("validator_keys"),
        }
    }
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is not there.
    #[error("{path} does not exist; {hint}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is longer than anything of its kind.
    #[error("{path} has more than {limit} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: u64,
    },
    /// The identity key is none.
    #[error("{path} is no secp256k1 key: {source}", path = path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IdentityError,
    },
    /// The identity key is encrypted, and this does not open it.
    #[error("{path}: {source}", path = path.display())]
    EncryptedIdentity {
        /// The file.
        path: PathBuf,
        /// Why.
        source: DecryptError,
    },
    /// The file of the encrypted identity key is no keystore.
    #[error("{path}: {source}", path = path.display())]
    IdentityKeystore {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
    /// The identity key is encrypted, and there is no password.
    #[error(
        "{path} is encrypted; give its password with --private-key-password-file or in FLOTILLA_PRIVATE_KEY_PASSWORD",
        path = path.display()
    )]
    IdentityPassword {
        /// The file.
        path: PathBuf,
    },
    /// There are two identity keys.
    #[error("both {plain} and {encrypted} exist; move away the one that is not this operator's", plain = plain.display(), encrypted = encrypted.display())]
    TwoIdentities {
        /// The one as it is.
        plain: PathBuf,
        /// The one under a password.
        encrypted: PathBuf,
    },
    /// The lock does not hold.
    #[error("{path}: {source}", path = path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// An operator in the lock has no usable ENR.
    #[error("{path}: {source}", path = path.display())]
    Peers {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: PeerError,
    },
    /// The key belongs to no operator of the lock.
    #[error(
        "the key in {identity} belongs to none of the {operators} operators in {lock}; use the key that was there when the \
         cluster was made",
        identity = identity.display(), lock = lock.display()
    )]
    NotAnOperator {
        /// The key file.
        identity: PathBuf,
        /// The lock file.
        lock: PathBuf,
        /// How many operators it has.
        operators: usize,
    },
    /// A keystore cannot be read or opened.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// The keys do not fit the lock.
    #[error("{path}: {source}", path = path.display())]
    Match {
        /// The keystore at fault, or the folder of them all.
        path: PathBuf,
        /// Why.
        source: MatchError,
    },
}

/// Something that does not stop a node and should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Others on this machine can read a secret.
    #[error("{path} is readable by other users (mode {mode:04o}); chmod 600 it", path = path.display())]
    ReadableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Validators without a keystore here are not signed for.
    #[error("{count} of {total} validators have no keystore in {folder}", folder = folder.display())]
    MissingShares {
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
        /// Where they were looked for.
        folder: PathBuf,
    },
}

/// An opened folder: who we are in which cluster.
#[derive(Debug)]
pub struct Folder {
    /// Where it all came from.
    pub paths: Paths,
    /// Our identity.
    pub identity: IdentityKey,
    /// Our place among the operators.
    pub me: PeerIndex,
    /// The cluster.
    pub lock: Lock,
    /// What checking the lock found; nothing that stops a node.
    pub findings: Vec<Finding>,
    /// What reading the files found.
    pub warnings: Vec<Warning>,
}

/// This operator's shares.
#[derive(Debug)]
pub struct Shares {
    /// By group public key.
    pub secrets: BTreeMap<PublicKeyBytes, SecretKey>,
    /// What reading the keystores found.
    pub warnings: Vec<Warning>,
}

impl Folder {
    /// Reads identity and lock, and finds our place in the cluster.
    pub fn open(
        paths: Paths,
        password: &IdentityPassword,
        options: &LoadOptions<'_>,
    ) -> Result<Self, FolderError> {
        let identity = read_identity(&paths.identity, password)?;
        let lock_bytes = files::read(
            &paths.lock,
            "copy the cluster-lock.json of your cluster there, or make one with `create cluster` or `dkg`",
        )?;
        let Loaded {
            file: lock,
            findings,
        } = Lock::load(&lock_bytes, options).map_err(|source| FolderError::Lock {
            path: paths.lock.clone(),
            source,
        })?;
        let peers = lock.peers().map_err(|source| FolderError::Peers {
            path: paths.lock.clone(),
            source,
        })?;
        let public = identity.public();
        let me = peers
            .iter()
            .find(|peer| peer.public_key == public)
            .map(|peer| peer.index);
        let me = me.ok_or_else(|| FolderError::NotAnOperator {
            identity: paths.identity.clone(),
            lock: paths.lock.clone(),
            operators: peers.len(),
        })?;
        let warnings = files::check_private(&paths.identity).into_iter().collect();
        Ok(Self {
            paths,
            identity,
            me,
            lock,
            findings,
            warnings,
        })
    }

    /// Opens the keystores and matches them with the lock. Takes seconds: run it on a thread of its own.
    pub fn shares(&self, passwords: &Passwords) -> Result<Shares, FolderError> {
        let keystores = keystores::open(&self.paths.keystores, passwords, &|_, _| ())?;
        let mut warnings = keystores.warnings;
        let (paths, secrets): (Vec<_>, Vec<_>) = keystores.secrets.into_iter().unzip();
        let matched = flotilla_cluster::match_shares(
            &self.lock,
            ShareIndex::from_peer(self.me.get()),
            secrets,
        );
        let matched = matched.map_err(|source| FolderError::Match {
            path: self.culprit(&paths, &source),
            source,
        })?;
        let total = self.lock.validators().len();
        if matched.len() < total {
            let (count, folder) = (total - matched.len(), self.paths.keystores.clone());
            warnings.push(Warning::MissingShares {
                count,
                total,
                folder,
            });
        }
        let validators = self.lock.validators();
        let name =
            |(index, secret): (usize, SecretKey)| Some((validators.get(index)?.public_key, secret));
        Ok(Shares {
            secrets: matched.into_iter().filter_map(name).collect(),
            warnings,
        })
    }

    fn culprit(&self, paths: &[PathBuf], error: &MatchError) -> PathBuf {
        let position = match error {
            MatchError::AmbiguousLock { .. } => return self.paths.lock.clone(),
            MatchError::Unknown { position, .. }
            | MatchError::OtherOperator { position, .. }
            | MatchError::Repeated { position, .. } => *position,
        };
        paths.get(position).unwrap_or(&self.paths.keystores).clone()
    }
}

/// The file in the data folder whose presence stops all signing (S11).
pub const PAUSE_FILE_NAME: &str = "paused";

/// Whether signing is stopped; to be asked about once a second. If the folder cannot be read, it is: whoever put the file there
/// must be obeyed.
pub fn is_paused(data_folder: &Path) -> bool {
    data_folder
        .join(PAUSE_FILE_NAME)
        .try_exists()
        .unwrap_or(true)
}

/// Stops or resumes signing for whoever asks [`is_paused`].
pub fn set_paused(data_folder: &Path, paused: bool) -> io::Result<()> {
    let path = data_folder.join(PAUSE_FILE_NAME);
    match paused {
        true => std::fs::write(path, ""),
        false => match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        },
    }
}

#[cfg(test)]
mod tests;
