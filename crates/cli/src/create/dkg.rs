//! `flotilla create dkg`: the definition that a ceremony starts from.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::{Address, Creator, Enr, Operator, PeerId, Severity, TypedMessage, peers};
use flotilla_crypto::{IdentityKey, os_rng};
use flotilla_node::folder::{Overwrite, write_atomic};
use flotilla_node::remote::publish_definition;

use super::terms::{Terms, at_most};
use crate::run::default_data_dir;
use crate::testnet::runtime;
use crate::verification::{ExecutionEndpoint, Verification};
use crate::{say, warn};

const FILE_NAME: &str = "cluster-definition.json";

/// Make the definition of a cluster, from which its operators make keys in a ceremony.
///
/// Every operator sends an ENR (`flotilla create enr`) to one person, who runs this command and sends the file back to all: each
/// then starts `dkg` with the same file. Nobody ever holds a whole key.
///
/// Example:  flotilla create dkg --network hoodi --operator-enrs enr:-…,enr:-…,enr:-…,enr:-… --num-validators 2
///           --fee-recipient-addresses 0x… --withdrawal-addresses 0x…
#[derive(clap::Args)]
pub struct Arguments {
    /// Where cluster-definition.json is put; the data folder if not given.
    #[arg(long)]
    output_dir: Option<PathBuf>,
    /// ENRs of the operators, at least 3, in the order of peer indexes.
    #[arg(long, value_delimiter = ',', conflicts_with = "operator_addresses")]
    operator_enrs: Vec<String>,
    /// Ethereum addresses of the operators, who will sign in a launchpad; only with --publish.
    #[arg(long, value_delimiter = ',')]
    operator_addresses: Vec<String>,
    /// Number of validators.
    #[arg(long, default_value_t = 1, value_parser = at_most::<65_536>)]
    num_validators: usize,
    /// How keys are made: default, frost or pedersen.
    #[arg(long, default_value = "default", value_parser = ["default", "frost", "pedersen"])]
    dkg_algorithm: String,
    /// Write no file: publish the definition as an invitation.
    #[arg(long)]
    publish: bool,
    /// Where it is published.
    #[arg(long, default_value = "https://api.obol.tech/v1")]
    publish_address: String,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    execution: ExecutionEndpoint,
}

/// Makes the definition.
pub fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    let mut rng = os_rng()?;
    let creator = arguments.publish.then(|| IdentityKey::generate(&mut rng));
    let mut definition = arguments.terms.definition(
        arguments.operators()?,
        match &creator {
            Some(key) => Creator {
                address: Address(key.public().ethereum_address()).to_string(),
                config_signature: Vec::new(),
            },
            None => Creator::default(),
        },
        arguments.num_validators,
        &arguments.dkg_algorithm,
        &mut rng,
    )?;
    if let Some(creator) = creator {
        let message = TypedMessage::CreatorConfig {
            config_hash: &definition.config_hash,
        };
        let chain_id = arguments.terms.network()?.chain_id;
        definition.creator.config_signature = creator.sign(&message.digest(chain_id)).to_vec();
        definition.update_hashes()?;
        let found = runtime()?.block_on(publish_definition(
            &arguments.publish_address,
            &definition,
            &creator,
        ))?;
        say(&format!(
            "Published. Each operator starts the ceremony with:  flotilla dkg --definition-file={found}"
        ));
        return Ok(());
    }
    let verification = Verification::new(&arguments.terms.custom, &arguments.execution)?;
    for finding in definition.verify(&verification.options()) {
        match finding.severity {
            Severity::Error => bail!("the definition does not verify: {finding}"),
            Severity::Warning => warn(&finding.to_string()),
        }
    }
    let folder = arguments
        .output_dir
        .clone()
        .unwrap_or_else(default_data_dir);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(FILE_NAME);
    write_atomic(
        &path,
        definition.to_json()?.as_bytes(),
        0o444,
        Overwrite::Refuse,
    )?;
    say(&format!("Created {}", path.display()));
    say(&format!(
        "{} operators, any {} of which sign, {} validators on {}; definition hash 0x{}",
        definition.operators.len(),
        definition.threshold,
        definition.num_validators,
        arguments.terms.network()?.name,
        hex::encode(&definition.definition_hash)
    ));
    say("Send the file to every operator; all start `dkg` with it at the same time.");
    Ok(())
}

impl Arguments {
    fn operators(&self) -> anyhow::Result<Vec<Operator>> {
        if !self.operator_addresses.is_empty() {
            ensure!(
                self.publish,
                "--operator-addresses is for --publish; with ENRs (--operator-enrs) the file is complete without a launchpad"
            );
            return self
                .operator_addresses
                .iter()
                .map(|text| {
                    let address = Address::parse(text).context("--operator-addresses")?;
                    Ok(Operator {
                        address: address.to_string(),
                        ..Operator::default()
                    })
                })
                .collect();
        }
        ensure!(
            !self.operator_enrs.is_empty(),
            "--operator-enrs is needed: the ENR of every operator, made with `flotilla create enr`"
        );
        let operators: Vec<Operator> = self.operator_enrs.iter().map(Operator::with_enr).collect();
        for (index, operator) in operators.iter().enumerate() {
            let enr = Enr::parse(&operator.enr)
                .with_context(|| format!("--operator-enrs, number {index} counted from 0"))?;
            say(&format!("  {index}  {}", PeerId::of(enr.public_key())));
        }
        peers(&operators).context("--operator-enrs")?;
        Ok(operators)
    }
}
