//! Opening keystores, several at once: each takes a tenth of a second or more on purpose.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::{io, thread};

use flotilla_cluster::{DecryptError, Keystore, ParseError};
use flotilla_crypto::SecretKey;
use zeroize::Zeroizing;

use super::{FolderError, Warning, files};

/// Memory that all derivations together may take. One keystore asks for at most as much (`cluster` sees to that).
const MEMORY_BYTES: u64 = 1 << 30;

/// Where the passwords are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Passwords {
    /// `NAME.txt` beside each `NAME.json`.
    #[default]
    Beside,
    /// One file with the password of all.
    File(PathBuf),
}

/// Why a keystore was not opened.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// There is none.
    #[error(
        "{folder} has no keystore-*.json; copy your key shares there, or run without the built-in signer",
        folder = folder.display()
    )]
    None {
        /// Where they were looked for.
        folder: PathBuf,
    },
    /// The folder cannot be listed.
    #[error("cannot list {folder}: {source}", folder = folder.display())]
    List {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(Box<FolderError>),
    /// A file is no keystore.
    #[error("{path} is no keystore: {source}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
    /// The password is wrong, or what it opens is no key.
    #[error("{path}: {source} (password from {password})", path = path.display(), password = password.display())]
    Decrypt {
        /// The keystore.
        path: PathBuf,
        /// The password file.
        password: PathBuf,
        /// Why.
        source: DecryptError,
    },
}

/// Opened keystores, by path.
pub struct Opened {
    pub secrets: Vec<(PathBuf, SecretKey)>,
    pub warnings: Vec<Warning>,
}

/// Opens every `keystore-*.json` directly in `folder`.
pub fn open(folder: &Path, passwords: &Passwords) -> Result<Opened, KeystoreError> {
    let jobs = list(folder)?
        .into_iter()
        .map(|path| Job::read(path, passwords))
        .collect::<Result<Vec<_>, _>>()?;
    let mut secret_files: Vec<&PathBuf> = jobs.iter().map(|job| &job.password_path).collect();
    secret_files.dedup();
    let warnings = secret_files
        .into_iter()
        .filter_map(|path| files::check_private(path))
        .collect();
    Ok(Opened {
        secrets: decrypt_all(&jobs)?,
        warnings,
    })
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, KeystoreError> {
    let list = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeystoreError::None {
            folder: folder.to_owned(),
        },
        _ => KeystoreError::List {
            folder: folder.to_owned(),
            source,
        },
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let path = entry.map_err(list)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("keystore-") && name.ends_with(".json") {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() {
        Err(KeystoreError::None {
            folder: folder.to_owned(),
        })
    } else {
        Ok(paths)
    }
}

/// One keystore with its password, read and not yet decrypted.
struct Job {
    path: PathBuf,
    keystore: Keystore,
    password_path: PathBuf,
    password: Zeroizing<String>,
}

impl Job {
    fn read(path: PathBuf, passwords: &Passwords) -> Result<Self, KeystoreError> {
        let read = |error| KeystoreError::Read(Box::new(error));
        let bytes = files::read(&path, "it was there a moment ago").map_err(read)?;
        let keystore = Keystore::parse(&bytes).map_err(|source| KeystoreError::Parse {
            path: path.clone(),
            source,
        })?;
        let password_path = match passwords {
            Passwords::Beside => path.with_extension("txt"),
            Passwords::File(file) => file.clone(),
        };
        let hint =
            "put the keystore's password there, or name one file for all with --password-file";
        let password = files::read_secret(&password_path, hint).map_err(read)?;
        Ok(Self {
            path,
            keystore,
            password_path,
            password,
        })
    }

    fn decrypt(&self) -> Result<(PathBuf, SecretKey), KeystoreError> {
        let secret =
            self.keystore
                .decrypt(&self.password)
                .map_err(|source| KeystoreError::Decrypt {
                    path: self.path.clone(),
                    password: self.password_path.clone(),
                    source,
                })?;
        Ok((self.path.clone(), secret))
    }
}

/// On every core, within [`MEMORY_BYTES`], in the order of `jobs`. The first failure in that order is reported.
fn decrypt_all(jobs: &[Job]) -> Result<Vec<(PathBuf, SecretKey)>, KeystoreError> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(jobs.len());
    let (next, memory) = (AtomicUsize::new(0), Budget::new(MEMORY_BYTES));
    let work = || {
        let mut done = Vec::new();
        while let Some((position, job)) = take(jobs, &next) {
            let _held = memory.take(job.keystore.cost().memory_bytes());
            done.push((position, job.decrypt()));
        }
        done
    };
    let mut results = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, Vec<_>>| {
            handle.join().expect("decrypting does not panic")
        };
        handles.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

fn take<'a>(jobs: &'a [Job], next: &AtomicUsize) -> Option<(usize, &'a Job)> {
    let position = next.fetch_add(1, Ordering::Relaxed);
    Some((position, jobs.get(position)?))
}

/// Memory that threads share out among themselves.
struct Budget {
    free: Mutex<u64>,
    returned: Condvar,
    total: u64,
}

/// Gives its part back when dropped.
struct Held<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    fn new(total: u64) -> Self {
        Self {
            free: Mutex::new(total),
            returned: Condvar::new(),
            total,
        }
    }

    /// Waits until the part is free; who asks for more than there is gets everything.
    fn take(&self, bytes: u64) -> Held<'_> {
        let bytes = bytes.min(self.total);
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .returned
            .wait_while(free, |free| *free < bytes)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= bytes;
        Held {
            budget: self,
            bytes,
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self
            .budget
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner) += self.bytes;
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_never_overdrawn() {
        let (budget, used, most) = (Budget::new(10), Mutex::new(0), Mutex::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for bytes in [3, 7, 20] {
                        let held = budget.take(bytes);
                        let mut used_now = used.lock().expect("no panic");
                        *used_now += held.bytes;
                        let mut most = most.lock().expect("no panic");
                        *most = (*most).max(*used_now);
                        drop((used_now, most));
                        *used.lock().expect("no panic") -= held.bytes;
                    }
                });
            }
        });
        assert!(*most.lock().expect("no panic") <= 10);
        assert_eq!(*budget.free.lock().expect("no panic"), 10);
    }
}
