//! No change to a valid lock goes unnoticed: decoded values are changed one at a time, and the file
//! byte by byte.

#![allow(clippy::unwrap_used, missing_docs)]

use flotilla_cluster::{Check, Lock, Networks, Severity, VerifyOptions};
use proptest::prelude::*;
use serde_json::Value;

const LOCKS: [&[u8]; 2] = [
    include_bytes!("data/v1.10.0/node0/cluster-lock.json"),
    include_bytes!("data/v1.11.0/node0/cluster-lock.json"),
];

/// JSON pointers of everything in the file that is not an object or list.
fn leaves(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            object
                .iter()
                .for_each(|(key, inner)| leaves(inner, &format!("{pointer}/{key}"), found));
        }
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, inner)| leaves(inner, &format!("{pointer}/{index}"), found));
        }
        _ => found.push(pointer.to_owned()),
    }
}

/// The value with one character of a text, one bit of a number, or a flag changed.
fn change(value: &Value, position: usize, step: u8) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::from("0x00"),
        Value::String(text) => {
            let mut bytes = text.clone().into_bytes();
            let index = position % bytes.len();
            // Another character of the same kind, so that most changed texts are still well formed.
            bytes[index] = match bytes[index] {
                digit @ b'0'..=b'9' => b'0' + (digit - b'0' + 1 + step % 9) % 10,
                letter @ b'a'..=b'f' => b'a' + (letter - b'a' + 1 + step % 5) % 6,
                b'x' => b'y',
                _ => b'x',
            };
            Value::from(String::from_utf8(bytes).unwrap())
        }
        Value::Number(number) => Value::from(number.as_u64().unwrap() ^ (1 << (step % 40))),
        Value::Bool(flag) => Value::from(!flag),
        other => panic!("{other} in a lock"),
    }
}

/// The findings for a lock, or none of them if it does not parse.
fn errors(bytes: &[u8]) -> Option<Vec<Check>> {
    let lock = Lock::parse(bytes).ok()?;
    let networks = Networks::public();
    let findings = lock.verify(&VerifyOptions::new(&networks));
    Some(
        findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(|finding| finding.check)
            .collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_changed_value_is_refused(file in 0usize..2, leaf: usize, position: usize, step: u8) {
        let mut lock: Value = serde_json::from_slice(LOCKS[file]).unwrap();
        let mut pointers = Vec::new();
        leaves(&lock, "", &mut pointers);
        let pointer = &pointers[leaf % pointers.len()];
        let value = lock.pointer_mut(pointer).unwrap();
        let changed = change(value, position, step);
        prop_assume!(changed != *value);
        *value = changed;
        if let Some(errors) = errors(lock.to_string().as_bytes()) {
            prop_assert!(!errors.is_empty(), "{pointer} was changed unnoticed");
        }
    }

    #[test]
    fn every_value_that_is_left_out_is_refused(file in 0usize..2, leaf: usize) {
        let mut lock: Value = serde_json::from_slice(LOCKS[file]).unwrap();
        let mut pointers = Vec::new();
        leaves(&lock, "", &mut pointers);
        let pointer = &pointers[leaf % pointers.len()];
        let value = lock.pointer_mut(pointer).unwrap();
        // Unset fields of an unsigned definition are the same whether written or not, and so are numbers at 0.
        prop_assume!(!matches!(value, Value::String(text) if text.is_empty()) && *value != Value::Bool(false));
        *value = Value::Null;
        if let Some(errors) = errors(lock.to_string().as_bytes()) {
            prop_assert!(!errors.is_empty(), "{pointer} was left out unnoticed");
        }
    }

    #[test]
    fn changed_bytes_never_panic(file in 0usize..2, position: usize, byte: u8) {
        let mut bytes = LOCKS[file].to_vec();
        let index = position % bytes.len();
        bytes[index] = byte;
        let _ = errors(&bytes);
    }
}

#[test]
fn a_file_cut_short_is_an_error_with_its_place() {
    let error = Lock::parse(&LOCKS[1][..500]).unwrap_err().to_string();
    assert!(
        error.starts_with("file: expected well-formed JSON") && error.contains("line"),
        "{error}"
    );
}

#[test]
fn unknown_fields_are_named_but_refuse_nothing() {
    let mut file: Value = serde_json::from_slice(LOCKS[0]).unwrap();
    file["cluster_definition"]["nonce"] = Value::from(1);
    file["distributed_validators"][1]["deposit_data"] = Value::Null;
    let lock = Lock::parse(file.to_string().as_bytes()).unwrap();
    let networks = Networks::public();
    let found: Vec<String> = lock
        .verify(&VerifyOptions::new(&networks))
        .iter()
        .map(ToString::to_string)
        .collect();
    let expected = [
        "cluster_definition.nonce",
        "distributed_validators[1].deposit_data",
    ]
    .map(|path| format!("{path}: no such field in version v1.10.0: it is ignored"));
    assert_eq!(found, expected);
}

#[test]
fn all_findings_come_in_one_pass() {
    let mut lock = Lock::parse(LOCKS[1]).unwrap();
    lock.definition.name.push('x');
    lock.validators[0].deposits[1].signature[5] ^= 1;
    lock.validators[1].public_shares.swap(0, 1);
    lock.node_signatures[2][7] ^= 1;
    lock.definition.threshold = 2;
    let networks = Networks::public();
    let found: Vec<Check> = lock
        .verify(&VerifyOptions::new(&networks))
        .iter()
        .map(|finding| finding.check)
        .collect();
    for check in [
        Check::ConfigHash,
        Check::DefinitionHash,
        Check::LockHash,
        Check::PublicShares,
        Check::Aggregate,
        Check::NodeSignature,
        Check::Deposit,
        Check::Threshold,
    ] {
        assert!(found.contains(&check), "{check:?} in {found:?}");
    }
    assert!(found.is_sorted());
}
