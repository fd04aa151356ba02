//! What is particular to attestations: the check of a proposed value (S1), the signed object, the slashable vote (S2).

use flotilla_types::{
    AttestationData, AttesterValue, Chain, Duty, Fork, PublicKeyBytes, Root, SignatureBytes,
    SignedAttestation, SignedData,
};

use crate::engine::Cluster;
use crate::io::UnsignedSet;
use crate::outcome::ValueFault;
use crate::schedule::Definitions;
use crate::slashing::{Attestation, Vote};

/// S1: whether a value is one this node would sign, whoever proposed it.
pub(crate) fn check_value(
    duty: Duty,
    set: &UnsignedSet,
    cluster: &Cluster,
    chain: &Chain,
) -> Result<(), ValueFault> {
    if set.is_empty() {
        return Err(ValueFault::Empty);
    }
    set.iter().try_for_each(|(validator, data)| {
        let value = data.attester().ok_or(ValueFault::WrongKind(*validator))?;
        check_entry(duty, validator, value, cluster, chain)
    })
}

fn check_entry(
    duty: Duty,
    validator: &PublicKeyBytes,
    value: &AttesterValue,
    cluster: &Cluster,
    chain: &Chain,
) -> Result<(), ValueFault> {
    if !cluster.validators.contains(validator) {
        return Err(ValueFault::UnknownValidator(*validator));
    }
    if value.duty.pubkey != *validator {
        return Err(ValueFault::WrongValidator(*validator));
    }
    if value.duty.slot != duty.slot {
        return Err(ValueFault::WrongSlot {
            expected: duty.slot.0,
            found: value.duty.slot.0,
        });
    }
    if template(value, chain).is_none() {
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
    // S11: what a fork that we do not know makes of this vote is not known either.
    if let Some(from) = chain
        .spec
        .forks
        .unknown_after()
        .filter(|&from| epoch >= from)
    {
        return Err(ValueFault::UnknownFork(from.0));
    }
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
        match definitions
            .get(validator)
            .is_none_or(|known| *known == value.duty)
        {
            true => Ok(()),
            false => Err(ValueFault::WrongPosition(*validator)),
        }
    })
}

/// Stands where a signature will be.
const UNSIGNED: SignatureBytes = SignatureBytes([0; 96]);

/// The object to sign for one validator, with an all-zero signature, and its signing root.
///
/// `None` when the committee numbers are impossible, which [`check_value`] has ruled out.
pub(crate) fn template(value: &AttesterValue, chain: &Chain) -> Option<(SignedData, Root)> {
    let fork = chain.fork_at(chain.epoch_of(value.data.slot));
    let data = SignedData::Attester(SignedAttestation::from_value(value, fork, UNSIGNED).ok()?);
    let root = data.signing_root(chain);
    Some((data, root))
}

/// What the slashing database must know about an object before it is signed; `None` for what is no attestation.
pub(crate) fn vote(data: &SignedData, signing_root: Root) -> Option<Vote> {
    let data = data.attester()?.data();
    Some(Vote::Attestation(Attestation {
        source: data.source.epoch,
        target: data.target.epoch,
        signing_root,
    }))
}

/// The object to sign once partial signatures have proven what was decided (S8), checked like any value (S1).
///
/// The committee position lies outside the signed data, so our own beacon node's is taken where it is known.
pub(crate) fn adopt(
    duty: Duty,
    validator: &PublicKeyBytes,
    proven: &SignedData,
    definitions: &Definitions,
    chain: &Chain,
) -> Result<(SignedData, Root), ValueFault> {
    let attestation = proven.attester().ok_or(ValueFault::WrongKind(*validator))?;
    let data = *attestation.data();
    check_data(
        duty,
        &data,
        definitions
            .get(validator)
            .map(|known| known.committee_index.0),
        chain,
    )?;
    match definitions.get(validator) {
        Some(&duty) => template(&AttesterValue { data, duty }, chain)
            .ok_or(ValueFault::ImpossiblePosition(*validator)),
        None => {
            let data = proven.clone().with_signature(UNSIGNED);
            let root = data.signing_root(chain);
            Ok((data, root))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;
    use std::time::Duration;

    use flotilla_types::{
        AttesterDuty, ChainSpec, Checkpoint, CommitteeIndex, Epoch, ForkVersion, PeerIndex, Slot,
        Timestamp, UnsignedData, ValidatorIndex,
    };

    use super::*;

    const VALIDATOR: PublicKeyBytes = PublicKeyBytes([9; 48]);
    const DUTY: Duty = Duty::attester(Slot(40));

    fn chain() -> Chain {
        let spec = ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0]));
        Chain {
            spec,
            genesis_time: Timestamp::from_secs(1),
            genesis_validators_root: Root([1; 32]),
        }
    }

    fn cluster() -> Cluster {
        Cluster {
            me: PeerIndex::new(0),
            nodes: 4,
            threshold: 3,
            validators: [VALIDATOR].into(),
        }
    }

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
        check_value(DUTY, &set, &cluster(), &chain())
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
        let found = check_value(DUTY, &set, &cluster(), &chain());
        assert_eq!(found, Err(ValueFault::UnknownValidator(stranger)));
        assert_eq!(
            check_value(DUTY, &UnsignedSet::new(), &cluster(), &chain()),
            Err(ValueFault::Empty)
        );
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
        assert_eq!(check_value(DUTY, &set, &cluster(), &chain()), Ok(()));
        let known = Definitions::from([(VALIDATOR, value().duty)]);
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
            assert_eq!(check_value(DUTY, &set, &cluster(), &chain), expected);
        }
    }
}
