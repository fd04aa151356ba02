//! What others have attested and signed: checked against what was asked, the fullest taken.

use std::time::Duration;

use flotilla_beacon::client::{
    AggregateQuery, BeaconNode, ContributionQuery, EndpointConfig, Reason, Timeouts,
};
use flotilla_types::{
    Attestation, AttestationData, Bitlist, CommitteeBits, CommitteeIndex, Fork, ListSizes, Root,
    SignatureBytes, Slot, SubcommitteeBits, SyncCommitteeContribution,
};
use serde_json::json;

use super::{node, timeouts};
use crate::upstream::{Reply, Server};

const SIZES: &ListSizes = &ListSizes::MAINNET;

fn data() -> AttestationData {
    AttestationData {
        slot: Slot(7),
        beacon_block_root: Root([3; 32]),
        ..AttestationData::default()
    }
}

fn query() -> AggregateQuery {
    AggregateQuery {
        slot: Slot(7),
        data_root: data().tree_hash_root(),
        committee: CommitteeIndex(2),
        fork: Fork::Fulu,
    }
}

/// With these bits of eight and this committee.
fn aggregate(bits: u8, committee: u64) -> Attestation {
    Attestation::Electra {
        aggregation_bits: Bitlist::from_bytes(vec![bits, 1]).unwrap(),
        data: data(),
        signature: SignatureBytes([1; 96]),
        committee_bits: CommitteeBits::one(committee).unwrap(),
    }
}

fn in_json(aggregate: &Attestation) -> Reply {
    Reply::ok(&json!({ "version": "fulu", "data": aggregate }))
}

fn contribution(bits: u8) -> SyncCommitteeContribution {
    let mut bytes = [0; 16];
    bytes[0] = bits;
    SyncCommitteeContribution {
        slot: Slot(7),
        beacon_block_root: Root([3; 32]),
        subcommittee_index: 1,
        aggregation_bits: SubcommitteeBits::from_bytes(&bytes, SIZES).unwrap(),
        signature: SignatureBytes([1; 96]),
    }
}

fn contribution_query() -> ContributionQuery {
    ContributionQuery {
        slot: Slot(7),
        subcommittee: 1,
        root: Root([3; 32]),
    }
}

#[tokio::test]
async fn attestation_data_of_another_committee_is_refused() {
    let data = AttestationData {
        index: CommitteeIndex(3),
        ..data()
    };
    let server = Server::always(Reply::ssz(data.encode())).await;
    let node = node(&[&server]);
    let asked = |committee| node.attestation_data(Slot(7), CommitteeIndex(committee));
    assert_eq!(asked(3).await.unwrap(), data);
    let error = asked(2).await.unwrap_err().to_string();
    assert!(
        error.contains("committee 3, asked for committee 2"),
        "{error}"
    );
}

#[tokio::test]
async fn an_aggregate_is_read_in_either_encoding() {
    let expected = aggregate(0b101, 2);
    let ssz = Reply::ssz(expected.encode()).with("eth-consensus-version", "fulu");
    for reply in [in_json(&expected), ssz] {
        let server = Server::always(reply).await;
        let node = node(&[&server]);
        let found = node
            .aggregate_attestation(query(), SIZES)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (found.fork, found.aggregate),
            (Some(Fork::Fulu), expected.clone())
        );
        let root = data().tree_hash_root();
        let path = format!(
            "/base/eth/v2/validator/aggregate_attestation?slot=7&attestation_data_root={root}&committee_index=2"
        );
        assert_eq!(server.asked()[0].path, path);
    }
}

#[tokio::test]
async fn an_aggregate_of_something_else_is_refused() {
    let server = Server::always(in_json(&aggregate(1, 2))).await;
    let node = node(&[&server]);
    for (asked, problem) in [
        (
            AggregateQuery {
                slot: Slot(8),
                ..query()
            },
            "slot 7, asked for slot 8",
        ),
        (
            AggregateQuery {
                data_root: Root([9; 32]),
                ..query()
            },
            "asked for data root",
        ),
        (
            AggregateQuery {
                committee: CommitteeIndex(3),
                ..query()
            },
            "committee 2, asked for",
        ),
        (
            AggregateQuery {
                fork: Fork::Electra,
                ..query()
            },
            "asked for fork electra",
        ),
    ] {
        let error = node.aggregate_attestation(asked, SIZES).await.unwrap_err();
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{error}"
        );
        assert!(error.to_string().contains(problem), "{problem}: {error}");
    }
}

#[tokio::test]
async fn an_aggregate_of_nobody_or_cut_short_is_refused() {
    let mut cut = aggregate(1, 2).encode();
    cut.pop();
    for reply in [in_json(&aggregate(0, 2)), Reply::ssz(cut)] {
        let server = Server::always(reply).await;
        let error = node(&[&server])
            .aggregate_attestation(query(), SIZES)
            .await
            .unwrap_err();
        assert!(
            matches!(error.failures[0].reason, Reason::Malformed(_)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn the_aggregate_of_the_most_attesters_is_taken() {
    let (fewer, more, broken) = (
        Server::always(in_json(&aggregate(0b1, 2))).await,
        Server::always(in_json(&aggregate(0b111, 2))).await,
        Server::always(Reply::html(200)).await,
    );
    let node = node(&[&fewer, &broken, &more]);
    let found = node
        .aggregate_attestation(query(), SIZES)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.aggregate, aggregate(0b111, 2));
}

#[tokio::test]
async fn an_aggregate_that_nobody_has_yet_is_told_from_a_failure() {
    let (missing, broken) = (
        Server::always(Reply::json(404, "{}")).await,
        Server::always(Reply::json(500, "")).await,
    );
    let missing = node(&[&missing, &broken]);
    assert_eq!(
        missing.aggregate_attestation(query(), SIZES).await.unwrap(),
        None
    );
    assert!(
        node(&[&broken])
            .aggregate_attestation(query(), SIZES)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_hanging_primary_does_not_keep_the_fallback_from_being_asked() {
    let hanging = Server::always(Reply::Hang(Vec::new())).await;
    let fallback = Server::always(in_json(&aggregate(1, 2))).await;
    let endpoints = [
        EndpointConfig::primary(hanging.url()),
        EndpointConfig::fallback(fallback.url()),
    ];
    let timeouts = Timeouts {
        query: Duration::from_secs(2),
        ..timeouts()
    };
    let node = BeaconNode::with_endpoints(&endpoints, timeouts).unwrap();
    let asking = node.clone();
    // On a task of its own, as the node does it.
    let asked = async move { asking.aggregate_attestation(query(), SIZES).await };
    let found = tokio::spawn(asked).await.unwrap().unwrap();
    assert_eq!(found.unwrap().aggregate, aggregate(1, 2));
    assert!(node.is_using_fallback());
}

#[tokio::test]
async fn the_contribution_of_the_most_members_is_taken() {
    let reply = |bits| Reply::ok(&json!({ "data": contribution(bits) }));
    let (fewer, more) = (
        Server::always(reply(1)).await,
        Server::always(Reply::ssz(contribution(3).encode())).await,
    );
    let node = node(&[&fewer, &more]);
    let asked = contribution_query();
    let found = node
        .sync_committee_contribution(asked, SIZES)
        .await
        .unwrap();
    assert_eq!(found, Some(contribution(3)));
    let path = format!(
        "/base/eth/v1/validator/sync_committee_contribution?slot=7&subcommittee_index=1&beacon_block_root={}",
        Root([3; 32])
    );
    assert_eq!(fewer.asked()[0].path, path);
}

#[tokio::test]
async fn a_contribution_of_something_else_is_refused() {
    let server = Server::always(Reply::ok(&json!({ "data": contribution(1) }))).await;
    let node = node(&[&server]);
    let asked = contribution_query();
    for (asked, problem) in [
        (
            ContributionQuery {
                slot: Slot(8),
                ..asked
            },
            "asked for slot 8",
        ),
        (
            ContributionQuery {
                subcommittee: 2,
                ..asked
            },
            "asked for subcommittee 2",
        ),
        (
            ContributionQuery {
                root: Root([4; 32]),
                ..asked
            },
            "asked for block root",
        ),
    ] {
        let error = node
            .sync_committee_contribution(asked, SIZES)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(problem), "{problem}: {error}");
    }
    let minimal = node
        .sync_committee_contribution(asked, &ListSizes::MINIMAL)
        .await;
    assert!(minimal.is_err(), "bits of another preset");
}
