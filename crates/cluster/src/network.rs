//! The networks a cluster can serve: what a definition's fork version stands for (spec 10 §5.1).

use flotilla_types::ForkVersion;
use thiserror::Error;

/// One Ethereum network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Name as on command lines and in deposit files.
    pub name: String,
    /// EIP-155 chain id, part of wallet signatures.
    pub chain_id: u64,
    /// Fork version at genesis, which identifies the network in a definition.
    pub genesis_fork_version: ForkVersion,
    /// Genesis in Unix seconds, the time stamp of builder registrations.
    pub genesis_time: u64,
    /// Capella fork version, with which exits are signed; unset for custom networks.
    pub capella_fork_version: Option<ForkVersion>,
}

impl Network {
    /// Whether deposits there are real money.
    #[must_use]
    pub fn has_real_money(&self) -> bool {
        matches!(self.name.as_str(), "mainnet" | "gnosis")
    }
}

/// A network that is not in the table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UnknownNetwork {
    /// No network has this name.
    #[error("network {name:?} is not known; known are {known}")]
    Name {
        /// Name asked for.
        name: String,
        /// Names in the table.
        known: String,
    },
    /// No network has this fork version.
    #[error(
        "no known network has genesis fork version {fork_version}; a custom network is described with the --testnet flags"
    )]
    ForkVersion {
        /// Fork version asked for.
        fork_version: ForkVersion,
    },
}

/// The table of networks: the public ones, then custom ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Default for Networks {
    fn default() -> Self {
        Self::public()
    }
}

impl Networks {
    /// The public networks.
    #[must_use]
    pub fn public() -> Self {
        let network = |name: &str, chain_id, genesis: u32, genesis_time, capella: u32| Network {
            name: name.to_owned(),
            chain_id,
            genesis_fork_version: ForkVersion(genesis.to_be_bytes()),
            genesis_time,
            capella_fork_version: Some(ForkVersion(capella.to_be_bytes())),
        };
        Self(vec![
            network("mainnet", 1, 0x0000_0000, 1_606_824_023, 0x0300_0000),
            network("goerli", 5, 0x0000_1020, 1_616_508_000, 0x0300_1020),
            network("gnosis", 100, 0x0000_0064, 1_638_993_340, 0x0300_0064),
            network("chiado", 10_200, 0x0000_006f, 1_665_396_300, 0x0300_006f),
            network(
                "sepolia",
                11_155_111,
                0x9000_0069,
                1_655_733_600,
                0x9000_0072,
            ),
            network("hoodi", 560_048, 0x1000_0910, 1_742_213_400, 0x4000_0910),
        ])
    }

    /// The table with a custom network at its end: the public ones cannot be overridden.
    #[must_use]
    pub fn with_custom(mut self, network: Network) -> Self {
        self.0.push(network);
        self
    }

    /// The network of this name; `prater` is another name of `goerli`.
    ///
    /// # Errors
    /// There is none.
    pub fn by_name(&self, name: &str) -> Result<&Network, UnknownNetwork> {
        let wanted = if name == "prater" { "goerli" } else { name };
        self.0
            .iter()
            .find(|network| network.name == wanted)
            .ok_or_else(|| UnknownNetwork::Name {
                name: name.to_owned(),
                known: self
                    .0
                    .iter()
                    .map(|network| network.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// The first network with this genesis fork version.
    ///
    /// # Errors
    /// There is none.
    pub fn by_fork_version(&self, fork_version: ForkVersion) -> Result<&Network, UnknownNetwork> {
        self.0
            .iter()
            .find(|network| network.genesis_fork_version == fork_version)
            .ok_or(UnknownNetwork::ForkVersion { fork_version })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn custom(name: &str, version: u32) -> Network {
        Network {
            name: name.to_owned(),
            chain_id: 4242,
            genesis_fork_version: ForkVersion(version.to_be_bytes()),
            genesis_time: 1_700_000_000,
            capella_fork_version: None,
        }
    }

    #[test]
    fn custom_network_is_found_but_overrides_nothing() {
        let networks = Networks::public()
            .with_custom(custom("vectornet", 0x10ab_cdef))
            .with_custom(custom("fake", 0x1000_0910));
        assert_eq!(networks.by_name("vectornet").unwrap().chain_id, 4242);
        assert_eq!(
            networks
                .by_fork_version(ForkVersion([0x10, 0xab, 0xcd, 0xef]))
                .unwrap()
                .name,
            "vectornet"
        );
        assert_eq!(
            networks
                .by_fork_version(ForkVersion([0x10, 0, 9, 0x10]))
                .unwrap()
                .name,
            "hoodi"
        );
    }

    #[test]
    fn unknown_networks_are_named() {
        let networks = Networks::public();
        assert!(
            networks
                .by_name("holesky")
                .unwrap_err()
                .to_string()
                .contains("hoodi")
        );
        assert!(
            networks
                .by_fork_version(ForkVersion([1, 1, 0x70, 0]))
                .is_err()
        );
        assert_eq!(networks.by_name("prater").unwrap().name, "goerli");
    }
}
