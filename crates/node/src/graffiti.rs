//! The free 32 bytes of our blocks: the operator's text, and which software made the block (spec 30 §4.2).

use std::collections::BTreeMap;

use flotilla_types::PublicKeyBytes;

/// Bytes of a block's graffiti.
const LENGTH: usize = 32;
/// Bytes that the suffix takes.
const SUFFIX: usize = 4;
/// What stands in the suffix for a distributed validator, as dashboards of the field expect it.
const DISTRIBUTED: &str = "OB";

/// Why graffiti is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraffitiError {
    /// A text is too long.
    #[error("--graffiti {text:?} has {length} bytes; {limit} are possible{hint}")]
    TooLong {
        /// The text.
        text: String,
        /// Its bytes.
        length: usize,
        /// How many are possible.
        limit: usize,
        /// What to do, if there is something.
        hint: &'static str,
    },
    /// Neither one text nor one per validator.
    #[error(
        "--graffiti has {texts} texts and the cluster {validators} validators: give one for all, or one for each"
    )]
    Count {
        /// How many texts there are.
        texts: usize,
        /// How many validators.
        validators: usize,
    },
}

/// The free 32 bytes of our blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graffiti {
    common: Option<String>,
    by_validator: BTreeMap<PublicKeyBytes, String>,
    suffix: String,
}

impl Graffiti {
    /// From the operator's texts: none, one for all, or one for each validator in the lock's order.
    ///
    /// # Errors
    /// [`GraffitiError`].
    pub fn new(
        texts: &[String],
        appends_client: bool,
        validators: &[PublicKeyBytes],
    ) -> Result<Self, GraffitiError> {
        let (limit, hint) = match appends_client {
            true => (
                LENGTH - SUFFIX,
                ", 32 with --graffiti-disable-client-append",
            ),
            false => (LENGTH, ""),
        };
        if let Some(text) = texts.iter().find(|text| text.len() > limit) {
            return Err(GraffitiError::TooLong {
                text: text.clone(),
                length: text.len(),
                limit,
                hint,
            });
        }
        let suffix = if appends_client { DISTRIBUTED } else { "" }.to_owned();
        let graffiti = match texts {
            [] => Self::default(),
            [text] => Self {
                common: Some(text.clone()),
                suffix,
                ..Self::default()
            },
            texts if texts.len() == validators.len() => Self {
                by_validator: validators
                    .iter()
                    .copied()
                    .zip(texts.iter().cloned())
                    .collect(),
                suffix,
                ..Self::default()
            },
            texts => {
                return Err(GraffitiError::Count {
                    texts: texts.len(),
                    validators: validators.len(),
                });
            }
        };
        Ok(graffiti)
    }

    /// With the beacon node's software in the suffix, if there is one.
    pub fn on(mut self, beacon_node_version: &str) -> Self {
        if !self.suffix.is_empty() {
            self.suffix.push_str(client_code(beacon_node_version));
        }
        self
    }

    /// The bytes for a validator's block. Without a text of the operator they name this software.
    pub fn of(&self, validator: Option<&PublicKeyBytes>) -> [u8; LENGTH] {
        let own = validator.and_then(|validator| self.by_validator.get(validator));
        let text = match own.or(self.common.as_ref()) {
            Some(text) => format!("{text}{}", self.suffix),
            None => concat!("flotilla/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let mut bytes = [0; LENGTH];
        for (byte, text) in bytes.iter_mut().zip(text.bytes()) {
            *byte = text;
        }
        bytes
    }
}

/// Two letters for the software named in a version such as `Lighthouse/v8.0.0-abc/x86_64-linux`; nothing for unknown ones.
fn client_code(version: &str) -> &'static str {
    let product = version.split('/').next().unwrap_or_default().to_lowercase();
    match product.as_str() {
        "teku" => "TK",
        "lighthouse" => "LH",
        "lodestar" => "LS",
        "prysm" => "PY",
        "nimbus" => "NB",
        "grandine" => "GD",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIRST: PublicKeyBytes = PublicKeyBytes([1; 48]);
    const SECOND: PublicKeyBytes = PublicKeyBytes([2; 48]);

    fn text(bytes: [u8; LENGTH]) -> String {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(LENGTH);
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_operators_text_comes_with_the_software_behind_it() {
        let graffiti = Graffiti::new(&texts(&["hello"]), true, &[FIRST]).unwrap();
        let graffiti = graffiti.on("Lighthouse/v8.0.0/x86_64-linux");
        assert_eq!(text(graffiti.of(Some(&FIRST))), "helloOBLH");
        let plain = Graffiti::new(&texts(&["hello"]), false, &[FIRST]).unwrap();
        assert_eq!(text(plain.on("Teku/1").of(None)), "hello");
    }

    #[test]
    fn each_validator_may_have_its_own() {
        let graffiti = Graffiti::new(&texts(&["a", "b"]), false, &[FIRST, SECOND]).unwrap();
        assert_eq!(text(graffiti.of(Some(&SECOND))), "b");
        let none = Graffiti::new(&[], true, &[FIRST]).unwrap();
        assert!(text(none.of(Some(&FIRST))).starts_with("flotilla/"));
    }

    #[test]
    fn too_long_or_too_many_is_refused_with_the_numbers() {
        let long = "x".repeat(29);
        let error = Graffiti::new(std::slice::from_ref(&long), true, &[]).unwrap_err();
        assert!(
            error.to_string().contains("29 bytes; 28 are possible"),
            "{error}"
        );
        assert!(Graffiti::new(&[long], false, &[]).is_ok());
        let error = Graffiti::new(&texts(&["a", "b"]), true, &[FIRST]).unwrap_err();
        assert!(error.to_string().contains("2 texts"), "{error}");
    }
}
