//! What operators agree on once they have keys: `cluster-lock.json`.
//!
//! Like the definition it is plain data in the words of the file. [`Lock::parse`] checks form,
//! [`Lock::verify`](crate::Lock::verify) everything else, and [`Lock::load`](crate::Lock::load) does
//! both the way a node needs it at start.

mod hash;
mod json;

use flotilla_types::{ForkVersion, PublicKeyBytes, SignatureBytes};

use crate::address::Address;
use crate::definition::{Definition, EncodeError, Operator};
use crate::deposit::{Deposit, DepositMessage};
use crate::hashing::HashError;
use crate::json::{Field, MAX_UNKNOWN_FIELDS, ParseError, parse};
use crate::peer::{Peer, PeerError, peers};
use crate::registration::{Registration, RegistrationMessage};

/// A cluster lock of any version (spec 10 §3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The definition the cluster was made from; its version is the lock's.
    pub definition: Definition,
    /// The validators, in the order of validator indexes.
    pub validators: Vec<DistributedValidator>,
    /// BLS aggregate of the signatures of all shares over the lock hash; may be empty before v1.2.
    pub signature_aggregate: Vec<u8>,
    /// Lock hash as stored in the file; empty when missing.
    pub lock_hash: Vec<u8>,
    /// Signatures of the operators' ENR keys over the lock hash, in operator order (from v1.7).
    pub node_signatures: Vec<Vec<u8>>,
    /// Paths of members in the file that its version does not have, the definition's included; they
    /// are ignored, the first few kept.
    pub unknown_fields: Vec<String>,
}

/// A validator whose key is shared among the operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributedValidator {
    /// Group public key.
    pub public_key: PublicKeyBytes,
    /// Public share of each operator, in operator order.
    pub public_shares: Vec<PublicKeyBytes>,
    /// Deposits (from v1.6): at most one before v1.8, then one per amount in ascending order.
    pub deposits: Vec<LockedDeposit>,
    /// Builder registration (from v1.7).
    pub registration: LockedRegistration,
}

/// A deposit as a lock stores it: of any length, as older files have empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedDeposit {
    /// Group public key.
    pub public_key: Vec<u8>,
    /// Withdrawal credentials.
    pub withdrawal_credentials: Vec<u8>,
    /// Gwei.
    pub amount: u64,
    /// The validator's signature.
    pub signature: Vec<u8>,
}

impl LockedDeposit {
    /// The deposit, if all its fields have their proper length.
    #[must_use]
    pub fn to_deposit(&self) -> Option<Deposit> {
        Some(Deposit {
            message: DepositMessage {
                public_key: PublicKeyBytes(self.public_key.as_slice().try_into().ok()?),
                withdrawal_credentials: self.withdrawal_credentials.as_slice().try_into().ok()?,
                amount: self.amount,
            },
            signature: SignatureBytes(self.signature.as_slice().try_into().ok()?),
        })
    }
}

impl From<&Deposit> for LockedDeposit {
    fn from(deposit: &Deposit) -> Self {
        Self {
            public_key: deposit.message.public_key.0.to_vec(),
            withdrawal_credentials: deposit.message.withdrawal_credentials.to_vec(),
            amount: deposit.message.amount,
            signature: deposit.signature.0.to_vec(),
        }
    }
}

/// A builder registration as a lock stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedRegistration {
    /// Fee recipient; what the signature covers is the definition's instead.
    pub fee_recipient: Vec<u8>,
    /// Gas limit.
    pub gas_limit: u64,
    /// Unix seconds; files without a registration may hold the year 1.
    pub timestamp: i64,
    /// Group public key.
    pub public_key: Vec<u8>,
    /// The validator's signature.
    pub signature: Vec<u8>,
}

impl LockedRegistration {
    /// Whether there is none: any of its byte fields is empty.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.signature.is_empty() || self.fee_recipient.is_empty() || self.public_key.is_empty()
    }
}

impl From<&Registration> for LockedRegistration {
    fn from(registration: &Registration) -> Self {
        let message = &registration.message;
        Self {
            fee_recipient: message.fee_recipient.0.to_vec(),
            gas_limit: message.gas_limit,
            timestamp: i64::try_from(message.timestamp).unwrap_or(i64::MAX),
            public_key: message.public_key.0.to_vec(),
            signature: registration.signature.0.to_vec(),
        }
    }
}

impl Lock {
    /// Reads `cluster-lock.json` without verifying anything.
    ///
    /// # Errors
    /// Where the file is not of the form its version has (spec 10 §3.1).
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        let value = parse(bytes)?;
        let lock = json::read(&Field::root(&value))?;
        Ok(Self {
            unknown_fields: value.unknown_members(MAX_UNKNOWN_FIELDS),
            ..lock
        })
    }

    /// The file's bytes, all three hashes recomputed.
    ///
    /// # Errors
    /// A value exceeds its limit, or the version cannot express the addresses.
    pub fn to_json(&self) -> Result<String, EncodeError> {
        Ok(json::write(self)?.render())
    }

    /// The lock hash of the fields, which identifies the cluster.
    ///
    /// # Errors
    /// A value exceeds its limit or is not an address.
    pub fn compute_lock_hash(&self) -> Result<[u8; 32], HashError> {
        hash::lock_hash(self)
    }

    /// Stores freshly computed hashes of definition and lock.
    ///
    /// # Errors
    /// As [`Lock::compute_lock_hash`].
    pub fn update_hashes(&mut self) -> Result<(), HashError> {
        self.definition.update_hashes()?;
        self.lock_hash = self.compute_lock_hash()?.to_vec();
        Ok(())
    }

    /// The operators, in the order of peer indexes. Their keys and peer IDs: [`Lock::peers`].
    #[must_use]
    pub fn operators(&self) -> &[Operator] {
        &self.definition.operators
    }

    /// The operators as peers, with parsed keys and peer IDs, in the same order.
    ///
    /// # Errors
    /// An ENR is invalid, or two operators have the same peer ID.
    pub fn peers(&self) -> Result<Vec<Peer>, PeerError> {
        peers(&self.definition.operators)
    }

    /// The builder registration of validator `index` as it was signed: with the *definition's* fee
    /// recipient and the validator's own key. `None` if the lock has none, or a malformed one.
    #[must_use]
    pub fn registration(&self, index: usize) -> Option<Registration> {
        let validator = self.validators.get(index)?;
        let stored = &validator.registration;
        let pair = self.definition.validator_addresses(index)?;
        Some(Registration {
            message: RegistrationMessage {
                fee_recipient: Address::parse(&pair.fee_recipient).ok()?,
                gas_limit: stored.gas_limit,
                timestamp: stored.timestamp.cast_unsigned(),
                public_key: validator.public_key,
            },
            signature: SignatureBytes(stored.signature.as_slice().try_into().ok()?),
        })
    }

    /// Shares needed for a signature.
    #[must_use]
    pub fn threshold(&self) -> usize {
        usize::try_from(self.definition.threshold).unwrap_or(usize::MAX)
    }

    /// The validators, in the order of validator indexes.
    #[must_use]
    pub fn validators(&self) -> &[DistributedValidator] {
        &self.validators
    }

    /// The stored lock hash; 32 bytes once verified.
    #[must_use]
    pub fn lock_hash(&self) -> &[u8] {
        &self.lock_hash
    }

    /// Genesis fork version of the network.
    #[must_use]
    pub fn fork_version(&self) -> ForkVersion {
        self.definition.fork_version
    }

    /// Cosmetic name of the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.definition.name
    }

    /// Identifier from the definition.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.definition.uuid
    }
}
