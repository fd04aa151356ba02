//! Blocks on their way to all endpoints.

use bytes::Bytes;
use flotilla_types::{ListSizes, SignedProposal};
use reqwest::Method;

use super::{
    exchange::{Accept, Body, Call},
    node::BeaconNode,
    status::SMALL,
    submission::{Submission, SubmitError},
};

impl BeaconNode {
    /// Publishes a block through all endpoints at once, fallbacks included: a full one by `POST /eth/v2/beacon/blocks`, a
    /// blinded one by `POST /eth/v2/beacon/blinded_blocks`, in SSZ, and in JSON to an endpoint that reads none. Returns at
    /// the first acceptance; the other requests go on in the background, each within its timeout. A block that a node knows
    /// already, and one that it has spread without importing it (202), is accepted. `sizes` are those the proposal was
    /// read with.
    ///
    /// # Errors
    /// [`SubmitError`] when no endpoint accepted it.
    pub async fn publish_block(
        &self,
        signed: &SignedProposal,
        sizes: &ListSizes,
    ) -> Result<(), SubmitError> {
        let (call, sizes, block) = (self.publication(signed), *sizes, signed.clone());
        let in_json = {
            let call = Call {
                body: None,
                ..call.clone()
            };
            move || {
                let json = serde_json::to_vec(&block.to_json(&sizes))
                    .expect("a proposal that was read can be written");
                Call {
                    body: Some(Body::Json(Bytes::from(json))),
                    ..call
                }
            }
        };
        self.submit(Submission::of_one(call).or_else(in_json)).await
    }

    fn publication(&self, signed: &SignedProposal) -> Call {
        let (label, path) = match signed.proposal.is_blinded() {
            true => ("submit_blinded_proposal", "/eth/v2/beacon/blinded_blocks"),
            false => ("submit_proposal", "/eth/v2/beacon/blocks"),
        };
        Call {
            label,
            method: Method::POST,
            path: path.to_owned(),
            body: Some(Body::Ssz(Bytes::from(signed.to_ssz()))),
            fork: Some(signed.proposal.fork()),
            accept: Accept::Json,
            limit: SMALL,
            timeout: self.timeouts.publish,
        }
    }
}
