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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::path::Path;

    use flotilla_duty::outcome::{Step, ValueFault};
    use flotilla_types::{ExecutionAddress, Fork, PublicKeyBytes};

    use super::*;

    fn document() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/outcomes.md");
        fs::read_to_string(path).unwrap()
    }

    /// One of each. A new variant fails the match below, which is the reminder to add it here.
    fn reasons() -> Vec<Reason> {
        let mut reasons = vec![
            Reason::NoData(String::new()),
            Reason::NoQuorum {
                heard: 1,
                needed: 3,
            },
            Reason::NoDecision { rounds: 3 },
            Reason::NotInValue,
            Reason::Refused(ValueFault::Empty),
            Reason::Slashing(flotilla_duty::slashing::Refusal::DoubleVote(
                flotilla_types::Epoch(1),
            )),
            Reason::DatabaseSilent,
            Reason::Unsigned,
            Reason::ClientSilent,
            Reason::Paused,
            Reason::TooFewPartials { have: 2, needed: 3 },
            Reason::BadPartials { bad: 1 },
            Reason::NotAccepted(String::new()),
            Reason::NoAnswer,
        ];
        reasons.extend(Ingredient::ALL.map(Reason::Missing));
        for reason in &reasons {
            match reason {
                Reason::NoData(_)
                | Reason::Missing(_)
                | Reason::NoQuorum { .. }
                | Reason::NoDecision { .. }
                | Reason::NotInValue
                | Reason::Refused(_)
                | Reason::Slashing(_)
                | Reason::DatabaseSilent
                | Reason::Unsigned
                | Reason::ClientSilent
                | Reason::Paused
                | Reason::TooFewPartials { .. }
                | Reason::BadPartials { .. }
                | Reason::NotAccepted(_)
                | Reason::NoAnswer => {}
            }
        }
        reasons
    }

    #[test]
    fn every_step_and_reason_is_in_the_document_with_its_code() {
        let document = document();
        for step in Step::ALL {
            assert!(document.contains(&format!("`{}`", step.name())), "{step:?}");
        }
        for reason in reasons() {
            let label = format!("| `{}` |", reason.label());
            let row = document.lines().find(|line| line.contains(&label));
            let row = row.unwrap_or_else(|| panic!("docs/outcomes.md lacks a row with {label}"));
            for kind in [DutyKind::Aggregator, DutyKind::SyncContribution] {
                let code = code(kind, &reason);
                assert!(row.contains(&format!("`{code}`")), "{label} lacks {code}");
            }
        }
    }

    #[test]
    fn every_fault_of_a_value_is_in_the_document() {
        let validator = PublicKeyBytes([0; 48]);
        let faults = [
            (ValueFault::Empty, "the value is empty"),
            (
                ValueFault::UnknownValidator(validator),
                "is not in this cluster",
            ),
            (
                ValueFault::WrongKind(validator),
                "is of another kind than the duty",
            ),
            (
                ValueFault::WrongValidator(validator),
                "names another validator",
            ),
            (
                ValueFault::WrongSlot {
                    expected: 1,
                    found: 2,
                },
                "it is for slot",
            ),
            (ValueFault::IllegalIndex(1), "not legal at this fork"),
            (
                ValueFault::WrongTarget {
                    expected: 1,
                    found: 2,
                },
                "target epoch is",
            ),
            (
                ValueFault::SourceAfterTarget {
                    source_epoch: 2,
                    target_epoch: 1,
                },
                "is later than target epoch",
            ),
            (ValueFault::SeveralBlocks(2), "blocks"),
            (
                ValueFault::WrongFork {
                    expected: Fork::Electra,
                    found: Fork::Deneb,
                },
                "the block is of",
            ),
            (ValueFault::WrongProposer(1), "the block names proposer"),
            (ValueFault::RandaoUnknown, "randao reveal is not known here"),
            (ValueFault::WrongRandao, "another randao reveal"),
            (
                ValueFault::WrongFeeRecipient {
                    expected: ExecutionAddress([0; 20]),
                    found: ExecutionAddress([1; 20]),
                },
                "the block pays its fees to",
            ),
            (
                ValueFault::NotAttested(validator),
                "is not of what the cluster signed",
            ),
            (
                ValueFault::OtherChain,
                "does not fit the chain of our own beacon nodes",
            ),
            (
                ValueFault::WrongPosition(validator),
                "differs from our beacon node's",
            ),
            (ValueFault::ImpossiblePosition(validator), "is impossible"),
            (
                ValueFault::UnknownFork(1),
                "that this version does not know",
            ),
        ];
        let document = document();
        let (_, refusals) = document.split_once("## Refused values").unwrap();
        for (fault, words) in faults {
            assert!(fault.to_string().contains(words), "{fault}");
            assert!(refusals.contains(words), "docs/outcomes.md lacks {words:?}");
        }
    }
}
