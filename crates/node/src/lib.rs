//! A running node: the shell that carries the inputs and outputs of the pure rooms to files, threads, sockets and clocks.
//!
//! It decides nothing about duties (that is `duty`), knows no command-line flags (that is `cli`) and draws no terminal.
//!
//! | module | what it owns |
//! |---|---|
//! | [`config`] | what a node is told once |
//! | [`run`](crate::run()) | start order, and stop order |
//! | `shell` | one cluster's engine: its outputs carried out, its inputs carried in |
//! | [`preparations`] | what the beacon node is told ahead of proposals: fee recipients, builder registrations |
//! | `duties`, `chores` | what the shell asks the beacon node for; what happens every slot or minute |
//! | [`slashing`] | the durable slashing database, written and synced before a signature leaves |
//! | [`votes`] | the log of own votes that survives a crash |
//! | [`workers`], [`signer`] | threads for signing, checking and combining |
//! | [`folder`], [`lock`] | the data folder and its process lock |
//! | [`remote`] | single requests to services outside: a definition's URL, execution clients, key managers |
//! | [`clock`] | wall time that moves like monotonic time |
//! | [`health`] | named checks of counters and facts, with advice |
//! | [`inclusion`] | what became of our work on the chain |
//! | [`telemetry`], [`monitoring`] | logs and metrics drawn from outcomes, and the HTTP server that shows them |

mod chores;
mod clients;
pub mod clock;
pub mod config;
mod duties;
pub mod exits;
pub mod folder;
pub mod graffiti;
pub mod health;
pub mod inclusion;
pub mod lock;
pub mod monitoring;
pub mod preparations;
pub mod remote;
mod run;
mod shell;
pub mod signer;
pub mod signers;
pub mod slashing;
pub mod telemetry;
mod validator_api;
pub mod votes;
pub mod workers;

pub use run::{StartError, run};
