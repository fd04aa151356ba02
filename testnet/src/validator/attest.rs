//! Attestations: at their due point, or as soon as the slot's block is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, Bitlist, CommitteeIndex, DomainType, DutyKind,
    SignatureBytes, SingleAttestation, Slot, ValidatorIndex,
};
use serde::Deserialize;

use super::context::{Context, Failure};
use super::http::Post;
use super::list::variable;
use super::report::Kind;

/// What was attested, by validator.
pub(super) type Attested = BTreeMap<ValidatorIndex, AttestationData>;

/// Attests for all duties of a slot.
pub(super) async fn attest(
    context: &Arc<Context>,
    slot: Slot,
    duties: &[AttesterDuty],
) -> Attested {
    context.due_or_head(slot, DutyKind::Attester).await;
    let mut by_committee: BTreeMap<CommitteeIndex, Vec<AttesterDuty>> = BTreeMap::new();
    for duty in duties {
        // From Electra on the data does not tell the committee: one question serves all.
        let asked = match context.fork(slot).has_committee_bits() {
            true => CommitteeIndex(0),
            false => duty.committee_index,
        };
        by_committee.entry(asked).or_default().push(*duty);
    }
    let committees = by_committee
        .iter()
        .map(|(committee, duties)| for_committee(context, slot, *committee, duties));
    let mut attested = Attested::new();
    for of_committee in futures::future::join_all(committees).await {
        attested.extend(of_committee);
    }
    attested
}

async fn for_committee(
    context: &Arc<Context>,
    slot: Slot,
    committee: CommitteeIndex,
    duties: &[AttesterDuty],
) -> Attested {
    match data(context, slot, committee).await {
        Ok(data) => sign_and_submit(context, slot, data, duties).await,
        Err(why) => {
            let count = duties.len() as u64;
            context.count(Kind::Attestations, slot, count, Err(why));
            Attested::new()
        }
    }
}

async fn data(
    context: &Context,
    slot: Slot,
    committee: CommitteeIndex,
) -> Result<AttestationData, Failure> {
    #[derive(Deserialize)]
    struct Answer {
        data: AttestationData,
    }
    let path =
        format!("/eth/v1/validator/attestation_data?slot={slot}&committee_index={committee}");
    let answer = context.http.get_either(&path, context.limit(slot)).await?;
    let data = match answer.ssz {
        true => AttestationData::decode(&answer.bytes)?,
        false => answer.json::<Answer>(&path)?.data,
    };
    match data.slot == slot {
        true => Ok(data),
        false => Err(Failure::WrongSlot {
            what: "attestation data",
            expected: slot,
            got: data.slot,
        }),
    }
}

async fn sign_and_submit(
    context: &Arc<Context>,
    slot: Slot,
    data: AttestationData,
    duties: &[AttesterDuty],
) -> Attested {
    let root = context.signing_root(data.tree_hash_root(), slot, DomainType::BEACON_ATTESTER);
    let mut items = Vec::new();
    for duty in duties {
        match context.guard.vote(duty.validator_index, &data) {
            Ok(()) => items.push((*duty, duty.validator_index, root)),
            Err(why) => context.count(Kind::Attestations, slot, 1, Err(why.into())),
        }
    }
    let signed = context.sign_all(items).await;
    let attested = signed
        .iter()
        .map(|(duty, _)| (duty.validator_index, data))
        .collect();
    let count = signed.len() as u64;
    let result = submit(context, slot, data, signed).await;
    context.count(Kind::Attestations, slot, count, result);
    attested
}

async fn submit(
    context: &Context,
    slot: Slot,
    data: AttestationData,
    signed: Vec<(AttesterDuty, SignatureBytes)>,
) -> Result<(), Failure> {
    if signed.is_empty() {
        return Ok(());
    }
    let fork = context.fork(slot);
    let post = match fork.has_committee_bits() {
        true => singles(data, signed),
        false => with_bits(data, signed)?,
    };
    let path = "/eth/v2/beacon/pool/attestations";
    let limit = context.limit(slot);
    Ok(context.http.post(path, post.of_fork(fork), limit).await?)
}

/// The form from Electra on.
fn singles(data: AttestationData, signed: Vec<(AttesterDuty, SignatureBytes)>) -> Post {
    let single = |(duty, signature): (AttesterDuty, _)| SingleAttestation {
        committee_index: duty.committee_index,
        attester_index: duty.validator_index,
        data,
        signature,
    };
    let list: Vec<_> = signed.into_iter().map(single).collect();
    let ssz = list.iter().flat_map(SingleAttestation::encode).collect();
    Post::json(&list).or_ssz(ssz)
}

/// The form up to Deneb: one bit of the committee's.
fn with_bits(
    data: AttestationData,
    signed: Vec<(AttesterDuty, SignatureBytes)>,
) -> Result<Post, Failure> {
    let attestation = |(duty, signature): (AttesterDuty, _)| {
        let (length, place) = (duty.committee_length, duty.validator_committee_index);
        Ok(Attestation::Phase0 {
            aggregation_bits: Bitlist::with_one(length, place)?,
            data,
            signature,
        })
    };
    let list: Vec<Attestation> = signed
        .into_iter()
        .map(attestation)
        .collect::<Result<_, Failure>>()?;
    let items: Vec<_> = list.iter().map(Attestation::encode).collect();
    Ok(Post::json(&list).or_ssz(variable(&items)))
}
