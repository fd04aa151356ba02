//! Builder registrations made after the lock: a new fee recipient or gas limit, agreed by signing it.

use flotilla_types::{
    PublicKeyBytes, SignatureBytes, SignedValidatorRegistration, ValidatorRegistration,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::Address;
use crate::registration::{Registration, RegistrationMessage};

/// What an operator posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialRegistrations {
    /// One per validator.
    pub partial_registrations: Vec<SignedValidatorRegistration>,
}

/// What is asked of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationQuery {
    /// Validators; none for all.
    pub pubkeys: Vec<PublicKeyBytes>,
}

/// The server's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedRegistrations {
    /// By validator.
    pub validators: Vec<ValidatorRegistrations>,
}

/// What the server has for one validator: at most one group with quorum and one without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidatorRegistrations {
    /// Group public key.
    pub pubkey: PublicKeyBytes,
    /// Groups of partial signatures over one message each.
    pub builder_registrations: Vec<RegistrationGroup>,
}

/// Partial signatures over one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationGroup {
    /// What they signed.
    pub message: ValidatorRegistration,
    /// From shares, in any order.
    pub partial_signatures: Vec<SharePartial>,
    /// Whether the server counts a threshold; checked again here.
    pub quorum: bool,
}

/// One share's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharePartial {
    /// Share number from 1; not trusted.
    pub share_index: u64,
    /// Its signature.
    pub signature: SignatureBytes,
}

impl RegistrationGroup {
    /// The signatures.
    #[must_use]
    pub fn signatures(&self) -> Vec<SignatureBytes> {
        self.partial_signatures
            .iter()
            .map(|partial| partial.signature)
            .collect()
    }
}

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Who is to be paid.
    pub fee_recipient: Address,
    /// `None`: that of the newest registration known.
    pub gas_limit: Option<u64>,
    /// Unix seconds; `None`: now.
    pub timestamp: Option<u64>,
}

/// What comes of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The cluster has agreed to this address already.
    AlreadyAgreed,
    /// Sign this.
    Sign {
        /// The message.
        message: RegistrationMessage,
        /// It is another operator's, whose date and gas limit count so that signatures combine.
        adopted: bool,
    },
}

/// A wish that would split the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WishError {
    /// Others are at work on another address.
    #[error(
        "validator {validator}: other operators have begun to sign for {other}; agree on one address with them first"
    )]
    OtherAddress {
        /// The validator.
        validator: PublicKeyBytes,
        /// Their address.
        other: Address,
    },
    /// The date would not supersede what there is.
    #[error(
        "validator {validator}: timestamp {found} is not after {newest}, the newest registration's"
    )]
    TooOld {
        /// The validator.
        validator: PublicKeyBytes,
        /// Asked for.
        found: u64,
        /// Unix seconds.
        newest: u64,
    },
}

/// What to sign for a validator, given its newest registration here (of the lock or the overrides file) and what the server has.
///
/// # Errors
/// The wish contradicts what other operators have begun, or could never count.
pub fn answer(
    validator: PublicKeyBytes,
    wish: &Wish,
    known: Option<&Registration>,
    remote: &[RegistrationGroup],
    now: u64,
) -> Result<Answer, WishError> {
    let groups = || {
        remote
            .iter()
            .map(|group| (RegistrationMessage::from(group.message), group.quorum))
    };
    let newest_quorum = groups()
        .filter(|(_, quorum)| *quorum)
        .map(|(message, _)| message)
        .max_by_key(|message| message.timestamp);
    if newest_quorum
        .as_ref()
        .is_some_and(|message| message.fee_recipient == wish.fee_recipient)
    {
        return Ok(Answer::AlreadyAgreed);
    }
    let open = || {
        groups()
            .filter(|(_, quorum)| !*quorum)
            .map(|(message, _)| message)
    };
    if let Some(message) = open().find(|message| message.fee_recipient == wish.fee_recipient) {
        return Ok(Answer::Sign {
            message,
            adopted: true,
        });
    }
    if let (None, Some(other)) = (&newest_quorum, open().next()) {
        return Err(WishError::OtherAddress {
            validator,
            other: other.fee_recipient,
        });
    }
    let known = known.map(|registration| &registration.message);
    let newest = newest_quorum
        .iter()
        .chain(known)
        .max_by_key(|message| message.timestamp)
        .cloned();
    let timestamp = wish.timestamp.unwrap_or(now);
    if let Some(newest) = newest.as_ref().map(|message| message.timestamp)
        && timestamp <= newest
    {
        return Err(WishError::TooOld {
            validator,
            found: timestamp,
            newest,
        });
    }
    let gas_limit = wish
        .gas_limit
        .or(newest.map(|message| message.gas_limit))
        .unwrap_or(crate::definition::DEFAULT_GAS_LIMIT);
    Ok(Answer::Sign {
        message: RegistrationMessage {
            fee_recipient: wish.fee_recipient,
            gas_limit,
            timestamp,
            public_key: validator,
        },
        adopted: false,
    })
}
