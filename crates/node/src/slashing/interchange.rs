//! EIP-3076, the interchange format of slashing databases, version 5: to bring a validator's history in and out.
//!
//! An import only raises floors, to the newest entry of each kind: nothing at or below it is signed again. That is stricter than
//! keeping every row and needs none of the file's trust, since a file may be incomplete in its middle but hardly at its end.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use flotilla_duty::slashing::{Floor, History};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The only version in use.
pub const FORMAT_VERSION: &str = "5";

/// A whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interchange {
    /// Format and chain.
    pub metadata: Metadata,
    /// One entry per validator; a key may occur several times.
    pub data: Vec<Entry>,
}

/// Format and chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// [`FORMAT_VERSION`].
    pub interchange_format_version: String,
    /// The chain.
    pub genesis_validators_root: Root,
}

/// What one validator has signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The validator's group public key.
    pub pubkey: PublicKeyBytes,
    /// Blocks.
    pub signed_blocks: Vec<SignedBlock>,
    /// Attestations.
    pub signed_attestations: Vec<SignedAttestation>,
}

/// One signed block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBlock {
    /// Its slot.
    pub slot: Slot,
    /// What was signed, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_root: Option<Root>,
}

/// One signed attestation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedAttestation {
    /// Its source.
    pub source_epoch: Epoch,
    /// Its target.
    pub target_epoch: Epoch,
    /// What was signed, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_root: Option<Root>,
}

/// Longest file read. A complete export of 1,000 validators, each with its last 512 attestations, has about 100 MB.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// How much of a history is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Every entry that is kept.
    Complete,
    /// One entry of each kind, with the highest slot, source and target: what any importer needs to be safe.
    Minimal,
}

/// What a file says, as floors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// The chain.
    pub genesis_validators_root: Root,
    /// What each validator in it may have signed.
    pub floors: BTreeMap<PublicKeyBytes, Floor>,
}

impl Contents {
    /// The same as a file, in the minimal form.
    pub fn to_file(&self) -> Interchange {
        Interchange {
            metadata: metadata(self.genesis_validators_root),
            data: self
                .floors
                .iter()
                .map(|(pubkey, floor)| of_floor(*pubkey, *floor))
                .collect(),
        }
    }

    /// Raises every floor to that of `other`, a file of the same chain.
    pub fn merge(&mut self, other: &Self) {
        for (pubkey, floor) in &other.floors {
            let mut merged =
                History::with_floor(self.floors.get(pubkey).copied().unwrap_or_default());
            merged.raise(*floor);
            self.floors.insert(*pubkey, merged.floor());
        }
    }
}

fn metadata(genesis_validators_root: Root) -> Metadata {
    Metadata {
        interchange_format_version: FORMAT_VERSION.to_owned(),
        genesis_validators_root,
    }
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// Not JSON of this shape, or an entry that cannot be true: a source after its target, or a number so high that it would
    /// stop the validator for good.
    #[error("at {path}{}: {source}", of(validator.as_ref()))]
    Malformed {
        /// Where in the file, such as `data[3].signed_blocks[0].slot`.
        path: String,
        /// The validator there, if its key can be read.
        validator: Option<PublicKeyBytes>,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Another version.
    #[error("interchange format version is {0:?}, only {FORMAT_VERSION:?} is known")]
    Version(String),
    /// Another chain.
    #[error("the file is of the chain with genesis validators root {found}, expected {expected}")]
    OtherChain {
        /// The file's.
        found: Root,
        /// Ours.
        expected: Root,
    },
}

fn of(validator: Option<&PublicKeyBytes>) -> String {
    validator
        .map(|validator| format!(" (validator {validator})"))
        .unwrap_or_default()
}

/// Reads a file, keeping of each validator only its floor, however long the file is.
///
/// # Errors
/// It is not JSON of this shape or version, or an entry cannot be true.
pub fn read(text: &[u8]) -> Result<Contents, InterchangeError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let file: Folded = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let entry = error.path().iter().find_map(|segment| match segment {
            serde_path_to_error::Segment::Seq { index } => Some(*index),
            _ => None,
        });
        InterchangeError::Malformed {
            path: error.path().to_string(),
            validator: entry.and_then(|entry| validator_at(text, entry)),
            source: error.into_inner(),
        }
    })?;
    json.end().map_err(|source| InterchangeError::Malformed {
        path: "the end".to_owned(),
        validator: None,
        source,
    })?;
    match file.metadata.interchange_format_version {
        version if version == FORMAT_VERSION => Ok(Contents {
            genesis_validators_root: file.metadata.genesis_validators_root,
            floors: file.data.0,
        }),
        other => Err(InterchangeError::Version(other)),
    }
}

/// Reads a file of a known chain and gives the floor that each validator in it needs.
///
/// # Errors
/// As for [`read`], or it is of another chain.
pub fn import(
    text: &[u8],
    genesis_validators_root: Root,
) -> Result<BTreeMap<PublicKeyBytes, Floor>, InterchangeError> {
    let contents = read(text)?;
    match contents.genesis_validators_root {
        root if root == genesis_validators_root => Ok(contents.floors),
        found => Err(InterchangeError::OtherChain {
            found,
            expected: genesis_validators_root,
        }),
    }
}

/// Whose entry is the faulty one: a second, more forgiving look at the file.
fn validator_at(text: &[u8], entry: usize) -> Option<PublicKeyBytes> {
    #[derive(Deserialize)]
    struct Keys {
        data: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        pubkey: PublicKeyBytes,
    }
    let keys: Keys = serde_json::from_slice(text).ok()?;
    keys.data.get(entry).map(|key| key.pubkey)
}

/// [`Interchange`], with floors in place of entries.
#[derive(Deserialize)]
struct Folded {
    metadata: Metadata,
    data: Floors,
}

#[derive(Deserialize)]
struct FoldedEntry {
    pubkey: PublicKeyBytes,
    signed_blocks: Newest<SignedBlock>,
    signed_attestations: Newest<SignedAttestation>,
}

struct Floors(BTreeMap<PublicKeyBytes, Floor>);

impl<'de> Deserialize<'de> for Floors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut floors: BTreeMap<PublicKeyBytes, Floor> = BTreeMap::new();
        each(deserializer, |entry: FoldedEntry| {
            let floor = floors.entry(entry.pubkey).or_default();
            floor.slot = floor.slot.max(entry.signed_blocks.floor.slot);
            floor.source = floor.source.max(entry.signed_attestations.floor.source);
            floor.target = floor.target.max(entry.signed_attestations.floor.target);
        })?;
        Ok(Self(floors))
    }
}

/// The floor of a list of entries.
struct Newest<T> {
    floor: Floor,
    entries: PhantomData<T>,
}

impl<'de, T: Signed + Deserialize<'de>> Deserialize<'de> for Newest<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut floor = Floor::default();
        each(deserializer, |entry: Checked<T>| entry.0.raise(&mut floor))?;
        Ok(Self {
            floor,
            entries: PhantomData,
        })
    }
}

/// An entry that can be true. Checked while it is read, so that the error knows its place in the file.
struct Checked<T>(T);

impl<'de, T: Signed + Deserialize<'de>> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entry = T::deserialize(deserializer)?;
        entry.check().map_err(D::Error::custom)?;
        Ok(Self(entry))
    }
}

/// What both kinds of entries do.
trait Signed {
    /// Whether it can be true.
    fn check(&self) -> Result<(), EntryError>;
    /// Raises the floor to it.
    fn raise(&self, floor: &mut Floor);
}

#[derive(Debug, thiserror::Error)]
enum EntryError {
    /// No attestation can have a source after its target; the file is damaged.
    #[error("source epoch {source_epoch} is after target epoch {target_epoch}")]
    SourceAfterTarget {
        source_epoch: Epoch,
        target_epoch: Epoch,
    },
    /// It would stop the validator for good, and SQLite's integers have 63 bits: no honest epoch or slot comes near.
    #[error("{0} is no plausible epoch or slot")]
    Implausible(u64),
}

fn plausible(number: u64) -> Result<(), EntryError> {
    match i64::try_from(number) {
        Ok(_) => Ok(()),
        Err(_) => Err(EntryError::Implausible(number)),
    }
}

impl Signed for SignedBlock {
    fn check(&self) -> Result<(), EntryError> {
        plausible(self.slot.0)
    }

    fn raise(&self, floor: &mut Floor) {
        floor.slot = floor.slot.max(Some(self.slot));
    }
}

impl Signed for SignedAttestation {
    fn check(&self) -> Result<(), EntryError> {
        let (source_epoch, target_epoch) = (self.source_epoch, self.target_epoch);
        if source_epoch > target_epoch {
            return Err(EntryError::SourceAfterTarget {
                source_epoch,
                target_epoch,
            });
        }
        plausible(target_epoch.0)
    }

    fn raise(&self, floor: &mut Floor) {
        floor.source = floor.source.max(Some(self.source_epoch));
        floor.target = floor.target.max(Some(self.target_epoch));
    }
}

/// Calls `take` with each element of a list, keeping none.
fn each<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    take: impl FnMut(T),
) -> Result<(), D::Error> {
    struct Each<T, F>(F, PhantomData<T>);
    impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<T, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
            while let Some(element) = list.next_element()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    deserializer.deserialize_seq(Each(take, PhantomData))
}

/// Writes histories as a file. A floor becomes an entry without signing root, which every importer takes as "signed, unknown".
pub fn export(
    histories: &BTreeMap<PublicKeyBytes, History>,
    genesis_validators_root: Root,
    form: Form,
) -> Interchange {
    let data = histories
        .iter()
        .filter(|(_, history)| !history.is_empty())
        .map(|(pubkey, history)| match form {
            Form::Complete => complete(*pubkey, history),
            Form::Minimal => minimal(*pubkey, history),
        });
    Interchange {
        metadata: metadata(genesis_validators_root),
        data: data.collect(),
    }
}

fn complete(pubkey: PublicKeyBytes, history: &History) -> Entry {
    let floor = of_floor(pubkey, history.floor());
    let blocks = history.blocks().map(|block| SignedBlock {
        slot: block.slot,
        signing_root: Some(block.signing_root),
    });
    let votes = history.attestations().map(|vote| SignedAttestation {
        source_epoch: vote.source,
        target_epoch: vote.target,
        signing_root: Some(vote.signing_root),
    });
    Entry {
        pubkey,
        signed_blocks: floor.signed_blocks.into_iter().chain(blocks).collect(),
        signed_attestations: floor.signed_attestations.into_iter().chain(votes).collect(),
    }
}

fn minimal(pubkey: PublicKeyBytes, history: &History) -> Entry {
    of_floor(pubkey, highest(history))
}

/// Source and target are the highest of all, though perhaps never of one attestation (EIP-3076, minimal strategy).
pub fn highest(history: &History) -> Floor {
    let mut all = History::with_floor(history.floor());
    all.raise(Floor {
        source: history.attestations().map(|vote| vote.source).max(),
        target: history.attestations().map(|vote| vote.target).max(),
        slot: history.blocks().map(|block| block.slot).max(),
    });
    all.floor()
}

fn of_floor(pubkey: PublicKeyBytes, floor: Floor) -> Entry {
    let block = floor.slot.map(|slot| SignedBlock {
        slot,
        signing_root: None,
    });
    let vote = floor.target.map(|target_epoch| SignedAttestation {
        source_epoch: floor.source.unwrap_or_default().min(target_epoch),
        target_epoch,
        signing_root: None,
    });
    Entry {
        pubkey,
        signed_blocks: block.into_iter().collect(),
        signed_attestations: vote.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_duty::slashing::{Attestation, Block, Vote};
    use proptest::prelude::*;

    use super::*;

    const CHAIN: Root = Root([4; 32]);
    const KEY: PublicKeyBytes = PublicKeyBytes([0xb8; 48]);

    fn file(data: &str) -> Vec<u8> {
        format!(
            r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"{CHAIN}"}},"data":[{data}]}}"#
        )
        .into_bytes()
    }

    #[test]
    fn merged_contents_have_the_higher_floors() {
        let of = |target: u64, slot: Option<u64>| Contents {
            genesis_validators_root: CHAIN,
            floors: BTreeMap::from([(
                KEY,
                Floor {
                    source: Some(Epoch(1)),
                    target: Some(Epoch(target)),
                    slot: slot.map(Slot),
                },
            )]),
        };
        let mut merged = of(5, None);
        merged.merge(&of(4, Some(9)));
        assert_eq!(merged, of(5, Some(9)));
        let written = serde_json::to_vec(&merged.to_file()).unwrap();
        assert_eq!(read(&written).unwrap(), merged);
    }

    #[test]
    fn import_takes_the_newest_entry_of_each_kind_as_floor() {
        let data = format!(
            r#"{{"pubkey":"{KEY}","signed_blocks":[{{"slot":"81952","signing_root":"{CHAIN}"}},{{"slot":"81951"}}],
                "signed_attestations":[{{"source_epoch":"2290","target_epoch":"3007","signing_root":"{CHAIN}"}},
                {{"source_epoch":"2291","target_epoch":"3006"}}]}},
               {{"pubkey":"{KEY}","signed_blocks":[{{"slot":"81960"}}],"signed_attestations":[]}}"#
        );
        let floors = import(&file(&data), CHAIN).unwrap();
        let floor = Floor {
            source: Some(Epoch(2291)),
            target: Some(Epoch(3007)),
            slot: Some(Slot(81960)),
        };
        assert_eq!(floors, BTreeMap::from([(KEY, floor)]));
    }

    #[test]
    fn other_versions_and_chains_are_refused() {
        let other = String::from_utf8(file(""))
            .unwrap()
            .replace("\"5\"", "\"4\"");
        assert!(
            matches!(import(other.as_bytes(), CHAIN), Err(InterchangeError::Version(version)) if version == "4")
        );
        assert!(matches!(
            import(&file(""), Root([5; 32])),
            Err(InterchangeError::OtherChain { .. })
        ));
    }

    #[test]
    fn entries_that_would_stop_a_validator_for_good_are_refused() {
        let data = format!(
            r#"{{"pubkey":"{KEY}","signed_blocks":[{{"slot":"{}"}}],"signed_attestations":[]}}"#,
            u64::MAX
        );
        let error = import(&file(&data), CHAIN).unwrap_err().to_string();
        assert!(error.contains("no plausible epoch or slot"), "{error}");
    }

    #[test]
    fn exported_history_is_imported_as_a_floor_above_all_of_it() {
        let mut history = History::with_floor(Floor {
            source: Some(Epoch(3)),
            target: Some(Epoch(4)),
            slot: Some(Slot(40)),
        });
        history.insert(&Vote::Attestation(Attestation {
            source: Epoch(8),
            target: Epoch(9),
            signing_root: Root([1; 32]),
        }));
        history.insert(&Vote::Block(Block {
            slot: Slot(77),
            signing_root: Root([2; 32]),
        }));
        let exported = export(
            &BTreeMap::from([(KEY, history.clone())]),
            CHAIN,
            Form::Complete,
        );
        assert_eq!(exported.data[0].signed_attestations.len(), 2);
        let floors = import(&serde_json::to_vec(&exported).unwrap(), CHAIN).unwrap();
        let floor = Floor {
            source: Some(Epoch(8)),
            target: Some(Epoch(9)),
            slot: Some(Slot(77)),
        };
        assert_eq!(floors[&KEY], floor);
        let minimal = export(&BTreeMap::from([(KEY, history)]), CHAIN, Form::Minimal);
        assert_eq!(minimal.data[0].signed_attestations.len(), 1);
        let floors = import(&serde_json::to_vec(&minimal).unwrap(), CHAIN).unwrap();
        assert_eq!(floors[&KEY], floor);
    }

    #[test]
    fn faulty_entry_is_named_by_its_path_and_validator() {
        let data =
            format!(r#"{{"pubkey":"{CHAIN}{CHAIN}","signed_blocks":[],"signed_attestations":[]}}"#);
        let error = read(&file(&data)).unwrap_err().to_string();
        assert!(error.starts_with("at data[0].pubkey: "), "{error}");
        let entry = |fault: &str| {
            format!(
                r#"{{"pubkey":"{KEY}","signed_blocks":[],"signed_attestations":[{{"source_epoch":"1","target_epoch":"2"}},{fault}]}}"#
            )
        };
        for (fault, at, text) in [
            (
                r#"{"source_epoch":"3","target_epoch":"2"}"#,
                "[1]",
                "3 is after target epoch 2",
            ),
            (
                r#"{"source_epoch":"3","target_epoch":"x"}"#,
                "[1].target_epoch",
                "expected a decimal",
            ),
            (
                r#"{"source_epoch":3,"target_epoch":"4"}"#,
                "[1].source_epoch",
                "invalid type",
            ),
            (
                r#"{"source_epoch":"3"}"#,
                "[1]",
                "missing field `target_epoch`",
            ),
        ] {
            let error = read(&file(&entry(fault))).unwrap_err().to_string();
            let start = format!("at data[0].signed_attestations{at} (validator {KEY}): ");
            assert!(error.starts_with(&start) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn nesting_and_trailing_bytes_are_refused() {
        let nest = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let error = read(&file(&nest)).unwrap_err().to_string();
        assert!(error.starts_with("at data[0]"), "{error}");
        // What nobody asked for is skipped without recursion.
        let unknown = file("").strip_prefix(b"{").unwrap().to_vec();
        let unknown = [format!(r#"{{"unknown":{nest},"#).into_bytes(), unknown].concat();
        assert!(read(&unknown).unwrap().floors.is_empty());
        let trailing = [file(""), b"{}".to_vec()].concat();
        assert!(read(&trailing).is_err());
    }

    fn votes() -> impl Strategy<Value = Vec<Vote>> {
        let root = (0..3u8).prop_map(|byte| Root([byte; 32]));
        let vote = prop_oneof![
            (0..12u64, 0..12u64, root.clone()).prop_map(|(source, target, signing_root)| {
                Vote::Attestation(Attestation {
                    source: Epoch(source),
                    target: Epoch(target),
                    signing_root,
                })
            }),
            (0..12u64, root).prop_map(|(slot, signing_root)| {
                Vote::Block(Block {
                    slot: Slot(slot),
                    signing_root,
                })
            }),
        ];
        proptest::collection::vec(vote, 0..24)
    }

    proptest! {
        #[test]
        fn what_the_exporter_refuses_the_importer_refuses(
            floor in proptest::option::of((0..6u64, 0..6u64, 0..6u64)),
            signed in votes(),
            asked in votes(),
            minimal in any::<bool>(),
        ) {
            let mut history = History::with_floor(floor.map_or_else(Floor::default, |(source, more, slot)| Floor {
                source: Some(Epoch(source)),
                target: Some(Epoch(source + more)),
                slot: Some(Slot(slot)),
            }));
            for vote in &signed {
                if history.check(vote).is_ok() {
                    history.insert(vote);
                }
            }
            let form = if minimal { Form::Minimal } else { Form::Complete };
            let exported = export(&BTreeMap::from([(KEY, history.clone())]), CHAIN, form);
            let floors = import(&serde_json::to_vec(&exported).unwrap(), CHAIN).unwrap();
            let imported = History::with_floor(floors.get(&KEY).copied().unwrap_or_default());
            for vote in asked.iter().filter(|vote| history.check(vote).is_err()) {
                prop_assert!(imported.check(vote).is_err(), "{vote:?} after {signed:?}");
            }
            // Nor may anything that was signed be signed a second time in another form.
            for vote in signed.iter().filter(|vote| history.check(vote).is_ok()) {
                prop_assert!(imported.check(vote).is_err(), "{vote:?}");
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = import(&bytes, CHAIN);
        }

        #[test]
        fn what_is_written_reads_back(slots in proptest::collection::vec(any::<u32>(), 0..8)) {
            let signed_blocks = slots.iter().map(|slot| SignedBlock { slot: Slot(u64::from(*slot)), signing_root: None });
            let entry = Entry { pubkey: KEY, signed_blocks: signed_blocks.collect(), signed_attestations: Vec::new() };
            let metadata = Metadata { interchange_format_version: FORMAT_VERSION.to_owned(), genesis_validators_root: CHAIN };
            let file = Interchange { metadata, data: vec![entry] };
            let text = serde_json::to_vec(&file).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Interchange>(&text).unwrap(), file);
        }
    }
}
