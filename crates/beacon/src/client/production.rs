//! Asks for blocks: everybody at once, the most valuable taken, and a local block when the builders' are late.

use std::time::Duration;

use flotilla_types::{Fork, ListSizes, Proposal, SignatureBytes, Slot};
use futures::FutureExt as _;
use tokio::time::Instant;

use super::{
    block_answer::{self, BlockAnswer},
    endpoint::Endpoint,
    error::{Failure, QueryError},
    exchange::{Accept, Call},
    node::BeaconNode,
    race::{self, Asked, Second},
};

/// Most bytes of a block with its blobs: 72 blobs with their proofs in JSON are half of it.
const BLOCK: usize = 64 << 20;
/// A factor with which a node takes a builder's block whatever its value (Beacon API).
const BUILDER_ALWAYS: u64 = u64::MAX;
/// A factor with which a node takes its own block.
const BUILDER_NEVER: u64 = 0;

/// What a block is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductionQuery {
    /// The slot.
    pub slot: Slot,
    /// The fork of the slot.
    pub fork: Fork,
    /// The proposer's reveal of randomness.
    pub randao_reveal: SignatureBytes,
    /// The proposer's free 32 bytes.
    pub graffiti: [u8; 32],
    /// The weight of a builder's payment in percent: 100 compares values as they are, 0 takes no builder's block,
    /// `u64::MAX` always one.
    pub builder_boost_factor: u64,
}

/// How long what may take, from asking on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProductionBudget {
    /// How long more valuable blocks are waited for when there is one.
    pub wait_for_better: Duration,
    /// After how long without any block local ones are asked for, beside the first request.
    pub local_after: Duration,
    /// After how long there is none.
    pub give_up: Duration,
}

/// A block from an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedBlock {
    /// The block.
    pub proposal: Proposal,
    /// Who made it, without credentials.
    pub endpoint: String,
    /// What the payload pays to the proposer, in wei; 0 if not told.
    pub payload_value_wei: u128,
    /// What the consensus layer pays, in wei; 0 if not told.
    pub consensus_value_wei: u128,
    /// From asking to deciding for it.
    pub took: Duration,
    /// Whether local blocks had been asked for, since there was none in time.
    pub needed_local: bool,
}

impl BeaconNode {
    /// A block to propose (`GET /eth/v3/validator/blocks/{slot}`) from all endpoints at once. Until
    /// [`ProductionBudget::wait_for_better`] has passed, the most valuable is sought, a builder's payment being weighted as
    /// nodes do; after that the first is taken. Without any by [`ProductionBudget::local_after`], or when all have failed
    /// before, local blocks are asked for too. Slot, fork and randao of an answer are checked; an answer that is wrong or cannot be
    /// read is a failure of its endpoint alone.
    ///
    /// # Errors
    /// [`QueryError`] when there is no block by [`ProductionBudget::give_up`].
    pub async fn produce_block(
        &self,
        query: &ProductionQuery,
        budget: &ProductionBudget,
        sizes: &ListSizes,
    ) -> Result<ProducedBlock, QueryError> {
        let start = Instant::now();
        let local = ProductionQuery {
            builder_boost_factor: BUILDER_NEVER,
            ..*query
        };
        // A second request that is the same as the first would only double the work.
        let second = (query.builder_boost_factor != BUILDER_NEVER).then(|| Second {
            after: budget.local_after,
            ask: Box::new(move || {
                let left = budget.give_up.saturating_sub(start.elapsed());
                self.ask_all(local, left, sizes)
            }),
        });
        let first = self.ask_all(*query, budget.give_up, sizes);
        let weight =
            |candidate: &Candidate<'_>| weight(&candidate.answer, query.builder_boost_factor);
        let won = race::run(first, second, budget.wait_for_better, weight)
            .await
            .map_err(|failures| QueryError { failures })?;
        let Candidate { endpoint, answer } = won.answer;
        Ok(ProducedBlock {
            proposal: answer.proposal,
            endpoint: endpoint.label().to_owned(),
            payload_value_wei: answer.payload_value_wei,
            consensus_value_wei: answer.consensus_value_wei,
            took: start.elapsed(),
            needed_local: won.second_asked,
        })
    }

    fn ask_all<'a>(
        &'a self,
        query: ProductionQuery,
        timeout: Duration,
        sizes: &'a ListSizes,
    ) -> Vec<Asked<'a, Candidate<'a>, Failure>> {
        let mut call = self.get("proposal", &path(&query), BLOCK);
        (call.accept, call.timeout) = (Accept::SszOrJson, timeout);
        let ask = |endpoint: &'a Endpoint, call: Call| async move {
            let read = |answer| block_answer::read(&answer, &query, sizes);
            let answer = self.ask(endpoint, &call, read).await?;
            Ok(Candidate { endpoint, answer })
        };
        self.endpoints
            .iter()
            .map(|endpoint| ask(endpoint, call.clone()).boxed())
            .collect()
    }
}

/// A block that may be taken.
struct Candidate<'a> {
    endpoint: &'a Endpoint,
    answer: BlockAnswer,
}

fn path(query: &ProductionQuery) -> String {
    use std::fmt::Write as _;
    let mut graffiti = String::with_capacity(2 * query.graffiti.len());
    for byte in query.graffiti {
        let _ = write!(graffiti, "{byte:02x}");
    }
    let ProductionQuery {
        slot,
        randao_reveal,
        builder_boost_factor,
        ..
    } = query;
    format!(
        "/eth/v3/validator/blocks/{slot}?randao_reveal={randao_reveal}&graffiti=0x{graffiti}&builder_boost_factor={builder_boost_factor}"
    )
}

/// By how much a block is wanted, as a node would choose between its own and a builder's.
fn weight(answer: &BlockAnswer, boost: u64) -> (bool, u128) {
    let is_builders = answer.proposal.is_blinded();
    let payload = match is_builders {
        true => weighted(answer.payload_value_wei, boost),
        false => answer.payload_value_wei,
    };
    let total = payload.saturating_add(answer.consensus_value_wei);
    (is_builders && boost == BUILDER_ALWAYS, total)
}

/// So many percent of a value.
fn weighted(value: u128, percent: u64) -> u128 {
    value.saturating_mul(percent.into()) / 100
}
