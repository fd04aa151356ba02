//! Answers validator clients: the Beacon API's validator endpoints, as a distributed validator serves them.
//!
//! A client holds key shares and believes that they are validators. This server keeps it in that belief: it turns shares
//! into the cluster's validators and back, hands the client what the cluster has decided, takes its partial signatures,
//! and passes everything else on to the beacon nodes ([`Forwarder`](crate::client::Forwarder)). What is decided, signed
//! and combined is somebody else's business, behind [`ValidatorApi`]; of other members' shares it knows the names only
//! ([`KeyTable`]), to tell an operator whose share was put into the wrong client.
//!
//! Nothing is answered from ignorance: before the validators' indices are known, what needs them waits, and then fails
//! with 503. Everything foreign is bounded: headers, bodies, requests and connections at a time, and the time of each.
//! One [`Server`] serves one cluster.

mod accept;
mod activity;
mod answer;
mod api;
mod blocks;
mod client_names;
mod config;
mod decided;
mod dispatch;
mod duties;
mod endpoint;
mod idle;
mod keys;
mod listen;
mod lists;
mod observer;
mod parameters;
mod path_label;
mod problem;
mod proxy;
mod report;
mod request;
mod selections;
mod signing;
mod timed_stream;
mod tls;
mod validators;

pub use activity::Activity;
pub use api::{ApiError, Combining, Duties, ItemFailure, Partial, SignError, ValidatorApi};
pub use config::{Config, Limits, Tls};
pub use keys::{KeyError, KeyTable, Roster, ValidatorKeys};
pub use listen::Server;
pub use observer::{Observer, Served};
pub use tls::ServeError;
pub use validators::{ValidatorFields, ValidatorState};
