//! Round trips over real sockets.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use flotilla_crypto::SecretKey;
use flotilla_types::{
    AttestationData, AttesterDuty, Chain, ChainSpec, DomainType, Epoch, ForkVersion, ListSizes,
    PublicKeyBytes, Root, SignatureBytes, SingleAttestation, Slot, Timestamp, signing_root,
};
use serde_json::{Value, json};

use super::*;
use crate::chain::{Config, Seed, now};

const SLOT: Duration = Duration::from_secs(3600);

fn secret(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number + 1;
    SecretKey::from_bytes(&bytes).unwrap()
}

/// A chain in the middle of slot 9 (of an hour each), four validators, and one endpoint.
async fn serve() -> (Arc<Simulator>, Server) {
    serve_sizes(ListSizes::MAINNET).await
}

async fn serve_sizes(sizes: ListSizes) -> (Arc<Simulator>, Server) {
    let spec = ChainSpec {
        sizes,
        ..ChainSpec::mainnet_like(SLOT, 8, ForkVersion([0x10, 0, 0, 7]))
    };
    let genesis = now().as_secs() - 9 * SLOT.as_secs() - SLOT.as_secs() / 2;
    let chain = Chain {
        spec,
        genesis_time: Timestamp::from_secs(genesis),
        genesis_validators_root: Root([3; 32]),
    };
    let validators = (0..4)
        .map(|number| PublicKeyBytes(secret(number).public_key().to_bytes()))
        .collect();
    let simulator = Simulator::start(Config {
        chain,
        seed: Seed(1),
        validators,
    })
    .unwrap();
    let server = Server::start(simulator.clone(), 2).await.unwrap();
    (simulator, server)
}

fn client() -> reqwest::Client {
    crate::http::client()
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    let response = client().get(server.url() + path).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn post(server: &Server, path: &str, body: Value) -> (u16, Value) {
    let request = client()
        .post(server.url() + path)
        .header("Eth-Consensus-Version", "fulu")
        .body(body.to_string());
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
    )
}

/// The signed attestation of the first duty of the current epoch whose slot has begun.
fn attestation(simulator: &Simulator) -> SingleAttestation {
    let duties = simulator.duties(Epoch(0));
    let duty = duties.values().find(|duty| duty.slot > Slot(0)).unwrap();
    let signer = (0..4)
        .map(secret)
        .find(|key| key.public_key().to_bytes() == duty.pubkey.0)
        .unwrap();
    let data = simulator
        .world()
        .history()
        .attestation_data(duty.slot, duty.slot);
    let domain = simulator
        .chain()
        .domain(DomainType::BEACON_ATTESTER, data.target.epoch);
    SingleAttestation {
        committee_index: duty.committee_index,
        attester_index: duty.validator_index,
        data,
        signature: SignatureBytes(
            signer
                .sign(&signing_root(data.tree_hash_root(), domain).0)
                .to_bytes(),
        ),
    }
}

#[tokio::test]
async fn the_served_spec_reads_back_as_the_chains() {
    let (simulator, server) = serve().await;
    let (status, body) = get(&server, "/eth/v1/config/spec").await;
    assert_eq!(status, 200);
    let config = serde_json::from_value(body["data"].clone()).unwrap();
    assert_eq!(
        ChainSpec::from_config(&config).unwrap(),
        simulator.chain().spec
    );
    assert_eq!(body["data"]["SECONDS_PER_SLOT"], "3600");
    assert_eq!(body["data"]["DOMAIN_BEACON_ATTESTER"], "0x01000000");
}

#[tokio::test]
async fn the_minimal_preset_shows_in_the_spec_and_bounds_committees() {
    let (simulator, server) = serve_sizes(ListSizes::MINIMAL).await;
    let (_, body) = get(&server, "/eth/v1/config/spec").await;
    assert_eq!(body["data"]["PRESET_BASE"], "minimal");
    let config = serde_json::from_value(body["data"].clone()).unwrap();
    assert_eq!(
        ChainSpec::from_config(&config).unwrap(),
        simulator.chain().spec
    );
    let path = "/eth/v1/validator/attestation_data?slot=9&committee_index=4";
    assert_eq!(get(&server, path).await.0, 400);
}

#[tokio::test]
async fn genesis_and_forks_are_served() {
    let (_, server) = serve().await;
    let (_, genesis) = get(&server, "/eth/v1/beacon/genesis").await;
    assert_eq!(genesis["data"]["genesis_fork_version"], "0x10000007");
    let (_, forks) = get(&server, "/eth/v1/config/fork_schedule").await;
    let forks = forks["data"].as_array().unwrap();
    assert_eq!(forks[0]["previous_version"], forks[0]["current_version"]);
    assert_eq!(forks[1]["previous_version"], forks[0]["current_version"]);
}

#[tokio::test]
async fn validators_are_found_by_key_and_index_and_strangers_left_out() {
    let (simulator, server) = serve().await;
    let (index, key) = simulator.registry().members().next().unwrap();
    let ids = json!({ "ids": [key, PublicKeyBytes([7; 48])] });
    let (_, by_key) = post(&server, "/eth/v1/beacon/states/head/validators", ids).await;
    assert_eq!(by_key["data"].as_array().unwrap().len(), 1);
    assert_eq!(by_key["data"][0]["index"], index.to_string());
    let (_, by_index) = get(
        &server,
        &format!("/eth/v1/beacon/states/9/validators?id={index}&status=active"),
    )
    .await;
    assert_eq!(by_index["data"], by_key["data"]);
    let (status, _) = get(&server, "/eth/v1/beacon/states/head/validators?id=0xzz").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn duties_are_served_for_asked_validators_up_to_the_next_epoch() {
    let (simulator, server) = serve().await;
    let (index, _) = simulator.registry().members().next().unwrap();
    let (_, body) = post(
        &server,
        "/eth/v1/validator/duties/attester/2",
        json!([index]),
    )
    .await;
    let duties: Vec<AttesterDuty> = serde_json::from_value(body["data"].clone()).unwrap();
    assert_eq!(duties, [simulator.duties(Epoch(2))[&index]]);
    assert_eq!(
        body["dependent_root"],
        simulator.world().history().root_by(Slot(7)).to_string()
    );
    let (status, _) = post(
        &server,
        "/eth/v1/validator/duties/attester/3",
        json!([index]),
    )
    .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn attestation_data_comes_in_json_and_ssz_and_not_for_the_future() {
    let (simulator, server) = serve().await;
    let path = "/eth/v1/validator/attestation_data?committee_index=0&slot=";
    let (_, body) = get(&server, &format!("{path}9")).await;
    let expected = simulator
        .world()
        .history()
        .attestation_data(Slot(9), Slot(9));
    assert_eq!(
        serde_json::from_value::<AttestationData>(body["data"].clone()).unwrap(),
        expected
    );
    let accept = "application/octet-stream;q=1,application/json;q=0.9";
    let ssz = client()
        .get(format!("{}{path}9", server.url()))
        .header("Accept", accept)
        .send()
        .await
        .unwrap();
    assert_eq!(
        AttestationData::decode(&ssz.bytes().await.unwrap()).unwrap(),
        expected
    );
    assert_eq!(get(&server, &format!("{path}10")).await.0, 400);
}

#[tokio::test]
async fn a_valid_attestation_is_accepted_and_a_bad_one_named_by_its_position() {
    let (simulator, server) = serve().await;
    let path = "/eth/v2/beacon/pool/attestations";
    let good = attestation(&simulator);
    assert_eq!(post(&server, path, json!([good])).await.0, 200);
    let mut bad = good;
    bad.signature.0[5] ^= 1;
    let (status, body) = post(&server, path, json!([good, bad])).await;
    assert_eq!((status, &body["failures"][0]["index"]), (400, &json!(1)));
    let totals = simulator.totals();
    assert_eq!(
        (totals.duplicates, totals.rejected, totals.slashable),
        (1, 1, 0)
    );
    let results = simulator.results(good.data.slot);
    assert_eq!(results[&good.attester_index].unwrap().endpoint, 2);
}

#[tokio::test]
async fn ssz_submissions_are_read_too() {
    let (simulator, server) = serve().await;
    let request = client()
        .post(server.url() + "/eth/v2/beacon/pool/attestations")
        .header("Eth-Consensus-Version", "fulu")
        .header("Content-Type", "application/octet-stream")
        .body(attestation(&simulator).encode());
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(simulator.totals().rejected, 0);
}

#[tokio::test]
async fn a_submission_must_name_the_fork() {
    let (_, server) = serve().await;
    let url = server.url() + "/eth/v2/beacon/pool/attestations";
    let missing = client().post(&url).body("[]").send().await.unwrap();
    assert_eq!(missing.status().as_u16(), 400);
    let wrong = client()
        .post(&url)
        .header("Eth-Consensus-Version", "deneb")
        .body("[]")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status().as_u16(), 400);
}

#[tokio::test]
async fn unknown_paths_say_so() {
    let (_, server) = serve().await;
    let (status, body) = get(&server, "/eth/v2/node/version").await;
    assert_eq!((status, &body["code"]), (404, &json!(404)));
}

#[tokio::test]
async fn fee_recipients_and_registrations_are_checked() {
    use flotilla_cluster::Address;
    use flotilla_cluster::registration::RegistrationMessage;
    use flotilla_types::SignedValidatorRegistration;

    let (simulator, server) = serve().await;
    let key = secret(1);
    let public_key = PublicKeyBytes(key.public_key().to_bytes());
    let index = simulator.registry().index(&public_key).unwrap();
    let prepare = "/eth/v1/validator/prepare_beacon_proposer";
    let preparation = |address: Address| json!([{ "validator_index": index, "fee_recipient": address.to_string() }]);
    assert_eq!(
        post(&server, prepare, preparation(Address([1; 20])))
            .await
            .0,
        200
    );
    assert_eq!(
        post(&server, prepare, preparation(Address::default()))
            .await
            .0,
        400
    );

    let register = "/eth/v1/validator/register_validator";
    let message = RegistrationMessage {
        fee_recipient: Address([1; 20]),
        gas_limit: 60_000_000,
        timestamp: 1_800_000_000,
        public_key,
    };
    let by = |signer: &SecretKey| {
        let signed = message.clone().sign(signer, ForkVersion([0x10, 0, 0, 7]));
        json!([SignedValidatorRegistration::from(&signed)])
    };
    assert_eq!(post(&server, register, by(&key)).await.0, 200);
    let (status, body) = post(&server, register, by(&secret(2))).await;
    assert_eq!(status, 400);
    assert!(
        body["message"].as_str().unwrap().contains("did not sign"),
        "{body}"
    );
    assert_eq!(simulator.totals().rejected, 2);
}

#[tokio::test]
async fn a_misbehaving_endpoint_is_wrong_until_it_is_right_again() {
    use crate::options::Misbehaviour;

    let (_, server) = serve().await;
    let asked = |path: &'static str| {
        let request = client().get(server.url() + path).send();
        async { request.await.unwrap() }
    };
    let (syncing, data) = (
        "/eth/v1/node/syncing",
        "/eth/v1/validator/attestation_data?slot=9",
    );
    server.faults().misbehave(Some(Misbehaviour::Lagging));
    assert_eq!(get(&server, syncing).await.1["data"]["is_syncing"], true);
    assert_eq!(asked(data).await.status(), 503);
    server.faults().misbehave(Some(Misbehaviour::Errors));
    assert_eq!(asked(syncing).await.status(), 500);
    server.faults().misbehave(Some(Misbehaviour::Garbage));
    assert_eq!(get(&server, syncing).await.1["version"], 7);
    server.faults().misbehave(Some(Misbehaviour::Endless));
    let mut endless = asked(syncing).await;
    for _ in 0..100 {
        assert!(endless.chunk().await.unwrap().is_some());
    }
    server.faults().misbehave(None);
    assert_eq!(get(&server, syncing).await.1["data"]["is_syncing"], false);
}
