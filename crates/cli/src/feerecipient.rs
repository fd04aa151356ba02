//! `flotilla feerecipient …`: builder registrations made after the lock, signed by a threshold of operators one after another.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use flotilla_cluster::collect::registration::{
    Answer, PartialRegistrations, RegistrationGroup, Wish, answer,
};
use flotilla_cluster::registration::overrides::{effective, parse_overrides, to_json};
use flotilla_cluster::registration::{Registration, RegistrationMessage};
use flotilla_cluster::{Address, Lock};
use flotilla_node::clock::wall_clock;
use flotilla_node::folder::{self, Overwrite, write_atomic};
use flotilla_node::preparations::OVERRIDES_FILE_NAME;
use flotilla_node::remote::Collector;
use flotilla_types::{PublicKeyBytes, SignedValidatorRegistration};

use crate::seat::{CollectorFlags, LockFlags, SeatFlags, ShareFlags};
use crate::testnet::runtime;
use crate::{say, warn};

const FILE_MODE: u32 = 0o644;

/// The commands.
#[derive(Subcommand)]
pub enum FeeRecipient {
    Sign(Box<Sign>),
    Fetch(Box<Fetch>),
    List(Box<List>),
}

/// Sign a new fee recipient with this operator's share and give it to the server.
///
/// A threshold of operators must do so with the same address. The date and the gas limit of whoever signs first count for all.
#[derive(Args)]
pub struct Sign {
    /// The validators' public keys, as in the lock.
    #[arg(long, value_delimiter = ',', required = true)]
    validator_public_keys: Vec<PublicKeyBytes>,
    /// Who receives the fees.
    #[arg(long)]
    fee_recipient: String,
    /// Gas limit; 0: that of the newest registration.
    #[arg(long, default_value_t = 0)]
    gas_limit: u64,
    /// Date of the registration in Unix seconds; 0: now.
    #[arg(long, default_value_t = 0)]
    timestamp: u64,
    /// Registrations made before, instead of builder_registrations_overrides.json in the data folder.
    #[arg(long)]
    overrides_file: Option<PathBuf>,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    shares: ShareFlags,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Fetch registrations that enough operators have signed, into the overrides file.
#[derive(Args)]
pub struct Fetch {
    #[command(flatten)]
    common: Common,
}

/// List the registration that counts for each validator, and where it is from.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    common: Common,
}

/// What fetch and list need.
#[derive(Args)]
struct Common {
    /// The validators' public keys; all if none is given.
    #[arg(long, value_delimiter = ',')]
    validator_public_keys: Vec<PublicKeyBytes>,
    /// The overrides file, instead of builder_registrations_overrides.json in the data folder.
    #[arg(long)]
    overrides_file: Option<PathBuf>,
    #[command(flatten)]
    lock: LockFlags,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Runs one.
pub fn execute(command: &FeeRecipient) -> anyhow::Result<()> {
    match command {
        FeeRecipient::Sign(sign) => sign.execute(),
        FeeRecipient::Fetch(fetch) => fetch.execute(),
        FeeRecipient::List(list) => list.execute(),
    }
}

fn overrides_path(given: Option<&PathBuf>, lock: &LockFlags) -> PathBuf {
    given
        .cloned()
        .unwrap_or_else(|| lock.folder().join(OVERRIDES_FILE_NAME))
}

/// The overrides of a file, none if it is not there.
fn overrides(path: &Path, lock: &Lock) -> anyhow::Result<Vec<Registration>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = folder::read(path, "it was there a moment ago")?;
    parse_overrides(&bytes, lock.fork_version()).with_context(|| path.display().to_string())
}

/// What the server has, by validator.
fn remote(
    server: &Collector,
    validators: Vec<PublicKeyBytes>,
) -> anyhow::Result<BTreeMap<PublicKeyBytes, Vec<RegistrationGroup>>> {
    let collected = runtime()?.block_on(server.registrations(validators))?;
    let pair = |entry: flotilla_cluster::collect::registration::ValidatorRegistrations| {
        (entry.pubkey, entry.builder_registrations)
    };
    Ok(collected.validators.into_iter().map(pair).collect())
}

impl Sign {
    fn execute(&self) -> anyhow::Result<()> {
        let fee_recipient = fee_recipient(&self.fee_recipient).context("--fee-recipient")?;
        let mut seat = self.seat.open()?;
        let path = overrides_path(self.overrides_file.as_ref(), &self.seat.lock);
        let known = newest(seat.lock(), &overrides(&path, seat.lock())?);
        let server = self.server.open(seat.lock())?;
        let remote = remote(&server, self.validator_public_keys.clone())?;
        let shares = seat.shares(&self.shares)?;
        let some = |number: u64| Some(number).filter(|number| *number != 0);
        let wish = Wish {
            fee_recipient,
            gas_limit: some(self.gas_limit),
            timestamp: some(self.timestamp),
        };
        let mut signed = Vec::new();
        for validator in &self.validator_public_keys {
            let share = seat.share_of(&shares, validator)?;
            let groups = remote.get(validator).map_or(&[][..], Vec::as_slice);
            match answer(
                *validator,
                &wish,
                known.get(validator),
                groups,
                wall_clock().as_secs(),
            )? {
                Answer::AlreadyAgreed => say(&format!(
                    "{validator}: the cluster has agreed to {fee_recipient} already"
                )),
                Answer::Sign { message, adopted } => {
                    if adopted && (self.gas_limit != 0 || self.timestamp != 0) {
                        warn(&format!(
                            "{validator}: gas limit and timestamp are those that another operator has signed"
                        ));
                    }
                    say(&format!(
                        "signed: {validator}  fees to {fee_recipient}, gas limit {}, timestamp {}",
                        message.gas_limit, message.timestamp
                    ));
                    signed.push(SignedValidatorRegistration::from(
                        &message.sign(share, seat.lock().fork_version()),
                    ));
                }
            }
        }
        if signed.is_empty() {
            return Ok(());
        }
        let body = PartialRegistrations {
            partial_registrations: signed,
        };
        runtime()?.block_on(server.post_registrations(seat.share_number(), &body))?;
        say(&format!(
            "{} operators must sign the same address; then: flotilla feerecipient fetch",
            seat.lock().threshold()
        ));
        Ok(())
    }
}

/// Never the zero address; with letters of both cases the checksum counts.
fn fee_recipient(text: &str) -> anyhow::Result<Address> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mixed = digits.bytes().any(|byte| byte.is_ascii_lowercase())
        && digits.bytes().any(|byte| byte.is_ascii_uppercase());
    let address = match mixed {
        true => Address::from_checksummed(text)?,
        false => Address::parse(text)?,
    };
    if address.is_zero() {
        bail!("the zero address: fees would be lost");
    }
    Ok(address)
}

/// The newest registration of each validator, of the lock or the overrides.
fn newest(lock: &Lock, overrides: &[Registration]) -> BTreeMap<PublicKeyBytes, Registration> {
    let registrations = effective(lock, overrides).into_iter().flatten();
    registrations
        .map(|registration| (registration.message.public_key, registration))
        .collect()
}

impl Common {
    fn wanted(&self, lock: &Lock) -> anyhow::Result<Vec<PublicKeyBytes>> {
        for validator in &self.validator_public_keys {
            lock.validator(validator)?;
        }
        Ok(match self.validator_public_keys.is_empty() {
            true => lock
                .validators()
                .iter()
                .map(|validator| validator.public_key)
                .collect(),
            false => self.validator_public_keys.clone(),
        })
    }

    /// Registrations that the server has enough signatures of, combined and verified.
    fn agreed(&self, lock: &Lock, wanted: &[PublicKeyBytes]) -> anyhow::Result<Vec<Registration>> {
        let server = self.server.open(lock)?;
        let mut agreed = Vec::new();
        for (validator, groups) in remote(&server, self.validator_public_keys.clone())? {
            for group in groups
                .iter()
                .filter(|group| group.quorum && wanted.contains(&validator))
            {
                let message = RegistrationMessage::from(group.message);
                if message.public_key != validator {
                    warn(&format!(
                        "{validator}: what the server has is no registration of it"
                    ));
                    continue;
                }
                let root = message.signing_root(lock.fork_version());
                match lock.threshold_signature(&validator, &root, &group.signatures()) {
                    Ok(signature) => agreed.push(Registration { message, signature }),
                    Err(error) => warn(&error.to_string()),
                }
            }
        }
        Ok(agreed)
    }
}

impl Fetch {
    fn execute(&self) -> anyhow::Result<()> {
        let common = &self.common;
        let lock = common.lock.open()?;
        let wanted = common.wanted(&lock)?;
        let path = overrides_path(common.overrides_file.as_ref(), &common.lock);
        let mut newest: BTreeMap<PublicKeyBytes, Registration> = BTreeMap::new();
        let known = overrides(&path, &lock)?;
        let agreed = common.agreed(&lock, &wanted)?;
        // What is in the file wins ties.
        for registration in known.iter().chain(&agreed) {
            let key = registration.message.public_key;
            let newer = newest
                .get(&key)
                .is_none_or(|known| known.message.timestamp < registration.message.timestamp);
            if newer {
                newest.insert(key, registration.clone());
            }
        }
        let fetched = newest
            .values()
            .filter(|registration| !known.contains(registration))
            .count();
        let registrations: Vec<Registration> = newest.into_values().collect();
        write_atomic(
            &path,
            to_json(&registrations).as_bytes(),
            FILE_MODE,
            Overwrite::Replace,
        )?;
        say(&format!(
            "fetched: {fetched}; {} registrations are in {}",
            registrations.len(),
            path.display()
        ));
        Ok(())
    }
}

impl List {
    fn execute(&self) -> anyhow::Result<()> {
        let common = &self.common;
        let lock = common.lock.open()?;
        let wanted = common.wanted(&lock)?;
        let path = overrides_path(common.overrides_file.as_ref(), &common.lock);
        let file = overrides(&path, &lock)?;
        let agreed = common.agreed(&lock, &wanted).unwrap_or_else(|error| {
            warn(&format!("the server was not asked: {error:#}"));
            Vec::new()
        });
        for (index, validator) in lock.validators().iter().enumerate() {
            let key = validator.public_key;
            if !wanted.contains(&key) {
                continue;
            }
            let sources = [
                ("lock", lock.registration(index)),
                (
                    "overrides",
                    file.iter()
                        .filter(|one| one.message.public_key == key)
                        .max_by_key(|one| one.message.timestamp)
                        .cloned(),
                ),
                (
                    "remote",
                    agreed
                        .iter()
                        .filter(|one| one.message.public_key == key)
                        .max_by_key(|one| one.message.timestamp)
                        .cloned(),
                ),
            ];
            let newest = sources
                .iter()
                .filter_map(|(_, one)| one.as_ref())
                .max_by_key(|one| one.message.timestamp);
            let Some(newest) = newest else {
                say(&format!("{key}  no registration"));
                continue;
            };
            let of: Vec<&str> = sources
                .iter()
                .filter(|(_, one)| {
                    one.as_ref()
                        .is_some_and(|one| one.message == newest.message)
                })
                .map(|(name, _)| *name)
                .collect();
            say(&format!(
                "{key}  fees to {}, gas limit {}, timestamp {}  ({})",
                newest.message.fee_recipient,
                newest.message.gas_limit,
                newest.message.timestamp,
                of.join("+")
            ));
        }
        Ok(())
    }
}
