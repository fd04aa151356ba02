//! `flotilla exit …`: validators leave, by a threshold of operators who sign one after another.
//!
//! Partial exits are collected by a server, which may be anybody's: everything that comes back is verified here. Or the running
//! nodes collect them among themselves ([`request`]).

mod request;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use flotilla_beacon::client::{BeaconNode, Timeouts, Url, Validator, ValidatorStatus};
use flotilla_cluster::Lock;
use flotilla_cluster::collect::exit::{
    DEFAULT_EXIT_EPOCH, PartialExit, PartialExits, access_root, exit_signing_root, sign_exit,
};
use flotilla_crypto::{PublicKey, SecretKey, Signature, verify};
use flotilla_node::folder::{self, Overwrite, write_atomic};
use flotilla_node::remote::Collector;
use flotilla_testnet::options::parse_duration;
use flotilla_types::{
    Epoch, ForkVersion, PublicKeyBytes, Root, SignedVoluntaryExit, ValidatorIndex, VoluntaryExit,
};

use crate::run::header;
use crate::seat::{CollectorFlags, LockFlags, Seat, SeatFlags, ShareFlags};
use crate::testnet::runtime;
use crate::{say, warn};

/// The commands.
#[derive(Subcommand)]
pub enum Exit {
    ActiveValidatorList(Box<List>),
    Sign(Box<Sign>),
    Fetch(Box<Fetch>),
    Broadcast(Box<Broadcast>),
    Delete(Box<Delete>),
    Request(Box<request::Request>),
}

/// The beacon nodes.
#[derive(Args)]
struct Beacon {
    /// Beacon nodes, best first.
    #[arg(
        long,
        value_delimiter = ',',
        required = true,
        help_heading = "Beacon node"
    )]
    beacon_node_endpoints: Vec<Url>,
    /// Beacon nodes that are asked when the others fail.
    #[arg(long, value_delimiter = ',', help_heading = "Beacon node")]
    fallback_beacon_node_endpoints: Vec<Url>,
    /// Longest wait for an answer.
    #[arg(long, default_value = "30s", value_parser = parse_duration, help_heading = "Beacon node")]
    beacon_node_timeout: Duration,
    /// Extra HTTP headers, NAME=VALUE.
    #[arg(long, value_delimiter = ',', value_parser = header, help_heading = "Beacon node")]
    beacon_node_headers: Vec<(String, String)>,
}

/// Which validators.
#[derive(Args)]
struct Which {
    /// The validator's public key, as in the lock.
    #[arg(long, required_unless_present = "all", conflicts_with = "all")]
    validator_public_key: Option<PublicKeyBytes>,
    /// Every validator of the cluster.
    #[arg(long)]
    all: bool,
}

/// List the cluster's validators that are active.
#[derive(Args)]
pub struct List {
    /// One public key a line, nothing else.
    #[arg(long)]
    plaintext: bool,
    #[command(flatten)]
    lock: LockFlags,
    #[command(flatten)]
    beacon: Beacon,
}

/// Sign an exit with this operator's share and give it to the server.
///
/// A threshold of operators must do so, all with the same --exit-epoch. Once enough have, anybody among them can fetch and
/// broadcast the exit. An exit cannot be taken back once it is broadcast.
#[derive(Args)]
pub struct Sign {
    /// The validator's public key, as in the lock.
    #[arg(long, required_unless_present_any = ["all", "validator_index"], conflicts_with = "all")]
    validator_public_key: Option<PublicKeyBytes>,
    /// The validator's index on the chain; asked of the beacon node if not given.
    #[arg(long, conflicts_with = "all")]
    validator_index: Option<u64>,
    /// Every validator of this operator that is active or in the activation queue.
    #[arg(long)]
    all: bool,
    /// The earliest epoch of the exit; the same for all operators.
    #[arg(long, default_value_t = DEFAULT_EXIT_EPOCH.0)]
    exit_epoch: u64,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    shares: ShareFlags,
    #[command(flatten)]
    beacon: Beacon,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Fetch exits that enough operators have signed, and write them to files.
///
/// Whoever has such a file can broadcast it: keep it as safe as the decision to exit is.
#[derive(Args)]
pub struct Fetch {
    #[command(flatten)]
    which: Which,
    /// Folder for exit-<public key>.json.
    #[arg(long, default_value = "./")]
    fetched_exit_path: PathBuf,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    beacon: Beacon,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Bring signed exits to the beacon node: the validators leave.
#[derive(Args)]
pub struct Broadcast {
    #[command(flatten)]
    which: Which,
    /// Take the exit from this file (exit-<public key>.json) instead of the server.
    #[arg(long, conflicts_with_all = ["exit_from_dir", "all"])]
    exit_from_file: Option<PathBuf>,
    /// Take every exit-*.json in this folder.
    #[arg(long, requires = "all")]
    exit_from_dir: Option<PathBuf>,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    beacon: Beacon,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Take this operator's signed exits back from the server. What is broadcast cannot be taken back.
#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Runs one.
pub fn execute(command: &Exit) -> anyhow::Result<()> {
    let runtime = runtime()?;
    match command {
        Exit::ActiveValidatorList(list) => runtime.block_on(list.execute()),
        Exit::Sign(sign) => {
            let mut seat = sign.seat.open()?;
            let shares = seat.shares(&sign.shares)?;
            runtime.block_on(sign.execute(&seat, &shares))
        }
        Exit::Fetch(fetch) => {
            let seat = fetch.seat.open()?;
            runtime.block_on(fetch.execute(&seat))
        }
        Exit::Broadcast(broadcast) => {
            let seat = broadcast.seat.open()?;
            runtime.block_on(broadcast.execute(&seat))
        }
        Exit::Request(request) => request.execute(),
        Exit::Delete(delete) => {
            let seat = delete.seat.open()?;
            runtime.block_on(delete.execute(&seat))
        }
    }
}

/// The chain that exits are signed for.
#[derive(Clone, Copy)]
struct Chain {
    capella: ForkVersion,
    genesis_validators_root: Root,
}

impl Beacon {
    fn open(&self) -> anyhow::Result<BeaconNode> {
        let endpoints = self
            .beacon_node_endpoints
            .iter()
            .chain(&self.fallback_beacon_node_endpoints);
        let timeouts = Timeouts {
            query: self.beacon_node_timeout,
            submit: self.beacon_node_timeout,
            ..Timeouts::default()
        };
        Ok(BeaconNode::with_headers(
            endpoints.cloned().collect(),
            timeouts,
            &self.beacon_node_headers,
        )?)
    }

    /// The chain, which must be the lock's.
    async fn chain(
        &self,
        beacon: &BeaconNode,
        lock: &Lock,
        flags: &LockFlags,
    ) -> anyhow::Result<Chain> {
        let genesis = beacon.genesis().await?;
        ensure!(
            genesis.genesis_fork_version == lock.fork_version(),
            "the beacon node's chain has genesis fork version {}, the lock is for {}; ask a beacon node of the cluster's network",
            genesis.genesis_fork_version,
            lock.fork_version()
        );
        let networks = flags.custom.networks()?;
        let capella = networks.by_fork_version(lock.fork_version())?.capella_fork_version.context(
            "exits are signed for the network's Capella fork version: give it with --testnet-capella-hard-fork",
        )?;
        Ok(Chain {
            capella,
            genesis_validators_root: genesis.genesis_validators_root,
        })
    }
}

impl Which {
    fn validators(&self, lock: &Lock) -> Vec<PublicKeyBytes> {
        match self.validator_public_key {
            Some(validator) => vec![validator],
            None => lock
                .validators()
                .iter()
                .map(|validator| validator.public_key)
                .collect(),
        }
    }
}

impl List {
    async fn execute(&self) -> anyhow::Result<()> {
        let lock = tokio::task::block_in_place(|| self.lock.open())?;
        let keys: Vec<_> = lock
            .validators()
            .iter()
            .map(|validator| validator.public_key)
            .collect();
        let known = self.beacon.open()?.validators(&keys).await?;
        let active: Vec<&Validator> = known
            .iter()
            .filter(|validator| validator.status == ValidatorStatus::ActiveOngoing)
            .collect();
        for validator in &active {
            match self.plaintext {
                true => say(&validator.pubkey.to_string()),
                false => say(&format!("{}  index {}", validator.pubkey, validator.index)),
            }
        }
        if !self.plaintext {
            say(&format!(
                "{} of {} validators are active",
                active.len(),
                keys.len()
            ));
        }
        Ok(())
    }
}

impl Sign {
    async fn execute(
        &self,
        seat: &Seat,
        shares: &BTreeMap<PublicKeyBytes, SecretKey>,
    ) -> anyhow::Result<()> {
        let beacon = self.beacon.open()?;
        let chain = self
            .beacon
            .chain(&beacon, seat.lock(), &self.seat.lock)
            .await?;
        let mut leaving = self.leaving(seat, shares, &beacon).await?;
        leaving.sort_by_key(|(_, index)| *index);
        ensure!(
            !leaving.is_empty(),
            "no validator of this operator is active or in the activation queue"
        );
        let mut exits = PartialExits {
            partial_exits: Vec::new(),
            share_idx: seat.share_number(),
            signature: Vec::new(),
        };
        for (validator, validator_index) in &leaving {
            let message = VoluntaryExit {
                epoch: Epoch(self.exit_epoch),
                validator_index: *validator_index,
            };
            let share = seat.share_of(shares, validator)?;
            exits.partial_exits.push(PartialExit {
                public_key: *validator,
                signed_exit_message: sign_exit(
                    message,
                    share,
                    chain.capella,
                    chain.genesis_validators_root,
                ),
            });
        }
        exits.signature = seat.identity().sign(&exits.root()?).to_vec();
        self.server.open(seat.lock())?.post_exits(&exits).await?;
        for (validator, index) in &leaving {
            say(&format!(
                "signed: {validator}  index {index}, exit epoch {}",
                self.exit_epoch
            ));
        }
        say(&format!(
            "{} operators must sign with the same --exit-epoch; then: flotilla exit fetch, or flotilla exit broadcast",
            seat.lock().threshold()
        ));
        Ok(())
    }

    async fn leaving(
        &self,
        seat: &Seat,
        shares: &BTreeMap<PublicKeyBytes, SecretKey>,
        beacon: &BeaconNode,
    ) -> anyhow::Result<Vec<(PublicKeyBytes, ValidatorIndex)>> {
        if let (Some(validator), Some(index)) = (self.validator_public_key, self.validator_index) {
            return Ok(vec![(validator, ValidatorIndex(index))]);
        }
        let all: Vec<PublicKeyBytes> = seat
            .lock()
            .validators()
            .iter()
            .map(|validator| validator.public_key)
            .collect();
        let asked = match self.validator_public_key {
            Some(validator) => vec![validator],
            None => all,
        };
        let known = beacon.validators(&asked).await?;
        let pair = |validator: &Validator| (validator.pubkey, validator.index);
        if self.all {
            let leaves = |validator: &&Validator| {
                shares.contains_key(&validator.pubkey)
                    && matches!(
                        validator.status,
                        ValidatorStatus::ActiveOngoing | ValidatorStatus::PendingQueued
                    )
            };
            return Ok(known.iter().filter(leaves).map(pair).collect());
        }
        let wanted = known.iter().find(|validator| {
            self.validator_index
                .is_none_or(|index| validator.index.0 == index)
        });
        match wanted {
            Some(validator) => Ok(vec![pair(validator)]),
            None => {
                bail!("the beacon node does not know this validator, or it is not of this cluster")
            }
        }
    }
}

/// The exit of a validator as the server has it, combined and verified; `None` if the server has nothing.
async fn collected(
    server: &Collector,
    seat: &Seat,
    chain: Chain,
    validator: &PublicKeyBytes,
) -> anyhow::Result<Option<SignedVoluntaryExit>> {
    seat.lock().validator(validator)?;
    let authorization = authorization(seat, validator)?;
    let Some(exit) = server
        .exit(seat.share_number(), validator, &authorization)
        .await?
    else {
        return Ok(None);
    };
    let message = exit.message();
    let root = exit_signing_root(&message, chain.capella, chain.genesis_validators_root);
    let signature = seat
        .lock()
        .threshold_signature(validator, &root, &exit.partials())?;
    Ok(Some(SignedVoluntaryExit { message, signature }))
}

fn authorization(seat: &Seat, validator: &PublicKeyBytes) -> anyhow::Result<[u8; 65]> {
    let lock_hash = seat
        .lock()
        .lock_hash()
        .try_into()
        .context("the lock hash has not 32 bytes")?;
    Ok(seat
        .identity()
        .sign(&access_root(lock_hash, validator, seat.share_number())))
}

fn file_name(validator: &PublicKeyBytes) -> String {
    format!("exit-{validator}.json")
}

impl Fetch {
    async fn execute(&self, seat: &Seat) -> anyhow::Result<()> {
        let beacon = self.beacon.open()?;
        let chain = self
            .beacon
            .chain(&beacon, seat.lock(), &self.seat.lock)
            .await?;
        let server = self.server.open(seat.lock())?;
        ensure!(
            self.fetched_exit_path.is_dir(),
            "--fetched-exit-path {} is no folder",
            self.fetched_exit_path.display()
        );
        for validator in self.which.validators(seat.lock()) {
            match collected(&server, seat, chain, &validator).await {
                Ok(Some(exit)) => {
                    let path = self.fetched_exit_path.join(file_name(&validator));
                    write_atomic(
                        &path,
                        &serde_json::to_vec(&exit)?,
                        0o600,
                        Overwrite::Replace,
                    )?;
                    say(&format!("fetched: {}", path.display()));
                }
                Ok(None) if self.which.all => {
                    say(&format!("nobody has signed an exit of {validator}"))
                }
                Ok(None) => bail!("nobody has signed an exit of {validator}: flotilla exit sign"),
                Err(error) if self.which.all => warn(&format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Broadcast {
    async fn execute(&self, seat: &Seat) -> anyhow::Result<()> {
        let beacon = self.beacon.open()?;
        let chain = self
            .beacon
            .chain(&beacon, seat.lock(), &self.seat.lock)
            .await?;
        let mut exits = self.exits(seat, chain).await?;
        for (validator, exit) in &exits {
            check(validator, exit, chain).with_context(|| format!("the exit of {validator}"))?;
        }
        let keys: Vec<PublicKeyBytes> = exits.iter().map(|(validator, _)| *validator).collect();
        let known = beacon.validators(&keys).await?;
        exits.retain(|(validator, exit)| {
            let state = known.iter().find(|known| known.pubkey == *validator);
            let fits = state.is_some_and(|known| {
                known.index == exit.message.validator_index
                    && known.status == ValidatorStatus::ActiveOngoing
            });
            if !fits {
                warn(&format!(
                    "{validator} is not active on this chain: left out"
                ));
            }
            fits
        });
        ensure!(!exits.is_empty(), "no exit to broadcast");
        for (validator, exit) in &exits {
            beacon
                .submit_voluntary_exit(serde_json::to_string(exit)?)
                .await
                .with_context(|| format!("the exit of {validator}"))?;
            say(&format!(
                "broadcast: {validator}  index {}",
                exit.message.validator_index
            ));
        }
        Ok(())
    }

    async fn exits(
        &self,
        seat: &Seat,
        chain: Chain,
    ) -> anyhow::Result<Vec<(PublicKeyBytes, SignedVoluntaryExit)>> {
        if let Some(file) = &self.exit_from_file {
            let validator = self
                .which
                .validator_public_key
                .context("--validator-public-key is needed")?;
            return Ok(vec![(validator, read_exit(file)?)]);
        }
        if let Some(folder) = &self.exit_from_dir {
            return read_exits(folder);
        }
        let server = self.server.open(seat.lock())?;
        let mut exits = Vec::new();
        for validator in self.which.validators(seat.lock()) {
            match collected(&server, seat, chain, &validator).await {
                Ok(Some(exit)) => exits.push((validator, exit)),
                Ok(None) if self.which.all => {}
                Ok(None) => bail!("nobody has signed an exit of {validator}: flotilla exit sign"),
                Err(error) if self.which.all => warn(&format!("{error:#}")),
                Err(error) => return Err(error),
            }
        }
        Ok(exits)
    }
}

fn read_exit(path: &Path) -> anyhow::Result<SignedVoluntaryExit> {
    let bytes = folder::read(path, "write it with `flotilla exit fetch`")?;
    flotilla_cluster::collect::exit::read_exit(&bytes).with_context(|| path.display().to_string())
}

/// Every `exit-<public key>.json` of a folder.
fn read_exits(folder: &Path) -> anyhow::Result<Vec<(PublicKeyBytes, SignedVoluntaryExit)>> {
    let mut exits = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(key) = name
            .strip_prefix("exit-")
            .and_then(|name| name.strip_suffix(".json"))
        else {
            continue;
        };
        let validator = key.parse().map_err(|error| {
            anyhow::anyhow!("{}: the name has no public key: {error}", path.display())
        })?;
        exits.push((validator, read_exit(&path)?));
    }
    Ok(exits)
}

fn check(
    validator: &PublicKeyBytes,
    exit: &SignedVoluntaryExit,
    chain: Chain,
) -> anyhow::Result<()> {
    let root = exit_signing_root(&exit.message, chain.capella, chain.genesis_validators_root);
    let key = PublicKey::from_bytes(&validator.0)?;
    let holds = Signature::from_bytes(&exit.signature.0)
        .is_ok_and(|signature| verify(&key, &root, &signature));
    ensure!(holds, "the signature is not the validator's for this chain");
    Ok(())
}

impl Delete {
    async fn execute(&self, seat: &Seat) -> anyhow::Result<()> {
        let server = self.server.open(seat.lock())?;
        for validator in self.which.validators(seat.lock()) {
            seat.lock().validator(&validator)?;
            let authorization = authorization(seat, &validator)?;
            match server
                .delete_exit(seat.share_number(), &validator, &authorization)
                .await?
            {
                true => say(&format!("deleted: the exit of {validator} signed here")),
                false if self.which.all => warn(&format!(
                    "the server has no exit of {validator} signed here"
                )),
                false => bail!("the server has no exit of {validator} signed here"),
            }
        }
        Ok(())
    }
}
