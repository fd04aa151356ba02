//! Reading and writing protobuf fields by hand.
//!
//! The agreement shows statements of others verbatim, signs over fields it does not know, and reads each value many
//! times; none of that works through structures that copy what they know and drop the rest. Groups, which no schema has
//! used for a decade, are refused.

use std::borrow::Cow;

/// What one field holds. Fixed-width fields occur in no schema of ours and are only skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// One field of a message, as it lies in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub number: u32,
    pub content: Content<'a>,
    /// Tag and content, verbatim.
    pub raw: &'a [u8],
}

/// The bytes are not a protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The fields of a message in the order they lie in. Ends after the first [`Malformed`].
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let start = self.rest;
        match field(start) {
            Some((number, content, rest)) => {
                self.rest = rest;
                Some(Ok(Field {
                    number,
                    content,
                    raw: &start[..start.len() - rest.len()],
                }))
            }
            None => {
                self.rest = &[];
                Some(Err(Malformed))
            }
        }
    }
}

fn field(bytes: &[u8]) -> Option<(u32, Content<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let number = u32::try_from(tag >> 3)
        .ok()
        .filter(|number| (1..1 << 29).contains(number))?;
    let (content, rest) = match tag & 7 {
        0 => varint(rest).map(|(value, rest)| (Content::Varint(value), rest))?,
        1 => (Content::Fixed, rest.get(8..)?),
        2 => {
            let (length, rest) = varint(rest)?;
            let (bytes, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Content::Bytes(bytes), rest)
        }
        5 => (Content::Fixed, rest.get(4..)?),
        _ => return None,
    };
    Some((number, content, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if place == 9 && bits > 1 {
            return None;
        }
        value |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[place + 1..]));
        }
    }
    None
}

/// A field of message type; parts sent separately are one message (spec 20 §3.2).
#[derive(Default)]
pub(crate) struct Part<'a>(Option<Cow<'a, [u8]>>);

impl<'a> Part<'a> {
    pub(crate) fn add(&mut self, bytes: &'a [u8]) {
        match &mut self.0 {
            None => self.0 = Some(Cow::Borrowed(bytes)),
            Some(earlier) => earlier.to_mut().extend_from_slice(bytes),
        }
    }

    pub(crate) fn get(self) -> Option<Cow<'a, [u8]>> {
        self.0
    }
}

/// Key and value of every entry of a map in field 1 of `message`; absent halves are empty.
pub(crate) fn map_entries(message: &[u8]) -> impl Iterator<Item = Result<MapEntry<'_>, Malformed>> {
    fields(message).filter_map(|field| match field {
        Ok(Field {
            number: 1,
            content: Content::Bytes(entry),
            ..
        }) => Some(map_entry(entry)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// Key and value of a map's entry.
pub(crate) type MapEntry<'a> = (&'a [u8], &'a [u8]);

fn map_entry(entry: &[u8]) -> Result<MapEntry<'_>, Malformed> {
    let (mut key, mut value): MapEntry<'_> = (&[], &[]);
    for field in fields(entry) {
        match field? {
            Field {
                number: 1,
                content: Content::Bytes(bytes),
                ..
            } => key = bytes,
            Field {
                number: 2,
                content: Content::Bytes(bytes),
                ..
            } => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Appends a varint field; zero is left out, as proto3 has it.
pub(crate) fn put_varint_field(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends a bytes field; emptiness is left out, as proto3 has it.
pub(crate) fn put_bytes_field(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_message_field(out, number, bytes);
    }
}

/// Appends a field of message type, or half of a map entry; empty ones are written too.
pub(crate) fn put_message_field(out: &mut Vec<u8>, number: u32, message: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_of_more_than_64_bits_is_refused() {
        assert_eq!(varint(&[0xff; 11]), None);
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Some((u64::MAX, &[][..]))
        );
        assert_eq!(
            varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            None
        );
    }

    #[test]
    fn a_length_past_the_end_is_refused() {
        assert_eq!(
            fields(&[0x0a, 5, 1, 2]).collect::<Vec<_>>(),
            [Err(Malformed)]
        );
    }

    #[test]
    fn field_number_zero_and_groups_are_refused() {
        assert_eq!(fields(&[0x00, 1]).next(), Some(Err(Malformed)));
        assert_eq!(fields(&[0x0b, 0x0c]).next(), Some(Err(Malformed)));
    }

    #[test]
    fn parts_of_a_message_are_joined() {
        let mut part = Part::default();
        part.add(&[1]);
        part.add(&[2, 3]);
        assert_eq!(part.get().unwrap().as_ref(), [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic_and_fields_cover_them(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let read: Result<Vec<_>, _> = fields(&bytes).collect();
            if let Ok(read) = read {
                let joined: Vec<u8> = read.iter().flat_map(|field| field.raw).copied().collect();
                prop_assert_eq!(joined, bytes);
            }
        }

        #[test]
        fn what_is_written_is_read(number in 1u32..1 << 29, value in 1u64.., bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut out = Vec::new();
            put_varint_field(&mut out, number, value);
            put_message_field(&mut out, number, &bytes);
            let read: Vec<_> = fields(&out).map(|field| field.unwrap().content).collect();
            prop_assert_eq!(read, [Content::Varint(value), Content::Bytes(&bytes)]);
        }
    }
}
