//! Points that are none, or that nobody can hold the key of, wherever a lock has a point; and that of
//! many signatures and shares exactly the wrong ones are named.

#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;

use flotilla_cluster::create::{Request, cluster};
use flotilla_cluster::{
    Check, Cost, Finding, Lock, Networks, NewDefinition, Operator, Progress, ValidatorAddresses,
    VerifyOptions,
};
use flotilla_crypto::{KeyError, PublicKey, SecretKey, Signature};
use flotilla_types::PublicKeyBytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const LOCK: &[u8] = include_bytes!("data/v1.11.0/node0/cluster-lock.json");

/// The order of the field that coordinates are of, big-endian.
const FIELD_ORDER: [u8; 48] = [
    0x1a, 0x01, 0x11, 0xea, 0x39, 0x7f, 0xe6, 0x9a, 0x4b, 0x1b, 0xa7, 0xb6, 0x43, 0x4b, 0xac, 0xd7,
    0x64, 0x77, 0x4b, 0x84, 0xf3, 0x85, 0x12, 0xbf, 0x67, 0x30, 0xd2, 0xa0, 0xf6, 0xb0, 0xf6, 0x24,
    0x1e, 0xab, 0xff, 0xfe, 0xb1, 0x53, 0xff, 0xff, 0xb9, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xaa, 0xab,
];

const COMPRESSED: u8 = 0x80;
const INFINITY: u8 = 0xc0;

/// Adds the field order to the last coordinate of a point: the same point to a reader that reduces.
/// `None` if the sum runs into the flag bits.
fn unreduced<const N: usize>(mut point: [u8; N]) -> Option<[u8; N]> {
    let flags = point[N - 48] & if N == 48 { 0xe0 } else { 0 };
    point[N - 48] ^= flags;
    let mut carry = 0;
    for (byte, order) in point[N - 48..]
        .iter_mut()
        .rev()
        .zip(FIELD_ORDER.iter().rev())
    {
        let sum = u16::from(*byte) + u16::from(*order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let fits = carry == 0 && point[N - 48] < 0x20;
    point[N - 48] |= flags;
    fits.then_some(point)
}

/// Encodings of small coordinates, nearly half of which belong to points of the curve.
fn small<const N: usize>() -> impl Iterator<Item = [u8; N]> {
    (1..=u8::MAX).map(|x| {
        let mut bytes = [0; N];
        bytes[0] = COMPRESSED;
        bytes[N - 1] = x;
        bytes
    })
}

fn infinity<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    bytes[0] = INFINITY;
    bytes
}

fn bad_keys() -> Vec<([u8; 48], KeyError)> {
    let fails = |error| {
        move |bytes: &[u8; 48]| PublicKey::from_bytes(bytes).is_err_and(|found| found == error)
    };
    let valid = |seed: u8| SecretKey::from_bytes(&[seed; 32]).unwrap().public_key();
    let small_x = (1..=100)
        .find_map(|seed| unreduced(valid(seed).to_bytes()))
        .unwrap();
    let mut order = FIELD_ORDER;
    order[0] |= COMPRESSED;
    let mut infinity_with_x = infinity();
    infinity_with_x[47] = 1;
    let mut infinity_with_sign = infinity();
    infinity_with_sign[0] |= 0x20;
    let mut uncompressed = valid(1).to_bytes();
    uncompressed[0] &= !COMPRESSED;
    vec![
        (infinity(), KeyError::PublicKeyInfinity),
        (infinity_with_x, KeyError::PublicKeyEncoding),
        (infinity_with_sign, KeyError::PublicKeyEncoding),
        (uncompressed, KeyError::PublicKeyEncoding),
        (order, KeyError::PublicKeyEncoding),
        (small_x, KeyError::PublicKeyEncoding),
        ([0; 48], KeyError::PublicKeyEncoding),
        ([0xff; 48], KeyError::PublicKeyEncoding),
        (
            small().find(fails(KeyError::PublicKeyEncoding)).unwrap(),
            KeyError::PublicKeyEncoding,
        ),
        (
            small().find(fails(KeyError::PublicKeySubgroup)).unwrap(),
            KeyError::PublicKeySubgroup,
        ),
    ]
}

fn bad_signatures(good: [u8; 96]) -> Vec<[u8; 96]> {
    let fails = |error| {
        move |bytes: &[u8; 96]| Signature::from_bytes(bytes).is_err_and(|found| found == error)
    };
    let secret = SecretKey::from_bytes(&[1; 32]).unwrap();
    let unreduced = (0..100).find_map(|message| unreduced(secret.sign(&[message; 32]).to_bytes()));
    let mut uncompressed = good;
    uncompressed[0] &= !COMPRESSED;
    let mut other_sign = good;
    other_sign[0] ^= 0x20;
    vec![
        infinity(),
        unreduced.unwrap(),
        uncompressed,
        other_sign,
        [0; 96],
        [0xff; 96],
        small().find(fails(KeyError::SignatureEncoding)).unwrap(),
        small().find(fails(KeyError::SignatureSubgroup)).unwrap(),
    ]
}

/// What is wrong after `change`, with hashes that fit again.
fn findings(change: impl FnOnce(&mut Lock)) -> Vec<Finding> {
    let mut lock = Lock::parse(LOCK).unwrap();
    change(&mut lock);
    lock.update_hashes().unwrap();
    let networks = Networks::public();
    lock.verify(&VerifyOptions::new(&networks))
}

fn assert_found(findings: &[Finding], check: Check, text: &str) {
    assert!(
        findings
            .iter()
            .any(|finding| finding.check == check && finding.to_string() == text),
        "expected {text}, found {findings:#?}"
    );
}

#[test]
fn every_key_that_is_no_key_is_refused_at_its_place() {
    for (bytes, error) in bad_keys() {
        let group = findings(|lock| lock.validators[1].public_key = PublicKeyBytes(bytes));
        assert_found(
            &group,
            Check::PublicShares,
            &format!("distributed_validators[1].distributed_public_key: {error}"),
        );
        let share = findings(|lock| lock.validators[0].public_shares[2] = PublicKeyBytes(bytes));
        assert_found(
            &share,
            Check::PublicShares,
            &format!("distributed_validators[0].public_shares[2]: {error}"),
        );
    }
}

#[test]
fn every_signature_that_is_none_is_refused_at_its_place() {
    let lock = Lock::parse(LOCK).unwrap();
    let good = lock.signature_aggregate.as_slice().try_into().unwrap();
    for bytes in bad_signatures(good) {
        let bytes = bytes.to_vec();
        let aggregate = findings(|lock| lock.signature_aggregate.clone_from(&bytes));
        assert_found(
            &aggregate,
            Check::Aggregate,
            "signature_aggregate: not the sum of signatures of the lock hash by every share of \
             every validator",
        );
        let deposit = findings(|lock| lock.validators[1].deposits[0].signature.clone_from(&bytes));
        assert_found(
            &deposit,
            Check::Deposit,
            "distributed_validators[1].partial_deposit_data[0].signature: not the validator's \
             signature of the deposit: what is deposited would be lost",
        );
        let registration =
            findings(|lock| lock.validators[0].registration.signature.clone_from(&bytes));
        assert!(
            registration
                .iter()
                .any(|finding| finding.check == Check::Registration
                    && finding.path == "distributed_validators[0].builder_registration"),
            "{registration:#?}"
        );
    }
}

#[test]
fn a_deposit_of_no_key_is_no_deposit() {
    for (bytes, _) in bad_keys() {
        let found = findings(|lock| lock.validators[0].deposits[1].public_key = bytes.to_vec());
        let path = "distributed_validators[0].partial_deposit_data[1]";
        assert_found(
            &found,
            Check::Deposit,
            &format!("{path}.pubkey: not the validator's public key"),
        );
        let unsigned =
            "not the validator's signature of the deposit: what is deposited would be lost";
        assert_found(
            &found,
            Check::Deposit,
            &format!("{path}.signature: {unsigned}"),
        );
    }
}

/// A lock with more signatures than are checked at once.
fn large(validators: usize) -> Lock {
    const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let pair = ValidatorAddresses {
        fee_recipient: ADDRESS.to_owned(),
        withdrawal: ADDRESS.to_owned(),
    };
    let definition = NewDefinition {
        name: "large".to_owned(),
        operators: vec![Operator::default(); 4],
        validators: vec![pair; validators],
        ..NewDefinition::new(network)
    };
    let request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition.build(&mut rng).unwrap(), network)
    };
    cluster(request, &mut rng).unwrap().lock
}

#[test]
fn of_many_validators_exactly_the_wrong_ones_are_named_and_progress_is_told() {
    const VALIDATORS: usize = 70;
    let mut lock = large(VALIDATORS);
    let networks = Networks::public();
    assert_eq!(lock.verify(&VerifyOptions::new(&networks)), []);

    let share = lock.validators[33].public_shares[3];
    lock.validators[33].public_shares[3] = lock.validators[34].public_key;
    lock.validators[51].public_key = share;
    lock.validators[51].registration.gas_limit += 1;
    lock.validators[0].deposits[1].signature[90] ^= 1;
    lock.validators[69].deposits[0].amount += 1;
    lock.update_hashes().unwrap();

    let told = RefCell::new(Vec::new());
    let observer = |progress: Progress| told.borrow_mut().push(progress);
    let options = VerifyOptions {
        progress: Some(&observer),
        ..VerifyOptions::new(&networks)
    };
    let found: Vec<(Check, String)> = lock
        .verify(&options)
        .into_iter()
        .map(|finding| (finding.check, finding.path))
        .collect();
    let at = |check, validator: usize, rest: &str| {
        (check, format!("distributed_validators[{validator}].{rest}"))
    };
    let mut expected = vec![
        at(Check::PublicShares, 33, "public_shares[3]"),
        at(Check::PublicShares, 51, "distributed_public_key"),
        (Check::Aggregate, "signature_aggregate".to_owned()),
        at(Check::Registration, 51, "builder_registration"),
    ];
    expected.extend((0..4).map(|node| (Check::NodeSignature, format!("node_signatures[{node}]"))));
    expected.extend([
        at(Check::Deposit, 0, "partial_deposit_data[1].signature"),
        at(Check::Deposit, 51, "partial_deposit_data[0].pubkey"),
        at(Check::Deposit, 51, "partial_deposit_data[1].pubkey"),
        at(Check::Deposit, 69, "partial_deposit_data[0].signature"),
        at(Check::Deposit, 69, "partial_deposit_data"),
        at(
            Check::RegistrationFields,
            51,
            "builder_registration.message.pubkey",
        ),
    ]);
    found
        .iter()
        .zip(&expected)
        .for_each(|(found, expected)| assert_eq!(found, expected));
    assert_eq!(found.len(), expected.len());

    let told = told.into_inner();
    let total = VALIDATORS * (1 + 1 + 2);
    assert!(told.iter().all(|progress| progress.total == total));
    assert!(told.is_sorted_by_key(|progress| progress.done));
    assert_eq!(told.last().map(|progress| progress.done), Some(total));
}
