//! TCP, Noise and Yamux, stacked for this crate's needs.

use std::{io, net::TcpListener, time::Duration};

use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns,
    identity::Keypair,
    multiaddr::Protocol as Part,
    noise, tcp, yamux,
};

use crate::{Error, muxer::Muxer};

/// Time for a dial or an accepted socket to become a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Streams of a connection, both directions together. More end the connection, so this lies above
/// what either side opens on purpose; Yamux's window accounting allows no more.
const MAX_STREAMS: usize = 4096;

/// The way a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Path {
    /// To the peer itself.
    Direct,
    /// Through a relay.
    Relayed,
}

impl Path {
    /// The path that an address describes.
    pub(crate) fn of(address: &Multiaddr) -> Self {
        if address.iter().any(|part| part == Part::P2pCircuit) {
            Self::Relayed
        } else {
            Self::Direct
        }
    }
}

/// The transport of one identity.
pub(crate) fn new(identity: &Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let tcp = || tcp::tokio::Transport::new(tcp::Config::new().nodelay(true));
    let resolved = dns::tokio::Transport::system(tcp()).unwrap_or_else(|error| {
        // A container without a resolver's configuration still reaches peers by IP address.
        tracing::warn!(%error, "no system resolver, names of peers will not be found");
        let servers = dns::ResolverConfig::default();
        dns::tokio::Transport::custom(tcp(), servers, dns::ResolverOpts::default())
    });
    let noise =
        noise::Config::new(identity).map_err(|error| Error::Transport(io::Error::other(error)))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS);
    Ok(resolved
        .upgrade(Version::V1)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(CONNECT_TIMEOUT)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(Muxer::new(muxer))))
        .boxed())
}

/// Fails if another process listens on this address. The transport itself would share the port
/// with it (`SO_REUSEPORT`) and lose half the connections.
pub(crate) fn check_port_free(address: &Multiaddr) -> Result<(), Error> {
    let Some(socket) = socket_address(address) else {
        return Ok(());
    };
    match TcpListener::bind(socket) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(Error::PortInUse {
            address: address.clone(),
        }),
        Err(source) => Err(Error::Listen {
            address: address.clone(),
            source,
        }),
    }
}

fn socket_address(address: &Multiaddr) -> Option<(std::net::IpAddr, u16)> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Part::Ip4(ip) => ip.into(),
        Part::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Part::Tcp(port) => Some((ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn circuit_addresses_are_relayed() {
        let direct: Multiaddr = "/ip4/10.0.0.1/tcp/3610".parse().unwrap();
        let relayed: Multiaddr = "/ip4/10.0.0.1/tcp/3610/p2p-circuit".parse().unwrap();
        assert_eq!(Path::of(&direct), Path::Direct);
        assert_eq!(Path::of(&relayed), Path::Relayed);
    }

    #[test]
    fn taken_port_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = holder.local_addr().unwrap().port();
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
        let error = check_port_free(&address).unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        drop(holder);
        check_port_free(&address).unwrap();
    }
}
