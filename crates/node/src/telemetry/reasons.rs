//! Short words for reasons: those of the field where it has one (spec 30 §8.1), our own where it has none.

use flotilla_duty::io::Rejected;
use flotilla_duty::outcome::{Ingredient, Reason};
use flotilla_types::DutyKind;

/// The code that dashboards of the field know for a missed duty.
pub fn code(kind: DutyKind, reason: &Reason) -> &'static str {
    match reason {
        Reason::NoData(_) => "fetch_bn_error",
        Reason::NoQuorum { .. } | Reason::NoDecision { .. } => "no_consensus",
        Reason::Unsigned | Reason::ClientSilent => "no_local_vc_signature",
        Reason::Missing(Ingredient::Randao) => "proposer_insufficient_randaos",
        Reason::Missing(Ingredient::Attestation) => "missing_aggregator_attestation",
        Reason::Missing(Ingredient::SyncMessage) => "sync_contribution_no_sync_msg",
        Reason::Missing(Ingredient::Selection) if kind == DutyKind::Aggregator => {
            "insufficient_aggregator_selections"
        }
        Reason::Missing(Ingredient::Selection) => "sync_contribution_few_prepares",
        Reason::TooFewPartials { have: 0 | 1, .. } => "no_peer_signatures",
        Reason::TooFewPartials { .. } | Reason::BadPartials { .. } => {
            "insufficient_peer_signatures"
        }
        Reason::NotAccepted(_) | Reason::NoAnswer => "broadcast_bn_error",
        other => other.label(),
    }
}

/// Why a peer's message was dropped.
pub fn rejected(reason: Rejected) -> &'static str {
    match reason {
        Rejected::Agreement(_) => "agreement",
        Rejected::Expired => "expired",
        Rejected::UnknownDuty => "unknown_duty",
        Rejected::UnknownValidator => "unknown_validator",
        Rejected::ForeignShare => "foreign_share",
        Rejected::SecondRoot => "second_root",
        Rejected::BadSignature => "bad_signature",
        Rejected::WrongSlot => "wrong_slot",
        Rejected::TooManyValues => "too_many_values",
        Rejected::TooManyDuties => "too_many_duties",
    }
}
