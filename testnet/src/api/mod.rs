//! The Beacon API of the simulated chain: one port for each operator, all over the same chain.
//!
//! Served is what a distributed-validator node asks for, with the statuses and bodies of the Beacon API specification,
//! so that any client of it can be pointed here. What to answer is decided by [`Simulator`]; this module knows paths,
//! JSON and SSZ.

mod attestations;
mod blocks;
mod config;
mod duties;
mod error;
mod events;
mod exits;
mod faults;
mod media;
mod node;
mod participation;
mod preparations;
mod proposals;
mod routes;
pub mod standalone;
mod states;
mod statistics;
mod submission;
mod sync;
mod validators;
mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use faults::Faults;

use crate::chain::Simulator;

/// The largest request body accepted: some twenty thousand attestations.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// What every request handler sees: the chain, and whose beacon node this is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    simulator: Arc<Simulator>,
    operator: usize,
    faults: Faults,
}

/// One operator's beacon node, served until dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    faults: Faults,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves `simulator` to one operator on a free port of the loopback interface.
    ///
    /// # Errors
    /// The operating system gave no port.
    pub async fn start(simulator: Arc<Simulator>, operator: usize) -> io::Result<Self> {
        Self::bind(simulator, operator, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves `simulator` to one operator at an address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(
        simulator: Arc<Simulator>,
        operator: usize,
        address: SocketAddr,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let faults = Faults::default();
        let routes = routes::router(Endpoint {
            simulator,
            operator,
            faults: faults.clone(),
        });
        // Two events in a row must not wait for each other's acknowledgement. If it cannot be set they are just slower.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let task = tokio::spawn(async move {
            // `serve` itself retries failed accepts and never returns.
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(operator, %error, "the beacon endpoint has stopped");
            }
        });
        Ok(Server {
            address,
            faults,
            task,
        })
    }

    /// The base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The knobs that make this beacon node slow or wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod duty_tests;
#[cfg(test)]
mod tests;
