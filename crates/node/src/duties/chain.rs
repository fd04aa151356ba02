//! What our own beacon nodes know of the chain: their head, and whether a vote or a block fits (the chain-split guard).

use std::time::Duration;

use flotilla_beacon::client::{BeaconNode, BlockId, ChainHeader, QueryError};
use flotilla_duty::guard::{Question, Verdict};
use flotilla_duty::io::FetchError;
use flotilla_types::{Chain, Checkpoint, Root, Slot};
use tokio::time::Instant;
use tracing::debug;

use super::{failed, not_yet};

/// How often a block that is not known yet is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How many blocks a branch is followed back before it is taken for a conflict: two epochs of mainnet.
const BRANCH_LIMIT: usize = 64;

/// The head's root, which the sync committee signs.
pub(crate) async fn head(beacon: &BeaconNode) -> Result<Root, FetchError> {
    let head = beacon.block_root(BlockId::Head).await;
    match head.map_err(|error| failed(&error))? {
        Some(head) if head.execution_optimistic => {
            Err(not_yet("the execution client has not verified the head"))
        }
        Some(head) => Ok(head.root),
        None => Err(not_yet("the beacon node has no head")),
    }
}

/// What our own beacon nodes know of the chain that a value builds on. A target that they do not know yet is waited for, up to
/// a sixth of the slot: a block at an epoch's border may be late.
pub(crate) async fn examine(beacon: &BeaconNode, chain: &Chain, question: Question) -> Verdict {
    let until = Instant::now() + chain.spec.slot_duration / 6;
    let asked = async {
        loop {
            let verdict = match look(beacon, chain, question).await {
                Ok(verdict) => verdict,
                Err(error) => {
                    debug!(%error, "the beacon node says nothing of the chain");
                    Verdict::Silent
                }
            };
            let waits = matches!(question, Question::Vote { .. })
                && matches!(verdict, Verdict::Unknown | Verdict::Silent);
            if !waits || Instant::now() + ASK_AGAIN >= until {
                return verdict;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    };
    tokio::time::timeout_at(until, asked)
        .await
        .unwrap_or(Verdict::Silent)
}

async fn look(
    beacon: &BeaconNode,
    chain: &Chain,
    question: Question,
) -> Result<Verdict, QueryError> {
    match question {
        Question::Vote { source, target } => vote(beacon, chain, source, target).await,
        Question::Block { slot, parent } => block(beacon, chain, slot, parent).await,
    }
}

async fn vote(
    beacon: &BeaconNode,
    chain: &Chain,
    source: Checkpoint,
    target: Checkpoint,
) -> Result<Verdict, QueryError> {
    let finality = beacon.finality_checkpoints().await?;
    let justified = finality.current_justified;
    let is_ours = [justified, finality.previous_justified, finality.finalized].contains(&source);
    // Before anything is justified the root is zero.
    if !is_ours && source.root != Root::default() {
        match beacon.header(BlockId::Root(source.root)).await? {
            Some(header) if header.canonical => {}
            // Not on our chain, where something later or as late is justified.
            _ if source.epoch <= justified.epoch => return Ok(Verdict::Conflicts),
            _ => return Ok(Verdict::Unknown),
        }
    }
    let Some(header) = beacon.header(BlockId::Root(target.root)).await? else {
        return Ok(Verdict::Unknown);
    };
    descends(beacon, chain, header, justified).await
}

async fn block(
    beacon: &BeaconNode,
    chain: &Chain,
    slot: Slot,
    parent: Root,
) -> Result<Verdict, QueryError> {
    let Some(header) = beacon.header(BlockId::Root(parent)).await? else {
        return Ok(Verdict::Unknown);
    };
    if header.header.slot >= slot {
        return Ok(Verdict::Conflicts);
    }
    let finalized = beacon.finality_checkpoints().await?.finalized;
    descends(beacon, chain, header, finalized).await
}

/// Whether a block is on our chain, or on a branch that leaves it after the checkpoint.
async fn descends(
    beacon: &BeaconNode,
    chain: &Chain,
    mut header: ChainHeader,
    checkpoint: Checkpoint,
) -> Result<Verdict, QueryError> {
    let border = chain.first_slot(checkpoint.epoch);
    for _ in 0..BRANCH_LIMIT {
        if header.canonical || header.root == checkpoint.root {
            return Ok(Verdict::Fits);
        }
        if header.header.slot <= border {
            return Ok(Verdict::Conflicts);
        }
        let parent = BlockId::Root(header.header.parent_root);
        match beacon.header(parent).await? {
            Some(parent) => header = parent,
            None => return Ok(Verdict::Unknown),
        }
    }
    Ok(Verdict::Conflicts)
}
