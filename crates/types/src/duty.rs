//! What a validator owes the chain: kinds of duties and single duties.

use std::fmt;

use crate::Slot;

macro_rules! duty_kinds {
    ($($(#[$doc:meta])* $kind:ident = $wire:literal, $name:literal;)*) => {
        /// A kind of duty. The discriminant is the number on the cluster's wire; 14 and 15 are spoken for by the next
        /// fork, so this list grows and nothing may count on 13.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum DutyKind {
            $($(#[$doc])* $kind = $wire,)*
        }

        impl DutyKind {
            /// Every kind, by ascending wire number.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// The kind with this number on the wire, if there is one.
            pub const fn from_wire(number: i32) -> Option<Self> {
                match number {
                    $($wire => Some(Self::$kind),)*
                    _ => None,
                }
            }

            /// The name used in logs, metrics and on the wire's text form.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

duty_kinds! {
    /// Propose a block.
    Proposer = 1, "proposer";
    /// Attest to a head, source and target.
    Attester = 2, "attester";
    /// A bare signature, exchanged in ceremonies.
    Signature = 3, "signature";
    /// Leave the validator set.
    Exit = 4, "exit";
    /// Deprecated; its number stays taken.
    BuilderProposer = 5, "builder_proposer";
    /// Register with block builders.
    BuilderRegistration = 6, "builder_registration";
    /// Reveal the epoch's randomness, needed for a proposal.
    Randao = 7, "randao";
    /// Prove selection as an aggregator of attestations.
    PrepareAggregator = 8, "prepare_aggregator";
    /// Aggregate a committee's attestations.
    Aggregator = 9, "aggregator";
    /// Sign the head as a member of the sync committee.
    SyncMessage = 10, "sync_message";
    /// Prove selection as an aggregator of a sync subcommittee.
    PrepareSyncContribution = 11, "prepare_sync_contribution";
    /// Aggregate a sync subcommittee's messages.
    SyncContribution = 12, "sync_contribution";
    /// Agree on versions and preferences of the cluster; nothing is signed for the chain.
    InfoSync = 13, "info_sync";
}

impl DutyKind {
    /// The number on the cluster's wire.
    pub const fn wire(self) -> i32 {
        self as i32
    }

    /// The kind with this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for DutyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One duty of the cluster: all its validators that have this kind of work in this slot. Ordered by slot first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duty {
    /// The slot the work belongs to.
    pub slot: Slot,
    /// The kind of work.
    pub kind: DutyKind,
}

impl Duty {
    /// The duty of this kind in this slot.
    pub const fn new(slot: Slot, kind: DutyKind) -> Self {
        Self { slot, kind }
    }

    /// The attester duty of this slot.
    pub const fn attester(slot: Slot) -> Self {
        Self::new(slot, DutyKind::Attester)
    }
}

impl fmt::Display for Duty {
    /// As in logs: `<slot>/<kind>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.slot, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_numbers_and_names_lead_back_to_the_kind() {
        for &kind in DutyKind::ALL {
            assert_eq!(DutyKind::from_wire(kind.wire()), Some(kind));
            assert_eq!(DutyKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(DutyKind::ALL.len(), 13);
    }

    #[test]
    fn unknown_wire_numbers_are_no_kind() {
        for number in [i32::MIN, -1, 0, 14, 100, i32::MAX] {
            assert_eq!(DutyKind::from_wire(number), None);
        }
    }

    #[test]
    fn duties_order_by_slot_first() {
        assert!(Duty::new(Slot(1), DutyKind::InfoSync) < Duty::new(Slot(2), DutyKind::Proposer));
        assert_eq!(Duty::attester(Slot(12)).to_string(), "12/attester");
    }
}
