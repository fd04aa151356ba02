//! Further deposits of a validator that exists: new amounts, or credentials for a validator not deposited yet.

use flotilla_types::{PublicKeyBytes, SignatureBytes};
use serde::{Deserialize, Serialize};

use super::exit::hex_bytes;
use crate::deposit::{Deposit, DepositMessage};

/// What an operator posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialDeposits {
    /// One per validator and amount.
    pub partial_deposit_data: Vec<PartialDeposit>,
}

/// A deposit signed with a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialDeposit {
    /// Group public key.
    pub pubkey: PublicKeyBytes,
    /// Where withdrawals go.
    #[serde(with = "hex_bytes")]
    pub withdrawal_credentials: Vec<u8>,
    /// Gwei, as a decimal text.
    pub amount: String,
    /// The share's signature.
    pub signature: SignatureBytes,
}

impl From<&Deposit> for PartialDeposit {
    fn from(deposit: &Deposit) -> Self {
        Self {
            pubkey: deposit.message.public_key,
            withdrawal_credentials: deposit.message.withdrawal_credentials.to_vec(),
            amount: deposit.message.amount.to_string(),
            signature: deposit.signature,
        }
    }
}

/// What the server has of one validator's deposits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedDeposits {
    /// Group public key.
    pub pubkey: PublicKeyBytes,
    /// Where withdrawals go, as signed.
    #[serde(with = "hex_bytes")]
    pub withdrawal_credentials: Vec<u8>,
    /// By amount.
    pub amounts: Vec<CollectedAmount>,
}

/// Partial signatures over one amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedAmount {
    /// Gwei, as a decimal text.
    pub amount: String,
    /// From shares, in any order.
    pub partials: Vec<CollectedPartial>,
}

/// One share's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedPartial {
    /// Public key of the share; not trusted.
    pub partial_public_key: PublicKeyBytes,
    /// Its signature.
    pub partial_deposit_signature: SignatureBytes,
}

impl CollectedDeposits {
    /// What was signed for an amount; `None` if the server's credentials or amount are none.
    #[must_use]
    pub fn message(&self, amount: &CollectedAmount) -> Option<DepositMessage> {
        Some(DepositMessage {
            public_key: self.pubkey,
            withdrawal_credentials: self.withdrawal_credentials.as_slice().try_into().ok()?,
            amount: amount.amount.parse().ok()?,
        })
    }
}

impl CollectedAmount {
    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> Vec<SignatureBytes> {
        let partials = self.partials.iter();
        partials
            .map(|partial| partial.partial_deposit_signature)
            .collect()
    }
}
