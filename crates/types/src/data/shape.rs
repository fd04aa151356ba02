//! SSZ whose layout is known at run time only.
//!
//! A block's layout depends on its fork and on the preset's list sizes, and nobody here needs its hundred fields as
//! fields. So a layout is a value: it checks bytes, hashes them, and turns them to the Beacon API's JSON and back. It is
//! strict where encoders agree: no gaps, no offsets out of order, no bits past the end, no list beyond its limit.

use libssz_merkle::{Sha2Hasher, merkleize, mix_in_length, pack};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::Value;

use super::{
    codec::{DecodeError, word_u32},
    decimal::{decimal, decimal_text},
};
use crate::{Bitlist, ExecutionAddress, json::hex_bytes::Hex};

/// Bytes of an offset.
const OFFSET: usize = 4;
/// Bytes of a chunk, the leaf of a hash tree.
const CHUNK: u64 = 32;

/// A layout.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// A number of this many bytes, 8 or 32. JSON: decimal text.
    Number(usize),
    /// This many bytes. JSON: hex.
    Bytes(usize),
    /// An address of the execution layer. JSON: hex with a checksum.
    Address,
    /// At most this many bytes. JSON: hex.
    ByteList(u64),
    /// This many bits. JSON: hex of the SSZ form.
    BitVector(u64),
    /// At most this many bits. JSON: hex of the SSZ form.
    BitList(u64),
    /// This many items that are no bytes and no numbers.
    Vector(Box<Shape>, usize),
    /// At most this many items that are no bytes.
    List(Box<Shape>, u64),
    /// Named fields.
    Container(Vec<(&'static str, Shape)>),
}

/// What is wrong, and where: names from the outside in.
#[derive(Debug)]
pub(super) struct Fault {
    path: Vec<String>,
    problem: String,
}

impl Fault {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            problem: problem.into(),
        }
    }

    /// Innermost names come first.
    pub(super) fn within(mut self, name: impl Into<String>) -> Self {
        self.path.push(name.into());
        self
    }

    fn text(&self) -> String {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        format!("{}: {}", path.join("."), self.problem)
    }

    pub(super) fn in_ssz(what: &'static str) -> impl FnOnce(Self) -> DecodeError {
        move |fault| DecodeError::Ssz {
            what,
            problem: fault.text(),
        }
    }

    pub(super) fn in_json(what: &'static str) -> impl FnOnce(Self) -> DecodeError {
        move |fault| DecodeError::Json {
            what,
            problem: fault.text(),
        }
    }
}

type Root = [u8; 32];

impl Shape {
    /// A list of these.
    pub(super) fn list(self, limit: u64) -> Self {
        Self::List(Box::new(self), limit)
    }

    /// Bytes of every value, if all have the same.
    pub(super) fn fixed_size(&self) -> Option<usize> {
        match self {
            Self::Number(bytes) | Self::Bytes(bytes) => Some(*bytes),
            Self::Address => Some(20),
            Self::BitVector(bits) => usize::try_from(bits.div_ceil(8)).ok(),
            Self::Vector(item, length) => item.fixed_size()?.checked_mul(*length),
            Self::Container(fields) => fields
                .iter()
                .map(|(_, field)| field.fixed_size())
                .sum::<Option<usize>>(),
            Self::ByteList(_) | Self::BitList(_) | Self::List(..) => None,
        }
    }

    /// Bytes a value takes in the fixed part of what it is in.
    fn slot_size(&self) -> usize {
        self.fixed_size().unwrap_or(OFFSET)
    }

    /// The hash tree root of a value; a value that has one is sound.
    pub(super) fn root(&self, bytes: &[u8]) -> Result<Root, Fault> {
        if let Some(size) = self.fixed_size()
            && bytes.len() != size
        {
            return Err(Fault::new(format!(
                "{} bytes instead of {size}",
                bytes.len()
            )));
        }
        match self {
            Self::Number(_) | Self::Bytes(_) | Self::Address => Ok(hash_bytes(bytes, None)),
            Self::ByteList(limit) => {
                at_most(bytes.len() as u64, *limit, "bytes")?;
                Ok(with_length(
                    hash_bytes(bytes, Some(limit.div_ceil(CHUNK))),
                    bytes.len(),
                ))
            }
            Self::BitVector(bits) => {
                let spare = bits % 8;
                match bytes.last() {
                    Some(last) if spare != 0 && last >> spare != 0 => {
                        Err(Fault::new(format!("bits past the {bits} there are")))
                    }
                    _ => Ok(hash_bytes(bytes, None)),
                }
            }
            Self::BitList(limit) => Bitlist::from_bytes(bytes.to_vec())
                .and_then(|bits| bits.tree_hash_root(*limit))
                .map(|root| root.0)
                .map_err(|error| Fault::new(error.to_string())),
            Self::Vector(item, length) => {
                let items = item.items(bytes, *length as u64)?;
                if items.len() != *length {
                    return Err(Fault::new(format!(
                        "{} items instead of {length}",
                        items.len()
                    )));
                }
                Ok(merkleize(&Sha2Hasher, &item.roots(&items)?, None))
            }
            Self::List(item, limit) => {
                let items = item.items(bytes, *limit)?;
                let root = match **item {
                    // Numbers are packed.
                    Self::Number(size) => {
                        let chunks = limit.saturating_mul(size as u64).div_ceil(CHUNK);
                        hash_bytes(bytes, Some(chunks))
                    }
                    _ => merkleize(&Sha2Hasher, &item.roots(&items)?, Some(saturated(*limit))),
                };
                Ok(with_length(root, items.len()))
            }
            Self::Container(fields) => {
                let roots = parts(fields, bytes)?
                    .into_iter()
                    .zip(fields)
                    .map(|(part, (name, field))| field.root(part).map_err(|f| f.within(*name)))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(merkleize(&Sha2Hasher, &roots, None))
            }
        }
    }

    /// Checks the number of items of a list, and nothing in them: for what is not hashed.
    pub(super) fn count(&self, bytes: &[u8]) -> Result<usize, Fault> {
        let Self::List(item, limit) = self else {
            return Err(Fault::new("not a list"));
        };
        Ok(item.items(bytes, *limit)?.len())
    }

    fn roots(&self, items: &[&[u8]]) -> Result<Vec<Root>, Fault> {
        items
            .iter()
            .enumerate()
            .map(|(place, bytes)| {
                self.root(bytes)
                    .map_err(|fault| fault.within(place.to_string()))
            })
            .collect()
    }

    /// The items of a list of these. The number is checked before they are gathered: it may be foreign and large.
    fn items<'a>(&self, bytes: &'a [u8], limit: u64) -> Result<Vec<&'a [u8]>, Fault> {
        if let Some(size) = self.fixed_size() {
            let size = size.max(1);
            if !bytes.len().is_multiple_of(size) {
                return Err(Fault::new(format!(
                    "{} bytes are no whole items of {size}",
                    bytes.len()
                )));
            }
            at_most((bytes.len() / size) as u64, limit, "items")?;
            return Ok(bytes.chunks_exact(size).collect());
        }
        let Some(first) = word_u32(bytes, 0) else {
            return match bytes.is_empty() {
                true => Ok(Vec::new()),
                false => Err(Fault::new(format!("{} bytes are no offset", bytes.len()))),
            };
        };
        let fixed = first as usize;
        if fixed == 0 || !fixed.is_multiple_of(OFFSET) || fixed > bytes.len() {
            return Err(Fault::new(format!("the first offset is {fixed}")));
        }
        at_most((fixed / OFFSET) as u64, limit, "items")?;
        let offsets = (0..fixed / OFFSET).map(|place| offset(bytes, place * OFFSET));
        between(bytes, &offsets.collect::<Result<Vec<_>, _>>()?)
    }

    /// A field of a container by its name, with its shape. Checks where the container's fields lie, not what they hold.
    pub(super) fn field<'s, 'b>(
        &'s self,
        bytes: &'b [u8],
        name: &str,
    ) -> Result<(&'s Self, &'b [u8]), Fault> {
        let Self::Container(fields) = self else {
            return Err(Fault::new("not a container"));
        };
        let parts = parts(fields, bytes)?;
        let mut named = fields.iter().zip(parts);
        named
            .find(|((field, _), _)| *field == name)
            .map(|((_, shape), part)| (shape, part))
            .ok_or_else(|| Fault::new("no such field").within(name))
    }

    /// The value as JSON. The bytes have been checked.
    pub(super) const fn json<'a>(&'a self, bytes: &'a [u8]) -> Json<'a> {
        Json { shape: self, bytes }
    }

    /// Reads JSON to SSZ. What comes out has yet to be checked by [`Self::root`]: limits are not looked at here.
    pub(super) fn parse_json(&self, json: &Value) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Number(size) => {
                let text = text(json)?;
                decimal(text, *size)
                    .ok_or_else(|| Fault::new(format!("not a decimal number of {size} bytes")))
            }
            Self::Address => text(json)?
                .parse::<ExecutionAddress>()
                .map(|address| address.0.to_vec())
                .map_err(|error| Fault::new(error.to_string())),
            Self::Bytes(_) | Self::ByteList(_) | Self::BitVector(_) | Self::BitList(_) => {
                let Hex(bytes) = text(json)?
                    .parse()
                    .map_err(|error: hex::FromHexError| Fault::new(error.to_string()))?;
                match self.fixed_size() {
                    Some(size) if bytes.len() != size => Err(Fault::new(format!(
                        "{} bytes instead of {size}",
                        bytes.len()
                    ))),
                    _ => Ok(bytes),
                }
            }
            Self::Vector(item, _) | Self::List(item, _) => {
                let items = json.as_array().ok_or_else(|| Fault::new("not a list"))?;
                let items = items.iter().enumerate().map(|(place, value)| {
                    let bytes = item
                        .parse_json(value)
                        .map_err(|fault| fault.within(place.to_string()))?;
                    Ok((&**item, bytes))
                });
                join(items.collect::<Result<Vec<_>, _>>()?)
            }
            Self::Container(fields) => {
                let members = json
                    .as_object()
                    .ok_or_else(|| Fault::new("not an object"))?;
                let parts = fields.iter().map(|(name, field)| {
                    let value = members
                        .get(*name)
                        .ok_or_else(|| Fault::new("missing").within(*name))?;
                    let bytes = field
                        .parse_json(value)
                        .map_err(|fault| fault.within(*name))?;
                    Ok((field, bytes))
                });
                join(parts.collect::<Result<Vec<_>, _>>()?)
            }
        }
    }
}

/// A checked value, to be written as JSON with the fields in their order.
pub(super) struct Json<'a> {
    shape: &'a Shape,
    bytes: &'a [u8],
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let failed = |fault: Fault| serde::ser::Error::custom(fault.text());
        match self.shape {
            Shape::Number(_) => serializer.serialize_str(&decimal_text(self.bytes)),
            Shape::Address => {
                let address = <[u8; 20]>::try_from(self.bytes)
                    .map_err(|_| failed(Fault::new("not 20 bytes")))?;
                serializer.collect_str(&ExecutionAddress(address))
            }
            Shape::Bytes(_) | Shape::ByteList(_) | Shape::BitVector(_) | Shape::BitList(_) => {
                crate::json::hex_bytes::serialize(self.bytes, serializer)
            }
            Shape::Vector(item, _) | Shape::List(item, _) => {
                // The number of items has been checked.
                let items = item.items(self.bytes, u64::MAX).map_err(failed)?;
                serializer.collect_seq(items.into_iter().map(|bytes| item.json(bytes)))
            }
            Shape::Container(fields) => {
                let parts = parts(fields, self.bytes).map_err(failed)?;
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for ((name, shape), bytes) in fields.iter().zip(parts) {
                    map.serialize_entry(name, &shape.json(bytes))?;
                }
                map.end()
            }
        }
    }
}

/// The fields of a container.
fn parts<'a>(fields: &[(&'static str, Shape)], bytes: &'a [u8]) -> Result<Vec<&'a [u8]>, Fault> {
    let fixed: usize = fields.iter().map(|(_, field)| field.slot_size()).sum();
    if bytes.len() < fixed {
        return Err(Fault::new(format!(
            "{} bytes, at least {fixed} expected",
            bytes.len()
        )));
    }
    let (mut at, mut offsets) = (0, Vec::new());
    for (_, field) in fields {
        if field.fixed_size().is_none() {
            offsets.push(offset(bytes, at)?);
        }
        at += field.slot_size();
    }
    let end = offsets.first().copied().unwrap_or(bytes.len());
    if end != fixed {
        return Err(Fault::new(format!(
            "the fixed part ends at {end} instead of {fixed}"
        )));
    }
    let mut variable = between(bytes, &offsets)?.into_iter();
    let mut at = 0;
    let part = fields.iter().map(|(_, field)| {
        let start = at;
        at += field.slot_size();
        match field.fixed_size() {
            Some(_) => &bytes[start..at],
            None => variable.next().unwrap_or_default(),
        }
    });
    Ok(part.collect())
}

fn offset(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    word_u32(bytes, at)
        .map(|word| word as usize)
        .ok_or_else(|| Fault::new(format!("no offset at {at}")))
}

/// What lies between offsets, and behind the last one.
fn between<'a>(bytes: &'a [u8], offsets: &[usize]) -> Result<Vec<&'a [u8]>, Fault> {
    let ends = offsets.iter().copied().skip(1).chain([bytes.len()]);
    offsets
        .iter()
        .zip(ends)
        .map(|(&start, end)| {
            bytes
                .get(start..end)
                .ok_or_else(|| Fault::new(format!("an offset {start} before one {end}")))
        })
        .collect()
}

/// Puts values together: fixed ones and offsets first, then the others.
fn join(parts: Vec<(&Shape, Vec<u8>)>) -> Result<Vec<u8>, Fault> {
    let mut end: usize = parts.iter().map(|(shape, _)| shape.slot_size()).sum();
    let mut bytes = Vec::new();
    for (shape, part) in &parts {
        if shape.fixed_size().is_some() {
            bytes.extend_from_slice(part);
        } else {
            let offset =
                u32::try_from(end).map_err(|_| Fault::new(format!("{end} bytes are too many")))?;
            bytes.extend_from_slice(&offset.to_le_bytes());
            end += part.len();
        }
    }
    for (shape, part) in parts {
        if shape.fixed_size().is_none() {
            bytes.extend_from_slice(&part);
        }
    }
    Ok(bytes)
}

fn at_most(count: u64, limit: u64, what: &str) -> Result<(), Fault> {
    match count <= limit {
        true => Ok(()),
        false => Err(Fault::new(format!("{count} {what}, the limit is {limit}"))),
    }
}

fn hash_bytes(bytes: &[u8], chunks: Option<u64>) -> Root {
    merkleize(&Sha2Hasher, &pack(bytes), chunks.map(saturated))
}

fn with_length(root: Root, length: usize) -> Root {
    mix_in_length(&Sha2Hasher, &root, length)
}

fn saturated(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn text(json: &Value) -> Result<&str, Fault> {
    json.as_str().ok_or_else(|| Fault::new("not a string"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sample() -> Shape {
        Shape::Container(vec![
            ("number", Shape::Number(8)),
            ("fee", Shape::Number(32)),
            ("extra", Shape::ByteList(4)),
            ("bits", Shape::BitVector(12)),
            ("texts", Shape::ByteList(3).list(2)),
            ("to", Shape::Address),
        ])
    }

    fn value() -> Value {
        json!({
            "number": "18446744073709551615",
            "fee": "115792089237316195423570985008687907853269984665640564039457584007913129639935",
            "extra": "0x0102",
            "bits": "0xff0f",
            "texts": ["0x", "0x030405"],
            "to": "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        })
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let shape = sample();
        let bytes = shape.parse_json(&value()).unwrap();
        shape.root(&bytes).unwrap();
        assert_eq!(serde_json::to_value(shape.json(&bytes)).unwrap(), value());
    }

    #[test]
    fn what_encoders_never_write_is_refused() {
        let broken = |field: &str, with: Value| {
            let mut json = value();
            json[field] = with;
            let shape = sample();
            shape
                .parse_json(&json)
                .and_then(|bytes| shape.root(&bytes))
                .unwrap_err()
                .text()
        };
        assert_eq!(
            broken("extra", json!("0x0102030405")),
            "extra: 5 bytes, the limit is 4"
        );
        assert_eq!(
            broken("bits", json!("0xff1f")),
            "bits: bits past the 12 there are"
        );
        assert_eq!(
            broken("texts", json!(["0x", "0x03040506"])),
            "texts.1: 4 bytes, the limit is 3"
        );
        assert_eq!(
            broken("texts", json!(["0x", "0x", "0x"])),
            "texts: 3 items, the limit is 2"
        );
        for number in ["18446744073709551616", "-1", "", "0x1"] {
            assert_eq!(
                broken("number", json!(number)),
                "number: not a decimal number of 8 bytes"
            );
        }
    }

    #[test]
    fn a_gap_before_the_variable_part_is_refused() {
        let shape = sample();
        let mut bytes = shape.parse_json(&value()).unwrap();
        let fixed = 8 + 32 + 4 + 2 + 4 + 20;
        for at in [40, 46] {
            bytes[at] += 1;
        }
        bytes.insert(fixed, 0);
        let fault = shape.root(&bytes).unwrap_err();
        assert_eq!(fault.text(), ": the fixed part ends at 71 instead of 70");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let shape = sample();
            if shape.root(&bytes).is_ok() {
                let json = serde_json::to_value(shape.json(&bytes)).unwrap();
                prop_assert_eq!(shape.parse_json(&json).unwrap(), bytes);
            }
        }
    }
}
