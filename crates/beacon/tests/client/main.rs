//! The client against small servers on loopback that answer as told, well or badly.

#![allow(clippy::unwrap_used)]

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
mod server;
mod standing;
mod submissions;

use std::time::Duration;

use flotilla_beacon::client::{BeaconNode, Timeouts};

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

fn node(servers: &[&server::Server]) -> BeaconNode {
    BeaconNode::new(
        servers.iter().map(|server| server.url()).collect(),
        timeouts(),
    )
    .unwrap()
}
