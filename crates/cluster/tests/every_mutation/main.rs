//! Every change to a valid lock is refused, and the refusal says where.
//!
//! Not a sample: each value of a lock of each version goes through every change of `mutants`.
//! Changes of form alone (another case of hex digits, a missing key instead of an empty text) are no
//! mutations; what counts is that the decoded lock differs.

#![allow(clippy::unwrap_used, missing_docs)]

mod locks;
mod mutants;

use flotilla_cluster::{Finding, Lock, Networks, Severity, VerifyOptions, Version};
use mutants::Mutant;
use serde_json::Value;

/// What becomes of a changed file.
enum Outcome {
    /// It means the same.
    Same,
    /// It does not parse: the error's text.
    Unreadable(String),
    /// It parses and verification finds this.
    Found(Vec<Finding>),
}

fn outcome(original: &Lock, text: &str) -> Outcome {
    match Lock::parse(text.as_bytes()) {
        Err(error) => Outcome::Unreadable(error.to_string()),
        Ok(lock) if means_the_same(original, &lock) => Outcome::Same,
        Ok(lock) => {
            let networks = Networks::public();
            Outcome::Found(lock.verify(&VerifyOptions::new(&networks)))
        }
    }
}

fn means_the_same(original: &Lock, lock: &Lock) -> bool {
    let mut lock = lock.clone();
    lock.unknown_fields.clear();
    lock.definition.unknown_fields.clear();
    lock == *original
}

/// Whether this is one of the two changes that make another valid file.
///
/// - Before v1.2 the shares need not have signed the lock, and a lock that they have signed is none
///   the worse without (spec 10 §3.4).
/// - A node signature may count its recovery number from 27 instead of 0 (spec 10 §2.5): it is still
///   the same signature, and no hash covers it.
fn is_legal(original: &Lock, text: &str) -> bool {
    let mut lock = Lock::parse(text.as_bytes()).unwrap();
    let recovery_numbers = lock
        .node_signatures
        .iter_mut()
        .filter_map(|signature| signature.get_mut(64));
    recovery_numbers
        .filter(|number| **number >= 27)
        .for_each(|number| *number -= 27);
    means_the_same(original, &lock)
        || lock.definition.version <= Version::V1_1 && lock.signature_aggregate.is_empty()
}

/// What is wrong with the outcome, if anything is.
fn complaint(original: &Lock, file: &Value, mutant: &Mutant) -> Option<String> {
    let problem = match outcome(original, &mutant.text) {
        Outcome::Same => return None,
        Outcome::Unreadable(error) => {
            let complete = error.contains(": expected ") && error.contains(", found ");
            (!complete).then_some(error)?
        }
        Outcome::Found(findings) => {
            let mut errors = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error);
            if errors.next().is_none() {
                if is_legal(original, &mutant.text) {
                    return None;
                }
                format!("accepted, {findings:?}")
            } else {
                let mutated: Value = serde_json::from_str(&mutant.text).unwrap();
                let lost = findings
                    .iter()
                    .find(|finding| !leads_somewhere(&finding.path, &[file, &mutated]))?;
                format!("the path leads nowhere: {lost}")
            }
        }
    };
    Some(format!(
        "{}, {}: {problem}",
        if mutant.path.is_empty() {
            "file"
        } else {
            &mutant.path
        },
        mutant.change
    ))
}

/// Whether there is something at the path, or room for it: a member that is missing, in an object.
fn leads_somewhere(path: &str, files: &[&Value]) -> bool {
    let pointer: String = path
        .replace('[', ".")
        .replace(']', "")
        .split('.')
        .map(|step| format!("/{step}"))
        .collect();
    let parent = pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
    files.iter().any(|file| {
        file.pointer(&pointer).is_some() || file.pointer(parent).is_some_and(Value::is_object)
    })
}

fn complaints(lock: &Lock) -> Vec<String> {
    let text = lock.to_json().unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    // What was never in the file (a nonce of v1.0, say) cannot be changed there.
    let lock = &Lock::parse(text.as_bytes()).unwrap();
    let networks = Networks::public();
    let findings = lock.verify(&VerifyOptions::new(&networks));
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning),
        "{findings:?}"
    );
    let mutants = mutants::all(&file);
    let complaints = mutants
        .iter()
        .filter_map(|mutant| complaint(lock, &file, mutant));
    complaints
        .map(|complaint| format!("{}, {complaint}", lock.definition.version))
        .collect()
}

fn assert_all_refused(locks: impl IntoIterator<Item = Lock>) {
    let complaints: Vec<String> = locks
        .into_iter()
        .flat_map(|lock| complaints(&lock))
        .collect();
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// The versions, one after another to their number; more tests than one use more cores than one.
fn assert_all_refused_in(versions: std::ops::Range<usize>) {
    let versions = &Version::ALL[versions];
    assert_all_refused(versions.iter().map(|version| locks::unsigned(*version, 1)));
}

#[test]
fn every_mutation_is_refused_in_versions_with_hashes_of_texts_and_one_address_pair() {
    assert_all_refused_in(0..5);
}

#[test]
fn every_mutation_is_refused_in_versions_with_an_address_pair_for_each_validator() {
    assert_all_refused_in(5..9);
}

#[test]
fn every_mutation_is_refused_in_versions_with_deposit_amounts_and_gas_limits() {
    assert_all_refused_in(9..Version::ALL.len());
}

#[test]
fn every_mutation_is_refused_with_several_validators_and_signed_definition() {
    assert_all_refused([locks::signed(Version::V1_11, 2)]);
}
