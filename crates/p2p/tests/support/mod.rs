//! Clusters for tests: keys from numbers, free ports, waiting with an end.
#![allow(dead_code, unreachable_pub)]

pub mod raw;

use std::{future::Future, time::Duration};

use bytes::Bytes;
use flotilla_p2p::{Config, Event, Events, Handle, Limits, Network, PeerKey, Protocol};
use libp2p::identity::secp256k1;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// Longer than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn patiently<T>(waited: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waited)
        .await
        .expect("it happens in time")
}

/// Waits until a condition holds that no event announces.
pub async fn eventually(condition: impl Fn() -> bool) {
    patiently(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub fn content(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// What the nodes of a test have in common.
pub struct Cluster {
    pub secrets: Vec<[u8; 32]>,
    pub limits: Limits,
    pub protocols: Vec<Protocol>,
    pub cancellation: CancellationToken,
}

impl Cluster {
    pub fn new(nodes: u8) -> Self {
        Self::with_keys((1..=nodes).map(|number| [number; 32]))
    }

    pub fn with_keys(secrets: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self {
            secrets: secrets.into_iter().collect(),
            limits: Limits::default(),
            protocols: Config::new(Zeroizing::new([1; 32]), Vec::new(), 0).protocols,
            cancellation: CancellationToken::new(),
        }
    }

    pub fn config(&self, me: usize) -> Config {
        let keys = self.secrets.iter().map(public_key).collect();
        Config {
            listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()],
            limits: self.limits.clone(),
            protocols: self.protocols.clone(),
            cancellation: self.cancellation.clone(),
            ..Config::new(Zeroizing::new(self.secrets[me]), keys, me)
        }
    }

    /// A node that waits for others to come.
    pub fn node(&self, me: usize) -> Node {
        Node::start(self.config(me))
    }

    /// A node that knows the address of node 0.
    pub fn node_dialling(&self, me: usize, first: &Node) -> Node {
        let mut config = self.config(me);
        config.addresses.insert(0, first.handle.listen_addresses());
        Node::start(config)
    }

    /// Two connected nodes that can dial each other. Only the first knows the other's address.
    pub async fn pair(&self) -> (Node, Node) {
        let mut second = self.node(1);
        let mut config = self.config(0);
        config.addresses.insert(1, second.handle.listen_addresses());
        let mut first = Node::start(config);
        first.connected(1).await;
        second.connected(1).await;
        (first, second)
    }

    /// All nodes, each connected to each; a node dials those before it.
    pub async fn start<const N: usize>(&self) -> [Node; N] {
        let mut nodes: Vec<Node> = Vec::new();
        for me in 0..N {
            let mut config = self.config(me);
            for (index, node) in nodes.iter().enumerate() {
                config
                    .addresses
                    .insert(index, node.handle.listen_addresses());
            }
            nodes.push(Node::start(config));
        }
        for node in &mut nodes {
            node.connected(N - 1).await;
        }
        nodes.try_into().ok().expect("N nodes")
    }
}

pub fn public_key(secret: &[u8; 32]) -> PeerKey {
    let secret = secp256k1::SecretKey::try_from_bytes(*secret).unwrap();
    secp256k1::Keypair::from(secret).public().to_bytes()
}

pub struct Node {
    pub handle: Handle,
    pub events: Events,
}

impl Node {
    pub fn start(config: Config) -> Self {
        let (handle, events) = Network::start(config).unwrap();
        Self { handle, events }
    }

    pub async fn event(&mut self) -> Event {
        patiently(self.events.recv()).await.expect("it still runs")
    }

    pub async fn message(&mut self) -> (usize, Protocol, Bytes) {
        loop {
            if let Event::Message {
                from,
                protocol,
                bytes,
            } = self.event().await
            {
                return (from, protocol, bytes);
            }
        }
    }

    /// Waits for the first connections to this many peers.
    pub async fn connected(&mut self, peers: usize) {
        let mut connected = 0;
        while connected < peers {
            if let Event::Connected { direct, .. } = self.event().await {
                assert!(direct);
                connected += 1;
            }
        }
    }

    pub async fn disconnected(&mut self) {
        while !matches!(self.event().await, Event::Disconnected { .. }) {}
    }
}
