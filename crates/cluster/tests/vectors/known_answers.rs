//! `known-answers`, `deposit` and `keystore`: single values computed elsewhere.

use flotilla_cluster::deposit::file::{file_name, parse_file, to_json};
use flotilla_cluster::deposit::{DepositMessage, check_amounts, withdrawal_credentials};
use flotilla_cluster::registration::RegistrationMessage;
use flotilla_cluster::{
    Address, Definition, Enr, Keystore, Networks, PeerId, TypedMessage, Version,
};
use flotilla_crypto::{IdentityKey, SecretKey};
use flotilla_types::{ForkVersion, PublicKeyBytes};
use serde_json::{Value, json};

use crate::folder::{files, folder, json, read};

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text))
        .unwrap()
        .try_into()
        .unwrap()
}

fn identity(value: &Value) -> IdentityKey {
    IdentityKey::from_hex(value.as_str().unwrap()).unwrap()
}

#[test]
fn vectors_identity() {
    let Some(folder) = folder("cluster/known-answers") else {
        return;
    };
    let answers = json(&folder.join("identity.json"));

    let signing = &answers["k1_sign"];
    let key = identity(&signing["private_key"]);
    assert_eq!(
        key.public().to_compressed(),
        bytes::<33>(&signing["public_key_compressed"])
    );
    assert_eq!(
        key.sign(&bytes(&signing["digest"])),
        bytes::<65>(&signing["signature_r_s_v"])
    );

    for case in answers["enr_build"].as_array().unwrap() {
        assert_eq!(
            case["pairs"],
            json!({}),
            "records with addresses are not made any more"
        );
        assert_eq!(
            Enr::from_key(&identity(&case["private_key"])).to_text(),
            case["enr"].as_str().unwrap()
        );
    }
    for case in answers["enr_parse"].as_array().unwrap() {
        let enr = Enr::parse(case["enr"].as_str().unwrap()).unwrap();
        assert_eq!(
            enr.public_key().to_compressed(),
            bytes::<33>(&case["public_key_compressed"])
        );
        let ip: Vec<String> = enr.value("ip").unwrap().iter().map(u8::to_string).collect();
        assert_eq!(ip.join("."), case["ip"].as_str().unwrap());
        for port in ["tcp", "udp"] {
            let value = enr
                .value(port)
                .unwrap()
                .iter()
                .fold(0, |port, byte| port * 256 + u64::from(*byte));
            assert_eq!(Some(value), case[port].as_u64());
        }
    }
    for case in answers["enr_parse_errors"].as_array().unwrap() {
        assert!(Enr::parse(case["enr"].as_str().unwrap()).is_err(), "{case}");
    }
    for case in answers["enr_parse_ok_variants"].as_array().unwrap() {
        assert!(Enr::parse(case["enr"].as_str().unwrap()).is_ok(), "{case}");
    }
    for case in answers["peer_id"].as_array().unwrap() {
        let id = PeerId::of(&identity(&case["private_key"]).public());
        assert_eq!(id.to_string(), case["peer_id"].as_str().unwrap());
    }
}

#[test]
fn vectors_eip712() {
    let Some(folder) = folder("cluster/known-answers") else {
        return;
    };
    let case = &json(&folder.join("eip712.json"))["creator_config_hash"];
    let config_hash = bytes::<32>(&case["config_hash"]);
    let digest = TypedMessage::CreatorConfig {
        config_hash: &config_hash,
    }
    .digest(case["chain_id"].as_u64().unwrap());
    assert_eq!(digest, bytes(&case["digest"]));
}

#[test]
fn vectors_builder_registration() {
    let Some(folder) = folder("cluster/known-answers") else {
        return;
    };
    let case = json(&folder.join("builder-registration.json"));
    let message = RegistrationMessage {
        fee_recipient: Address::parse(case["message"]["fee_recipient"].as_str().unwrap()).unwrap(),
        gas_limit: case["message"]["gas_limit"].as_u64().unwrap(),
        timestamp: case["message"]["timestamp"].as_u64().unwrap(),
        public_key: PublicKeyBytes(bytes(&case["message"]["pubkey"])),
    };
    let fork_version = ForkVersion(bytes(&case["genesis_fork_version"]));
    assert_eq!(
        message.signing_root(fork_version),
        bytes(&case["signing_root"])
    );
    let key = SecretKey::from_bytes(&bytes(&case["secret_key"])).unwrap();
    assert_eq!(
        message.sign(&key, fork_version).signature.0,
        bytes(&case["signature"])
    );
}

#[test]
fn vectors_definition_hashes() {
    let Some(folder) = folder("cluster/known-answers") else {
        return;
    };
    let answers = json(&folder.join("definition-hashes.json"));
    for case in answers["cases"].as_array().unwrap() {
        let version = Version::from_text(case["version"].as_str().unwrap()).unwrap();
        let mut file = answers["base"].clone();
        file["version"] = case["version"].clone();
        for (key, value) in case["override"].as_object().unwrap() {
            file[key] = value.clone();
        }
        if version < Version::V1_5 {
            let pair = file["validators"][0].clone();
            file["fee_recipient_address"] = pair["fee_recipient_address"].clone();
            file["withdrawal_address"] = pair["withdrawal_address"].clone();
        }
        let definition = Definition::parse(file.to_string().as_bytes()).unwrap();
        let hash = match case["hash"].as_str().unwrap() {
            "config" => definition.compute_config_hash(),
            "definition" => definition.compute_definition_hash(),
            other => panic!("unknown hash {other}"),
        };
        assert_eq!(hash.unwrap(), bytes(&case["expected"]), "{version}");
    }
}

#[test]
fn vectors_deposits() {
    let Some(folder) = folder("cluster/known-answers") else {
        return;
    };
    let answers = json(&folder.join("deposit.json"));
    for case in answers["withdrawal_credentials"].as_array().unwrap() {
        let address = Address::parse(case["address"].as_str().unwrap()).unwrap();
        let credentials = withdrawal_credentials(address, case["compounding"].as_bool().unwrap());
        assert_eq!(credentials, bytes(&case["credentials"]));
    }
    for case in answers["file_names"].as_array().unwrap() {
        assert_eq!(
            file_name(case[0].as_u64().unwrap()),
            case[1].as_str().unwrap()
        );
    }
    for case in answers["amount_rules"].as_array().unwrap() {
        let amounts: Vec<u64> = case["amounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|amount| amount.as_u64().unwrap())
            .collect();
        let outcome = check_amounts(&amounts, case["compounding"].as_bool().unwrap());
        assert_eq!(outcome.is_ok(), case["ok"].as_bool().unwrap(), "{case}");
    }

    let golden = &answers["deposit_golden_inputs"];
    let networks = Networks::public();
    let network = networks
        .by_name(golden["network"].as_str().unwrap())
        .unwrap();
    let deposits: Vec<_> = golden["validators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|validator| {
            let key = SecretKey::from_bytes(&bytes(&validator["secret_key"])).unwrap();
            let address =
                Address::parse(validator["withdrawal_address"].as_str().unwrap()).unwrap();
            let message = DepositMessage {
                public_key: PublicKeyBytes(key.public_key().to_bytes()),
                withdrawal_credentials: withdrawal_credentials(
                    address,
                    golden["compounding"].as_bool().unwrap(),
                ),
                amount: golden["amount_gwei"].as_u64().unwrap(),
            };
            message.sign(&key, network.genesis_fork_version)
        })
        .collect();
    let expected = read(&folder.join(golden["file"].as_str().unwrap()));
    assert_eq!(to_json(&deposits, network).unwrap().as_bytes(), expected);
}

#[test]
fn vectors_deposit_files_rewrite_byte_for_byte() {
    let Some(folder) = folder("cluster/deposit") else {
        return;
    };
    let networks = Networks::public();
    for path in files(&folder, |name| name.starts_with("deposit-data")) {
        let deposits = parse_file(&read(&path)).unwrap();
        let network = networks
            .by_name(json(&path)[0]["network_name"].as_str().unwrap())
            .unwrap();
        assert_eq!(to_json(&deposits, network).unwrap().as_bytes(), read(&path));
    }
}

#[test]
fn vectors_keystores() {
    let Some(folder) = folder("cluster/keystore") else {
        return;
    };
    for path in files(&folder, |name| name.ends_with(".json")) {
        let keystore = Keystore::parse(&read(&path)).unwrap();
        let password = String::from_utf8(read(&path.with_extension("txt"))).unwrap();
        let secret = keystore.decrypt(&password).unwrap();
        assert_eq!(
            hex::encode(secret.public_key().to_bytes()),
            keystore.public_key_text()
        );
        if path.ends_with("keystore-scrypt.json") {
            let expected = "10b16fc552aa607fa1399027f7b86ab789077e470b5653b338693dc2dde02468";
            assert_eq!(hex::encode(secret.to_bytes().as_slice()), expected);
        }
    }
}
