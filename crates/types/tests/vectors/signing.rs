//! Message roots, domains and signing roots of every kind of duty; aggregator selection.

use std::{collections::BTreeMap, time::Duration};

use flotilla_types::{
    Chain, ChainSpec, DomainType, DutyKind, ForkVersion, ListSizes, Proposal, Root, SignatureBytes,
    SignedData, Timestamp, is_attestation_aggregator, is_sync_aggregator, signing_root,
};
use serde_json::{Value, json};

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

/// The message with an empty signature, as it would be on its way between members.
fn signed(kind: DutyKind, message: &Value) -> SignedData {
    let signature = SignatureBytes::default();
    let object = match kind {
        DutyKind::Attester => {
            let attestation = json!({
                "aggregation_bits": "0x01", "data": message, "signature": signature,
                "committee_bits": "0x0100000000000000",
            });
            json!({"version": 6, "validator_index": "1", "attestation": attestation})
        }
        DutyKind::Randao => json!({"epoch": message["epoch"], "signature": signature}),
        DutyKind::PrepareAggregator => json!({
            "validator_index": "1", "slot": message["slot"], "selection_proof": signature,
        }),
        DutyKind::PrepareSyncContribution => json!({
            "validator_index": "1", "slot": message["slot"],
            "subcommittee_index": message["subcommittee_index"], "selection_proof": signature,
        }),
        DutyKind::Aggregator => json!({
            "version": 6,
            "aggregate_and_proof": {"message": message, "signature": signature},
        }),
        DutyKind::BuilderRegistration => json!({
            "version": 0,
            "registration": {"message": message, "signature": signature},
        }),
        DutyKind::SyncMessage => {
            let mut object = message.clone();
            object["signature"] = json!(signature);
            object
        }
        _ => json!({"message": message, "signature": signature}),
    };
    SignedData::decode(kind, object.to_string().as_bytes(), &ListSizes::MAINNET)
        .unwrap_or_else(|error| panic!("{kind}: {error} in {object}"))
}

#[test]
fn signing_roots_vectors() {
    for (name, file) in json_files("duties", "signing_roots") {
        let hoodi = chain(&file["meta"]);
        for vector in file["vectors"].as_array().unwrap() {
            let label = format!("{name}: {}", text(vector, "name"));
            let kind = DutyKind::from_name(text(vector, "duty")).unwrap();
            let signed = signed(kind, &vector["message"]);
            let root = signed.message_root();
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
                assert_eq!(
                    signed.signing_root(&hoodi),
                    parsed(vector, "signing_root"),
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
        for (kind, file) in [
            (DutyKind::Attester, "VersionedAttestation"),
            (DutyKind::SyncContribution, "SignedSyncContributionAndProof"),
            (DutyKind::SyncMessage, "SignedSyncMessage"),
            (DutyKind::Proposer, "VersionedSignedBlindedProposal"),
        ] {
            let file = format!("TestSSZSerialisation_{file}.ssz.golden");
            let signed = SignedData::decode(kind, &golden[&file], &ListSizes::MAINNET).unwrap();
            assert_eq!(signed.message_root(), roots[&file], "{name}: {file}");
        }
        let file = "TestSSZSerialisation_VersionedProposal.ssz.golden";
        let proposal = Proposal::decode(&golden[file], &ListSizes::MAINNET).unwrap();
        assert_eq!(proposal.facts().root, roots[file], "{name}: {file}");
    }
}

#[test]
fn aggregator_selection_vectors() {
    for (name, file) in json_files("duties", "aggregator_selection") {
        let spec = |key: &str| file["spec"][key].as_u64().unwrap();
        let sizes = ListSizes {
            sync_committee_size: spec("SYNC_COMMITTEE_SIZE"),
            sync_committee_subnet_count: spec("SYNC_COMMITTEE_SUBNET_COUNT"),
            target_aggregators_per_sync_subcommittee: spec(
                "TARGET_AGGREGATORS_PER_SYNC_SUBCOMMITTEE",
            ),
            ..ListSizes::MAINNET
        };
        for case in file["vectors"].as_array().unwrap() {
            let proof: SignatureBytes = parsed(case, "selection_proof");
            let selected = match text(case, "kind") {
                "attestation" => is_attestation_aggregator(
                    &proof,
                    number(case, "committee_length"),
                    spec("TARGET_AGGREGATORS_PER_COMMITTEE"),
                ),
                _ => is_sync_aggregator(&proof, &sizes),
            };
            assert_eq!(
                Some(selected),
                case["is_aggregator"].as_bool(),
                "{name}: {case}"
            );
        }
    }
}
