//! `testdata` and `examples`: definitions and locks of every version.

use flotilla_cluster::{
    Check, Definition, LoadOptions, Lock, Networks, Severity, VerifyOptions, Version,
};

use crate::folder::{files, folder, name, read};

fn definition_refusal(definition: &Definition) -> Option<Check> {
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    first_refusal(&definition.verify(&options.verify))
}

fn first_refusal(findings: &[flotilla_cluster::Finding]) -> Option<Check> {
    let refusal = findings
        .iter()
        .find(|finding| finding.severity == Severity::Error && !finding.check.is_extra());
    refusal.map(|finding| finding.check)
}

#[test]
fn vectors_testdata_definitions_hash_and_rewrite_byte_for_byte() {
    let Some(folder) = folder("cluster/testdata") else {
        return;
    };
    for path in files(&folder, |name| name.starts_with("cluster_definition_")) {
        let bytes = read(&path);
        let definition = Definition::parse(&bytes).unwrap();
        let file_name = format!(
            "cluster_definition_{}.json",
            definition.version.to_string().replace('.', "_")
        );
        assert_eq!(name(&path), file_name);
        assert_eq!(
            definition.compute_config_hash().unwrap().to_vec(),
            definition.config_hash,
            "{file_name}"
        );
        assert_eq!(
            definition.compute_definition_hash().unwrap().to_vec(),
            definition.definition_hash,
            "{file_name}"
        );
        assert_eq!(
            definition.to_json().unwrap().as_bytes(),
            bytes,
            "{file_name}"
        );
        let expected = (definition.version >= Version::V1_3).then_some(Check::OperatorSignature);
        assert_eq!(definition_refusal(&definition), expected, "{file_name}");
    }
}

#[test]
fn vectors_testdata_locks_hash_and_rewrite_byte_for_byte() {
    let Some(folder) = folder("cluster/testdata") else {
        return;
    };
    let networks = Networks::public();
    let versioned = |name: &str| name.starts_with("cluster_lock_") || name.starts_with("lock_");
    for path in files(&folder, versioned) {
        let bytes = read(&path);
        let lock = Lock::parse(&bytes).unwrap();
        let file_name = name(&path);
        assert_eq!(
            lock.compute_lock_hash().unwrap().to_vec(),
            lock.lock_hash,
            "{file_name}"
        );
        assert_eq!(lock.to_json().unwrap().as_bytes(), bytes, "{file_name}");
        let refusal = first_refusal(&lock.verify(&VerifyOptions::new(&networks)));
        let expected = if lock.definition.version >= Version::V1_3 {
            Check::OperatorSignature
        } else {
            Check::AggregatePresence
        };
        assert_eq!(refusal, Some(expected), "{file_name}");
        assert_eq!(
            lock.peers().is_err(),
            file_name.contains("opaque_enrs"),
            "{file_name}"
        );
    }
}

#[test]
fn vectors_examples_verify_without_an_execution_client() {
    let Some(folder) = folder("cluster/examples") else {
        return;
    };
    let networks = Networks::public();
    let options = LoadOptions {
        verify: VerifyOptions::new(&networks),
        no_verify: false,
    };
    for path in files(&folder, |name| name.starts_with("cluster-definition-")) {
        let loaded = Definition::load(&read(&path), &options)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let rewritten = Definition::parse(loaded.file.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(rewritten, loaded.file);
    }
    for path in files(&folder, |name| name.starts_with("cluster-lock-")) {
        let loaded = Lock::load(&read(&path), &options)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(
            loaded.file.peers().unwrap().len(),
            loaded.file.operators().len()
        );
        let rewritten = Lock::parse(loaded.file.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(rewritten, loaded.file);
        for finding in loaded.findings {
            println!("{}: {finding}", name(&path));
        }
    }
}
