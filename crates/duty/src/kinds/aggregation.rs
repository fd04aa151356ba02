//! What is particular to aggregations: who is selected, what to ask the beacon node for, the signed object.

use flotilla_types::{
    AggregateAndProof, AggregateValue, AttesterDuty, Chain, PublicKeyBytes, SignatureBytes,
    SignedAggregateAndProof, SignedData, is_attestation_aggregator,
};

use super::UNSIGNED;
use crate::io::{AggregateRequest, Item};
use crate::knowledge::Knowledge;
use crate::outcome::ValueFault;
use crate::schedule::Definition;

/// S1, for one validator's entry: it must be of what the cluster attested, as far as that is known here.
pub(crate) fn check(
    validator: &PublicKeyBytes,
    value: &AggregateValue,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Result<(), ValueFault> {
    let fork = chain.fork_at(chain.epoch_of(knowledge.duty.slot));
    if !value.aggregate.has_shape_of(fork) {
        return Err(ValueFault::ImpossiblePosition(*validator));
    }
    match knowledge.lessons.attested.get(validator) {
        Some(attested) if attested != value.aggregate.data() => {
            Err(ValueFault::NotAttested(*validator))
        }
        _ => Ok(()),
    }
}

/// Whether a validator is selected; `None` while its selection proof is not known.
pub(crate) fn selected(
    validator: &PublicKeyBytes,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Option<bool> {
    let duty = knowledge.definitions.get(validator)?.attester()?;
    let proof = knowledge.lessons.selections.get(&Item::whole(*validator))?;
    Some(is_selected(duty, proof, chain))
}

/// Whether the holder of this selection proof aggregates for its committee.
pub(crate) fn is_selected(duty: &AttesterDuty, proof: &SignatureBytes, chain: &Chain) -> bool {
    let target = chain.spec.sizes.target_aggregators_per_committee;
    is_attestation_aggregator(proof, duty.committee_length, target)
}

/// What to ask the beacon node for: everything that is known to be wanted.
pub(crate) fn requests(knowledge: &Knowledge, chain: &Chain) -> Vec<AggregateRequest> {
    let request = |(validator, definition): (&PublicKeyBytes, &Definition)| {
        let wanted = selected(validator, knowledge, chain)?;
        let data = *knowledge.lessons.attested.get(validator)?;
        wanted.then_some(AggregateRequest {
            validator: *validator,
            committee: definition.attester()?.committee_index,
            data,
        })
    };
    knowledge.definitions.iter().filter_map(request).collect()
}

/// The object to sign, once the selection proof is known.
pub(crate) fn object(
    validator: PublicKeyBytes,
    value: &AggregateValue,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Option<SignedData> {
    let message = AggregateAndProof {
        aggregator_index: knowledge.definitions.get(&validator)?.index(),
        aggregate: value.aggregate.clone(),
        selection_proof: *knowledge.lessons.selections.get(&Item::whole(validator))?,
    };
    let fork = chain.fork_at(chain.epoch_of(value.slot()));
    let signed = SignedAggregateAndProof::new(fork, message, UNSIGNED, &chain.spec.sizes).ok()?;
    Some(SignedData::Aggregator(signed))
}
