//! What the chain is: configuration, forks, genesis.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flotilla_types::{DomainType, ForkSchedule, Root};
use serde_json::{Value, json};

use super::Endpoint;
use crate::chain::PERIOD_EPOCHS;

/// `GET /eth/v1/config/spec`: what [`ChainSpec`](flotilla_types::ChainSpec) writes, and further keys that clients look for.
pub(crate) async fn spec(State(endpoint): State<Endpoint>) -> Json<Value> {
    let spec = &endpoint.simulator.chain().spec;
    let mut config = constants();
    config.insert(
        "PRESET_BASE".into(),
        preset_base(spec.sizes.sync_committee_size).into(),
    );
    config.insert(
        "MIN_GENESIS_TIME".into(),
        endpoint
            .simulator
            .chain()
            .genesis_time
            .as_secs()
            .to_string(),
    );
    config.extend(spec.to_config());
    Json(json!({ "data": config }))
}

fn preset_base(sync_committee_size: u64) -> &'static str {
    if sync_committee_size == 32 {
        "minimal"
    } else {
        "mainnet"
    }
}

/// Keys that do not depend on the run.
fn constants() -> BTreeMap<String, String> {
    let domains = [
        ("DOMAIN_BEACON_PROPOSER", DomainType::BEACON_PROPOSER),
        ("DOMAIN_BEACON_ATTESTER", DomainType::BEACON_ATTESTER),
        ("DOMAIN_RANDAO", DomainType::RANDAO),
        ("DOMAIN_DEPOSIT", DomainType::DEPOSIT),
        ("DOMAIN_VOLUNTARY_EXIT", DomainType::VOLUNTARY_EXIT),
        ("DOMAIN_SELECTION_PROOF", DomainType::SELECTION_PROOF),
        (
            "DOMAIN_AGGREGATE_AND_PROOF",
            DomainType::AGGREGATE_AND_PROOF,
        ),
        ("DOMAIN_SYNC_COMMITTEE", DomainType::SYNC_COMMITTEE),
        (
            "DOMAIN_SYNC_COMMITTEE_SELECTION_PROOF",
            DomainType::SYNC_COMMITTEE_SELECTION_PROOF,
        ),
        (
            "DOMAIN_CONTRIBUTION_AND_PROOF",
            DomainType::CONTRIBUTION_AND_PROOF,
        ),
        (
            "DOMAIN_APPLICATION_BUILDER",
            DomainType::APPLICATION_BUILDER,
        ),
    ];
    let numbers = [
        ("GENESIS_DELAY", 0_u64),
        ("MIN_GENESIS_ACTIVE_VALIDATOR_COUNT", 1),
        ("MIN_ATTESTATION_INCLUSION_DELAY", 1),
        ("MIN_SEED_LOOKAHEAD", 1),
        ("MAX_SEED_LOOKAHEAD", 4),
        ("SHARD_COMMITTEE_PERIOD", 256),
        ("MIN_VALIDATOR_WITHDRAWABILITY_DELAY", 256),
        ("EPOCHS_PER_SYNC_COMMITTEE_PERIOD", PERIOD_EPOCHS),
        ("SYNC_COMMITTEE_SUBNET_COUNT", 4),
        ("TARGET_AGGREGATORS_PER_SYNC_SUBCOMMITTEE", 16),
        ("TARGET_COMMITTEE_SIZE", 128),
        ("PROPOSER_REORG_CUTOFF_BPS", 1667),
        ("EFFECTIVE_BALANCE_INCREMENT", 1_000_000_000),
        ("MAX_EFFECTIVE_BALANCE", 32_000_000_000),
        ("DEPOSIT_CHAIN_ID", 1337),
        ("DEPOSIT_NETWORK_ID", 1337),
    ];
    let domains = domains.map(|(key, domain)| (key.to_owned(), hex(&domain.0)));
    let numbers = numbers.map(|(key, number)| (key.to_owned(), number.to_string()));
    domains.into_iter().chain(numbers).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// `GET /eth/v1/config/fork_schedule`.
pub(crate) async fn fork_schedule(State(endpoint): State<Endpoint>) -> Json<Value> {
    Json(json!({ "data": schedule(&endpoint.simulator.chain().spec.forks) }))
}

fn schedule(forks: &ForkSchedule) -> Vec<Value> {
    let mut previous = forks.genesis_version();
    let step = |entry: &flotilla_types::ForkEntry| {
        let from = std::mem::replace(&mut previous, entry.version);
        json!({ "previous_version": from, "current_version": entry.version, "epoch": entry.epoch })
    };
    forks.entries().iter().map(step).collect()
}

/// `GET /eth/v1/beacon/states/{state}/fork`: the newest fork, since all are active from genesis.
pub(crate) async fn fork(State(endpoint): State<Endpoint>) -> Json<Value> {
    let newest = schedule(&endpoint.simulator.chain().spec.forks).pop();
    Json(json!({ "execution_optimistic": false, "finalized": false, "data": newest }))
}

/// `GET /eth/v1/beacon/genesis`.
pub(crate) async fn genesis(State(endpoint): State<Endpoint>) -> Json<Value> {
    let chain = endpoint.simulator.chain();
    Json(json!({ "data": {
        "genesis_time": chain.genesis_time.as_secs().to_string(),
        "genesis_validators_root": chain.genesis_validators_root,
        "genesis_fork_version": chain.spec.forks.genesis_version(),
    }}))
}

/// `GET /eth/v1/config/deposit_contract`: there is none.
pub(crate) async fn deposit_contract() -> Json<Value> {
    let address = hex(&Root([0; 32]).0[..20]);
    Json(json!({ "data": { "chain_id": "1337", "address": address } }))
}
