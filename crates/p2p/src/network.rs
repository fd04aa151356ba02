//! The task that runs the swarm.
//!
//! Why it exists: libp2p wants one owner. Messages do not pass through it; it accepts and dials,
//! watches for dead connections, and tells the consumer who comes and goes.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use futures::{StreamExt, task::noop_waker_ref};
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::{transport::TransportError, upgrade::Version},
    identify,
    identity::Keypair,
    ping,
    swarm::{self, NetworkBehaviour, SwarmEvent},
};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, Event, Events, Handle, Limits, Path,
    behaviour::{Behaviour, Change},
    connection::Shared,
    event::{self, EventSender},
    handle::Listening,
    identity,
    peer::PeerTable,
    transport,
};

/// Streams of one connection that may be in negotiation at once. Beyond them the muxer holds 256
/// and then resets, so this is above any burst that the stream limit admits.
const MAX_NEGOTIATING: usize = 1024;

/// The time between looks for dead connections.
const WATCH: Duration = Duration::from_secs(1);

/// Pings beyond this many waiting events are left out.
const MOST_WAITING: usize = 64;

/// The beginning of every network; what runs is reached through its [`Handle`].
#[derive(Debug)]
pub enum Network {}

impl Network {
    /// Starts listening and dialling in a task of the current Tokio runtime.
    ///
    /// The network stops within a fraction of a second when the token in `config` is cancelled or
    /// the last clone of the handle is dropped; [`Events::recv`] then returns `None`.
    ///
    /// # Errors
    ///
    /// When keys or addresses do not fit the cluster, or an address cannot be listened on.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn start(config: Config) -> Result<(Handle, Events), Error> {
        let keypair = identity::keypair(&config.identity)?;
        let own = keypair.public().to_peer_id();
        let peers = PeerTable::new(&config.peers, config.me, own, &config.limits)?;
        check_addresses(&config, &peers)?;
        let peers = Arc::new(peers);
        let (sender, events) = event::channel(config.limits.events.max(1));
        let mut swarm = new_swarm(&keypair, &config, &peers, sender.clone())?;
        listen(&mut swarm, &config)?;

        let listening = Arc::new(Listening::default());
        let stop = config.cancellation.child_token();
        let mut task = Task {
            peers: Arc::clone(&peers),
            listening: Arc::clone(&listening),
            events: sender,
            waiting: VecDeque::new(),
            dead_after: config.limits.dead_after,
            swarm,
        };
        task.take_first_addresses();
        let handle = Handle::new(peers, own, listening, &config.limits, stop.clone());
        tokio::spawn(task.run(stop));
        Ok((handle, events))
    }
}

/// Everything that runs on each connection.
#[derive(NetworkBehaviour)]
struct Protocols {
    /// First, so that strangers are refused before anything else is set up for them.
    cluster: Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

fn check_addresses(config: &Config, peers: &PeerTable) -> Result<(), Error> {
    for (index, addresses) in &config.addresses {
        if *index >= peers.len() {
            return Err(Error::UnknownPeer {
                peer: *index,
                last: peers.len().saturating_sub(1),
            });
        }
        // An entry for this node itself is harmless: the same list may be given to all nodes.
        let Some(peer) = peers.get(*index) else {
            continue;
        };
        for address in addresses {
            if named_peer(address).is_some_and(|named| named != peer.id) {
                return Err(Error::AddressOfAnother {
                    peer: *index,
                    address: address.clone(),
                    expected: peer.id,
                });
            }
        }
    }
    Ok(())
}

/// The peer that an address ends at, if it says so.
fn named_peer(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last()? {
        libp2p::multiaddr::Protocol::P2p(id) => Some(id),
        _ => None,
    }
}

fn new_swarm(
    keypair: &Keypair,
    config: &Config,
    peers: &Arc<PeerTable>,
    events: EventSender,
) -> Result<Swarm<Protocols>, Error> {
    let own = keypair.public().to_peer_id();
    let limits = Arc::new(config.limits.clone());
    let identify = identify::Config::new("ipfs/0.1.0".to_owned(), keypair.public())
        .with_agent_version(config.agent_version.clone())
        .with_push_listen_addr_updates(true);
    let shared = Shared {
        limits: Arc::clone(&limits),
        protocols: config.protocols.clone().into(),
        events,
    };
    let behaviour = Protocols {
        cluster: Behaviour::new(own, Arc::clone(peers), shared, config.addresses.clone()),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping_config(&limits)),
    };
    let swarm = swarm::Config::with_tokio_executor()
        // The handler keeps connections alive; this is for the moments when it cannot say so.
        .with_idle_connection_timeout(Duration::from_secs(24 * 3600))
        .with_max_negotiating_inbound_streams(MAX_NEGOTIATING)
        // A single proposal, and the message right behind it: one flight instead of three.
        .with_substream_upgrade_protocol_override(Version::V1Lazy);
    Ok(Swarm::new(transport::new(keypair)?, behaviour, own, swarm))
}

fn ping_config(limits: &Limits) -> ping::Config {
    ping::Config::new()
        .with_interval(limits.ping_interval)
        .with_timeout(limits.dead_after)
}

fn listen(swarm: &mut Swarm<Protocols>, config: &Config) -> Result<(), Error> {
    for address in &config.listen {
        transport::check_port_free(address)?;
        swarm
            .listen_on(address.clone())
            .map_err(|error| Error::Listen {
                address: address.clone(),
                source: match error {
                    TransportError::MultiaddrNotSupported(_) => std::io::Error::new(
                        std::io::ErrorKind::Unsupported,
                        "not an address of the form /ip4/<ip>/tcp/<port>",
                    ),
                    TransportError::Other(source) => source,
                },
            })?;
    }
    for address in &config.external {
        swarm.add_external_address(address.clone());
    }
    Ok(())
}

struct Task {
    swarm: Swarm<Protocols>,
    peers: Arc<PeerTable>,
    listening: Arc<Listening>,
    events: EventSender,
    /// Events for which the consumer has no room yet: the latest change of each peer, and pings.
    waiting: VecDeque<Event>,
    dead_after: Duration,
}

impl Task {
    /// Listeners on a given IP address know theirs at once; the caller should see them.
    fn take_first_addresses(&mut self) {
        let mut cx = Context::from_waker(noop_waker_ref());
        while let Poll::Ready(Some(event)) = self.swarm.poll_next_unpin(&mut cx) {
            self.on_event(event);
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut watch = interval(WATCH);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let events = self.events.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = events.closed() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                room = events.reserve(), if !self.waiting.is_empty() => {
                    let (Some(room), Some(event)) = (room, self.waiting.pop_front()) else { break };
                    room.fill(event);
                }
                _ = watch.tick() => self.close_dead(),
            }
        }
        tracing::debug!("network stopped");
    }

    fn on_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Cluster(change)) => self.on_change(change),
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(ProtocolsEvent::Identify(event)) => {
                tracing::trace!(?event, "identify");
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.listening
                    .set(self.swarm.listeners().cloned().collect());
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "listener failed");
            }
            SwarmEvent::ListenerClosed {
                addresses, reason, ..
            } => {
                tracing::warn!(?addresses, ?reason, "listener closed");
            }
            // What concerns connections and dials, the behaviour has seen.
            _ => {}
        }
    }

    fn on_change(&mut self, change: Change) {
        let (peer, event) = match change {
            Change::Connected {
                peer,
                path,
                address,
            } => {
                tracing::info!(peer, %address, "peer connected");
                let direct = path == Path::Direct;
                (
                    peer,
                    Event::Connected {
                        peer,
                        direct,
                        address,
                    },
                )
            }
            Change::Disconnected { peer } => {
                tracing::info!(peer, "peer disconnected");
                (peer, Event::Disconnected { peer })
            }
        };
        // Whoever is slow enough to have missed an earlier change needs only the latest.
        self.waiting
            .retain(|waiting| changed_peer(waiting) != Some(peer));
        self.waiting.push_back(event);
    }

    fn on_ping(&mut self, event: ping::Event) {
        let Some(peer) = self.peers.find(&event.peer) else {
            return;
        };
        match event.result {
            Ok(rtt) => {
                peer.heard(event.connection, Instant::now());
                peer.counters.ping(rtt);
                if self.waiting.len() < MOST_WAITING {
                    let peer = peer.index;
                    self.waiting.push_back(Event::Ping { peer, rtt });
                }
            }
            // The watch closes the connection if nothing comes back for long enough; a single
            // failure is often only the other side's ending of a ping stream.
            Err(error) => {
                peer.counters.ping_failures.fetch_add(1, Relaxed);
                tracing::debug!(peer = peer.index, %error, "ping failed");
            }
        }
    }

    fn close_dead(&mut self) {
        let now = Instant::now();
        for peer in self.peers.iter() {
            for connection in peer.dead(now, self.dead_after) {
                tracing::info!(peer = peer.index, "no sign of life, closing the connection");
                self.swarm.close_connection(connection);
            }
        }
    }
}

fn changed_peer(event: &Event) -> Option<usize> {
    match event {
        Event::Connected { peer, .. } | Event::Disconnected { peer } => Some(*peer),
        _ => None,
    }
}
