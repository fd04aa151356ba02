//! Measures what a message costs on a link with latency: flights per message, and bursts.
//!
//! ```text
//! cargo run --release -p flotilla-p2p --example link -- 20
//! ```
//!
//! Two networks run in this process; a proxy between them holds every byte back by the given
//! number of milliseconds in each direction. The figures in
//! `docs/decisions/0001-own-connection-handler.md` come from here.
#![allow(clippy::print_stdout)]

use std::{
    error::Error,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flotilla_p2p::{Config, Event, Events, Handle, Multiaddr, Network, PeerKey, Protocol};
use libp2p::identity::secp256k1;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use zeroize::Zeroizing;

/// Messages sent one after the other.
const SINGLE: u32 = 50;

/// Messages sent at once.
const BURST: u32 = 2000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "20".to_owned());
    let latency = Duration::from_millis(argument.parse()?);
    let secrets = [[1; 32], [2; 32]];
    let keys: Vec<PeerKey> = secrets.iter().map(public_key).collect::<Result<_, _>>()?;

    let mut config = Config::new(Zeroizing::new(secrets[1]), keys.clone(), 1);
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse()?];
    let (second, mut received) = Network::start(config)?;
    let proxy = delaying_proxy(port(&second)?, latency).await?;

    let mut config = Config::new(Zeroizing::new(secrets[0]), keys, 0);
    let address = format!("/ip4/127.0.0.1/tcp/{}", proxy.port());
    config.addresses.insert(1, vec![address.parse()?]);
    let (first, mut own) = Network::start(config)?;
    let rtt = first_ping(&mut own).await;
    println!("one-way latency {latency:?}, ping {rtt:.1?}");

    let mut times = Vec::new();
    for _ in 0..SINGLE {
        let start = Instant::now();
        first.send(1, Protocol::Qbft, Bytes::from(vec![7; 1000]));
        next_message(&mut received).await;
        times.push(start.elapsed());
    }
    times.sort();
    let median = times[times.len() / 2];
    let flights = median.as_secs_f64() / latency.as_secs_f64().max(1e-9);
    println!("one message of 1000 bytes: {median:.2?} (p50), {flights:.2} flights");

    let start = Instant::now();
    for _ in 0..BURST {
        first.send(1, Protocol::PartialSignatures, Bytes::from(vec![7; 1000]));
    }
    for _ in 0..BURST {
        next_message(&mut received).await;
    }
    let elapsed = start.elapsed();
    let rate = f64::from(BURST) / elapsed.as_secs_f64();
    let stats = &first.stats()[0];
    println!("burst of {BURST}: {elapsed:.0?}, {rate:.0} messages a second");
    println!("dropped {}, retried {}", stats.dropped, stats.retried);
    Ok(())
}

fn public_key(secret: &[u8; 32]) -> Result<PeerKey, Box<dyn Error>> {
    let secret = secp256k1::SecretKey::try_from_bytes(*secret)?;
    Ok(secp256k1::Keypair::from(secret).public().to_bytes())
}

fn port(handle: &Handle) -> Result<u16, Box<dyn Error>> {
    let addresses: Vec<Multiaddr> = handle.listen_addresses();
    for part in addresses.first().ok_or("not listening")? {
        if let libp2p::multiaddr::Protocol::Tcp(port) = part {
            return Ok(port);
        }
    }
    Err("no TCP address".into())
}

async fn first_ping(events: &mut Events) -> Duration {
    loop {
        match events.recv().await {
            Some(Event::Ping { rtt, .. }) => return rtt,
            Some(_) => {}
            None => return Duration::MAX,
        }
    }
}

async fn next_message(events: &mut Events) {
    while let Some(event) = events.recv().await {
        if matches!(event, Event::Message { .. }) {
            return;
        }
    }
}

/// Accepts connections for `port` and holds their bytes back.
async fn delaying_proxy(port: u16, latency: Duration) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((inbound, _)) = listener.accept().await {
            let Ok(outbound) = TcpStream::connect(("127.0.0.1", port)).await else {
                continue;
            };
            let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
            let (read_in, write_in) = inbound.into_split();
            let (read_out, write_out) = outbound.into_split();
            tokio::spawn(carry(read_in, write_out, latency));
            tokio::spawn(carry(read_out, write_in, latency));
        }
    });
    Ok(address)
}

/// Copies one direction, every chunk late by `latency`.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, latency: Duration) {
    let (sender, mut chunks) = mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(10_000);
    tokio::spawn(async move {
        while let Some((due, chunk)) = chunks.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let due = tokio::time::Instant::now() + latency;
        if sender.send((due, buffer[..length].to_vec())).await.is_err() {
            return;
        }
    }
}
