//! Names in a folder of keystores (spec 10 §4): which files there are, which password opens which,
//! and whether their numbers say which validator each belongs to.

use std::collections::BTreeMap;

use thiserror::Error;

const PREFIX: &str = "keystore-";
const INSECURE: &str = "insecure-";
const EXTENSION: &str = ".json";

/// A folder whose names do not number the keystores.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FolderError {
    /// No file is called like a keystore.
    #[error("no keystore-*.json files")]
    Empty,
    /// A name without a number.
    #[error("{name} has no number: expected keystore-<number>.json")]
    Unnumbered {
        /// File name.
        name: String,
    },
    /// Two files with one number.
    #[error("{first} and {second} have the same number")]
    Repeated {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// The numbers do not count from 0 without gaps.
    #[error("keystore number {missing} is missing: expected numbers 0 to {last}")]
    Gap {
        /// First number that no file has.
        missing: usize,
        /// Number that the last of so many files would have.
        last: usize,
    },
}

/// Whether a file is called like a keystore.
#[must_use]
pub fn is_keystore_name(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(EXTENSION)
}

/// Name of the file with the password of a keystore.
#[must_use]
pub fn password_name(name: &str) -> String {
    name.replacen(EXTENSION, ".txt", 1)
}

/// The number in `keystore-<number>.json` or `keystore-insecure-<number>.json`.
#[must_use]
pub fn number(name: &str) -> Option<usize> {
    let stem = name.strip_prefix(PREFIX)?.strip_suffix(EXTENSION)?;
    let digits = stem.strip_prefix(INSECURE).unwrap_or(stem);
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// The keystores among `names` in the order of their numbers, which must be 0, 1, 2, … each once.
/// Other files are left out.
///
/// # Errors
/// There is no keystore, or the numbers are not those.
pub fn in_sequence<'a>(
    names: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<&'a str>, FolderError> {
    let mut numbered = BTreeMap::new();
    for name in names.into_iter().filter(|name| is_keystore_name(name)) {
        let number = number(name).ok_or_else(|| FolderError::Unnumbered {
            name: name.to_owned(),
        })?;
        if let Some(first) = numbered.insert(number, name) {
            return Err(FolderError::Repeated {
                first: first.to_owned(),
                second: name.to_owned(),
            });
        }
    }
    let last = numbered.len().checked_sub(1).ok_or(FolderError::Empty)?;
    match (0..=last).find(|number| !numbered.contains_key(number)) {
        None => Ok(numbered.into_values().collect()),
        Some(missing) => Err(FolderError::Gap { missing, last }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sequence_is_by_number_not_by_text() {
        let names: Vec<String> = (0..12)
            .rev()
            .map(|number| format!("keystore-{number}.json"))
            .collect();
        let sequence = in_sequence(
            names
                .iter()
                .map(String::as_str)
                .chain(["keystore-0.txt", "deposit.json"]),
        )
        .unwrap();
        assert_eq!(sequence[2], "keystore-2.json");
        assert_eq!(sequence[11], "keystore-11.json");
    }

    #[test]
    fn wrong_numbers_are_named() {
        let error = |names: &[&'static str]| in_sequence(names.iter().copied()).unwrap_err();
        assert_eq!(error(&["x.json"]), FolderError::Empty);
        assert_eq!(
            error(&["keystore-0.json", "keystore-2.json"]),
            FolderError::Gap {
                missing: 1,
                last: 1
            }
        );
        assert_eq!(
            error(&["keystore-1.json"]),
            FolderError::Gap {
                missing: 0,
                last: 0
            }
        );
        assert_eq!(
            error(&["keystore-a.json"]),
            FolderError::Unnumbered {
                name: "keystore-a.json".into()
            }
        );
        assert!(matches!(
            error(&["keystore-0.json", "keystore-insecure-0.json"]),
            FolderError::Repeated { .. }
        ));
        assert!(matches!(
            error(&["keystore-99999999999999999999999.json"]),
            FolderError::Unnumbered { .. }
        ));
        assert!(matches!(
            error(&["keystore-.json"]),
            FolderError::Unnumbered { .. }
        ));
    }

    #[test]
    fn password_lies_beside_the_keystore() {
        assert_eq!(
            password_name("keystore-insecure-3.json"),
            "keystore-insecure-3.txt"
        );
    }
}
