//! Every file of the shared vectors is of a kind that this table knows: a room reads it, or it says that none does yet. A
//! file of another kind fails the run, so that no published byte is left unread by accident.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

/// Who reads the files of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// These rooms; the sources of each name the kind.
    Rooms(&'static [&'static str]),
    /// Nobody: the feature is still to come, or has no counterpart here.
    NotCoveredYet(&'static str),
    /// Prose for people.
    Prose,
}

use Reader::{NotCoveredYet, Prose, Rooms};

/// Folder, beginning of the name, reader. The longest match counts, folders included.
const KINDS: &[(&str, &str, Reader)] = &[
    ("consensus", "README.md", Prose),
    (
        "consensus",
        "TestDebugRoundChange_",
        NotCoveredYet("log texts of another client"),
    ),
    ("consensus", "TestHashProto", Rooms(&["wire"])),
    (
        "consensus",
        "TestMemEx",
        NotCoveredYet("fan-out of partial signatures"),
    ),
    (
        "consensus",
        "advertised_addrs",
        NotCoveredYet("external addresses"),
    ),
    ("consensus", "consensus_values", Rooms(&["wire"])),
    ("consensus", "duty_deadlines", Rooms(&["types"])),
    ("consensus", "duty_gater", Rooms(&["types", "wire"])),
    ("consensus", "hash_bytes_lengths", Rooms(&["wire"])),
    ("consensus", "hash_proto_short", Rooms(&["wire"])),
    (
        "consensus",
        "hash_proto_unsigned_data_set",
        Rooms(&["wire"]),
    ),
    ("consensus", "infosync_", NotCoveredYet("priority protocol")),
    (
        "consensus",
        "infosync_sync_contributions_gate",
        Rooms(&["wire"]),
    ),
    (
        "consensus",
        "k1_recoverable_signature",
        Rooms(&["crypto", "wire"]),
    ),
    ("consensus", "parsigex_frame", Rooms(&["wire"])),
    ("consensus", "parsigex_messages", Rooms(&["crypto", "wire"])),
    ("consensus", "peer_id", Rooms(&["crypto"])),
    ("consensus", "peerinfo_frames", Rooms(&["wire"])),
    ("consensus", "peerinfo_versions", Rooms(&["wire"])),
    ("consensus", "priority_", NotCoveredYet("priority protocol")),
    ("consensus", "qbft_chain_split", Rooms(&["qbft"])),
    ("consensus", "qbft_decide_scenarios", Rooms(&["qbft"])),
    ("consensus", "qbft_formulas", Rooms(&["qbft"])),
    ("consensus", "qbft_justified_pre_prepare", Rooms(&["qbft"])),
    ("consensus", "qbft_leader", Rooms(&["qbft"])),
    ("consensus", "qbft_network_scenarios", Rooms(&["qbft"])),
    ("consensus", "qbft_signed_messages", Rooms(&["wire"])),
    ("consensus", "qbft_traces", Rooms(&["qbft", "wire"])),
    ("consensus", "qbft_verdicts", Rooms(&["qbft", "wire"])),
    ("consensus", "relay_and_frames", NotCoveredYet("relays")),
    ("consensus", "round_timers", Rooms(&["qbft"])),
    ("consensus", "wire_validation", Rooms(&["wire"])),
    ("duties", "README.md", Prose),
    ("duties", "TestAttest_0_attestations", Rooms(&["types"])),
    ("duties", "TestAttest_0_aggregations", Rooms(&["types"])),
    ("duties", "TestAttestationStore", Rooms(&["types"])),
    (
        "duties",
        "TestDeterministicAttesterDuties",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_Signature",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SignedPayloadAttestationMessage",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_SignedPayloadAttestationMessage",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_PayloadAttestationData",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_AttestationData",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_BeaconCommitteeSelection",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SignedSyncContributionAndProof",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SignedSyncMessage",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SignedVoluntaryExit",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SyncContribution.json",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_SyncContributionAndProof",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedAttestation",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedBlindedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedProposal",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedSignedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedSignedBlindedProposal",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestJSONSerialisation_VersionedSignedProposal",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_SignedSyncContributionAndProof",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_SignedSyncMessage",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedAggregatedAttestation",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedAttestation",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedBlindedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedProposal",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedSignedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedSignedBlindedBeaconBlock",
        Rooms(&["types"]),
    ),
    (
        "duties",
        "TestSSZSerialisation_VersionedSignedBlindedProposal",
        Rooms(&["types"]),
    ),
    ("duties", "TestSchedulerDuties_", Rooms(&["types"])),
    ("duties", "aggregator_selection", Rooms(&["types"])),
    ("duties", "signing_roots", Rooms(&["types", "wire"])),
    ("duties", "wire_payloads", Rooms(&["types", "wire"])),
    ("cluster", "README.md", Prose),
    ("cluster/charon-created", "", Rooms(&["cluster"])),
    ("cluster/create-cluster", "", Rooms(&["cluster"])),
    ("cluster/deposit", "", Rooms(&["cluster"])),
    ("cluster/examples", "", Rooms(&["cluster"])),
    ("cluster/independent", "", Rooms(&["cluster"])),
    ("cluster/keystore", "", Rooms(&["cluster"])),
    ("cluster/known-answers", "", Rooms(&["cluster"])),
    ("cluster/testdata", "", Rooms(&["cluster"])),
    ("ceremony", "README.md", Prose),
    ("ceremony", "secrets.json", Rooms(&["cluster"])),
    ("ceremony", "api", Rooms(&["cluster"])),
    ("ceremony", "dkg-", Rooms(&["cluster"])),
    ("ceremony", "edit-", Rooms(&["cluster"])),
    ("dkg", "README.md", Prose),
    ("dkg", "frost", NotCoveredYet("ceremonies")),
    ("dkg", "obolapi_roots", Rooms(&["cluster"])),
    ("dkg", "pedersen", NotCoveredYet("changes of operators")),
    ("dkg", "wire", NotCoveredYet("ceremonies")),
    ("peer-names", "README.md", Prose),
    ("peer-names", "names.json", Rooms(&["cluster"])),
    ("peer-names", "words.json", NotCoveredYet("display names")),
];

/// The folders of the vectors.
const FOLDERS: [&str; 6] = [
    "consensus",
    "cluster",
    "duties",
    "dkg",
    "ceremony",
    "peer-names",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `None`, with a word, if nobody asked for the vectors and they are not there.
fn vectors() -> Option<PathBuf> {
    let asked = std::env::var_os("FLOTILLA_VECTORS").map(PathBuf::from);
    let folder = asked
        .clone()
        .unwrap_or_else(|| workspace().join("../shared/vectors"));
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        asked.is_none(),
        "FLOTILLA_VECTORS names {}, which is no folder",
        folder.display()
    );
    println!("no vectors: {} is absent", folder.display());
    None
}

/// All files below a folder, as paths below `root`.
fn files(root: &Path, folder: &str) -> Vec<String> {
    let entries =
        std::fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut found = Vec::new();
    for entry in entries.map(Result::unwrap) {
        let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(root, &path));
        } else {
            found.push(path);
        }
    }
    found
}

fn reader(path: &str) -> Option<Reader> {
    let matches = |folder: &str, name: &str| {
        let prefix = if folder.contains('/') {
            folder.to_owned()
        } else {
            format!("{folder}/{name}")
        };
        path.starts_with(&prefix).then_some(prefix.len())
    };
    let known = KINDS
        .iter()
        .filter_map(|(folder, name, reader)| Some((matches(folder, name)?, *reader)));
    known
        .max_by_key(|(length, _)| *length)
        .map(|(_, reader)| reader)
}

#[test]
fn vectors_are_all_of_known_kinds() {
    let Some(root) = vectors() else { return };
    let all: Vec<_> = FOLDERS
        .iter()
        .flat_map(|folder| files(&root, folder))
        .collect();
    let unknown: Vec<_> = all.iter().filter(|path| reader(path).is_none()).collect();
    assert!(unknown.is_empty(), "of no known kind: {unknown:#?}");
    for (folder, name, reader) in KINDS {
        if let NotCoveredYet(why) = reader {
            println!("not covered yet: {folder}/{name}* ({why})");
        }
    }
}

#[test]
fn vectors_lie_in_known_folders() {
    let Some(root) = vectors() else { return };
    for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert!(
            FOLDERS.contains(&name.as_str()) || !entry.path().is_dir(),
            "unknown folder {name}"
        );
    }
}

/// A room that is said to read a kind names it in its sources.
#[test]
fn vectors_are_read_by_the_rooms_that_are_said_to() {
    for (folder, name, reader) in KINDS {
        let Rooms(rooms) = reader else { continue };
        let kind = if name.is_empty() { folder } else { name };
        for room in *rooms {
            let crates = workspace().join("crates");
            let sources = ["src", "tests"].map(|part| format!("{room}/{part}"));
            let sources = sources.iter().filter(|part| crates.join(part).is_dir());
            let mut sources = sources
                .flat_map(|part| files(&crates, part))
                .filter(|path| !path.ends_with("_kinds.rs"));
            let names_it = |path: String| {
                path.ends_with(".rs")
                    && std::fs::read_to_string(crates.join(path))
                        .unwrap()
                        .contains(&format!("\"{kind}"))
            };
            assert!(sources.any(names_it), "no source of {room} names {kind}");
        }
    }
}

#[test]
fn a_new_kind_is_noticed() {
    assert_eq!(reader("consensus/qbft_news.json"), None);
    assert_eq!(
        reader("duties/TestJSONSerialisation_VersionedAttestation.json.golden"),
        Some(Rooms(&["types"]))
    );
    assert_eq!(
        reader("cluster/independent/negative/16.json"),
        Some(Rooms(&["cluster"]))
    );
}
