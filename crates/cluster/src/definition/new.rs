//! Making a definition: the choices a person has, their defaults and their bounds (spec 10 §2.7).

use rand::CryptoRng;
use thiserror::Error;

use super::{Addresses, Creator, Definition, Operator, ValidatorAddresses};
use crate::address::{Address, AddressError};
use crate::deposit::{AmountError, check_amounts};
use crate::hashing::HashError;
use crate::network::Network;
use crate::version::Version;

/// Fewest operators of a new cluster.
pub const MIN_OPERATORS: usize = 3;

/// Gas limit of a new definition unless another is asked for.
pub const DEFAULT_GAS_LIMIT: u64 = 60_000_000;

/// The consensus protocol a definition may name.
pub const SUPPORTED_PROTOCOL: &str = "qbft";

/// The threshold a cluster of `operators` has unless another is asked for: `ceil(2n / 3)`.
#[must_use]
pub const fn default_threshold(operators: usize) -> usize {
    (2 * operators).div_ceil(3)
}

/// The choices for a new definition.
#[derive(Clone, Debug)]
pub struct NewDefinition<'a> {
    /// Version of the file; [`Version::LATEST`] unless peers need an older one.
    pub version: Version,
    /// Cosmetic name.
    pub name: String,
    /// The operators in the order of peer indexes; at least [`MIN_OPERATORS`].
    pub operators: Vec<Operator>,
    /// Who makes it; empty when nobody signs.
    pub creator: Creator,
    /// Shares needed for a signature, 2 to the number of operators; `None` for the default.
    pub threshold: Option<usize>,
    /// A pair of addresses per validator; at least one.
    pub validators: Vec<ValidatorAddresses>,
    /// Creation time as RFC 3339 text with seconds.
    pub timestamp: String,
    /// The network.
    pub network: &'a Network,
    /// `default`, `frost` or `pedersen`.
    pub dkg_algorithm: String,
    /// Amounts of partial deposits in Gwei; empty for the default.
    pub deposit_amounts: Vec<u64>,
    /// Empty or a supported protocol.
    pub consensus_protocol: String,
    /// Gas limit of builder registrations; not written before v1.10.
    pub target_gas_limit: u64,
    /// 0x02 credentials.
    pub compounding: bool,
}

/// A choice that a definition cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NewDefinitionError {
    /// Fewer than [`MIN_OPERATORS`].
    #[error("{found} operators, a cluster has at least {MIN_OPERATORS}")]
    TooFewOperators {
        /// Number given.
        found: usize,
    },
    /// Not a single validator.
    #[error("no validators, a cluster has at least one")]
    NoValidators,
    /// The threshold is out of bounds.
    #[error("threshold {threshold}, expected 2 to {operators} for {operators} operators")]
    Threshold {
        /// Threshold given.
        threshold: usize,
        /// Number of operators.
        operators: usize,
    },
    /// Deposit amounts break their rules.
    #[error("deposit amounts: {0}")]
    Amounts(#[from] AmountError),
    /// An unknown consensus protocol.
    #[error("consensus protocol {found:?} is not supported, only {SUPPORTED_PROTOCOL:?}")]
    Protocol {
        /// Name given.
        found: String,
    },
    /// The version lacks a field that was asked for.
    #[error("{choice} needs version {needed} or later, the file is to be {version}")]
    Version {
        /// What was asked for.
        choice: &'static str,
        /// First version that has it.
        needed: Version,
        /// Version asked for.
        version: Version,
    },
    /// From v1.10 the gas limit is written and must be set.
    #[error("the target gas limit is 0")]
    NoGasLimit,
    /// A withdrawal address that would lose money.
    #[error("withdrawal address of validator {index}: {error}")]
    Withdrawal {
        /// Validator index.
        index: usize,
        /// What is wrong with it.
        error: AddressError,
    },
    /// The zero address on a network with real money.
    #[error(
        "withdrawal address of validator {index} is the zero address on {network}: what is deposited would be lost"
    )]
    ZeroWithdrawal {
        /// Validator index.
        index: usize,
        /// Name of the network.
        network: String,
    },
    /// A value exceeds a limit of the format.
    #[error(transparent)]
    Hash(#[from] HashError),
}

impl<'a> NewDefinition<'a> {
    /// The defaults: the latest version, no operators, no validators, default threshold and amounts.
    #[must_use]
    pub fn new(network: &'a Network) -> Self {
        Self {
            version: Version::LATEST,
            name: String::new(),
            operators: Vec::new(),
            creator: Creator::default(),
            threshold: None,
            validators: Vec::new(),
            timestamp: String::new(),
            network,
            dkg_algorithm: "default".to_owned(),
            deposit_amounts: Vec::new(),
            consensus_protocol: String::new(),
            target_gas_limit: DEFAULT_GAS_LIMIT,
            compounding: false,
        }
    }
}

impl NewDefinition<'_> {
    /// Builds the definition, with hashes.
    ///
    /// # Errors
    /// A choice out of bounds, or one that the version cannot express.
    pub fn build(self, rng: &mut impl CryptoRng) -> Result<Definition, NewDefinitionError> {
        self.check()?;
        let threshold = self
            .threshold
            .unwrap_or_else(|| default_threshold(self.operators.len()));
        let mut definition = Definition {
            version: self.version,
            uuid: random_uuid(rng),
            name: self.name,
            timestamp: self.timestamp,
            num_validators: self.validators.len() as u64,
            threshold: threshold as u64,
            dkg_algorithm: self.dkg_algorithm,
            fork_version: self.network.genesis_fork_version,
            operators: self.operators,
            creator: self.creator,
            addresses: Addresses::Each(self.validators),
            deposit_amounts: self.deposit_amounts,
            consensus_protocol: self.consensus_protocol,
            target_gas_limit: if self.version.has_gas_limit() {
                self.target_gas_limit
            } else {
                0
            },
            compounding: self.compounding,
            config_hash: Vec::new(),
            definition_hash: Vec::new(),
            unknown_fields: Vec::new(),
        };
        definition.update_hashes()?;
        Ok(definition)
    }

    fn check(&self) -> Result<(), NewDefinitionError> {
        let operators = self.operators.len();
        if operators < MIN_OPERATORS {
            return Err(NewDefinitionError::TooFewOperators { found: operators });
        }
        if self.validators.is_empty() {
            return Err(NewDefinitionError::NoValidators);
        }
        if let Some(threshold) = self.threshold
            && !(2..=operators).contains(&threshold)
        {
            return Err(NewDefinitionError::Threshold {
                threshold,
                operators,
            });
        }
        check_amounts(&self.deposit_amounts, self.compounding)?;
        check_protocol(&self.consensus_protocol)?;
        self.check_version()
    }

    fn check_version(&self) -> Result<(), NewDefinitionError> {
        let needs = |present: bool, needed: Version, choice| {
            if present && self.version < needed {
                Err(NewDefinitionError::Version {
                    choice,
                    needed,
                    version: self.version,
                })
            } else {
                Ok(())
            }
        };
        needs(
            self.deposit_amounts.len() > 1,
            Version::V1_8,
            "more than one deposit amount",
        )?;
        needs(
            !self.consensus_protocol.is_empty(),
            Version::V1_9,
            "a consensus protocol",
        )?;
        needs(self.compounding, Version::V1_10, "compounding")?;
        let several = self
            .validators
            .iter()
            .any(|pair| Some(pair) != self.validators.first());
        needs(several, Version::V1_5, "different addresses per validator")?;
        if self.version.has_gas_limit() && self.target_gas_limit == 0 {
            return Err(NewDefinitionError::NoGasLimit);
        }
        Ok(())
    }
}

/// Checks the name of a consensus protocol: empty or supported, in any case.
///
/// # Errors
/// It is neither.
pub fn check_protocol(name: &str) -> Result<(), NewDefinitionError> {
    if name.is_empty() || name.eq_ignore_ascii_case(SUPPORTED_PROTOCOL) {
        Ok(())
    } else {
        Err(NewDefinitionError::Protocol {
            found: name.to_owned(),
        })
    }
}

impl Definition {
    /// Checks the withdrawal addresses as commands do before money is sent to them: well formed,
    /// checksummed, and not zero on a network with real money.
    ///
    /// # Errors
    /// The first validator whose address fails.
    pub fn check_withdrawal_addresses(&self, network: &Network) -> Result<(), NewDefinitionError> {
        for (index, pair) in self.each_addresses().enumerate() {
            let address = Address::from_checksummed(&pair.withdrawal)
                .map_err(|error| NewDefinitionError::Withdrawal { index, error })?;
            if address.is_zero() && network.has_real_money() {
                return Err(NewDefinitionError::ZeroWithdrawal {
                    index,
                    network: network.name.clone(),
                });
            }
        }
        Ok(())
    }
}

/// A random version-4 UUID in upper case.
pub fn random_uuid(rng: &mut impl CryptoRng) -> String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    uuid_text(&bytes)
}

/// 16 bytes as upper-case 8-4-4-4-12 hex.
pub(crate) fn uuid_text(bytes: &[u8; 16]) -> String {
    let digits = hex::encode_upper(bytes);
    [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ]
    .join("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::network::Networks;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

    fn pair(withdrawal: &str) -> ValidatorAddresses {
        ValidatorAddresses {
            fee_recipient: ADDRESS.to_owned(),
            withdrawal: withdrawal.to_owned(),
        }
    }

    fn with(change: impl FnOnce(&mut NewDefinition<'_>)) -> Result<Definition, NewDefinitionError> {
        let networks = Networks::public();
        let mut new = NewDefinition {
            operators: vec![Operator::default(); 4],
            validators: vec![pair(ADDRESS)],
            ..NewDefinition::new(networks.by_name("hoodi").unwrap())
        };
        change(&mut new);
        new.build(&mut ChaCha20Rng::seed_from_u64(1))
    }

    #[test]
    fn threshold_is_two_thirds_rounded_up() {
        let thresholds: Vec<usize> = (3..=10).map(default_threshold).collect();
        assert_eq!(thresholds, [2, 3, 4, 4, 5, 6, 6, 7]);
        assert_eq!(with(|_| {}).unwrap().threshold, 3);
    }

    #[test]
    fn choices_out_of_bounds_are_named() {
        let refused = |change: fn(&mut NewDefinition<'_>)| with(change).unwrap_err();
        assert_eq!(
            refused(|new| new.operators.truncate(2)),
            NewDefinitionError::TooFewOperators { found: 2 }
        );
        assert_eq!(
            refused(|new| new.validators.clear()),
            NewDefinitionError::NoValidators
        );
        for threshold in [1, 5] {
            let outcome = with(|new| new.threshold = Some(threshold));
            assert_eq!(
                outcome,
                Err(NewDefinitionError::Threshold {
                    threshold,
                    operators: 4
                })
            );
        }
        assert!(matches!(
            refused(|new| new.deposit_amounts = vec![1]),
            NewDefinitionError::Amounts(_)
        ));
        assert!(matches!(
            refused(|new| new.consensus_protocol = "abft".to_owned()),
            NewDefinitionError::Protocol { .. }
        ));
        assert_eq!(
            refused(|new| new.target_gas_limit = 0),
            NewDefinitionError::NoGasLimit
        );
        assert!(matches!(
            refused(|new| new.name = "x".repeat(257)),
            NewDefinitionError::Hash(_)
        ));
        assert!(with(|new| new.consensus_protocol = "QBFT".to_owned()).is_ok());
    }

    #[test]
    fn older_versions_refuse_what_they_cannot_express() {
        let needed = |version, change: fn(&mut NewDefinition<'_>)| {
            let outcome = with(|new| {
                new.version = version;
                change(new);
            });
            match outcome {
                Err(NewDefinitionError::Version { needed, .. }) => Some(needed),
                Ok(_) => None,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(
            needed(Version::V1_9, |new| new.compounding = true),
            Some(Version::V1_10)
        );
        assert_eq!(
            needed(Version::V1_8, |new| new.consensus_protocol =
                "qbft".to_owned()),
            Some(Version::V1_9)
        );
        assert_eq!(
            needed(Version::V1_7, |new| new.deposit_amounts =
                vec![16_000_000_000; 2]),
            Some(Version::V1_8)
        );
        let differ: fn(&mut NewDefinition<'_>) = |new| {
            new.validators
                .push(pair("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359"))
        };
        assert_eq!(needed(Version::V1_4, differ), Some(Version::V1_5));
        for version in Version::ALL {
            assert_eq!(needed(version, |_| {}), None, "{version}");
        }
    }

    #[test]
    fn every_version_is_written_and_read_back() {
        for version in Version::ALL {
            let definition = with(|new| {
                new.version = version;
                new.validators = vec![pair(ADDRESS); 2];
            })
            .unwrap();
            let read = Definition::parse(definition.to_json().unwrap().as_bytes()).unwrap();
            assert_eq!(read.to_json(), definition.to_json(), "{version}");
            assert_eq!(read.config_hash, definition.config_hash, "{version}");
            for index in 0..2 {
                assert_eq!(
                    read.validator_addresses(index),
                    definition.validator_addresses(index)
                );
            }
            assert_eq!(read.validator_addresses(2), None);
        }
    }

    #[test]
    fn identifiers_are_random_uuids_of_version_4() {
        let uuid = with(|_| {}).unwrap().uuid;
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89AB".contains(&uuid[19..20]), "{uuid}");
        assert_eq!(uuid, uuid.to_uppercase());
    }

    #[test]
    fn withdrawal_addresses_must_be_checksummed_and_not_zero_where_money_is_real() {
        let networks = Networks::public();
        let zero = "0x0000000000000000000000000000000000000000";
        let check = |address: &str, network: &str| {
            let definition =
                with(|new| new.validators = vec![pair(ADDRESS), pair(address)]).unwrap();
            definition.check_withdrawal_addresses(networks.by_name(network).unwrap())
        };
        assert_eq!(check(ADDRESS, "mainnet"), Ok(()));
        assert_eq!(check(zero, "hoodi"), Ok(()));
        let error = check(zero, "gnosis").unwrap_err();
        assert_eq!(
            error,
            NewDefinitionError::ZeroWithdrawal {
                index: 1,
                network: "gnosis".to_owned()
            }
        );
        assert!(matches!(
            check(&ADDRESS.to_lowercase(), "hoodi"),
            Err(NewDefinitionError::Withdrawal {
                index: 1,
                error: AddressError::Checksum { .. }
            })
        ));
    }
}
