//! As much of protobuf as it takes to read a recorded frame. The real decoder is another crate's;
//! this one trusts its input.

use flotilla_qbft::{Hash, Message, MessageKind};

/// A recorded message: what was said and shown, and the instance it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) message: Message<Vec<u8>>,
    pub(crate) shown: Vec<Message<Vec<u8>>>,
    /// Slot plus duty type.
    pub(crate) leader_offset: u64,
}

/// Reads a length-prefixed `QBFTConsensusMsg` in hex; the seals are the signatures.
pub(crate) fn frame(hex: &str) -> Frame {
    let bytes = from_hex(hex);
    let mut rest = &bytes[..];
    let length = varint(&mut rest);
    assert_eq!(usize::try_from(length).unwrap(), rest.len(), "frame length");
    let fields = fields(rest);
    let said = only(&fields, 1).expect("a message").bytes();
    Frame {
        message: message(said),
        shown: all(&fields, 2)
            .map(|field| message(field.bytes()))
            .collect(),
        leader_offset: leader_offset(said),
    }
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn message(bytes: &[u8]) -> Message<Vec<u8>> {
    let fields = fields(bytes);
    let number = |field| only(&fields, field).map_or(0, |field| field.number());
    let hash = |field| only(&fields, field).and_then(|field| Hash::try_from(field.bytes()).ok());
    let kind = match number(1) {
        1 => MessageKind::PrePrepare,
        2 => MessageKind::Prepare,
        3 => MessageKind::Commit,
        4 => MessageKind::RoundChange,
        5 => MessageKind::Decided,
        other => panic!("message type {other}"),
    };
    Message {
        kind,
        source: usize::try_from(number(3)).unwrap(),
        round: number(4),
        value: hash(11).filter(|hash| *hash != [0; 32]),
        prepared_round: number(6),
        prepared_value: hash(12).filter(|hash| *hash != [0; 32]),
        seal: only(&fields, 8).map_or_else(Vec::new, |field| field.bytes().to_vec()),
    }
}

fn leader_offset(message: &[u8]) -> u64 {
    let duty = fields(only(&fields(message), 2).expect("a duty").bytes());
    [1, 2]
        .iter()
        .filter_map(|field| only(&duty, *field))
        .map(Field::number)
        .sum()
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn number(self) -> u64 {
        let Self::Number(number) = self else {
            panic!("not a number")
        };
        number
    }
    fn bytes(self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else {
            panic!("not bytes")
        };
        bytes
    }
}

fn fields(mut rest: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let tag = varint(&mut rest);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut rest)),
            2 => {
                let length = usize::try_from(varint(&mut rest)).unwrap();
                let (bytes, after) = rest.split_at(length);
                rest = after;
                Field::Bytes(bytes)
            }
            other => panic!("wire type {other}"),
        };
        found.push((tag >> 3, field));
    }
    found
}

fn all<'a>(fields: &[(u64, Field<'a>)], number: u64) -> impl Iterator<Item = Field<'a>> {
    fields
        .iter()
        .filter(move |(it, _)| *it == number)
        .map(|(_, field)| *field)
}

fn only<'a>(fields: &[(u64, Field<'a>)], number: u64) -> Option<Field<'a>> {
    all(fields, number).last()
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().unwrap();
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint has at most ten bytes");
}
