//! Who signs for which validator (S7): one signer for all, or a file that names another one for some.
//!
//! A share has one signer, so the choice is part of what the slashing database remembers: whoever changes it says so.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::PublicKeyBytes;
use flotilla_wire::hash::hash_bytes;

use crate::slashing::SignerKind;

/// Who signs for the validators of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signers {
    /// Whether the built-in signer signs for validators that are not named below.
    builtin: bool,
    /// Whether it does for these.
    named: BTreeMap<PublicKeyBytes, bool>,
}

/// Who signs in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signing {
    /// What the slashing database remembers.
    pub kind: SignerKind,
    /// The validators of the built-in signer.
    pub builtin: BTreeSet<PublicKeyBytes>,
}

/// Why a file does not say who signs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignersError {
    /// A line that is no entry.
    #[error(
        "line {line}: expected a validator's public key and `builtin` or `vc`, as in `0x8f… builtin`, found {text:?}"
    )]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is there, shortened.
        text: String,
    },
    /// A validator with two entries.
    #[error("line {line}: validator {validator} is named before; a share has one signer")]
    Twice {
        /// The number of the second entry, from 1.
        line: usize,
        /// The validator.
        validator: PublicKeyBytes,
    },
}

/// Characters of a wrong line that are shown.
const SHOWN: usize = 40;

impl Signers {
    /// One signer for all.
    pub fn all(builtin: bool) -> Self {
        Self {
            builtin,
            named: BTreeMap::new(),
        }
    }

    /// Other signers for single validators: one in each line, its group public key and `builtin` or `vc`. Empty lines, and
    /// what follows a `#`, count for nothing.
    ///
    /// # Errors
    /// [`SignersError`] names the line.
    pub fn with_file(mut self, text: &str) -> Result<Self, SignersError> {
        for (number, line) in text.lines().enumerate() {
            let line_number = number + 1;
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let (validator, builtin) = entry(content).ok_or_else(|| SignersError::Line {
                line: line_number,
                text: content.chars().take(SHOWN).collect(),
            })?;
            if self.named.insert(validator, builtin).is_some() {
                return Err(SignersError::Twice {
                    line: line_number,
                    validator,
                });
            }
        }
        Ok(self)
    }

    /// A named validator that is none of these, if there is one.
    pub(crate) fn stranger(
        &self,
        known: impl Fn(&PublicKeyBytes) -> bool,
    ) -> Option<PublicKeyBytes> {
        self.named.keys().find(|named| !known(named)).copied()
    }

    /// Who signs for these validators.
    pub(crate) fn of(&self, validators: &[PublicKeyBytes]) -> Signing {
        let is_builtin =
            |validator: &&PublicKeyBytes| *self.named.get(*validator).unwrap_or(&self.builtin);
        let builtin: BTreeSet<_> = validators.iter().filter(is_builtin).copied().collect();
        let kind = match builtin.len() {
            0 => SignerKind::ValidatorClient,
            all if all == validators.len() => SignerKind::Builtin,
            _ => {
                let keys: Vec<u8> = builtin.iter().flat_map(|key| key.0).collect();
                SignerKind::Mixed(hash_bytes(&keys))
            }
        };
        Signing { kind, builtin }
    }
}

fn entry(line: &str) -> Option<(PublicKeyBytes, bool)> {
    let mut words = line.split_whitespace();
    let validator = words.next()?.parse().ok()?;
    let builtin = match words.next()? {
        "builtin" => true,
        "vc" => false,
        _ => return None,
    };
    words.next().is_none().then_some((validator, builtin))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn key(number: u8) -> PublicKeyBytes {
        PublicKeyBytes([number; 48])
    }

    fn keys() -> Vec<PublicKeyBytes> {
        (1..=3).map(key).collect()
    }

    #[test]
    fn without_a_file_one_signs_for_all() {
        let all = Signers::all(true).of(&keys());
        assert_eq!((all.kind, all.builtin.len()), (SignerKind::Builtin, 3));
        let none = Signers::all(false).of(&keys());
        assert_eq!(
            (none.kind, none.builtin.len()),
            (SignerKind::ValidatorClient, 0)
        );
    }

    #[test]
    fn a_file_names_others_for_some() {
        let text = format!(
            "# two of three\n\n{} vc # away\n  {}  builtin\n",
            key(1),
            key(2)
        );
        let signers = Signers::all(true).with_file(&text).unwrap();
        let signing = signers.of(&keys());
        assert_eq!(signing.builtin, [key(2), key(3)].into());
        assert!(matches!(signing.kind, SignerKind::Mixed(_)));
        assert_eq!(signers.stranger(|key| keys().contains(key)), None);
        assert_eq!(signers.stranger(|named| *named != key(2)), Some(key(2)));
    }

    /// What is remembered is who signs, not how the file says so.
    #[test]
    fn the_same_choice_said_otherwise_is_the_same() {
        let first = Signers::all(true)
            .with_file(&format!("{} vc", key(1)))
            .unwrap();
        let text = format!("{} builtin\n{} builtin", key(3), key(2));
        let second = Signers::all(false).with_file(&text).unwrap();
        assert_eq!(first.of(&keys()), second.of(&keys()));
        let all: String = keys()
            .iter()
            .map(|key| format!("{key} builtin\n"))
            .collect();
        let all = Signers::all(false).with_file(&all).unwrap();
        assert_eq!(all.of(&keys()).kind, SignerKind::Builtin);
        let other = Signers::all(true)
            .with_file(&format!("{} vc", key(2)))
            .unwrap();
        assert_ne!(first.of(&keys()).kind, other.of(&keys()).kind);
    }

    #[test]
    fn a_wrong_line_is_named() {
        let wrong = |text: &str| Signers::all(true).with_file(text).unwrap_err().to_string();
        for line in [
            "0x12 vc",
            &format!("{}", key(1)),
            &format!("{} me", key(1)),
            &format!("{} vc vc", key(1)),
        ] {
            let error = wrong(&format!("\n{line}"));
            assert!(error.starts_with("line 2: expected"), "{error}");
        }
        let twice = wrong(&format!("{} vc\n{} vc", key(1), key(1)));
        assert!(twice.starts_with("line 2: validator 0x0101"), "{twice}");
    }
}
