//! What a node answers when it is asked for a block, in either encoding.

use flotilla_types::{Fork, ListSizes, Proposal};
use serde::Deserialize;
use serde_json::Value;

use super::{
    answers::json,
    exchange::{Answer, CONSENSUS_VERSION},
    production::ProductionQuery,
};

const BLINDED: &str = "Eth-Execution-Payload-Blinded";
const PAYLOAD_VALUE: &str = "Eth-Execution-Payload-Value";
const CONSENSUS_VALUE: &str = "Eth-Consensus-Block-Value";

/// A block and what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockAnswer {
    pub(super) proposal: Proposal,
    /// 0 if not told.
    pub(super) payload_value_wei: u128,
    /// 0 if not told.
    pub(super) consensus_value_wei: u128,
}

/// The JSON of an answer; its first four fields are headers as well.
#[derive(Deserialize)]
struct Layout {
    version: String,
    execution_payload_blinded: bool,
    #[serde(default)]
    execution_payload_value: Option<String>,
    #[serde(default)]
    consensus_block_value: Option<String>,
    data: Value,
}

/// Reads a block of the slot, fork and randao asked for.
pub(super) fn read(
    answer: &Answer,
    asked: &ProductionQuery,
    sizes: &ListSizes,
) -> Result<BlockAnswer, String> {
    let block = if answer.is_ssz {
        read_ssz(answer, sizes)
    } else {
        read_json(answer, sizes)
    }?;
    let facts = block.proposal.facts();
    if facts.header.slot != asked.slot {
        return Err(format!(
            "a block of slot {}, asked for slot {}",
            facts.header.slot, asked.slot
        ));
    }
    if block.proposal.fork() != asked.fork {
        return Err(format!(
            "a block of fork {}, asked for fork {}",
            block.proposal.fork(),
            asked.fork
        ));
    }
    if facts.randao_reveal != asked.randao_reveal {
        return Err("a block of another randao reveal than asked for".to_owned());
    }
    Ok(block)
}

fn read_ssz(answer: &Answer, sizes: &ListSizes) -> Result<BlockAnswer, String> {
    let header = |name| {
        answer
            .header(name)
            .ok_or_else(|| format!("no header {name} beside SSZ"))
    };
    let fork = fork(header(CONSENSUS_VERSION)?)?;
    let blinded = match header(BLINDED)? {
        text if text.eq_ignore_ascii_case("true") => true,
        text if text.eq_ignore_ascii_case("false") => false,
        text => {
            return Err(format!(
                "header {BLINDED}: expected true or false, got {text:?}"
            ));
        }
    };
    let proposal = Proposal::from_ssz(fork, blinded, &answer.body, sizes)
        .map_err(|error| error.to_string())?;
    Ok(BlockAnswer {
        proposal,
        payload_value_wei: wei(answer.header(PAYLOAD_VALUE)),
        consensus_value_wei: wei(answer.header(CONSENSUS_VALUE)),
    })
}

fn read_json(answer: &Answer, sizes: &ListSizes) -> Result<BlockAnswer, String> {
    let layout: Layout = json(answer)?;
    let fork = fork(&layout.version)?;
    let blinded = layout.execution_payload_blinded;
    let proposal = Proposal::from_json(fork, blinded, &layout.data, sizes)
        .map_err(|error| error.to_string())?;
    Ok(BlockAnswer {
        proposal,
        payload_value_wei: wei(layout.execution_payload_value.as_deref()),
        consensus_value_wei: wei(layout.consensus_block_value.as_deref()),
    })
}

fn fork(name: &str) -> Result<Fork, String> {
    Fork::from_name(name)
        .ok_or_else(|| format!("a block of fork {name:?}, which is not known here"))
}

/// A value serves to choose between blocks: without one the block is as good, only worth nothing.
fn wei(text: Option<&str>) -> u128 {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
