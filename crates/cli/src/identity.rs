//! `flotilla create enr` and `flotilla enr`: an operator's identity (spec of the field: charon-enr-private-key).

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use flotilla_cluster::{Cost, Enr, Keystore, PeerId};
use flotilla_crypto::{IdentityKey, os_rng};
use flotilla_node::folder::{self, IdentityPassword, Overwrite, Paths, encrypted_identity_path};
use zeroize::Zeroizing;

use crate::run::default_data_dir;
use crate::say;

/// The variable with the password of an encrypted identity key: a flag would show it to every user of the machine.
const PASSWORD_VARIABLE: &str = "FLOTILLA_PRIVATE_KEY_PASSWORD";

/// How an encrypted identity key is opened.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct PasswordFlags {
    /// File with the password of an encrypted identity key (`create enr --encrypt`); without it the variable
    /// FLOTILLA_PRIVATE_KEY_PASSWORD is the password.
    #[arg(long, value_name = "FILE")]
    private_key_password_file: Option<PathBuf>,
}

impl PasswordFlags {
    /// The password, from the file named or from the environment.
    pub fn password(&self) -> IdentityPassword {
        match (
            &self.private_key_password_file,
            std::env::var(PASSWORD_VARIABLE),
        ) {
            (Some(file), _) => IdentityPassword::File(file.clone()),
            (None, Ok(text)) if !text.is_empty() => IdentityPassword::Text(Zeroizing::new(text)),
            _ => IdentityPassword::None,
        }
    }
}

/// Make an operator identity: a private key and its ENR.
///
/// The ENR is what an operator gives to the others when a cluster is made. An existing key is never overwritten.
#[derive(clap::Args)]
pub struct Create {
    /// Where the key is put, as `charon-enr-private-key`.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Keep the key under a password, as `charon-enr-private-key.json`; Charon cannot read it then.
    #[arg(long)]
    encrypt: bool,
    #[command(flatten)]
    password: PasswordFlags,
}

/// Show the ENR of an existing identity.
#[derive(clap::Args)]
pub struct Show {
    /// The folder with `charon-enr-private-key`.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Also show the public key, the record's signature and the peer ID.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    password: PasswordFlags,
}

/// Makes an identity.
pub fn create(arguments: &Create) -> anyhow::Result<()> {
    let folder = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    let plain = Paths::in_folder(&folder).identity;
    let encrypted = encrypted_identity_path(&plain);
    for path in [&plain, &encrypted] {
        if path.exists() {
            bail!(
                "{} exists already; show its ENR with `flotilla enr --data-dir {}`",
                path.display(),
                folder.display()
            );
        }
    }
    let mut rng = os_rng()?;
    let key = IdentityKey::generate(&mut rng);
    let (path, bytes) = match arguments.encrypt {
        false => (plain, Zeroizing::new(key.to_hex().as_bytes().to_vec())),
        true => {
            let password = new_password(&arguments.password)?;
            let keystore = Keystore::encrypt_identity(&key, &password, Cost::FULL, &mut rng);
            (encrypted, Zeroizing::new(keystore.to_json().into_bytes()))
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    folder::write_atomic(&path, &bytes, 0o600, Overwrite::Refuse)?;
    say(&format!("Created ENR private key: {}", path.display()));
    say(&Enr::from_key(&key).to_text());
    say(&backup_advice(&path, arguments.encrypt));
    Ok(())
}

fn new_password(flags: &PasswordFlags) -> anyhow::Result<Zeroizing<String>> {
    let password = flags.password().text()?.with_context(|| {
        format!("--encrypt needs a password: --private-key-password-file FILE, or the variable {PASSWORD_VARIABLE}")
    })?;
    anyhow::ensure!(!password.trim().is_empty(), "the password is empty");
    Ok(password)
}

fn backup_advice(path: &Path, encrypted: bool) -> String {
    let what = if encrypted { " and its password" } else { "" };
    format!(
        "\nBack up {}{what} in a safe place: without it this node cannot take its seat.",
        path.display()
    )
}

/// Shows an identity.
pub fn show(arguments: &Show) -> anyhow::Result<()> {
    let folder = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    let password = arguments.password.password();
    let key = folder::read_identity(&Paths::in_folder(&folder).identity, &password)?;
    let enr = Enr::from_key(&key);
    say(&enr.to_text());
    if arguments.verbose {
        say(&format!(
            "secp256k1 pubkey: 0x{}",
            hex::encode(key.public().to_compressed())
        ));
        say(&format!("signature: 0x{}", hex::encode(enr.signature())));
        say(&format!("peer id: {}", PeerId::of(&key.public())));
    }
    Ok(())
}
