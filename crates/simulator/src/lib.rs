//! Whole clusters on virtual time, from one seed: thousands of cluster-hours to find what no unit test would.
//!
//! A [`World`](world::World) is a heap of events and one generator of random numbers. Its nodes run the very
//! [`Engine`](flotilla_duty::Engine)s that `node` runs and exchange *encoded* messages, so that `wire` is exercised too; everything
//! around them (links, beacon nodes, slashing databases, vote logs, signers) is modelled together with its faults. Checkers
//! look at every event. The same seed gives the same run, byte for byte.
//!
//! It must not know of tokio, libp2p, HTTP, or the clock on the wall.

pub mod beacon;
pub mod block;
pub mod blocks;
pub mod checkers;
pub mod client;
pub mod dice;
pub mod disk;
pub mod liar;
pub mod links;
pub mod machine;
pub mod scenario;
pub mod scheme;
pub mod world;

pub use scenario::{Fault, Scenario};
pub use world::{Report, World};
