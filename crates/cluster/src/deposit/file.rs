//! `deposit-data*.json` in the form of the launchpad (spec 10 §5.4): one file per amount, the same in
//! every node's folder.

use flotilla_crypto::PublicKey;
use flotilla_crypto::batch::{CLAIMS_AT_ONCE, Claim, find_false_claims};
use flotilla_types::{ForkVersion, PublicKeyBytes, SignatureBytes};
use thiserror::Error;

use super::{Deposit, DepositMessage, GWEI_PER_ETH};
use crate::json::{Field, Output, ParseError, bare_hex, parse};
use crate::network::Network;

/// The tool version whose file form this is.
const DEPOSIT_CLI_VERSION: &str = "2.7.0";

/// Deposits that must not be written into one file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DepositFileError {
    /// Nothing to write.
    #[error("no deposits to write")]
    Empty,
    /// One file holds one amount.
    #[error("deposits of {first} and {other} Gwei in one file")]
    MixedAmounts {
        /// Amount of the first deposit.
        first: u64,
        /// An amount that differs from it.
        other: u64,
    },
    /// The deposit contract takes the money even if the signature is wrong.
    #[error("the signature of the deposit of {public_key} does not verify")]
    BadSignature {
        /// The validator.
        public_key: PublicKeyBytes,
    },
}

/// Name of the file for deposits of `amount` Gwei.
#[must_use]
pub fn file_name(amount: u64) -> String {
    if amount == 32 * GWEI_PER_ETH {
        return "deposit-data.json".to_owned();
    }
    let whole = amount / GWEI_PER_ETH;
    let fraction = format!("{:09}", amount % GWEI_PER_ETH);
    match fraction.trim_end_matches('0') {
        "" => format!("deposit-data-{whole}eth.json"),
        digits => format!("deposit-data-{whole}.{digits}eth.json"),
    }
}

/// The file's bytes: deposits of one amount, sorted by public key, signatures checked.
///
/// # Errors
/// The list is empty or mixed, or a signature does not verify.
pub fn to_json(deposits: &[Deposit], network: &Network) -> Result<String, DepositFileError> {
    let first = deposits
        .first()
        .ok_or(DepositFileError::Empty)?
        .message
        .amount;
    for deposit in deposits {
        if deposit.message.amount != first {
            return Err(DepositFileError::MixedAmounts {
                first,
                other: deposit.message.amount,
            });
        }
    }
    if let Some(deposit) = first_unsigned(deposits, network.genesis_fork_version) {
        return Err(DepositFileError::BadSignature {
            public_key: deposit.message.public_key,
        });
    }
    let mut sorted: Vec<&Deposit> = deposits.iter().collect();
    sorted.sort_by_key(|deposit| deposit.message.public_key);
    Ok(Output::List(
        sorted
            .into_iter()
            .map(|deposit| entry(deposit, network))
            .collect(),
    )
    .render())
}

/// The first deposit that its validator has not signed. Good ones are checked together, so that only
/// a bad one costs a second look.
fn first_unsigned(deposits: &[Deposit], fork_version: ForkVersion) -> Option<&Deposit> {
    deposits.chunks(CLAIMS_AT_ONCE).find_map(|chunk| {
        let claims: Option<Vec<Claim>> = chunk
            .iter()
            .map(|deposit| {
                let key = PublicKey::from_bytes(&deposit.message.public_key.0).ok()?;
                deposit.claim(key, fork_version)
            })
            .collect();
        if claims.is_some_and(|claims| find_false_claims(&claims).is_empty()) {
            return None;
        }
        chunk.iter().find(|deposit| !deposit.verifies(fork_version))
    })
}

fn entry(deposit: &Deposit, network: &Network) -> Output {
    let message = &deposit.message;
    Output::Object(vec![
        ("pubkey", bare_hex(&message.public_key.0)),
        (
            "withdrawal_credentials",
            bare_hex(&message.withdrawal_credentials),
        ),
        ("amount", Output::number(message.amount)),
        ("signature", bare_hex(&deposit.signature.0)),
        ("deposit_message_root", bare_hex(&message.root())),
        ("deposit_data_root", bare_hex(&deposit.root())),
        ("fork_version", bare_hex(&network.genesis_fork_version.0)),
        ("network_name", Output::text(&network.name)),
        ("deposit_cli_version", Output::text(DEPOSIT_CLI_VERSION)),
    ])
}

/// Reads a deposit file. Roots and network in it are not compared with the deposits.
///
/// # Errors
/// The file is not of that form.
pub fn parse_file(bytes: &[u8]) -> Result<Vec<Deposit>, ParseError> {
    Field::root(&parse(bytes)?).list(|field| {
        Ok(Deposit {
            message: DepositMessage {
                public_key: PublicKeyBytes(field.get("pubkey")?.hex_sized()?),
                withdrawal_credentials: field.get("withdrawal_credentials")?.hex_sized()?,
                amount: field.get("amount")?.number()?,
            },
            signature: SignatureBytes(field.get("signature")?.hex_sized()?),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_have_the_shortest_decimal_form() {
        let names = [
            (1_000_000_000, "deposit-data-1eth.json"),
            (31_999_999_999, "deposit-data-31.999999999eth.json"),
            (1_500_000_000, "deposit-data-1.5eth.json"),
            (32_000_000_000, "deposit-data.json"),
            (256_000_000_000, "deposit-data-256eth.json"),
        ];
        for (amount, name) in names {
            assert_eq!(file_name(amount), name);
        }
    }
}
