//! What liars say. They have only their own key; everything else they must have heard.

use flotilla_duty::io::{ConsensusDraft, Partial, PartialSet, UnsignedSet, Value};
use flotilla_qbft::{self as qbft, MessageKind};
use flotilla_types::{
    AggregateAndProof, AggregateValue, Attestation, AttesterValue, Bitlist, Chain, Checkpoint,
    Epoch, ExecutionAddress, Fork, ListSizes, Proposal, PublicKeyBytes, Root, SignatureBytes,
    SignedAggregateAndProof, SignedData, Slot, SyncCommitteeContribution, SyncContributions,
    UnsignedData, ValidatorIndex,
};

use crate::beacon;
use crate::block::Draft;
use crate::dice::Dice;

/// A head that no honest beacon node has.
const LIARS_HEAD: Root = Root([0x99; 32]);
/// The voice in aggregates that no honest beacon node has heard.
const LIARS_VOICE: u64 = 17;

/// The same as `proposal`, as a draft to be changed.
fn draft_of(proposal: &Proposal) -> Draft {
    let facts = proposal.facts();
    Draft {
        fork: proposal.fork(),
        slot: proposal.slot(),
        proposer: facts.header.proposer_index,
        parent: facts.header.parent_root,
        randao: facts.randao_reveal,
        fee_recipient: facts.fee_recipient.unwrap_or_default(),
        graffiti: Root(facts.graffiti),
        blinded: proposal.is_blinded(),
    }
}

/// Another block, as good as this one.
pub fn other_block(proposal: &Proposal, chain: &Chain) -> Proposal {
    let draft = Draft {
        graffiti: LIARS_HEAD,
        ..draft_of(proposal)
    };
    draft.proposal(&chain.spec.sizes)
}

/// Another aggregate of the same votes, as good as this one.
pub fn other_aggregate(value: &AggregateValue) -> AggregateValue {
    let mut value = value.clone();
    if let Attestation::Electra {
        aggregation_bits, ..
    } = &mut value.aggregate
    {
        let length = aggregation_bits.length();
        *aggregation_bits =
            Bitlist::with_one(length, LIARS_VOICE % length).expect("a place in the list");
    }
    value
}

/// Another contribution of the same head, as good as this one.
pub fn other_contribution(
    contribution: &SyncCommitteeContribution,
    sizes: &ListSizes,
) -> SyncCommitteeContribution {
    SyncCommitteeContribution {
        aggregation_bits: beacon::subcommittee_bits(LIARS_VOICE, sizes),
        ..contribution.clone()
    }
}

/// Contributions in the form the honest ones have.
fn contributions(
    honest: &SyncContributions,
    change: impl FnMut(&SyncCommitteeContribution) -> SyncCommitteeContribution,
) -> SyncContributions {
    let mut items: Vec<_> = honest.items().iter().map(change).collect();
    match (honest.is_plural(), items.pop()) {
        (false, Some(single)) => SyncContributions::single(single),
        (_, last) => {
            items.extend(last);
            SyncContributions::plural(items).unwrap_or_else(|| honest.clone())
        }
    }
}

/// A value that is as good as the honest one.
pub fn other_value(honest: &UnsignedSet, chain: &Chain) -> UnsignedSet {
    let twist = |data: &UnsignedData| match data {
        UnsignedData::Attester(value) => {
            let mut value = *value;
            value.data.beacon_block_root = LIARS_HEAD;
            UnsignedData::Attester(value)
        }
        UnsignedData::Proposer(proposal) => UnsignedData::Proposer(other_block(proposal, chain)),
        UnsignedData::Aggregator(value) => UnsignedData::Aggregator(other_aggregate(value)),
        UnsignedData::SyncContribution(value) => {
            let sizes = &chain.spec.sizes;
            UnsignedData::SyncContribution(contributions(value, |item| {
                other_contribution(item, sizes)
            }))
        }
    };
    honest
        .iter()
        .map(|(validator, data)| (*validator, twist(data)))
        .collect()
}

/// A value that nobody should sign.
pub fn bad_value(
    honest: &UnsignedSet,
    validators: &[PublicKeyBytes],
    chain: &Chain,
    dice: &mut Dice,
) -> UnsignedSet {
    let fault = dice.below(8);
    if fault == 0 {
        return misplaced(honest, validators);
    }
    let twist = |data: &UnsignedData| match data {
        UnsignedData::Attester(value) => UnsignedData::Attester(bad_vote(*value, fault)),
        UnsignedData::Proposer(proposal) => {
            UnsignedData::Proposer(bad_block(proposal, fault).proposal(&chain.spec.sizes))
        }
        UnsignedData::Aggregator(value) => UnsignedData::Aggregator(bad_aggregate(value, fault)),
        UnsignedData::SyncContribution(value) => {
            UnsignedData::SyncContribution(contributions(value, |item| {
                bad_contribution(item, fault)
            }))
        }
    };
    honest
        .iter()
        .map(|(validator, data)| (*validator, twist(data)))
        .collect()
}

/// The data of every validator under the next one's key, as if that one had the duty; a block under both keys.
fn misplaced(honest: &UnsignedSet, validators: &[PublicKeyBytes]) -> UnsignedSet {
    let mut set = UnsignedSet::new();
    for (validator, data) in honest {
        let place = validators.iter().position(|known| known == validator);
        let next = validators[(place.unwrap_or(0) + 1) % validators.len()];
        if matches!(data, UnsignedData::Proposer(_)) {
            set.insert(*validator, data.clone());
        }
        let mut data = data.clone();
        if let UnsignedData::Attester(value) = &mut data {
            value.duty.pubkey = next;
        }
        set.insert(next, data);
    }
    set
}

fn bad_vote(mut value: AttesterValue, fault: u64) -> AttesterValue {
    let data = &mut value.data;
    match fault {
        1 | 2 => {
            data.target = Checkpoint {
                epoch: Epoch(data.target.epoch.0 + 1_000_000),
                ..data.target
            }
        }
        3 | 4 => {
            data.source = Checkpoint {
                epoch: Epoch(data.target.epoch.0 + 1),
                ..data.source
            }
        }
        5 | 6 => data.slot = Slot(data.slot.0 + 1),
        _ => data.index.0 = 7,
    }
    value
}

fn bad_block(proposal: &Proposal, fault: u64) -> Draft {
    let draft = draft_of(proposal);
    match fault {
        1 => Draft {
            slot: Slot(draft.slot.0 + 1),
            ..draft
        },
        2 => Draft {
            fork: Fork::Electra,
            ..draft
        },
        3 => Draft {
            proposer: ValidatorIndex(draft.proposer.0 + 1),
            ..draft
        },
        4 | 5 => Draft {
            randao: SignatureBytes([0x99; 96]),
            ..draft
        },
        _ => Draft {
            fee_recipient: ExecutionAddress([0x99; 20]),
            blinded: false,
            ..draft
        },
    }
}

fn bad_aggregate(value: &AggregateValue, fault: u64) -> AggregateValue {
    let mut value = value.clone();
    if let Attestation::Electra { data, .. } = &mut value.aggregate {
        match fault {
            1..4 => data.slot = Slot(data.slot.0 + 1),
            _ => data.beacon_block_root = LIARS_HEAD,
        }
    }
    value
}

fn bad_contribution(
    contribution: &SyncCommitteeContribution,
    fault: u64,
) -> SyncCommitteeContribution {
    let mut contribution = contribution.clone();
    match fault {
        1..3 => contribution.slot = Slot(contribution.slot.0 + 1),
        3..5 => contribution.beacon_block_root = LIARS_HEAD,
        // No validator of ours has a seat there.
        _ => contribution.subcommittee_index = 2,
    }
    contribution
}

/// A draft that says the same about another value, in another round if need be, with nothing to justify it.
pub fn draft_for(
    honest: &ConsensusDraft,
    kind: MessageKind,
    round: u64,
    value: Option<Value>,
) -> ConsensusDraft {
    ConsensusDraft {
        duty: honest.duty,
        draft: qbft::Draft {
            kind,
            round,
            value: value.as_ref().map(|value| value.hash),
            prepared_round: 0,
            prepared_value: None,
        },
        justification: if kind == MessageKind::PrePrepare && round == honest.draft.round {
            honest.justification.clone()
        } else {
            vec![]
        },
        values: honest.values.iter().cloned().chain(value).collect(),
    }
}

/// Partial signatures that are no good: over another root, or garbage.
pub fn spoil(
    set: &mut PartialSet,
    chain: &Chain,
    dice: &mut Dice,
    mut sign: impl FnMut(PublicKeyBytes, &mut Partial),
) {
    let garbage = dice.permille(500);
    for (validator, partial) in &mut set.items {
        match other_object(&partial.data, chain).filter(|_| !garbage) {
            Some(data) => {
                partial.data = data;
                sign(*validator, partial);
            }
            None => {
                let mut signature = *partial.data.signature();
                signature.0[..32].copy_from_slice(&dice.bytes());
                partial.data = partial.data.clone().with_signature(signature);
            }
        }
    }
}

/// Another object for the same duty; `None` where the duty leaves no choice.
fn other_object(data: &SignedData, chain: &Chain) -> Option<SignedData> {
    let mut data = data.clone();
    match &mut data {
        SignedData::Attester(signed) => {
            let (Attestation::Phase0 { data, .. } | Attestation::Electra { data, .. }) =
                &mut signed.attestation;
            data.beacon_block_root = LIARS_HEAD;
        }
        SignedData::Proposer(signed) => signed.proposal = other_block(&signed.proposal, chain),
        SignedData::Exit(signed) => signed.message.validator_index.0 += 1,
        SignedData::SyncMessage(message) => message.beacon_block_root = LIARS_HEAD,
        SignedData::SyncContribution(signed) => {
            let contribution = &mut signed.message.contribution;
            *contribution = other_contribution(contribution, &chain.spec.sizes);
        }
        SignedData::Aggregator(signed) => {
            let message = signed.message();
            let value = AggregateValue {
                fork: signed.fork(),
                aggregate: message.aggregate.clone(),
            };
            let message = AggregateAndProof {
                aggregate: other_aggregate(&value).aggregate,
                ..message.clone()
            };
            let fork = signed.fork()?;
            let signature = *signed.signature();
            let other =
                SignedAggregateAndProof::new(fork, message, signature, &chain.spec.sizes).ok()?;
            *signed = other;
        }
        _ => return None,
    }
    Some(data)
}
