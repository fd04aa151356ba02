//! `flotilla testnet validator-client`: the small validator client that `flotilla testnet --signer vc` starts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use flotilla_testnet::validator::{KeySource, Options, run};
use flotilla_types::{Epoch, ExecutionAddress};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logging::Logging;
use crate::say;

/// A small validator client, for tests only: its protection against slashing does not outlive the process.
///
/// It does every duty over the public Beacon API until SIGTERM or for --slots slots, and then prints the counts of what was
/// done and what failed as one JSON document.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// URL of the beacon node or middleware.
    #[arg(long, value_name = "URL")]
    beacon_node: String,
    /// Folder of EIP-2335 keystores, the password of each in the .txt file of the same name.
    #[arg(long, value_name = "DIR", required_unless_present = "interop")]
    keystores: Option<PathBuf>,
    /// File with the password of keystores that have no file of their own.
    #[arg(long, value_name = "FILE", requires = "keystores")]
    password_file: Option<PathBuf>,
    /// Sign with the well-known keys of test networks instead, from number A up to and with B.
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "keystores")]
    interop: Option<(u64, u64)>,
    /// Whether the keys are shares, and the node combines selection proofs.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = clap::ArgAction::Set)]
    distributed: bool,
    /// SSZ instead of JSON where the API has both.
    #[arg(long)]
    ssz: bool,
    /// Register with builders and take their blocks.
    #[arg(long)]
    builder: bool,
    /// Submit voluntary exits of all validators at the start of this epoch.
    #[arg(long, value_name = "EPOCH")]
    exit: Option<u64>,
    /// Who receives the fees.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0x1111111111111111111111111111111111111111"
    )]
    fee_recipient: ExecutionAddress,
    /// Slots to work for; without it until SIGTERM.
    #[arg(long)]
    slots: Option<u64>,
    #[command(flatten)]
    logging: Logging,
}

/// Runs the client.
pub fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    arguments.logging.start()?;
    let keys = match (arguments.keystores, arguments.interop) {
        (Some(folder), _) => KeySource::Keystores {
            folder,
            password_file: arguments.password_file,
        },
        (None, Some((first, last))) => KeySource::Interop { first, last },
        (None, None) => anyhow::bail!("give --keystores or --interop"),
    };
    let options = Options {
        beacon_node: arguments.beacon_node,
        keys,
        distributed: arguments.distributed,
        ssz: arguments.ssz,
        builder: arguments.builder,
        exit_epoch: arguments.exit.map(Epoch),
        fee_recipient: arguments.fee_recipient,
        slots: arguments.slots,
    };
    let report = crate::testnet::runtime()?.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        anyhow::Ok(run(options, stop).await?)
    })?;
    say(&serde_json::to_string(&report)?);
    Ok(ExitCode::SUCCESS)
}

/// Cancels the token on SIGTERM and SIGINT.
fn stop_on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

/// Two numbers with two dots between them, the second not below the first.
fn range(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").ok_or("expected A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| error.to_string());
    match (number(first)?, number(last)?) {
        (first, last) if first <= last => Ok((first, last)),
        _ => Err("expected A..B with A not above B".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_two_numbers_in_order() {
        assert_eq!(range("0..63").unwrap(), (0, 63));
        for wrong in ["", "5", "5..", "6..5", "a..b"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
