//! What a cluster may be made from, and what it may not.

use std::collections::BTreeMap;

use flotilla_crypto::SecretKey;
use flotilla_crypto::shares::SplitError;
use flotilla_types::ForkVersion;
use thiserror::Error;

use crate::address::AddressError;
use crate::definition::{
    Definition, EncodeError, MAX_VALIDATORS, MIN_OPERATORS, NewDefinitionError, check_protocol,
};
use crate::deposit::file::DepositFileError;
use crate::hashing::HashError;
use crate::keystore::Cost;
use crate::network::Network;
use crate::verify::Finding;

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
        expected: ForkVersion,
        /// The definition's.
        definition: ForkVersion,
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

/// The further checks for a definition that came from a file, before money is sent to what it says.
///
/// # Errors
/// What a careful person would not go on with.
pub fn check_definition(definition: &Definition, network: &Network) -> Result<(), CreateError> {
    if definition.num_validators == 0 {
        return Err(NewDefinitionError::NoValidators.into());
    }
    if definition.name.is_empty() {
        return Err(CreateError::NoName);
    }
    check_protocol(&definition.consensus_protocol)?;
    definition.check_withdrawal_addresses(network)?;
    Ok(())
}

/// Checks everything that can be checked before a key is made.
pub(super) fn check(request: &Request<'_>) -> Result<(), CreateError> {
    let definition = &request.definition;
    if request.keystore_cost == Cost::INSECURE && request.network.has_real_money() {
        return Err(CreateError::InsecureKeys {
            network: request.network.name.clone(),
        });
    }
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
    let mut seen = BTreeMap::new();
    for (second, key) in keys.iter().enumerate() {
        if let Some(first) = seen.insert(key.public_key(), second) {
            return Err(CreateError::SameKey { first, second });
        }
    }
    Ok(())
}
