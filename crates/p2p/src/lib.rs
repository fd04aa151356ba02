//! Bytes between the known peers of one cluster.
//!
//! Every operator of a cluster knows the public keys of all others before the first packet. This
//! crate keeps a connection to each of them (libp2p over TCP, Noise and Yamux), admits nobody
//! else, and moves length-framed messages: one stream per message, or one stream per request and
//! its response. Peers are named by their index in the cluster; what the bytes mean is for others
//! to know. It must not know duties, consensus, protobuf content or the beacon chain.
//!
//! ```no_run
//! # async fn example(config: flotilla_p2p::Config) -> Result<(), Box<dyn std::error::Error>> {
//! use flotilla_p2p::{Event, Network, Protocol};
//!
//! let (handle, mut events) = Network::start(config)?;
//! handle.send(2, Protocol::Qbft, "a message".into());
//! while let Some(event) = events.recv().await {
//!     if let Event::Message { from, protocol, bytes } = event {
//!         println!("{} bytes of {} from peer {from}", bytes.len(), protocol.id());
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The way of a message: [`Handle::send`] puts it into the peer's bounded outbox and wakes the
//! task of the preferred connection, which opens a stream and writes header, protocol and frame in
//! one flight. On the other side the task of that connection reads the frame and hands it to the
//! bounded channel behind [`Events`]; while that channel is full, streams wait unread and the
//! sender feels it. Neither direction passes through the swarm's own task, so slow peers, dialling
//! and a slow consumer do not hold up one another.

mod backoff;
mod behaviour;
mod config;
mod connection;
mod dialler;
mod error;
mod event;
mod frame;
mod handle;
mod identity;
mod muxer;
mod network;
mod outbox;
mod peer;
mod protocol;
mod slashless;
mod stats;
mod transport;

pub use config::{Config, Limits};
pub use error::{Error, RequestError};
pub use event::{Event, Events, Fault};
pub use handle::Handle;
pub use identity::PeerKey;
pub use libp2p::{Multiaddr, PeerId};
pub use network::Network;
pub use protocol::{Protocol, Style};
pub use stats::{ConnectionStats, PeerStats, Traffic};
pub use transport::Path;
