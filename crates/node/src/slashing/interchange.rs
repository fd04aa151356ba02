//! EIP-3076, the interchange format of slashing databases, version 5: to bring a validator's history in and out.
//!
//! An import only raises floors, to the newest entry of each kind: nothing at or below it is signed again. That is stricter than
//! keeping every row and needs none of the file's trust, since a file may be incomplete in its middle but hardly at its end.

use std::collections::BTreeMap;

use flotilla_duty::slashing::{Floor, History};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot};
use serde::{Deserialize, Serialize};

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

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum InterchangeError {
    /// Not JSON of this shape.
    #[error("not an EIP-3076 file: {0}")]
    Json(#[from] serde_json::Error),
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
    /// No attestation can have a source after its target; the file is damaged.
    #[error(
        "validator {validator} has an attestation with source {source_epoch} after target {target_epoch}"
    )]
    SourceAfterTarget {
        /// Whose.
        validator: PublicKeyBytes,
        /// Its source.
        source_epoch: Epoch,
        /// Its target.
        target_epoch: Epoch,
    },
    /// An entry that would stop the validator for good: no honest epoch or slot comes near.
    #[error("validator {validator} has an entry at {number}, which is no plausible epoch or slot")]
    Implausible {
        /// Whose.
        validator: PublicKeyBytes,
        /// The epoch or slot.
        number: u64,
    },
}

/// Reads a file and gives the floor that each validator in it needs.
pub fn import(
    text: &[u8],
    genesis_validators_root: Root,
) -> Result<BTreeMap<PublicKeyBytes, Floor>, InterchangeError> {
    let file: Interchange = serde_json::from_slice(text)?;
    if file.metadata.interchange_format_version != FORMAT_VERSION {
        return Err(InterchangeError::Version(
            file.metadata.interchange_format_version,
        ));
    }
    if file.metadata.genesis_validators_root != genesis_validators_root {
        return Err(InterchangeError::OtherChain {
            found: file.metadata.genesis_validators_root,
            expected: genesis_validators_root,
        });
    }
    let mut floors: BTreeMap<PublicKeyBytes, Floor> = BTreeMap::new();
    for entry in &file.data {
        raise(floors.entry(entry.pubkey).or_default(), entry)?;
    }
    Ok(floors)
}

fn raise(floor: &mut Floor, entry: &Entry) -> Result<(), InterchangeError> {
    let validator = entry.pubkey;
    let plausible = |number: u64| match i64::try_from(number) {
        Ok(_) => Ok(()),
        Err(_) => Err(InterchangeError::Implausible { validator, number }),
    };
    for block in &entry.signed_blocks {
        plausible(block.slot.0)?;
        floor.slot = floor.slot.max(Some(block.slot));
    }
    for vote in &entry.signed_attestations {
        plausible(vote.target_epoch.0)?;
        if vote.source_epoch > vote.target_epoch {
            let (source_epoch, target_epoch) = (vote.source_epoch, vote.target_epoch);
            return Err(InterchangeError::SourceAfterTarget {
                validator,
                source_epoch,
                target_epoch,
            });
        }
        floor.source = floor.source.max(Some(vote.source_epoch));
        floor.target = floor.target.max(Some(vote.target_epoch));
    }
    Ok(())
}

/// Writes histories as a file. A floor becomes an entry without signing root, which every importer takes as "signed, unknown".
pub fn export(
    histories: &BTreeMap<PublicKeyBytes, History>,
    genesis_validators_root: Root,
) -> Interchange {
    let metadata = Metadata {
        interchange_format_version: FORMAT_VERSION.to_owned(),
        genesis_validators_root,
    };
    let data = histories
        .iter()
        .filter(|(_, history)| !history.is_empty())
        .map(|(pubkey, history)| entry(*pubkey, history));
    Interchange {
        metadata,
        data: data.collect(),
    }
}

fn entry(pubkey: PublicKeyBytes, history: &History) -> Entry {
    let floor = history.floor();
    let floor_block = floor.slot.map(|slot| SignedBlock {
        slot,
        signing_root: None,
    });
    let floor_vote = floor.target.map(|target_epoch| SignedAttestation {
        source_epoch: floor.source.unwrap_or_default().min(target_epoch),
        target_epoch,
        signing_root: None,
    });
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
        signed_blocks: floor_block.into_iter().chain(blocks).collect(),
        signed_attestations: floor_vote.into_iter().chain(votes).collect(),
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
        assert!(matches!(
            import(&file(&data), CHAIN),
            Err(InterchangeError::Implausible { .. })
        ));
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
        let exported = export(&BTreeMap::from([(KEY, history)]), CHAIN);
        assert_eq!(exported.data[0].signed_attestations.len(), 2);
        let floors = import(&serde_json::to_vec(&exported).unwrap(), CHAIN).unwrap();
        let floor = Floor {
            source: Some(Epoch(8)),
            target: Some(Epoch(9)),
            slot: Some(Slot(77)),
        };
        assert_eq!(floors[&KEY], floor);
    }

    proptest! {
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
