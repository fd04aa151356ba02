//! What the validator API server adds to a beacon node's own answer, when it only passes a question on.
//!
//! The same question goes straight to a stand-in node and through the server, in turns and over kept connections, so that
//! both see the same machine; the difference of the two distributions is the server's.
#![allow(clippy::print_stdout)]

use std::{
    future::{Future, pending, ready},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes};
use flotilla_beacon::{
    client::{BeaconNode, Forwarder, Timeouts},
    server::{
        ApiError, Combining, Config, Duties, KeyTable, Limits, Observer, Partial, Roster, Served,
        Server, SignError, ValidatorApi, ValidatorState,
    },
};
use flotilla_types::{
    AggregateValue, AttestationData, AttesterDuty, Chain, ChainSpec, CommitteeIndex, Epoch,
    ForkVersion, PeerIndex, Proposal, ProposerDuty, PublicKeyBytes, Root, SignatureBytes, Slot,
    SyncCommitteeContribution, SyncCommitteeDuty, Timestamp, ValidatorIndex,
};
use reqwest::Client;
use tokio::net::TcpListener;

const TIMEOUT: Duration = Duration::from_secs(10);
const PATH: &str = "/eth/v1/config/spec";

#[tokio::main]
async fn main() {
    // `cargo bench` says so; `cargo test --benches` only wants to see it run.
    let full = std::env::args().any(|argument| argument == "--bench");
    let rounds = if full { 5_000 } else { 10 };
    // Only the first call in a process installs it; nobody has before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for bytes in [4 << 10, 256 << 10] {
        let node = node(bytes).await;
        let server = server(node).await;
        for clients in [1, 8] {
            compare(bytes, clients, rounds / clients, node, server).await;
        }
    }
}

async fn compare(
    bytes: usize,
    clients: usize,
    rounds: usize,
    node: SocketAddr,
    server: SocketAddr,
) {
    let asking = (0..clients).map(|_| tokio::spawn(ask(rounds, [node, server])));
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for client in asking.collect::<Vec<_>>() {
        let [first, second] = client.await.expect("a client that answers");
        direct.extend(first);
        through.extend(second);
    }
    let figures = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        [50, 99]
            .map(|part| 1e3 * times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64())
    };
    let ([direct_50, direct_99], [through_50, through_99]) =
        (figures(&mut direct), figures(&mut through));
    println!(
        "proxy/bytes={bytes},clients={clients}: straight p50 {direct_50:.2} ms, p99 {direct_99:.2} ms; through the server p50 {through_50:.2} ms, \
         p99 {through_99:.2} ms; {:+.2} ms, {:+.2} ms",
        through_50 - direct_50,
        through_99 - direct_99
    );
}

/// Asks each in turn, over one connection each.
async fn ask(rounds: usize, addresses: [SocketAddr; 2]) -> [Vec<Duration>; 2] {
    let clients = addresses.map(|_| {
        Client::builder()
            .no_proxy()
            .build()
            .expect("a plain client")
    });
    let mut times = [Vec::with_capacity(rounds), Vec::with_capacity(rounds)];
    // The first few open connections.
    for round in 0..rounds + 3 {
        for place in 0..2 {
            let start = Instant::now();
            let url = format!("http://{}{PATH}", addresses[place]);
            let response = clients[place].get(url).send().await.expect("an answer");
            assert!(response.status().is_success());
            response.bytes().await.expect("a whole answer");
            if round >= 3 {
                times[place].push(start.elapsed());
            }
        }
    }
    times
}

/// A node that answers everything at once with so many bytes.
async fn node(bytes: usize) -> SocketAddr {
    let body = Bytes::from(vec![b' '; bytes]);
    let router = Router::new().fallback(move || ready(body.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn server(node: SocketAddr) -> SocketAddr {
    let url = format!("http://{node}").parse().expect("an address");
    let beacon = BeaconNode::new(vec![url], Timeouts::default()).expect("a plain endpoint");
    let forwarder = Forwarder::new(beacon, TIMEOUT);
    let spec = ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0; 4]));
    let config = Config {
        address: "127.0.0.1:0".parse().expect("an address"),
        tls: None,
        version: String::new(),
        chain: Arc::new(Chain {
            spec,
            genesis_time: Timestamp::from_secs(0),
            genesis_validators_root: Root::default(),
        }),
        limits: Limits::default(),
    };
    let nobody = || Arc::new(Nobody(KeyTable::new(PeerIndex::new(0), [])));
    let server = Server::bind(config, nobody(), forwarder, nobody());
    let server = server.await.expect("a free port");
    let address = server.address();
    tokio::spawn(server.run(pending()));
    address
}

/// A cluster without validators, and an observer who looks away.
struct Nobody(KeyTable);

impl Observer for Nobody {
    fn served(&self, _: &Served<'_>) {}
    fn connection_refused(&self) {}
}

type Answer<T> = Result<T, ApiError>;

fn none<T>() -> Answer<T> {
    Err(ApiError::NotFound("no validators".to_owned()))
}

impl ValidatorApi for Nobody {
    fn keys(&self) -> &KeyTable {
        &self.0
    }
    fn roster(&self) -> impl Future<Output = Arc<Roster>> + Send {
        pending()
    }
    async fn attester_duties(
        &self,
        _: Epoch,
        _: Vec<ValidatorIndex>,
    ) -> Answer<Duties<AttesterDuty>> {
        none()
    }
    async fn proposer_duties(&self, _: Epoch) -> Answer<Duties<ProposerDuty>> {
        none()
    }
    async fn sync_duties(
        &self,
        _: Epoch,
        _: Vec<ValidatorIndex>,
    ) -> Answer<Duties<SyncCommitteeDuty>> {
        none()
    }
    async fn validators(&self, _: &str, _: Vec<PublicKeyBytes>) -> Answer<Vec<ValidatorState>> {
        none()
    }
    async fn committee_member(
        &self,
        _: Slot,
        _: CommitteeIndex,
        _: u64,
    ) -> Answer<Option<PublicKeyBytes>> {
        none()
    }
    async fn attestation_data(&self, _: Slot, _: CommitteeIndex) -> Answer<AttestationData> {
        none()
    }
    async fn aggregate(&self, _: Slot, _: Root, _: CommitteeIndex) -> Answer<AggregateValue> {
        none()
    }
    async fn contribution(&self, _: Slot, _: u64, _: Root) -> Answer<SyncCommitteeContribution> {
        none()
    }
    async fn proposal(&self, _: Slot, _: SignatureBytes, _: Option<Root>) -> Answer<Proposal> {
        none()
    }
    async fn sign(&self, _: Vec<Partial>) -> Result<(), SignError> {
        Ok(())
    }
    async fn combine(&self, _: Vec<Partial>) -> Answer<Vec<Combining>> {
        none()
    }
}
