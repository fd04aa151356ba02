//! How much is deposited, in how many parts (spec 10 §5.3).

use std::collections::BTreeSet;

use thiserror::Error;

/// Gwei in one ETH.
pub const GWEI_PER_ETH: u64 = 1_000_000_000;

const MIN_AMOUNT: u64 = GWEI_PER_ETH;
const MAX_AMOUNT: u64 = 32 * GWEI_PER_ETH;
const MAX_COMPOUNDING_AMOUNT: u64 = 2048 * GWEI_PER_ETH;
/// What a validator needs to be activated.
const ACTIVATION_AMOUNT: u128 = 32 * GWEI_PER_ETH as u128;

/// Deposit amounts that break a rule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AmountError {
    /// One amount is too small or too large.
    #[error("amount {amount} Gwei, expected {min} to {max} Gwei", min = MIN_AMOUNT)]
    Bounds {
        /// The amount in Gwei.
        amount: u64,
        /// Largest amount for the kind of credentials, in Gwei.
        max: u64,
    },
    /// All amounts together do not activate a validator.
    #[error("the amounts sum up to {sum} Gwei, a validator needs {ACTIVATION_AMOUNT} Gwei")]
    Sum {
        /// Sum in Gwei.
        sum: u128,
    },
}

/// Checks one amount in Gwei.
///
/// # Errors
/// Below 1 ETH, or above 32 ETH (2048 ETH with compounding).
pub fn check_amount(amount: u64, compounding: bool) -> Result<(), AmountError> {
    let max = if compounding {
        MAX_COMPOUNDING_AMOUNT
    } else {
        MAX_AMOUNT
    };
    if (MIN_AMOUNT..=max).contains(&amount) {
        Ok(())
    } else {
        Err(AmountError::Bounds { amount, max })
    }
}

/// Checks a definition's list of amounts in Gwei. An empty list means the default.
///
/// # Errors
/// An amount is out of bounds, or they sum up to less than 32 ETH.
pub fn check_amounts(amounts: &[u64], compounding: bool) -> Result<(), AmountError> {
    if amounts.is_empty() {
        return Ok(());
    }
    amounts
        .iter()
        .try_for_each(|amount| check_amount(*amount, compounding))?;
    let sum = amounts.iter().map(|amount| u128::from(*amount)).sum();
    if sum < ACTIVATION_AMOUNT {
        Err(AmountError::Sum { sum })
    } else {
        Ok(())
    }
}

/// The amounts that are signed for each validator: the distinct ones in ascending order, or the
/// default ones for an empty list (1 and 32 ETH; with compounding 1, 8, 32 and 256 ETH).
#[must_use]
pub fn deposit_amounts(amounts: &[u64], compounding: bool) -> Vec<u64> {
    let eth = |amounts: &[u64]| amounts.iter().map(|amount| amount * GWEI_PER_ETH).collect();
    match (amounts.is_empty(), compounding) {
        (true, false) => eth(&[1, 32]),
        (true, true) => eth(&[1, 8, 32, 256]),
        (false, _) => amounts
            .iter()
            .copied()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_depend_on_compounding() {
        assert!(check_amount(GWEI_PER_ETH - 1, false).is_err());
        assert!(check_amount(32 * GWEI_PER_ETH, false).is_ok());
        assert!(check_amount(33 * GWEI_PER_ETH, false).is_err());
        assert!(check_amount(2048 * GWEI_PER_ETH, true).is_ok());
        assert!(check_amount(2048 * GWEI_PER_ETH + 1, true).is_err());
    }

    #[test]
    fn sum_must_activate_a_validator_and_cannot_overflow() {
        assert_eq!(
            check_amounts(&[8 * GWEI_PER_ETH], false),
            Err(AmountError::Sum { sum: 8_000_000_000 })
        );
        assert!(check_amounts(&vec![2048 * GWEI_PER_ETH; 10_000_000], true).is_ok());
    }

    #[test]
    fn distinct_amounts_ascend() {
        let eth = |amount| amount * GWEI_PER_ETH;
        assert_eq!(
            deposit_amounts(&[eth(24), eth(8), eth(8), eth(16)], false),
            [eth(8), eth(16), eth(24)]
        );
        assert_eq!(
            deposit_amounts(&[], true),
            [eth(1), eth(8), eth(32), eth(256)]
        );
    }
}
