//! Ports for processes that will open them later.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;

use rand::RngExt;
use tokio::net::TcpListener;

/// Below the ports that systems give to outgoing connections (from 32768 on Linux). From that range a port could be
/// taken by a mere connection while its node is down, even by one that tries to reach that very node: connecting to a
/// closed local port often enough succeeds, with oneself.
const PORTS: Range<u16> = 16_000..32_000;

/// `count` different loopback addresses that nobody listens on at the moment.
///
/// # Errors
/// There are not as many, or the operating system refuses to listen at all.
pub(super) async fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    // A random start keeps two testnets on one machine apart.
    let start = rand::rng().random_range(PORTS);
    let mut held = Vec::new();
    for port in (start..PORTS.end).chain(PORTS.start..start) {
        if held.len() == count {
            break;
        }
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => held.push(listener),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
    if held.len() < count {
        return Err(io::Error::from(ErrorKind::AddrNotAvailable));
    }
    held.iter().map(TcpListener::local_addr).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn free_addresses_are_different_and_not_for_outgoing_connections() {
        let mut addresses = free_addresses(40).await.unwrap();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 40);
        assert!(
            addresses
                .iter()
                .all(|address| PORTS.contains(&address.port()))
        );
    }
}
