#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::future::Future;

use flotilla_duty::Outcome;
use flotilla_duty::io::{Item, Stages};
use flotilla_duty::outcome::{Fate, ItemOutcome, Reason, Step};
use flotilla_types::{Duty, PeerIndex, PublicKeyBytes, Slot, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::*;

fn outcome() -> Outcome {
    let at = |millis| Some(Timestamp::from_millis(millis));
    let fate = Fate::Missed {
        step: Step::Exchange,
        reason: Reason::TooFewPartials { have: 2, needed: 3 },
        peers: vec![PeerIndex::new(2), PeerIndex::new(3)],
    };
    let missed = ItemOutcome {
        quorum: None,
        aggregated: None,
        submitted: None,
        fate,
    };
    let submitted = ItemOutcome {
        quorum: at(1_004_100),
        aggregated: at(1_004_110),
        submitted: at(1_004_120),
        fate: Fate::Submitted,
    };
    Outcome {
        duty: Duty::attester(Slot(7)),
        due: Timestamp::from_millis(1_004_000),
        round: Some(1),
        leader: Some(PeerIndex::new(0)),
        stages: Stages {
            fetched: at(1_004_010),
            agreed: at(1_004_050),
            recorded: at(1_004_055),
            signed: None,
        },
        items: BTreeMap::from([
            (Item::whole(PublicKeyBytes([1; 48])), submitted),
            (Item::whole(PublicKeyBytes([2; 48])), missed),
        ]),
    }
}

struct World {
    address: SocketAddr,
    readiness: watch::Sender<Readiness>,
    status: watch::Sender<Status>,
    outcomes: OutcomeStream,
}

/// Runs `test` against a served world; the server stops with it.
async fn with_server<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let (readiness, readiness_receiver) = watch::channel(Readiness::default());
    let (status, status_receiver) = watch::channel(Status::default());
    let outcomes = OutcomeStream::default();
    let sources = Sources {
        telemetry: Telemetry::new(),
        readiness: readiness_receiver,
        status: status_receiver,
        outcomes: outcomes.clone(),
    };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), sources)
        .await
        .unwrap();
    let world = World {
        address: server.address().unwrap(),
        readiness,
        status,
        outcomes,
    };
    let stop = CancellationToken::new();
    let stopper = stop.clone();
    let (served, ()) = tokio::join!(server.run(stop), async {
        test(world).await;
        stopper.cancel();
    });
    served.unwrap();
}

async fn request(address: SocketAddr, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(stream)
}

async fn fetch(address: SocketAddr, path: &str) -> String {
    let mut text = String::new();
    request(address, path)
        .await
        .read_to_string(&mut text)
        .await
        .unwrap();
    text
}

/// The next line that is a JSON object; chunk sizes and headers are not.
async fn json_line(reader: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert_ne!(
            reader.read_line(&mut line).await.unwrap(),
            0,
            "the stream ended"
        );
        if line.starts_with('{') {
            return serde_json::from_str(&line).unwrap();
        }
    }
}

/// Reads the headers, after which the reader is known to be subscribed.
async fn headers(reader: &mut BufReader<TcpStream>) -> String {
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut text).await.unwrap(), 0);
    }
    text
}

#[tokio::test]
async fn health_and_metrics_are_served() {
    with_server(|world| async move {
        assert!(fetch(world.address, "/livez").await.ends_with("ok"));
        let unready = fetch(world.address, "/readyz").await;
        assert!(
            unready.starts_with("HTTP/1.1 500")
                && unready.contains("ready check uninitialised: wait"),
            "{unready}"
        );
        world.readiness.send_replace(Readiness::Ready);
        assert!(
            fetch(world.address, "/readyz")
                .await
                .starts_with("HTTP/1.1 200")
        );
        assert!(
            fetch(world.address, "/metrics")
                .await
                .contains("process_resident_memory_bytes")
        );
        world.status.send_modify(|status| status.pid = 77);
        assert!(
            fetch(world.address, "/flotilla/status")
                .await
                .contains("\"pid\":77")
        );
    })
    .await;
}

#[tokio::test]
async fn outcomes_are_streamed_as_agreed() {
    with_server(|world| async move {
        world.outcomes.tell("abcdef0", Kind::Ended, &outcome()); // Nobody reads yet.
        let mut reader = request(world.address, "/flotilla/outcomes").await;
        assert!(headers(&mut reader).await.contains("application/x-ndjson"));
        world.outcomes.tell("abcdef0", Kind::Late, &outcome());
        let line = json_line(&mut reader).await;
        let expected = serde_json::json!({
            "kind": "late", "cluster": "abcdef0", "slot": 7, "duty": "attester", "due_ms": 1_004_000, "round": 1, "leader": 0,
            "stages_ms": {"fetched": 10.0, "agreed": 50.0, "record": 55.0}, "slowest": {"step": "exchange", "ms": 45.0},
            "validators": [
                {"pubkey": PublicKeyBytes([1; 48]), "fate": "submitted", "quorum": 100.0, "aggregated": 110.0, "submitted": 120.0},
                {"pubkey": PublicKeyBytes([2; 48]), "fate": "missed", "step": "exchange",
                 "reason": "2 of 3 partial signatures", "peers": [2, 3]},
            ],
        });
        assert_eq!(line, expected);
    })
    .await;
}

#[tokio::test]
async fn reader_that_lags_is_cut_off_with_a_word() {
    with_server(|world| async move {
        let mut reader = request(world.address, "/flotilla/outcomes").await;
        headers(&mut reader).await;
        // No await in between: the server cannot read along.
        for _ in 0..1100 {
            world.outcomes.tell("abcdef0", Kind::Ended, &outcome());
        }
        let last = json_line(&mut reader).await;
        assert_eq!(
            (&last["kind"], last["lost"].as_u64() > Some(0)),
            (&Value::from("cut_off"), true),
            "{last}"
        );
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn readers_beyond_the_bound_are_turned_away() {
    with_server(|world| async move {
        let mut readers = Vec::new();
        for _ in 0..16 {
            let mut reader = request(world.address, "/flotilla/outcomes").await;
            headers(&mut reader).await;
            readers.push(reader);
        }
        assert!(
            fetch(world.address, "/flotilla/outcomes")
                .await
                .starts_with("HTTP/1.1 503")
        );
    })
    .await;
}

#[tokio::test]
async fn taken_address_is_told_with_the_next_step() {
    with_server(|world| async move {
        let sources = Sources {
            telemetry: Telemetry::new(),
            readiness: world.readiness.subscribe(),
            status: world.status.subscribe(),
            outcomes: world.outcomes.clone(),
        };
        let error = Server::bind(world.address, sources)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("in use") && error.contains("--monitoring-address"),
            "{error}"
        );
    })
    .await;
}
