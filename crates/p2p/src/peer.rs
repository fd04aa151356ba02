//! What this node holds of each peer: outbox, counters, memory budget, connections.
//!
//! Why it exists: handles, connections and the network's task share it, so that a message needs
//! no detour through the task. It must not know streams.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    ConnectionStats, Error, Limits, Path, PeerKey, PeerStats, identity,
    outbox::{Outbox, Outgoing},
    stats::Counters,
};

/// One operator of the cluster other than this node.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) index: usize,
    pub(crate) id: PeerId,
    pub(crate) outbox: Outbox,
    pub(crate) counters: Counters,
    /// Bytes that may still be taken from this peer before the consumer takes some.
    pub(crate) inbound: Arc<Semaphore>,
    links: Mutex<Vec<Link>>,
}

/// A connection that stands.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) id: ConnectionId,
    pub(crate) path: Path,
    pub(crate) dialled: bool,
    pub(crate) address: Multiaddr,
    /// When something last proved the other end alive.
    pub(crate) heard: Instant,
}

impl Peer {
    fn new(index: usize, id: PeerId, limits: &Limits) -> Self {
        Self {
            index,
            id,
            outbox: Outbox::new(limits.queue_messages, limits.queue_bytes),
            counters: Counters::default(),
            inbound: Arc::new(Semaphore::new(limits.inbound_bytes)),
            links: Mutex::default(),
        }
    }

    /// Queues a message; what it pushes out is counted as dropped.
    pub(crate) fn send(&self, outgoing: Outgoing) {
        self.count_dropped(&self.outbox.push(outgoing));
    }

    /// Queues a message again, before all others.
    pub(crate) fn send_again(&self, outgoing: Outgoing) {
        self.counters.retried.fetch_add(1, Relaxed);
        self.count_dropped(&self.outbox.put_back(outgoing));
    }

    /// Counts messages that nobody will deliver.
    pub(crate) fn count_dropped(&self, dropped: &[Outgoing]) {
        if !dropped.is_empty() {
            self.counters
                .dropped
                .fetch_add(dropped.len() as u64, Relaxed);
            tracing::debug!(
                peer = self.index,
                count = dropped.len(),
                "messages to the peer dropped"
            );
        }
    }

    /// Adds a connection and lets the best one serve the outbox.
    pub(crate) fn link_up(&self, link: Link) {
        self.counters.connections_total.fetch_add(1, Relaxed);
        let mut links = self.links();
        links.push(link);
        self.outbox.prefer(best(&links));
    }

    /// Removes a connection; true if it was the last.
    pub(crate) fn link_down(&self, id: ConnectionId) -> bool {
        let mut links = self.links();
        links.retain(|link| link.id != id);
        self.outbox.forget(id);
        self.outbox.prefer(best(&links));
        links.is_empty()
    }

    /// Notes that the other end of a connection is alive.
    pub(crate) fn heard(&self, id: ConnectionId, now: Instant) {
        for link in self.links().iter_mut().filter(|link| link.id == id) {
            link.heard = now;
        }
    }

    /// Connections on which nothing was heard for `silence`.
    pub(crate) fn dead(&self, now: Instant, silence: Duration) -> Vec<ConnectionId> {
        let links = self.links();
        let dead = links
            .iter()
            .filter(|link| now.saturating_duration_since(link.heard) >= silence);
        dead.map(|link| link.id).collect()
    }

    /// Whether any connection stands.
    pub(crate) fn is_connected(&self) -> bool {
        !self.links().is_empty()
    }

    /// The picture of this moment.
    pub(crate) fn stats(&self) -> PeerStats {
        let preferred = self.outbox.preferred();
        let (queued_messages, queued_bytes) = self.outbox.size();
        let links = self.links();
        let connections = links.iter().map(|link| ConnectionStats {
            path: link.path,
            dialled: link.dialled,
            address: link.address.clone(),
            preferred: preferred == Some(link.id),
        });
        let mut stats = PeerStats {
            peer: self.index,
            connections: connections.collect(),
            queued_messages,
            queued_bytes,
            ..PeerStats::default()
        };
        self.counters.read(&mut stats);
        stats
    }

    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Direct before relayed, then the newest: after a restart of the peer the old connection may not
/// have noticed yet.
fn best(links: &[Link]) -> Option<ConnectionId> {
    let best = links
        .iter()
        .enumerate()
        .max_by_key(|(age, link)| (link.path == Path::Direct, *age));
    best.map(|(_, link)| link.id)
}

/// The operators of the cluster, found by index or by ID.
#[derive(Debug)]
pub(crate) struct PeerTable {
    /// By index; `None` is this node.
    peers: Vec<Option<Arc<Peer>>>,
    by_id: BTreeMap<PeerId, usize>,
}

impl PeerTable {
    /// Reads the cluster's keys. `own` must be the ID at `me`.
    pub(crate) fn new(
        keys: &[PeerKey],
        me: usize,
        own: PeerId,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut by_id = BTreeMap::new();
        let mut peers = Vec::with_capacity(keys.len());
        for (index, key) in keys.iter().enumerate() {
            let id = identity::peer_id(index, key)?;
            if let Some(first) = by_id.insert(id, index) {
                return Err(Error::DuplicatePeer {
                    first,
                    second: index,
                });
            }
            peers.push((index != me).then(|| Arc::new(Peer::new(index, id, limits))));
        }
        if by_id.get(&own) != Some(&me) {
            return Err(Error::NotMe { me });
        }
        by_id.remove(&own);
        Ok(Self { peers, by_id })
    }

    /// The peer at an index, unless there is none or it is this node.
    pub(crate) fn get(&self, index: usize) -> Option<&Arc<Peer>> {
        self.peers.get(index)?.as_ref()
    }

    /// The peer with an ID. `None` is a stranger, or this node itself.
    pub(crate) fn find(&self, id: &PeerId) -> Option<&Arc<Peer>> {
        self.get(*self.by_id.get(id)?)
    }

    /// All peers in the order of their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.peers.iter().flatten()
    }

    /// Operators of the cluster, this node included.
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeroize::Zeroizing;

    use super::*;

    fn key(number: u8) -> (PeerKey, PeerId) {
        let pair = identity::keypair(&Zeroizing::new([number; 32])).unwrap();
        let key = pair
            .clone()
            .try_into_secp256k1()
            .unwrap()
            .public()
            .to_bytes();
        (key, pair.public().to_peer_id())
    }

    fn link(id: usize, path: Path) -> Link {
        Link {
            id: ConnectionId::new_unchecked(id),
            path,
            dialled: true,
            address: Multiaddr::empty(),
            heard: Instant::now(),
        }
    }

    #[test]
    fn table_knows_peers_but_not_itself() {
        let (keys, ids): (Vec<_>, Vec<_>) = [1, 2, 3].map(key).into_iter().unzip();
        let table = PeerTable::new(&keys, 1, ids[1], &Limits::default()).unwrap();
        assert_eq!(table.find(&ids[2]).unwrap().index, 2);
        assert!(table.find(&ids[1]).is_none() && table.get(1).is_none());
        assert!(table.find(&key(4).1).is_none() && table.get(3).is_none());
        assert_eq!(table.iter().count(), 2);
    }

    #[test]
    fn key_of_another_operator_is_refused() {
        let (keys, ids): (Vec<_>, Vec<_>) = [1, 2].map(key).into_iter().unzip();
        let error = PeerTable::new(&keys, 0, ids[1], &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::NotMe { me: 0 }));
    }

    #[test]
    fn same_key_twice_is_refused_with_both_places() {
        let keys = [1, 2, 1].map(|number| key(number).0);
        let error = PeerTable::new(&keys, 1, key(2).1, &Limits::default()).unwrap_err();
        assert!(matches!(
            error,
            Error::DuplicatePeer {
                first: 0,
                second: 2
            }
        ));
    }

    #[test]
    fn direct_connection_is_preferred_then_the_newest() {
        let peer = Peer::new(0, key(1).1, &Limits::default());
        let id = |number| Some(ConnectionId::new_unchecked(number));
        peer.link_up(link(1, Path::Direct));
        peer.link_up(link(2, Path::Direct));
        peer.link_up(link(3, Path::Relayed));
        assert_eq!(peer.outbox.preferred(), id(2));
        assert!(!peer.link_down(ConnectionId::new_unchecked(2)));
        assert_eq!(peer.outbox.preferred(), id(1));
        assert!(!peer.link_down(ConnectionId::new_unchecked(1)));
        assert_eq!(peer.outbox.preferred(), id(3));
        assert!(peer.link_down(ConnectionId::new_unchecked(3)));
        assert_eq!(peer.outbox.preferred(), None);
    }

    #[test]
    fn connection_without_a_sign_of_life_is_dead() {
        let peer = Peer::new(0, key(1).1, &Limits::default());
        let start = Instant::now();
        let second = Duration::from_secs(1);
        for id in [1, 2] {
            peer.link_up(Link {
                heard: start,
                ..link(id, Path::Direct)
            });
        }
        peer.heard(ConnectionId::new_unchecked(2), start + second);
        let dead = peer.dead(start + 8 * second, 8 * second);
        assert_eq!(dead, [ConnectionId::new_unchecked(1)]);
    }
}
