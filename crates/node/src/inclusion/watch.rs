//! Once an epoch: who our validators are on the chain, and what became of their attestations.

use std::sync::Arc;

use flotilla_beacon::client::{BeaconNode, QueryError};
use flotilla_types::{Epoch, ValidatorIndex};
use tracing::{debug, info, warn};

use super::EpochReport;
use crate::chores::Cluster;

/// Rewards of an epoch are known when the one after it is over.
const EPOCHS_BEHIND: u64 = 2;

/// Looks once an epoch, late in its second slot, when duties are done and the boundary's own work is too.
pub(crate) async fn every_epoch(cluster: Arc<Cluster>) {
    let parts = &cluster.parts;
    let mut has_told = false;
    loop {
        let now = parts.chain.epoch_at(parts.clock.now());
        look(&cluster, now, &mut has_told).await;
        let second = parts.chain.first_slot(Epoch(now.0 + 1));
        let wake = parts.chain.slot_start(second) + parts.chain.spec.slot_duration * 11 / 6;
        tokio::time::sleep(parts.clock.until(wake)).await;
    }
}

async fn look(cluster: &Cluster, now: Epoch, has_told: &mut bool) {
    let parts = &cluster.parts;
    let validators = match parts.rosters.members.of(&parts.beacon, now).await {
        Ok(validators) => validators,
        Err(error) => return debug!(%error, "our validators were not looked up"),
    };
    parts.telemetry.validators(&validators, now);
    let Some(epoch) = now.0.checked_sub(EPOCHS_BEHIND).map(Epoch) else {
        return;
    };
    // What was attested before we were here is not ours to answer for.
    if parts
        .chain
        .slot_start(parts.chain.first_slot(epoch))
        .as_millis()
        < cluster.started_ms
    {
        return;
    }
    let attesters: Vec<ValidatorIndex> = validators
        .iter()
        .filter(|validator| validator.activation_epoch <= epoch && epoch < validator.exit_epoch)
        .map(|validator| validator.index)
        .collect();
    match ask(&parts.beacon, epoch, &attesters).await {
        Ok(Some(report)) => {
            parts.telemetry.attestations(&report);
            parts.inclusion.epoch(report);
        }
        Ok(None) if !*has_told => {
            *has_told = true;
            info!(
                "the beacon node does not tell rewards: whether attestations are included stays unknown here"
            );
        }
        Ok(None) => {}
        Err(error) => warn!(%epoch, %error, "inclusion of attestations could not be asked for"),
    }
}

async fn ask(
    beacon: &BeaconNode,
    epoch: Epoch,
    attesters: &[ValidatorIndex],
) -> Result<Option<EpochReport>, QueryError> {
    let rewards = beacon.attestation_rewards(epoch, attesters).await?;
    Ok(rewards.map(|rewards| EpochReport::of(epoch, &rewards)))
}
