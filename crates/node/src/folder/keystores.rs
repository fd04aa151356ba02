//! Opening keystores, several at once: each takes a tenth of a second or more on purpose.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flotilla_cluster::keystore::folder::{FolderError as NameError, in_sequence, is_keystore_name};
use flotilla_cluster::{DecryptError, Keystore, ParseError};
use flotilla_crypto::SecretKey;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use super::parallel::{self, Progress};
use super::{FolderError, Warning, files};

/// How deep a folder of keys to split is searched.
const MAX_DEPTH: usize = 8;
/// Most files looked at in such a folder.
const MAX_FILES: usize = 200_000;
/// Most password files that are tried on a keystore which has none of its own name: each try costs a derivation.
const MAX_PASSWORDS: usize = 64;

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
    /// The names do not say which keystore is which validator's.
    #[error("{folder}: {source}", folder = folder.display())]
    Names {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: NameError,
    },
    /// The folder is deeper or fuller than any folder of keys.
    #[error("{folder} is nested deeper than {MAX_DEPTH} folders or has more than {MAX_FILES} files; name the folder of keystores itself", folder = folder.display())]
    TooManyFiles {
        /// The folder.
        folder: PathBuf,
    },
    /// None of the passwords found opens it.
    #[error("{path}: none of the {tried} passwords found opens it; put its password into {expected} beside it", path = path.display())]
    NoPassword {
        /// The keystore.
        path: PathBuf,
        /// Passwords tried.
        tried: usize,
        /// Name of the file that would be tried first.
        expected: String,
    },
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
#[derive(Debug)]
pub struct Opened {
    /// File and secret.
    pub secrets: Vec<(PathBuf, SecretKey)>,
    /// What reading found.
    pub warnings: Vec<Warning>,
}

/// Opens every `keystore-*.json` directly in `folder`.
///
/// # Errors
/// There is none, or one cannot be read or opened.
pub fn open(
    folder: &Path,
    passwords: &Passwords,
    progress: Progress<'_>,
) -> Result<Opened, KeystoreError> {
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
        secrets: parallel::for_each(&jobs, Job::memory_bytes, Job::decrypt, progress)?,
        warnings,
    })
}

/// The keystores of `folder` in the order of their numbers, `keystore-0.json`, `keystore-1.json`, …, each with its password
/// beside it.
///
/// # Errors
/// The names are not numbered without gaps, or a keystore cannot be read or opened.
pub fn open_in_sequence(
    folder: &Path,
    progress: Progress<'_>,
) -> Result<Vec<(PathBuf, SecretKey)>, KeystoreError> {
    let paths = list(folder)?;
    let names = paths.iter().filter_map(|path| path.file_name()?.to_str());
    let jobs = in_sequence(names)
        .map_err(|source| KeystoreError::Names {
            folder: folder.to_owned(),
            source,
        })?
        .into_iter()
        .map(|name| Job::read(folder.join(name), &Passwords::Beside))
        .collect::<Result<Vec<_>, _>>()?;
    parallel::for_each(&jobs, Job::memory_bytes, Job::decrypt, progress)
}

/// Every keystore in `folder` and below, whatever it is called, in the order of paths. Its password is the file of its name, or
/// any other `*.txt` there is.
///
/// # Errors
/// There is none, or one cannot be read or opened.
pub fn open_recursively(
    folder: &Path,
    progress: Progress<'_>,
) -> Result<Vec<(PathBuf, SecretKey)>, KeystoreError> {
    let mut found = Vec::new();
    walk(folder, MAX_DEPTH, &mut found)?;
    found.sort();
    let with = |extension: &str| {
        let has = |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
        found.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let passwords = with("txt")
        .into_iter()
        .map(|path| {
            let text =
                files::read_secret(&path, "it was there a moment ago").map_err(read_error)?;
            Ok((path, text))
        })
        .collect::<Result<Vec<_>, KeystoreError>>()?;
    let mut keystores = Vec::new();
    for path in with("json") {
        let bytes = files::read(&path, "it was there a moment ago").map_err(read_error)?;
        if !claims_to_be_keystore(&bytes) {
            continue; // Deposit data and the like lie beside keystores.
        }
        let keystore = Keystore::parse(&bytes).map_err(|source| KeystoreError::Parse {
            path: path.clone(),
            source,
        })?;
        keystores.push((path, keystore));
    }
    if keystores.is_empty() {
        return Err(KeystoreError::None {
            folder: folder.to_owned(),
        });
    }
    let decrypt = |(path, keystore): &(PathBuf, Keystore)| {
        let beside = path.with_extension("txt");
        let own = passwords.iter().filter(|(path, _)| *path == beside);
        let others = passwords.iter().filter(|(path, _)| *path != beside);
        let mut tried = 0;
        for (password_path, password) in own.chain(others).take(MAX_PASSWORDS) {
            match keystore.decrypt(password) {
                Ok(secret) => return Ok((path.clone(), secret)),
                Err(DecryptError::WrongPassword) => tried += 1,
                Err(source) => {
                    return Err(KeystoreError::Decrypt {
                        path: path.clone(),
                        password: password_path.clone(),
                        source,
                    });
                }
            }
        }
        let expected = beside
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Err(KeystoreError::NoPassword {
            path: path.clone(),
            tried,
            expected,
        })
    };
    let memory = |(_, keystore): &(PathBuf, Keystore)| keystore.cost().memory_bytes();
    parallel::for_each(&keystores, memory, decrypt, progress)
}

/// Builds nothing in memory: the file may be anybody's.
fn claims_to_be_keystore(bytes: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        crypto: Option<IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(bytes).is_ok_and(|probe| probe.crypto.is_some())
}

/// Collects files, following no links to folders.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), KeystoreError> {
    let list = |source: io::Error| KeystoreError::List {
        folder: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(list)? {
        let entry = entry.map_err(list)?;
        if found.len() == MAX_FILES || depth == 0 {
            return Err(KeystoreError::TooManyFiles {
                folder: folder.to_owned(),
            });
        }
        if entry.file_type().map_err(list)?.is_dir() {
            walk(&entry.path(), depth - 1, found)?;
        } else {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn read_error(error: FolderError) -> KeystoreError {
    KeystoreError::Read(Box::new(error))
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
        if is_keystore_name(name) {
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
        let bytes = files::read(&path, "it was there a moment ago").map_err(read_error)?;
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
        let password = files::read_secret(&password_path, hint).map_err(read_error)?;
        Ok(Self {
            path,
            keystore,
            password_path,
            password,
        })
    }

    fn memory_bytes(&self) -> u64 {
        self.keystore.cost().memory_bytes()
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
