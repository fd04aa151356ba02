//! `flotilla deposit …`: further deposits, signed by a threshold of operators one after another.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use flotilla_cluster::collect::deposit::{PartialDeposit, PartialDeposits};
use flotilla_cluster::create::File;
use flotilla_cluster::deposit::file::{file_name, to_json};
use flotilla_cluster::deposit::{Deposit as Signed, DepositMessage, check_amount};
use flotilla_cluster::{Address, Lock, Network, definition_timestamp};
use flotilla_node::clock::wall_clock;
use flotilla_node::folder::Staging;
use flotilla_types::PublicKeyBytes;
use zeroize::Zeroizing;

use crate::seat::{CollectorFlags, LockFlags, SeatFlags, ShareFlags};
use crate::testnet::runtime;
use crate::{say, warn};

const GWEI_PER_ETH: u64 = 1_000_000_000;
const DEPOSIT_MODE: u32 = 0o444;

/// The commands.
#[derive(Subcommand)]
pub enum Deposit {
    Sign(Box<Sign>),
    Fetch(Box<Fetch>),
}

/// Sign deposits with this operator's share and give them to the server.
///
/// A threshold of operators must sign the same amounts and the same withdrawal credentials.
#[derive(Args)]
pub struct Sign {
    /// The validators' public keys, as in the lock.
    #[arg(long, value_delimiter = ',', required = true)]
    validator_public_keys: Vec<PublicKeyBytes>,
    /// Where withdrawals go, one for all validators or one each: 32 bytes of withdrawal credentials, or an address with its
    /// checksum.
    #[arg(long, value_delimiter = ',', required = true)]
    withdrawal_addresses: Vec<String>,
    /// Amounts, whole ETH; one deposit of each for every validator.
    #[arg(long, value_delimiter = ',', default_value = "32")]
    deposit_amounts: Vec<u64>,
    #[command(flatten)]
    seat: SeatFlags,
    #[command(flatten)]
    shares: ShareFlags,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Fetch deposits that enough operators have signed, and write a file per amount for the launchpad.
///
/// Deposits are final: look at the withdrawal credentials shown before money is sent.
#[derive(Args)]
pub struct Fetch {
    /// The validators' public keys, as in the lock.
    #[arg(long, value_delimiter = ',', required = true)]
    validator_public_keys: Vec<PublicKeyBytes>,
    /// New folder for the files; deposit-data-<time> in the data folder if not given.
    #[arg(long)]
    deposit_data_dir: Option<PathBuf>,
    #[command(flatten)]
    lock: LockFlags,
    #[command(flatten)]
    server: CollectorFlags,
}

/// Runs one.
pub fn execute(command: &Deposit) -> anyhow::Result<()> {
    match command {
        Deposit::Sign(sign) => sign.execute(),
        Deposit::Fetch(fetch) => fetch.execute(),
    }
}

fn network(lock: &Lock, flags: &LockFlags) -> anyhow::Result<Network> {
    Ok(flags
        .custom
        .networks()?
        .by_fork_version(lock.fork_version())?
        .clone())
}

impl Sign {
    fn execute(&self) -> anyhow::Result<()> {
        let mut seat = self.seat.open()?;
        let compounding = seat.lock().definition.compounding;
        let network = network(seat.lock(), &self.seat.lock)?;
        let mut amounts = Vec::new();
        for eth in &self.deposit_amounts {
            let gwei = eth.saturating_mul(GWEI_PER_ETH);
            check_amount(gwei, compounding).context("--deposit-amounts")?;
            amounts.push(gwei);
        }
        let shares = seat.shares(&self.shares)?;
        let mut deposits = PartialDeposits {
            partial_deposit_data: Vec::new(),
        };
        for (position, validator) in self.validator_public_keys.iter().enumerate() {
            let share = seat.share_of(&shares, validator)?;
            let credentials = self.credentials(position, compounding, &network)?;
            for amount in &amounts {
                let message = DepositMessage {
                    public_key: *validator,
                    withdrawal_credentials: credentials,
                    amount: *amount,
                };
                let signed = message.sign(share, seat.lock().fork_version());
                deposits
                    .partial_deposit_data
                    .push(PartialDeposit::from(&signed));
            }
            say(&format!(
                "signed: {validator}  withdrawal credentials 0x{}",
                hex::encode(credentials)
            ));
        }
        let server = self.server.open(seat.lock())?;
        runtime()?.block_on(server.post_deposits(seat.share_number(), &deposits))?;
        say(&format!(
            "{} operators must sign the same; then: flotilla deposit fetch",
            seat.lock().threshold()
        ));
        Ok(())
    }

    /// The credentials of the validator at this position of the list.
    fn credentials(
        &self,
        position: usize,
        compounding: bool,
        network: &Network,
    ) -> anyhow::Result<[u8; 32]> {
        let text = match &self.withdrawal_addresses[..] {
            [one] => one,
            list if list.len() == self.validator_public_keys.len() => &list[position],
            list => bail!(
                "--withdrawal-addresses has {} entries; give one, or {}",
                list.len(),
                self.validator_public_keys.len()
            ),
        };
        let credentials = match hex::decode(text.strip_prefix("0x").unwrap_or(text)) {
            Ok(bytes) if bytes.len() == 32 => {
                let mut credentials = [0; 32];
                credentials.copy_from_slice(&bytes);
                credentials
            }
            _ => {
                let address = Address::from_checksummed(text).context("--withdrawal-addresses")?;
                flotilla_cluster::deposit::withdrawal_credentials(address, compounding)
            }
        };
        let expected = if compounding { 2 } else { 1 };
        ensure!(
            credentials[0] == expected && credentials[1..12] == [0; 11],
            "--withdrawal-addresses {text}: this cluster's credentials begin with 0x0{expected} and 11 zero bytes"
        );
        ensure!(
            !(network.has_real_money() && credentials[12..] == [0; 20]),
            "--withdrawal-addresses {text}: the zero address on {}: what is deposited would be lost",
            network.name
        );
        Ok(credentials)
    }
}

impl Fetch {
    fn execute(&self) -> anyhow::Result<()> {
        let lock = self.lock.open()?;
        let network = network(&lock, &self.lock)?;
        let server = self.server.open(&lock)?;
        let runtime = runtime()?;
        let mut deposits: Vec<Signed> = Vec::new();
        for validator in &self.validator_public_keys {
            lock.validator(validator)?;
            let collected = runtime
                .block_on(server.deposits(validator))?
                .with_context(|| {
                    format!("nobody has signed a deposit of {validator}: flotilla deposit sign")
                })?;
            for amount in &collected.amounts {
                let message = collected
                    .message(amount)
                    .filter(|message| message.public_key == *validator)
                    .with_context(|| {
                        format!("the server's answer about {validator} makes no deposit")
                    })?;
                let root = message.signing_root(lock.fork_version());
                let signature = lock
                    .threshold_signature(validator, &root, &amount.signatures())
                    .with_context(|| format!("{} Gwei", message.amount))?;
                deposits.push(Signed { message, signature });
            }
            say(&format!(
                "{validator}  withdrawal credentials 0x{}",
                hex::encode(&collected.withdrawal_credentials)
            ));
            self.compare(&lock, &collected.withdrawal_credentials, validator);
        }
        let folder = self.write(&deposits, &network)?;
        say(&format!(
            "{} deposits are in {}",
            deposits.len(),
            folder.display()
        ));
        Ok(())
    }

    /// Credentials other than the definition's may be wanted, and must not go unnoticed.
    fn compare(&self, lock: &Lock, credentials: &[u8], validator: &PublicKeyBytes) {
        let index = lock
            .validators()
            .iter()
            .position(|known| known.public_key == *validator);
        let address = index
            .and_then(|index| lock.definition.validator_addresses(index))
            .and_then(|pair| Address::parse(&pair.withdrawal).ok());
        let usual = address.map(|address| {
            flotilla_cluster::deposit::withdrawal_credentials(address, lock.definition.compounding)
        });
        if usual.is_none_or(|usual| usual != credentials) {
            warn(&format!(
                "{validator}: these are not the withdrawal credentials of the cluster's definition; make sure that all operators meant them"
            ));
        }
    }

    /// One file per amount, in a new folder.
    fn write(&self, deposits: &[Signed], network: &Network) -> anyhow::Result<PathBuf> {
        let folder = self.deposit_data_dir.clone().unwrap_or_else(|| {
            let time = definition_timestamp(wall_clock()).replace(':', "-");
            self.lock.folder().join(format!("deposit-data-{time}"))
        });
        let (parent, name) = match (folder.parent(), folder.file_name()) {
            (Some(parent), Some(name)) => (parent, name.to_string_lossy().into_owned()),
            _ => bail!(
                "--deposit-data-dir {} is no folder to make",
                folder.display()
            ),
        };
        let mut amounts: Vec<u64> = deposits
            .iter()
            .map(|deposit| deposit.message.amount)
            .collect();
        amounts.sort_unstable();
        amounts.dedup();
        let staging = Staging::new(parent)?;
        for amount in amounts {
            let of_amount: Vec<Signed> = deposits
                .iter()
                .filter(|deposit| deposit.message.amount == amount)
                .cloned()
                .collect();
            staging.write(
                &name,
                &File {
                    path: file_name(amount),
                    mode: DEPOSIT_MODE,
                    bytes: Zeroizing::new(to_json(&of_amount, network)?.into_bytes()),
                },
            )?;
        }
        staging.install()?;
        Ok(folder)
    }
}
