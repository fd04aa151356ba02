//! The published test cases of EIP-3076 (tests/data/interchange), through the import of a file and the recording of votes.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Attestation, Block, Vote};
use flotilla_node::slashing::interchange::{
    Entry, FORMAT_VERSION, Interchange, Metadata, SignedAttestation, SignedBlock,
};
use flotilla_node::slashing::{
    Database, ImportError, Opening, ShareEpoch, SignerKind, import_file, machine_id,
};
use flotilla_types::{Epoch, PublicKeyBytes, Root, Slot};
use serde::Deserialize;

/// Cases whose file we refuse because an attestation in it has a source after its target. Every case that contains slashable
/// data allows that.
const REFUSED: [&str; 4] = [
    "single_validator_source_greater_than_target",
    "single_validator_source_greater_than_target_sensible_iff_minified",
    "single_validator_source_greater_than_target_surrounded",
    "single_validator_source_greater_than_target_surrounding",
];

/// The case, step and vote where we answer as the complete strategy does: slot 29 lies above everything imported, and below
/// slot 30 that we signed ourselves, and our own votes are known in full.
const ANSWERED_AS_COMPLETE: (&str, usize, usize) = (
    "multiple_interchanges_single_validator_multiple_blocks_out_of_order",
    1,
    0,
);

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    chain: u64,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Step {
    should_succeed: bool,
    contains_slashable_data: bool,
    chain: u64,
    data: Vec<History>,
    blocks: Vec<(u8, u64, u64, bool, bool)>,
    attestations: Vec<(u8, u64, u64, u64, bool, bool)>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct History {
    key: u8,
    blocks: Vec<Vec<u64>>,
    attestations: Vec<Vec<u64>>,
}

/// A vote asked for, and what a client of the minimal and one of the complete strategy answer.
struct Asked {
    item: RecordItem,
    minimal: bool,
    complete: bool,
}

fn key(key: u8) -> PublicKeyBytes {
    PublicKeyBytes([key; 48])
}

fn root(number: u64) -> Root {
    let mut root = Root::default();
    root.0[24..].copy_from_slice(&number.to_be_bytes());
    root
}

impl Step {
    fn file(&self) -> Interchange {
        let block = |block: &Vec<u64>| SignedBlock {
            slot: Slot(block[0]),
            signing_root: block.get(1).copied().map(root),
        };
        let attestation = |vote: &Vec<u64>| SignedAttestation {
            source_epoch: Epoch(vote[0]),
            target_epoch: Epoch(vote[1]),
            signing_root: vote.get(2).copied().map(root),
        };
        let entry = |history: &History| Entry {
            pubkey: key(history.key),
            signed_blocks: history.blocks.iter().map(block).collect(),
            signed_attestations: history.attestations.iter().map(attestation).collect(),
        };
        Interchange {
            metadata: Metadata {
                interchange_format_version: FORMAT_VERSION.to_owned(),
                genesis_validators_root: root(self.chain),
            },
            data: self.data.iter().map(entry).collect(),
        }
    }

    fn asked(&self) -> Vec<Asked> {
        let blocks = self
            .blocks
            .iter()
            .map(|&(validator, slot, signed, minimal, complete)| {
                let vote = Vote::Block(Block {
                    slot: Slot(slot),
                    signing_root: root(signed),
                });
                (validator, vote, minimal, complete)
            });
        let attestations = self.attestations.iter().map(
            |&(validator, source, target, signed, minimal, complete)| {
                let vote = Vote::Attestation(Attestation {
                    source: Epoch(source),
                    target: Epoch(target),
                    signing_root: root(signed),
                });
                (validator, vote, minimal, complete)
            },
        );
        blocks
            .chain(attestations)
            .map(|(validator, vote, minimal, complete)| Asked {
                item: RecordItem {
                    validator: key(validator),
                    vote,
                },
                minimal,
                complete,
            })
            .collect()
    }
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/interchange")
}

fn cases() -> Vec<Case> {
    let text = std::fs::read(data().join("cases.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn open(folder: &Path, chain: Root) -> Database {
    let opening = Opening {
        folder,
        genesis_validators_root: chain,
        // Before genesis there are no doubts about age, which the cases know nothing of.
        now: None,
        slots_per_epoch: 32,
        validators_active: true,
        signer: Some(SignerKind::Builtin),
        change_signer: false,
        share_epoch: ShareEpoch(0),
        machine: machine_id(),
    };
    Database::open(&opening).unwrap().0
}

fn may_sign(database: &Database, item: RecordItem) -> bool {
    let (answer, wait) = mpsc::sync_channel(1);
    database.record(vec![item], move |reply| answer.send(reply).unwrap());
    wait.recv().unwrap().results.remove(0).1.is_ok()
}

/// Runs a case; returns whether every file was imported.
fn run(case: &Case) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let members: BTreeSet<_> = (0..3).map(key).collect();
    open(folder.path(), root(case.chain)).close();
    for (number, step) in case.steps.iter().enumerate() {
        let place = format!("{} step {number}", case.name);
        let file = folder.path().join("file.json");
        std::fs::write(&file, serde_json::to_vec(&step.file()).unwrap()).unwrap();
        let imported = import_file(folder.path(), &file, None, &members);
        if !step.should_succeed {
            let error = imported.unwrap_err();
            assert!(
                matches!(error, ImportError::OtherChain { .. }),
                "{place}: {error}"
            );
            return true;
        }
        if let Err(error) = imported {
            assert!(step.contains_slashable_data, "{place}: {error}");
            return false;
        }
        let database = open(folder.path(), root(case.chain));
        for (position, asked) in step.asked().into_iter().enumerate() {
            let minimal_is_stricter = !asked.minimal || asked.complete;
            assert!(minimal_is_stricter, "{place}: no strategy answers so");
            // An import leaves floors, so that we answer as a client of the minimal strategy where the two differ.
            let as_complete = (case.name.as_str(), number, position) == ANSWERED_AS_COMPLETE;
            let expected = match as_complete {
                true => asked.complete,
                false => asked.minimal,
            };
            let vote = asked.item.vote;
            let answer = may_sign(&database, asked.item);
            assert_eq!(answer, expected, "{place}, vote {position}: {vote:?}");
        }
        database.close();
    }
    true
}

#[test]
fn published_interchange_vectors_are_answered_as_by_the_minimal_strategy() {
    let cases = cases();
    assert_eq!(cases.len(), 38);
    let refused: Vec<_> = cases
        .iter()
        .filter(|case| !run(case))
        .map(|case| case.name.as_str())
        .collect();
    assert_eq!(refused, REFUSED);
}

/// The original form of a case.
mod original {
    use super::*;

    #[derive(Deserialize)]
    pub struct Case {
        pub name: String,
        pub genesis_validators_root: Root,
        pub steps: Vec<Step>,
    }

    #[derive(Deserialize)]
    pub struct Step {
        pub should_succeed: bool,
        pub contains_slashable_data: bool,
        pub interchange: Interchange,
        pub blocks: Vec<AskedBlock>,
        pub attestations: Vec<AskedAttestation>,
    }

    #[derive(Deserialize)]
    pub struct AskedBlock {
        pub pubkey: PublicKeyBytes,
        pub slot: Slot,
        pub signing_root: Root,
        pub should_succeed: bool,
        pub should_succeed_complete: bool,
    }

    #[derive(Deserialize)]
    pub struct AskedAttestation {
        pub pubkey: PublicKeyBytes,
        pub source_epoch: Epoch,
        pub target_epoch: Epoch,
        pub signing_root: Root,
        pub should_succeed: bool,
        pub should_succeed_complete: bool,
    }
}

/// Restates original steps; keys are numbered as they come, over all files in the order of their names.
fn restated(steps: Vec<original::Step>, keys: &mut BTreeMap<PublicKeyBytes, u8>) -> Vec<Step> {
    let mut number = |pubkey: PublicKeyBytes| {
        let next = u8::try_from(keys.len()).unwrap();
        *keys.entry(pubkey).or_insert(next)
    };
    let short = |root: Root| {
        assert_eq!(root.0[..24], [0; 24]);
        u64::from_be_bytes(root.0[24..].try_into().unwrap())
    };
    let with_root = |numbers: &[u64], root: Option<Root>| {
        let root = root.map(short);
        numbers.iter().copied().chain(root).collect()
    };
    let step = |step: original::Step| Step {
        should_succeed: step.should_succeed,
        contains_slashable_data: step.contains_slashable_data,
        chain: short(step.interchange.metadata.genesis_validators_root),
        data: step
            .interchange
            .data
            .into_iter()
            .map(|entry| History {
                key: number(entry.pubkey),
                blocks: entry
                    .signed_blocks
                    .iter()
                    .map(|block| with_root(&[block.slot.0], block.signing_root))
                    .collect(),
                attestations: entry
                    .signed_attestations
                    .iter()
                    .map(|vote| {
                        with_root(
                            &[vote.source_epoch.0, vote.target_epoch.0],
                            vote.signing_root,
                        )
                    })
                    .collect(),
            })
            .collect(),
        blocks: step
            .blocks
            .into_iter()
            .map(|asked| {
                (
                    number(asked.pubkey),
                    asked.slot.0,
                    short(asked.signing_root),
                    asked.should_succeed,
                    asked.should_succeed_complete,
                )
            })
            .collect(),
        attestations: step
            .attestations
            .into_iter()
            .map(|asked| {
                (
                    number(asked.pubkey),
                    asked.source_epoch.0,
                    asked.target_epoch.0,
                    short(asked.signing_root),
                    asked.should_succeed,
                    asked.should_succeed_complete,
                )
            })
            .collect(),
    };
    steps.into_iter().map(step).collect()
}

#[test]
#[allow(clippy::print_stderr)]
fn original_interchange_vectors_say_what_is_restated_here() {
    let Ok(folder) = std::env::var("FLOTILLA_INTERCHANGE_TESTS") else {
        eprintln!("skipped: FLOTILLA_INTERCHANGE_TESTS names no folder");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let cases = cases();
    assert_eq!(files.len(), cases.len());
    let mut keys = BTreeMap::new();
    for (file, case) in files.into_iter().zip(cases) {
        let original: original::Case =
            serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(original.name, case.name);
        assert_eq!(original.genesis_validators_root, root(case.chain));
        assert_eq!(
            restated(original.steps, &mut keys),
            case.steps,
            "{}",
            case.name
        );
    }
}
