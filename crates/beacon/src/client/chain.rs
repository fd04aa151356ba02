//! Questions about blocks and checkpoints.

use std::fmt;

use flotilla_types::{BlockHeader, Checkpoint, Root, Slot, ValidatorIndex};
use serde::Deserialize;

use super::{
    answers::{json, plain},
    error::QueryError,
    exchange::Answer,
    node::BeaconNode,
    status::SMALL,
};

/// Names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockId {
    /// The head of the canonical chain.
    Head,
    /// The last finalised block.
    Finalized,
    /// The canonical block of a slot.
    Slot(Slot),
    /// The block of this root, canonical or not.
    Root(Root),
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("head"),
            Self::Finalized => f.write_str("finalized"),
            Self::Slot(slot) => write!(f, "{slot}"),
            Self::Root(root) => write!(f, "{root}"),
        }
    }
}

/// The root of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRoot {
    /// The root.
    pub root: Root,
    /// Whether the execution client has not verified the block yet; nothing must be signed over such a head.
    pub execution_optimistic: bool,
}

/// A block's header and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainHeader {
    /// The block's root, as the node says.
    pub root: Root,
    /// Whether the block is on the canonical chain.
    pub canonical: bool,
    /// Whether the execution client has not verified the block yet.
    pub execution_optimistic: bool,
    /// The header.
    pub header: BlockHeader,
}

/// What is justified and finalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct FinalityCheckpoints {
    /// The justified checkpoint before the current one.
    pub previous_justified: Checkpoint,
    /// The justified checkpoint.
    pub current_justified: Checkpoint,
    /// The finalised checkpoint.
    pub finalized: Checkpoint,
}

impl BeaconNode {
    /// The root of a block (`GET /eth/v1/beacon/blocks/{id}/root`); `None` for one that no endpoint has.
    ///
    /// # Errors
    /// [`QueryError`] when no endpoint answered.
    pub async fn block_root(&self, block: BlockId) -> Result<Option<BlockRoot>, QueryError> {
        let path = format!("/eth/v1/beacon/blocks/{block}/root");
        let call = self.get("beacon_block_root", &path, SMALL);
        self.query_optional(&call, |answer| block_root(&answer, block))
            .await
    }

    /// The header of a block (`GET /eth/v1/beacon/headers/{id}`); `None` for one that no endpoint has.
    ///
    /// # Errors
    /// [`QueryError`] when no endpoint answered.
    pub async fn header(&self, block: BlockId) -> Result<Option<ChainHeader>, QueryError> {
        let path = format!("/eth/v1/beacon/headers/{block}");
        let call = self.get("beacon_block_header", &path, SMALL);
        self.query_optional(&call, |answer| header(&answer, block))
            .await
    }

    /// What the head's state has justified and finalised (`GET /eth/v1/beacon/states/head/finality_checkpoints`).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn finality_checkpoints(&self) -> Result<FinalityCheckpoints, QueryError> {
        let path = "/eth/v1/beacon/states/head/finality_checkpoints";
        self.query(&self.get("finality", path, SMALL), plain).await
    }
}

/// An answer about a block, which says beside it how well the block is verified.
#[derive(Deserialize)]
struct AboutBlock<T> {
    #[serde(default)]
    execution_optimistic: bool,
    data: T,
}

#[derive(Deserialize)]
struct RootLayout {
    root: Root,
}

#[derive(Deserialize)]
struct HeaderLayout {
    root: Root,
    canonical: bool,
    header: SignedLayout,
}

#[derive(Deserialize)]
struct SignedLayout {
    message: MessageLayout,
}

#[derive(Deserialize)]
struct MessageLayout {
    slot: Slot,
    proposer_index: ValidatorIndex,
    parent_root: Root,
    state_root: Root,
    body_root: Root,
}

fn block_root(answer: &Answer, asked: BlockId) -> Result<BlockRoot, String> {
    let about: AboutBlock<RootLayout> = json(answer)?;
    let root = about.data.root;
    is_asked(asked, root, None)?;
    Ok(BlockRoot {
        root,
        execution_optimistic: about.execution_optimistic,
    })
}

fn header(answer: &Answer, asked: BlockId) -> Result<ChainHeader, String> {
    let about: AboutBlock<HeaderLayout> = json(answer)?;
    let HeaderLayout {
        root,
        canonical,
        header: SignedLayout { message },
    } = about.data;
    is_asked(asked, root, Some(message.slot))?;
    let header = BlockHeader {
        slot: message.slot,
        proposer_index: message.proposer_index,
        parent_root: message.parent_root,
        state_root: message.state_root,
        body_root: message.body_root,
    };
    Ok(ChainHeader {
        root,
        canonical,
        execution_optimistic: about.execution_optimistic,
        header,
    })
}

/// Whether an answer is about the block that was asked for.
fn is_asked(asked: BlockId, root: Root, slot: Option<Slot>) -> Result<(), String> {
    match (asked, slot) {
        (BlockId::Root(asked), _) if asked != root => {
            Err(format!("block {root}, asked for block {asked}"))
        }
        (BlockId::Slot(asked), Some(slot)) if asked != slot => {
            Err(format!("a block of slot {slot}, asked for slot {asked}"))
        }
        _ => Ok(()),
    }
}
