//! `flotilla create cluster`: a whole cluster made on one machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::create::{self, Request};
use flotilla_cluster::{
    Cost, Network, Networks, NewDefinition, Operator, ValidatorAddresses, Version,
    definition_timestamp,
};
use flotilla_crypto::os_rng;
use flotilla_node::folder::{self, Overwrite};
use flotilla_types::Timestamp;

use crate::network::CustomNetwork;
use crate::say;

const GWEI_PER_ETH: u64 = 1_000_000_000;

/// Make a whole cluster on this machine, without a ceremony.
///
/// Whoever runs this command holds all key shares for a moment: use it for trials, or where one person runs all nodes. It writes
/// node0, node1, … with everything each node needs; nothing existing is overwritten.
///
/// Example:  flotilla create cluster --nodes 4 --num-validators 2 --network hoodi --fee-recipient-addresses 0x… --withdrawal-addresses 0x…
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder in which node0, node1, … are made.
    #[arg(long, default_value = "./")]
    cluster_dir: PathBuf,
    /// Name of the cluster, cosmetic.
    #[arg(long, default_value = "")]
    name: String,
    /// Number of nodes, at least 3.
    #[arg(long, value_parser = at_most::<256>)]
    nodes: usize,
    /// Shares needed to sign; two thirds of the nodes, rounded up, if not given.
    #[arg(long, short = 't')]
    threshold: Option<usize>,
    /// Number of validators.
    #[arg(long, value_parser = at_most::<65_536>)]
    num_validators: usize,
    /// Receive fees: one for all validators, or one each.
    #[arg(long, value_delimiter = ',', required = true)]
    fee_recipient_addresses: Vec<String>,
    /// Receive withdrawals: one for all validators, or one each.
    #[arg(long, value_delimiter = ',', required = true)]
    withdrawal_addresses: Vec<String>,
    /// mainnet, hoodi, sepolia, gnosis, chiado, goerli; a custom network takes precedence.
    #[arg(long, default_value = "mainnet")]
    network: String,
    #[command(flatten)]
    custom: CustomNetwork,
    /// Amounts of partial deposits, whole ETH.
    #[arg(long, value_delimiter = ',')]
    deposit_amounts: Vec<u64>,
    /// Gas limit in builder registrations.
    #[arg(long, default_value_t = 60_000_000)]
    target_gas_limit: u64,
    /// 0x02 withdrawal credentials, with balances up to 2048 ETH.
    #[arg(long)]
    compounding: bool,
    /// Cheap keystores, for trials only.
    #[arg(long)]
    insecure_keys: bool,
    /// Version of the cluster files; v1.10.0 for peers that run Charon v1.10.
    #[arg(long, default_value = "v1.11.0", value_parser = version)]
    version: Version,
}

/// A number no larger than a cluster file holds (spec of the field: 256 operators, 65536 validators), so that a slip of the
/// keyboard is answered before anything is counted up to it.
fn at_most<const LIMIT: usize>(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number <= LIMIT => Ok(number),
        Ok(_) | Err(_) => Err(format!("expected a number, at most {LIMIT}")),
    }
}

fn version(text: &str) -> Result<Version, String> {
    Version::from_text(text)
        .filter(|version| *version >= Version::V1_10)
        .ok_or_else(|| {
            format!("{text} is not written by this command; known are v1.10.0 and v1.11.0")
        })
}

/// Makes the cluster.
pub fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    let network = network(arguments)?;
    ensure!(
        !(arguments.insecure_keys && network.has_real_money()),
        "--insecure-keys is not for {}, where deposits are real money",
        network.name
    );
    refuse_existing(arguments)?;
    let mut rng = os_rng()?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    // A version before v1.10 has no gas limit, but those are not written here.
    let definition = NewDefinition {
        version: arguments.version,
        name: arguments.name.clone(),
        operators: vec![Operator::default(); arguments.nodes],
        threshold: arguments.threshold,
        validators: addresses(arguments)?,
        timestamp: definition_timestamp(Timestamp::from(now)),
        deposit_amounts: arguments
            .deposit_amounts
            .iter()
            .map(|eth| eth.saturating_mul(GWEI_PER_ETH))
            .collect(),
        target_gas_limit: arguments.target_gas_limit,
        compounding: arguments.compounding,
        ..NewDefinition::new(&network)
    }
    .build(&mut rng)?;
    let keystore_cost = if arguments.insecure_keys {
        Cost::INSECURE
    } else {
        Cost::FULL
    };
    let created = create::cluster(
        Request {
            keystore_cost,
            ..Request::new(definition, &network)
        },
        &mut rng,
    )?;
    let (threshold, hash) = (
        created.lock.threshold(),
        hex::encode(created.lock.lock_hash()),
    );
    for (index, files) in created.into_files().into_iter().enumerate() {
        let folder = node_folder(&arguments.cluster_dir, index);
        for file in files {
            let path = folder.join(&file.path);
            let parent = path.parent().unwrap_or(&folder);
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
            folder::write_atomic(&path, &file.bytes, file.mode, Overwrite::Refuse)?;
        }
    }
    say(&format!(
        "Created a cluster of {} nodes, any {threshold} of which sign, with {} validators on {}.\nlock hash 0x{hash}\n",
        arguments.nodes, arguments.num_validators, network.name
    ));
    for index in 0..arguments.nodes {
        say(&format!(
            "  {}",
            node_folder(&arguments.cluster_dir, index).display()
        ));
    }
    say(
        "\nGive each operator one folder and delete it here: whoever holds a threshold of folders holds the validators.",
    );
    say(
        "Run one with:  flotilla run --data-dir FOLDER --signer builtin --beacon-node-endpoints URL --p2p-peer INDEX=MULTIADDR …",
    );
    Ok(())
}

fn node_folder(cluster: &Path, index: usize) -> PathBuf {
    cluster.join(format!("node{index}"))
}

fn network(arguments: &Arguments) -> anyhow::Result<Network> {
    Ok(match arguments.custom.network()? {
        Some(network) => network,
        None => Networks::public()
            .by_name(&arguments.network)
            .context("--network")?
            .clone(),
    })
}

fn refuse_existing(arguments: &Arguments) -> anyhow::Result<()> {
    for index in 0..arguments.nodes {
        let folder = node_folder(&arguments.cluster_dir, index);
        let occupied = folder
            .read_dir()
            .is_ok_and(|mut entries| entries.next().is_some());
        if occupied {
            bail!(
                "{} is not empty; choose another --cluster-dir or move it away",
                folder.display()
            );
        }
    }
    Ok(())
}

fn addresses(arguments: &Arguments) -> anyhow::Result<Vec<ValidatorAddresses>> {
    let each = |name: &str, list: &[String], index: usize| match list {
        [one] => Ok(one.clone()),
        list if list.len() == arguments.num_validators => Ok(list[index].clone()),
        list => bail!(
            "--{name} has {} entries; give one, or {}",
            list.len(),
            arguments.num_validators
        ),
    };
    (0..arguments.num_validators)
        .map(|index| {
            Ok(ValidatorAddresses {
                fee_recipient: each(
                    "fee-recipient-addresses",
                    &arguments.fee_recipient_addresses,
                    index,
                )?,
                withdrawal: each(
                    "withdrawal-addresses",
                    &arguments.withdrawal_addresses,
                    index,
                )?,
            })
        })
        .collect()
}
