//! What `create cluster` and `create dkg` ask alike: the terms of a cluster.

use anyhow::{Context as _, bail};
use flotilla_cluster::{
    Address, Creator, Definition, Network, Networks, NewDefinition, Operator, ValidatorAddresses,
    Version, definition_timestamp,
};
use flotilla_node::clock::wall_clock;
use rand::CryptoRng;

use crate::network::CustomNetwork;
use crate::warn;

const GWEI_PER_ETH: u64 = 1_000_000_000;

/// Flags of the terms.
#[derive(clap::Args)]
pub struct Terms {
    /// Name of the cluster, cosmetic.
    #[arg(long, default_value = "")]
    name: String,
    /// Shares needed to sign, 2 to the number of operators; 0: two thirds of them, rounded up.
    #[arg(long, short = 't', default_value_t = 0, hide_default_value = true)]
    pub threshold: usize,
    /// Receive fees: one for all validators, or one each.
    #[arg(long, value_delimiter = ',')]
    pub fee_recipient_addresses: Vec<String>,
    /// Receive withdrawals: one for all validators, or one each.
    #[arg(long, value_delimiter = ',')]
    pub withdrawal_addresses: Vec<String>,
    /// mainnet, hoodi, sepolia, gnosis, chiado, goerli; a custom network takes precedence.
    #[arg(long, default_value = "mainnet")]
    network: String,
    #[command(flatten)]
    pub custom: CustomNetwork,
    /// Amounts of partial deposits, whole ETH; 1 and 32 (with --compounding 1, 8, 32 and 256) if not given.
    #[arg(long, value_delimiter = ',')]
    pub deposit_amounts: Vec<u64>,
    /// Consensus protocol the cluster prefers: qbft, or nothing.
    #[arg(long, default_value = "", hide_default_value = true)]
    consensus_protocol: String,
    /// Gas limit in builder registrations.
    #[arg(long, default_value_t = 60_000_000)]
    target_gas_limit: u64,
    /// 0x02 withdrawal credentials, with balances up to 2048 ETH.
    #[arg(long)]
    compounding: bool,
    /// Version of the cluster files, v1.6.0 to v1.11.0; v1.10.0 for peers that run Charon v1.10.
    #[arg(long, default_value = "v1.11.0", value_parser = version)]
    version: Version,
}

fn version(text: &str) -> Result<Version, String> {
    Version::from_text(text)
        .filter(|version| *version >= Version::V1_6)
        .ok_or_else(|| {
            format!("{text} is not written by this command; known are v1.6.0 to v1.11.0")
        })
}

/// A number no larger than a cluster file holds (spec of the field: 256 operators, 65536 validators), so that a slip of the
/// keyboard is answered before anything is counted up to it.
pub fn at_most<const LIMIT: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number <= LIMIT => Ok(number),
        Ok(_) | Err(_) => Err(format!("expected a number, at most {LIMIT}")),
    }
}

impl Terms {
    /// The network asked for.
    pub fn network(&self) -> anyhow::Result<Network> {
        Ok(match self.custom.network()? {
            Some(network) => network,
            None => Networks::public()
                .by_name(&self.network)
                .context("--network")?
                .clone(),
        })
    }

    /// The definition with these operators, signed by nobody.
    pub fn definition(
        &self,
        operators: Vec<Operator>,
        creator: Creator,
        validators: usize,
        algorithm: &str,
        rng: &mut impl CryptoRng,
    ) -> anyhow::Result<Definition> {
        let network = self.network()?;
        if self.version < Version::V1_10 {
            warn(&format!(
                "version {} has no target gas limit: builder registrations will have 30000000",
                self.version
            ));
        }
        let definition = NewDefinition {
            version: self.version,
            name: self.name.clone(),
            operators,
            creator,
            threshold: Some(self.threshold).filter(|threshold| *threshold != 0),
            validators: self.addresses(validators)?,
            timestamp: definition_timestamp(wall_clock()),
            network: &network,
            dkg_algorithm: algorithm.to_owned(),
            deposit_amounts: self
                .deposit_amounts
                .iter()
                .map(|eth| eth.saturating_mul(GWEI_PER_ETH))
                .collect(),
            consensus_protocol: self.consensus_protocol.to_lowercase(),
            target_gas_limit: self.target_gas_limit,
            compounding: self.compounding,
        }
        .build(rng)?;
        // Money goes there for good: the EIP-55 checksum is what notices a slip.
        definition
            .check_withdrawal_addresses(&network)
            .context("--withdrawal-addresses")?;
        let usual = flotilla_cluster::default_threshold(definition.operators.len());
        if definition.threshold != usual as u64 {
            warn(&format!(
                "threshold {} of {}; {usual} is the one that bears the most failures and lies",
                definition.threshold,
                definition.operators.len()
            ));
        }
        Ok(definition)
    }

    fn addresses(&self, validators: usize) -> anyhow::Result<Vec<ValidatorAddresses>> {
        let fees = each(
            "fee-recipient-addresses",
            &self.fee_recipient_addresses,
            validators,
        )?;
        let withdrawals = each(
            "withdrawal-addresses",
            &self.withdrawal_addresses,
            validators,
        )?;
        for address in &fees {
            Address::parse(address).context("--fee-recipient-addresses")?;
        }
        let pair = |(fee_recipient, withdrawal)| ValidatorAddresses {
            fee_recipient,
            withdrawal,
        };
        Ok(fees.into_iter().zip(withdrawals).map(pair).collect())
    }
}

fn each(name: &str, list: &[String], validators: usize) -> anyhow::Result<Vec<String>> {
    match list {
        [] => bail!("--{name} is needed: one address for all validators, or {validators}"),
        [one] => Ok(vec![one.clone(); validators]),
        list if list.len() == validators => Ok(list.to_vec()),
        list => bail!(
            "--{name} has {} entries; give one, or {validators}",
            list.len()
        ),
    }
}
