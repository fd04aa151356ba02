//! The client against small servers on loopback that answer as told, well or badly.

mod attesting;
mod bad_input;
mod blocks;
mod chain;
mod duties;
mod events;
mod failover;
mod production;
mod publication;
mod queries;
mod standing;
mod submissions;

use std::{sync::Arc, time::Duration};

use flotilla_beacon::client::{BeaconNode, Timeouts};
use flotilla_types::{Chain, ChainSpec, ForkVersion, Root, Timestamp};

use crate::upstream::Server;

/// Long enough for a loaded machine, except for `events_reconnect`, which each reconnecting test waits for.
fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(20),
        query: Duration::from_secs(20),
        epoch_query: Duration::from_secs(20),
        submit: Duration::from_secs(20),
        publish: Duration::from_secs(20),
        events_idle: Duration::from_secs(20),
        events_reconnect: Duration::from_millis(1),
    }
}

/// A chain of 32 slots an epoch, told from others by its genesis validators root.
fn chain_of(byte: u8) -> Arc<Chain> {
    let slot = Duration::from_secs(12);
    Arc::new(Chain {
        spec: ChainSpec::mainnet_like(slot, 32, ForkVersion([0; 4])),
        genesis_time: Timestamp::from_secs(1),
        genesis_validators_root: Root([byte; 32]),
    })
}

fn node(servers: &[&Server]) -> BeaconNode {
    BeaconNode::new(
        servers.iter().map(|server| server.url()).collect(),
        timeouts(),
    )
    .unwrap()
}
