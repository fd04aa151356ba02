//! `threshold_crypto` as a second opinion, and a record of its defects with the guard against each.
//!
//! The library is pure Rust on another curve implementation, so it shares no code with blst. Where
//! both must agree they are compared here; where it errs, the test shows the error *and* that our
//! surface does not have it.
#![allow(clippy::unwrap_used)]

use flotilla_crypto::shares::{self, RecombineError, Recombiner};
use flotilla_crypto::{KeyError, PublicKey, SecretKey, ShareIndex, Signature};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use serde::Deserialize;
use threshold_crypto as oracle;
use threshold_crypto::ff::PrimeField;
use threshold_crypto::group::{CurveAffine, CurveProjective, EncodedPoint};
use threshold_crypto::poly::{Commitment, Poly};

const MESSAGE: [u8; 32] = [8; 32];

fn cluster(threshold: usize, total: usize) -> (SecretKey, Vec<(ShareIndex, SecretKey)>) {
    let mut rng = ChaCha20Rng::seed_from_u64(threshold as u64);
    let secret = SecretKey::generate(&mut rng);
    let shares = shares::split(&secret, threshold, total, &mut rng).unwrap();
    (secret, shares)
}

fn their_scalar(secret: &SecretKey) -> oracle::Fr {
    let mut limbs = [0; 4];
    for (limb, chunk) in limbs.iter_mut().zip(secret.to_bytes().rchunks(8)) {
        *limb = u64::from_be_bytes(chunk.try_into().unwrap());
    }
    oracle::Fr::from_repr(oracle::FrRepr(limbs)).unwrap()
}

fn their_secret(secret: &SecretKey) -> oracle::SecretKey {
    oracle::SecretKey::from_mut(&mut their_scalar(secret))
}

/// blst's hash of the message as their point. Signing with the secret 1 reveals the hash itself.
fn hash_point() -> oracle::G2Affine {
    let mut one = [0; 32];
    one[31] = 1;
    let hash = SecretKey::from_bytes(&one)
        .unwrap()
        .sign(&MESSAGE)
        .to_bytes();
    let mut compressed = <oracle::G2Affine as CurveAffine>::Compressed::empty();
    compressed.as_mut().copy_from_slice(&hash);
    compressed.into_affine().unwrap()
}

fn their_partial(partial: &Signature) -> oracle::SignatureShare {
    oracle::SignatureShare::from_bytes(partial.to_bytes()).unwrap()
}

fn their_commitment(points: &[[u8; 48]]) -> Commitment {
    let points: Vec<Vec<u8>> = points.iter().map(|point| point.to_vec()).collect();
    serde_json::from_value(serde_json::json!({ "coeff": points })).unwrap()
}

fn their_public_keys(threshold: usize) -> oracle::PublicKeySet {
    let mut rng = ChaCha20Rng::seed_from_u64(threshold as u64);
    let secret = SecretKey::generate(&mut rng);
    let polynomial = shares::Polynomial::random(&secret, threshold, &mut rng).unwrap();
    let points: Vec<[u8; 48]> = polynomial
        .commitments()
        .iter()
        .map(PublicKey::to_bytes)
        .collect();
    oracle::PublicKeySet::from(their_commitment(&points))
}

#[test]
fn both_libraries_make_the_same_public_key_and_signature() {
    let (secret, _) = cluster(2, 2);
    let theirs = their_secret(&secret);
    assert_eq!(
        theirs.public_key().to_bytes(),
        secret.public_key().to_bytes()
    );
    assert_eq!(
        theirs.sign_g2(hash_point()).to_bytes(),
        secret.sign(&MESSAGE).to_bytes()
    );
}

#[test]
fn their_verification_accepts_our_signature() {
    let (secret, _) = cluster(2, 2);
    let signature = oracle::Signature::from_bytes(secret.sign(&MESSAGE).to_bytes()).unwrap();
    assert!(
        their_secret(&secret)
            .public_key()
            .verify_g2(&signature, hash_point())
    );
}

#[test]
fn both_libraries_combine_partial_signatures_to_the_same_bytes() {
    for (threshold, total) in [(2, 3), (3, 4), (5, 7), (7, 10)] {
        let (secret, shares) = cluster(threshold, total);
        let chosen = &shares[total - threshold..];
        let partials: Vec<_> = chosen
            .iter()
            .map(|(index, share)| (*index, share.sign(&MESSAGE)))
            .collect();
        let theirs: Vec<_> = partials
            .iter()
            .map(|(index, partial)| (index.peer(), their_partial(partial)))
            .collect();
        let ours: Vec<_> = partials
            .iter()
            .map(|(index, partial)| (*index, partial))
            .collect();
        let combined = their_public_keys(threshold)
            .combine_signatures(theirs.iter().map(|(peer, partial)| (*peer, partial)))
            .unwrap();
        assert_eq!(combined.to_bytes(), secret.sign(&MESSAGE).to_bytes());
        assert_eq!(
            combined.to_bytes(),
            Recombiner::new().recombine(&ours).unwrap().to_bytes()
        );
    }
}

#[test]
fn both_libraries_interpolate_to_the_same_secret() {
    for (threshold, total) in [(2, 3), (3, 4), (7, 10)] {
        let (secret, shares) = cluster(threshold, total);
        let samples = shares[..threshold]
            .iter()
            .map(|(index, share)| (u64::from(index.get()), their_scalar(share)));
        assert_eq!(
            Poly::interpolate(samples).evaluate(0_u64),
            their_scalar(&secret)
        );
        let ours: Vec<_> = shares[..threshold]
            .iter()
            .map(|(index, share)| (*index, share))
            .collect();
        assert_eq!(
            shares::recombine_secret(&ours).unwrap().to_bytes(),
            secret.to_bytes()
        );
    }
}

#[test]
fn their_public_shares_count_from_zero_and_ours_from_one() {
    let theirs = their_public_keys(3);
    for (index, share) in cluster(3, 4).1 {
        assert_eq!(
            theirs.public_key_share(index.peer()).to_bytes(),
            share.public_key().to_bytes()
        );
    }
}

#[test]
fn defect_a_repeated_index_gives_them_a_wrong_signature_and_us_an_error() {
    let (secret, shares) = cluster(2, 3);
    let partial = shares[0].1.sign(&MESSAGE);
    let theirs = their_partial(&partial);
    let combined = their_public_keys(2)
        .combine_signatures([(0, &theirs), (0, &theirs)])
        .unwrap();
    assert_ne!(combined.to_bytes(), secret.sign(&MESSAGE).to_bytes());

    let ours = [(shares[0].0, &partial), (shares[0].0, &partial)];
    assert_eq!(
        Recombiner::new().recombine(&ours),
        Err(RecombineError::Duplicate(shares[0].0))
    );
}

#[test]
fn defect_x_of_zero_lets_anyone_choose_their_result_and_cannot_be_said_here() {
    let (_, shares) = cluster(2, 3);
    let chosen = their_partial(&shares[1].1.sign(&MESSAGE));
    let other = their_partial(&shares[0].1.sign(&MESSAGE));
    let combined = their_public_keys(2)
        .combine_signatures([(-1, &chosen), (0, &other)])
        .unwrap();
    assert_eq!(combined.to_bytes(), chosen.0.to_bytes());

    assert_eq!(ShareIndex::new(0), None);
}

#[test]
fn defect_infinity_is_a_public_key_to_them_and_an_error_to_us() {
    let mut infinity = [0; 48];
    infinity[0] = 0xc0;
    assert!(oracle::PublicKey::from_bytes(infinity).is_ok());
    assert_eq!(
        their_commitment(&[infinity]).evaluate(1_u64),
        oracle::G1::zero()
    );

    assert_eq!(
        PublicKey::from_bytes(&infinity),
        Err(KeyError::PublicKeyInfinity)
    );
}

#[test]
fn defect_an_empty_commitment_makes_them_panic_and_is_an_error_here() {
    let empty = Commitment::deserialize(serde_json::json!({ "coeff": [] })).unwrap();
    assert!(std::panic::catch_unwind(|| oracle::PublicKeySet::from(empty).public_key()).is_err());

    let share = ShareIndex::from_peer(0);
    assert_eq!(
        shares::public_share(&[], share),
        Err(KeyError::PublicKeyInfinity)
    );
}

#[test]
fn defect_they_hash_to_the_curve_in_a_way_of_their_own_and_never_sign_here() {
    let (secret, _) = cluster(2, 2);
    assert_ne!(
        their_secret(&secret).sign(MESSAGE).to_bytes(),
        secret.sign(&MESSAGE).to_bytes()
    );
}

/// Variable time on secrets, their own random numbers and the shifted index cannot be shown by a
/// result, so the source is read: one file speaks to the library, and none of the calls below is in
/// it.
#[test]
fn the_library_is_used_in_one_file_and_its_dangerous_calls_nowhere() {
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut files
            };
            list.push(path);
        }
    }
    let mut users = Vec::new();
    for path in files {
        let source = std::fs::read_to_string(&path).unwrap();
        let code: String = source
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        if code.contains("threshold_crypto") {
            users.push(path.file_name().unwrap().to_string_lossy().into_owned());
            for call in [
                "secret_key_share",
                "public_key_share",
                "combine_signatures",
                "sign_g2",
                "Poly::random",
                "try_random",
                ".commitment()",
                "SecretKeySet",
                "SecretKey::random",
                "hash_g2",
                "rand::random",
            ] {
                assert!(!code.contains(call), "{} calls {call}", path.display());
            }
        }
    }
    assert_eq!(users, ["polynomial.rs"]);
}
