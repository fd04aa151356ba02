//! Versions as nodes tell them to each other: `v1.11.0`, `v1.11-rc3`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// A version of the protocols a node speaks. What compatibility depends on is [`Version::minor`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Release line.
    pub minor: Minor,
    /// Patch number, if told.
    pub patch: Option<u32>,
    /// Label of a pre-release, if it is one.
    pub pre_release: Option<String>,
}

/// A release line: `v1.11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor(pub u32, pub u32);

/// A text that is not a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version reads v<number>.<number>, with an optional .<number> and an optional -<label>")]
pub struct VersionError;

impl Version {
    /// The order of versions: by release line; by patch only between two plain releases that tell it.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let patches = self.release_patch().zip(other.release_patch());
        self.minor
            .cmp(&other.minor)
            .then_with(|| patches.map_or(Ordering::Equal, |(ours, theirs)| ours.cmp(&theirs)))
    }

    /// Whether a node that speaks `supported` release lines can work with this version: it is one of them, or newer than
    /// all of them, in which case it is the newer node that knows.
    #[must_use]
    pub fn is_supported_by(&self, supported: &[Minor]) -> bool {
        supported.contains(&self.minor) || supported.iter().all(|minor| self.minor > *minor)
    }

    fn release_patch(&self) -> Option<u32> {
        self.patch.filter(|_| self.pre_release.is_none())
    }
}

/// The first release line that reads sync contributions in their plural form.
const PLURAL_CONTRIBUTIONS: Minor = Minor(1, 11);

/// Whether a cluster that agreed on these versions writes sync contributions in their plural form (spec 30 §1.9): one of
/// them must be new enough, and a version is only agreed on by a quorum that speaks it. Texts that are no version count
/// for nothing.
#[must_use]
pub fn writes_plural_contributions<'a>(agreed: impl IntoIterator<Item = &'a str>) -> bool {
    agreed
        .into_iter()
        .filter_map(|text| text.parse::<Version>().ok())
        .any(|version| version.minor >= PLURAL_CONTRIBUTIONS)
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let numbers = text.strip_prefix('v').ok_or(VersionError)?;
        let (numbers, pre_release) = match numbers.split_once('-') {
            Some((_, "")) => return Err(VersionError),
            Some((numbers, label)) => (numbers, Some(label.to_owned())),
            None => (numbers, None),
        };
        let numbers = numbers
            .split('.')
            .map(number)
            .collect::<Result<Vec<_>, _>>()?;
        let (major, minor, patch) = match *numbers {
            [major, minor] => (major, minor, None),
            [major, minor, patch] => (major, minor, Some(patch)),
            _ => return Err(VersionError),
        };
        Ok(Self {
            minor: Minor(major, minor),
            patch,
            pre_release,
        })
    }
}

fn number(digits: &str) -> Result<u32, VersionError> {
    // `parse` alone would take a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|_| is_number)
        .ok_or(VersionError)
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}", self.0, self.1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.minor.fmt(f)?;
        if let Some(patch) = self.patch {
            write!(f, ".{patch}")?;
        }
        self.pre_release
            .as_ref()
            .map_or(Ok(()), |label| write!(f, "-{label}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_no_versions_are_refused() {
        for text in [
            "",
            "1.2.3",
            "v1",
            "v1.2.3.4",
            "v1.+2",
            "v1.2-",
            "v1.",
            "v1.2.3 ",
            "v1.99999999999",
        ] {
            assert_eq!(text.parse::<Version>(), Err(VersionError), "{text}");
        }
    }

    #[test]
    fn newer_than_all_is_supported_and_older_is_not() {
        let supported = [Minor(1, 11), Minor(1, 10)];
        let is_supported =
            |text: &str| text.parse::<Version>().unwrap().is_supported_by(&supported);
        assert!(is_supported("v1.10.3") && is_supported("v1.12-dev") && is_supported("v2.0"));
        assert!(!is_supported("v1.9.0"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = text.parse::<Version>();
        }

        #[test]
        fn what_is_written_is_read(major: u32, minor: u32, patch: Option<u32>, pre_release in proptest::option::of("[a-z0-9.-]{1,9}")) {
            let version = Version { minor: Minor(major, minor), patch, pre_release };
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }
}
