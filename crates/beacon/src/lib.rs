//! The Beacon API, both directions: asking beacon nodes, and answering validator clients.
//!
//! This room turns HTTP into the vocabulary of [`flotilla_types`] and back. It must not know agreement, shares of other
//! members, or what a duty's life looks like: retries within a duty, caching and alarms are the node's.

pub mod client;
pub mod server;
