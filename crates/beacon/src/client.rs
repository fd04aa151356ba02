//! Asks beacon nodes, several endpoints in order.
//!
//! A [`BeaconNode`] is one logical node behind one or more endpoints. Questions go to the best-placed endpoint and, when
//! that fails or is late, to the next; where a later answer may be a better one (blocks, aggregates), all are asked.
//! Submissions go to all at once, because what has reached two nodes is seen by more of the network. Everything foreign
//! is bounded: time, body sizes, event sizes.
//!
//! [`BeaconNode`]'s methods are in one file per subject: `status`, `validators`, `chain`, `duties`, `attesting` and
//! `production` ask, `pools` and `publication` submit. Beneath, `query` and `race` choose among endpoints, `submission`
//! counts who accepted what, and `exchange` makes one bounded request.
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
mod attesting;
mod block_answer;
mod chain;
mod config;
mod duties;
mod endpoint;
mod error;
mod events;
mod exchange;
mod forward;
mod known;
mod node;
mod observer;
mod pools;
mod production;
mod publication;
mod query;
mod race;
mod rewards;
mod sse;
mod status;
mod submission;
mod tls;
mod validators;

pub use answers::{Genesis, Syncing, Validator, ValidatorStatus};
pub use attesting::{AggregateQuery, ContributionQuery};
pub use chain::{BlockId, BlockRoot, ChainHeader, FinalityCheckpoints};
pub use config::{EndpointConfig, Timeouts};
pub use duties::{AttesterDuties, ProposerDuties};
pub use endpoint::EndpointStatus;
pub use error::{ConfigError, Failure, QueryError, Reason};
pub use events::{Event, Events, Told, Topic};
pub use forward::{ForwardError, Forwarded, Forwarder, RawRequest};
pub use node::BeaconNode;
pub use observer::{Observer, Request};
pub use pools::{
    AttestationBatch, CommitteeSubscription, ProposerPreparation, SyncCommitteeSubscription,
};
pub use production::{ProducedBlock, ProductionBudget, ProductionQuery};
/// The address of an endpoint. User and password in it are sent as basic authentication and never shown.
pub use reqwest::Url;
pub use rewards::{AttestationRewards, IdealReward, ValidatorReward, VoteRewards};
pub use submission::{Rejection, SubmitError};
