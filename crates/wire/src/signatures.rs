//! The exchange of partial signatures (`ParSigExMsg`, spec 20 §6).
//!
//! Signatures are **not** checked here. What leaves [`decode`] is *claimed*: it is well-formed, for a validator of the cluster,
//! for the slot of its envelope, and bound to the share of the peer whose connection it came over; workers check the
//! signatures in batches. Of two copies of a signature on the wire the one inside the object counts, as everywhere.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_crypto::ShareIndex;
use flotilla_duty::io::{Partial, PartialSet};
use flotilla_types::{
    AttestationData, Chain, Duty, DutyKind, PeerIndex, PublicKeyBytes, Root, SignedData, Slot,
    Timestamp,
};

use crate::fields::{
    Content, Field, Part, fields, map_entries, put_bytes_field, put_message_field, put_varint_field,
};
use crate::reject::Reject;
use crate::statement::{encode_duty, read_duty};
use crate::values::read_key;

/// Longest message accepted, in bytes. The protocol's own limit is four times this; what honest nodes send is a
/// hundredth (spec 20 §11).
pub const MESSAGE_LIMIT: usize = 32 << 20;

mod number {
    pub(super) const DUTY: u32 = 1;
    pub(super) const DATA_SET: u32 = 2;
    pub(super) const ENTRY: u32 = 1;
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    pub(super) const DATA: u32 = 1;
    pub(super) const SIGNATURE: u32 = 2;
    pub(super) const SHARE_INDEX: u32 = 3;
}

/// The content of the frame in which we send our share's signatures.
#[must_use]
pub fn encode(set: &PartialSet) -> Vec<u8> {
    let mut entries = Vec::new();
    for (validator, partial) in &set.items {
        let mut item = Vec::new();
        put_bytes_field(&mut item, number::DATA, &partial.data.encode());
        put_bytes_field(&mut item, number::SIGNATURE, &partial.data.signature().0);
        put_varint_field(&mut item, number::SHARE_INDEX, u64::from(set.share.get()));
        let mut entry = Vec::with_capacity(item.len() + 104);
        put_message_field(&mut entry, number::KEY, validator.to_string().as_bytes());
        put_message_field(&mut entry, number::VALUE, &item);
        put_message_field(&mut entries, number::ENTRY, &entry);
    }
    let mut message = Vec::with_capacity(entries.len() + 24);
    put_message_field(&mut message, number::DUTY, &encode_duty(set.duty));
    put_message_field(&mut message, number::DATA_SET, &entries);
    message
}

/// Reads what the peer `from` sent, for a cluster with these validators whose engine handles these kinds.
///
/// Stricter than other implementations in two points: a share may only be sent by its holder, and an object must be for
/// the slot of its envelope. No honest node sends anything else.
///
/// # Errors
/// The first thing that is wrong; one bad entry rejects the whole message.
pub fn decode(
    content: &[u8],
    from: PeerIndex,
    validators: &BTreeSet<PublicKeyBytes>,
    handled: &[DutyKind],
    chain: &Chain,
    now: Timestamp,
) -> Result<PartialSet, Reject> {
    if content.len() > MESSAGE_LIMIT {
        return Err(Reject::TooLong {
            bytes: content.len(),
            limit: MESSAGE_LIMIT,
        });
    }
    let (duty, data_set) = split(content)?;
    let duty = read_duty(&duty.get().ok_or(Reject::MissingField("duty"))?)?;
    let data_set = data_set.get().ok_or(Reject::MissingField("data_set"))?;
    chain.gate(duty, now)?;
    signed_kind(duty.kind, handled)?;
    if chain.deadline(duty).is_some_and(|deadline| deadline < now) {
        return Err(Reject::Expired(duty));
    }
    let mut items = BTreeMap::new();
    let mut roots = SigningRoots::default();
    for entry in map_entries(&data_set) {
        let (key, item) = entry?;
        let validator = read_key(key)?;
        if !validators.contains(&validator) {
            return Err(Reject::UnknownValidator(validator));
        }
        let data = read_item(item, validator, duty, from, chain)?;
        let signing_root = roots.of(&data, chain);
        items.insert(validator, Partial { data, signing_root });
    }
    if items.is_empty() {
        return Err(Reject::EmptySet);
    }
    Ok(PartialSet {
        duty,
        share: ShareIndex::from_peer(from.get()),
        items,
    })
}

/// Duty and set, neither looked into.
fn split(content: &[u8]) -> Result<(Part<'_>, Part<'_>), Reject> {
    let (mut duty, mut data_set) = (Part::default(), Part::default());
    for field in fields(content) {
        match field? {
            Field {
                number: number::DUTY,
                content: Content::Bytes(bytes),
                ..
            } => duty.add(bytes),
            Field {
                number: number::DATA_SET,
                content: Content::Bytes(bytes),
                ..
            } => data_set.add(bytes),
            _ => {}
        }
    }
    Ok((duty, data_set))
}

fn read_item(
    item: &[u8],
    validator: PublicKeyBytes,
    duty: Duty,
    from: PeerIndex,
    chain: &Chain,
) -> Result<SignedData, Reject> {
    let (mut data, mut claimed): (&[u8], i32) = (&[], 0);
    for field in fields(item) {
        match field? {
            Field {
                number: number::DATA,
                content: Content::Bytes(bytes),
                ..
            } => data = bytes,
            // An int32 is the low half of what is sent.
            Field {
                number: number::SHARE_INDEX,
                content: Content::Varint(value),
                ..
            } => claimed = value as i32,
            _ => {}
        }
    }
    if claimed != i32::from(from.share_number()) {
        return Err(Reject::ForeignShare {
            claimed,
            sender: from,
        });
    }
    let data = SignedData::decode(duty.kind, data, &chain.spec.sizes)
        .map_err(|error| Reject::Data { validator, error })?;
    match wrong_slot(&data, duty, chain) {
        Some(found) => Err(Reject::WrongSlot {
            validator,
            found,
            expected: duty.slot,
        }),
        None => Ok(data),
    }
}

/// The slot an object says it is for, if that is not its duty's. A randao reveal may be for any slot of its epoch; the
/// slot of an exit is the first of its epoch; a registration is for no slot.
fn wrong_slot(data: &SignedData, duty: Duty, chain: &Chain) -> Option<Slot> {
    let found = match (data.slot(), data.epoch()) {
        (Some(slot), _) => slot,
        (None, Some(epoch)) => chain.first_slot(epoch),
        (None, None) => return None,
    };
    let right = match data {
        SignedData::Randao(reveal) => reveal.epoch == chain.epoch_of(duty.slot),
        _ => found == duty.slot,
    };
    (!right).then_some(found)
}

/// Whether duties of this kind have partial signatures, and the engine handles them.
fn signed_kind(kind: DutyKind, handled: &[DutyKind]) -> Result<(), Reject> {
    match kind {
        DutyKind::Signature | DutyKind::BuilderProposer | DutyKind::InfoSync => {
            Err(Reject::NoPartialSignatures(kind))
        }
        DutyKind::Attester
        | DutyKind::Proposer
        | DutyKind::Exit
        | DutyKind::BuilderRegistration
        | DutyKind::Randao
        | DutyKind::PrepareAggregator
        | DutyKind::Aggregator
        | DutyKind::SyncMessage
        | DutyKind::PrepareSyncContribution
        | DutyKind::SyncContribution => {
            let known = handled.contains(&kind);
            known.then_some(()).ok_or(Reject::UnsupportedKind(kind))
        }
    }
}

/// Signing roots of one message: most validators of a cluster attest to the very same data.
#[derive(Default)]
struct SigningRoots(BTreeMap<AttestationData, Root>);

impl SigningRoots {
    fn of(&mut self, data: &SignedData, chain: &Chain) -> Root {
        match data {
            SignedData::Attester(attestation) => *self
                .0
                .entry(*attestation.data())
                .or_insert_with(|| data.signing_root(chain)),
            _ => data.signing_root(chain),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_types::{
        AttesterValue, Epoch, Fork, RandaoReveal, SignatureBytes, SignedAttestation,
        SignedVoluntaryExit, VersionedRegistration,
    };
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::core;
    use crate::testing::{chain, key, noon};

    const SLOT: Slot = Slot(40);

    fn set(validators: impl IntoIterator<Item = u8>, share: u64) -> PartialSet {
        let items = validators.into_iter().map(|number| {
            let mut value = AttesterValue::default();
            value.data.slot = SLOT;
            value.data.index.0 = u64::from(number % 3);
            value.duty.slot = SLOT;
            value.duty.committee_length = 1;
            let signed =
                SignedAttestation::from_value(&value, Fork::Deneb, SignatureBytes([number; 96]))
                    .unwrap();
            let data = SignedData::Attester(signed);
            let signing_root = data.signing_root(&chain());
            (key(number), Partial { data, signing_root })
        });
        let share = ShareIndex::new(share).unwrap();
        PartialSet {
            duty: Duty::attester(SLOT),
            share,
            items: items.collect(),
        }
    }

    fn read(content: &[u8]) -> Result<PartialSet, Reject> {
        read_handling(DutyKind::ALL, content)
    }

    fn read_handling(handled: &[DutyKind], content: &[u8]) -> Result<PartialSet, Reject> {
        let validators = (0..10).map(key).collect();
        decode(
            content,
            PeerIndex::new(2),
            &validators,
            handled,
            &chain(),
            chain().slot_start(SLOT),
        )
    }

    /// One validator's object in an envelope for this duty.
    fn set_of(data: SignedData, slot: Slot) -> PartialSet {
        let signing_root = data.signing_root(&chain());
        PartialSet {
            duty: Duty::new(slot, data.kind()),
            share: ShareIndex::new(3).unwrap(),
            items: [(key(1), Partial { data, signing_root })].into(),
        }
    }

    fn changed(change: impl FnOnce(&mut core::ParSigExMsg)) -> Vec<u8> {
        let mut message = core::ParSigExMsg::decode(&*encode(&set([1, 2], 3))).unwrap();
        change(&mut message);
        message.encode_to_vec()
    }

    #[test]
    fn a_set_comes_back_as_it_left_and_prost_agrees_on_the_bytes() {
        let set = set(0..10, 3);
        assert_eq!(read(&encode(&set)), Ok(set));
        assert_eq!(changed(|_| ()), encode(&self::set([1, 2], 3)));
    }

    #[test]
    fn a_share_is_only_taken_from_its_holder() {
        let sender = PeerIndex::new(2);
        assert_eq!(
            read(&encode(&set([1], 2))),
            Err(Reject::ForeignShare { claimed: 2, sender })
        );
    }

    #[test]
    fn one_foreign_share_among_many_rejects_all() {
        let content = changed(|message| {
            let entries = &mut message.data_set.as_mut().unwrap().set;
            entries.last_entry().unwrap().get_mut().share_idx = -1;
        });
        assert_eq!(read(&content).unwrap_err().label(), "foreign_share");
    }

    #[test]
    fn validators_of_other_clusters_are_unknown() {
        assert_eq!(
            read(&encode(&set([11], 3))),
            Err(Reject::UnknownValidator(key(11)))
        );
    }

    #[test]
    fn an_object_for_another_slot_than_its_envelope_is_refused() {
        let content = changed(|message| message.duty.as_mut().unwrap().slot += 1);
        assert_eq!(read(&content).unwrap_err().label(), "wrong_slot");
    }

    #[test]
    fn duty_and_set_must_be_there_and_the_set_not_empty() {
        assert_eq!(
            read(&changed(|message| message.duty = None)),
            Err(Reject::MissingField("duty"))
        );
        assert_eq!(
            read(&changed(|message| message.data_set = None)),
            Err(Reject::MissingField("data_set"))
        );
        assert_eq!(
            read(&changed(
                |message| message.data_set = Some(Default::default())
            )),
            Err(Reject::EmptySet)
        );
    }

    #[test]
    fn kinds_not_handled_are_told_from_kinds_that_have_no_signatures() {
        let of_kind = |kind| {
            let content = changed(|message| message.duty.as_mut().unwrap().r#type = kind);
            read_handling(&[DutyKind::Attester], &content)
        };
        assert_eq!(of_kind(7), Err(Reject::UnsupportedKind(DutyKind::Randao)));
        assert_eq!(
            of_kind(13),
            Err(Reject::NoPartialSignatures(DutyKind::InfoSync))
        );
        assert_eq!(of_kind(14), Err(Reject::DutyType(14)));
    }

    #[test]
    fn an_object_of_another_kind_than_its_envelope_is_refused() {
        let content = changed(|message| message.duty.as_mut().unwrap().r#type = 7);
        assert_eq!(read(&content).unwrap_err().label(), "data");
    }

    #[test]
    fn an_object_in_the_form_of_another_fork_than_it_says_is_refused() {
        let content = changed(|message| {
            let items = message.data_set.as_mut().unwrap().set.values_mut();
            // The header's first byte is the fork's number.
            items.for_each(|item| item.data[0] = Fork::Fulu.wire() as u8);
        });
        assert_eq!(read(&content).unwrap_err().label(), "data");
    }

    #[test]
    fn a_reveal_is_for_every_slot_of_its_epoch() {
        let reveal = |epoch| {
            let signature = SignatureBytes([1; 96]);
            SignedData::Randao(RandaoReveal {
                epoch: Epoch(epoch),
                signature,
            })
        };
        let set = set_of(reveal(1), SLOT);
        assert_eq!(read(&encode(&set)), Ok(set));
        let later = read(&encode(&set_of(reveal(2), SLOT)));
        assert_eq!(later.unwrap_err().label(), "wrong_slot");
    }

    #[test]
    fn an_exit_is_for_the_first_slot_of_its_epoch() {
        let mut exit = SignedVoluntaryExit::default();
        exit.message.epoch = Epoch(1);
        let set = set_of(SignedData::Exit(exit), Slot(32));
        assert_eq!(read(&encode(&set)), Ok(set));
        let other = read(&encode(&set_of(SignedData::Exit(exit), Slot(33))));
        assert_eq!(other.unwrap_err().label(), "wrong_slot");
    }

    #[test]
    fn a_registration_is_for_no_slot() {
        let registration = SignedData::BuilderRegistration(VersionedRegistration::default());
        for slot in [0, 40] {
            let set = set_of(registration.clone(), Slot(slot));
            assert_eq!(read(&encode(&set)), Ok(set));
        }
    }

    #[test]
    fn duties_too_far_ahead_or_over_are_refused() {
        let content = encode(&set([1], 3));
        let validators = (0..10).map(key).collect();
        let at = |slot| {
            decode(
                &content,
                PeerIndex::new(2),
                &validators,
                &[DutyKind::Attester],
                &chain(),
                noon(slot),
            )
            .map_err(|e| e.label())
        };
        assert_eq!(at(Slot(SLOT.0 + 40)), Err("expired"));
        let far = changed(|message| message.duty.as_mut().unwrap().slot = 1 << 40);
        assert_eq!(read(&far).unwrap_err().label(), "too_far_ahead");
    }

    #[test]
    fn the_outer_signature_is_not_looked_at() {
        let content = changed(|message| {
            for item in message.data_set.as_mut().unwrap().set.values_mut() {
                item.signature.clear();
            }
        });
        assert_eq!(read(&content), Ok(set([1, 2], 3)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_message_with_one_byte_changed_is_read_without_panic(place: prop::sample::Index, byte: u8) {
            let mut content = encode(&set([1, 2], 3));
            let place = place.index(content.len());
            content[place] = byte;
            let _ = read(&content);
        }
    }
}
