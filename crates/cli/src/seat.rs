//! What commands need that act for one operator: its files, and the server that collects what operators sign.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::{LoadOptions, Lock};
use flotilla_crypto::{IdentityKey, SecretKey, ShareIndex};
use flotilla_node::folder::{self, Folder, Passwords, Paths};
use flotilla_node::remote::Collector;
use flotilla_testnet::options::parse_duration;
use flotilla_types::PublicKeyBytes;

use crate::identity::PasswordFlags;
use crate::network::CustomNetwork;
use crate::run::default_data_dir;
use crate::verification::{ExecutionEndpoint, Verification};
use crate::warn;

/// The cluster lock, verified.
#[derive(clap::Args)]
pub struct LockFlags {
    /// The node's folder; .flotilla if it exists, else .charon.
    #[arg(long, help_heading = "Files")]
    data_dir: Option<PathBuf>,
    /// The cluster lock, instead of the one in the data folder.
    #[arg(long, help_heading = "Files")]
    lock_file: Option<PathBuf>,
    /// Take a lock that does not verify, with a warning.
    #[arg(long, help_heading = "Files")]
    no_verify: bool,
    #[command(flatten)]
    execution: ExecutionEndpoint,
    #[command(flatten)]
    pub custom: CustomNetwork,
}

/// An operator's files.
#[derive(clap::Args)]
pub struct SeatFlags {
    #[command(flatten)]
    pub lock: LockFlags,
    /// The operator's key, instead of the one in the data folder.
    #[arg(long, help_heading = "Files")]
    private_key_file: Option<PathBuf>,
    #[command(flatten)]
    password: PasswordFlags,
}

/// An operator's key shares.
#[derive(clap::Args)]
pub struct ShareFlags {
    /// The folder of keystores, instead of the one in the data folder.
    #[arg(long, help_heading = "Files")]
    validator_keys_dir: Option<PathBuf>,
    /// One file with the password of all keystores, instead of NAME.txt beside each NAME.json.
    #[arg(long, help_heading = "Files")]
    password_file: Option<PathBuf>,
    /// Go on although some validators have no keystore here.
    #[arg(long, help_heading = "Files")]
    allow_incomplete_keystores: bool,
}

/// The server.
#[derive(clap::Args)]
pub struct CollectorFlags {
    /// The server (an Obol API) that collects what operators sign.
    #[arg(
        long,
        default_value = "https://api.obol.tech/v1",
        help_heading = "Server"
    )]
    publish_address: String,
    /// Longest wait for its answer.
    #[arg(long, default_value = "5m", value_parser = parse_duration, help_heading = "Server")]
    publish_timeout: Duration,
}

impl CollectorFlags {
    /// The server, for this cluster.
    pub fn open(&self, lock: &Lock) -> anyhow::Result<Collector> {
        Collector::new(
            &self.publish_address,
            self.publish_timeout,
            lock.lock_hash(),
        )
        .context("--publish-address")
    }
}

impl LockFlags {
    /// The data folder.
    pub fn folder(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(default_data_dir)
    }

    fn paths(&self) -> Paths {
        let usual = Paths::in_folder(&self.folder());
        Paths {
            lock: self.lock_file.clone().unwrap_or(usual.lock),
            ..usual
        }
    }

    /// Reads and verifies the lock.
    pub fn open(&self) -> anyhow::Result<Lock> {
        let path = self.paths().lock;
        let bytes = folder::read(&path, "name it with --lock-file")?;
        let verification = Verification::new(&self.custom, &self.execution)?;
        let options = LoadOptions {
            verify: verification.options(),
            no_verify: self.no_verify,
        };
        let loaded = Lock::load(&bytes, &options).with_context(|| path.display().to_string())?;
        for finding in &loaded.findings {
            warn(&format!("{}: {finding}", path.display()));
        }
        Ok(loaded.file)
    }
}

/// An operator at its seat.
pub struct Seat(Folder);

impl SeatFlags {
    /// Opens lock and identity.
    pub fn open(&self) -> anyhow::Result<Seat> {
        let paths = self.lock.paths();
        let paths = Paths {
            identity: self.private_key_file.clone().unwrap_or(paths.identity),
            ..paths
        };
        let verification = Verification::new(&self.lock.custom, &self.lock.execution)?;
        let options = LoadOptions {
            verify: verification.options(),
            no_verify: self.lock.no_verify,
        };
        let lock_file = paths.lock.clone();
        let folder = Folder::open(paths, &self.password.password(), &options)?;
        for finding in &folder.findings {
            warn(&format!("{}: {finding}", lock_file.display()));
        }
        Ok(Seat(folder))
    }
}

impl Seat {
    /// The cluster.
    pub fn lock(&self) -> &Lock {
        &self.0.lock
    }

    /// The operator's identity.
    pub fn identity(&self) -> &IdentityKey {
        &self.0.identity
    }

    /// Which share of every validator the operator holds, as the server counts: from 1.
    pub fn share_number(&self) -> u64 {
        u64::from(ShareIndex::from_peer(self.0.me.get()).get())
    }

    /// Opens the keystores: shares by group public key.
    pub fn shares(
        &mut self,
        flags: &ShareFlags,
    ) -> anyhow::Result<BTreeMap<PublicKeyBytes, SecretKey>> {
        if let Some(keystores) = &flags.validator_keys_dir {
            self.0.paths.keystores.clone_from(keystores);
        }
        let passwords = match &flags.password_file {
            Some(file) => Passwords::File(file.clone()),
            None => Passwords::Beside,
        };
        let shares = self.0.shares(&passwords)?.secrets;
        let total = self.0.lock.validators().len();
        ensure!(
            shares.len() == total || flags.allow_incomplete_keystores,
            "{} has keystores for {} of {total} validators; with --allow-incomplete-keystores the others are left out",
            self.keystores().display(),
            shares.len()
        );
        Ok(shares)
    }

    fn keystores(&self) -> &Path {
        &self.0.paths.keystores
    }

    /// The share of one validator.
    pub fn share_of<'a>(
        &self,
        shares: &'a BTreeMap<PublicKeyBytes, SecretKey>,
        validator: &PublicKeyBytes,
    ) -> anyhow::Result<&'a SecretKey> {
        self.lock()
            .validator(validator)
            .with_context(|| self.0.paths.lock.display().to_string())?;
        match shares.get(validator) {
            Some(share) => Ok(share),
            None => bail!(
                "{} has no keystore for validator {validator}",
                self.keystores().display()
            ),
        }
    }
}
