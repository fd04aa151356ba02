//! Charon's `<private key file>.lock` on disk: beside our own lock of the folder, it is what a Charon process on the same key looks
//! at. A time stamp protects only as well as clocks and shared disks do, so it is behind a flag.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flotilla_cluster::{KeyGuard, KeyInUse, Lock, ParseError};
use flotilla_types::Timestamp;

use super::files;

/// How this program calls itself in the file.
const COMMAND: &str = "flotilla run";

/// Why the key must not be used, or cannot be marked as used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileLockError {
    /// Another process uses the key, or did so a moment ago.
    #[error("{path}: {source}", path = path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// By whom.
        source: KeyInUse,
    },
    /// The file is there and is not understood.
    #[error("{path}: {source}; if no other process uses the key, delete the file", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
    /// The file system refused.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The mark that this process uses a key. It stays when the process ends: a later process judges its age.
#[derive(Debug)]
pub struct KeyFileLock {
    path: PathBuf,
    lock_hash: String,
}

impl KeyFileLock {
    /// Looks whether another process uses the key file, and marks it as used by this one. To be renewed every
    /// [`RENEWAL_PERIOD`](flotilla_cluster::RENEWAL_PERIOD).
    ///
    /// # Errors
    /// Another process runs, or ran for another cluster within two epochs; or the file cannot be read or written.
    pub fn acquire(identity: &Path, lock: &Lock, now: Timestamp) -> Result<Self, KeyFileLockError> {
        let mut name = identity.as_os_str().to_owned();
        name.push(".lock");
        let this = Self {
            path: PathBuf::from(name),
            lock_hash: format!("0x{}", hex::encode(lock.lock_hash())),
        };
        if this.path.exists() {
            let error = |source| KeyFileLockError::Write {
                path: this.path.clone(),
                source,
            };
            let bytes = files::read(&this.path, "it was there a moment ago")
                .map_err(|found| error(io::Error::other(found.to_string())))?;
            KeyGuard::parse(&bytes)
                .map_err(|source| KeyFileLockError::Damaged {
                    path: this.path.clone(),
                    source,
                })?
                .allows(&this.lock_hash, now)
                .map_err(|source| KeyFileLockError::InUse {
                    path: this.path.clone(),
                    source,
                })?;
        }
        this.renew(now)?;
        Ok(this)
    }

    /// Writes the time anew.
    ///
    /// # Errors
    /// The file system refused.
    pub fn renew(&self, now: Timestamp) -> Result<(), KeyFileLockError> {
        let guard = KeyGuard {
            command: COMMAND.to_owned(),
            timestamp: now,
            cluster_lock_hash: self.lock_hash.clone(),
        };
        // Renamed so that no reader sees half of it; not synced, since after a crash of the machine nothing uses the key.
        let temporary = self.path.with_extension("lock.tmp");
        fs::write(&temporary, guard.to_json())
            .and_then(|()| fs::rename(&temporary, &self.path))
            .map_err(|source| KeyFileLockError::Write {
                path: self.path.clone(),
                source,
            })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_cluster::create::{Request, cluster};
    use flotilla_cluster::{Networks, NewDefinition, Operator, ValidatorAddresses};
    use flotilla_crypto::os_rng;
    use tempfile::TempDir;

    use super::*;

    fn lock() -> Lock {
        let networks = Networks::public();
        let network = networks.by_name("hoodi").unwrap();
        let address = "0x000000000000000000000000000000000000dEaD".to_owned();
        let definition = NewDefinition {
            operators: vec![Operator::default(); 3],
            validators: vec![ValidatorAddresses {
                fee_recipient: address.clone(),
                withdrawal: address,
            }],
            ..NewDefinition::new(network)
        };
        let mut rng = os_rng().unwrap();
        let definition = definition.build(&mut rng).unwrap();
        cluster(Request::new(definition, network), &mut rng)
            .unwrap()
            .lock
    }

    #[test]
    fn a_key_in_use_is_not_taken_until_its_mark_has_aged() {
        let (folder, lock) = (TempDir::new().unwrap(), lock());
        let identity = folder.path().join("charon-enr-private-key");
        let start = Timestamp::from_secs(1_800_000_000);
        let after = |seconds| Timestamp::from_secs(start.as_secs() + seconds);
        let first = KeyFileLock::acquire(&identity, &lock, start).unwrap();
        let in_use = KeyFileLock::acquire(&identity, &lock, after(3)).unwrap_err();
        assert!(matches!(in_use, KeyFileLockError::InUse { .. }), "{in_use}");
        first.renew(after(4)).unwrap();
        assert!(KeyFileLock::acquire(&identity, &lock, after(8)).is_err());
        KeyFileLock::acquire(&identity, &lock, after(10)).unwrap();
        let names = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 1, "the temporary file is gone");
    }

    #[test]
    fn a_damaged_mark_is_not_overwritten() {
        let folder = TempDir::new().unwrap();
        let identity = folder.path().join("charon-enr-private-key");
        let mark = folder.path().join("charon-enr-private-key.lock");
        std::fs::write(&mark, "{").unwrap();
        let error = KeyFileLock::acquire(&identity, &lock(), Timestamp::from_secs(1)).unwrap_err();
        assert!(error.to_string().contains("delete the file"), "{error}");
        assert_eq!(std::fs::read(&mark).unwrap(), b"{");
    }
}
