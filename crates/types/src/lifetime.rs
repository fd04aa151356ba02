//! How long each kind of duty lives, and when its agreement starts to count (spec 20 §4.3 and §10).

use std::time::Duration;

use crate::DutyKind;

/// How long after its slot's start a kind of duty is worth keeping, a margin apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// This many thirds of a slot.
    SlotThirds(u32),
    /// This many epochs.
    Epochs(u32),
    /// For ever: no deadline.
    Unlimited,
}

impl Lifetime {
    /// What members of the field's version 1.11 keep to.
    pub const fn of(kind: DutyKind) -> Self {
        match kind {
            DutyKind::Proposer | DutyKind::Randao => Self::SlotThirds(1),
            DutyKind::Attester | DutyKind::Aggregator => Self::Epochs(1),
            DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution => Self::Epochs(2),
            DutyKind::Exit | DutyKind::BuilderRegistration => Self::Unlimited,
            DutyKind::SyncMessage
            | DutyKind::SyncContribution
            | DutyKind::Signature
            | DutyKind::BuilderProposer
            | DutyKind::InfoSync => Self::SlotThirds(3),
        }
    }

    /// In time; `None` when unlimited. Saturates.
    pub fn duration(self, slot_duration: Duration, slots_per_epoch: u64) -> Option<Duration> {
        match self {
            Self::SlotThirds(thirds) => Some(thirds_of(slot_duration, thirds)),
            Self::Epochs(epochs) => {
                let slots = slots_per_epoch.saturating_mul(u64::from(epochs));
                Some(slot_duration.saturating_mul(u32::try_from(slots).unwrap_or(u32::MAX)))
            }
            Self::Unlimited => None,
        }
    }
}

/// What is added to every lifetime: a twelfth of a slot.
pub(crate) fn margin(slot_duration: Duration) -> Duration {
    slot_duration / 12
}

/// Where within the slot the round timer of a duty's agreement begins to count. This is the protocol's own convention,
/// shared by all members; the chain's due points are another matter.
pub(crate) fn timer_offset(kind: DutyKind, slot_duration: Duration) -> Duration {
    let thirds = match kind {
        DutyKind::Attester => 1,
        DutyKind::Aggregator | DutyKind::SyncContribution => 2,
        DutyKind::Proposer
        | DutyKind::Signature
        | DutyKind::Exit
        | DutyKind::BuilderProposer
        | DutyKind::BuilderRegistration
        | DutyKind::Randao
        | DutyKind::PrepareAggregator
        | DutyKind::SyncMessage
        | DutyKind::PrepareSyncContribution
        | DutyKind::InfoSync => 0,
    };
    thirds_of(slot_duration, thirds)
}

/// Multiplies before it divides, on whole nanoseconds, as the other members do.
fn thirds_of(slot_duration: Duration, thirds: u32) -> Duration {
    slot_duration.saturating_mul(thirds) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_slots_lose_nothing_to_thirds() {
        let slot = Duration::from_nanos(1_000_000_001);
        assert_eq!(Lifetime::SlotThirds(3).duration(slot, 32), Some(slot));
        assert_eq!(
            timer_offset(DutyKind::Aggregator, slot),
            Duration::from_nanos(666_666_667)
        );
    }

    #[test]
    fn every_kind_has_the_lifetime_of_the_table() {
        let slot = Duration::from_secs(12);
        let seconds = |kind| {
            Lifetime::of(kind)
                .duration(slot, 32)
                .map(|lifetime| lifetime.as_secs())
        };
        for (kind, expected) in [
            (DutyKind::Proposer, Some(4)),
            (DutyKind::Randao, Some(4)),
            (DutyKind::SyncMessage, Some(12)),
            (DutyKind::SyncContribution, Some(12)),
            (DutyKind::InfoSync, Some(12)),
            (DutyKind::Attester, Some(384)),
            (DutyKind::Aggregator, Some(384)),
            (DutyKind::PrepareAggregator, Some(768)),
            (DutyKind::PrepareSyncContribution, Some(768)),
            (DutyKind::Exit, None),
            (DutyKind::BuilderRegistration, None),
        ] {
            assert_eq!(seconds(kind), expected, "{kind}");
        }
    }
}
