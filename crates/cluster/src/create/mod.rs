//! Making a whole cluster at one place, without a ceremony (spec 10 §7.3): whoever runs it holds
//! every key for a moment, so it is for splitting a validator one has, and for tests.
//!
//! The result is a list of files in memory. Stretching the passwords of keystores is by far the
//! most work, so it is left as independent jobs ([`PendingKeystore`]) that the caller may spread over threads.

mod files;
mod request;
mod validators;

use flotilla_crypto::{IdentityKey, SecretKey, aggregate};
use rand::CryptoRng;

pub use files::{File, IDENTITY_KEY_FILE, KEYSTORE_FOLDER, LOCK_FILE, PendingKeystore};
pub use request::{CreateError, Request, check_definition};

use crate::definition::{Definition, Operator};
use crate::enr::Enr;
use crate::lock::Lock;
use crate::network::{Network, Networks};
use crate::verify::VerifyOptions;
use files::{IDENTITY_KEY_MODE, shared_files};
use request::check;
use validators::{MadeValidator, Maker, PlannedValidator};

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

/// Makes a cluster.
///
/// # Errors
/// The request cannot be fulfilled, or the result does not verify.
pub fn cluster(request: Request<'_>, rng: &mut impl CryptoRng) -> Result<Created, CreateError> {
    let plan = Plan::draw(request, rng)?;
    let signed = plan.sign()?;
    Ok(plan.created(signed))
}

/// A cluster whose secrets are drawn and which has signed nothing yet: signing and the encryption of keystores do not need each
/// other, so that a caller with threads may do both at once.
#[derive(Debug)]
pub struct Plan<'a> {
    definition: Definition,
    network: &'a Network,
    registration_time: u64,
    identities: Vec<IdentityKey>,
    validators: Vec<PlannedValidator>,
    keystores: Vec<Vec<PendingKeystore>>,
}

/// What signing a [`Plan`] gives.
#[derive(Debug)]
pub struct Signed {
    /// The lock, the same for all nodes.
    pub lock: Lock,
    /// Identity key, lock and deposits of each node, in the order of peer indexes.
    pub files: Vec<Vec<File>>,
}

impl<'a> Plan<'a> {
    /// Draws every secret.
    ///
    /// # Errors
    /// The request cannot be fulfilled.
    pub fn draw(request: Request<'a>, rng: &mut impl CryptoRng) -> Result<Self, CreateError> {
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
        let validators: Vec<PlannedValidator> = roots
            .into_iter()
            .enumerate()
            .map(|(index, root)| PlannedValidator::split(index, root, &definition, rng))
            .collect::<Result<_, _>>()?;
        let keystores = (0..identities.len())
            .map(|node| {
                let shares = validators.iter().map(|validator| &validator.shares[node]);
                shares
                    .enumerate()
                    .map(|(index, share)| {
                        PendingKeystore::new(index, share.clone(), keystore_cost, rng)
                    })
                    .collect()
            })
            .collect();
        Ok(Self {
            definition,
            network,
            registration_time,
            identities,
            validators,
            keystores,
        })
    }

    /// The keystores of each node, in the order of peer indexes, one per validator.
    #[must_use]
    pub fn keystores(&self) -> &[Vec<PendingKeystore>] {
        &self.keystores
    }

    /// Signs lock, deposits and registrations, and checks the result.
    ///
    /// # Errors
    /// An address of the definition is none, or the result does not verify.
    pub fn sign(&self) -> Result<Signed, CreateError> {
        let maker = Maker {
            definition: &self.definition,
            network: self.network,
            registration_time: self.registration_time,
        };
        let made: Vec<MadeValidator> = self
            .validators
            .iter()
            .enumerate()
            .map(|(index, planned)| maker.validator(index, planned))
            .collect::<Result<_, _>>()?;
        let lock = self.sign_lock(&made)?;
        check_result(&lock, self.network)?;
        let shared_files = shared_files(&lock, &made, self.network)?;
        let files = self.identities.iter().map(|identity| {
            let key = File::new(
                IDENTITY_KEY_FILE,
                IDENTITY_KEY_MODE,
                identity.to_hex().as_bytes(),
            );
            std::iter::once(key).chain(shared_files.clone()).collect()
        });
        Ok(Signed {
            files: files.collect(),
            lock,
        })
    }

    /// Joins what was signed with the keystores.
    #[must_use]
    pub fn created(self, signed: Signed) -> Created {
        let nodes = signed.files.into_iter().zip(self.keystores);
        Created {
            lock: signed.lock,
            nodes: nodes
                .map(|(files, keystores)| CreatedNode { files, keystores })
                .collect(),
        }
    }

    /// The lock with the signatures of all shares and all identities over its hash.
    fn sign_lock(&self, made: &[MadeValidator]) -> Result<Lock, CreateError> {
        let has_node_signatures = self.definition.version.has_registrations();
        let mut lock = Lock {
            definition: self.definition.clone(),
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
        let signatures: Vec<_> = self
            .validators
            .iter()
            .flat_map(|validator| &validator.shares)
            .map(|share| share.sign(&hash))
            .collect();
        lock.signature_aggregate = aggregate(&signatures).to_bytes().to_vec();
        if has_node_signatures {
            lock.node_signatures = self
                .identities
                .iter()
                .map(|identity| identity.sign(&hash).to_vec())
                .collect();
        }
        Ok(lock)
    }
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
