//! Requests that are wrong, each with the field's own words.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::{
    setup::{Setup, error},
    signing::{ATTESTATIONS, single},
};

const DUTIES: &str = "/eth/v1/validator/duties/attester/3";

async fn refusal(request: RequestBuilder) -> (u16, String) {
    let (status, message, _) = error(request).await;
    (status, message)
}

fn told(status: u16, message: &str) -> (u16, String) {
    (status, message.to_owned())
}

#[tokio::test]
async fn bodies_that_are_missing_or_no_json_are_told() {
    let setup = Setup::new().await;
    let body = |text: &'static str| setup.post(DUTIES).body(text);
    assert_eq!(refusal(body("")).await, told(400, "empty request body"));
    for text in ["[", "{}", "[-1]", "[\"x\"]", "[1.5]", "null"] {
        let expected = told(400, "failed parsing json request body");
        assert_eq!(refusal(body(text)).await, expected, "{text}");
    }
}

#[tokio::test]
async fn ssz_where_json_is_due_is_415_so_that_clients_fall_back() {
    let setup = Setup::new().await;
    for path in [
        DUTIES,
        ATTESTATIONS,
        "/eth/v1/validator/beacon_committee_selections",
        "/eth/v2/validator/aggregate_and_proofs",
        "/eth/v1/beacon/pool/voluntary_exits",
    ] {
        let request = setup
            .post(path)
            .header("content-type", "application/octet-stream");
        let request = request.header("eth-consensus-version", "fulu").body("ssz");
        let expected = told(415, "Cannot read the supplied content type.");
        assert_eq!(refusal(request).await, expected, "{path}");
    }
    let request = setup
        .post(DUTIES)
        .header("content-type", "text/plain")
        .body("[1]");
    assert_eq!(
        refusal(request).await,
        told(415, "unsupported media type text/plain")
    );
    let request = setup
        .post(DUTIES)
        .header("content-type", "application/json; charset=utf-8");
    assert_eq!(request.body("[1]").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn forks_have_to_be_named_and_known() {
    let setup = Setup::new().await;
    for path in [
        ATTESTATIONS,
        "/eth/v2/beacon/blocks",
        "/eth/v2/validator/aggregate_and_proofs",
    ] {
        let request = setup.post(path).json(&json!([single(7, 5)]));
        let named = request
            .try_clone()
            .unwrap()
            .header("eth-consensus-version", "gloas");
        assert_eq!(
            refusal(request).await,
            told(400, "missing header Eth-Consensus-Version")
        );
        assert_eq!(
            refusal(named).await,
            told(400, "unknown consensus version [gloas]")
        );
    }
}

#[tokio::test]
async fn parameters_are_told_by_name() {
    let setup = Setup::new().await;
    let data = "/eth/v1/validator/attestation_data";
    let block = "/eth/v3/validator/blocks/5";
    for (path, message) in [
        (data.to_owned(), "missing query parameter slot"),
        (
            format!("{data}?slot=5"),
            "missing query parameter committee_index",
        ),
        (
            format!("{data}?slot=0x5&committee_index=1"),
            "invalid uint query parameter slot [0x5]",
        ),
        (
            "/eth/v1/validator/duties/proposer/head".to_owned(),
            "invalid uint path parameter epoch [head]",
        ),
        (
            block.to_owned(),
            "missing 0x-hex query parameter randao_reveal",
        ),
        (
            format!("{block}?randao_reveal=0xgg"),
            "invalid 0x-hex query parameter randao_reveal [0xgg]",
        ),
        (
            format!("{block}?randao_reveal=0x1234"),
            "invalid length for 0x-hex query parameter randao_reveal, expect 96 bytes",
        ),
        (
            format!("{block}?randao_reveal=0x{}", "00".repeat(96)),
            "randao reveal of no share",
        ),
    ] {
        assert_eq!(
            refusal(setup.get(&path)).await,
            told(400, message),
            "{path}"
        );
    }
}

#[tokio::test]
async fn lists_are_bounded_by_the_clusters_size() {
    let setup = Setup::new().await;
    let huge = json!(vec!["7"; 100_000]);
    let limit = (64 << 10) + 2 * 64;
    let expected = told(413, &format!("request body of more than {limit} bytes"));
    assert_eq!(refusal(setup.post(DUTIES).json(&huge)).await, expected);
    let many: Value = json!(vec!["12345"; 5_000]);
    assert_eq!(
        setup
            .post(DUTIES)
            .json(&many)
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn old_endpoints_are_404_and_never_passed_on() {
    let setup = Setup::new().await;
    for path in [
        "/eth/v1/validator/aggregate_attestation",
        "/eth/v2/validator/blocks/5",
        "/eth/v1/validator/blinded_blocks/5",
        "/teku_proposer_config",
        "/proposer_config",
    ] {
        assert_eq!(
            refusal(setup.get(path)).await,
            told(404, "NotFound"),
            "{path}"
        );
    }
    for path in [
        "/eth/v1/beacon/pool/attestations",
        "/eth/v1/validator/aggregate_and_proofs",
    ] {
        assert_eq!(
            refusal(setup.post(path)).await,
            told(404, "NotFound"),
            "{path}"
        );
    }
    assert!(setup.upstreams[0].asked().is_empty());
}
