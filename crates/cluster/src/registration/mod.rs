//! Builder registrations: whom block builders pay (spec 10 §6).
//!
//! A cluster signs one per validator when it is made, dated at the network's genesis, so that every
//! later one supersedes it.

pub mod overrides;

use flotilla_crypto::batch::Claim;
use flotilla_crypto::{PublicKey, SecretKey, Signature};
use flotilla_types::{
    DomainType, ExecutionAddress, ForkVersion, PublicKeyBytes, SignatureBytes,
    SignedValidatorRegistration, ValidatorRegistration,
};

use crate::address::Address;
use crate::signing::genesis_signing_root;

/// Gas limit for clusters whose definition has none (before v1.10).
pub const DEFAULT_REGISTRATION_GAS_LIMIT: u64 = 30_000_000;

/// What a registration says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrationMessage {
    /// Receives the payments.
    pub fee_recipient: Address,
    /// Gas limit the validator votes for.
    pub gas_limit: u64,
    /// Unix seconds; newer registrations supersede older ones.
    pub timestamp: u64,
    /// Group public key of the validator.
    pub public_key: PublicKeyBytes,
}

impl RegistrationMessage {
    /// SSZ root of the message.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        ValidatorRegistration::from(self).tree_hash_root().0
    }

    /// The 32 bytes to sign on the network with this genesis fork version.
    #[must_use]
    pub fn signing_root(&self, genesis_fork_version: ForkVersion) -> [u8; 32] {
        genesis_signing_root(
            self.root(),
            DomainType::APPLICATION_BUILDER,
            genesis_fork_version,
        )
    }

    /// Signs with the validator's whole key.
    #[must_use]
    pub fn sign(self, key: &SecretKey, genesis_fork_version: ForkVersion) -> Registration {
        let signature = key.sign(&self.signing_root(genesis_fork_version));
        Registration {
            message: self,
            signature: SignatureBytes(signature.to_bytes()),
        }
    }
}

impl From<ValidatorRegistration> for RegistrationMessage {
    fn from(message: ValidatorRegistration) -> Self {
        Self {
            fee_recipient: Address(message.fee_recipient.0),
            gas_limit: message.gas_limit,
            timestamp: message.timestamp,
            public_key: message.pubkey,
        }
    }
}

impl From<&RegistrationMessage> for ValidatorRegistration {
    fn from(message: &RegistrationMessage) -> Self {
        Self {
            fee_recipient: ExecutionAddress(message.fee_recipient.0),
            gas_limit: message.gas_limit,
            timestamp: message.timestamp,
            pubkey: message.public_key,
        }
    }
}

/// As the Beacon API and servers have it in JSON.
impl From<&Registration> for SignedValidatorRegistration {
    fn from(registration: &Registration) -> Self {
        Self {
            message: ValidatorRegistration::from(&registration.message),
            signature: registration.signature,
        }
    }
}

/// A signed registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What is signed.
    pub message: RegistrationMessage,
    /// The validator's signature.
    pub signature: SignatureBytes,
}

impl Registration {
    /// Whether the signature is that of the validator named in the message.
    #[must_use]
    pub fn verifies(&self, genesis_fork_version: ForkVersion) -> bool {
        PublicKey::from_bytes(&self.message.public_key.0)
            .ok()
            .and_then(|key| self.claim(key, genesis_fork_version))
            .is_some_and(|claim| claim.holds())
    }

    /// That `key` signed this; `None` if the signature is no point.
    pub(crate) fn claim(&self, key: PublicKey, genesis_fork_version: ForkVersion) -> Option<Claim> {
        Some(Claim {
            key,
            message: self.message.signing_root(genesis_fork_version),
            signature: Signature::from_bytes(&self.signature.0).ok()?,
        })
    }
}
