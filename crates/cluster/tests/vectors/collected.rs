//! `ceremony/api`: the traffic of exits, deposits and fee recipients with a server, and `dkg/obolapi_roots`.

use std::path::{Path, PathBuf};

use flotilla_cluster::collect::deposit::{CollectedDeposits, PartialDeposit, PartialDeposits};
use flotilla_cluster::collect::exit::{
    CollectedExit, PartialExit, PartialExits, access_root, exit_signing_root, read_exit, sign_exit,
};
use flotilla_cluster::collect::registration::{
    CollectedRegistrations, PartialRegistrations, RegistrationQuery,
};
use flotilla_cluster::deposit::{Deposit, DepositMessage};
use flotilla_cluster::registration::{
    Registration, RegistrationMessage, overrides::parse_overrides,
};
use flotilla_cluster::{Lock, Networks};
use flotilla_crypto::{IdentityKey, SecretKey};
use flotilla_types::{
    ForkVersion, PublicKeyBytes, Root, SignatureBytes, SignedValidatorRegistration,
    SignedVoluntaryExit,
};
use serde_json::{Value, json};

use super::folder::{files, folder, json as read_json, name, read};

/// Hoodi's genesis validators root.
const GENESIS: &str = "0x212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f";

struct Traffic {
    folder: PathBuf,
    requests: Vec<Value>,
    lock: Lock,
    secrets: Value,
    capella: ForkVersion,
}

impl Traffic {
    fn read() -> Option<Self> {
        let ceremony = folder("ceremony")?;
        let folder = ceremony.join("api");
        let file = read_json(&folder.join("requests.json"));
        let networks = Networks::public();
        Some(Self {
            requests: file["requests"].as_array().unwrap().clone(),
            folder,
            lock: Lock::parse(&read(&ceremony.join("dkg-frost/node0/cluster-lock.json"))).unwrap(),
            secrets: read_json(&ceremony.join("secrets.json"))["clusters"]["dkg-frost"].clone(),
            capella: networks
                .by_name("hoodi")
                .unwrap()
                .capella_fork_version
                .unwrap(),
        })
    }

    fn of(&self, method: &str, path: &str) -> Vec<&Value> {
        let found: Vec<_> = self
            .requests
            .iter()
            .filter(|request| {
                request["method"] == method && request["path"].as_str().unwrap().contains(path)
            })
            .collect();
        assert!(!found.is_empty(), "{method} {path}");
        found
    }

    fn identity(&self, share: u64) -> IdentityKey {
        let node = self.folder.join(format!("../dkg-frost/node{}", share - 1));
        let text = read(&node.join("charon-enr-private-key"));
        IdentityKey::from_hex(std::str::from_utf8(&text).unwrap()).unwrap()
    }

    /// The secret of a share of the validator with this public key.
    fn share(&self, validator: &PublicKeyBytes, share: u64) -> SecretKey {
        let position = self
            .lock
            .validators()
            .iter()
            .position(|entry| entry.public_key == *validator)
            .unwrap();
        let shares = &self.secrets[position]["share_secrets"];
        let text = shares[share.to_string()].as_str().unwrap();
        let bytes = hex::decode(text.trim_start_matches("0x")).unwrap();
        SecretKey::from_bytes(&bytes.try_into().unwrap()).unwrap()
    }
}

#[test]
fn vectors_exits_are_signed_as_they_were() {
    let Some(traffic) = Traffic::read() else {
        return;
    };
    let genesis: Root = GENESIS.parse().unwrap();
    for request in traffic.of("POST", "/exp/partial_exits/") {
        let recorded: PartialExits = serde_json::from_value(request["request"].clone()).unwrap();
        let exits = recorded.partial_exits.iter().map(|exit| PartialExit {
            public_key: exit.public_key,
            signed_exit_message: sign_exit(
                exit.signed_exit_message.message,
                &traffic.share(&exit.public_key, recorded.share_idx),
                traffic.capella,
                genesis,
            ),
        });
        let mut ours = PartialExits {
            partial_exits: exits.collect(),
            share_idx: recorded.share_idx,
            signature: Vec::new(),
        };
        ours.signature = traffic
            .identity(ours.share_idx)
            .sign(&ours.root().unwrap())
            .to_vec();
        assert_eq!(ours, recorded);
        assert_eq!(serde_json::to_value(&ours).unwrap(), request["request"]);
    }
}

#[test]
fn vectors_collected_exits_combine_to_the_file() {
    let Some(traffic) = Traffic::read() else {
        return;
    };
    let genesis: Root = GENESIS.parse().unwrap();
    for request in traffic.of("GET", "/exp/exit/") {
        let path = request["path"].as_str().unwrap();
        let validator: PublicKeyBytes = path.rsplit('/').next().unwrap().parse().unwrap();
        let collected: CollectedExit = serde_json::from_value(request["response"].clone()).unwrap();
        let message = collected.message();
        let root = exit_signing_root(&message, traffic.capella, genesis);
        let signature = traffic
            .lock
            .threshold_signature(&validator, &root, &collected.partials())
            .unwrap();
        let file = traffic.folder.join(format!("exit-{validator}.json"));
        // That program begins the file's member names with capitals, and reads either.
        let recorded = read_exit(&read(&file)).unwrap();
        assert_eq!(SignedVoluntaryExit { message, signature }, recorded);
        let share = 1;
        let lock_hash = traffic.lock.lock_hash().try_into().unwrap();
        let signature = traffic
            .identity(share)
            .sign(&access_root(lock_hash, &validator, share));
        let authorization = format!("Bearer 0x{}", hex::encode(signature));
        assert_eq!(request["authorization"], authorization);
        let too_few = traffic
            .lock
            .threshold_signature(&validator, &root, &collected.partials()[..2])
            .unwrap_err();
        assert!(
            too_few.to_string().contains("2 of the 3 signatures"),
            "{too_few}"
        );
    }
}

#[test]
fn vectors_deposits_are_signed_and_combined_as_they_were() {
    let Some(traffic) = Traffic::read() else {
        return;
    };
    let fork = traffic.lock.fork_version();
    for request in traffic.of("POST", "/deposit_data/partial_deposits/") {
        let path = request["path"].as_str().unwrap();
        let share: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
        let recorded: PartialDeposits = serde_json::from_value(request["request"].clone()).unwrap();
        let ours = recorded.partial_deposit_data.iter().map(|deposit| {
            let message = DepositMessage {
                public_key: deposit.pubkey,
                withdrawal_credentials: deposit.withdrawal_credentials.clone().try_into().unwrap(),
                amount: deposit.amount.parse().unwrap(),
            };
            PartialDeposit::from(&message.sign(&traffic.share(&deposit.pubkey, share), fork))
        });
        let ours = PartialDeposits {
            partial_deposit_data: ours.collect(),
        };
        assert_eq!(serde_json::to_value(&ours).unwrap(), request["request"]);
    }
    let mut made: Vec<Deposit> = Vec::new();
    for request in traffic.of("GET", "/deposit_data/") {
        let collected: CollectedDeposits =
            serde_json::from_value(request["response"].clone()).unwrap();
        for amount in &collected.amounts {
            let message = collected.message(amount).unwrap();
            let root = message.signing_root(fork);
            let signature = traffic
                .lock
                .threshold_signature(&collected.pubkey, &root, &amount.signatures())
                .unwrap();
            made.push(Deposit { message, signature });
        }
    }
    let networks = Networks::public();
    let network = networks.by_fork_version(fork).unwrap();
    for path in files(&traffic.folder, |name| name.starts_with("deposit-data")) {
        let recorded = flotilla_cluster::deposit::file::parse_file(&read(&path)).unwrap();
        let amount = recorded[0].message.amount;
        let ours: Vec<Deposit> = made
            .iter()
            .filter(|deposit| deposit.message.amount == amount)
            .cloned()
            .collect();
        let text = flotilla_cluster::deposit::file::to_json(&ours, network).unwrap();
        assert_eq!(text.as_bytes(), read(&path), "{}", name(&path));
    }
}

#[test]
fn vectors_registrations_are_signed_and_combined_as_they_were() {
    let Some(traffic) = Traffic::read() else {
        return;
    };
    let fork = traffic.lock.fork_version();
    for request in traffic.of("POST", "/fee_recipient/partial/") {
        let path = request["path"].as_str().unwrap();
        let share: u64 = path.rsplit('/').next().unwrap().parse().unwrap();
        let recorded: PartialRegistrations =
            serde_json::from_value(request["request"].clone()).unwrap();
        let ours = recorded.partial_registrations.iter().map(|entry| {
            let message = RegistrationMessage::from(entry.message);
            let key = traffic.share(&message.public_key, share);
            SignedValidatorRegistration::from(&message.sign(&key, fork))
        });
        let ours = PartialRegistrations {
            partial_registrations: ours.collect(),
        };
        assert_eq!(serde_json::to_value(&ours).unwrap(), request["request"]);
    }
    let mut made: Vec<Registration> = Vec::new();
    for request in traffic.of("POST", "/fee_recipient/0x") {
        let query: RegistrationQuery = match &request["request"]["pubkeys"] {
            Value::Null => RegistrationQuery { pubkeys: vec![] },
            _ => serde_json::from_value(request["request"].clone()).unwrap(),
        };
        assert!(query.pubkeys.len() <= 2);
        let answer: CollectedRegistrations =
            serde_json::from_value(request["response"].clone()).unwrap();
        for validator in answer.validators {
            for group in validator
                .builder_registrations
                .iter()
                .filter(|group| group.quorum)
            {
                let message = RegistrationMessage::from(group.message);
                let root = message.signing_root(fork);
                let signature = traffic
                    .lock
                    .threshold_signature(&validator.pubkey, &root, &group.signatures())
                    .unwrap();
                made.push(Registration { message, signature });
            }
        }
    }
    let file = read(&traffic.folder.join("builder_registrations_overrides.json"));
    let recorded = parse_overrides(&file, fork).unwrap();
    made.dedup();
    assert_eq!(made, recorded);
}

#[test]
fn vectors_roots_that_identities_sign() {
    let Some(folder) = folder("dkg") else { return };
    let file = read_json(Path::new(&folder).join("obolapi_roots.json").as_path());
    let access = &file["full_exit_auth"];
    let bytes =
        |value: &Value| hex::decode(value.as_str().unwrap().trim_start_matches("0x")).unwrap();
    let root = access_root(
        &bytes(&access["lock_hash"]).try_into().unwrap(),
        &PublicKeyBytes(bytes(&access["validator_pubkey"]).try_into().unwrap()),
        access["share_index"].as_u64().unwrap(),
    );
    assert_eq!(hex::encode(root), access["hash_tree_root"]);
    let recorded = &file["partial_exits"];
    let exits: PartialExits = serde_json::from_value(json!({
        "partial_exits": recorded["partial_exits"],
        "share_idx": recorded["share_idx"],
        "signature": "0x",
    }))
    .unwrap();
    assert_eq!(
        hex::encode(exits.root().unwrap()),
        recorded["hash_tree_root"]
    );
    assert_eq!(
        SignatureBytes([0xcd; 96]),
        exits.partial_exits[0].signed_exit_message.signature
    );
}
