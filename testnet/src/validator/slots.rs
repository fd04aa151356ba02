//! The timetable: slot after slot, each in tasks of its own, so that a slow one holds up no other.

use std::sync::Arc;

use flotilla_types::{DutyKind, Slot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::clock::sleep_until;
use super::context::Context;
use super::report::Kind;
use super::select::{self, Ahead, AttesterProofs, SyncProofs};
use super::{aggregate, attest, contribute, exit, propose, sync_message};

/// Does the duties of `count` slots, or of all until told to stop. Duties under way are finished; each ends by its
/// slot's deadline, so there are never more than those of two slots.
pub(super) async fn run(context: Arc<Context>, count: Option<u64>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    let mut ahead = None;
    let mut slot = context.slot().map_or(Slot(0), |slot| Slot(slot.0 + 1));
    let mut done = 0;
    while count.is_none_or(|count| done < count) {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(context.chain.slot_start(slot)) => {}
        }
        // A process that was stopped for a while goes on with the slot that is running.
        let running = context.slot().unwrap_or_default();
        if running > slot {
            done += running.0 - slot.0;
            slot = running;
        }
        while tasks.try_join_next().is_some() {}
        let known = ahead.take().filter(|ahead: &Ahead| ahead.slot == slot);
        let unknown = context.chain.spec.forks.unknown_after();
        if unknown.is_none_or(|epoch| context.chain.epoch_of(slot) < epoch) {
            tasks.spawn(one(Arc::clone(&context), slot, known));
            ahead = Some(Ahead::of(&context, Slot(slot.0 + 1)));
        } else {
            tracing::error!(%slot, "a fork has begun that this client does not know: nothing is signed");
        }
        slot = Slot(slot.0 + 1);
        done += 1;
    }
    if let Some(ahead) = ahead {
        ahead.abort();
    }
    while tasks.join_next().await.is_some() {}
}

/// All duties of a slot.
async fn one(context: Arc<Context>, slot: Slot, ahead: Option<Ahead>) {
    let (attesters, members) = ahead.map(|ahead| (ahead.attesters, ahead.sync)).unzip();
    tokio::join!(
        proposal(&context, slot),
        attestations(&context, slot, attesters),
        sync_committee(&context, slot, members),
        exits(&context, slot),
    );
}

async fn proposal(context: &Arc<Context>, slot: Slot) {
    // The block of slot 0 is genesis.
    if slot == Slot(0) {
        return;
    }
    let epoch = context.chain.epoch_of(slot);
    let duties = context.scheduled(slot, Kind::Blocks, |duties| duties.proposers(epoch, slot));
    for duty in duties.await.unwrap_or_default() {
        propose::propose(context, slot, &duty).await;
    }
}

async fn attestations(
    context: &Arc<Context>,
    slot: Slot,
    ahead: Option<JoinHandle<AttesterProofs>>,
) {
    let epoch = context.chain.epoch_of(slot);
    let duties = context.scheduled(slot, Kind::Attestations, |duties| {
        duties.attesters(epoch, slot)
    });
    let duties = duties.await.unwrap_or_default();
    if duties.is_empty() {
        return;
    }
    let proofs = async {
        let known = select::outcome(ahead).await;
        select::complete_attesters(context, slot, &duties, known).await
    };
    let (attested, proofs) = tokio::join!(attest::attest(context, slot, &duties), proofs);
    aggregate::aggregate(context, slot, &duties, &attested, &proofs).await;
}

async fn sync_committee(context: &Arc<Context>, slot: Slot, ahead: Option<JoinHandle<SyncProofs>>) {
    let epoch = select::sync_epoch(context, slot);
    let duties = context.scheduled(slot, Kind::SyncMessages, |duties| duties.sync(epoch));
    let duties = duties.await.unwrap_or_default();
    if duties.is_empty() {
        return;
    }
    let proofs = async {
        let known = select::outcome(ahead).await;
        select::complete_sync(context, slot, &duties, known).await
    };
    let (root, proofs) = tokio::join!(sync_message::send(context, slot, &duties), proofs);
    if let Some(root) = root {
        contribute::contribute(context, slot, root, &proofs).await;
    }
}

async fn exits(context: &Arc<Context>, slot: Slot) {
    let chain = &context.chain;
    if let Some(epoch) = context.exit_epoch
        && chain.first_slot(epoch) == slot
    {
        // After the attestations, which matter more.
        context.due(slot, DutyKind::Aggregator).await;
        exit::leave(context, slot, epoch).await;
    }
}
