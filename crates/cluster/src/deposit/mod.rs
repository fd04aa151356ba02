//! Deposits: what activates a validator (spec 10 §5). Amounts, credentials, signing roots; the file
//! that a launchpad takes is in [`mod@file`].

mod amounts;
pub mod file;

use flotilla_crypto::batch::Claim;
use flotilla_crypto::{PublicKey, SecretKey, Signature};
use flotilla_types::{DomainType, ForkVersion, PublicKeyBytes, SignatureBytes};

pub use amounts::{AmountError, GWEI_PER_ETH, check_amount, check_amounts, deposit_amounts};

use crate::address::Address;
use crate::hashing::Fields;
use crate::signing::genesis_signing_root;

/// Where withdrawals go: the address in the form of the consensus layer.
#[must_use]
pub fn withdrawal_credentials(withdrawal: Address, compounding: bool) -> [u8; 32] {
    let mut credentials = [0; 32];
    credentials[0] = if compounding { 2 } else { 1 };
    credentials[12..].copy_from_slice(&withdrawal.0);
    credentials
}

/// What a deposit says, before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DepositMessage {
    /// Group public key of the validator.
    pub public_key: PublicKeyBytes,
    /// 0x01 or 0x02 credentials.
    pub withdrawal_credentials: [u8; 32],
    /// Gwei.
    pub amount: u64,
}

impl DepositMessage {
    fn fields(&self) -> Fields {
        let mut fields = Fields::new();
        fields.raw(&self.public_key.0);
        fields.raw(&self.withdrawal_credentials);
        fields.number(self.amount);
        fields
    }

    /// SSZ root of the message.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.fields().root()
    }

    /// The 32 bytes to sign on the network with this genesis fork version.
    #[must_use]
    pub fn signing_root(&self, genesis_fork_version: ForkVersion) -> [u8; 32] {
        genesis_signing_root(self.root(), DomainType::DEPOSIT, genesis_fork_version)
    }

    /// Signs with the validator's whole key.
    #[must_use]
    pub fn sign(self, key: &SecretKey, genesis_fork_version: ForkVersion) -> Deposit {
        let signature = key.sign(&self.signing_root(genesis_fork_version));
        Deposit {
            message: self,
            signature: SignatureBytes(signature.to_bytes()),
        }
    }
}

/// A signed deposit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// What is signed.
    pub message: DepositMessage,
    /// The validator's signature.
    pub signature: SignatureBytes,
}

impl Deposit {
    /// SSZ root of message and signature, which the deposit contract checks.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        let mut fields = self.message.fields();
        fields.raw(&self.signature.0);
        fields.root()
    }

    /// Whether the signature is the validator's. A deposit with a wrong one is money lost.
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
