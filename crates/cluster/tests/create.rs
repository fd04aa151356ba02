//! What making a cluster refuses, and what it makes in versions and forms that are not frozen.

#![allow(clippy::unwrap_used, missing_docs)]

use flotilla_cluster::create::{CreateError, Request, check_definition, cluster};
use flotilla_cluster::registration::DEFAULT_REGISTRATION_GAS_LIMIT;
use flotilla_cluster::{
    Cost, DecryptError, Definition, Keystore, Lock, MatchError, Networks, NewDefinition,
    NewDefinitionError, Operator, ValidatorAddresses, VerifyOptions, Version, combine,
    match_shares,
};
use flotilla_crypto::{SecretKey, ShareIndex};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(3)
}

fn definition(version: Version, validators: usize) -> Definition {
    let networks = Networks::public();
    let pair = ValidatorAddresses {
        fee_recipient: ADDRESS.to_owned(),
        withdrawal: ADDRESS.to_owned(),
    };
    NewDefinition {
        version,
        name: "test".to_owned(),
        operators: vec![Operator::default(); 4],
        validators: vec![pair; validators],
        ..NewDefinition::new(networks.by_name("hoodi").unwrap())
    }
    .build(&mut rng())
    .unwrap()
}

fn refused(change: impl FnOnce(&mut Request<'_>)) -> CreateError {
    let networks = Networks::public();
    let mut request = Request::new(
        definition(Version::V1_11, 2),
        networks.by_name("hoodi").unwrap(),
    );
    change(&mut request);
    cluster(request, &mut rng()).unwrap_err()
}

fn key(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

#[test]
fn every_version_makes_a_lock_that_verifies() {
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    for version in Version::ALL {
        let request = Request {
            keystore_cost: Cost::INSECURE,
            ..Request::new(definition(version, 1), network)
        };
        let lock = cluster(request, &mut rng()).unwrap().lock;
        let read = Lock::parse(lock.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(read.to_json(), lock.to_json(), "{version}");
        assert_eq!(read.verify(&VerifyOptions::new(&networks)), [], "{version}");
        let validator = &read.validators()[0];
        let deposits = if version.has_partial_deposits() {
            2
        } else {
            usize::from(version.has_single_deposit())
        };
        assert_eq!(validator.deposits.len(), deposits, "{version}");
        let expected_gas = match (version.has_registrations(), version.has_gas_limit()) {
            (true, true) => 60_000_000,
            (true, false) => DEFAULT_REGISTRATION_GAS_LIMIT,
            (false, _) => 0,
        };
        assert_eq!(validator.registration.gas_limit, expected_gas, "{version}");
    }
}

#[test]
fn existing_keys_become_the_validators_in_their_order() {
    let networks = Networks::public();
    let request = Request {
        existing_keys: Some(vec![key(5), key(4)]),
        registration_time: 1_800_000_000,
        keystore_cost: Cost::INSECURE,
        ..Request::new(
            definition(Version::V1_11, 2),
            networks.by_name("hoodi").unwrap(),
        )
    };
    let created = cluster(request, &mut rng()).unwrap();
    let folder = |node: usize| {
        created.nodes[node]
            .keystores
            .iter()
            .map(|pending| pending.secret().clone())
            .collect()
    };
    let folders: Vec<Vec<SecretKey>> = (0..3).map(folder).collect();
    let roots = combine::secrets(&created.lock, &folders).unwrap();
    assert_eq!(roots[0].to_bytes(), key(5).to_bytes());
    assert_eq!(roots[1].to_bytes(), key(4).to_bytes());
    assert_eq!(
        created.lock.validators()[1].registration.timestamp,
        1_800_000_000
    );
}

#[test]
fn impossible_requests_are_named() {
    let networks = Networks::public();
    assert_eq!(
        refused(|request| request.existing_keys = Some(vec![key(1)])),
        CreateError::KeyCount {
            keys: 1,
            validators: 2
        }
    );
    assert_eq!(
        refused(|request| request.existing_keys = Some(vec![key(1), key(1)])),
        CreateError::SameKey {
            first: 0,
            second: 1
        }
    );
    assert_eq!(
        refused(|request| request.definition.operators[2].address = ADDRESS.to_owned()),
        CreateError::SignedOperator { operator: 2 }
    );
    assert!(matches!(
        refused(|request| request.definition.fork_version.0 = [1; 4]),
        CreateError::Network { .. }
    ));
    let mainnet = networks.by_name("mainnet").unwrap();
    let insecure = cluster(
        Request {
            keystore_cost: Cost::INSECURE,
            ..Request::new(definition(Version::V1_11, 2), mainnet)
        },
        &mut rng(),
    );
    assert!(matches!(
        insecure.unwrap_err(),
        CreateError::InsecureKeys { .. }
    ));
    for threshold in [0, 1, 5, u64::MAX] {
        let error = refused(|request| request.definition.threshold = threshold);
        assert!(
            matches!(
                error,
                CreateError::Definition(NewDefinitionError::Threshold { .. })
            ),
            "{error}"
        );
    }
    let early = refused(|request| {
        request.definition = definition(Version::V1_2, 1);
        request.definition.num_validators = u64::MAX;
    });
    assert_eq!(
        early,
        CreateError::TooManyValidators {
            validators: u64::MAX
        }
    );
    let error = refused(|request| request.definition.operators.truncate(2));
    assert!(matches!(
        error,
        CreateError::Definition(NewDefinitionError::TooFewOperators { found: 2 })
    ));
}

#[test]
fn definitions_from_files_are_checked_before_money_follows_them() {
    let networks = Networks::public();
    let check = |change: fn(&mut Definition), network: &str| {
        let mut definition = definition(Version::V1_11, 2);
        change(&mut definition);
        check_definition(&definition, networks.by_name(network).unwrap())
    };
    assert_eq!(check(|_| {}, "hoodi"), Ok(()));
    assert_eq!(check(|_| {}, "mainnet"), Ok(()));
    assert_eq!(
        check(|definition| definition.name.clear(), "hoodi"),
        Err(CreateError::NoName)
    );
    assert!(
        check(
            |definition| definition.consensus_protocol.push('x'),
            "hoodi"
        )
        .is_err()
    );
    assert!(check(|definition| definition.num_validators = 0, "hoodi").is_err());
}

#[test]
fn files_have_their_modes_and_no_secret_shows_in_debug() {
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition(Version::V1_11, 1), network)
    };
    let nodes = cluster(request, &mut rng()).unwrap().into_files();
    let modes: Vec<(String, u32)> = nodes[3]
        .iter()
        .map(|file| (file.path.clone(), file.mode))
        .collect();
    let expected = [
        ("charon-enr-private-key", 0o600),
        ("cluster-lock.json", 0o400),
        ("deposit-data-1eth.json", 0o444),
        ("deposit-data.json", 0o444),
        ("validator_keys/keystore-insecure-0.json", 0o444),
        ("validator_keys/keystore-insecure-0.txt", 0o400),
    ];
    assert_eq!(modes, expected.map(|(path, mode)| (path.to_owned(), mode)));
    let key = String::from_utf8(nodes[3][0].bytes.to_vec()).unwrap();
    assert_eq!(key.len(), 64);
    assert!(!format!("{:?}", nodes[3]).contains(&key));
    let keystore = Keystore::parse(&nodes[3][4].bytes).unwrap();
    assert_eq!(
        keystore.decrypt("not it").unwrap_err(),
        DecryptError::WrongPassword
    );
}

#[test]
fn secrets_that_do_not_fit_are_told_apart() {
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let created = cluster(
        Request::new(definition(Version::V1_11, 2), network),
        &mut rng(),
    )
    .unwrap();
    let share =
        |node: usize, validator: usize| created.nodes[node].keystores[validator].secret().clone();
    let me = ShareIndex::from_peer(1);
    let outcome = |secrets| match_shares(&created.lock, me, secrets);

    // Order does not matter, and a part of the validators is enough.
    let matched = outcome(vec![share(1, 1), share(1, 0)]).unwrap();
    assert_eq!(matched[&0].to_bytes(), share(1, 0).to_bytes());
    assert_eq!(
        outcome(vec![share(1, 1)])
            .unwrap()
            .into_keys()
            .collect::<Vec<_>>(),
        [1]
    );

    assert!(matches!(
        outcome(vec![key(1)]),
        Err(MatchError::Unknown { position: 0, .. })
    ));
    let other = outcome(vec![share(1, 0), share(2, 1)]).unwrap_err();
    let expected = MatchError::OtherOperator {
        position: 1,
        validator: 1,
        found: ShareIndex::from_peer(2),
        expected: me,
    };
    assert_eq!(other, expected);
    let repeated = outcome(vec![share(1, 0), share(1, 0)]).unwrap_err();
    assert_eq!(
        repeated,
        MatchError::Repeated {
            position: 1,
            validator: 0
        }
    );
}

#[test]
fn too_few_folders_say_which_shares_are_missing() {
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let created = cluster(
        Request::new(definition(Version::V1_11, 1), network),
        &mut rng(),
    )
    .unwrap();
    let folder = |node: usize| vec![created.nodes[node].keystores[0].secret().clone()];
    // The same folder twice counts once.
    let error = combine::secrets(&created.lock, &[folder(1), folder(3), folder(3)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "validator 0 has 2 of the 3 shares it needs; missing are the shares 1 (node0), 3 (node2)"
    );
    assert_eq!(
        combine::secrets(&created.lock, &[]).unwrap_err(),
        combine::CombineError::Empty
    );
    let swapped = combine::secrets(&created.lock, &[folder(0), vec![key(1)]]).unwrap_err();
    assert_eq!(
        swapped,
        combine::CombineError::UnknownShare {
            folder: 1,
            position: 0
        }
    );
}
