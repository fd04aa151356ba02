//! The files of a new cluster: names, modes, content.

use flotilla_crypto::SecretKey;
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::request::CreateError;
use super::validators::MadeValidator;
use crate::deposit::file::{file_name, to_json};
use crate::deposit::{Deposit, deposit_amounts};
use crate::keystore::{Cost, Keystore, KeystoreRandomness, random_password};
use crate::lock::Lock;
use crate::network::Network;

/// Name of the identity key file.
pub const IDENTITY_KEY_FILE: &str = "charon-enr-private-key";
/// Name of the lock file.
pub const LOCK_FILE: &str = "cluster-lock.json";
/// Name of the folder of keystores.
pub const KEYSTORE_FOLDER: &str = "validator_keys";

pub(super) const IDENTITY_KEY_MODE: u32 = 0o600;
const LOCK_MODE: u32 = 0o400;
const DEPOSIT_MODE: u32 = 0o444;
const KEYSTORE_MODE: u32 = 0o444;
const PASSWORD_MODE: u32 = 0o400;
/// Random bytes in the password of a keystore.
const PASSWORD_BYTES: usize = 16;

/// A file to write.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Path relative to the node's folder, with `/`.
    pub path: String,
    /// Permissions.
    pub mode: u32,
    /// Content; may be secret.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl File {
    pub(super) fn new(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            mode,
            bytes: Zeroizing::new(bytes.into()),
        }
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "File({}, {:o}, {} bytes)",
            self.path,
            self.mode,
            self.bytes.len()
        )
    }
}

/// A share and its password, still to be encrypted.
#[derive(Debug)]
pub struct PendingKeystore {
    validator: usize,
    secret: SecretKey,
    password: Zeroizing<String>,
    cost: Cost,
    randomness: KeystoreRandomness,
}

impl PendingKeystore {
    /// Draws password, salt and the like for the share of validator `validator`.
    pub fn new(validator: usize, secret: SecretKey, cost: Cost, rng: &mut impl CryptoRng) -> Self {
        Self {
            validator,
            secret,
            password: random_password(PASSWORD_BYTES, rng),
            cost,
            randomness: KeystoreRandomness::draw(rng),
        }
    }

    /// The share.
    #[must_use]
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// Encrypts: the keystore and the file with its password. This is the slow part.
    #[must_use]
    pub fn seal(&self) -> [File; 2] {
        let keystore =
            Keystore::encrypt_with(&self.secret, &self.password, self.cost, &self.randomness);
        let insecure = if self.cost == Cost::INSECURE {
            "insecure-"
        } else {
            ""
        };
        let stem = format!("{KEYSTORE_FOLDER}/keystore-{insecure}{}", self.validator);
        [
            File::new(format!("{stem}.json"), KEYSTORE_MODE, keystore.to_json()),
            File::new(
                format!("{stem}.txt"),
                PASSWORD_MODE,
                self.password.as_bytes(),
            ),
        ]
    }
}

/// The files that are the same for every node: lock and deposits.
pub(super) fn shared_files(
    lock: &Lock,
    made: &[MadeValidator],
    network: &Network,
) -> Result<Vec<File>, CreateError> {
    let mut files = vec![File::new(LOCK_FILE, LOCK_MODE, lock.to_json()?)];
    let amounts = deposit_amounts(
        &lock.definition.deposit_amounts,
        lock.definition.compounding,
    );
    for (position, amount) in amounts.into_iter().enumerate() {
        let deposits: Vec<Deposit> = made
            .iter()
            .map(|validator| validator.deposits[position].clone())
            .collect();
        files.push(File::new(
            file_name(amount),
            DEPOSIT_MODE,
            to_json(&deposits, network)?,
        ));
    }
    Ok(files)
}
