//! What is particular to attestations: the check of a proposed value (S1), the signed object, the slashable vote (S2).

use flotilla_types::{
    AttestationData, AttesterValue, Chain, Duty, Fork, PublicKeyBytes, Root, SignedAttestation,
    SignedData,
};

use super::{Object, UNSIGNED};
use crate::io::UnsignedSet;
use crate::knowledge::Knowledge;
use crate::outcome::ValueFault;
use crate::schedule::{Definition, Definitions};
use crate::slashing::{Attestation, Vote};

/// S1, for one validator's entry.
pub(crate) fn check(
    duty: Duty,
    validator: &PublicKeyBytes,
    value: &AttesterValue,
    chain: &Chain,
) -> Result<(), ValueFault> {
    if value.duty.pubkey != *validator {
        return Err(ValueFault::WrongValidator(*validator));
    }
    if value.duty.slot != duty.slot {
        return Err(ValueFault::WrongSlot {
            expected: duty.slot.0,
            found: value.duty.slot.0,
        });
    }
    if object(value, chain).is_none() {
        return Err(ValueFault::ImpossiblePosition(*validator));
    }
    check_data(duty, &value.data, Some(value.duty.committee_index.0), chain)
}

/// The part of S1 that concerns what is signed. `committee` is needed before Electra only.
fn check_data(
    duty: Duty,
    data: &AttestationData,
    committee: Option<u64>,
    chain: &Chain,
) -> Result<(), ValueFault> {
    if data.slot != duty.slot {
        return Err(ValueFault::WrongSlot {
            expected: duty.slot.0,
            found: data.slot.0,
        });
    }
    let epoch = chain.epoch_of(duty.slot);
    let index = data.index.0;
    // EIP-7549: from Electra on the committee is named outside the signed data.
    let legal = match chain.fork_at(epoch) >= Fork::Electra {
        true => index == 0,
        false => committee.is_none_or(|committee| index == committee),
    };
    if !legal {
        return Err(ValueFault::IllegalIndex(index));
    }
    let (source, target) = (data.source.epoch, data.target.epoch);
    if target != epoch {
        return Err(ValueFault::WrongTarget {
            expected: epoch.0,
            found: target.0,
        });
    }
    if source > target {
        return Err(ValueFault::SourceAfterTarget {
            source_epoch: source.0,
            target_epoch: target.0,
        });
    }
    Ok(())
}

/// Whether the committee positions in a value are those our own beacon node gave.
///
/// A wrong position is not dangerous to sign, since it is outside the signed data, but the result would be worthless; so it
/// is a reason not to vote for a value, and none to refuse a decision.
pub(crate) fn check_positions(
    set: &UnsignedSet,
    definitions: &Definitions,
) -> Result<(), ValueFault> {
    set.iter().try_for_each(|(validator, data)| {
        let value = data.attester().ok_or(ValueFault::WrongKind(*validator))?;
        let known = definitions.get(validator).and_then(Definition::attester);
        match known.is_none_or(|known| *known == value.duty) {
            true => Ok(()),
            false => Err(ValueFault::WrongPosition(*validator)),
        }
    })
}

/// The object to sign for one validator; `None` when the committee numbers are impossible, which [`check`] rules out.
pub(crate) fn object(value: &AttesterValue, chain: &Chain) -> Option<SignedData> {
    let fork = chain.fork_at(chain.epoch_of(value.data.slot));
    let signed = SignedAttestation::from_value(value, fork, UNSIGNED).ok()?;
    Some(SignedData::Attester(signed))
}

/// What the slashing database must know about an attestation before it is signed.
pub(crate) fn vote(signed: &SignedAttestation, signing_root: Root) -> Vote {
    let data = signed.data();
    Vote::Attestation(Attestation {
        source: data.source.epoch,
        target: data.target.epoch,
        signing_root,
    })
}

/// The object to sign once partial signatures have proven what was decided (S8), checked like any value (S1).
///
/// The committee position lies outside the signed data, so our own beacon node's is taken where it is known.
pub(crate) fn adopt(
    validator: &PublicKeyBytes,
    proven: &SignedAttestation,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Result<Object, ValueFault> {
    let data = *proven.data();
    let known = knowledge
        .definitions
        .get(validator)
        .and_then(Definition::attester);
    let committee = known.map(|known| known.committee_index.0);
    check_data(knowledge.duty, &data, committee, chain)?;
    let object = match known {
        Some(&duty) => object(&AttesterValue { data, duty }, chain)
            .ok_or(ValueFault::ImpossiblePosition(*validator))?,
        None => SignedData::Attester(proven.clone()),
    };
    Ok(Object::new(object, chain))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use flotilla_types::{
        AttesterDuty, ChainSpec, Checkpoint, CommitteeIndex, Epoch, Slot, UnsignedData,
        ValidatorIndex,
    };

    use super::super::check_value;
    use super::super::testing::{VALIDATOR, World, chain};
    use super::*;

    const DUTY: Duty = Duty::attester(Slot(40));

    fn value() -> AttesterValue {
        let checkpoint = |epoch| Checkpoint {
            epoch: Epoch(epoch),
            root: Root([2; 32]),
        };
        let data = AttestationData {
            slot: Slot(40),
            index: CommitteeIndex(0),
            beacon_block_root: Root([3; 32]),
            source: checkpoint(4),
            target: checkpoint(5),
        };
        let duty = AttesterDuty {
            pubkey: VALIDATOR,
            slot: Slot(40),
            validator_index: ValidatorIndex(5),
            committee_index: CommitteeIndex(2),
            committee_length: 8,
            committees_at_slot: 4,
            validator_committee_index: 3,
        };
        AttesterValue { data, duty }
    }

    fn check(change: impl FnOnce(&mut AttesterValue)) -> Result<(), ValueFault> {
        let mut value = value();
        change(&mut value);
        let set = UnsignedSet::from([(VALIDATOR, UnsignedData::Attester(value))]);
        verdict(&set)
    }

    fn verdict(set: &UnsignedSet) -> Result<(), ValueFault> {
        let world = World::new(DUTY);
        check_value(set, &world.knowledge, &world.facts())
    }

    #[test]
    fn s1_an_honest_value_passes() {
        assert_eq!(check(|_| ()), Ok(()));
    }

    #[test]
    fn s1_a_target_in_another_epoch_is_refused() {
        for epoch in [4, 6, 1_000_000] {
            let found = check(|value| value.data.target.epoch = Epoch(epoch));
            assert_eq!(
                found,
                Err(ValueFault::WrongTarget {
                    expected: 5,
                    found: epoch
                })
            );
        }
    }

    #[test]
    fn s1_a_source_after_the_target_is_refused() {
        let found = check(|value| value.data.source.epoch = Epoch(6));
        assert_eq!(
            found,
            Err(ValueFault::SourceAfterTarget {
                source_epoch: 6,
                target_epoch: 5
            })
        );
    }

    #[test]
    fn s1_another_slot_or_index_is_refused() {
        let wrong_slot = Err(ValueFault::WrongSlot {
            expected: 40,
            found: 41,
        });
        assert_eq!(check(|value| value.data.slot = Slot(41)), wrong_slot);
        assert_eq!(check(|value| value.duty.slot = Slot(41)), wrong_slot);
        assert_eq!(
            check(|value| value.data.index = CommitteeIndex(2)),
            Err(ValueFault::IllegalIndex(2))
        );
    }

    #[test]
    fn s1_strangers_and_swapped_validators_are_refused() {
        let stranger = PublicKeyBytes([8; 48]);
        assert_eq!(
            check(|value| value.duty.pubkey = stranger),
            Err(ValueFault::WrongValidator(VALIDATOR))
        );
        let set = UnsignedSet::from([(stranger, UnsignedData::Attester(value()))]);
        let found = verdict(&set);
        assert_eq!(found, Err(ValueFault::UnknownValidator(stranger)));
        assert_eq!(verdict(&UnsignedSet::new()), Err(ValueFault::Empty));
    }

    #[test]
    fn s1_an_impossible_committee_is_refused() {
        let found = check(|value| value.duty.committee_index = CommitteeIndex(100_000));
        assert_eq!(found, Err(ValueFault::ImpossiblePosition(VALIDATOR)));
    }

    #[test]
    fn another_committee_position_than_our_beacon_nodes_withholds_the_vote_only() {
        let mut other = value();
        other.duty.validator_committee_index = 4;
        let set = UnsignedSet::from([(VALIDATOR, UnsignedData::Attester(other))]);
        assert_eq!(verdict(&set), Ok(()));
        let known = Definitions::from([(VALIDATOR, Definition::Attester(value().duty))]);
        assert_eq!(
            check_positions(&set, &known),
            Err(ValueFault::WrongPosition(VALIDATOR))
        );
        assert_eq!(check_positions(&set, &Definitions::new()), Ok(()));
    }

    #[test]
    fn s11_a_fork_that_is_not_known_refuses_from_its_epoch() {
        let mut config: BTreeMap<String, String> = chain().spec.to_config();
        config.insert("GLOAS_FORK_VERSION".into(), "0x80000000".into());
        for (epoch, refused) in [(5, true), (6, false)] {
            config.insert("GLOAS_FORK_EPOCH".into(), epoch.to_string());
            let mut world = World::new(DUTY);
            let chain = Chain {
                spec: ChainSpec::from_config(&config).unwrap(),
                ..chain()
            };
            let set = UnsignedSet::from([(VALIDATOR, UnsignedData::Attester(value()))]);
            let expected = if refused {
                Err(ValueFault::UnknownFork(epoch))
            } else {
                Ok(())
            };
            world.chain = chain;
            assert_eq!(
                check_value(&set, &world.knowledge, &world.facts()),
                expected
            );
        }
    }
}
