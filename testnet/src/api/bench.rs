//! A chain served over a real socket, and a client that has the whole keys.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_crypto::SecretKey;
use flotilla_types::{
    AttesterDuty, Chain, ChainSpec, DomainType, Epoch, ExecutionAddress, ForkVersion, ListSizes,
    Proposal, ProposerDuty, PublicKeyBytes, Root, SignatureBytes, SignedProposal,
    SingleAttestation, Slot, Timestamp, ValidatorIndex, signing_root,
};
use serde_json::{Value, json};

use super::*;
use crate::chain::{Config, Extras, Proposer, Proposers, Registry, Seed, now};

const SLOT: Duration = Duration::from_secs(3600);
pub(super) const VALIDATORS: u8 = 8;
pub(super) const SIZES: ListSizes = ListSizes::MINIMAL;
pub(super) const TO: ExecutionAddress = ExecutionAddress([5; 20]);
pub(super) const OCTETS: &str = "application/octet-stream";

pub(super) fn secret(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number + 1;
    SecretKey::from_bytes(&bytes).unwrap()
}

pub(super) fn public(number: u8) -> PublicKeyBytes {
    PublicKeyBytes(secret(number).public_key().to_bytes())
}

/// The chain, one endpoint, and a client with all keys.
pub(super) struct Bench {
    pub(super) simulator: Arc<Simulator>,
    pub(super) server: Server,
    pub(super) keys: BTreeMap<ValidatorIndex, SecretKey>,
    pub(super) client: reqwest::Client,
}

/// A chain in a slot of an hour, so many hundredths of it gone by.
pub(super) async fn bench(slot: u64, percent: u64) -> Bench {
    let spec = ChainSpec {
        sizes: SIZES,
        ..ChainSpec::mainnet_like(SLOT, 8, ForkVersion([0x10, 0, 0, 7]))
    };
    let gone = slot * SLOT.as_secs() + SLOT.as_secs() * percent / 100;
    let chain = Chain {
        spec,
        genesis_time: Timestamp::from_secs(now().as_secs() - gone),
        genesis_validators_root: Root([3; 32]),
    };
    let config = Config {
        chain,
        seed: Seed(1),
        validators: (0..VALIDATORS).map(public).collect(),
    };
    let extras = Extras {
        secrets: (0..VALIDATORS)
            .map(|number| Arc::new(secret(number)))
            .collect(),
        builder: true,
    };
    let simulator = Simulator::start_with(config, extras).unwrap();
    let server = Server::start(simulator.clone(), 2).await.unwrap();
    let index = |number| simulator.registry().index(&public(number)).unwrap();
    let keys = (0..VALIDATORS)
        .map(|number| (index(number), secret(number)))
        .collect();
    Bench {
        simulator,
        server,
        keys,
        client: crate::http::client(),
    }
}

/// A slot of the cluster for which this holds.
pub(super) fn turn(wanted: impl Fn(u64) -> bool) -> u64 {
    let keys: Vec<_> = (0..VALIDATORS).map(public).collect();
    let registry = Arc::new(Registry::new(Seed(1), &keys, 8, 4));
    let proposers = Proposers::new(registry, Seed(1));
    let mut slots = (1..200).filter(|slot| wanted(*slot));
    slots
        .find(|slot| matches!(proposers.of(Slot(*slot)), Proposer::Cluster(_)))
        .unwrap()
}

impl Bench {
    pub(super) fn sign(
        &self,
        validator: ValidatorIndex,
        (domain, epoch): (DomainType, Epoch),
        object: Root,
    ) -> SignatureBytes {
        let domain = self.simulator.chain().domain(domain, epoch);
        let root = signing_root(object, domain);
        SignatureBytes(self.keys[&validator].sign(&root.0).to_bytes())
    }

    pub(super) fn slot(&self) -> Slot {
        self.simulator.current_slot()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.simulator.chain().epoch_of(self.slot())
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let response = self
            .client
            .get(self.server.url() + path)
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub(super) async fn get_ssz(&self, path: &str) -> (reqwest::header::HeaderMap, Vec<u8>) {
        let request = self.client.get(self.server.url() + path);
        let accept = "application/octet-stream;q=1,application/json;q=0.9";
        let response = request.header("Accept", accept).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], OCTETS);
        let headers = response.headers().clone();
        (headers, response.bytes().await.unwrap().to_vec())
    }

    pub(super) async fn send(&self, path: &str, media: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self
            .client
            .post(self.server.url() + path)
            .header("Eth-Consensus-Version", "fulu")
            .header("Content-Type", media)
            .body(body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = serde_json::from_str(&response.text().await.unwrap());
        (status, body.unwrap_or_default())
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let media = "application/json";
        self.send(path, media, body.to_string().into_bytes()).await
    }

    pub(super) async fn post_ssz(&self, path: &str, body: Vec<u8>) -> u16 {
        self.send(path, OCTETS, body).await.0
    }

    pub(super) fn indices(&self) -> Value {
        json!(self.keys.keys().collect::<Vec<_>>())
    }

    /// The proposer of the current slot, as its duties say, prepared to be paid.
    pub(super) async fn prepared_proposer(&self) -> ValidatorIndex {
        let path = format!("/eth/v2/validator/duties/proposer/{}", self.epoch());
        let (_, body) = self.get(&path).await;
        let duties: Vec<ProposerDuty> = serde_json::from_value(body["data"].clone()).unwrap();
        let slot = self.slot();
        let duty = duties.iter().find(|duty| duty.slot == slot).unwrap();
        let preparation = json!([{
            "validator_index": duty.validator_index, "fee_recipient": TO.to_string(),
        }]);
        let path = "/eth/v1/validator/prepare_beacon_proposer";
        assert_eq!(self.post(path, preparation).await.0, 200);
        duty.validator_index
    }

    pub(super) fn blocks_path(&self, proposer: ValidatorIndex) -> String {
        let domain = (DomainType::RANDAO, self.epoch());
        let randao = self.sign(proposer, domain, self.epoch().tree_hash_root());
        let graffiti = Root([7; 32]);
        format!(
            "/eth/v3/validator/blocks/{}?randao_reveal={randao}&graffiti={graffiti}",
            self.slot()
        )
    }

    pub(super) fn sign_block(&self, proposal: Proposal) -> SignedProposal {
        let facts = *proposal.facts();
        let domain = (DomainType::BEACON_PROPOSER, self.epoch());
        SignedProposal {
            signature: self.sign(facts.header.proposer_index, domain, facts.root),
            proposal,
        }
    }

    /// The right attestation of a duty of the current slot.
    pub(super) async fn attestation(&self, duty: &AttesterDuty) -> SingleAttestation {
        let path = format!(
            "/eth/v1/validator/attestation_data?slot={}&committee_index=0",
            duty.slot
        );
        let (_, body) = self.get(&path).await;
        let data: flotilla_types::AttestationData =
            serde_json::from_value(body["data"].clone()).unwrap();
        let domain = (DomainType::BEACON_ATTESTER, data.target.epoch);
        SingleAttestation {
            committee_index: duty.committee_index,
            attester_index: duty.validator_index,
            data,
            signature: self.sign(duty.validator_index, domain, data.tree_hash_root()),
        }
    }
}
