//! What happens beside duties: once a slot, once a minute, and when the beacon node's head moves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flotilla_beacon::client::{BeaconNode, Event, Told, Topic};
use flotilla_beacon::server::Activity;
use flotilla_cluster::Lock;
use flotilla_duty::Input;
use flotilla_p2p::{Path, PeerStats, Protocol};
use flotilla_qbft::quorum;
use flotilla_types::{Chain, PeerIndex, Slot};
use flotilla_wire::peer_info::{self, Expected, PeerInfo, SUPPORTED};
use flotilla_wire::writes_plural_contributions;
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::health::Health;
use crate::monitoring::{
    BeaconNodeStatus, BeaconState, CallWatch, ClusterStatus, PeerStatus, Readiness, ReadyCheck,
    ReadyFacts, ReadyStatus, SlashingStatus, Status,
};
use crate::run::Held;
use crate::shell::Parts;
use crate::slashing::OpenReport;
use crate::telemetry;

/// How often peers are asked about themselves (spec 20 §8).
const PEER_INFO_EVERY: Duration = Duration::from_secs(60);
/// While they have not answered yet.
const PEER_INFO_FIRST: Duration = Duration::from_secs(1);
/// How often the beacon node's peers are counted.
const BEACON_PEERS_EVERY: Duration = Duration::from_secs(60);

/// What a peer last said about itself.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    /// Its clock minus ours.
    offset_seconds: f64,
    /// Its version, with its software.
    shown_version: String,
    /// The version that it claims to be compatible with.
    version: String,
}

/// One cluster, as far as chores go.
pub(crate) struct Cluster {
    pub parts: Arc<Parts>,
    pub inbox: mpsc::Sender<Input>,
    pub name: String,
    pub lock: Lock,
    pub builder_api: bool,
    pub lock_hash: [u8; 32],
    pub signer: &'static str,
    pub opened: OpenReport,
    pub started_ms: u64,
    pub heard: Mutex<BTreeMap<usize, Heard>>,
    pub health: Health,
    /// What the API server has seen of validator clients; `None` if the built-in signer signs alone.
    pub client_activity: Option<Activity>,
    pub is_client_silent: AtomicBool,
    /// Kept until the cluster has stopped.
    pub _held: Held,
}

impl Cluster {
    /// The versions that peers claim to be compatible with, as far as they have been heard.
    fn heard(&self) -> BTreeMap<usize, String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let version = |(peer, heard): (&usize, &Heard)| (*peer, heard.version.clone());
        heard.iter().map(version).collect()
    }
}

/// Once a slot: the beacon node's state, the database's heartbeat, metrics, readiness and status.
pub(crate) async fn every_slot(
    clusters: Vec<Arc<Cluster>>,
    beacon: BeaconNode,
    clock: Clock,
    chain: Arc<Chain>,
    readiness: watch::Sender<Readiness>,
    status: watch::Sender<Status>,
) {
    let mut checks: Vec<(ReadyCheck, CallWatch)> =
        clusters.iter().map(|_| Default::default()).collect();
    let mut peers: Option<(Instant, u64)> = None;
    loop {
        let slot = chain.slot_at(clock.now());
        let next = slot.map_or(Slot(0), |slot| Slot(slot.0 + 1));
        if peers.is_none_or(|(at, _)| at.elapsed() >= BEACON_PEERS_EVERY) {
            peers = beacon
                .peer_count()
                .await
                .ok()
                .map(|count| (Instant::now(), count));
            if let Ok(version) = beacon.version().await {
                let tell =
                    |cluster: &Arc<Cluster>| cluster.parts.telemetry.beacon_version(&version);
                clusters.iter().for_each(tell);
            }
        }
        let state = beacon.syncing().await.ok().map(|syncing| BeaconState {
            is_syncing: syncing.is_syncing,
            sync_distance: syncing.sync_distance.0,
            peers: peers.map(|(_, count)| count),
        });
        let endpoints = beacon.endpoints();
        let mut ready = Vec::with_capacity(clusters.len());
        for (cluster, checks) in clusters.iter().zip(&mut checks) {
            ready.push(look_at(cluster, checks, &chain, slot, state));
            cluster.parts.telemetry.beacon_nodes(&endpoints);
            if let Some((_, count)) = peers {
                cluster.parts.telemetry.beacon_peers(count);
            }
        }
        let first_fault = ready.iter().find(|ready| **ready != Readiness::Ready);
        readiness.send_replace(first_fault.copied().unwrap_or(Readiness::Ready));
        status.send_replace(Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            started_ms: clusters.first().map_or(0, |cluster| cluster.started_ms),
            slot: slot.map(|slot| slot.0),
            unknown_fork_epoch: chain.spec.forks.unknown_after().map(|epoch| epoch.0),
            beacon_nodes: endpoints.iter().map(BeaconNodeStatus::of).collect(),
            clusters: clusters
                .iter()
                .zip(ready)
                .map(|(cluster, ready)| describe(cluster, ready))
                .collect(),
        });
        // A little after the slot has begun, when duties are not yet due.
        let wake = chain.slot_start(next) + chain.spec.slot_duration / 20;
        tokio::time::sleep(clock.until(wake).min(chain.spec.slot_duration)).await;
    }
}

fn look_at(
    cluster: &Cluster,
    (check, calls): &mut (ReadyCheck, CallWatch),
    chain: &Chain,
    slot: Option<Slot>,
    beacon: Option<BeaconState>,
) -> Readiness {
    let parts = &cluster.parts;
    if let Some(slot) = slot {
        parts.database.heartbeat(slot);
        parts.telemetry.slot(slot, chain.epoch_of(slot));
        let findings = parts.inclusion.settle(slot);
        findings
            .iter()
            .for_each(|found| parts.telemetry.found(found));
    }
    let database = parts.database.status();
    parts.telemetry.slashing(
        &database,
        cluster.opened.embargo.map(|embargo| embargo.epoch),
    );
    let connected = parts.network.connected().len();
    let is_silent = is_client_silent(cluster, calls, chain, slot);
    let ready = check.evaluate(&ReadyFacts {
        beacon,
        connected_peers: connected,
        quorum: quorum(parts.codec.nodes()),
        is_validator_client_silent: is_silent,
        is_database_failing: database.failing.is_some(),
    });
    parts.telemetry.readiness(ready);
    count_traffic(parts);
    ready
}

/// What the network has counted.
fn count_traffic(parts: &Parts) {
    let mut dropped = 0;
    for stats in parts.network.stats() {
        let peer = PeerIndex::new(stats.peer);
        let over = |path: Path| {
            stats
                .connections
                .iter()
                .any(|connection| connection.path == path)
        };
        let (direct, relayed) = (over(Path::Direct), over(Path::Relayed));
        parts
            .telemetry
            .connections(peer, direct, relayed, stats.connections_total);
        parts
            .telemetry
            .ping_failures(peer, stats.ping_failures, direct || relayed);
        parts
            .telemetry
            .streams(peer, stats.streams_out, stats.streams_in);
        dropped += stats.dropped;
        for protocol in Protocol::ALL {
            let sent = stats.sent.get(&protocol).map_or(0, |traffic| traffic.bytes);
            let received = stats
                .received
                .get(&protocol)
                .map_or(0, |traffic| traffic.bytes);
            parts
                .telemetry
                .traffic(peer, protocol.id(), telemetry::Traffic { sent, received });
        }
    }
    parts.telemetry.dropped("outbox", dropped);
}

/// Whether a validator client is expected and has not called for a whole epoch.
fn is_client_silent(
    cluster: &Cluster,
    calls: &mut CallWatch,
    chain: &Chain,
    slot: Option<Slot>,
) -> bool {
    let is_silent = match (&cluster.client_activity, slot) {
        (Some(activity), Some(slot)) => {
            let now = tokio::time::Instant::now();
            calls.is_silent(chain.epoch_of(slot), now, activity.last_request())
        }
        _ => false,
    };
    cluster.is_client_silent.store(is_silent, Ordering::Relaxed);
    is_silent
}

fn describe(cluster: &Cluster, ready: Readiness) -> ClusterStatus {
    let parts = &cluster.parts;
    let database = parts.database.status();
    ClusterStatus {
        name: cluster.name.clone(),
        lock_hash: format!("0x{}", hex::encode(cluster.lock_hash)),
        folder: parts.data_folder.display().to_string(),
        me: parts.me.get(),
        operators: parts.codec.nodes(),
        threshold: parts.threshold,
        validators: parts.validators.len(),
        active_validators: parts.rosters.members.active(),
        signer: cluster.signer.into(),
        paused: crate::folder::is_paused(&parts.data_folder),
        slashing: SlashingStatus {
            failing: database.failing,
            doubts: cluster
                .opened
                .doubts
                .iter()
                .map(ToString::to_string)
                .collect(),
            embargo_epoch: cluster.opened.embargo.map(|embargo| embargo.epoch.0),
            commits: database.commits,
            votes: database.votes,
        },
        peers: peers(cluster),
        readiness: ReadyStatus::of(ready),
        failing_checks: cluster.health.failing(),
        duties: parts.telemetry.ends(),
        inclusion: parts.inclusion.summary(),
        exits: parts
            .exits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .progress(),
    }
}

/// The other members' nodes.
fn peers(cluster: &Cluster) -> Vec<PeerStatus> {
    let parts = &cluster.parts;
    let connected = parts.network.connected();
    let stats = parts.network.stats();
    let heard = cluster.heard.lock().unwrap_or_else(PoisonError::into_inner);
    let peer = |stats: &PeerStats| PeerStatus {
        index: stats.peer,
        name: parts
            .network
            .id_of(stats.peer)
            .map(|id| id.to_string())
            .unwrap_or_default(),
        connected: connected.contains(&stats.peer),
        round_trip_ms: stats.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
        clock_offset_ms: heard
            .get(&stats.peer)
            .map(|heard| heard.offset_seconds * 1e3),
        version: heard
            .get(&stats.peer)
            .map(|heard| heard.shown_version.clone()),
    };
    stats.iter().map(peer).collect()
}

/// Hears what beacon nodes tell of the chain, and tells every cluster what its duties depend on whenever a head arrives.
pub(crate) async fn follow_head(
    clusters: Vec<Arc<Cluster>>,
    beacon: BeaconNode,
    clock: Clock,
    chain: Arc<Chain>,
) {
    let mut events = beacon.events(&[
        Topic::Head,
        Topic::ChainReorg,
        Topic::Block,
        Topic::BlockGossip,
    ]);
    while let Some(Told { endpoint, event }) = events.next().await {
        let now = clock.now();
        for cluster in &clusters {
            let parts = &cluster.parts;
            parts.telemetry.beacon_event(&endpoint, &event, &chain, now);
            parts.inclusion.event(&endpoint, &event);
        }
        let Event::Head {
            slot,
            previous_duty_dependent_root,
            current_duty_dependent_root,
            ..
        } = event
        else {
            continue;
        };
        for cluster in &clusters {
            cluster.parts.rosters.head(
                chain.epoch_of(slot),
                previous_duty_dependent_root,
                current_duty_dependent_root,
            );
            let head = Input::Head {
                epoch: chain.epoch_of(slot),
                previous: previous_duty_dependent_root,
                current: current_duty_dependent_root,
            };
            // An error means that the shell is stopping.
            let _ = cluster.inbox.send(head).await;
        }
    }
}

/// Once a minute: who are you, what time is it there?
pub(crate) async fn ask_peers(cluster: Arc<Cluster>) {
    let parts = Arc::clone(&cluster.parts);
    let mut asked_all: Option<Instant> = None;
    loop {
        // Those that have not answered yet are asked more often, so that a cluster that has just started soon knows itself.
        tokio::time::sleep(PEER_INFO_FIRST).await;
        let all = asked_all.is_none_or(|at| at.elapsed() >= PEER_INFO_EVERY);
        if all {
            asked_all = Some(Instant::now());
        }
        let (connected, heard) = (parts.network.connected(), cluster.heard());
        let peers = (0..parts.codec.nodes())
            .filter(|peer| *peer != parts.me.get() && connected.contains(peer))
            .filter(|peer| all || !heard.contains_key(peer));
        for peer in peers.collect::<Vec<_>>() {
            ask_peer(&cluster, peer).await;
        }
        tell_plural(&cluster).await;
    }
}

/// Several contributions of one validator can be agreed on once a quorum says that it reads them, as in the field (spec 30
/// §1.9), and nobody who answers says otherwise. Which form is written is the leader's affair: newer members read both.
async fn tell_plural(cluster: &Cluster) {
    let parts = &cluster.parts;
    let heard = cluster.heard();
    let plural = heard.len() + 1 >= quorum(parts.codec.nodes())
        && heard
            .values()
            .all(|version| writes_plural_contributions([version.as_str()]));
    if parts.plural.swap(plural, Ordering::Relaxed) != plural {
        debug!(plural, "the form of sync committee contributions");
        // An error means that the shell is stopping.
        let _ = cluster.inbox.send(Input::Plural(plural)).await;
    }
}

async fn ask_peer(cluster: &Cluster, peer: usize) {
    let parts = &cluster.parts;
    let request = PeerInfo {
        sent_at: Some(parts.clock.now()),
        ..parts.introduction.clone()
    };
    let asked = Instant::now();
    let answer = parts
        .network
        .request(peer, Protocol::PeerInfo, Bytes::from(request.encode()))
        .await;
    let rtt = asked.elapsed();
    let info = match answer.map(|bytes| PeerInfo::decode(&bytes)) {
        Ok(Ok(info)) => info,
        Ok(Err(reject)) => {
            parts
                .telemetry
                .malformed(PeerIndex::new(peer), reject.label());
            return;
        }
        Err(error) => return debug!(peer, %error, "peer did not say who it is"),
    };
    let expected = Expected {
        lock_hash: &cluster.lock_hash,
        builder_api: cluster.builder_api,
        supported: &SUPPORTED,
    };
    let report = peer_info::check(&info, &expected, parts.clock.now(), rtt);
    for finding in &report.findings {
        warn!(peer, %finding, "peer differs");
    }
    let offset = report
        .clock_offset
        .map_or(0.0, |offset| offset.as_seconds());
    let version = info.shown_version();
    cluster
        .heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(
            peer,
            Heard {
                offset_seconds: offset,
                shown_version: version.clone(),
                version: info.version.clone(),
            },
        );
    let shown = telemetry::PeerInfo {
        version,
        git_hash: info.git_hash.clone(),
        started_at: info.started_at.map(|at| at.as_secs()),
        clock_offset_seconds: offset,
        builder_api: info.builder_api,
        nickname: info.shown_nickname(),
        client: info.shown_client(),
        supported: report.compatible.unwrap_or(false),
    };
    parts.telemetry.peer_info(PeerIndex::new(peer), &shown);
}
