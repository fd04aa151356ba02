//! Making one validator: its shares, and what its whole key signs while it is at hand.

use flotilla_crypto::SecretKey;
use flotilla_crypto::shares::split;
use flotilla_types::PublicKeyBytes;
use rand::CryptoRng;

use super::request::CreateError;
use crate::address::Address;
use crate::definition::{Definition, ValidatorAddresses};
use crate::deposit::{Deposit, DepositMessage, deposit_amounts, withdrawal_credentials};
use crate::lock::{DistributedValidator, LockedDeposit, LockedRegistration};
use crate::network::Network;
use crate::registration::{DEFAULT_REGISTRATION_GAS_LIMIT, RegistrationMessage};

/// A validator's whole key and its shares, in operator order.
#[derive(Debug)]
pub(super) struct PlannedValidator {
    root: SecretKey,
    pub(super) shares: Vec<SecretKey>,
}

impl PlannedValidator {
    /// Splits the key of validator `index`.
    pub(super) fn split(
        index: usize,
        root: SecretKey,
        definition: &Definition,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CreateError> {
        let threshold = usize::try_from(definition.threshold).unwrap_or(usize::MAX);
        let shares = split(&root, threshold, definition.operators.len(), rng).map_err(|error| {
            CreateError::Split {
                validator: index,
                error,
            }
        })?;
        Ok(Self {
            root,
            shares: shares.into_iter().map(|(_, share)| share).collect(),
        })
    }
}

/// A validator as the lock has it, with its deposits.
pub(super) struct MadeValidator {
    pub(super) entry: DistributedValidator,
    pub(super) deposits: Vec<Deposit>,
}

/// What all validators of a cluster have in common.
pub(super) struct Maker<'a> {
    pub(super) definition: &'a Definition,
    pub(super) network: &'a Network,
    pub(super) registration_time: u64,
}

impl Maker<'_> {
    /// The validator at `index`, with what its whole key signs.
    pub(super) fn validator(
        &self,
        index: usize,
        planned: &PlannedValidator,
    ) -> Result<MadeValidator, CreateError> {
        let (definition, root) = (self.definition, &planned.root);
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
            public_shares: planned
                .shares
                .iter()
                .map(|share| PublicKeyBytes(share.public_key().to_bytes()))
                .collect(),
            deposits: self.locked_deposits(&deposits),
            registration,
        };
        Ok(MadeValidator { entry, deposits })
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
