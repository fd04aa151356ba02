//! Blocks out and in.

use std::path::PathBuf;

use flotilla_types::{Fork, ListSizes, Proposal, SignedData, SignedProposal};
use serde_json::{Value, json};

use super::{
    memory::group,
    setup::{Setup, error},
};

const SIZES: &ListSizes = &ListSizes::MAINNET;

/// A block of Capella, full, of the first validator.
fn block() -> Value {
    let (root, hash) = (hex("01", 32), hex("02", 32));
    let payload = json!({
        "parent_hash": root, "fee_recipient": hex("ab", 20), "state_root": root,
        "receipts_root": root, "logs_bloom": hex("04", 256), "prev_randao": root,
        "block_number": "9", "gas_limit": "10", "gas_used": "11", "timestamp": "12",
        "extra_data": "0x05", "base_fee_per_gas": "13", "block_hash": hash,
        "transactions": ["0x060708"], "withdrawals": [],
    });
    json!({
        "slot": "7", "proposer_index": "7", "parent_root": root, "state_root": hash,
        "body": {
            "randao_reveal": hex("03", 96),
            "eth1_data": {"deposit_root": root, "deposit_count": "1", "block_hash": hash},
            "graffiti": hash, "proposer_slashings": [], "attester_slashings": [],
            "attestations": [], "deposits": [], "voluntary_exits": [],
            "bls_to_execution_changes": [],
            "sync_aggregate": {
                "sync_committee_bits": hex("01", 64), "sync_committee_signature": hex("03", 96),
            },
            "execution_payload": payload,
        },
    })
}

fn hex(byte: &str, count: usize) -> String {
    format!("0x{}", byte.repeat(count))
}

fn signed() -> SignedProposal {
    let json = json!({"message": block(), "signature": hex("09", 96)});
    SignedProposal::from_json(Fork::Capella, false, &json, SIZES).unwrap()
}

#[tokio::test]
async fn a_block_is_handed_out_in_both_encodings_with_its_headers() {
    let setup = Setup::new().await;
    let proposal = Proposal::from_json(Fork::Capella, false, &block(), SIZES).unwrap();
    *setup.api.block.lock().unwrap() = Some(proposal.clone());
    let path = format!(
        "/eth/v3/validator/blocks/7?randao_reveal={}&graffiti=",
        hex("01", 96)
    );
    for accept in ["application/json", "application/octet-stream"] {
        let response = setup
            .get(&path)
            .header("accept", accept)
            .send()
            .await
            .unwrap();
        let headers = response.headers();
        for (name, value) in [
            ("content-type", accept),
            ("eth-consensus-version", "capella"),
            ("eth-execution-payload-blinded", "false"),
            ("eth-execution-payload-value", "1"),
            ("eth-consensus-block-value", "1"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let body = response.bytes().await.unwrap();
        if accept == "application/json" {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["data"]["proposer_index"], "7");
            let of = |name: &str| body[name].clone();
            let head = [
                of("version"),
                of("execution_payload_blinded"),
                of("execution_payload_value"),
            ];
            assert_eq!(head, [json!("capella"), json!(false), json!("1")]);
            assert_eq!(of("consensus_block_value"), "1");
        } else {
            assert_eq!(body, proposal.to_ssz());
        }
    }
}

#[tokio::test]
async fn a_signed_block_is_taken_in_both_encodings_and_versions() {
    let setup = Setup::new().await;
    for path in [
        "/eth/v1/beacon/blocks",
        "/eth/v2/beacon/blocks?broadcast_validation=gossip",
    ] {
        let post = || setup.post(path).header("eth-consensus-version", "capella");
        let ssz = post().header("content-type", "application/octet-stream");
        for request in [
            post().json(&serde_json::to_value(signed().to_json(SIZES)).unwrap()),
            ssz.body(signed().to_ssz()),
        ] {
            assert_eq!(request.send().await.unwrap().status(), 200);
            let (validator, data) = setup.api.taken().pop().unwrap();
            assert_eq!(
                (validator, data),
                (group(0), SignedData::Proposer(signed()))
            );
        }
    }
    assert_eq!(setup.api.taken().len(), 4);
}

#[tokio::test]
async fn a_block_of_another_form_is_refused() {
    let setup = Setup::new().await;
    let post = |path| setup.post(path).header("eth-consensus-version", "capella");
    let json = serde_json::to_value(signed().to_json(SIZES)).unwrap();
    let (status, message, _) = error(post("/eth/v2/beacon/blinded_blocks").json(&json)).await;
    assert_eq!(
        (status, &*message),
        (400, "failed parsing json request body")
    );
    let ssz = post("/eth/v2/beacon/blocks").header("content-type", "application/octet-stream");
    let (status, message, _) = error(ssz.body("nonsense")).await;
    assert_eq!(
        (status, &*message),
        (415, "Cannot read the supplied content type.")
    );
    let (status, message, _) = error(post("/eth/v2/beacon/blocks")).await;
    assert_eq!((status, &*message), (400, "empty request body"));
    let mut foreign = json;
    foreign["message"]["proposer_index"] = json!("99");
    let (status, _, failures) = error(post("/eth/v2/beacon/blocks").json(&foreign)).await;
    assert_eq!((status, &failures[0]["index"]), (400, &json!(0)));
    assert!(setup.api.taken().is_empty());
}

#[tokio::test]
async fn blocks_of_the_vectors_are_understood_in_both_encodings() {
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors");
    let folder = std::env::var_os("FLOTILLA_VECTORS").map_or_else(|| shared.into(), PathBuf::from);
    if !folder.is_dir() {
        eprintln!("skipped: no vectors at {}", folder.display());
        return;
    }
    let setup = Setup::new().await;
    for (file, path) in [
        ("VersionedSignedProposal", "/eth/v2/beacon/blocks"),
        (
            "VersionedSignedBlindedProposal",
            "/eth/v2/beacon/blinded_blocks",
        ),
    ] {
        let file = format!("duties/TestJSONSerialisation_{file}.json.golden");
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        let mut json: Value = serde_json::from_slice(&bytes).unwrap();
        let fork = Fork::from_wire(json["version"].as_u64().unwrap()).unwrap();
        let mut block = json["block"].take();
        let blinded = path.ends_with("blinded_blocks");
        let message = match blinded {
            true => &mut block["message"],
            false => &mut block["signed_block"]["message"],
        };
        message["proposer_index"] = json!("8");
        let signed = SignedProposal::from_json(fork, blinded, &block, SIZES).unwrap();
        let post = || {
            setup
                .post(path)
                .header("eth-consensus-version", fork.name())
        };
        let ssz = post().header("content-type", "application/octet-stream");
        for request in [post().json(&block), ssz.body(signed.to_ssz())] {
            assert_eq!(request.send().await.unwrap().status(), 200, "{file}");
            let taken = setup.api.taken().pop().unwrap();
            assert_eq!(
                taken,
                (group(1), SignedData::Proposer(signed.clone())),
                "{file}"
            );
        }
    }
}
