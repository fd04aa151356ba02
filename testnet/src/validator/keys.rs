//! The secrets this client signs with: whole keys or shares, it cannot tell.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flotilla_cluster::keystore::folder::password_name;
use flotilla_cluster::{DecryptError, Keystore, ParseError};
use flotilla_crypto::SecretKey;
use flotilla_types::PublicKeyBytes;
use sha2::{Digest as _, Sha256};

/// Keystores read from one folder, at most.
const KEYSTORES: usize = 16_384;
/// The order of the curve's groups, big-endian.
const ORDER: [u8; 32] = [
    0x73, 0xed, 0xa7, 0x53, 0x29, 0x9d, 0x7d, 0x48, 0x33, 0x39, 0xd8, 0x08, 0x09, 0xa1, 0xd8, 0x05,
    0x53, 0xbd, 0xa4, 0x02, 0xff, 0xfe, 0x5b, 0xfe, 0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x01,
];

/// Secrets by their public keys.
pub(super) type Keys = BTreeMap<PublicKeyBytes, Arc<SecretKey>>;

/// Where the secrets come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// EIP-2335 keystores of a folder: every `*.json`, its password in the `.txt` file of the same name.
    Keystores {
        /// The folder.
        folder: PathBuf,
        /// Password of keystores without a file of their own.
        password_file: Option<PathBuf>,
    },
    /// The well-known keys of test networks, from one number up to and with another.
    Interop {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

/// Keys that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file or folder that cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is no keystore.
    #[error("{path}: {source}")]
    Parse {
        /// Where.
        path: PathBuf,
        /// Why.
        source: ParseError,
    },
    /// A keystore that does not open.
    #[error("{path}: {source}")]
    Decrypt {
        /// Where.
        path: PathBuf,
        /// Why.
        source: DecryptError,
    },
    /// A keystore without a password.
    #[error("{path}: no {} beside it, and no --password-file given", password_name(&file_name(path)))]
    NoPassword {
        /// The keystore.
        path: PathBuf,
    },
    /// Nothing to sign with, or far too much.
    #[error("{count} keys, expected 1 to {KEYSTORES}")]
    Count {
        /// How many there are.
        count: usize,
    },
}

impl KeySource {
    /// Reads all keys. Opening keystores takes processor time; call it where blocking is fine.
    ///
    /// # Errors
    /// [`KeysError`].
    pub(super) fn load(&self) -> Result<Keys, KeysError> {
        let secrets = match self {
            Self::Keystores {
                folder,
                password_file,
            } => keystores(folder, password_file.as_deref())?,
            Self::Interop { first, last } => {
                let count = last.saturating_sub(*first) as usize + 1;
                check_count(count)?;
                (*first..=*last).map(interop_key).collect()
            }
        };
        check_count(secrets.len())?;
        let keyed = |secret: SecretKey| {
            let public = PublicKeyBytes(secret.public_key().to_bytes());
            (public, Arc::new(secret))
        };
        Ok(secrets.into_iter().map(keyed).collect())
    }
}

fn check_count(count: usize) -> Result<(), KeysError> {
    match (1..=KEYSTORES).contains(&count) {
        true => Ok(()),
        false => Err(KeysError::Count { count }),
    }
}

fn keystores(folder: &Path, password_file: Option<&Path>) -> Result<Vec<SecretKey>, KeysError> {
    let failed = |source| KeysError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
            check_count(paths.len())?;
        }
    }
    paths.sort();
    let shared = password_file.map(read_text).transpose()?;
    paths
        .iter()
        .map(|path| open(path, shared.as_deref()))
        .collect()
}

fn open(path: &Path, shared: Option<&str>) -> Result<SecretKey, KeysError> {
    let own = path.with_file_name(password_name(&file_name(path)));
    let own = own.exists().then(|| read_text(&own)).transpose()?;
    let password = own.as_deref().or(shared);
    let password = password.ok_or_else(|| KeysError::NoPassword {
        path: path.to_owned(),
    })?;
    let text = read_text(path)?;
    let keystore = Keystore::parse(text.as_bytes()).map_err(|source| KeysError::Parse {
        path: path.to_owned(),
        source,
    })?;
    keystore
        .decrypt(password.trim())
        .map_err(|source| KeysError::Decrypt {
            path: path.to_owned(),
            source,
        })
}

fn read_text(path: &Path) -> Result<String, KeysError> {
    std::fs::read_to_string(path).map_err(|source| KeysError::Read {
        path: path.to_owned(),
        source,
    })
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The key of a number on test networks: the SHA-256 digest of the number, both little-endian, modulo the group order.
fn interop_key(number: u64) -> SecretKey {
    let mut message = [0; 32];
    message[..8].copy_from_slice(&number.to_le_bytes());
    let mut secret: [u8; 32] = Sha256::digest(message).into();
    secret.reverse();
    while secret >= ORDER {
        subtract(&mut secret, &ORDER);
    }
    SecretKey::from_bytes(&secret)
        .expect("below the order, and no digest of a number is a multiple of it")
}

/// Takes a smaller number from a larger one, both big-endian.
fn subtract(from: &mut [u8; 32], number: &[u8; 32]) {
    let mut borrow = false;
    for (digit, &taken) in from.iter_mut().zip(number).rev() {
        let (difference, first) = digit.overflowing_sub(taken);
        let (difference, second) = difference.overflowing_sub(u8::from(borrow));
        *digit = difference;
        borrow = first || second;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn public(number: u64) -> String {
        hex::encode(interop_key(number).public_key().to_bytes())
    }

    #[test]
    fn interop_keys_are_those_of_other_clients() {
        assert!(public(0).starts_with("a99a76ed7796f7be"));
        assert!(public(1).starts_with("b89bebc699769726"));
        assert!(public(2).starts_with("a3a32b0f8b4ddb83"));
    }

    #[test]
    fn a_keystore_opens_with_the_password_beside_it_or_the_common_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = flotilla_crypto::os_rng().unwrap();
        let cost = flotilla_cluster::Cost::scrypt(16, 8, 1).unwrap();
        for (number, password) in [(0, "own"), (1, "common")] {
            let keystore = Keystore::encrypt(&interop_key(number), password, cost, &mut rng);
            let path = folder.path().join(format!("keystore-{number}.json"));
            std::fs::write(path, keystore.to_json()).unwrap();
        }
        std::fs::write(folder.path().join("keystore-0.txt"), "own\n").unwrap();
        let source = |password_file| KeySource::Keystores {
            folder: folder.path().to_owned(),
            password_file,
        };
        let error = source(None).load().unwrap_err().to_string();
        assert!(error.contains("no keystore-1.txt beside it"), "{error}");

        let common = folder.path().join("password");
        std::fs::write(&common, "common").unwrap();
        let keys = source(Some(common)).load().unwrap();
        let expected =
            [0, 1].map(|number| PublicKeyBytes(interop_key(number).public_key().to_bytes()));
        assert!(expected.iter().all(|key| keys.contains_key(key)));
    }
}
