//! When within its slot work is due, as tables by fork: no thirds of twelve seconds.

use std::time::Duration;

use crate::{DutyKind, Epoch};

/// A part of a slot in ten-thousandths, from 0 to 10 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// A whole slot.
    pub const WHOLE: u64 = 10_000;

    /// This many ten-thousandths; `None` above a whole slot.
    pub fn new(points: u64) -> Option<Self> {
        u16::try_from(points)
            .ok()
            .filter(|&points| u64::from(points) <= Self::WHOLE)
            .map(Self)
    }

    /// Ten-thousandths of a slot.
    pub const fn get(self) -> u64 {
        self.0 as u64
    }

    /// This part of a slot, in whole milliseconds rounded down (consensus specs, `get_slot_component_duration_ms`).
    pub fn of(self, slot_duration: Duration) -> Duration {
        let millis = slot_duration.as_millis() * u128::from(self.0) / u128::from(Self::WHOLE);
        Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Due points of one fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuePoints {
    /// `ATTESTATION_DUE_BPS`.
    pub attestation: BasisPoints,
    /// `AGGREGATE_DUE_BPS`.
    pub aggregate: BasisPoints,
    /// `SYNC_MESSAGE_DUE_BPS`.
    pub sync_message: BasisPoints,
    /// `CONTRIBUTION_DUE_BPS`.
    pub contribution: BasisPoints,
}

impl DuePoints {
    /// The values of before Gloas, for nodes that serve none.
    pub const BEFORE_GLOAS: Self = Self {
        attestation: BasisPoints(3333),
        aggregate: BasisPoints(6667),
        sync_message: BasisPoints(3333),
        contribution: BasisPoints(6667),
    };

    /// The values from Gloas on, for nodes that serve none (spec 30, appendix B).
    pub const GLOAS: Self = Self {
        attestation: BasisPoints(2500),
        aggregate: BasisPoints(5000),
        sync_message: BasisPoints(2500),
        contribution: BasisPoints(5000),
    };

    /// The due point of a kind; kinds without one are due at the slot's start.
    pub const fn of(&self, kind: DutyKind) -> BasisPoints {
        match kind {
            DutyKind::Attester => self.attestation,
            DutyKind::Aggregator => self.aggregate,
            DutyKind::SyncMessage => self.sync_message,
            DutyKind::SyncContribution => self.contribution,
            DutyKind::Proposer
            | DutyKind::Signature
            | DutyKind::Exit
            | DutyKind::BuilderProposer
            | DutyKind::BuilderRegistration
            | DutyKind::Randao
            | DutyKind::PrepareAggregator
            | DutyKind::PrepareSyncContribution
            | DutyKind::InfoSync => BasisPoints(0),
        }
    }
}

/// Due points over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueSchedule {
    /// In force from genesis.
    pub base: DuePoints,
    /// The `*_GLOAS` values.
    pub gloas: DuePoints,
    /// `GLOAS_FORK_EPOCH`, from which they are in force; [`Epoch::FAR_FUTURE`] when it has none yet.
    pub gloas_epoch: Epoch,
}

impl DueSchedule {
    /// The points in force in an epoch.
    pub fn at(&self, epoch: Epoch) -> &DuePoints {
        let gloas = epoch >= self.gloas_epoch && self.gloas_epoch != Epoch::FAR_FUTURE;
        if gloas { &self.gloas } else { &self.base }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_slot_is_rounded_down_to_milliseconds() {
        let third = BasisPoints::new(3333).unwrap();
        assert_eq!(
            third.of(Duration::from_secs(12)),
            Duration::from_millis(3999)
        );
        assert_eq!(third.of(Duration::from_secs(3)), Duration::from_millis(999));
        assert_eq!(
            BasisPoints::new(10_000).unwrap().of(Duration::from_secs(3)),
            Duration::from_secs(3)
        );
    }

    #[test]
    fn more_than_a_slot_is_no_part_of_it() {
        assert_eq!(BasisPoints::new(10_001), None);
        assert_eq!(BasisPoints::new(u64::MAX), None);
    }

    #[test]
    fn gloas_points_hold_from_its_epoch() {
        let mut schedule = DueSchedule {
            base: DuePoints::BEFORE_GLOAS,
            gloas: DuePoints::GLOAS,
            gloas_epoch: Epoch(7),
        };
        assert_eq!(schedule.at(Epoch(6)).of(DutyKind::Attester).get(), 3333);
        assert_eq!(schedule.at(Epoch(7)).of(DutyKind::Attester).get(), 2500);
        schedule.gloas_epoch = Epoch::FAR_FUTURE;
        assert_eq!(
            schedule.at(Epoch(u64::MAX)).of(DutyKind::Aggregator).get(),
            6667
        );
    }
}
