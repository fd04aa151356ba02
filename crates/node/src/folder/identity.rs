//! An operator's identity key on disk: in the open, as the field has it, or under a password.

use std::path::{Path, PathBuf};

use flotilla_cluster::Keystore;
use flotilla_crypto::IdentityKey;
use zeroize::Zeroizing;

use super::{FolderError, files};

/// How an encrypted identity key is opened.
#[derive(Clone, Default)]
pub enum IdentityPassword {
    /// Not at all; a key in the open needs none.
    #[default]
    None,
    /// With this text.
    Text(Zeroizing<String>),
    /// With what this file has.
    File(PathBuf),
}

impl std::fmt::Debug for IdentityPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl IdentityPassword {
    /// The password, if there is one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn text(&self) -> Result<Option<Zeroizing<String>>, FolderError> {
        match self {
            Self::None => Ok(None),
            Self::Text(text) => Ok(Some(text.clone())),
            Self::File(path) => files::read_secret(path, "put the password there").map(Some),
        }
    }
}

/// Where the key lies when it is encrypted: an EIP-2335 keystore beside the place of the plain one.
pub fn encrypted_identity_path(plain: &Path) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

/// Reads an operator's identity key, in the open or encrypted.
///
/// # Errors
/// There is none, there are two, or it cannot be opened.
pub fn read_identity(path: &Path, password: &IdentityPassword) -> Result<IdentityKey, FolderError> {
    let encrypted = encrypted_identity_path(path);
    match (path.exists(), encrypted.exists()) {
        (true, true) => Err(FolderError::TwoIdentities {
            plain: path.to_owned(),
            encrypted,
        }),
        (false, true) => read_encrypted(encrypted, password),
        _ => read_plain(path),
    }
}

fn read_plain(path: &Path) -> Result<IdentityKey, FolderError> {
    let text = files::read_secret(path, "make one with `create enr`, or copy yours there")?;
    IdentityKey::from_hex(&text).map_err(|source| FolderError::Identity {
        path: path.to_owned(),
        source,
    })
}

fn read_encrypted(path: PathBuf, password: &IdentityPassword) -> Result<IdentityKey, FolderError> {
    let bytes = files::read(&path, "it was there a moment ago")?;
    let keystore = match Keystore::parse(&bytes) {
        Ok(keystore) => keystore,
        Err(source) => return Err(FolderError::IdentityKeystore { path, source }),
    };
    match password.text()? {
        None => Err(FolderError::IdentityPassword { path }),
        Some(password) => keystore
            .decrypt_identity(&password)
            .map_err(|source| FolderError::EncryptedIdentity { path, source }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flotilla_cluster::Cost;
    use flotilla_crypto::os_rng;
    use tempfile::TempDir;

    #[test]
    fn an_encrypted_key_needs_its_password() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("charon-enr-private-key");
        let mut rng = os_rng().unwrap();
        let key = IdentityKey::generate(&mut rng);
        let keystore = Keystore::encrypt_identity(&key, "right", Cost::INSECURE, &mut rng);
        std::fs::write(encrypted_identity_path(&path), keystore.to_json()).unwrap();
        let password_file = folder.path().join("password");
        std::fs::write(&password_file, "right\n").unwrap();

        let text = |text: &str| IdentityPassword::Text(Zeroizing::new(text.to_owned()));
        for good in [text("right"), IdentityPassword::File(password_file)] {
            assert_eq!(read_identity(&path, &good).unwrap().to_hex(), key.to_hex());
        }
        let wrong = read_identity(&path, &text("wrong")).unwrap_err();
        assert!(matches!(wrong, FolderError::EncryptedIdentity { .. }));
        let none = read_identity(&path, &IdentityPassword::None).unwrap_err();
        assert!(none.to_string().contains("--private-key-password-file"));

        std::fs::write(&path, key.to_hex().as_bytes()).unwrap();
        let two = read_identity(&path, &text("right")).unwrap_err();
        assert!(matches!(two, FolderError::TwoIdentities { .. }));
    }

    #[test]
    fn a_password_is_not_shown() {
        let password = IdentityPassword::Text(Zeroizing::new("hunter2".to_owned()));
        assert_eq!(format!("{password:?}"), "Text(..)");
    }
}
