//! The local testnet: a beacon-chain simulator and one process per operator.
//!
//! It exists so that one command shows a whole cluster at work, and so that what a cluster does is judged by something
//! that shares none of its decisions: [`chain`] is a beacon chain that checks every signature under the group key,
//! [`api`] serves it to each operator as a Beacon API, [`proxy`] puts latency between the nodes, and [`run`] starts the
//! operators' processes, disturbs them as [`Options`] say, listens to their outcomes and draws up a [`Report`].
//! [`validator`] is a small validator client for clusters whose nodes do not sign by themselves.
//! [`mod@bench`] runs one testnet after another to measure signing latency.
//!
//! Nodes are foreign processes here. This crate knows their command line, their metrics and their stream of outcomes,
//! and nothing of how they work inside.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use flotilla_testnet::{Options, run};
//!
//! let options = Options { slots: Some(24), kills: vec!["2@6".parse()?], ..Options::default() };
//! let report = run(&options, std::env::current_exe()?).await?;
//! eprint!("{report}");
//! std::process::exit(report.exit_code().into());
//! # }
//! ```

pub mod api;
pub mod bench;
pub mod chain;
pub mod collector;
mod http;
pub mod options;
pub mod proxy;
pub mod report;
mod runner;
pub mod validator;

pub use options::Options;
pub use report::Report;
pub use runner::{
    FolderError, ForeignError, NODE_COMMAND, PROXY_COMMAND, StartError, node_main, run,
};
