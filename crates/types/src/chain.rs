//! A chain in time: which slot it is, when work is due, and what a domain is.

use std::time::Duration;

use crate::{
    ChainSpec, Domain, DomainType, Duty, DutyKind, Epoch, Fork, ForkVersion, Lifetime, Root, Slot,
    Timestamp,
    lifetime::{margin, timer_offset},
};

/// How many epochs ahead of the current one a peer's duty may lie.
pub const GATE_EPOCHS_AHEAD: u64 = 2;

/// Two rounds of a proposal's agreement, with time to sign and submit.
const TWO_ROUNDS: Duration = Duration::from_millis(2500);

/// A duty of a peer that is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// It lies more than [`GATE_EPOCHS_AHEAD`] epochs ahead.
    #[error(
        "duty {duty} is in epoch {epoch}, more than {GATE_EPOCHS_AHEAD} after the current epoch {current}"
    )]
    TooFarAhead {
        /// The duty.
        duty: Duty,
        /// Its epoch.
        epoch: Epoch,
        /// The current epoch.
        current: Epoch,
    },
}

/// One chain: its configuration and its genesis. All arithmetic saturates, since peers may name any slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The configuration.
    pub spec: ChainSpec,
    /// Start of slot 0.
    pub genesis_time: Timestamp,
    /// Root of the first validator set; tells chains apart in every domain.
    pub genesis_validators_root: Root,
}

impl Chain {
    /// When a slot begins.
    pub fn slot_start(&self, slot: Slot) -> Timestamp {
        let since_genesis = self
            .spec
            .slot_duration
            .as_nanos()
            .saturating_mul(u128::from(slot.0));
        self.genesis_time + Duration::from_nanos(u64::try_from(since_genesis).unwrap_or(u64::MAX))
    }

    /// The slot running at an instant; `None` before genesis.
    pub fn slot_at(&self, now: Timestamp) -> Option<Slot> {
        if now < self.genesis_time {
            return None;
        }
        let slot_nanos = self.spec.slot_duration.as_nanos().max(1);
        let slots = now.saturating_since(self.genesis_time).as_nanos() / slot_nanos;
        Some(Slot(u64::try_from(slots).unwrap_or(u64::MAX)))
    }

    /// The epoch of a slot.
    pub fn epoch_of(&self, slot: Slot) -> Epoch {
        Epoch(slot.0 / self.spec.slots_per_epoch.max(1))
    }

    /// The epoch running at an instant; epoch 0 before genesis.
    pub fn epoch_at(&self, now: Timestamp) -> Epoch {
        self.epoch_of(self.slot_at(now).unwrap_or_default())
    }

    /// The first slot of an epoch.
    pub fn first_slot(&self, epoch: Epoch) -> Slot {
        Slot(epoch.0.saturating_mul(self.spec.slots_per_epoch))
    }

    /// When the chain expects a duty's work: the due point of its kind in the fork of its slot.
    pub fn due(&self, duty: Duty) -> Timestamp {
        let points = self.spec.due.at(self.epoch_of(duty.slot)).of(duty.kind);
        self.slot_start(duty.slot) + points.of(self.spec.slot_duration)
    }

    /// From when the round timer of a duty's agreement counts (spec 20 §4.3): the slot's start, or one or two thirds
    /// into it. All members must use the same instant, so this is not the chain's due point.
    pub fn timer_start(&self, duty: Duty) -> Timestamp {
        self.slot_start(duty.slot) + timer_offset(duty.kind, self.spec.slot_duration)
    }

    /// After when a duty is over and its state is dropped (spec 20 §10); `None` means never. On chains of short slots a
    /// proposal lives longer than the table says, for two rounds of its agreement: a leader who is away costs 1.5 s however
    /// short the slot is.
    pub fn deadline(&self, duty: Duty) -> Option<Timestamp> {
        let lifetime =
            Lifetime::of(duty.kind).duration(self.spec.slot_duration, self.spec.slots_per_epoch)?;
        let usual = lifetime + margin(self.spec.slot_duration);
        let lives = match duty.kind {
            DutyKind::Proposer | DutyKind::Randao => {
                usual.max(TWO_ROUNDS.min(self.spec.slot_duration))
            }
            _ => usual,
        };
        Some(self.slot_start(duty.slot) + lives)
    }

    /// Whether a peer's duty is looked at. Only the future is refused here; the past is a matter of [`Self::deadline`].
    ///
    /// # Errors
    /// [`GateError::TooFarAhead`].
    pub fn gate(&self, duty: Duty, now: Timestamp) -> Result<(), GateError> {
        let (epoch, current) = (self.epoch_of(duty.slot), self.epoch_at(now));
        if epoch.0 > current.0.saturating_add(GATE_EPOCHS_AHEAD) {
            return Err(GateError::TooFarAhead {
                duty,
                epoch,
                current,
            });
        }
        Ok(())
    }

    /// The fork of an epoch, as far as known: see [`ForkSchedule::unknown_after`](crate::ForkSchedule::unknown_after).
    pub fn fork_at(&self, epoch: Epoch) -> Fork {
        self.spec.forks.at(epoch).fork
    }

    /// The fork version of an epoch.
    pub fn fork_version_at(&self, epoch: Epoch) -> ForkVersion {
        self.spec.forks.at(epoch).version
    }

    /// The domain of a purpose in an epoch. Two purposes do not follow the epoch, as the consensus and builder specs
    /// have it: exits always use Capella's version (EIP-7044), registrations the genesis version and no chain.
    pub fn domain(&self, domain_type: DomainType, epoch: Epoch) -> Domain {
        let forks = &self.spec.forks;
        let (version, genesis) = match domain_type {
            DomainType::VOLUNTARY_EXIT => {
                let capella = forks.version_of(Fork::Capella);
                (
                    capella.unwrap_or_else(|| self.fork_version_at(epoch)),
                    self.genesis_validators_root,
                )
            }
            DomainType::APPLICATION_BUILDER => (forks.genesis_version(), Root::default()),
            _ => (self.fork_version_at(epoch), self.genesis_validators_root),
        };
        Domain::compute(domain_type, version, genesis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DutyKind;

    fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0; 4])),
            genesis_time: Timestamp::from_secs(1000),
            genesis_validators_root: Root([1; 32]),
        }
    }

    #[test]
    fn slots_begin_and_end_at_their_borders() {
        let chain = chain();
        assert_eq!(chain.slot_at(Timestamp::from_nanos(999_999_999_999)), None);
        assert_eq!(chain.slot_at(Timestamp::from_secs(1000)), Some(Slot(0)));
        assert_eq!(
            chain.slot_at(Timestamp::from_nanos(1_011_999_999_999)),
            Some(Slot(0))
        );
        assert_eq!(chain.slot_at(Timestamp::from_secs(1012)), Some(Slot(1)));
        assert_eq!(chain.slot_start(Slot(1)), Timestamp::from_secs(1012));
    }

    #[test]
    fn any_slot_a_peer_may_name_has_a_time() {
        let chain = chain();
        for &kind in DutyKind::ALL {
            let duty = Duty::new(Slot(u64::MAX), kind);
            assert_eq!(chain.due(duty), Timestamp::MAX);
            assert_eq!(chain.timer_start(duty), Timestamp::MAX);
            assert!(
                chain
                    .deadline(duty)
                    .is_none_or(|deadline| deadline == Timestamp::MAX)
            );
            assert!(chain.gate(duty, Timestamp::from_secs(1000)).is_err());
        }
        assert_eq!(chain.first_slot(Epoch::FAR_FUTURE), Slot(u64::MAX));
    }

    #[test]
    fn timer_start_is_thirds_where_the_due_point_is_basis_points() {
        let chain = chain();
        let start = chain.slot_start(Slot(3));
        assert_eq!(
            chain.timer_start(Duty::attester(Slot(3))),
            start + Duration::from_secs(4)
        );
        assert_eq!(
            chain.due(Duty::attester(Slot(3))),
            start + Duration::from_millis(3999)
        );
        let aggregator = Duty::new(Slot(3), DutyKind::Aggregator);
        assert_eq!(
            chain.timer_start(aggregator),
            start + Duration::from_secs(8)
        );
        assert_eq!(chain.due(Duty::new(Slot(3), DutyKind::Proposer)), start);
    }

    #[test]
    fn gate_never_refuses_the_past_and_holds_before_genesis() {
        let chain = chain();
        let now = chain.slot_start(Slot(1000));
        assert_eq!(chain.gate(Duty::attester(Slot(0)), now), Ok(()));
        let long_before = Timestamp::from_secs(1);
        assert_eq!(chain.gate(Duty::attester(Slot(95)), long_before), Ok(()));
        assert!(chain.gate(Duty::attester(Slot(96)), long_before).is_err());
    }
}
