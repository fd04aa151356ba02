//! Asks beacon nodes, several endpoints in order.
//!
//! A [`BeaconNode`] is one logical node behind one or more endpoints. Questions go to the first healthy endpoint and,
//! when that fails, to the next; submissions go to all at once, because an attestation that reached two nodes is seen by
//! more of the network. Everything foreign is bounded: time, body sizes, event sizes.
//!
//! ```no_run
//! use std::time::Duration;
//! use flotilla_beacon::client::{BeaconNode, Timeouts};
//! use flotilla_types::{CommitteeIndex, Slot};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = vec!["http://127.0.0.1:5052".parse()?];
//! let node = BeaconNode::new(endpoints, Timeouts::default())?;
//! let spec = node.spec().await?;
//! println!("slots of {:?}", spec.slot_duration);
//! let data = node.attestation_data(Slot(1), CommitteeIndex(0)).await?;
//! # Ok(())
//! # }
//! ```

mod answers;
mod endpoint;
mod error;
mod events;
mod forward;
mod node;
mod observer;
mod sse;
mod submission;
mod tls;

pub use answers::{AttesterDuties, Genesis, Syncing, Validator, ValidatorStatus};
pub use endpoint::EndpointStatus;
pub use error::{ConfigError, Failure, QueryError, Reason};
pub use events::{Event, Events, Told, Topic};
pub use forward::{ForwardError, Forwarded, Forwarder, RawRequest};
pub use node::{BeaconNode, Timeouts};
pub use observer::{Observer, Request};
/// The address of an endpoint. User and password in it are sent as basic authentication and never shown.
pub use reqwest::Url;
pub use submission::{AttestationBatch, ProposerPreparation, Rejection, SubmitError};
