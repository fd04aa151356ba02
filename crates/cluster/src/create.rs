//! Making a whole cluster at one place, without a ceremony (spec 10 §7.3): whoever runs it holds
//! every key for a moment, so it is for splitting a validator one has, and for tests.
//!
//! The result is a list of files in memory. Stretching the passwords of keystores is by far the
//! most work, so it is left as independent jobs ([`PendingKeystore`]) that the caller may spread over threads.

use flotilla_crypto::shares::{SplitError, split};
use flotilla_crypto::{IdentityKey, SecretKey, aggregate};
use flotilla_types::PublicKeyBytes;
use rand::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::address::{Address, AddressError};
use crate::definition::{
    Definition, EncodeError, MAX_VALIDATORS, MIN_OPERATORS, NewDefinitionError, Operator,
    ValidatorAddresses, check_protocol,
};
use crate::deposit::file::{DepositFileError, file_name, to_json};
use crate::deposit::{Deposit, DepositMessage, deposit_amounts, withdrawal_credentials};
use crate::enr::Enr;
use crate::hashing::HashError;
use crate::keystore::{Cost, Keystore, KeystoreRandomness, random_password};
use crate::lock::{DistributedValidator, Lock, LockedDeposit, LockedRegistration};
use crate::network::{Network, Networks};
use crate::registration::{DEFAULT_REGISTRATION_GAS_LIMIT, RegistrationMessage};
use crate::verify::{Finding, VerifyOptions};

/// Name of the identity key file.
pub const IDENTITY_KEY_FILE: &str = "charon-enr-private-key";
/// Name of the lock file.
pub const LOCK_FILE: &str = "cluster-lock.json";
/// Name of the folder of keystores.
pub const KEYSTORE_FOLDER: &str = "validator_keys";

const IDENTITY_KEY_MODE: u32 = 0o600;
const LOCK_MODE: u32 = 0o400;
const DEPOSIT_MODE: u32 = 0o444;
const KEYSTORE_MODE: u32 = 0o444;
const PASSWORD_MODE: u32 = 0o400;
/// Random bytes in the password of a keystore.
const PASSWORD_BYTES: usize = 16;

/// What a cluster is made from.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its operators are replaced by fresh identities; only their number counts.
    pub definition: Definition,
    /// The network with the definition's fork version.
    pub network: &'a Network,
    /// Keys to split, one per validator in validator order; `None` for fresh ones.
    pub existing_keys: Option<Vec<SecretKey>>,
    /// Cost of the keystores.
    pub keystore_cost: Cost,
    /// Date of the builder registrations in Unix seconds: genesis, or now for existing keys.
    pub registration_time: u64,
}

impl<'a> Request<'a> {
    /// Fresh keys, full cost, registrations dated at genesis.
    #[must_use]
    pub fn new(definition: Definition, network: &'a Network) -> Self {
        Self {
            definition,
            network,
            existing_keys: None,
            keystore_cost: Cost::FULL,
            registration_time: network.genesis_time,
        }
    }
}

/// A cluster that is not made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CreateError {
    /// The definition asks for what cannot be.
    #[error(transparent)]
    Definition(#[from] NewDefinitionError),
    /// The definition belongs to another network.
    #[error("the definition has fork version {definition}, network {network} has {expected}")]
    Network {
        /// Name of the network.
        network: String,
        /// Its fork version.
        expected: flotilla_types::ForkVersion,
        /// The definition's.
        definition: flotilla_types::ForkVersion,
    },
    /// Operators of the definition have signed; fresh identities cannot replace them.
    #[error(
        "operator {operator} of the definition has an address or signatures; its place cannot be taken by a fresh key"
    )]
    SignedOperator {
        /// Position of the operator, from 0.
        operator: usize,
    },
    /// More validators than a lock can hold.
    #[error("{validators} validators, at most {MAX_VALIDATORS} are possible")]
    TooManyValidators {
        /// Number in the definition.
        validators: u64,
    },
    /// Not one key per validator.
    #[error("{keys} keys to split, the definition has {validators} validators")]
    KeyCount {
        /// Keys given.
        keys: usize,
        /// Validators in the definition.
        validators: u64,
    },
    /// One key given twice.
    #[error("keys {first} and {second} to split are the same")]
    SameKey {
        /// Position of the first, from 0.
        first: usize,
        /// Position of the second, from 0.
        second: usize,
    },
    /// An address in the definition is not one.
    #[error("addresses of validator {validator}: {error}")]
    Address {
        /// Validator index.
        validator: usize,
        /// What is wrong.
        error: AddressError,
    },
    /// The name is empty.
    #[error("the definition has no name")]
    NoName,
    /// Cheap keystores where money is real.
    #[error("insecure keystores on {network}, where money is real")]
    InsecureKeys {
        /// Name of the network.
        network: String,
    },
    /// A key cannot be split.
    #[error("splitting the key of validator {validator}: {error}")]
    Split {
        /// Validator index.
        validator: usize,
        /// Why.
        error: SplitError,
    },
    /// The deposits cannot be written.
    #[error(transparent)]
    DepositFile(#[from] DepositFileError),
    /// The lock cannot be hashed or written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// What was made does not verify: a defect of this program or of the machine. Nothing is handed out.
    #[error("the new lock does not verify: {0}")]
    Defect(Finding),
}

impl From<HashError> for CreateError {
    fn from(error: HashError) -> Self {
        Self::Encode(EncodeError::Hash(error))
    }
}

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
    fn new(path: impl Into<String>, mode: u32, bytes: impl Into<Vec<u8>>) -> Self {
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

/// One node of a new cluster.
#[derive(Debug)]
pub struct CreatedNode {
    /// Identity key, lock and deposits.
    pub files: Vec<File>,
    /// A keystore per validator.
    pub keystores: Vec<PendingKeystore>,
}

impl CreatedNode {
    /// All files, encrypting one keystore after another.
    #[must_use]
    pub fn into_files(self) -> Vec<File> {
        let keystores = self.keystores.iter().flat_map(PendingKeystore::seal);
        self.files.into_iter().chain(keystores).collect()
    }
}

/// A new cluster.
#[derive(Debug)]
pub struct Created {
    /// The lock, the same for all nodes.
    pub lock: Lock,
    /// The nodes, in the order of peer indexes.
    pub nodes: Vec<CreatedNode>,
}

impl Created {
    /// The files of every node, encrypting one keystore after another.
    #[must_use]
    pub fn into_files(self) -> Vec<Vec<File>> {
        self.nodes
            .into_iter()
            .map(CreatedNode::into_files)
            .collect()
    }
}

/// The further checks for a definition that came from a file, before money is sent to what it says.
///
/// # Errors
/// What a careful person would not go on with.
pub fn check_definition(
    definition: &Definition,
    network: &Network,
    cost: Cost,
) -> Result<(), CreateError> {
    if definition.num_validators == 0 {
        return Err(NewDefinitionError::NoValidators.into());
    }
    if cost == Cost::INSECURE && network.has_real_money() {
        return Err(CreateError::InsecureKeys {
            network: network.name.clone(),
        });
    }
    if definition.name.is_empty() {
        return Err(CreateError::NoName);
    }
    check_protocol(&definition.consensus_protocol)?;
    definition.check_withdrawal_addresses(network)?;
    Ok(())
}

/// Makes a cluster.
///
/// # Errors
/// The request cannot be fulfilled, or the result does not verify.
pub fn cluster(request: Request<'_>, rng: &mut impl CryptoRng) -> Result<Created, CreateError> {
    check(&request)?;
    let Request {
        mut definition,
        network,
        existing_keys,
        keystore_cost,
        registration_time,
    } = request;
    let roots = existing_keys.unwrap_or_else(|| {
        (0..definition.num_validators)
            .map(|_| SecretKey::generate(rng))
            .collect()
    });
    let identities: Vec<IdentityKey> = definition
        .operators
        .iter()
        .map(|_| IdentityKey::generate(rng))
        .collect();
    definition.operators = identities
        .iter()
        .map(|identity| Operator::with_enr(Enr::from_key(identity).to_text()))
        .collect();

    let maker = Maker {
        definition: &definition,
        network,
        registration_time,
    };
    let made: Vec<MadeValidator> = roots
        .iter()
        .enumerate()
        .map(|(index, root)| maker.validator(index, root, rng))
        .collect::<Result<_, _>>()?;
    let lock = sign_lock(definition, &made, &identities)?;
    check_result(&lock, network)?;

    let shared_files = shared_files(&lock, &made, network)?;
    let nodes = identities
        .iter()
        .enumerate()
        .map(|(node, identity)| {
            let key = File::new(
                IDENTITY_KEY_FILE,
                IDENTITY_KEY_MODE,
                identity.to_hex().as_bytes(),
            );
            let keystores = made
                .iter()
                .enumerate()
                .map(|(index, validator)| {
                    PendingKeystore::new(index, validator.shares[node].clone(), keystore_cost, rng)
                })
                .collect();
            CreatedNode {
                files: std::iter::once(key).chain(shared_files.clone()).collect(),
                keystores,
            }
        })
        .collect();
    Ok(Created { lock, nodes })
}

fn check(request: &Request<'_>) -> Result<(), CreateError> {
    let definition = &request.definition;
    let operators = definition.operators.len();
    if operators < MIN_OPERATORS {
        return Err(NewDefinitionError::TooFewOperators { found: operators }.into());
    }
    let threshold = usize::try_from(definition.threshold).unwrap_or(usize::MAX);
    if !(2..=operators).contains(&threshold) {
        return Err(NewDefinitionError::Threshold {
            threshold,
            operators,
        }
        .into());
    }
    if definition.fork_version != request.network.genesis_fork_version {
        return Err(CreateError::Network {
            network: request.network.name.clone(),
            expected: request.network.genesis_fork_version,
            definition: definition.fork_version,
        });
    }
    if let Some(operator) = definition
        .operators
        .iter()
        .position(|operator| !operator.is_unsigned())
    {
        return Err(CreateError::SignedOperator { operator });
    }
    if definition.num_validators == 0 {
        return Err(NewDefinitionError::NoValidators.into());
    }
    // Early versions have no limit of their own; keys are not made for more than any lock can hold.
    if definition.num_validators > MAX_VALIDATORS as u64 {
        return Err(CreateError::TooManyValidators {
            validators: definition.num_validators,
        });
    }
    request
        .existing_keys
        .as_deref()
        .map_or(Ok(()), |keys| check_keys(keys, definition.num_validators))
}

fn check_keys(keys: &[SecretKey], validators: u64) -> Result<(), CreateError> {
    if keys.len() as u64 != validators {
        return Err(CreateError::KeyCount {
            keys: keys.len(),
            validators,
        });
    }
    let mut seen = std::collections::BTreeMap::new();
    for (second, key) in keys.iter().enumerate() {
        if let Some(first) = seen.insert(key.public_key(), second) {
            return Err(CreateError::SameKey { first, second });
        }
    }
    Ok(())
}

/// A validator with its shares, in operator order.
struct MadeValidator {
    entry: DistributedValidator,
    deposits: Vec<Deposit>,
    shares: Vec<SecretKey>,
}

/// What all validators of a cluster have in common.
struct Maker<'a> {
    definition: &'a Definition,
    network: &'a Network,
    registration_time: u64,
}

impl Maker<'_> {
    fn validator(
        &self,
        index: usize,
        root: &SecretKey,
        rng: &mut impl CryptoRng,
    ) -> Result<MadeValidator, CreateError> {
        let definition = self.definition;
        let threshold = usize::try_from(definition.threshold).unwrap_or(usize::MAX);
        let shares = split(root, threshold, definition.operators.len(), rng).map_err(|error| {
            CreateError::Split {
                validator: index,
                error,
            }
        })?;
        let public_key = PublicKeyBytes(root.public_key().to_bytes());
        let none = ValidatorAddresses::default();
        let pair = definition.validator_addresses(index).unwrap_or(&none);
        let address = |text: &str| {
            Address::parse(text).map_err(|error| CreateError::Address {
                validator: index,
                error,
            })
        };
        let deposits = self.deposits(public_key, address(&pair.withdrawal)?, root);
        let registration = self.registration(public_key, address(&pair.fee_recipient)?, root);
        let entry = DistributedValidator {
            public_key,
            public_shares: shares
                .iter()
                .map(|(_, share)| PublicKeyBytes(share.public_key().to_bytes()))
                .collect(),
            deposits: self.locked_deposits(&deposits),
            registration,
        };
        Ok(MadeValidator {
            entry,
            deposits,
            shares: shares.into_iter().map(|(_, share)| share).collect(),
        })
    }

    fn deposits(
        &self,
        public_key: PublicKeyBytes,
        withdrawal: Address,
        root: &SecretKey,
    ) -> Vec<Deposit> {
        let withdrawal_credentials =
            withdrawal_credentials(withdrawal, self.definition.compounding);
        deposit_amounts(
            &self.definition.deposit_amounts,
            self.definition.compounding,
        )
        .into_iter()
        .map(|amount| {
            DepositMessage {
                public_key,
                withdrawal_credentials,
                amount,
            }
            .sign(root, self.network.genesis_fork_version)
        })
        .collect()
    }

    /// As many deposits as the version has room for.
    fn locked_deposits(&self, deposits: &[Deposit]) -> Vec<LockedDeposit> {
        let version = self.definition.version;
        let room = match (version.has_single_deposit(), version.has_partial_deposits()) {
            (true, _) => 1,
            (_, true) => deposits.len(),
            _ => 0,
        };
        deposits
            .iter()
            .take(room)
            .map(LockedDeposit::from)
            .collect()
    }

    fn registration(
        &self,
        public_key: PublicKeyBytes,
        fee_recipient: Address,
        root: &SecretKey,
    ) -> LockedRegistration {
        if !self.definition.version.has_registrations() {
            return LockedRegistration::default();
        }
        let gas_limit = match self.definition.target_gas_limit {
            0 => DEFAULT_REGISTRATION_GAS_LIMIT,
            limit => limit,
        };
        let message = RegistrationMessage {
            fee_recipient,
            gas_limit,
            timestamp: self.registration_time,
            public_key,
        };
        LockedRegistration::from(&message.sign(root, self.network.genesis_fork_version))
    }
}

/// The lock with the signatures of all shares and all identities over its hash.
fn sign_lock(
    definition: Definition,
    made: &[MadeValidator],
    identities: &[IdentityKey],
) -> Result<Lock, CreateError> {
    let has_node_signatures = definition.version.has_registrations();
    let mut lock = Lock {
        definition,
        validators: made
            .iter()
            .map(|validator| validator.entry.clone())
            .collect(),
        signature_aggregate: Vec::new(),
        lock_hash: Vec::new(),
        node_signatures: Vec::new(),
        unknown_fields: Vec::new(),
    };
    lock.update_hashes()?;
    let hash = lock.compute_lock_hash()?;
    let signatures: Vec<_> = made
        .iter()
        .flat_map(|validator| &validator.shares)
        .map(|share| share.sign(&hash))
        .collect();
    lock.signature_aggregate = aggregate(&signatures).to_bytes().to_vec();
    if has_node_signatures {
        lock.node_signatures = identities
            .iter()
            .map(|identity| identity.sign(&hash).to_vec())
            .collect();
    }
    Ok(lock)
}

fn check_result(lock: &Lock, network: &Network) -> Result<(), CreateError> {
    let networks = Networks::public().with_custom(network.clone());
    let options = VerifyOptions {
        extra_checks: false,
        ..VerifyOptions::new(&networks)
    };
    lock.verify(&options)
        .into_iter()
        .next()
        .map_or(Ok(()), |finding| Err(CreateError::Defect(finding)))
}

/// The files that are the same for every node: lock and deposits.
fn shared_files(
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
