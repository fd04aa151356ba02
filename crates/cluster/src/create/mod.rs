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
use validators::{MadeValidator, Maker};

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
