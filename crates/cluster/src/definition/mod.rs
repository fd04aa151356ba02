//! What operators agree on before they have a key: `cluster-definition.json`.
//!
//! A definition is plain data in the words of the file. Reading it checks its form only; whether
//! hashes and signatures hold is asked of [`crate::verify`], because a person wants to see all that
//! is wrong with a file and a node only the first.

mod hash;
mod json;
mod new;

use flotilla_types::ForkVersion;
use thiserror::Error;

use crate::hashing::HashError;
use crate::json::{Field, MAX_UNKNOWN_FIELDS, ParseError, parse};
use crate::version::Version;

pub(crate) use hash::{MAX_DEPOSITS, MAX_OPERATORS, MAX_VALIDATORS};
pub(crate) use json::{read_bytes, write_bytes};
pub(crate) use new::uuid_text;
pub use new::{
    DEFAULT_GAS_LIMIT, MIN_OPERATORS, NewDefinition, NewDefinitionError, SUPPORTED_PROTOCOL,
    check_protocol, default_threshold, random_uuid,
};

/// A cluster definition of any version (spec 10 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Version of the file; decides which of the fields below are hashed and written.
    pub version: Version,
    /// Random identifier in the form of a UUID; at most 64 bytes.
    pub uuid: String,
    /// Cosmetic name; at most 256 bytes.
    pub name: String,
    /// Creation time as RFC 3339 text; at most 32 bytes.
    pub timestamp: String,
    /// Number of validators of the cluster.
    pub num_validators: u64,
    /// Shares needed for a signature.
    pub threshold: u64,
    /// Name of the key-generation algorithm; at most 32 bytes.
    pub dkg_algorithm: String,
    /// Genesis fork version of the network.
    pub fork_version: ForkVersion,
    /// The operators, in the order of peer indexes.
    pub operators: Vec<Operator>,
    /// Who made the definition (from v1.4).
    pub creator: Creator,
    /// Fee recipients and withdrawal addresses.
    pub addresses: Addresses,
    /// Amounts of partial deposits in Gwei, as given: repeats count (from v1.8).
    pub deposit_amounts: Vec<u64>,
    /// Consensus protocol the cluster prefers, may be empty (from v1.9).
    pub consensus_protocol: String,
    /// Gas limit for builder registrations (from v1.10), else 0.
    pub target_gas_limit: u64,
    /// Whether validators have 0x02 credentials (from v1.10).
    pub compounding: bool,
    /// Config hash as stored in the file; empty when missing.
    pub config_hash: Vec<u8>,
    /// Definition hash as stored in the file; empty when missing.
    pub definition_hash: Vec<u8>,
    /// Paths of members in the file that its version does not have; they are ignored, the first few kept.
    pub unknown_fields: Vec<String>,
}

/// A member of the cluster as the definition names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// Wallet address text; empty when the operator does not sign.
    pub address: String,
    /// ENR text. It need not be a valid record for the definition to verify.
    pub enr: String,
    /// EIP-712 signature(s) over the config hash.
    pub config_signature: Vec<u8>,
    /// EIP-712 signature(s) over the ENR.
    pub enr_signature: Vec<u8>,
}

impl Operator {
    /// An operator that is only an ENR.
    #[must_use]
    pub fn with_enr(enr: impl Into<String>) -> Self {
        Self {
            enr: enr.into(),
            ..Self::default()
        }
    }

    /// Whether the operator has neither address nor signatures.
    #[must_use]
    pub fn is_unsigned(&self) -> bool {
        self.address.is_empty() && self.config_signature.is_empty() && self.enr_signature.is_empty()
    }
}

/// Who made the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creator {
    /// Wallet address text; empty when nobody signed.
    pub address: String,
    /// EIP-712 signature(s) over the config hash.
    pub config_signature: Vec<u8>,
}

/// Where a validator's money goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValidatorAddresses {
    /// Receives fees of proposed blocks.
    pub fee_recipient: String,
    /// Receives withdrawals of stake.
    pub withdrawal: String,
}

/// The addresses of all validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// One pair for every validator (before v1.5).
    Shared(ValidatorAddresses),
    /// A pair per validator (from v1.5).
    Each(Vec<ValidatorAddresses>),
}

/// A definition that cannot be hashed or written in its version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A value has no place in the hash tree.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Versions before 1.5 have one pair of addresses.
    #[error(
        "version {version} has one pair of addresses, but validator {index} differs from validator 0"
    )]
    UnequalAddresses {
        /// Version of the file.
        version: Version,
        /// First validator that differs.
        index: usize,
    },
}

impl Definition {
    /// Reads `cluster-definition.json`.
    ///
    /// # Errors
    /// Where the file is not of the form its version has (spec 10 §2.2).
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let value = parse(bytes)?;
        let definition = json::read(&Field::root(&value))?;
        Ok(Self {
            unknown_fields: value.unknown_members(MAX_UNKNOWN_FIELDS),
            ..definition
        })
    }

    pub(crate) fn read(field: &Field<'_>) -> Result<Self, ParseError> {
        json::read(field)
    }

    /// The file's bytes, hashes recomputed.
    ///
    /// # Errors
    /// A value exceeds its limit, or the version cannot express the addresses.
    pub fn to_json(&self) -> Result<String, EncodeError> {
        Ok(json::write(self)?.render())
    }

    pub(crate) fn write(&self) -> Result<crate::json::Output, EncodeError> {
        json::write(self)
    }

    /// The config hash of the fields: what operators sign.
    ///
    /// # Errors
    /// A value exceeds its limit or is not an address.
    pub fn compute_config_hash(&self) -> Result<[u8; 32], HashError> {
        hash::config_hash(self)
    }

    /// The definition hash of the fields and of the *stored* config hash.
    ///
    /// # Errors
    /// A value exceeds its limit or is not an address.
    pub fn compute_definition_hash(&self) -> Result<[u8; 32], HashError> {
        hash::definition_hash(self)
    }

    /// Stores freshly computed hashes.
    ///
    /// # Errors
    /// As [`Definition::compute_config_hash`].
    pub fn update_hashes(&mut self) -> Result<(), HashError> {
        self.config_hash = self.compute_config_hash()?.to_vec();
        self.definition_hash = self.compute_definition_hash()?.to_vec();
        Ok(())
    }

    /// The addresses of validator `index`; `None` past the last.
    #[must_use]
    pub fn validator_addresses(&self, index: usize) -> Option<&ValidatorAddresses> {
        match &self.addresses {
            Addresses::Shared(pair) => {
                (u64::try_from(index).ok()? < self.num_validators).then_some(pair)
            }
            Addresses::Each(pairs) => pairs.get(index),
        }
    }

    /// A pair per validator. A shared pair counts at most one time more than any valid cluster has
    /// validators, so that a huge `num_validators` ends in an error instead of a long loop.
    pub(crate) fn each_addresses(&self) -> impl Iterator<Item = &ValidatorAddresses> {
        let count = usize::try_from(self.num_validators)
            .unwrap_or(usize::MAX)
            .min(MAX_VALIDATORS + 1);
        let (pairs, shared) = match &self.addresses {
            Addresses::Shared(pair) => (&[][..], Some(pair)),
            Addresses::Each(pairs) => (pairs.as_slice(), None),
        };
        pairs.iter().chain(
            shared
                .into_iter()
                .flat_map(move |pair| std::iter::repeat_n(pair, count)),
        )
    }
}
