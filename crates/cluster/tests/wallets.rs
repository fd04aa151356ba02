//! The rules of wallet signatures in a definition (spec 10 §2.6), one test each.

#![allow(clippy::unwrap_used, missing_docs)]

use std::cell::RefCell;

use flotilla_cluster::{
    Address, Check, Creator, Definition, Enr, Networks, NewDefinition, Operator, TypedMessage,
    ValidatorAddresses, VerifyOptions, Version,
};
use flotilla_crypto::IdentityKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const HOODI_CHAIN: u64 = 560_048;

fn wallet(byte: u8) -> IdentityKey {
    IdentityKey::from_bytes(&[byte; 32]).unwrap()
}

fn address(wallet: &IdentityKey) -> String {
    Address::of(&wallet.public()).to_string()
}

/// A definition of three operators that nobody has signed yet; addresses stand where they will.
fn unsigned(version: Version, operators: bool, creator: bool) -> Definition {
    let networks = Networks::public();
    let zero = "0x0000000000000000000000000000000000000000".to_owned();
    let operator = |index: u8| Operator {
        address: if operators {
            address(&wallet(index))
        } else {
            String::new()
        },
        ..Operator::with_enr(Enr::from_key(&wallet(100 + index)).to_text())
    };
    NewDefinition {
        version,
        operators: (1..=3).map(operator).collect(),
        creator: Creator {
            address: if creator {
                address(&wallet(9))
            } else {
                String::new()
            },
            config_signature: Vec::new(),
        },
        validators: vec![ValidatorAddresses {
            fee_recipient: zero.clone(),
            withdrawal: zero,
        }],
        ..NewDefinition::new(networks.by_name("hoodi").unwrap())
    }
    .build(&mut ChaCha20Rng::seed_from_u64(1))
    .unwrap()
}

/// The same with all signatures that the addresses promise.
fn signed(version: Version, operators: bool, creator: bool) -> Definition {
    let mut definition = unsigned(version, operators, creator);
    let config_hash = definition.config_hash.clone();
    for (index, operator) in (1..).zip(&mut definition.operators) {
        if operators {
            let config = match version {
                Version::V1_3 => TypedMessage::EarlyOperatorConfig {
                    config_hash: &config_hash,
                },
                _ => TypedMessage::OperatorConfig {
                    config_hash: &config_hash,
                },
            };
            operator.config_signature = sign(&wallet(index), config);
            operator.enr_signature = sign(&wallet(index), TypedMessage::Enr { enr: &operator.enr });
        }
    }
    if creator {
        definition.creator.config_signature = sign(
            &wallet(9),
            TypedMessage::CreatorConfig {
                config_hash: &config_hash,
            },
        );
    }
    definition.update_hashes().unwrap();
    definition
}

fn sign(wallet: &IdentityKey, message: TypedMessage<'_>) -> Vec<u8> {
    wallet.sign(&message.digest(HOODI_CHAIN)).to_vec()
}

/// Checks and paths of what would refuse the definition, hashes apart.
fn refusals(definition: &Definition) -> Vec<(Check, String)> {
    let networks = Networks::public();
    definition
        .verify(&VerifyOptions::new(&networks))
        .into_iter()
        .filter(|finding| finding.check > Check::LockHash && !finding.check.is_extra())
        .map(|finding| (finding.check, finding.path))
        .collect()
}

fn refused_at(check: Check, path: &str) -> Vec<(Check, String)> {
    vec![(check, path.to_owned())]
}

#[test]
fn fully_signed_creator_only_and_fully_unsigned_verify_in_every_version() {
    for version in Version::ALL
        .into_iter()
        .filter(|version| version.has_creator())
    {
        assert_eq!(refusals(&signed(version, true, true)), [], "{version}");
        assert_eq!(refusals(&signed(version, false, true)), [], "{version}");
        assert_eq!(refusals(&unsigned(version, false, false)), [], "{version}");
    }
    assert_eq!(refusals(&signed(Version::V1_3, true, false)), []);
}

#[test]
fn both_numberings_of_v_verify() {
    let mut definition = signed(Version::V1_11, true, true);
    definition.operators[0].config_signature[64] += 27;
    definition.creator.config_signature[64] += 27;
    assert_eq!(refusals(&definition), []);
    definition.operators[0].config_signature[64] = 29;
    assert_eq!(
        refusals(&definition),
        refused_at(Check::OperatorSignature, "operators[0].config_signature")
    );
}

#[test]
fn address_without_signatures_is_refused() {
    let definition = unsigned(Version::V1_11, true, false);
    let paths: Vec<String> = refusals(&definition)
        .into_iter()
        .map(|(_, path)| path)
        .collect();
    assert!(
        paths.contains(&"operators[2].enr_signature".to_owned()),
        "{paths:?}"
    );
    let definition = unsigned(Version::V1_11, false, true);
    assert_eq!(
        refusals(&definition),
        refused_at(Check::CreatorSignature, "creator.config_signature")
    );
}

#[test]
fn mixture_of_signed_and_unsigned_operators_is_refused() {
    let mut definition = signed(Version::V1_11, true, true);
    definition.operators[1] = Operator::with_enr(definition.operators[1].enr.clone());
    assert_eq!(
        refusals(&definition),
        refused_at(Check::OperatorSignature, "operators")
    );
}

#[test]
fn signed_operators_need_a_signed_creator() {
    let definition = signed(Version::V1_11, true, false);
    assert_eq!(
        refusals(&definition),
        refused_at(Check::CreatorSignature, "creator.config_signature")
    );
}

#[test]
fn signature_of_another_wallet_or_message_is_refused() {
    let mut definition = signed(Version::V1_11, true, true);
    definition.operators[1].enr_signature = definition.operators[1].config_signature.clone();
    definition.operators[2].config_signature = definition.operators[0].config_signature.clone();
    let expected = [
        (
            Check::OperatorSignature,
            "operators[1].enr_signature".to_owned(),
        ),
        (
            Check::OperatorSignature,
            "operators[2].config_signature".to_owned(),
        ),
    ];
    assert_eq!(refusals(&definition), expected);
}

#[test]
fn unknown_network_is_refused_even_when_nothing_is_signed() {
    let mut definition = unsigned(Version::V1_11, false, false);
    definition.fork_version.0 = [9; 4];
    assert_eq!(
        refusals(&definition),
        refused_at(Check::Network, "fork_version")
    );
}

#[test]
fn signatures_before_v1_3_are_refused() {
    let mut definition = unsigned(Version::V1_2, true, false);
    assert_eq!(refusals(&definition), []);
    definition.operators[0].enr_signature = vec![1; 65];
    assert_eq!(
        refusals(&definition),
        refused_at(Check::OperatorSignature, "operators[0].enr_signature")
    );
}

#[test]
fn several_signatures_in_one_field_are_for_contracts_of_v1_11() {
    for (version, length) in [
        (Version::V1_10, 130),
        (Version::V1_11, 64),
        (Version::V1_11, 65 * 33),
    ] {
        let mut definition = signed(version, true, true);
        definition.creator.config_signature = vec![1; length];
        assert_eq!(
            refusals(&definition),
            refused_at(Check::CreatorSignature, "creator.config_signature"),
            "{length}"
        );
    }
}

#[test]
fn contract_is_asked_only_when_the_plain_signature_fails() {
    let mut definition = signed(Version::V1_11, true, true);
    definition.creator.config_signature = vec![7; 195];
    let networks = Networks::public();
    let creator = Address::parse(&definition.creator.address).unwrap();
    let digest = TypedMessage::CreatorConfig {
        config_hash: &definition.config_hash,
    }
    .digest(HOODI_CHAIN);
    for (answer, accepted) in [
        (Ok(true), true),
        (Ok(false), false),
        (Err("reverted".to_owned()), false),
    ] {
        let asked = RefCell::new(Vec::new());
        let contract = |address: Address, digest: &[u8; 32], signature: &[u8]| {
            asked
                .borrow_mut()
                .push((address, *digest, signature.to_vec()));
            answer.clone()
        };
        let options = VerifyOptions {
            contract_wallet: Some(&contract),
            ..VerifyOptions::new(&networks)
        };
        let findings = definition.verify(&options);
        let refused: Vec<_> = findings
            .iter()
            .filter(|finding| finding.check == Check::CreatorSignature)
            .collect();
        assert_eq!(refused.is_empty(), accepted, "{refused:?}");
        assert!(
            answer.is_ok() || refused[0].message.contains("reverted"),
            "{refused:?}"
        );
        assert_eq!(*asked.borrow(), [(creator, digest, vec![7; 195])]);
    }
}
