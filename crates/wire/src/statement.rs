//! One signed statement of the agreement (`QBFTMsg`), without its justifications.
//!
//! A statement is read by hand and kept as it came, because others will show it to others: its author's signature covers
//! all fields but the signature itself, including fields that only a newer peer knows. What is signed is the
//! deterministic encoding (spec 20 §3.3): known fields ascending, defaults left out, unknown ones behind. It is rebuilt
//! here rather than cut out of the received bytes, so that a statement holds for us exactly if it holds for the others; a
//! liar could otherwise make us show them justifications that they refuse.

use flotilla_qbft::{Draft, Hash, Message, MessageKind};
use flotilla_types::{Duty, DutyKind, PeerIndex, Slot};

use crate::fields::{
    Content, Field, Malformed, Part, fields, put_bytes_field, put_message_field, put_varint_field,
};
use crate::hash::hash_bytes;
use crate::reject::Reject;

/// Bytes of an author's signature: R, S and the recovery number.
const SIGNATURE_BYTES: usize = 65;

mod number {
    pub(super) const TYPE: u32 = 1;
    pub(super) const DUTY: u32 = 2;
    pub(super) const PEER_INDEX: u32 = 3;
    pub(super) const ROUND: u32 = 4;
    pub(super) const PREPARED_ROUND: u32 = 6;
    pub(super) const SIGNATURE: u32 = 8;
    pub(super) const VALUE_HASH: u32 = 11;
    pub(super) const PREPARED_VALUE_HASH: u32 = 12;
    pub(super) const DUTY_SLOT: u32 = 1;
    pub(super) const DUTY_TYPE: u32 = 2;
}

/// A statement as it lies in the bytes: nothing but its structure has been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    kind: i64,
    duty: StatedDuty,
    peer_index: i64,
    round: i64,
    prepared_round: i64,
    signature: &'a [u8],
    value_hash: &'a [u8],
    prepared_value_hash: &'a [u8],
    unknown: Vec<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StatedDuty {
    slot: u64,
    kind: i32,
    unknown: Vec<u8>,
}

/// What a statement says, all of it within range. Its signature has not been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts<S> {
    pub duty: Duty,
    pub author: PeerIndex,
    pub message: Message<S>,
}

impl<'a> Statement<'a> {
    /// Reads the structure; the duty must be there.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Reject> {
        let mut statement = Self::default();
        let mut duty = Part::default();
        for field in fields(bytes) {
            let Field {
                number,
                content,
                raw,
            } = field?;
            match (number, content) {
                (number::TYPE, Content::Varint(value)) => statement.kind = value.cast_signed(),
                (number::DUTY, Content::Bytes(bytes)) => duty.add(bytes),
                (number::PEER_INDEX, Content::Varint(value)) => {
                    statement.peer_index = value.cast_signed()
                }
                (number::ROUND, Content::Varint(value)) => statement.round = value.cast_signed(),
                (number::PREPARED_ROUND, Content::Varint(value)) => {
                    statement.prepared_round = value.cast_signed()
                }
                (number::SIGNATURE, Content::Bytes(bytes)) => statement.signature = bytes,
                (number::VALUE_HASH, Content::Bytes(bytes)) => statement.value_hash = bytes,
                (number::PREPARED_VALUE_HASH, Content::Bytes(bytes)) => {
                    statement.prepared_value_hash = bytes
                }
                _ => statement.unknown.extend_from_slice(raw),
            }
        }
        let duty = duty.get().ok_or(Reject::MissingField("duty"))?;
        statement.duty = StatedDuty::read(&duty)?;
        Ok(statement)
    }

    /// Checks every fact but the signature, in the order of spec 20 §4.6, step 2. `seal` goes into the message as it is.
    pub(crate) fn facts<S>(&self, nodes: usize, seal: S) -> Result<Facts<S>, Reject> {
        let kind = kind_from_wire(self.kind).ok_or(Reject::MessageType(self.kind))?;
        let duty = self.duty.duty()?;
        let round = u64::try_from(self.round)
            .ok()
            .filter(|round| *round > 0)
            .ok_or(Reject::Round(self.round))?;
        let prepared_round = u64::try_from(self.prepared_round)
            .map_err(|_| Reject::PreparedRound(self.prepared_round))?;
        let author = usize::try_from(self.peer_index)
            .ok()
            .filter(|index| *index < nodes)
            .and_then(PeerIndex::checked)
            .ok_or(Reject::UnknownPeer {
                index: self.peer_index,
                nodes,
            })?;
        let message = Message {
            kind,
            source: author.get(),
            round,
            value: hash_from_wire(self.value_hash),
            prepared_round,
            prepared_value: hash_from_wire(self.prepared_value_hash),
            seal,
        };
        Ok(Facts {
            duty,
            author,
            message,
        })
    }

    /// The signature with its recovery number, if it has the right length. Empty ones are none.
    pub(crate) fn signature(&self) -> Option<&'a [u8]> {
        Some(self.signature).filter(|signature| signature.len() == SIGNATURE_BYTES)
    }

    /// What the author signed.
    pub(crate) fn signing_root(&self) -> [u8; 32] {
        hash_bytes(&self.encode(&[]))
    }

    /// Our own statement, not signed yet.
    pub(crate) fn draft(duty: Duty, author: PeerIndex, draft: &'a Draft) -> Self {
        const NULL: &Hash = &[0; 32];
        Self {
            kind: kind_to_wire(draft.kind),
            duty: StatedDuty {
                slot: duty.slot.0,
                kind: duty.kind.wire(),
                unknown: Vec::new(),
            },
            peer_index: author.get() as i64,
            round: draft.round.cast_signed(),
            prepared_round: draft.prepared_round.cast_signed(),
            signature: &[],
            value_hash: draft.value.as_ref().unwrap_or(NULL),
            prepared_value_hash: draft.prepared_value.as_ref().unwrap_or(NULL),
            unknown: Vec::new(),
        }
    }

    /// The deterministic encoding with `signature` in its place; an empty one is left out.
    pub(crate) fn encode(&self, signature: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(192);
        put_varint_field(&mut out, number::TYPE, self.kind.cast_unsigned());
        put_message_field(&mut out, number::DUTY, &self.duty.encode());
        put_varint_field(
            &mut out,
            number::PEER_INDEX,
            self.peer_index.cast_unsigned(),
        );
        put_varint_field(&mut out, number::ROUND, self.round.cast_unsigned());
        put_varint_field(
            &mut out,
            number::PREPARED_ROUND,
            self.prepared_round.cast_unsigned(),
        );
        put_bytes_field(&mut out, number::SIGNATURE, signature);
        put_bytes_field(&mut out, number::VALUE_HASH, self.value_hash);
        put_bytes_field(
            &mut out,
            number::PREPARED_VALUE_HASH,
            self.prepared_value_hash,
        );
        out.extend_from_slice(&self.unknown);
        out
    }
}

impl StatedDuty {
    fn read(bytes: &[u8]) -> Result<Self, Reject> {
        let mut duty = Self::default();
        for field in fields(bytes) {
            let Field {
                number,
                content,
                raw,
            } = field?;
            match (number, content) {
                (number::DUTY_SLOT, Content::Varint(value)) => duty.slot = value,
                // An int32 is the low half of what is sent.
                (number::DUTY_TYPE, Content::Varint(value)) => duty.kind = value as i32,
                _ => duty.unknown.extend_from_slice(raw),
            }
        }
        Ok(duty)
    }

    fn duty(&self) -> Result<Duty, Reject> {
        let kind = DutyKind::from_wire(self.kind).ok_or(Reject::DutyType(self.kind))?;
        Ok(Duty::new(Slot(self.slot), kind))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16);
        put_varint_field(&mut out, number::DUTY_SLOT, self.slot);
        put_varint_field(
            &mut out,
            number::DUTY_TYPE,
            i64::from(self.kind).cast_unsigned(),
        );
        out.extend_from_slice(&self.unknown);
        out
    }
}

/// Reads a duty on its own.
pub(crate) fn read_duty(bytes: &[u8]) -> Result<Duty, Reject> {
    StatedDuty::read(bytes)?.duty()
}

/// The deterministic encoding of a duty.
pub(crate) fn encode_duty(duty: Duty) -> Vec<u8> {
    StatedDuty {
        slot: duty.slot.0,
        kind: duty.kind.wire(),
        unknown: Vec::new(),
    }
    .encode()
}

impl From<Malformed> for Reject {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed("protobuf message")
    }
}

/// A hash of any other length than 32, and 32 zero bytes, stand for none (spec 20 §4.1).
fn hash_from_wire(bytes: &[u8]) -> Option<Hash> {
    Hash::try_from(bytes).ok().filter(|hash| *hash != [0; 32])
}

fn kind_from_wire(number: i64) -> Option<MessageKind> {
    Some(match number {
        1 => MessageKind::PrePrepare,
        2 => MessageKind::Prepare,
        3 => MessageKind::Commit,
        4 => MessageKind::RoundChange,
        5 => MessageKind::Decided,
        _ => return None,
    })
}

fn kind_to_wire(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::PrePrepare => 1,
        MessageKind::Prepare => 2,
        MessageKind::Commit => 3,
        MessageKind::RoundChange => 4,
        MessageKind::Decided => 5,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::core;

    fn draft() -> Draft {
        Draft {
            kind: MessageKind::Prepare,
            round: 2,
            value: Some([7; 32]),
            prepared_round: 0,
            prepared_value: None,
        }
    }

    fn bytes() -> Vec<u8> {
        Statement::draft(Duty::attester(Slot(9)), PeerIndex::new(3), &draft()).encode(&[5; 65])
    }

    #[test]
    fn null_is_written_as_32_zero_bytes() {
        let decoded = core::QbftMsg::decode(&*bytes()).unwrap();
        assert_eq!(decoded.prepared_value_hash, [0; 32]);
        assert_eq!(decoded.value_hash, [7; 32]);
    }

    #[test]
    fn hashes_of_another_length_and_zeros_are_null() {
        assert_eq!(hash_from_wire(&[1; 31]), None);
        assert_eq!(hash_from_wire(&[0; 32]), None);
        assert_eq!(hash_from_wire(&[1; 32]), Some([1; 32]));
    }

    #[test]
    fn a_missing_duty_is_told_from_an_empty_one() {
        assert_eq!(
            Statement::read(&[0x08, 1]),
            Err(Reject::MissingField("duty"))
        );
        assert_eq!(
            Statement::read(&[0x12, 0]).unwrap().facts(4, ()),
            Err(Reject::MessageType(0))
        );
    }

    #[test]
    fn unknown_fields_are_signed_wherever_they_lie() {
        let plain = bytes();
        let unknown = [0xa0, 0x06, 1];
        let (front, back) = ([&unknown, &*plain].concat(), [&*plain, &unknown].concat());
        let roots =
            [&plain, &front, &back].map(|bytes| Statement::read(bytes).unwrap().signing_root());
        assert_ne!(roots[0], roots[1]);
        assert_eq!(roots[1], roots[2]);
    }

    #[test]
    fn a_known_field_of_another_wire_type_counts_as_unknown() {
        let plain = bytes();
        let strange = [&*plain, &[0x22, 1, 0]].concat();
        let (plain, strange) = (
            Statement::read(&plain).unwrap(),
            Statement::read(&strange).unwrap(),
        );
        assert_eq!(strange.facts(4, ()), plain.facts(4, ()));
        assert_ne!(strange.signing_root(), plain.signing_root());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(statement) = Statement::read(&bytes) {
                let _ = statement.facts(4, ());
                let _ = statement.signing_root();
            }
        }

        #[test]
        fn known_fields_are_read_and_written_as_prost_does(
            kind: i64, slot: u64, duty_kind: i32, peer: i64, round: i64, prepared: i64,
            signature in proptest::collection::vec(any::<u8>(), 0..70),
            hash in proptest::collection::vec(any::<u8>(), 0..33),
        ) {
            let message = core::QbftMsg {
                r#type: kind,
                duty: Some(core::Duty { slot, r#type: duty_kind }),
                peer_idx: peer,
                round,
                prepared_round: prepared,
                signature: signature.clone(),
                value_hash: hash.clone(),
                prepared_value_hash: hash,
            };
            let bytes = message.encode_to_vec();
            let statement = Statement::read(&bytes).unwrap();
            prop_assert_eq!(&statement.encode(&signature), &bytes);
            prop_assert_eq!(statement.kind, kind);
            prop_assert_eq!(statement.duty.kind, duty_kind);
            let unsigned = core::QbftMsg { signature: Vec::new(), ..message };
            prop_assert_eq!(statement.encode(&[]), unsigned.encode_to_vec());
        }
    }
}
