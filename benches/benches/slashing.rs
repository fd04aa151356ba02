//! What the slashing database costs a duty: check, write and sync, all validators of a slot in one commit.

use std::sync::mpsc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use flotilla_duty::io::RecordItem;
use flotilla_duty::slashing::{Attestation, Vote};
use flotilla_node::slashing::{Database, Opening, ShareEpoch, SignerKind};
use flotilla_types::{Epoch, PublicKeyBytes, Root};

fn items(validators: u64, epoch: u64) -> Vec<RecordItem> {
    let item = |validator: u64| {
        let mut key = [0; 48];
        key[..8].copy_from_slice(&validator.to_le_bytes());
        let vote = Attestation {
            source: Epoch(epoch),
            target: Epoch(epoch + 1),
            signing_root: Root([7; 32]),
        };
        RecordItem {
            validator: PublicKeyBytes(key),
            vote: Vote::Attestation(vote),
        }
    };
    (0..validators).map(item).collect()
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.sample_size(20);
    for validators in [1, 16, 64, 500] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let opening = Opening {
            folder: folder.path(),
            genesis_validators_root: Root([1; 32]),
            now: None,
            slots_per_epoch: 32,
            validators_active: false,
            signer: Some(SignerKind::Builtin),
            change_signer: false,
            share_epoch: ShareEpoch(0),
            machine: None,
        };
        let (database, _) = Database::open(&opening).expect("a new database opens");
        let mut epoch = 0;
        group.bench_function(BenchmarkId::new("validators", validators), |bencher| {
            bencher.iter(|| {
                epoch += 1;
                let (answer, wait) = mpsc::channel();
                database.record(items(validators, epoch), move |recorded| {
                    _ = answer.send(recorded)
                });
                wait.recv().expect("the database answers")
            });
        });
        database.close();
    }
    group.finish();
}

criterion_group!(benches, record);
criterion_main!(benches);
