//! Services outside the cluster that commands talk to: a definition's URL, an execution client, key managers, a publisher of locks.
//!
//! Nothing here is needed to run a cluster: each is one request that a person asked for by naming its address. Every answer is
//! bounded in time and size, and whoever answers wrongly is named. What is sent and what an answer means is `cluster`'s business.

mod collector;
mod definition;
mod execution;
mod http;
mod keymanager;
mod publish;
#[cfg(test)]
mod testing;

pub use collector::Collector;
pub use definition::{fetch_definition, is_url};
pub use execution::ExecutionClient;
pub use http::RemoteError;
pub use keymanager::{KeyManager, KeyManagerError};
pub use publish::{publish_definition, publish_lock};
