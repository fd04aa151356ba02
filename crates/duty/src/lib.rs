//! The life of every duty: due, fetch, agree, record, sign, exchange, aggregate, submit, [`Outcome`].
//!
//! One [`Engine`] owns a cluster's duties from the tick on which they are due to their outcome. It is a state machine without
//! clock, tasks, sockets or randomness: [`Engine::step`] takes one [`Input`] and appends [`Output`]s, [`Engine::deadline`]
//! says when it wants to be woken. `node` drives it for real, `simulator` on virtual time.
//!
//! It must not know of HTTP, protobuf, libp2p, files or tasks.
//!
//! - [`io`] is everything that crosses its border,
//! - [`schedule`] knows which duties there are,
//! - [`slashing`] holds the rules of what may be signed (S2, S4),
//! - [`outcome`] is the vocabulary of how duties end.

mod agreement;
mod engine;
pub mod guard;
pub mod io;
mod kinds;
mod knowledge;
mod life;
pub mod outcome;
pub mod schedule;
mod signatures;
pub mod slashing;

pub use engine::{Cluster, Config, Engine, Faults};
pub use io::{Input, Output};
pub use outcome::{Fate, Outcome, Reason, Step};
