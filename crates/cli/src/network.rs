//! The flags that describe a network besides the public ones.

use anyhow::{Context as _, bail};
use flotilla_cluster::{Network, Networks};

/// A custom network: all four of name, fork version, chain id and genesis, or none.
#[derive(clap::Args, Debug, Default)]
pub struct CustomNetwork {
    /// Name of a custom network.
    #[arg(long, help_heading = "Custom network")]
    testnet_name: Option<String>,
    /// Its genesis fork version, 0x and 8 lower-case hex digits.
    #[arg(long, help_heading = "Custom network")]
    testnet_fork_version: Option<String>,
    /// Its chain id.
    #[arg(long, help_heading = "Custom network")]
    testnet_chain_id: Option<u64>,
    /// Its genesis, in Unix seconds.
    #[arg(long, help_heading = "Custom network")]
    testnet_genesis_timestamp: Option<u64>,
    /// Its Capella fork version, with which exits are signed.
    #[arg(long, help_heading = "Custom network")]
    testnet_capella_hard_fork: Option<String>,
}

impl CustomNetwork {
    /// The public networks and the one described, if any.
    pub fn networks(&self) -> anyhow::Result<Networks> {
        Ok(match self.network()? {
            Some(network) => Networks::public().with_custom(network),
            None => Networks::public(),
        })
    }

    /// The network, if one is described.
    pub fn network(&self) -> anyhow::Result<Option<Network>> {
        let parts = (
            self.testnet_name.as_ref(),
            self.testnet_fork_version.as_ref(),
            self.testnet_chain_id,
            self.testnet_genesis_timestamp,
        );
        match parts {
            (None, None, None, None) => Ok(None),
            (Some(name), Some(fork_version), Some(chain_id), Some(genesis_time)) => {
                Ok(Some(Network {
                    name: name.clone(),
                    chain_id,
                    genesis_fork_version: fork_version
                        .parse()
                        .context("--testnet-fork-version: 0x and 8 hex digits")?,
                    genesis_time,
                    capella_fork_version: self
                        .testnet_capella_hard_fork
                        .as_ref()
                        .map(|version| {
                            version
                                .parse()
                                .context("--testnet-capella-hard-fork: 0x and 8 hex digits")
                        })
                        .transpose()?,
                }))
            }
            _ => bail!(
                "a custom network needs all of --testnet-name, --testnet-fork-version, --testnet-chain-id and \
                 --testnet-genesis-timestamp"
            ),
        }
    }
}
