//! What is particular to sync committee contributions: who is selected, what to ask for, the signed objects.

use flotilla_types::{
    Chain, ContributionAndProof, PublicKeyBytes, SignedContributionAndProof, SignedData,
    SyncCommitteeContribution, SyncContributions, is_sync_aggregator,
};

use super::UNSIGNED;
use crate::io::{ContributionRequest, Item};
use crate::knowledge::Knowledge;
use crate::outcome::ValueFault;
use crate::schedule::Definition;

/// S1, for one validator's entry: seats it has, and the head that it signed, as far as these are known here.
pub(crate) fn check(
    validator: &PublicKeyBytes,
    value: &SyncContributions,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Result<(), ValueFault> {
    let seats = knowledge
        .definitions
        .get(validator)
        .and_then(Definition::sync)
        .map(|duty| duty.subcommittees(&chain.spec.sizes));
    let head = knowledge.lessons.heads.get(validator);
    for contribution in value.items() {
        if contribution.slot != knowledge.duty.slot {
            return Err(ValueFault::WrongSlot {
                expected: knowledge.duty.slot.0,
                found: contribution.slot.0,
            });
        }
        let seat = contribution.subcommittee_index;
        if seats.as_ref().is_some_and(|seats| !seats.contains(&seat)) {
            return Err(ValueFault::WrongPosition(*validator));
        }
        if head.is_some_and(|head| *head != contribution.beacon_block_root) {
            return Err(ValueFault::NotAttested(*validator));
        }
    }
    Ok(())
}

/// The subcommittees of a validator for which it is selected, and whether all its selection proofs are known.
pub(crate) fn selected(
    validator: &PublicKeyBytes,
    definition: &Definition,
    knowledge: &Knowledge,
    chain: &Chain,
) -> (Vec<u64>, bool) {
    let sizes = &chain.spec.sizes;
    let seats = definition
        .sync()
        .map(|duty| duty.subcommittees(sizes))
        .unwrap_or_default();
    let proof = |part: u64| {
        knowledge.lessons.selections.get(&Item {
            validator: *validator,
            part,
        })
    };
    let complete = seats.iter().all(|&seat| proof(seat).is_some());
    let wanted = seats
        .into_iter()
        .filter(|&seat| proof(seat).is_some_and(|proof| is_sync_aggregator(proof, sizes)))
        .collect();
    (wanted, complete)
}

/// What to ask the beacon node for. Unless all members read several contributions of a validator, only the first is wanted
/// (spec 30 §2.4).
pub(crate) fn requests(
    knowledge: &Knowledge,
    plural: bool,
    chain: &Chain,
) -> Vec<ContributionRequest> {
    let mut requests = Vec::new();
    for (validator, definition) in &knowledge.definitions {
        let Some(&block_root) = knowledge.lessons.heads.get(validator) else {
            continue;
        };
        let (seats, _) = selected(validator, definition, knowledge, chain);
        let wanted = if plural { seats.len() } else { 1 };
        requests.extend(
            seats
                .into_iter()
                .take(wanted)
                .map(|subcommittee| ContributionRequest {
                    validator: *validator,
                    subcommittee,
                    block_root,
                }),
        );
    }
    requests
}

/// The objects to sign, those whose selection proof is known.
pub(crate) fn objects(
    validator: PublicKeyBytes,
    value: &SyncContributions,
    knowledge: &Knowledge,
) -> Vec<SignedData> {
    let Some(definition) = knowledge.definitions.get(&validator) else {
        return Vec::new();
    };
    let object = |contribution: &SyncCommitteeContribution| {
        let part = contribution.subcommittee_index;
        let proof = knowledge
            .lessons
            .selections
            .get(&Item { validator, part })?;
        Some(SignedData::SyncContribution(SignedContributionAndProof {
            message: ContributionAndProof {
                aggregator_index: definition.index(),
                contribution: contribution.clone(),
                selection_proof: *proof,
            },
            signature: UNSIGNED,
        }))
    };
    value.items().iter().filter_map(object).collect()
}
