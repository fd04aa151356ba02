//! Every duty over real sockets, done by a client that has the whole keys.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use flotilla_types::{
    AggregateAndProof, Attestation, AttesterDuty, ContributionAndProof, DomainType, DutyKind,
    Epoch, ExecutionAddress, Fork, Proposal, Root, SignatureBytes, SignedAggregateAndProof,
    SignedContributionAndProof, SignedValidatorRegistration, SignedVoluntaryExit, Slot,
    SyncAggregatorSelectionData, SyncCommitteeContribution, SyncCommitteeDuty,
    SyncCommitteeMessage, ValidatorIndex, ValidatorRegistration, VoluntaryExit,
    is_attestation_aggregator, is_sync_aggregator,
};
use serde_json::{Value, json};

use super::bench::{Bench, SIZES, TO, VALIDATORS, bench, secret, turn};
use crate::options::Misbehaviour;

#[tokio::test]
async fn a_proposal_in_json_becomes_the_head() {
    let bench = bench(turn(|slot| slot % 8 != 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    let (status, body) = bench.get(&bench.blocks_path(proposer)).await;
    assert_eq!(
        (status, &body["execution_payload_blinded"]),
        (200, &json!(false))
    );
    let proposal = Proposal::from_json(Fork::Fulu, false, &body["data"], &SIZES).unwrap();
    let block = bench.sign_block(proposal);
    let facts = *block.proposal.facts();
    assert_eq!((facts.graffiti, facts.fee_recipient), ([7; 32], Some(TO)));
    let signed = serde_json::to_value(block.to_json(&SIZES)).unwrap();
    for path in ["/eth/v2/beacon/blocks", "/eth/v1/beacon/blocks"] {
        let (status, body) = bench.post(path, signed.clone()).await;
        assert_eq!(status, 200, "{body}");
    }
    let (_, head) = bench.get("/eth/v1/beacon/headers/head").await;
    assert_eq!(head["data"]["root"], facts.root.to_string());
    assert_eq!(
        head["data"]["header"]["message"]["body_root"],
        facts.header.body_root.to_string()
    );
    let (_, by_root) = bench
        .get(&format!("/eth/v2/beacon/blocks/{}", facts.root))
        .await;
    assert_eq!(by_root["data"], signed["signed_block"]);
    let counts = bench.simulator.totals();
    assert_eq!((counts.rejected, counts.duplicates), (0, 1));
    for kind in [DutyKind::Proposer, DutyKind::Randao] {
        let results = bench.simulator.results_of(kind, bench.slot());
        assert_eq!(results[0].0, (proposer, 0));
        assert_eq!(results[0].1.unwrap().endpoint, 2);
    }
}

#[tokio::test]
async fn a_proposal_with_blobs_goes_both_ways_in_ssz() {
    let bench = bench(turn(|slot| slot % 8 == 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    let (headers, bytes) = bench.get_ssz(&bench.blocks_path(proposer)).await;
    assert_eq!(headers["eth-consensus-version"], "fulu");
    assert_eq!(headers["eth-execution-payload-blinded"], "false");
    let proposal = Proposal::from_ssz(Fork::Fulu, false, &bytes, &SIZES).unwrap();
    assert_eq!(proposal.facts().blobs, 1);
    let block = bench.sign_block(proposal);
    let status = bench
        .post_ssz("/eth/v2/beacon/blocks", block.to_ssz())
        .await;
    assert_eq!(status, 200);
    let (_, shown) = bench.get_ssz("/eth/v2/beacon/blocks/head").await;
    assert_eq!(&shown[100..], block.proposal.block());
}

#[tokio::test]
async fn a_registered_proposer_gets_a_blinded_block_and_a_boost_of_zero_a_local_one() {
    let bench = bench(turn(|slot| slot % 8 != 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    let message = ValidatorRegistration {
        fee_recipient: ExecutionAddress([9; 20]),
        gas_limit: 60_000_000,
        timestamp: 1_800_000_000,
        pubkey: bench.simulator.registry().key(proposer).unwrap(),
    };
    let domain = (DomainType::APPLICATION_BUILDER, Epoch(0));
    let registration = SignedValidatorRegistration {
        signature: bench.sign(proposer, domain, message.tree_hash_root()),
        message,
    };
    let path = "/eth/v1/validator/register_validator";
    assert_eq!(bench.post(path, json!([registration])).await.0, 200);
    let local = bench.blocks_path(proposer) + "&builder_boost_factor=0";
    let (_, body) = bench.get(&local).await;
    assert_eq!(body["execution_payload_blinded"], false);
    let (_, body) = bench.get(&bench.blocks_path(proposer)).await;
    assert_eq!(body["execution_payload_blinded"], true);
    let proposal = Proposal::from_json(Fork::Fulu, true, &body["data"], &SIZES).unwrap();
    let block = bench.sign_block(proposal);
    let signed = serde_json::to_value(block.to_json(&SIZES)).unwrap();
    let path = "/eth/v2/beacon/blinded_blocks";
    bench
        .server
        .faults()
        .misbehave(Some(Misbehaviour::BadBuilder));
    assert_eq!(bench.post(path, signed.clone()).await.0, 500);
    bench.server.faults().misbehave(None);
    assert_eq!(bench.post(path, signed).await.0, 200);
    assert_eq!(bench.simulator.head_root().1, block.proposal.facts().root);
}

#[tokio::test]
async fn a_late_builder_keeps_nobody_waiting_who_does_not_want_it() {
    let bench = bench(turn(|slot| slot % 8 != 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    bench
        .server
        .faults()
        .misbehave(Some(Misbehaviour::LateBuilder));
    let local = bench.blocks_path(proposer) + "&builder_boost_factor=0";
    assert_eq!(bench.get(&local).await.0, 200);
    let path = bench.blocks_path(proposer);
    let any = bench.get(&path);
    let waited = tokio::time::timeout(Duration::from_millis(300), any).await;
    assert!(waited.is_err());
}

#[tokio::test]
async fn a_block_with_a_bad_reveal_or_signature_is_refused() {
    let bench = bench(turn(|slot| slot % 8 != 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    let path = bench.blocks_path(proposer);
    let other = SignatureBytes(secret(0).sign(&[1; 32]).to_bytes());
    let bad = format!(
        "/eth/v3/validator/blocks/{}?randao_reveal={other}",
        bench.slot()
    );
    assert_eq!(bench.get(&bad).await.0, 400);
    let (_, body) = bench.get(&path).await;
    let proposal = Proposal::from_json(Fork::Fulu, false, &body["data"], &SIZES).unwrap();
    let mut block = bench.sign_block(proposal);
    block.signature = other;
    let signed = serde_json::to_value(block.to_json(&SIZES)).unwrap();
    let (status, body) = bench.post("/eth/v2/beacon/blocks", signed).await;
    assert_eq!((status, &body["failures"][0]["index"]), (400, &json!(0)));
    assert_eq!(bench.simulator.totals().faults["bad signature"], 1);
}

/// A slot and a duty of an attester in it that aggregates, with its proof.
async fn aggregator() -> (Bench, AttesterDuty, SignatureBytes) {
    for slot in 1..60 {
        let bench = bench(slot, 70).await;
        let epoch = bench.epoch();
        let duties = bench.simulator.duties(epoch);
        for duty in duties.values().filter(|duty| duty.slot == Slot(slot)) {
            let domain = (DomainType::SELECTION_PROOF, epoch);
            let proof = bench.sign(duty.validator_index, domain, duty.slot.tree_hash_root());
            if is_attestation_aggregator(&proof, duty.committee_length, 16) {
                let duty = *duty;
                return (bench, duty, proof);
            }
        }
    }
    panic!("nobody aggregates")
}

#[tokio::test]
async fn an_aggregate_is_served_and_taken_in_json_and_ssz() {
    let (bench, duty, selection_proof) = aggregator().await;
    let attestation = bench.attestation(&duty).await;
    let query = format!(
        "/eth/v2/validator/aggregate_attestation?slot={}&committee_index={}&attestation_data_root={}",
        duty.slot,
        duty.committee_index,
        attestation.data.tree_hash_root()
    );
    assert_eq!(bench.get(&query).await.0, 404);
    let path = "/eth/v2/beacon/pool/attestations";
    assert_eq!(bench.post(path, json!([attestation])).await.0, 200);
    let (_, body) = bench.get(&query).await;
    assert_eq!(body["version"], "fulu");
    let aggregate = Attestation::from_json(Fork::Fulu, &body["data"]).unwrap();
    let (_, bytes) = bench.get_ssz(&query).await;
    assert_eq!(Attestation::decode(Fork::Fulu, &bytes).unwrap(), aggregate);
    let message = AggregateAndProof {
        aggregator_index: duty.validator_index,
        aggregate,
        selection_proof,
    };
    let root = message.tree_hash_root(&SIZES).unwrap();
    let domain = (DomainType::AGGREGATE_AND_PROOF, bench.epoch());
    let signature = bench.sign(duty.validator_index, domain, root);
    let item = json!({ "message": message, "signature": signature });
    let path = "/eth/v2/validator/aggregate_and_proofs";
    let (status, body) = bench.post(path, json!([item])).await;
    assert_eq!(status, 200, "{body}");
    let signed = SignedAggregateAndProof::new(Fork::Fulu, message, signature, &SIZES).unwrap();
    // The list's one offset, and the item without the header that members of a cluster put before it.
    let mut bytes = 4_u32.to_le_bytes().to_vec();
    bytes.extend_from_slice(&signed.encode()[12..]);
    assert_eq!(bench.post_ssz(path, bytes).await, 200);
    let totals = bench.simulator.totals();
    assert_eq!((totals.rejected, totals.duplicates), (0, 1));
    let results = bench.simulator.results_of(DutyKind::Aggregator, duty.slot);
    assert!(
        results
            .iter()
            .any(|(part, arrival)| { part.0 == duty.validator_index && arrival.is_some() })
    );
}

/// A slot, and a member of the sync committee that is selected in it, with subcommittee and proof.
async fn contributor() -> (Bench, ValidatorIndex, u64, SignatureBytes) {
    for slot in 1..30 {
        let bench = bench(slot, 70).await;
        let path = format!("/eth/v1/validator/duties/sync/{}", bench.epoch());
        let (_, body) = bench.post(&path, bench.indices()).await;
        let duties: Vec<SyncCommitteeDuty> = serde_json::from_value(body["data"].clone()).unwrap();
        for duty in &duties {
            for subcommittee_index in duty.subcommittees(&SIZES) {
                let data = SyncAggregatorSelectionData {
                    slot: Slot(slot),
                    subcommittee_index,
                };
                let domain = (DomainType::SYNC_COMMITTEE_SELECTION_PROOF, bench.epoch());
                let proof = bench.sign(duty.validator_index, domain, data.tree_hash_root());
                if is_sync_aggregator(&proof, &SIZES) {
                    return (bench, duty.validator_index, subcommittee_index, proof);
                }
            }
        }
    }
    panic!("nobody is selected")
}

#[tokio::test]
async fn sync_messages_and_contributions_are_taken_in_json_and_ssz() {
    let (bench, validator_index, subcommittee, selection_proof) = contributor().await;
    let (slot, epoch) = (bench.slot(), bench.epoch());
    let (_, head) = bench.get("/eth/v1/beacon/blocks/head/root").await;
    let beacon_block_root: Root = serde_json::from_value(head["data"]["root"].clone()).unwrap();
    let message = SyncCommitteeMessage {
        slot,
        beacon_block_root,
        validator_index,
        signature: bench.sign(
            validator_index,
            (DomainType::SYNC_COMMITTEE, epoch),
            beacon_block_root,
        ),
    };
    let path = "/eth/v1/beacon/pool/sync_committees";
    assert_eq!(bench.post(path, json!([message])).await.0, 200);
    assert_eq!(bench.post_ssz(path, message.encode()).await, 200);
    let query = format!(
        "/eth/v1/validator/sync_committee_contribution?slot={slot}&subcommittee_index={subcommittee}&beacon_block_root={beacon_block_root}"
    );
    let (_, body) = bench.get(&query).await;
    let contribution = SyncCommitteeContribution::from_json(&body["data"], &SIZES).unwrap();
    let (_, bytes) = bench.get_ssz(&query).await;
    assert_eq!(
        SyncCommitteeContribution::decode(&bytes, &SIZES).unwrap(),
        contribution
    );
    let message = ContributionAndProof {
        aggregator_index: validator_index,
        contribution,
        selection_proof,
    };
    let domain = (DomainType::CONTRIBUTION_AND_PROOF, epoch);
    let signed = SignedContributionAndProof {
        signature: bench.sign(validator_index, domain, message.tree_hash_root()),
        message,
    };
    let path = "/eth/v1/validator/contribution_and_proofs";
    let (status, body) = bench.post(path, json!([signed])).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(bench.post_ssz(path, signed.encode()).await, 200);
    let totals = bench.simulator.totals();
    assert_eq!((totals.rejected, totals.duplicates), (0, 2));
}

#[tokio::test]
async fn a_validator_that_leaves_is_shown_exiting() {
    let bench = bench(9, 50).await;
    let validator_index = *bench.keys.keys().next().unwrap();
    let message = VoluntaryExit {
        epoch: Epoch(1),
        validator_index,
    };
    let domain = (DomainType::VOLUNTARY_EXIT, Epoch(1));
    let exit = SignedVoluntaryExit {
        message,
        signature: bench.sign(validator_index, domain, message.tree_hash_root()),
    };
    let path = "/eth/v1/beacon/pool/voluntary_exits";
    assert_eq!(bench.post_ssz(path, exit.encode_ssz()).await, 415);
    assert_eq!(bench.post(path, json!(exit)).await.0, 200);
    let of = format!("/eth/v1/beacon/states/head/validators?id={validator_index}");
    let (_, body) = bench.get(&of).await;
    assert_eq!(body["data"][0]["status"], "active_exiting");
    assert_eq!(body["data"][0]["validator"]["exit_epoch"], "3");
    let (_, body) = bench.get(&(of + "&status=active_ongoing")).await;
    assert_eq!(body["data"], json!([]));
}

#[tokio::test]
async fn proposer_duties_of_both_versions_differ_in_their_dependent_root() {
    let bench = bench(17, 50).await;
    let (_, one) = bench.get("/eth/v1/validator/duties/proposer/2").await;
    let (_, two) = bench.get("/eth/v2/validator/duties/proposer/2").await;
    assert_eq!(one["data"], two["data"]);
    let world = bench.simulator.world();
    let root = |slot| world.history().root_by(Slot(slot)).to_string();
    assert_eq!(one["dependent_root"], root(15));
    assert_eq!(two["dependent_root"], root(7));
}

#[tokio::test]
async fn a_middleware_must_join_selections_itself() {
    let bench = bench(9, 50).await;
    for path in [
        "/eth/v1/validator/beacon_committee_selections",
        "/eth/v1/validator/sync_committee_selections",
    ] {
        assert_eq!(bench.post(path, json!([])).await.0, 501);
    }
}

#[tokio::test]
async fn foreign_media_types_are_refused() {
    let bench = bench(9, 50).await;
    let pool = "/eth/v1/beacon/pool/sync_committees";
    assert_eq!(bench.send(pool, "text/plain", b"[]".to_vec()).await.0, 415);
    let duties = "/eth/v1/validator/duties/attester/1";
    assert_eq!(bench.post_ssz(duties, vec![0; 8]).await, 415);
    let subscriptions = "/eth/v1/validator/beacon_committee_subscriptions";
    assert_eq!(bench.post_ssz(subscriptions, vec![0; 8]).await, 415);
    assert_eq!(bench.post(subscriptions, json!([])).await.0, 200);
}

#[tokio::test]
async fn attesters_are_live_and_rewarded_in_a_block_that_holds_their_votes() {
    let bench = bench(9, 50).await;
    let duties = bench.simulator.duties(Epoch(1));
    let Some(duty) = duties.values().find(|duty| duty.slot == Slot(9)) else {
        panic!("the seed gives a duty in slot 9")
    };
    let attestation = bench.attestation(duty).await;
    let path = "/eth/v2/beacon/pool/attestations";
    assert_eq!(bench.post(path, json!([attestation])).await.0, 200);
    let (_, body) = bench
        .post("/eth/v1/validator/liveness/1", bench.indices())
        .await;
    let live: Vec<_> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|answer| answer["is_live"] == true)
        .collect();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0]["index"], duty.validator_index.to_string());
    let (status, body) = bench
        .post("/eth/v1/beacon/rewards/attestations/0", json!([]))
        .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        body["data"]["total_rewards"].as_array().unwrap().len(),
        usize::from(VALIDATORS)
    );
    let current = "/eth/v1/beacon/rewards/attestations/1";
    assert_eq!(bench.post(current, json!([])).await.0, 404);
}

#[tokio::test]
async fn a_fork_of_its_own_has_roots_that_nobody_else_has() {
    let bench = bench(9, 50).await;
    let data = "/eth/v1/validator/attestation_data?slot=9";
    let (_, truth) = bench.get(data).await;
    bench
        .server
        .faults()
        .misbehave(Some(Misbehaviour::WrongFork));
    let (_, lie) = bench.get(data).await;
    assert_ne!(
        lie["data"]["beacon_block_root"],
        truth["data"]["beacon_block_root"]
    );
    assert_ne!(
        lie["data"]["target"]["root"],
        truth["data"]["target"]["root"]
    );
    assert_eq!(
        lie["data"]["target"]["epoch"],
        truth["data"]["target"]["epoch"]
    );
    let header = |root: &Value| format!("/eth/v1/beacon/headers/{}", root.as_str().unwrap());
    let known = bench.get(&header(&lie["data"]["beacon_block_root"])).await;
    let unknown = bench
        .get(&header(&truth["data"]["beacon_block_root"]))
        .await;
    assert_eq!((known.0, unknown.0), (200, 404));
}

#[tokio::test]
async fn a_reorg_is_announced_with_other_dependent_roots() {
    // Half of slot 9 is over: that is in the hours of siblings.
    let bench = bench(9, 50).await;
    let duties = "/eth/v2/validator/duties/proposer/1";
    let (_, before) = bench.get(duties).await;
    let events = bench.server.url() + "/eth/v1/events?topics=chain_reorg";
    let mut stream = bench.client.get(events).send().await.unwrap();
    let root = bench.simulator.head_root().1;
    bench.server.faults().misbehave(Some(Misbehaviour::Reorg));
    let chunk = stream.chunk().await.unwrap().unwrap();
    let text = String::from_utf8(chunk.to_vec()).unwrap();
    assert!(text.contains("event: chain_reorg"), "{text}");
    assert!(
        text.contains(&format!("\"old_head_block\":\"{root}\"")),
        "{text}"
    );
    let (_, after) = bench.get(duties).await;
    assert_ne!(before["dependent_root"], after["dependent_root"]);
    assert_eq!(before["data"], after["data"]);
    let (_, head) = bench.get("/eth/v1/beacon/blocks/head/root").await;
    assert_ne!(head["data"]["root"], root.to_string());
}

#[tokio::test]
async fn heads_are_told_of_when_a_proposal_comes() {
    let bench = bench(turn(|slot| slot % 8 != 3), 1).await;
    let proposer = bench.prepared_proposer().await;
    let events = bench.server.url() + "/eth/v1/events?topics=head";
    let mut stream = bench.client.get(events).send().await.unwrap();
    let (_, body) = bench.get(&bench.blocks_path(proposer)).await;
    let proposal = Proposal::from_json(Fork::Fulu, false, &body["data"], &SIZES).unwrap();
    let block = bench.sign_block(proposal);
    let signed = serde_json::to_value(block.to_json(&SIZES)).unwrap();
    assert_eq!(bench.post("/eth/v2/beacon/blocks", signed).await.0, 200);
    let chunk = stream.chunk().await.unwrap().unwrap();
    let text = String::from_utf8(chunk.to_vec()).unwrap();
    let root = block.proposal.facts().root;
    assert!(text.contains(&format!("\"block\":\"{root}\"")), "{text}");
}
