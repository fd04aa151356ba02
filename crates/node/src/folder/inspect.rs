//! A node's folder looked over file by file: everything a person should know before the node runs, not only the first reason
//! why it would not.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use flotilla_cluster::deposit::file::parse_file;
use flotilla_cluster::{Definition, Lock, Severity, VerifyOptions, share_places};
use flotilla_crypto::ShareIndex;
use flotilla_types::PublicKeyBytes;

use super::{
    FolderError, IdentityPassword, Passwords, Paths, Progress, encrypted_identity_path, files,
    keystores, read_identity,
};

/// Something about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFinding {
    /// How bad it is.
    pub severity: Severity,
    /// The file, or the folder.
    pub file: PathBuf,
    /// JSON path in the file; empty if it is about the whole.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl std::fmt::Display for FileFinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// How to look.
#[derive(Clone, Copy)]
pub struct Inspection<'a> {
    /// What verifying definition and lock needs.
    pub verify: VerifyOptions<'a>,
    /// A lock whose findings are known: the same one is not verified again.
    pub known: Option<&'a Lock>,
    /// Opens the identity key.
    pub identity_password: &'a IdentityPassword,
    /// Opens the keystores.
    pub passwords: &'a Passwords,
    /// Told of every keystore opened.
    pub progress: Progress<'a>,
}

/// What was found, and the lock if it could be read.
#[derive(Debug)]
pub struct Inspected {
    /// The lock.
    pub lock: Option<Lock>,
    /// Number of keystores that are this operator's.
    pub shares: usize,
    /// In the order of looking.
    pub findings: Vec<FileFinding>,
}

/// Looks a node's folder over. Takes seconds: key derivations.
pub fn inspect(folder: &Path, inspection: &Inspection<'_>) -> Inspected {
    let mut inspected = Inspected {
        lock: None,
        shares: 0,
        findings: Vec::new(),
    };
    let paths = Paths::in_folder(folder);
    inspected.lock(&paths, inspection);
    inspected.definition(&folder.join("cluster-definition.json"), inspection);
    inspected.deposits(folder);
    let me = inspected.identity(&paths, inspection);
    inspected.keystores(&paths, me, inspection);
    inspected
}

impl Inspected {
    fn add(&mut self, severity: Severity, file: &Path, path: &str, message: impl ToString) {
        self.findings.push(FileFinding {
            severity,
            file: file.to_owned(),
            path: path.to_owned(),
            message: message.to_string(),
        });
    }

    fn error(&mut self, file: &Path, message: impl ToString) {
        self.add(Severity::Error, file, "", message);
    }

    fn warning(&mut self, file: &Path, message: impl ToString) {
        self.add(Severity::Warning, file, "", message);
    }

    fn warn_if_readable(&mut self, path: &Path) {
        if let Some(super::Warning::ReadableByOthers { path, mode }) = files::check_private(path) {
            self.warning(
                &path,
                format_args!("readable by other users (mode {mode:04o}); chmod 600 it"),
            );
        }
    }

    fn lock(&mut self, paths: &Paths, inspection: &Inspection<'_>) {
        let hint = "copy the cluster-lock.json of your cluster there";
        let parsed = files::read(&paths.lock, hint)
            .map_err(|error| without_path(&error))
            .and_then(|bytes| Lock::parse(&bytes).map_err(|error| error.to_string()));
        match parsed {
            Err(message) => self.error(&paths.lock, message),
            Ok(lock) if inspection.known == Some(&lock) => self.lock = Some(lock),
            Ok(lock) => {
                for finding in lock.verify(&inspection.verify) {
                    self.add(
                        finding.severity,
                        &paths.lock,
                        &finding.path,
                        finding.message,
                    );
                }
                self.lock = Some(lock);
            }
        }
    }

    /// A definition may lie beside the lock; then it should be the one the lock was made from.
    fn definition(&mut self, path: &Path, inspection: &Inspection<'_>) {
        let Ok(bytes) = fs::read(path) else { return };
        let definition = match Definition::parse(&bytes) {
            Ok(definition) => definition,
            Err(error) => return self.warning(path, error),
        };
        let options = VerifyOptions {
            extra_checks: false,
            ..inspection.verify
        };
        for finding in definition.verify(&options) {
            // A node does not read the file.
            self.add(Severity::Warning, path, &finding.path, finding.message);
        }
        let differs = self
            .lock
            .as_ref()
            .is_some_and(|lock| lock.definition.config_hash != definition.config_hash);
        if differs {
            self.warning(
                path,
                "its config hash is not that of the lock: it belongs to another cluster",
            );
        }
    }

    /// Money is sent by these files.
    fn deposits(&mut self, folder: &Path) {
        let Some(lock) = self.lock.take() else { return };
        let mut names: Vec<PathBuf> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("deposit-data") && name.ends_with(".json")
            })
            .collect();
        names.sort();
        let keys: BTreeSet<_> = lock
            .validators()
            .iter()
            .map(|validator| validator.public_key)
            .collect();
        for path in names {
            let deposits = match files::read(&path, "")
                .map_err(|error| without_path(&error))
                .and_then(|bytes| parse_file(&bytes).map_err(|error| error.to_string()))
            {
                Ok(deposits) => deposits,
                Err(message) => {
                    self.error(&path, message);
                    continue;
                }
            };
            for (index, deposit) in deposits.iter().enumerate() {
                let at = format!("[{index}]");
                if !keys.contains(&deposit.message.public_key) {
                    self.add(
                        Severity::Error,
                        &path,
                        &at,
                        "not a validator of this cluster: do not deposit",
                    );
                } else if !deposit.verifies(lock.fork_version()) {
                    self.add(
                        Severity::Error,
                        &path,
                        &at,
                        "the signature does not verify: what is deposited would be lost",
                    );
                } else if !is_in_lock(&lock, deposit) {
                    self.add(
                        Severity::Warning,
                        &path,
                        &at,
                        "the lock has no deposit with these credentials and this amount",
                    );
                }
            }
        }
        self.lock = Some(lock);
    }

    /// Our place in the cluster, if the key has one.
    fn identity(&mut self, paths: &Paths, inspection: &Inspection<'_>) -> Option<ShareIndex> {
        let encrypted = encrypted_identity_path(&paths.identity);
        let file = match encrypted.exists() {
            true => &encrypted,
            false => &paths.identity,
        };
        let identity = match read_identity(&paths.identity, inspection.identity_password) {
            Ok(identity) => identity,
            Err(FolderError::IdentityPassword { .. }) => {
                self.warning(file, "encrypted, and no password given: not checked");
                return None;
            }
            Err(error) => {
                self.error(file, without_path(&error));
                return None;
            }
        };
        if file == &paths.identity {
            self.warn_if_readable(file);
        }
        let peers = self.lock.as_ref()?.peers().ok()?;
        let public = identity.public();
        let me = peers
            .iter()
            .find(|peer| peer.public_key == public)
            .map(|peer| peer.index);
        if me.is_none() {
            self.error(
                file,
                format_args!(
                    "belongs to none of the {} operators in the lock",
                    peers.len()
                ),
            );
        }
        Some(ShareIndex::from_peer(me?.get()))
    }

    fn keystores(&mut self, paths: &Paths, me: Option<ShareIndex>, inspection: &Inspection<'_>) {
        if !paths.keystores.exists() {
            return self.warning(
                &paths.keystores,
                "does not exist: the shares must be in a key manager or validator client",
            );
        }
        let opened =
            match keystores::open(&paths.keystores, inspection.passwords, inspection.progress) {
                Ok(opened) => opened,
                Err(error) => return self.error(&paths.keystores, error),
            };
        for warning in &opened.warnings {
            if let super::Warning::ReadableByOthers { path, .. } = warning {
                self.warn_if_readable(path);
            }
        }
        let Some(lock) = &self.lock else { return };
        let total = lock.validators().len();
        let places = match share_places(lock) {
            Ok(places) => places,
            Err(error) => return self.error(&paths.lock, error),
        };
        let (mut of_me, mut of_others) = (BTreeSet::new(), 0);
        for (path, secret) in &opened.secrets {
            let public_key = PublicKeyBytes(secret.public_key().to_bytes());
            match places.get(&public_key).copied() {
                None => self.error(path, "is no share of any validator in the lock"),
                Some((validator, share)) if me.is_some_and(|me| me != share) => {
                    of_others += 1;
                    self.error(
                        path,
                        format_args!(
                            "is share {share} of validator {validator}, which is another operator's"
                        ),
                    );
                }
                Some((validator, share)) => {
                    if !of_me.insert((validator, share)) {
                        self.error(
                            path,
                            format_args!(
                                "is a second copy of share {share} of validator {validator}"
                            ),
                        );
                    }
                }
            }
        }
        self.shares = of_me.len();
        if of_me.len() < total && of_others == 0 {
            let missing = total - of_me.len();
            self.warning(
                &paths.keystores,
                format_args!(
                    "{missing} of {total} validators have no keystore here: they are not signed for"
                ),
            );
        }
    }
}

fn is_in_lock(lock: &Lock, deposit: &flotilla_cluster::deposit::Deposit) -> bool {
    lock.validators()
        .iter()
        .filter(|validator| validator.public_key == deposit.message.public_key)
        .flat_map(|validator| &validator.deposits)
        .filter_map(flotilla_cluster::LockedDeposit::to_deposit)
        .any(|locked| locked.message == deposit.message)
}

/// The error's text; the file is named beside it already.
fn without_path(error: &FolderError) -> String {
    match error {
        FolderError::Missing { hint, .. } => format!("does not exist; {hint}"),
        FolderError::Read { source, .. } => format!("cannot be read: {source}"),
        other => other.to_string(),
    }
}
