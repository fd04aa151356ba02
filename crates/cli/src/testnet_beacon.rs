//! `flotilla testnet beacon`: the beacon-chain simulator alone.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use flotilla_testnet::api::standalone::Standalone;
use flotilla_testnet::chain::Seed;
use flotilla_testnet::options::{Preset, parse_duration};
use flotilla_types::ForkVersion;

use crate::say;

/// Run the beacon-chain simulator alone, until Ctrl-C.
///
/// It serves the Beacon API of a Fulu chain on which the validators named have every duty, checks whatever is brought, and
/// counts it by kind: GET /flotilla/stats.
#[derive(clap::Args)]
pub struct Arguments {
    /// File with the validators' group public keys in hex, one a line.
    #[arg(long, value_name = "FILE")]
    pubkeys: PathBuf,
    /// Port on the loopback interface; 0 takes a free one.
    #[arg(long, default_value_t = 5052)]
    port: u16,
    /// Genesis fork version: that of the cluster's lock.
    #[arg(long, default_value = "0x10f10711")]
    fork_version: ForkVersion,
    /// Length of a slot, whole seconds.
    #[arg(long, default_value = "12s", value_parser = parse_duration)]
    slot_time: Duration,
    /// Slots in an epoch.
    #[arg(long, default_value_t = 32)]
    slots_per_epoch: u64,
    /// From now to genesis.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    lead: Duration,
    /// List sizes that the chain serves.
    #[arg(long, default_value = "mainnet", value_parser = ["mainnet", "minimal"])]
    preset: String,
    /// Offer blinded blocks to validators that are registered with the builder.
    #[arg(long)]
    builder: bool,
    /// Seed of the chain.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Serves until Ctrl-C.
pub fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let standalone = Standalone {
        public_keys: arguments.pubkeys,
        address: SocketAddr::from(([127, 0, 0, 1], arguments.port)),
        slot_time: arguments.slot_time,
        slots_per_epoch: arguments.slots_per_epoch,
        preset: match arguments.preset.as_str() {
            "minimal" => Preset::Minimal,
            _ => Preset::Mainnet,
        },
        fork_version: arguments.fork_version,
        lead: arguments.lead,
        builder: arguments.builder,
        seed: Seed(arguments.seed),
    };
    if standalone.slot_time < Duration::from_secs(1)
        || standalone.slot_time.subsec_nanos() != 0
        || standalone.slots_per_epoch == 0
    {
        let text = "--slot-time takes whole seconds, at least 1s, and --slots-per-epoch at least 1";
        crate::complain(&anyhow::anyhow!(text));
        return Ok(ExitCode::from(2));
    }
    crate::testnet::runtime()?.block_on(async {
        let (simulator, server) = match standalone.start().await {
            Ok(started) => started,
            Err(error) => {
                crate::complain(&error.into());
                return Ok(ExitCode::from(2));
            }
        };
        say(&format!(
            "beacon node at {}; genesis at Unix second {}; statistics at {}/flotilla/stats",
            server.url(),
            simulator.chain().genesis_time.as_secs(),
            server.url(),
        ));
        tokio::signal::ctrl_c()
            .await
            .context("waiting for Ctrl-C")?;
        Ok(ExitCode::SUCCESS)
    })
}
