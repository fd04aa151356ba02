//! What commands that read definitions and locks have in common: the networks known, and whom to ask about contract wallets.

use anyhow::Context as _;
use flotilla_cluster::{ContractWallet, Networks, Progress, VerifyOptions};
use flotilla_node::remote::ExecutionClient;

use crate::bar::Bar;
use crate::network::CustomNetwork;

/// Address of an execution client.
#[derive(clap::Args, Debug, Default)]
pub struct ExecutionEndpoint {
    /// JSON-RPC address of an execution client, which is asked whether contract wallets (Safe) accept their signatures.
    #[arg(long, value_name = "URL")]
    execution_client_rpc_endpoint: Option<String>,
}

impl ExecutionEndpoint {
    /// The address as given.
    pub fn address(&self) -> Option<String> {
        self.execution_client_rpc_endpoint
            .clone()
            .filter(|address| !address.is_empty())
    }
}

/// Networks and execution client, open.
pub struct Verification {
    pub networks: Networks,
    execution: Option<ExecutionClient>,
    progress: Box<dyn Fn(Progress)>,
}

impl Verification {
    /// Waits for the execution client, if one is named.
    pub fn new(custom: &CustomNetwork, endpoint: &ExecutionEndpoint) -> anyhow::Result<Self> {
        let bar = Bar::new("checking signatures");
        Ok(Self {
            progress: Box::new(move |progress| bar.done(progress.done, progress.total)),
            networks: custom.networks()?,
            execution: endpoint
                .address()
                .map(|address| ExecutionClient::connect(&address))
                .transpose()
                .context("--execution-client-rpc-endpoint")?,
        })
    }

    /// All checks.
    pub fn options(&self) -> VerifyOptions<'_> {
        VerifyOptions {
            contract_wallet: self
                .execution
                .as_ref()
                .map(|client| client as &dyn ContractWallet),
            progress: Some(&*self.progress),
            ..VerifyOptions::new(&self.networks)
        }
    }
}
