//! Voluntary exits of all validators, when told so.

use std::sync::Arc;

use flotilla_types::{DomainType, Epoch, SignedVoluntaryExit, Slot, ValidatorIndex, VoluntaryExit};

use super::context::{Context, Failure};
use super::http::Post;
use super::report::Kind;

/// Lets every validator leave in an epoch, one after the other as the API has it.
pub(super) async fn leave(context: &Arc<Context>, slot: Slot, epoch: Epoch) {
    let validators = Arc::clone(&context.duties.borrow().validators);
    for &validator in validators.keys() {
        let result = one(context, slot, epoch, validator).await;
        context.count(Kind::Exits, slot, 1, result);
    }
}

async fn one(
    context: &Arc<Context>,
    slot: Slot,
    epoch: Epoch,
    validator_index: ValidatorIndex,
) -> Result<(), Failure> {
    let message = VoluntaryExit {
        epoch,
        validator_index,
    };
    let root = message.tree_hash_root();
    let root = context.signing_root(root, slot, DomainType::VOLUNTARY_EXIT);
    let signature = context.sign(validator_index, root).await?;
    let post = Post::json(&SignedVoluntaryExit { message, signature });
    let path = "/eth/v1/beacon/pool/voluntary_exits";
    Ok(context.http.post(path, post, context.limit(slot)).await?)
}
