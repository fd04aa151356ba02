//! Messages to the sync committee: what the head is, at their due point or as soon as the slot's block is there.

use std::sync::Arc;

use flotilla_types::{DomainType, DutyKind, Root, Slot, SyncCommitteeDuty, SyncCommitteeMessage};
use serde::Deserialize;

use super::context::{Context, Failure};
use super::http::Post;
use super::report::Kind;

/// Sends the messages of a slot; the root they name, if there is one.
pub(super) async fn send(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[SyncCommitteeDuty],
) -> Option<Root> {
    if duties.is_empty() {
        return None;
    }
    context.due_or_head(slot, DutyKind::SyncMessage).await;
    let count = duties.len() as u64;
    match head(context, slot).await {
        Ok(root) => {
            let result = sign_and_submit(context, slot, root, duties).await;
            context.count(Kind::SyncMessages, slot, count, result);
            Some(root)
        }
        Err(why) => {
            context.count(Kind::SyncMessages, slot, count, Err(why));
            None
        }
    }
}

async fn head(context: &Context, slot: Slot) -> Result<Root, Failure> {
    #[derive(Deserialize)]
    struct Data {
        root: Root,
    }
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    let path = "/eth/v1/beacon/blocks/head/root";
    let answer: Answer = context.http.get(path, context.limit(slot)).await?;
    Ok(answer.data.root)
}

async fn sign_and_submit(
    context: &Arc<Context>,
    slot: Slot,
    root: Root,
    duties: &[SyncCommitteeDuty],
) -> Result<(), Failure> {
    let signing_root = context.signing_root(root, slot, DomainType::SYNC_COMMITTEE);
    let items = duties
        .iter()
        .map(|duty| (duty.validator_index, duty.validator_index, signing_root));
    let signed = context.sign_all(items.collect()).await;
    let message = |(validator_index, signature)| SyncCommitteeMessage {
        slot,
        beacon_block_root: root,
        validator_index,
        signature,
    };
    let list: Vec<_> = signed.into_iter().map(message).collect();
    let ssz = list.iter().flat_map(SyncCommitteeMessage::encode).collect();
    let post = Post::json(&list).or_ssz(ssz).of_fork(context.fork(slot));
    let path = "/eth/v1/beacon/pool/sync_committees";
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}
