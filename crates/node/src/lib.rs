//! A running node: the shell that carries the inputs and outputs of the pure rooms to files, threads, sockets and clocks.
//!
//! It decides nothing about duties (that is `duty`), knows no command-line flags (that is `cli`) and draws no terminal.
//!
//! | module | what it owns |
//! |---|---|
//! | [`slashing`] | the durable slashing database, written and synced before a signature leaves |
//! | [`votes`] | the log of own votes that survives a crash |
//! | [`workers`], [`signer`] | threads for signing, checking and combining |
//! | [`folder`], [`lock`] | the data folder and its process lock |
//! | [`clock`] | wall time that moves like monotonic time |
//! | [`telemetry`], [`monitoring`] | logs and metrics drawn from outcomes, and the HTTP server that shows them |

pub mod clock;
pub mod folder;
pub mod lock;
pub mod monitoring;
pub mod signer;
pub mod slashing;
pub mod telemetry;
pub mod votes;
pub mod workers;
