//! What BLS costs: single operations, batches, and the combination of partial signatures.
//!
//! Machines differ and share their cores, so compare numbers of one run only. For that reason
//! `recombine` times the naive way (full scalars, Pippenger's method) beside ours.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use flotilla_crypto::combine::{Combined, Request, combine_all};
use flotilla_crypto::shares::{Recombiner, split};
use flotilla_crypto::{PublicKey, SecretKey, ShareIndex, Signature, batch, os_rng, verify};

const MESSAGE: [u8; 32] = [7; 32];

fn secret() -> SecretKey {
    SecretKey::generate(&mut os_rng().expect("the system has randomness"))
}

fn single(bench: &mut Criterion) {
    let secret = secret();
    let (key, signature) = (secret.public_key(), secret.sign(&MESSAGE));
    let (key_bytes, signature_bytes) = (key.to_bytes(), signature.to_bytes());
    bench.bench_function("sign", |run| run.iter(|| secret.sign(black_box(&MESSAGE))));
    bench.bench_function("verify", |run| {
        run.iter(|| assert!(verify(&key, black_box(&MESSAGE), &signature)));
    });
    bench.bench_function("decode/what=public_key", |run| {
        run.iter(|| PublicKey::from_bytes(black_box(&key_bytes)));
    });
    bench.bench_function("decode/what=signature", |run| {
        run.iter(|| Signature::from_bytes(black_box(&signature_bytes)));
    });
}

/// Signatures as they come from the wire, keys known.
fn batches(bench: &mut Criterion) {
    for count in [8, 64, 512] {
        let secrets: Vec<SecretKey> = (0..count).map(|_| secret()).collect();
        let keys: Vec<PublicKey> = secrets.iter().map(SecretKey::public_key).collect();
        let wire: Vec<[u8; 96]> = secrets
            .iter()
            .map(|secret| secret.sign(&MESSAGE).to_bytes())
            .collect();
        bench.bench_function(&format!("batch_verify/signatures={count}"), |run| {
            run.iter(|| {
                let signatures: Vec<Signature> = wire
                    .iter()
                    .map(|bytes| Signature::from_bytes(bytes).expect("we made it"))
                    .collect();
                let items: Vec<_> = keys.iter().zip(&signatures).collect();
                assert!(batch::verify_same_message(black_box(&MESSAGE), &items));
            });
        });
    }
}

/// Partial signatures of the first `threshold - 1` shares and the last one: a gap, as when peers are
/// late, so that the coefficients have a common denominator to multiply away.
fn partials(threshold: usize, total: usize) -> Vec<(ShareIndex, Signature)> {
    let mut rng = os_rng().expect("the system has randomness");
    let shares = split(&secret(), threshold, total, &mut rng).expect("the sizes are right");
    let chosen = shares[..threshold - 1].iter().chain(shares.last());
    chosen
        .map(|(index, share)| (*index, share.sign(&MESSAGE)))
        .collect()
}

fn recombine(bench: &mut Criterion) {
    for (threshold, total) in [(3, 4), (5, 7), (7, 10), (20, 30), (34, 50)] {
        let partials = partials(threshold, total);
        let partials: Vec<_> = partials
            .iter()
            .map(|(index, partial)| (*index, partial))
            .collect();
        for (way, recombiner) in [
            ("integer", Recombiner::new()),
            ("naive", Recombiner::naive()),
        ] {
            let name = format!("recombine/threshold={threshold},way={way}");
            bench.bench_function(&name, |run| {
                run.iter(|| recombiner.recombine(black_box(&partials)));
            });
        }
    }
}

/// A validator of a cluster of four with threshold three.
struct Validator {
    key: PublicKey,
    share_keys: Vec<PublicKey>,
    partials: Vec<(ShareIndex, [u8; 96])>,
}

impl Validator {
    fn new() -> Self {
        let secret = secret();
        let mut rng = os_rng().expect("the system has randomness");
        let shares = split(&secret, 3, 4, &mut rng).expect("the sizes are right");
        Self {
            key: secret.public_key(),
            share_keys: shares.iter().map(|(_, share)| share.public_key()).collect(),
            partials: shares
                .iter()
                .map(|(index, share)| (*index, share.sign(&MESSAGE).to_bytes()))
                .collect(),
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            group_key: &self.key,
            share_keys: &self.share_keys,
            partials: self.partials.clone(),
        }
    }
}

/// One message, all validators; with `wrong=1`, one partial signature is another's.
fn combine(bench: &mut Criterion) {
    for (count, wrong) in [(16, 0), (64, 0), (64, 1)] {
        let mut validators: Vec<Validator> = (0..count).map(|_| Validator::new()).collect();
        if wrong == 1 {
            validators[count / 3].partials[1].1 = validators[0].partials[1].1;
        }
        let name = format!("combine_all/validators={count},threshold=3,wrong={wrong}");
        bench.bench_function(&name, |run| {
            run.iter_batched(
                || {
                    validators
                        .iter()
                        .map(Validator::request)
                        .collect::<Vec<_>>()
                },
                |requests| {
                    let combined = combine_all(3, black_box(&MESSAGE), &requests);
                    assert!(
                        combined
                            .iter()
                            .all(|result| matches!(result, Combined::Signature(_)))
                    );
                },
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group! {
    name = crypto;
    config = Criterion::default().sample_size(20);
    targets = single, batches, recombine, combine
}
criterion_main!(crypto);
