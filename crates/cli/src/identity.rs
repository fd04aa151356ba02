//! `flotilla create enr` and `flotilla enr`: an operator's identity (spec of the field: charon-enr-private-key).

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use flotilla_cluster::Enr;
use flotilla_crypto::{IdentityKey, os_rng};
use flotilla_node::folder::{self, Overwrite, Paths};

use crate::run::default_data_dir;
use crate::say;

/// Make an operator identity: a private key and its ENR.
///
/// The ENR is what an operator gives to the others when a cluster is made. An existing key is never overwritten.
#[derive(clap::Args)]
pub struct Create {
    /// Where the key is put, as `charon-enr-private-key`.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Show the ENR of an existing identity.
#[derive(clap::Args)]
pub struct Show {
    /// The folder with `charon-enr-private-key`.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Also show the public key and the record's signature.
    #[arg(long)]
    verbose: bool,
}

/// Makes an identity.
pub fn create(arguments: &Create) -> anyhow::Result<()> {
    let folder = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    let path = Paths::in_folder(&folder).identity;
    if path.exists() {
        bail!(
            "{} exists already; show its ENR with `flotilla enr --data-dir {}`",
            path.display(),
            folder.display()
        );
    }
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let key = IdentityKey::generate(&mut os_rng()?);
    folder::write_atomic(&path, key.to_hex().as_bytes(), 0o600, Overwrite::Refuse)?;
    say(&format!("Created ENR private key: {}", path.display()));
    say(&Enr::from_key(&key).to_text());
    say(&format!(
        "\nBack up {} in a safe place: without it this node cannot take its seat.",
        path.display()
    ));
    Ok(())
}

/// Shows an identity.
pub fn show(arguments: &Show) -> anyhow::Result<()> {
    let folder = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    let key = folder::read_identity(&Paths::in_folder(&folder).identity)?;
    let enr = Enr::from_key(&key);
    say(&enr.to_text());
    if arguments.verbose {
        say(&format!(
            "secp256k1 pubkey: 0x{}",
            hex::encode(key.public().to_compressed())
        ));
        say(&format!("signature: 0x{}", hex::encode(enr.signature())));
    }
    Ok(())
}
