//! `flotilla cluster verify`: whether a cluster's files hold, all of it at once.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use flotilla_cluster::{Lock, Severity};
use flotilla_node::folder::{
    FileFinding, IdentityPassword, Inspection, Passwords, Paths, encrypted_identity_path, inspect,
};
use serde_json::json;

use super::{ClusterFile, read};
use crate::bar::Bar;
use crate::identity::PasswordFlags;
use crate::network::CustomNetwork;
use crate::run::default_data_dir;
use crate::say;
use crate::verification::{ExecutionEndpoint, Verification};

/// Check a definition, a lock, a node's folder, or a folder of nodes' folders, and list everything that is wrong.
///
/// Errors are what any node would refuse, or what puts money at risk; warnings are worth a look. In a node's folder the identity key,
/// every keystore, deposit files and permissions are checked too. The exit code is 1 with errors, 0 without.
#[derive(clap::Args)]
pub struct Arguments {
    /// A cluster-lock.json, a cluster-definition.json, or a folder; the data folder if not given.
    path: Option<PathBuf>,
    /// One file with the password of all keystores, instead of NAME.txt beside each NAME.json.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    identity: PasswordFlags,
    #[command(flatten)]
    execution: ExecutionEndpoint,
    #[command(flatten)]
    custom: CustomNetwork,
}

/// Checks it.
pub fn execute(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let verification = Verification::new(&arguments.custom, &arguments.execution)?;
    let path = arguments.path.clone().unwrap_or_else(default_data_dir);
    let mut report = Report::default();
    if !path.is_dir() {
        report.file(&path, &verification)?;
    } else if is_node(&path) {
        report.folder(&path, arguments, &verification);
    } else {
        let nodes = nodes(&path)?;
        anyhow::ensure!(
            !nodes.is_empty(),
            "{} has neither the files of a node nor folders that have; name a cluster-lock.json, or a node's folder",
            path.display()
        );
        nodes
            .iter()
            .for_each(|node| report.folder(node, arguments, &verification));
        report.check_one_cluster();
    }
    match arguments.json {
        true => say(&serde_json::to_string_pretty(&report.document())?),
        false => say(&report.text()),
    }
    Ok(match report.count(Severity::Error) {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn is_node(folder: &Path) -> bool {
    let paths = Paths::in_folder(folder);
    paths.lock.exists()
        || paths.identity.exists()
        || encrypted_identity_path(&paths.identity).exists()
        || paths.keystores.exists()
}

/// The direct subfolders that look like a node's, in the order of names.
fn nodes(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| folder.display().to_string())?
    {
        let path = entry?.path();
        if path.is_dir() && is_node(&path) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Default)]
struct Report {
    /// What was looked at, in a line each.
    looked_at: Vec<String>,
    locks: Vec<(PathBuf, Lock)>,
    findings: Vec<FileFinding>,
}

impl Report {
    fn file(&mut self, path: &Path, verification: &Verification) -> anyhow::Result<()> {
        let bytes = read(path)?;
        let file = match ClusterFile::parse(&bytes) {
            Ok(file) => file,
            Err(error) => {
                self.findings.push(FileFinding {
                    severity: Severity::Error,
                    file: path.to_owned(),
                    path: String::new(),
                    message: error.to_string(),
                });
                return Ok(());
            }
        };
        let findings = match &file {
            ClusterFile::Lock(lock) => {
                self.looked_at
                    .push(format!("{}: {}", path.display(), describe(lock)));
                lock.verify(&verification.options())
            }
            ClusterFile::Definition(definition) => {
                self.looked_at.push(format!(
                    "{}: definition {}, {} operators, {} validators",
                    path.display(),
                    definition.version,
                    definition.operators.len(),
                    definition.num_validators
                ));
                definition.verify(&verification.options())
            }
        };
        self.findings
            .extend(findings.into_iter().map(|finding| FileFinding {
                severity: finding.severity,
                file: path.to_owned(),
                path: finding.path,
                message: finding.message,
            }));
        Ok(())
    }

    fn folder(&mut self, folder: &Path, arguments: &Arguments, verification: &Verification) {
        let bar = Bar::new("decrypting keystores");
        let password: IdentityPassword = arguments.identity.password();
        let inspected = inspect(
            folder,
            &Inspection {
                verify: verification.options(),
                known: self.locks.first().map(|(_, lock)| lock),
                identity_password: &password,
                passwords: &match &arguments.password_file {
                    Some(file) => Passwords::File(file.clone()),
                    None => Passwords::Beside,
                },
                progress: &|done, total| bar.done(done, total),
            },
        );
        let lock = inspected
            .lock
            .as_ref()
            .map_or_else(|| "no lock".to_owned(), describe);
        self.looked_at.push(format!(
            "{}: {lock}; {} shares here",
            folder.display(),
            inspected.shares
        ));
        self.findings.extend(inspected.findings);
        if let Some(lock) = inspected.lock {
            self.locks.push((Paths::in_folder(folder).lock, lock));
        }
    }

    fn check_one_cluster(&mut self) {
        let Some((first, expected)) = self.locks.first() else {
            return;
        };
        let others = self
            .locks
            .iter()
            .filter(|(_, lock)| lock.lock_hash() != expected.lock_hash());
        let findings: Vec<_> = others
            .map(|(path, lock)| FileFinding {
                severity: Severity::Error,
                file: path.clone(),
                path: "lock_hash".to_owned(),
                message: format!(
                    "0x{}, but {} has 0x{}: they are of different clusters",
                    hex::encode(lock.lock_hash()),
                    first.display(),
                    hex::encode(expected.lock_hash())
                ),
            })
            .collect();
        self.findings.extend(findings);
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    fn text(&self) -> String {
        let mut lines = self.looked_at.clone();
        lines.extend(self.findings.iter().map(|finding| match finding.severity {
            Severity::Error => format!("error    {finding}"),
            Severity::Warning => format!("warning  {finding}"),
        }));
        lines.push(
            match (self.count(Severity::Error), self.count(Severity::Warning)) {
                (0, 0) => "Everything holds.".to_owned(),
                (0, warnings) => format!("No errors; warnings: {warnings}."),
                (errors, warnings) => format!("Errors: {errors}; warnings: {warnings}."),
            },
        );
        lines.join("\n")
    }

    fn document(&self) -> serde_json::Value {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "severity": match finding.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    },
                    "file": finding.file.display().to_string(),
                    "path": finding.path,
                    "message": finding.message,
                })
            })
            .collect();
        json!({
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "findings": findings,
        })
    }
}

fn describe(lock: &Lock) -> String {
    format!(
        "lock {}, {} of {} operators sign, {} validators, hash 0x{}",
        lock.definition.version,
        lock.threshold(),
        lock.operators().len(),
        lock.validators().len(),
        hex::encode(lock.lock_hash())
    )
}
