//! Writing: compact JSON re-indented with one space per level, with Go's escapes, without a newline
//! at the end (spec 10 §0). Equal bytes make files of two implementations comparable.

use std::fmt::Write;

/// A value to write; objects keep the order of their keys.
pub(crate) enum Output {
    /// `null`
    Null,
    /// `true` or `false`
    Flag(bool),
    /// A whole number.
    Integer(i128),
    /// A string.
    Text(String),
    /// An array, `[]` when empty.
    List(Vec<Output>),
    /// An object, `{}` when empty.
    Object(Vec<(&'static str, Output)>),
}

impl Output {
    /// A string.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A whole number.
    pub(crate) fn number(number: impl Into<i128>) -> Self {
        Self::Integer(number.into())
    }

    /// An array that is `null` when it has no elements, like an unset Go slice.
    pub(crate) fn list_or_null(items: Vec<Self>) -> Self {
        if items.is_empty() {
            Self::Null
        } else {
            Self::List(items)
        }
    }

    /// The file text.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        self.append(&mut out, 0);
        out
    }

    fn append(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Flag(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Integer(number) => append_display(out, number),
            Self::Text(text) => append_text(out, text),
            Self::List(items) => append_sequence(out, depth, ['[', ']'], items, |out, item| {
                item.append(out, depth + 1)
            }),
            Self::Object(entries) => {
                append_sequence(out, depth, ['{', '}'], entries, |out, (key, value)| {
                    append_text(out, key);
                    out.push_str(": ");
                    value.append(out, depth + 1);
                })
            }
        }
    }
}

/// `0x` and lower-case hex; empty for no bytes.
pub(crate) fn prefixed_hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        String::new()
    } else {
        format!("0x{}", hex::encode(bytes))
    }
}

/// Lower-case hex without prefix.
pub(crate) fn bare_hex(bytes: &[u8]) -> Output {
    Output::Text(hex::encode(bytes))
}

fn append_display(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a string cannot fail");
}

fn append_sequence<T>(
    out: &mut String,
    depth: usize,
    brackets: [char; 2],
    items: &[T],
    append: impl Fn(&mut String, &T),
) {
    out.push(brackets[0]);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.extend(std::iter::repeat_n(' ', depth + 1));
        append(out, item);
    }
    if !items.is_empty() {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', depth));
    }
    out.push(brackets[1]);
}

fn append_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            // Go escapes these so that JSON can stand inside HTML and JavaScript.
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                append_display(out, format_args!("\\u{:04x}", u32::from(c)));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::json::{Field, parse};
    use proptest::prelude::*;

    #[test]
    fn layout_is_one_space_per_level_without_final_newline() {
        let value = Output::Object(vec![
            (
                "a",
                Output::List(vec![Output::number(1), Output::Object(vec![])]),
            ),
            ("b", Output::list_or_null(vec![])),
            ("c", Output::List(vec![])),
        ]);
        assert_eq!(
            value.render(),
            "{\n \"a\": [\n  1,\n  {}\n ],\n \"b\": null,\n \"c\": []\n}"
        );
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        let text = "<&>\u{2028}\u{2029}\"\\/\n\r\t\u{8}\u{c}\u{1}\u{7f}ü€";
        let expected =
            "\"\\u003c\\u0026\\u003e\\u2028\\u2029\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\u{7f}ü€\"";
        assert_eq!(Output::text(text).render(), expected);
    }

    #[test]
    fn no_bytes_have_no_prefix() {
        assert_eq!(prefixed_hex(&[]), "");
        assert_eq!(prefixed_hex(&[0xab]), "0xab");
    }

    proptest! {
        #[test]
        fn every_string_reads_back(text in any::<String>()) {
            let value = parse(Output::text(text.clone()).render().as_bytes()).unwrap();
            prop_assert_eq!(Field::root(&value).text().unwrap(), text);
        }
    }
}
