//! Reading: a value tree without duplicate keys, and fields that know their path.
//!
//! Missing keys and `null` are zero values and unknown keys are ignored, as other readers of these
//! files have it. Everything else that is not of the expected form is an error with path, expected
//! and found. Nesting is bounded by the parser (128 levels), size by [`MAX_FILE_BYTES`], and since a
//! few bytes of file can stand for many in memory, the number of values by [`MAX_VALUES`].

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// Largest file that is parsed: far above a lock of 10 000 validators, far below what exhausts memory.
pub const MAX_FILE_BYTES: usize = 64 * 1024 * 1024;

/// Most values in a file: twice what the largest lock of [`MAX_FILE_BYTES`] has. A value takes about
/// a hundred bytes besides its text.
const MAX_VALUES: usize = 2_000_000;

/// How much of a wrong text an error quotes.
const QUOTED_CHARS: usize = 80;

/// A file that cannot be read: where, what was expected, what was found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct ParseError {
    /// JSON path, for example `cluster_definition.operators[2].enr`; `file` for the whole.
    pub path: String,
    /// What belongs there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl ParseError {
    /// An error about the file as a whole.
    pub(crate) fn whole(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            path: "file".into(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// Parses `bytes` as one JSON value.
///
/// # Errors
/// Larger than [`MAX_FILE_BYTES`], more than [`MAX_VALUES`], not JSON, nested too deep, or an object
/// with a key twice.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ParseError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ParseError::whole(
            format!("at most {MAX_FILE_BYTES} bytes"),
            format!("{} bytes", bytes.len()),
        ));
    }
    read_values(bytes, MAX_VALUES)
        .map_err(|error| ParseError::whole("well-formed JSON", error.to_string()))
}

/// Reads one value, with those inside it at most `limit` values.
fn read_values(bytes: &[u8], limit: usize) -> serde_json::Result<Value> {
    let room = Room {
        left: &Cell::new(limit),
        limit,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = room.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// A parsed value.
pub(crate) enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Flag(bool),
    /// An integer; wide enough for both signs of 64 bits.
    Integer(i128),
    /// A number with fraction or exponent, which no field here may have.
    Fraction(f64),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Value>),
    /// An object, by ascending key.
    Object(Box<[(String, Member)]>),
}

/// A member of an object, and whether a reader has asked for it.
pub(crate) struct Member {
    value: Value,
    asked_for: Cell<bool>,
}

impl Value {
    /// Paths of members that no reader has asked for, at most `limit` of them.
    pub(crate) fn unknown_members(&self, limit: usize) -> Vec<String> {
        let mut found = Vec::new();
        self.append_unknown_members("", limit, &mut found);
        found
    }

    fn append_unknown_members(&self, path: &str, limit: usize, found: &mut Vec<String>) {
        if found.len() >= limit {
            return;
        }
        match self {
            Self::Object(members) => {
                for (key, member) in members.iter() {
                    let path = join(path, key);
                    if member.asked_for.get() {
                        member.value.append_unknown_members(&path, limit, found);
                    } else if found.len() < limit {
                        found.push(path);
                    }
                }
            }
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.append_unknown_members(&format!("{path}[{index}]"), limit, found);
                }
            }
            _ => {}
        }
    }
}

/// The path of a member.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Reads values as long as there is room for them.
#[derive(Clone, Copy)]
struct Room<'a> {
    left: &'a Cell<usize>,
    limit: usize,
}

impl<'de> DeserializeSeed<'de> for Room<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => {
                let limit = self.limit;
                return Err(de::Error::custom(format_args!("more than {limit} values")));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Room<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Fraction(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            match object.entry(key) {
                // Readers differ in which of two they take, so such a file means different things to different nodes.
                Entry::Occupied(entry) => {
                    return Err(de::Error::custom(format_args!(
                        "the key {:?} twice in one object",
                        entry.key()
                    )));
                }
                Entry::Vacant(entry) => {
                    entry.insert(Member {
                        value: entries.next_value_seed(self)?,
                        asked_for: Cell::new(false),
                    });
                }
            }
        }
        // The map has done its part; for small objects it takes ten times the memory of a list.
        Ok(Value::Object(object.into_iter().collect()))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "the number {number}"),
            Self::Fraction(number) => write!(f, "the number {number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

/// `text` in quotes, cut to a length fit for a message.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
    }
}

const NULL: Value = Value::Null;

/// A value together with the path that leads to it.
pub(crate) struct Field<'a> {
    path: String,
    value: &'a Value,
}

impl<'a> Field<'a> {
    /// The root of a file.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self {
            path: String::new(),
            value,
        }
    }

    /// The path, as errors show it.
    pub(crate) fn path(&self) -> &str {
        if self.path.is_empty() {
            "file"
        } else {
            &self.path
        }
    }

    /// An error here: `expected` instead of what is there.
    pub(crate) fn expected(&self, expected: impl Into<String>) -> ParseError {
        self.mismatch(expected, self.value.to_string())
    }

    /// An error here with both sides given.
    pub(crate) fn mismatch(
        &self,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ParseError {
        ParseError {
            path: self.path().to_owned(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// Whether the key was missing or `null`.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The member `key`; absent if there is none.
    ///
    /// # Errors
    /// This is neither an object nor absent.
    pub(crate) fn get(&self, key: &str) -> Result<Field<'a>, ParseError> {
        let value = match self.value {
            Value::Object(members) => members
                .binary_search_by(|(name, _)| name.as_str().cmp(key))
                .map_or(&NULL, |position| {
                    let member = &members[position].1;
                    member.asked_for.set(true);
                    &member.value
                }),
            Value::Null => &NULL,
            _ => return Err(self.expected("an object")),
        };
        let path = join(&self.path, key);
        Ok(Field { path, value })
    }

    /// The elements; none if absent.
    pub(crate) fn items(&self) -> Result<Vec<Field<'a>>, ParseError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::List(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Field {
                    path: format!("{}[{index}]", self.path),
                    value,
                })
                .collect()),
            _ => Err(self.expected("a list")),
        }
    }

    /// A list with each element read by `read`.
    pub(crate) fn list<T>(
        &self,
        read: impl Fn(&Field<'a>) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        self.items()?.iter().map(read).collect()
    }

    /// A string; empty if absent.
    pub(crate) fn text(&self) -> Result<&'a str, ParseError> {
        match self.value {
            Value::Null => Ok(""),
            Value::Text(text) => Ok(text),
            _ => Err(self.expected("a string")),
        }
    }

    /// An unsigned 64-bit number; 0 if absent.
    pub(crate) fn number(&self) -> Result<u64, ParseError> {
        match self.value {
            Value::Null => Ok(0),
            Value::Integer(number) => {
                u64::try_from(*number).map_err(|_| self.expected("a number from 0 to 2^64 - 1"))
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// A signed 64-bit number; 0 if absent.
    pub(crate) fn integer(&self) -> Result<i64, ParseError> {
        match self.value {
            Value::Null => Ok(0),
            Value::Integer(number) => {
                i64::try_from(*number).map_err(|_| self.expected("a signed 64-bit number"))
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// A flag; `false` if absent.
    pub(crate) fn flag(&self) -> Result<bool, ParseError> {
        match self.value {
            Value::Null => Ok(false),
            Value::Flag(flag) => Ok(*flag),
            _ => Err(self.expected("true or false")),
        }
    }

    /// An unsigned number written as a decimal string; absent or empty is 0.
    pub(crate) fn decimal(&self) -> Result<u64, ParseError> {
        let text = match self.value {
            Value::Null => return Ok(0),
            Value::Text(text) => text,
            _ => return Err(self.expected("a decimal number in quotes")),
        };
        if text.is_empty() {
            return Ok(0);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| self.expected("a decimal number in quotes"))
    }

    /// Bytes as hex with or without `0x`, either case; empty if absent.
    pub(crate) fn hex(&self) -> Result<Vec<u8>, ParseError> {
        let text = self.text()?;
        hex::decode(text.strip_prefix("0x").unwrap_or(text))
            .map_err(|_| self.expected("hex digits, an even number of them"))
    }

    /// Bytes as base64 in the standard alphabet with padding; empty if absent.
    pub(crate) fn base64(&self) -> Result<Vec<u8>, ParseError> {
        STANDARD
            .decode(self.text()?)
            .map_err(|_| self.expected("padded base64"))
    }

    /// Exactly `N` bytes of `bytes`, which were read from here.
    pub(crate) fn sized<const N: usize>(&self, bytes: &[u8]) -> Result<[u8; N], ParseError> {
        bytes
            .try_into()
            .map_err(|_| self.mismatch(format!("{N} bytes"), format!("{} bytes", bytes.len())))
    }

    /// Exactly `N` bytes as hex.
    pub(crate) fn hex_sized<const N: usize>(&self) -> Result<[u8; N], ParseError> {
        self.sized(&self.hex()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn error(json: &str, read: impl Fn(&Field<'_>) -> Result<(), ParseError>) -> String {
        let value = parse(json.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        read(&Field::root(&value)).unwrap_err().to_string()
    }

    fn syntax_error(json: &str) -> String {
        match parse(json.as_bytes()) {
            Ok(_) => panic!("{json} parses"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn error_names_path_expected_and_found() {
        let text = error(r#"{"a":{"b":[1,"x"]}}"#, |root| {
            root.get("a")?.get("b")?.items()?[1].number().map(drop)
        });
        assert_eq!(text, r#"a.b[1]: expected a whole number, found "x""#);
    }

    #[test]
    fn missing_and_null_are_zero_values() {
        let value = parse(br#"{"a":null}"#).unwrap();
        let root = Field::root(&value);
        for key in ["a", "b"] {
            let field = root.get(key).unwrap();
            assert!(field.is_absent());
            assert_eq!(field.text().unwrap(), "");
            assert_eq!(field.number().unwrap(), 0);
            assert_eq!(field.integer().unwrap(), 0);
            assert_eq!(field.decimal().unwrap(), 0);
            assert!(!field.flag().unwrap());
            assert!(field.hex().unwrap().is_empty());
            assert!(field.base64().unwrap().is_empty());
            assert!(field.items().unwrap().is_empty());
            assert!(field.get("deeper").unwrap().is_absent());
        }
    }

    #[test]
    fn members_nobody_asked_for_are_listed_up_to_the_limit() {
        let value = parse(br#"{"a":[{"b":1,"x":{"deep":1}}],"y":0,"z":0}"#).unwrap();
        let root = Field::root(&value);
        root.get("a").unwrap().items().unwrap()[0]
            .get("b")
            .unwrap()
            .number()
            .unwrap();
        assert_eq!(value.unknown_members(10), ["a[0].x", "y", "z"]);
        assert_eq!(value.unknown_members(2), ["a[0].x", "y"]);
    }

    #[test]
    fn duplicate_keys_are_refused_by_name() {
        assert!(syntax_error(r#"{"threshold":3,"threshold":1}"#).contains("\"threshold\" twice"));
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(syntax_error(&"[".repeat(100_000)).contains("recursion limit"));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let json = br#"{"a":[1,2],"b":{}}"#;
        assert!(read_values(json, 5).is_ok());
        let error = read_values(json, 4).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("more than 4 values at line 1"), "{error}");
        let bomb = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert!(syntax_error(&bomb).contains("more than 2000000 values"));
    }

    #[test]
    fn nothing_may_follow_the_value() {
        assert!(syntax_error("{} {}").contains("trailing characters"));
    }

    #[test]
    fn numbers_with_fraction_sign_or_excess_are_refused() {
        for json in ["1.0", "-1", "18446744073709551616", "\"1\"", "1e3"] {
            error(json, |root| root.number().map(drop));
        }
        for json in [
            "1",
            "\"-1\"",
            "\"+1\"",
            "\"0x1\"",
            "\" 1\"",
            "\"18446744073709551616\"",
        ] {
            error(json, |root| root.decimal().map(drop));
        }
    }

    #[test]
    fn hex_takes_either_case_and_an_optional_prefix() {
        let value = parse(br#"["0xABcd","abCD","0x0xab","abc"]"#).unwrap();
        let items = Field::root(&value).items().unwrap();
        assert_eq!(items[0].hex().unwrap(), [0xab, 0xcd]);
        assert_eq!(items[1].hex_sized::<2>().unwrap(), [0xab, 0xcd]);
        assert!(items[0].hex_sized::<3>().is_err());
        assert!(items[2].hex().is_err());
        assert!(items[3].hex().is_err());
    }

    #[test]
    fn long_texts_are_cut_in_messages() {
        let text = error(&format!("\"{}\"", "ü".repeat(500)), |root| {
            root.number().map(drop)
        });
        assert!(text.len() < 300, "{text}");
    }

    proptest! {
        #[test]
        fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes).map(|value| value.to_string());
        }
    }
}
