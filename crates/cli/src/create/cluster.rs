//! `flotilla create cluster`: a whole cluster made on one machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flotilla_cluster::create::{Created, Plan, Request, Signed, check_definition};
use flotilla_cluster::{Cost, Creator, Definition, LoadOptions, Network, Operator};
use flotilla_crypto::{SecretKey, os_rng};
use flotilla_node::clock::wall_clock;
use flotilla_node::folder::{self, Staging};
use flotilla_node::remote::{self, fetch_definition, publish_lock};
use flotilla_node::slashing::interchange::Interchange;
use rand::CryptoRng;

use super::existing::{Existing, addresses_differ, import_file};
use super::handover::{KeyManagers, hand_over};
use super::terms::{Terms, at_most};
use crate::bar::Bar;
use crate::testnet::runtime;
use crate::verification::{ExecutionEndpoint, Verification};
use crate::{say, warn};

const ARCHIVE: &str = "cluster.tar.gz";

/// Make a whole cluster on this machine, without a ceremony.
///
/// Whoever runs this command holds all key shares for a moment: use it for trials, to split a validator that exists, or where one
/// person runs all nodes; otherwise make keys in a ceremony (`create dkg`). It writes node0, node1, … with everything each node
/// needs; they appear when all is done, and nothing existing is overwritten.
///
/// Examples:
///   flotilla create cluster --nodes 4 --num-validators 2 --network hoodi \
///     --fee-recipient-addresses 0x… --withdrawal-addresses 0x…
///   flotilla create cluster --definition-file cluster-definition.json
///   flotilla create cluster --nodes 4 --network hoodi --fee-recipient-addresses 0x… --withdrawal-addresses 0x… \
///     --split-existing-keys --split-keys-dir validator_keys --slashing-protection history.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Folder in which node0, node1, … are made.
    #[arg(long, default_value = "./")]
    cluster_dir: PathBuf,
    /// Take the terms from a definition, a file or a URL; the flags for terms are then ignored.
    #[arg(long, value_name = "FILE|URL")]
    definition_file: Option<String>,
    /// Number of nodes, at least 3; not needed with a definition.
    #[arg(long, default_value_t = 0, hide_default_value = true, value_parser = at_most::<256>)]
    nodes: usize,
    /// Number of validators; not needed with a definition, or when keys are split.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_parser = at_most::<65_536>,
        conflicts_with = "split_existing_keys"
    )]
    num_validators: usize,
    #[command(flatten)]
    terms: Terms,
    #[command(flatten)]
    existing: Existing,
    /// Cheap keystores, for trials only.
    #[arg(long)]
    insecure_keys: bool,
    #[command(flatten)]
    key_managers: KeyManagers,
    /// Put everything into one file, cluster.tar.gz.
    #[arg(long)]
    zipped: bool,
    /// Publish the lock.
    #[arg(long)]
    publish: bool,
    /// Where it is published.
    #[arg(long, default_value = "https://api.obol.tech/v1")]
    publish_address: String,
    #[command(flatten)]
    execution: ExecutionEndpoint,
}

/// Makes the cluster.
pub fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.existing.check_consent()?;
    let mut rng = os_rng()?;
    let (definition, network, keys) = arguments.terms(&mut rng)?;
    let nodes = definition.operators.len();
    arguments.refuse_existing(nodes)?;
    let managers = arguments.key_managers.open(nodes)?;
    let history = match &keys {
        Some(keys) => arguments.existing.history(keys)?,
        None => None,
    };
    let registration_time = match keys {
        Some(_) => wall_clock().as_secs(),
        None => network.genesis_time,
    };
    let request = Request {
        keystore_cost: arguments.cost(),
        existing_keys: keys,
        registration_time,
        ..Request::new(definition, &network)
    };
    let staging = Staging::new(&arguments.cluster_dir)?;
    let plan = Plan::draw(request, &mut rng)?;
    let signed = match managers.is_empty() {
        true => seal_and_sign(&plan, &staging)?,
        false => plan.sign()?,
    };
    let created = plan.created(signed);
    write(&staging, &created, history.as_ref())?;
    // The files are on disk by now: a share in a key manager is of no use without them.
    if !managers.is_empty() {
        runtime()?.block_on(hand_over(&managers, &created, history.as_ref()))?;
    }
    if arguments.publish
        && let Err(error) =
            runtime()?.block_on(publish_lock(&arguments.publish_address, &created.lock))
    {
        warn(&format!("the lock was not published: {error}"));
    }
    let archive = match arguments.zipped {
        true => Some(staging.archive(ARCHIVE)?),
        false => {
            staging.install()?;
            None
        }
    };
    arguments.tell(&created, &network, archive.as_deref(), history.is_some());
    Ok(())
}

impl Arguments {
    fn cost(&self) -> Cost {
        match self.insecure_keys {
            true => Cost::INSECURE,
            false => Cost::FULL,
        }
    }

    /// The definition, its network, and the keys to split.
    fn terms(
        &self,
        rng: &mut impl CryptoRng,
    ) -> anyhow::Result<(Definition, Network, Option<Vec<SecretKey>>)> {
        match &self.definition_file {
            Some(file) => self.terms_of_file(file),
            None => self.terms_of_flags(rng),
        }
    }

    fn terms_of_file(
        &self,
        file: &str,
    ) -> anyhow::Result<(Definition, Network, Option<Vec<SecretKey>>)> {
        self.warn_of_ignored_flags();
        let verification = Verification::new(&self.terms.custom, &self.execution)?;
        let bytes = if remote::is_url(file) {
            if file.starts_with("http://") {
                warn("the definition is fetched over http: anybody on the way can change it");
            }
            runtime()?.block_on(fetch_definition(file))?
        } else {
            folder::read(Path::new(file), "make one with `flotilla create dkg`")?
        };
        let options = LoadOptions {
            verify: verification.options(),
            no_verify: false,
        };
        let loaded = Definition::load(&bytes, &options).with_context(|| file.to_owned())?;
        for finding in &loaded.findings {
            warn(&format!("{file}: {finding}"));
        }
        let definition = loaded.file;
        let network = verification
            .networks
            .by_fork_version(definition.fork_version)
            .with_context(|| file.to_owned())?
            .clone();
        check_definition(&definition, &network).with_context(|| file.to_owned())?;
        let keys = self.existing.keys(addresses_differ(&definition))?;
        Ok((definition, network, keys))
    }

    fn terms_of_flags(
        &self,
        rng: &mut impl CryptoRng,
    ) -> anyhow::Result<(Definition, Network, Option<Vec<SecretKey>>)> {
        ensure!(
            self.nodes != 0,
            "--nodes is needed: how many nodes the cluster has, at least 3 (or --definition-file)"
        );
        let network = self.terms.network()?;
        let several = self.terms.fee_recipient_addresses.len() > 1
            || self.terms.withdrawal_addresses.len() > 1;
        let keys = self.existing.keys(several)?;
        let validators = keys.as_ref().map_or(self.num_validators, Vec::len);
        ensure!(
            validators != 0,
            "--num-validators is needed: how many validators the cluster has"
        );
        let definition = self.terms.definition(
            vec![Operator::default(); self.nodes],
            Creator::default(),
            validators,
            "default",
            rng,
        )?;
        Ok((definition, network, keys))
    }

    fn warn_of_ignored_flags(&self) {
        let given = [
            ("nodes", self.nodes != 0),
            ("num-validators", self.num_validators != 0),
            ("threshold", self.terms.threshold != 0),
            ("deposit-amounts", !self.terms.deposit_amounts.is_empty()),
            (
                "fee-recipient-addresses",
                !self.terms.fee_recipient_addresses.is_empty(),
            ),
            (
                "withdrawal-addresses",
                !self.terms.withdrawal_addresses.is_empty(),
            ),
        ];
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            warn(&format!("--{name} is ignored: the definition says it"));
        }
    }

    fn refuse_existing(&self, nodes: usize) -> anyhow::Result<()> {
        for index in 0..nodes {
            let folder = self.node_folder(index);
            let occupied = folder.symlink_metadata().is_ok()
                && !folder
                    .read_dir()
                    .is_ok_and(|mut entries| entries.next().is_none());
            if occupied {
                bail!(
                    "{} is not empty; choose another --cluster-dir or move it away",
                    folder.display()
                );
            }
        }
        let archive = self.cluster_dir.join(ARCHIVE);
        ensure!(
            !(self.zipped && archive.exists()),
            "{} exists already; move it away first",
            archive.display()
        );
        Ok(())
    }

    fn node_folder(&self, index: usize) -> PathBuf {
        self.cluster_dir.join(node_name(index))
    }

    fn tell(
        &self,
        created: &Created,
        network: &Network,
        archive: Option<&Path>,
        with_history: bool,
    ) {
        let lock = &created.lock;
        let nodes = created.nodes.len();
        say(&format!(
            "Created a cluster of {nodes} nodes, any {} of which sign, with {} validators on {}.\nlock hash 0x{}\n",
            lock.threshold(),
            lock.validators().len(),
            network.name,
            hex::encode(lock.lock_hash())
        ));
        match archive {
            Some(path) => say(&format!("  {}  (all of them)", path.display())),
            None => (0..nodes)
                .for_each(|index| say(&format!("  {}", self.node_folder(index).display()))),
        }
        if self.existing.split_existing_keys {
            say(
                "\nThe old signer of these keys must never start again: beside the cluster it gets the validators slashed.",
            );
            say(if with_history {
                "What it signed lies in every folder and is imported when the node first starts."
            } else {
                "Let two epochs pass since it stopped before you start a node."
            });
        }
        say(
            "\nGive each operator one folder and delete it here: whoever holds a threshold of folders holds the validators.",
        );
        say(
            "Look at one with:  flotilla cluster show FOLDER;  check it with:  flotilla cluster verify FOLDER",
        );
        say(
            "Run one with:  flotilla run --data-dir FOLDER --signer builtin --beacon-node-endpoints URL --p2p-peer INDEX=MULTIADDR …",
        );
    }
}

/// Encrypts the keystores on every core and signs the lock meanwhile.
fn seal_and_sign(plan: &Plan<'_>, staging: &Staging) -> anyhow::Result<Signed> {
    let names: Vec<String> = (0..plan.keystores().len()).map(node_name).collect();
    let keystores: Vec<_> = names
        .iter()
        .zip(plan.keystores())
        .flat_map(|(name, node)| node.iter().map(|keystore| (name.as_str(), keystore)))
        .collect();
    let bar = Bar::new("encrypting keystores");
    std::thread::scope(|scope| {
        let signing = scope.spawn(|| plan.sign());
        let sealed = staging.seal(&keystores, &|done, total| bar.done(done, total));
        let signed = match signing.join() {
            Ok(signed) => signed?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        sealed?;
        Ok(signed)
    })
}

fn write(
    staging: &Staging,
    created: &Created,
    history: Option<&Interchange>,
) -> anyhow::Result<()> {
    for (index, node) in created.nodes.iter().enumerate() {
        for file in &node.files {
            staging.write(&node_name(index), file)?;
        }
        if let Some(history) = history {
            staging.write(&node_name(index), &import_file(history)?)?;
        }
    }
    Ok(())
}

fn node_name(index: usize) -> String {
    format!("node{index}")
}
