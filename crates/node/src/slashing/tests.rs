#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::Command;

use flotilla_duty::slashing::{Attestation, Block, HISTORY_LIMIT, Vote};
use tempfile::TempDir;

use super::*;

const KEY: PublicKeyBytes = PublicKeyBytes([0xb8; 48]);
const OTHER_KEY: PublicKeyBytes = PublicKeyBytes([0xa1; 48]);
const CHAIN: Root = Root([4; 32]);

fn opening(folder: &Path, now: u64) -> Opening<'_> {
    Opening {
        folder,
        genesis_validators_root: CHAIN,
        now: Some(Slot(now)),
        slots_per_epoch: 32,
        validators_active: false,
        signer: Some(SignerKind::Builtin),
        change_signer: false,
        share_epoch: ShareEpoch(0),
        machine: Some("machine".to_owned()),
    }
}

fn attestation(source: u64, target: u64, byte: u8) -> Vote {
    Vote::Attestation(Attestation {
        source: Epoch(source),
        target: Epoch(target),
        signing_root: Root([byte; 32]),
    })
}

fn item(vote: Vote) -> RecordItem {
    RecordItem {
        validator: KEY,
        vote,
    }
}

fn record_all(database: &Database, items: Vec<RecordItem>) -> Vec<Result<(), Refusal>> {
    let (answer, wait) = mpsc::sync_channel(1);
    database.record(items, move |reply| answer.send(reply).unwrap());
    wait.recv()
        .unwrap()
        .results
        .into_iter()
        .map(|(_, result)| result)
        .collect()
}

fn record(database: &Database, vote: Vote) -> Result<(), Refusal> {
    record_all(database, vec![item(vote)]).remove(0)
}

fn reopened(opening: &Opening<'_>) -> (Database, OpenReport) {
    Database::open(opening).unwrap()
}

#[test]
fn plain_restart_costs_nothing_and_forgets_nothing() {
    let folder = TempDir::new().unwrap();
    let (database, report) = reopened(&opening(folder.path(), 100));
    assert!(report.created && report.embargo.is_none());
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
    database.close();

    let (database, report) = reopened(&Opening {
        validators_active: true,
        ..opening(folder.path(), 164)
    });
    assert_eq!(
        (report.doubts, report.embargo, report.validators),
        (Vec::new(), None, 1)
    );
    assert_eq!(
        record(&database, attestation(1, 3, 8)),
        Err(Refusal::DoubleVote(Epoch(3)))
    );
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
    assert!(matches!(
        record(&database, attestation(0, 4, 7)),
        Err(Refusal::Surrounds { .. })
    ));
}

/// The child half of the next test: records one vote and dies without closing anything.
#[test]
#[ignore = "run by vote_answered_before_a_crash_is_known_after_it"]
fn crash_child() {
    let folder = std::env::var("FLOTILLA_TEST_CRASH_FOLDER").unwrap();
    let (database, _) = reopened(&opening(Path::new(&folder), 100));
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
    std::process::abort();
}

#[test]
fn vote_answered_before_a_crash_is_known_after_it() {
    let folder = TempDir::new().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "slashing::tests::crash_child", "--ignored"])
        .env("FLOTILLA_TEST_CRASH_FOLDER", folder.path())
        .output()
        .unwrap()
        .status;
    assert!(!status.success(), "the child was to abort");

    let (database, report) = reopened(&opening(folder.path(), 101));
    assert_eq!(report.embargo, None);
    assert_eq!(
        record(&database, attestation(2, 3, 8)),
        Err(Refusal::DoubleVote(Epoch(3)))
    );
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
}

#[test]
fn requests_that_wait_together_share_one_commit() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    let commits = database.status().commits;
    // The first reply holds the thread until two more requests wait in its queue.
    let (start, started) = mpsc::sync_channel::<()>(1);
    let (hold, held) = mpsc::sync_channel::<()>(0);
    let (answer, answers) = mpsc::sync_channel(3);
    let first = answer.clone();
    database.record(vec![item(attestation(1, 3, 1))], move |reply| {
        start.send(()).unwrap();
        held.recv().unwrap();
        first.send(reply).unwrap();
    });
    started.recv().unwrap();
    for target in [4, 5] {
        let answer = answer.clone();
        database.record(vec![item(attestation(1, target, 1))], move |reply| {
            answer.send(reply).unwrap()
        });
    }
    hold.send(()).unwrap();
    for _ in 0..3 {
        assert_eq!(answers.recv().unwrap().results, vec![(KEY, Ok(()))]);
    }
    assert_eq!(database.status().commits - commits, 2);
    assert_eq!(database.status().votes, 3);
}

#[test]
fn of_two_conflicting_votes_in_one_batch_only_the_first_passes() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    let results = record_all(
        &database,
        vec![item(attestation(1, 3, 1)), item(attestation(1, 3, 2))],
    );
    assert_eq!(results, vec![Ok(()), Err(Refusal::DoubleVote(Epoch(3)))]);
}

#[test]
fn copy_of_the_file_is_under_embargo_until_the_next_epoch() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    assert_eq!(record(&database, attestation(1, 2, 7)), Ok(()));
    database.close();
    let path = folder.path().join(FILE_NAME);
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();

    let (database, report) = reopened(&opening(folder.path(), 110));
    assert!(matches!(report.doubts[..], [Doubt::OtherFile { .. }]));
    assert_eq!(
        record(&database, attestation(2, 3, 7)),
        Err(Refusal::Embargo(Epoch(4)))
    );
    assert_eq!(record(&database, attestation(2, 4, 7)), Ok(()));
    database.close();

    // The doubt is over, what it forbade stays forbidden, also after a restart.
    let (database, report) = reopened(&opening(folder.path(), 111));
    assert_eq!(report.doubts, Vec::new());
    assert_eq!(
        record(&database, attestation(2, 3, 7)),
        Err(Refusal::Embargo(Epoch(4)))
    );
}

#[test]
fn lost_database_is_a_doubt_only_if_validators_have_been_active() {
    let folder = TempDir::new().unwrap();
    let (database, report) = reopened(&Opening {
        validators_active: true,
        ..opening(folder.path(), 100)
    });
    assert_eq!(report.doubts, vec![Doubt::Missing]);
    assert_eq!(
        record(&database, attestation(2, 3, 7)),
        Err(Refusal::Embargo(Epoch(4)))
    );
    let block = |slot| {
        Vote::Block(Block {
            slot: Slot(slot),
            signing_root: CHAIN,
        })
    };
    assert_eq!(
        record(&database, block(100)),
        Err(Refusal::Embargo(Epoch(4)))
    );
    assert_eq!(record(&database, block(101)), Ok(()));

    let before_genesis = TempDir::new().unwrap();
    let opening = Opening {
        now: None,
        validators_active: true,
        ..opening(before_genesis.path(), 0)
    };
    assert_eq!(reopened(&opening).1.embargo, None);
}

#[test]
fn other_machine_and_old_or_future_heartbeat_are_doubts() {
    let folder = TempDir::new().unwrap();
    let active = |now| Opening {
        validators_active: true,
        ..opening(folder.path(), now)
    };
    reopened(&active(100)).0.close();
    let machine = Some("another".to_owned());
    let (database, report) = reopened(&Opening {
        machine,
        ..active(101)
    });
    assert_eq!(report.doubts, vec![Doubt::OtherMachine]);
    database.heartbeat(Slot(150));
    database.close();

    let machine = Some("another".to_owned());
    let (database, report) = reopened(&Opening {
        machine: machine.clone(),
        ..active(150 + 65)
    });
    assert_eq!(
        report.doubts,
        vec![Doubt::Stale {
            heartbeat: Slot(150),
            now: Slot(215)
        }]
    );
    database.close();

    let (_, report) = reopened(&Opening {
        machine,
        ..active(190)
    });
    assert_eq!(
        report.doubts,
        vec![Doubt::Ahead {
            heartbeat: Slot(215),
            now: Slot(190)
        }]
    );
    assert_eq!(
        report.embargo,
        Some(Embargo {
            epoch: Epoch(6),
            slot: Slot(215)
        })
    );
}

#[test]
fn import_lifts_the_embargo_for_the_validators_it_names_and_floors_them() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&Opening {
        validators_active: true,
        ..opening(folder.path(), 100)
    });
    let floor = Floor {
        source: Some(Epoch(1)),
        target: Some(Epoch(2)),
        slot: Some(Slot(90)),
    };
    database
        .raise(BTreeMap::from([(KEY, floor)]), true)
        .unwrap();
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
    assert!(matches!(
        record(&database, attestation(1, 2, 7)),
        Err(Refusal::TargetNotAboveFloor { .. })
    ));
    let other = RecordItem {
        validator: OTHER_KEY,
        vote: attestation(1, 3, 7),
    };
    assert_eq!(
        record_all(&database, vec![other]),
        vec![Err(Refusal::Embargo(Epoch(4)))]
    );
    database.close();

    let (database, _) = reopened(&opening(folder.path(), 101));
    assert!(matches!(
        record(&database, attestation(1, 2, 7)),
        Err(Refusal::TargetNotAboveFloor { .. })
    ));
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
}

fn import_text(data: &str) -> String {
    format!(
        r#"{{"metadata":{{"interchange_format_version":"5","genesis_validators_root":"{CHAIN}"}},"data":[{data}]}}"#
    )
}

/// A history of `KEY` that ends with the attestation 1 -> `target` and a block of slot 90.
fn history_until(target: u64) -> String {
    import_text(&format!(
        r#"{{"pubkey":"{KEY}","signed_blocks":[{{"slot":"90"}}],"signed_attestations":[{{"source_epoch":"1","target_epoch":"{target}"}}]}}"#
    ))
}

/// On the machine that imports are made on.
fn here(folder: &Path, now: u64) -> Opening<'_> {
    Opening {
        machine: machine_id(),
        ..opening(folder, now)
    }
}

fn members() -> BTreeSet<PublicKeyBytes> {
    BTreeSet::from([KEY, OTHER_KEY])
}

#[test]
fn file_in_the_folder_is_imported_before_the_first_start_and_forbids_conflicts() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(IMPORT_FILE_NAME), history_until(2)).unwrap();
    let imported = import_pending(folder.path(), CHAIN, &members())
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            imported.created,
            imported.floors.len(),
            imported.absent,
            imported.foreign
        ),
        (true, 1, 1, 0)
    );
    assert!(!folder.path().join(IMPORT_FILE_NAME).exists());
    assert!(folder.path().join(IMPORTED_FILE_NAME).exists());
    assert_eq!(
        import_pending(folder.path(), CHAIN, &members()).unwrap(),
        None
    );

    let (database, report) = reopened(&Opening {
        validators_active: true,
        ..here(folder.path(), 100)
    });
    assert_eq!((report.doubts, report.exempt), (vec![Doubt::Unused], 1));
    // A double vote, a vote that surrounds, one that is surrounded; then the next honest one.
    assert!(record(&database, attestation(1, 2, 7)).is_err());
    assert!(record(&database, attestation(0, 3, 7)).is_err());
    assert!(record(&database, attestation(2, 2, 7)).is_err());
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
    // The other validator is not in the file: nobody knows what it signed in this epoch.
    let other = RecordItem {
        validator: OTHER_KEY,
        vote: attestation(1, 3, 7),
    };
    assert_eq!(
        record_all(&database, vec![other]),
        vec![Err(Refusal::Embargo(Epoch(4)))]
    );
    database.close();

    // A plain restart keeps both.
    let (database, report) = reopened(&here(folder.path(), 101));
    assert_eq!((report.doubts, report.exempt), (Vec::new(), 1));
    assert_eq!(record(&database, attestation(1, 3, 7)), Ok(()));
}

#[test]
fn imported_history_that_ends_too_early_does_not_end_the_doubt() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), history_until(2)).unwrap();
    import_file(folder.path(), &folder.path().join("file"), None, &members()).unwrap();
    let late = (2 + STALE_EPOCHS + 1) * 32;
    let (database, report) = reopened(&here(folder.path(), late));
    assert_eq!(report.exempt, 0);
    assert_eq!(
        record(&database, attestation(4, 5, 7)),
        Err(Refusal::Embargo(Epoch(6)))
    );
    database.close();

    // With the rest of the history, up to the embargo, it ends.
    fs::write(folder.path().join("file"), history_until(3)).unwrap();
    let imported = import_file(
        folder.path(),
        &folder.path().join("file"),
        Some(CHAIN),
        &members(),
    )
    .unwrap();
    assert_eq!((imported.created, imported.lifted), (false, 1));
    let (database, _) = reopened(&here(folder.path(), late));
    assert_eq!(record(&database, attestation(4, 5, 7)), Ok(()));
}

#[test]
fn import_hides_no_doubt_about_a_copy() {
    let folder = TempDir::new().unwrap();
    reopened(&here(folder.path(), 100)).0.close();
    let path = folder.path().join(FILE_NAME);
    fs::copy(&path, folder.path().join("copy")).unwrap();
    fs::rename(folder.path().join("copy"), &path).unwrap();
    fs::write(folder.path().join("file"), history_until(2)).unwrap();
    import_file(folder.path(), &folder.path().join("file"), None, &members()).unwrap();
    let (_, report) = reopened(&here(folder.path(), 100));
    assert!(matches!(report.doubts[..], [Doubt::OtherFile { .. }]));
    assert_eq!(report.exempt, 0);
}

#[test]
fn import_never_lowers_what_is_known() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 300));
    assert_eq!(record(&database, attestation(5, 9, 7)), Ok(()));
    database
        .raise(
            BTreeMap::from([(
                KEY,
                Floor {
                    source: Some(Epoch(4)),
                    target: Some(Epoch(5)),
                    slot: None,
                },
            )]),
            false,
        )
        .unwrap();
    let before = database.history(&KEY).unwrap();
    database.close();
    fs::write(folder.path().join("file"), history_until(2)).unwrap();
    import_file(folder.path(), &folder.path().join("file"), None, &members()).unwrap();
    let (database, _) = reopened(&opening(folder.path(), 300));
    let mut expected = before;
    expected.raise(Floor {
        slot: Some(Slot(90)),
        ..Floor::default()
    });
    assert_eq!(database.history(&KEY).unwrap(), expected);
}

#[test]
fn damaged_file_and_one_of_another_chain_or_cluster_are_errors_and_stay_in_place() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(IMPORT_FILE_NAME);
    fs::write(&path, &history_until(2)[..100]).unwrap();
    let pending = || import_pending(folder.path(), CHAIN, &members()).unwrap_err();
    assert!(matches!(pending(), ImportError::Content { .. }));
    fs::write(&path, history_until(2)).unwrap();
    let other = Root([5; 32]);
    let error = import_pending(folder.path(), other, &members())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(&CHAIN.to_string()) && error.contains(&other.to_string()),
        "{error}"
    );
    assert!(path.exists() && !folder.path().join(FILE_NAME).exists());

    reopened(&Opening {
        genesis_validators_root: other,
        ..opening(folder.path(), 100)
    })
    .0
    .close();
    assert!(matches!(pending(), ImportError::OtherChain { .. }));
    let strangers = BTreeSet::from([OTHER_KEY]);
    assert!(matches!(
        import_pending(folder.path(), CHAIN, &strangers),
        Err(ImportError::OtherValidators {
            found: 1,
            members: 1,
            ..
        })
    ));
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert!(matches!(pending(), ImportError::Read { .. }));
}

#[test]
fn export_counts_what_the_embargo_forbids_as_signed() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    assert_eq!(record(&database, attestation(1, 2, 7)), Ok(()));
    database.close();
    reopened(&opening(folder.path(), 100 + 3 * 32)).0.close();
    let snapshot = Snapshot::read(folder.path()).unwrap().unwrap();
    for form in [interchange::Form::Complete, interchange::Form::Minimal] {
        let exported = serde_json::to_vec(&snapshot.export(form)).unwrap();
        let floors = interchange::import(&exported, CHAIN).unwrap();
        let floor = Floor {
            source: Some(Epoch(1)),
            target: Some(Epoch(6)),
            slot: Some(Slot(196)),
        };
        assert_eq!(floors, BTreeMap::from([(KEY, floor)]));
    }
}

#[test]
fn folder_without_a_database_has_no_snapshot() {
    let folder = TempDir::new().unwrap();
    assert_eq!(Snapshot::read(folder.path()).unwrap(), None);
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
}

/// Some validators of a folder move from one signer to the other: as bad as if all did.
#[test]
fn another_division_between_signers_is_a_change_of_signer() {
    let folder = TempDir::new().unwrap();
    let divided = |digest: u8, slot: u64| Opening {
        signer: Some(SignerKind::Mixed([digest; 32])),
        validators_active: true,
        ..opening(folder.path(), slot)
    };
    let (database, report) = reopened(&divided(1, 100));
    assert_eq!(report.doubts, [Doubt::Missing]);
    database.close();
    let (database, report) = reopened(&divided(1, 101));
    assert_eq!(report.doubts, []);
    database.close();
    for asked in [
        SignerKind::Mixed([2; 32]),
        SignerKind::Builtin,
        SignerKind::ValidatorClient,
    ] {
        let opening = Opening {
            signer: Some(asked),
            ..divided(1, 102)
        };
        let error = Database::open(&opening).map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::OtherSigner { .. }), "{error}");
    }
    let (_, report) = reopened(&Opening {
        change_signer: true,
        ..divided(2, 103)
    });
    let expected = Doubt::SignerChanged {
        from: SignerKind::Mixed([1; 32]),
        to: SignerKind::Mixed([2; 32]),
    };
    assert_eq!(report.doubts, [expected]);
    assert!(report.embargo.is_some());
}

#[test]
fn a_signer_is_read_as_it_was_written() {
    for kind in [
        SignerKind::Builtin,
        SignerKind::ValidatorClient,
        SignerKind::Mixed([0xab; 32]),
    ] {
        assert_eq!(SignerKind::from_text(&kind.to_string()), Some(kind));
    }
    for text in ["", "mixed", "mixed:", "mixed:abcd", "Builtin"] {
        assert_eq!(SignerKind::from_text(text), None, "{text}");
    }
}

#[test]
fn other_chain_other_signer_and_older_shares_are_errors() {
    let folder = TempDir::new().unwrap();
    reopened(&Opening {
        share_epoch: ShareEpoch(1),
        ..opening(folder.path(), 100)
    })
    .0
    .close();
    let current = Opening {
        share_epoch: ShareEpoch(1),
        ..opening(folder.path(), 101)
    };
    let open = |opening: Opening<'_>| Database::open(&opening).map(|_| ()).unwrap_err();
    let error = open(Opening {
        genesis_validators_root: Root([5; 32]),
        ..current.clone()
    });
    assert!(
        error.to_string().contains(&CHAIN.to_string())
            && error.to_string().contains(&Root([5; 32]).to_string())
    );
    let vc = Some(SignerKind::ValidatorClient);
    assert!(matches!(
        open(Opening {
            signer: vc,
            ..current.clone()
        }),
        OpenError::OtherSigner { .. }
    ));
    assert!(matches!(
        open(opening(folder.path(), 101)),
        OpenError::OldShares {
            found: 1,
            asked: 0,
            ..
        }
    ));

    let changed = Opening {
        signer: vc,
        change_signer: true,
        validators_active: true,
        ..current.clone()
    };
    let (database, report) = reopened(&changed);
    assert!(matches!(report.doubts[..], [Doubt::SignerChanged { .. }]));
    database.close();
    assert!(matches!(open(current), OpenError::OtherSigner { .. }));
}

#[test]
fn newer_schema_is_refused_with_both_versions() {
    let folder = TempDir::new().unwrap();
    reopened(&opening(folder.path(), 100)).0.close();
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let error = Database::open(&opening(folder.path(), 100))
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(
        error,
        OpenError::Store {
            source: StoreError::NewerSchema { found: 9 },
            ..
        }
    ));
}

#[test]
fn second_opener_is_told_that_the_file_is_in_use() {
    let folder = TempDir::new().unwrap();
    let (_database, _) = reopened(&opening(folder.path(), 100));
    let error = Database::open(&opening(folder.path(), 100))
        .map(|_| ())
        .unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::Store {
                source: StoreError::InUse,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn path_that_is_no_database_is_an_error() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
    assert!(Database::open(&opening(folder.path(), 100)).is_err());
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE_NAME), [7; 5000]).unwrap();
    assert!(Database::open(&opening(folder.path(), 100)).is_err());
}

fn serve(committer: &mut Committer, items: Vec<RecordItem>) -> Vec<Result<(), Refusal>> {
    let (answer, wait) = mpsc::sync_channel(1);
    let record = Record::new(items, move |reply| answer.send(reply).unwrap());
    assert!(committer.serve(vec![Request::Record(record)]).is_none());
    wait.recv()
        .unwrap()
        .results
        .into_iter()
        .map(|(_, result)| result)
        .collect()
}

#[test]
fn full_disk_refuses_the_whole_batch_and_leaves_no_trace_of_it() {
    let folder = TempDir::new().unwrap();
    let (mut committer, _, health) = prepare(&opening(folder.path(), 100)).unwrap();
    assert_eq!(
        serve(&mut committer, vec![item(attestation(1, 3, 1))]),
        vec![Ok(())]
    );

    committer.open_mut().store.limit_pages(1);
    let many = || {
        (4..200)
            .map(|target| item(attestation(1, target, 1)))
            .collect::<Vec<_>>()
    };
    let results = serve(&mut committer, many());
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(Refusal::Database(_))))
    );
    assert!(health.status().failing.is_some());

    // The next batch opens the file again; another root for the targets that were refused is no double vote.
    let results = serve(
        &mut committer,
        vec![item(attestation(1, 3, 2)), item(attestation(1, 4, 2))],
    );
    assert_eq!(results, vec![Err(Refusal::DoubleVote(Epoch(3))), Ok(())]);
    assert_eq!(health.status().failing, None);
}

#[test]
fn file_replaced_while_in_use_refuses() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    let path = folder.path().join(FILE_NAME);
    fs::rename(&path, folder.path().join("away")).unwrap();
    assert!(matches!(
        record(&database, attestation(1, 3, 1)),
        Err(Refusal::Database(_))
    ));
    fs::write(&path, b"").unwrap();
    assert!(matches!(
        record(&database, attestation(1, 3, 1)),
        Err(Refusal::Database(_))
    ));
    // Nothing was written to a file that is not ours.
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}

#[test]
fn closed_database_refuses() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    database.clone().close();
    assert!(matches!(
        record(&database, attestation(1, 3, 1)),
        Err(Refusal::Database(_))
    ));
    assert!(database.histories().is_err());
}

#[test]
fn request_that_is_dropped_unserved_is_answered_with_refusals() {
    let (answer, wait) = mpsc::sync_channel(1);
    let record = Record::new(vec![item(attestation(1, 3, 1))], move |reply: Answer| {
        answer.send(reply).unwrap();
    });
    drop(Request::Record(record));
    let results = wait.recv().unwrap().results;
    assert!(matches!(results[..], [(KEY, Err(Refusal::Database(_)))]));
}

#[test]
fn numbers_beyond_the_file_are_refused_without_harm_to_others() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    let results = record_all(
        &database,
        vec![
            item(attestation(1, u64::MAX, 1)),
            item(attestation(1, 3, 1)),
        ],
    );
    assert!(matches!(results[..], [Err(Refusal::Database(_)), Ok(())]));
}

#[test]
fn file_keeps_no_more_than_the_history_and_its_floor() {
    let folder = TempDir::new().unwrap();
    let (database, _) = reopened(&opening(folder.path(), 100));
    let total = HISTORY_LIMIT as u64 + 10;
    let votes = (0..total)
        .map(|epoch| item(attestation(epoch, epoch + 1, 1)))
        .collect();
    assert!(record_all(&database, votes).iter().all(Result::is_ok));
    let before = database.history(&KEY).unwrap();
    database.close();

    // Memory has pruned, the file has not yet: reading it gives the same.
    let (database, _) = reopened(&opening(folder.path(), 101));
    assert_eq!(database.history(&KEY).unwrap(), before);
    assert_eq!(record(&database, attestation(total, total + 1, 1)), Ok(()));
    database.heartbeat(Slot(102));
    let before = database.history(&KEY).unwrap();
    database.close();

    let (database, _) = reopened(&opening(folder.path(), 103));
    assert_eq!(database.history(&KEY).unwrap(), before);
    assert_eq!(before.floor().target, Some(Epoch(11)));
    assert_eq!(before.attestations().count(), HISTORY_LIMIT);
    database.close();
    let connection = rusqlite::Connection::open(folder.path().join(FILE_NAME)).unwrap();
    let rows: usize = connection
        .query_row("SELECT count(*) FROM attestations", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, HISTORY_LIMIT);
}
