//! Message roots, domains and signing roots of every kind of duty; aggregator selection.

use std::{collections::BTreeMap, time::Duration};

use flotilla_types::{
    AggregateAndProof, Attestation, AttestationData, Chain, ChainSpec, ContributionAndProof,
    DomainType, DutyKind, Epoch, Fork, ForkVersion, ListSizes, PublicKeyBytes, Root,
    SignatureBytes, SignedData, Slot, SyncAggregatorSelectionData, SyncCommitteeContribution,
    Timestamp, ValidatorIndex, ValidatorRegistration, VoluntaryExit, is_attestation_aggregator,
    signing_root,
};
use serde_json::Value;

use crate::folder::{bytes, files, json_files, parsed, text};

/// The chain that a file's `meta` describes, by way of the configuration a beacon node would serve.
fn chain(meta: &Value) -> Chain {
    let mut config =
        ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion::default()).to_config();
    config.insert(
        "SLOTS_PER_EPOCH".into(),
        text(meta, "slots_per_epoch").into(),
    );
    for fork in meta["fork_schedule"].as_array().unwrap() {
        let name = text(fork, "name").to_uppercase();
        config.insert(format!("{name}_FORK_VERSION"), text(fork, "version").into());
        if name != "GENESIS" {
            config.insert(format!("{name}_FORK_EPOCH"), text(fork, "epoch").into());
        }
    }
    Chain {
        spec: ChainSpec::from_config(&config).unwrap(),
        genesis_time: Timestamp::from_secs(0),
        genesis_validators_root: parsed(meta, "genesis_validators_root"),
    }
}

fn number(message: &Value, field: &str) -> u64 {
    text(message, field).parse().unwrap()
}

fn contribution_and_proof(message: &Value) -> ContributionAndProof {
    let contribution = &message["contribution"];
    ContributionAndProof {
        aggregator_index: parsed(message, "aggregator_index"),
        contribution: SyncCommitteeContribution {
            slot: parsed(contribution, "slot"),
            beacon_block_root: parsed(contribution, "beacon_block_root"),
            subcommittee_index: number(contribution, "subcommittee_index"),
            aggregation_bits: bytes(contribution, "aggregation_bits").try_into().unwrap(),
            signature: parsed(contribution, "signature"),
        },
        selection_proof: parsed(message, "selection_proof"),
    }
}

fn message_root(kind: DutyKind, message: &Value) -> Root {
    match kind {
        DutyKind::Attester => serde_json::from_value::<AttestationData>(message.clone())
            .unwrap()
            .tree_hash_root(),
        DutyKind::Randao => parsed::<Epoch>(message, "epoch").tree_hash_root(),
        DutyKind::PrepareAggregator => parsed::<Slot>(message, "slot").tree_hash_root(),
        DutyKind::Aggregator => {
            let aggregate = AggregateAndProof {
                aggregator_index: parsed(message, "aggregator_index"),
                aggregate: Attestation::from_json(Fork::Fulu, &message["aggregate"]).unwrap(),
                selection_proof: parsed(message, "selection_proof"),
            };
            aggregate.tree_hash_root(&ListSizes::MAINNET).unwrap()
        }
        DutyKind::SyncMessage => parsed(message, "beacon_block_root"),
        DutyKind::PrepareSyncContribution => {
            let subcommittee_index = number(message, "subcommittee_index");
            SyncAggregatorSelectionData {
                slot: parsed(message, "slot"),
                subcommittee_index,
            }
            .tree_hash_root()
        }
        DutyKind::SyncContribution => contribution_and_proof(message).tree_hash_root(),
        DutyKind::Exit => {
            let validator_index = parsed::<ValidatorIndex>(message, "validator_index");
            VoluntaryExit {
                epoch: parsed(message, "epoch"),
                validator_index,
            }
            .tree_hash_root()
        }
        DutyKind::BuilderRegistration => {
            let registration = ValidatorRegistration {
                fee_recipient: bytes(message, "fee_recipient").try_into().unwrap(),
                gas_limit: number(message, "gas_limit"),
                timestamp: number(message, "timestamp"),
                pubkey: parsed::<PublicKeyBytes>(message, "pubkey"),
            };
            registration.tree_hash_root()
        }
        other => panic!("no message of kind {other} is known here"),
    }
}

#[test]
fn signing_roots_vectors() {
    for (name, file) in json_files("duties", "signing_roots") {
        let hoodi = chain(&file["meta"]);
        for vector in file["vectors"].as_array().unwrap() {
            let label = format!("{name}: {}", text(vector, "name"));
            let kind = DutyKind::from_name(text(vector, "duty")).unwrap();
            let root = message_root(kind, &vector["message"]);
            assert_eq!(root, parsed(vector, "message_root"), "{label}");

            let domain_type = DomainType::of(kind).unwrap();
            assert_eq!(
                domain_type.0.to_vec(),
                bytes(vector, "domain_type"),
                "{label}"
            );
            let (version, genesis) = (
                parsed(vector, "fork_version"),
                parsed(vector, "genesis_validators_root"),
            );
            let domain = flotilla_types::Domain::compute(domain_type, version, genesis);
            assert_eq!(domain.0.to_vec(), bytes(vector, "domain"), "{label}");
            assert_eq!(
                signing_root(root, domain),
                parsed(vector, "signing_root"),
                "{label}"
            );

            // Vectors of other chains apart, the chain finds version and genesis itself.
            let builder = kind == DutyKind::BuilderRegistration;
            if genesis == hoodi.genesis_validators_root || builder {
                assert_eq!(
                    hoodi.domain(domain_type, parsed(vector, "epoch")),
                    domain,
                    "{label}"
                );
            }
        }
    }
}

#[test]
fn golden_message_roots_vectors() {
    let golden: BTreeMap<String, Vec<u8>> = files("duties", "TestSSZSerialisation_")
        .into_iter()
        .collect();
    for (name, file) in json_files("duties", "signing_roots") {
        let roots: BTreeMap<String, Root> = parsed(&file, "golden_message_roots");
        let root = roots["TestSSZSerialisation_VersionedAttestation.ssz.golden"];
        let bytes = &golden["TestSSZSerialisation_VersionedAttestation.ssz.golden"];
        let signed = SignedData::decode(DutyKind::Attester, bytes).unwrap();
        assert_eq!(signed.message_root(), root, "{name}");
    }
}

#[test]
fn aggregator_selection_vectors() {
    for (name, file) in json_files("duties", "aggregator_selection") {
        let target = file["spec"]["TARGET_AGGREGATORS_PER_COMMITTEE"]
            .as_u64()
            .unwrap();
        let cases = file["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| text(case, "kind") == "attestation");
        for case in cases {
            let proof: SignatureBytes = parsed(case, "selection_proof");
            let selected =
                is_attestation_aggregator(&proof, number(case, "committee_length"), target);
            assert_eq!(
                Some(selected),
                case["is_aggregator"].as_bool(),
                "{name}: {case}"
            );
        }
    }
}
