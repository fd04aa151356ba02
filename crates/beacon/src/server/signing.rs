//! Partial signatures from the client.

use std::sync::Arc;

use flotilla_types::{
    AggregateAndProof, Attestation, DecodeError, Fork, ListSizes, PublicKeyBytes, SignatureBytes,
    SignedAggregateAndProof, SignedAttestation, SignedContributionAndProof, SignedData,
    SignedVoluntaryExit, SingleAttestation, Slot, SyncCommitteeMessage, ValidatorIndex,
};
use serde::Deserialize as _;

use super::{
    answer::{Answer, empty},
    api::{ItemFailure, Partial, SignError, ValidatorApi},
    dispatch::Context,
    keys::Roster,
    lists::{Split, list},
    problem::Problem,
    request::Asked,
};

/// Bytes of a [`SingleAttestation`].
const SINGLE_BYTES: usize = 240;
/// Bytes of a [`SyncCommitteeMessage`].
const SYNC_MESSAGE_BYTES: usize = 144;
/// Bytes of a [`SignedContributionAndProof`] without its bits, the number of which is the preset's.
const CONTRIBUTION_BYTES_BESIDE_BITS: usize = 344;
/// An offset and the signature: where the message of a signed aggregate begins.
const MESSAGE_AT: usize = 4 + SignatureBytes::LENGTH;

/// An item with its validator, or why it is not taken.
pub(super) type Item = Result<(PublicKeyBytes, SignedData), String>;

/// `POST /eth/v2/beacon/pool/attestations`.
pub(super) async fn attestations<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let fork = asked.fork()?;
    let items = match fork.has_committee_bits() {
        true => {
            let singles = list(
                asked,
                Split::Every(SINGLE_BYTES),
                SingleAttestation::decode,
                |json| SingleAttestation::deserialize(json),
            )?;
            let roster = context.roster().await?;
            let of = |single| single_attestation(context, &roster, fork, single);
            singles.iter().map(of).collect()
        }
        false => {
            let attestations = list(
                asked,
                Split::ByOffsets,
                |bytes| Attestation::decode(fork, bytes),
                |json| Attestation::from_json(fork, json),
            )?;
            let mut items = Vec::with_capacity(attestations.len());
            for attestation in attestations {
                items.push(bit_attestation(context, fork, attestation).await?);
            }
            items
        }
    };
    hand_in(context, items).await
}

fn single_attestation<A: ValidatorApi>(
    context: &Context<A>,
    roster: &Roster,
    named: Fork,
    single: &SingleAttestation,
) -> Item {
    let group = group(roster, single.attester_index)?;
    let fork = fork_of(context, named, single.data.slot)?;
    let signed = SignedAttestation::from_single(fork, single).map_err(|error| error.to_string())?;
    Ok((group, SignedData::Attester(signed)))
}

/// Before Electra one set bit tells the validator, as a place in the committee.
async fn bit_attestation<A: ValidatorApi>(
    context: &Context<A>,
    named: Fork,
    attestation: Attestation,
) -> Result<Item, Problem> {
    if let Err(error) = attestation.check_sizes(&context.config.chain.spec.sizes) {
        return Ok(Err(error.to_string()));
    }
    let data = *attestation.data();
    let fork = match fork_of(context, named, data.slot) {
        Ok(fork) => fork,
        Err(problem) => return Ok(Err(problem)),
    };
    let mut bits = attestation.aggregation_bits().ones();
    let (Some(place), None) = (bits.next(), bits.next()) else {
        return Ok(Err("expected exactly one aggregation bit".to_owned()));
    };
    drop(bits);
    let member = context.api.committee_member(data.slot, data.index, place);
    let Some(group) = member.await? else {
        let (slot, index) = (data.slot, data.index);
        return Ok(Err(format!(
            "place {place} of committee {index} in slot {slot} is none of this cluster's validators"
        )));
    };
    let signed = SignedAttestation {
        fork,
        validator_index: None,
        attestation,
    };
    Ok(Ok((group, SignedData::Attester(signed))))
}

/// The chain's fork at a slot, if what the client named has the same shape of attestations.
fn fork_of<A: ValidatorApi>(context: &Context<A>, named: Fork, slot: Slot) -> Result<Fork, String> {
    let fork = context.fork_of(slot);
    match fork.has_committee_bits() == named.has_committee_bits() {
        true => Ok(fork),
        false => Err(format!(
            "Eth-Consensus-Version is {named}, but slot {slot} is of {fork}"
        )),
    }
}

/// `POST /eth/v2/validator/aggregate_and_proofs`.
pub(super) async fn aggregates<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let fork = asked.fork()?;
    let sizes = &context.config.chain.spec.sizes;
    let signed = list(
        asked,
        Split::ByOffsets,
        |bytes| aggregate_of_ssz(fork, bytes, sizes),
        |json| SignedAggregateAndProof::from_json(fork, json, sizes),
    )?;
    let roster = context.roster().await?;
    let items = signed.into_iter().map(|signed| {
        let group = group(&roster, signed.message().aggregator_index)?;
        fork_of(context, fork, signed.slot())?;
        Ok((group, SignedData::Aggregator(signed)))
    });
    hand_in(context, items.collect()).await
}

fn aggregate_of_ssz(
    fork: Fork,
    bytes: &[u8],
    sizes: &ListSizes,
) -> Result<SignedAggregateAndProof, DecodeError> {
    const WHAT: &str = "signed aggregate and proof";
    let (head, message) = bytes
        .split_at_checked(MESSAGE_AT)
        .ok_or(DecodeError::Length {
            what: WHAT,
            expected: MESSAGE_AT,
            got: bytes.len(),
        })?;
    let mut offset = [0; 4];
    let mut signature = SignatureBytes::default();
    offset.copy_from_slice(&head[..4]);
    signature.0.copy_from_slice(&head[4..]);
    match u32::from_le_bytes(offset) as usize {
        MESSAGE_AT => {
            let message = AggregateAndProof::decode(fork, message)?;
            SignedAggregateAndProof::new(fork, message, signature, sizes)
        }
        got => Err(DecodeError::Offset {
            what: WHAT,
            expected: MESSAGE_AT,
            got,
        }),
    }
}

/// `POST /eth/v1/beacon/pool/sync_committees`.
pub(super) async fn sync_messages<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let messages = list(
        asked,
        Split::Every(SYNC_MESSAGE_BYTES),
        SyncCommitteeMessage::decode,
        |json| SyncCommitteeMessage::deserialize(json),
    )?;
    let roster = context.roster().await?;
    let items = messages.into_iter().map(|message| {
        let group = group(&roster, message.validator_index)?;
        Ok((group, SignedData::SyncMessage(message)))
    });
    hand_in(context, items.collect()).await
}

/// `POST /eth/v1/validator/contribution_and_proofs`.
pub(super) async fn contributions<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let sizes = &context.config.chain.spec.sizes;
    let bits = sizes.sync_subcommittee_size().div_ceil(8) as usize;
    let signed = list(
        asked,
        Split::Every(CONTRIBUTION_BYTES_BESIDE_BITS + bits),
        |bytes| SignedContributionAndProof::decode(bytes, sizes),
        |json| SignedContributionAndProof::from_json(json, sizes),
    )?;
    let roster = context.roster().await?;
    let items = signed.into_iter().map(|signed| {
        let group = group(&roster, signed.message.aggregator_index)?;
        Ok((group, SignedData::SyncContribution(signed)))
    });
    hand_in(context, items.collect()).await
}

/// `POST /eth/v1/beacon/pool/voluntary_exits`.
pub(super) async fn exit<A: ValidatorApi>(
    context: &Context<A>,
    asked: &Asked,
) -> Result<Answer, Problem> {
    let exit: SignedVoluntaryExit = asked.json()?;
    let roster: Arc<Roster> = context.roster().await?;
    let group = group(&roster, exit.message.validator_index);
    let item = group.map(|group| (group, SignedData::Exit(exit)));
    hand_in(context, vec![item]).await
}

/// The validator of an index.
pub(super) fn group(roster: &Roster, index: ValidatorIndex) -> Result<PublicKeyBytes, String> {
    roster.group(index).ok_or_else(|| foreign(index))
}

/// What is said of an index that the cluster does not have.
pub(super) fn foreign(index: ValidatorIndex) -> String {
    format!("validator index {index} is none of this cluster's validators")
}

/// Hands in what can be handed in, and tells the client of all the rest at once.
pub(super) async fn hand_in<A: ValidatorApi>(
    context: &Context<A>,
    items: Vec<Item>,
) -> Result<Answer, Problem> {
    let (mut places, mut partials, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Ok((validator, data)) => {
                places.push(index);
                partials.push(Partial { validator, data });
            }
            Err(message) => failures.push(ItemFailure { index, message }),
        }
    }
    if !partials.is_empty() {
        failures.extend(refused(context.api.sign(partials).await, &places)?);
    }
    if failures.is_empty() {
        return Ok(empty());
    }
    failures.sort_by_key(|failure| failure.index);
    Err(Problem::of_items(failures))
}

/// What the node did not take, by places in the client's list.
fn refused(result: Result<(), SignError>, places: &[usize]) -> Result<Vec<ItemFailure>, Problem> {
    let refused = match result {
        Ok(()) => Vec::new(),
        Err(SignError::Items(refused)) => refused,
        Err(SignError::All(error)) => return Err(error.into()),
    };
    let in_list = |failure: ItemFailure| {
        let index = *places.get(failure.index)?;
        Some(ItemFailure { index, ..failure })
    };
    Ok(refused.into_iter().filter_map(in_list).collect())
}
