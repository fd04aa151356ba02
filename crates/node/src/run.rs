//! Starting a node, and stopping it: the order of start is the order of lines, the order of stopping its reverse.

mod error;
mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flotilla_beacon::client::{BeaconNode, Forwarder, Observer, Request, Timeouts};
use flotilla_beacon::server;
use flotilla_cluster::Lock;
use flotilla_duty::io::HANDLED_KINDS;
use flotilla_duty::{self as duty, Engine, Faults};
use flotilla_p2p::{self as p2p, Network};
use flotilla_types::{Chain, ForkVersion, PublicKeyBytes, Timestamp};
use flotilla_wire::consensus::Codec;
use flotilla_wire::peer_info::PeerInfo;
use flotilla_wire::votes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::chores;
use crate::clients::Clients;
use crate::clock::{Clock, wall_clock};
use crate::config::{ClusterConfig, Config, ValidatorApiConfig};
use crate::duties::{self, Rehearsal, Rosters};
use crate::exits::Exits;
use crate::folder::{self, Folder, Passwords};
use crate::graffiti::Graffiti;
use crate::health::{self, Health};
use crate::inclusion::{self, Inclusion};
use crate::monitoring::{OutcomeStream, Readiness, Server, Sources, Status};
use crate::preparations::{self, Overrides};
use crate::shell::{Parts, Shell};
use crate::signer::Signer;
use crate::slashing::{self, Database, Imported, Opening, ShareEpoch, SignerKind};
use crate::telemetry::{ClusterTelemetry, Telemetry};
use crate::validator_api::Api;
use crate::votes::{BootId, VoteLog};
use crate::workers::{Workers, jobs::KeyTable};

pub use error::StartError;
pub(crate) use opening::Held;
use opening::{Opened, open_folders};

/// The version told to peers, which older ones hold against those they support (spec 20 §8).
const PEER_VERSION: &str = "v1.11.0";
/// What validator clients are told; they know a distributed validator by the word `charon` (spec 30 §3.4).
const API_VERSION: &str = concat!("flotilla/charon/v", env!("CARGO_PKG_VERSION"));
/// How long a beacon node may take to answer what is passed on to it.
const FORWARD_WITHIN: Duration = Duration::from_secs(2);
/// How long a beacon node may be away at start before it is said again.
const BEACON_RETRY: Duration = Duration::from_secs(2);
/// How long the parts of a node may take to stop.
const STOP_WITHIN: Duration = Duration::from_millis(800);

/// Runs a node until `stop`, or until something makes it impossible to go on.
///
/// # Errors
/// [`StartError`], one sentence with the next step.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), StartError> {
    let started = wall_clock();
    let telemetry = Telemetry::new();
    let clusters = open_folders(&config, &telemetry, started).await?;
    let (ready, readiness) = watch::channel(Readiness::default());
    let (status, status_seen) = watch::channel(Status::default());
    let outcomes = OutcomeStream::default();
    let sources = Sources {
        telemetry,
        readiness,
        status: status_seen,
        outcomes: outcomes.clone(),
    };
    let server = Server::bind(config.monitoring, sources).await?;
    let mut tasks: JoinSet<Result<(), StartError>> = JoinSet::new();
    let child = stop.child_token();
    let _stop_all = child.clone().drop_guard();
    let serving = child.clone();
    tasks.spawn(async move { Ok(server.run(serving).await?) });

    let beacon = connect(
        &config,
        clusters
            .iter()
            .map(|cluster| cluster.telemetry.clone())
            .collect(),
    )?;
    let Some((chain, fork_version)) = unless_stopped(&stop, learn_chain(&beacon)).await else {
        return Ok(());
    };
    let chain = Arc::new(chain);
    let beacon = beacon.with_timeouts(timeouts(&config, chain.spec.slot_duration))?;
    let beacon = beacon.with_chain(Arc::clone(&chain));
    check_endpoints(&beacon, &chain).await?;
    let clock = Clock::start(chain.spec.slot_duration);
    let workers = Workers::start().map_err(|source| StartError::System {
        what: "starting worker threads",
        source,
    })?;
    if let Some(epoch) = chain.spec.forks.unknown_after() {
        warn!(%epoch, "the beacon node's schedule has a fork this version does not know: nothing is signed from that epoch; update before");
    }
    let (mut running, mut preparing) = (Vec::new(), Vec::new());
    for cluster in clusters {
        if cluster.folder.lock.fork_version() != fork_version {
            return Err(StartError::WrongNetwork {
                folder: cluster.folder.paths.data.clone(),
                expected: cluster.folder.lock.fork_version(),
                found: fork_version,
            });
        }
        let context = Context {
            config: &config,
            chain: &chain,
            clock: &clock,
            workers: &workers,
            beacon: &beacon,
        };
        let Some(parts) = unless_stopped(
            &stop,
            start(cluster, context, outcomes.clone(), started, &child),
        )
        .await
        else {
            return Ok(());
        };
        let Started {
            cluster,
            shell,
            overrides,
            api,
        } = parts?;
        let (stopping, serving) = (child.clone(), child.clone());
        tasks.spawn(async move { Ok(shell.run(stopping).await?) });
        if let Some(api) = api {
            tasks.spawn(async move {
                api.run(serving.cancelled_owned()).await;
                Ok(())
            });
        }
        let cluster = Arc::new(cluster);
        preparing.push((Arc::clone(&cluster), overrides));
        running.push(cluster);
    }
    let mut chores = spawn_chores(&running, &beacon, &clock, &chain, ready, status);
    for (cluster, overrides) in preparing {
        chores.spawn(preparations::keep_prepared(cluster, overrides));
    }
    info!(clusters = running.len(), "running");
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = tasks.join_next() => match ended {
            Ok(result) => result,
            Err(error) => Err(StartError::Stopped(format!("a task of the node failed: {error}"))),
        },
    };
    drop(chores);
    child.cancel();
    shut_down(tasks, running).await;
    ended
}

async fn unless_stopped<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// Sockets and jobs first, databases last: a signature that is being recorded is recorded.
async fn shut_down(mut tasks: JoinSet<Result<(), StartError>>, running: Vec<Arc<chores::Cluster>>) {
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, drained).await.is_err() {
        warn!("some tasks did not stop in time");
        tasks.abort_all();
    }
    for cluster in running {
        cluster.parts.network.stop();
        let database = cluster.parts.database.clone();
        // Closing waits for the last commit.
        let closed = tokio::task::spawn_blocking(move || database.close());
        if tokio::time::timeout(STOP_WITHIN, closed).await.is_err() {
            warn!("the slashing database did not close in time; what it had promised is on disk");
        }
    }
    info!("stopped");
}

/// Requests to the beacon nodes, for the metrics of every cluster that shares them.
struct BeaconObserver(Vec<ClusterTelemetry>);

impl Observer for BeaconObserver {
    fn request(&self, request: &Request<'_>) {
        for telemetry in &self.0 {
            telemetry.beacon_request(request.endpoint, request.label, request.latency, request.ok);
        }
    }
}

fn connect(config: &Config, telemetry: Vec<ClusterTelemetry>) -> Result<BeaconNode, StartError> {
    let beacon = BeaconNode::with_endpoints(&config.beacon_nodes, Timeouts::default())?;
    Ok(beacon.with_observer(Arc::new(BeaconObserver(telemetry))))
}

/// Those that follow from the slot, except where the operator has set others.
fn timeouts(config: &Config, slot: Duration) -> Timeouts {
    let of_slot = Timeouts::for_slot(slot);
    Timeouts {
        query: config.beacon_timeout.unwrap_or(of_slot.query),
        submit: config.beacon_submit_timeout.unwrap_or(of_slot.submit),
        ..of_slot
    }
}

/// Waits until a beacon node tells which chain this is.
async fn learn_chain(beacon: &BeaconNode) -> (Chain, ForkVersion) {
    loop {
        match tokio::try_join!(beacon.genesis(), beacon.spec()) {
            Ok((genesis, spec)) => {
                let chain = Chain {
                    spec,
                    genesis_time: genesis.genesis_time,
                    genesis_validators_root: genesis.genesis_validators_root,
                };
                return (chain, genesis.genesis_fork_version);
            }
            Err(error) => warn!(%error, "waiting for a beacon node"),
        }
        tokio::time::sleep(BEACON_RETRY).await;
    }
}

async fn check_endpoints(beacon: &BeaconNode, chain: &Chain) -> Result<(), StartError> {
    let expected = chain.genesis_validators_root;
    for (endpoint, genesis) in beacon.genesis_by_endpoint().await {
        match genesis {
            Ok(genesis) if genesis.genesis_validators_root != expected => {
                let found = genesis.genesis_validators_root;
                return Err(StartError::DifferentChains {
                    endpoint,
                    expected,
                    found,
                });
            }
            Ok(_) => {}
            Err(error) => warn!(endpoint, %error, "this beacon node cannot be checked now"),
        }
    }
    Ok(())
}

/// What a cluster takes from its node.
#[derive(Clone, Copy)]
struct Context<'a> {
    config: &'a Config,
    chain: &'a Arc<Chain>,
    clock: &'a Clock,
    workers: &'a Workers,
    beacon: &'a BeaconNode,
}

/// A cluster, put together.
struct Started {
    cluster: chores::Cluster,
    shell: Shell,
    overrides: Overrides,
    api: Option<server::Server<Api>>,
}

/// Serves validator clients of a cluster.
async fn bind_api(
    config: &ValidatorApiConfig,
    parts: &Arc<Parts>,
    lock: &Lock,
) -> Result<Option<server::Server<Api>>, StartError> {
    let tls = match &config.tls {
        None => None,
        Some((certificates, key)) => Some(server::Tls {
            certificates: folder::read(certificates, "it was named by --vc-tls-cert-file")?,
            key: folder::read(key, "it was named by --vc-tls-key-file")?,
        }),
    };
    let validators = lock.validators().iter();
    let keys = validators.map(|validator| (validator.public_key, validator.public_shares.clone()));
    let api = Arc::new(Api::new(Arc::clone(parts), keys));
    let server_config = server::Config {
        address: config.address,
        tls,
        version: API_VERSION.into(),
        chain: Arc::clone(&parts.chain),
        limits: server::Limits::default(),
    };
    let forwarder = Forwarder::new(parts.beacon.clone(), FORWARD_WITHIN);
    let observer = parts.telemetry.api_observer();
    match server::Server::bind(server_config, api, forwarder, observer).await {
        Ok(server) => {
            info!(address = %server.address(), "serving validator clients");
            Ok(Some(server))
        }
        // Several nodes on one machine, each signing by itself: nobody asks the second one.
        Err(error @ server::ServeError::Listen { .. }) if !config.is_needed => {
            warn!(%error, "no validator clients are served; name another address with --validator-api-address");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens what a cluster needs and puts its shell together.
async fn start(
    cluster: Opened,
    context: Context<'_>,
    outcomes: OutcomeStream,
    started: Timestamp,
    stop: &CancellationToken,
) -> Result<Started, StartError> {
    let Opened {
        config,
        folder,
        lock_hash,
        telemetry,
        validators,
        _held,
    } = cluster;
    let Context {
        chain,
        clock,
        workers,
        beacon,
        ..
    } = context;
    let data = folder.paths.data.clone();
    let peers = folder
        .lock
        .peers()
        .map_err(|error| StartError::Stopped(error.to_string()))?;
    let keys = KeyTable::new(
        folder
            .lock
            .validators()
            .iter()
            .map(|validator| (validator.public_key, validator.public_shares.clone())),
    )
    .map_err(|source| StartError::Keys {
        lock: folder.paths.lock.clone(),
        source,
    })?;
    let signing = config.signers.of(&validators);
    let (database, opened) =
        open_database(&data, &config, signing.kind, context, &validators).await?;
    let codec = Codec::new(
        peers.iter().map(|peer| peer.public_key).collect(),
        HANDLED_KINDS,
        chain.spec.sizes,
    );
    let boot = BootId::current().map_err(|source| StartError::System {
        what: "reading the boot id",
        source,
    })?;
    let (vote_log, logged) = VoteLog::open(&data, boot, clock.now())?;
    let logged_votes =
        votes::decode(&logged.records.concat(), &codec, folder.me).map_err(|source| {
            StartError::Votes {
                folder: data.clone(),
                source: Box::new(source),
            }
        })?;

    let me = folder.me;
    let threshold = folder.lock.threshold();
    let name = folder.lock.name().to_owned();
    let lock = folder.lock.clone();
    let overrides = Overrides::open(&config.overrides_file, &lock)?;
    let graffiti = Graffiti::new(
        &context.config.graffiti,
        context.config.graffiti_names_client,
        &validators,
    )?;
    let graffiti = graffiti.on(&beacon.version().await.unwrap_or_default());
    let exits = Exits::open(&data)?;
    let identity = folder.identity.clone();
    let signer = match signing.kind {
        SignerKind::ValidatorClient => None,
        SignerKind::Builtin | SignerKind::Mixed(_) => {
            Some(open_signer(folder, &config, signing.builtin, workers).await?)
        }
    };
    let members: BTreeSet<PublicKeyBytes> = validators.iter().copied().collect();
    let mut engine = Engine::new(duty::Config {
        cluster: duty::Cluster {
            me,
            nodes: peers.len(),
            threshold,
            validators: members.clone(),
        },
        chain: Arc::clone(chain),
        builtin: signer
            .iter()
            .flat_map(Signer::validators)
            .copied()
            .collect(),
        started: logged.complete_since,
        votes_known: false,
        faults: Faults::default(),
    });
    engine.restore(logged_votes.votes);

    let mut network = p2p::Config::new(
        identity.to_bytes(),
        peers
            .iter()
            .map(|peer| peer.public_key.to_compressed())
            .collect(),
        me.get(),
    );
    network.listen = config.listen.iter().map(multiaddr).collect();
    network.addresses = config.peers.clone();
    network.cancellation = stop.child_token();
    let (handle, events) = Network::start(network).map_err(Box::new)?;
    for address in handle.listen_addresses() {
        info!(%address, "listening for peers");
    }
    telemetry.chain(chain);
    let inbox = Shell::inbox();
    let rehearsal = context.config.synthetic_proposals.then(Rehearsal::default);
    let parts = Arc::new(Parts {
        me,
        threshold,
        rosters: Rosters::new(validators.clone(), Arc::clone(chain), rehearsal)
            .counted_by(telemetry.clone()),
        validators,
        members,
        hash: hex::encode(lock_hash)[..7].to_owned(),
        data_folder: data,
        chain: Arc::clone(chain),
        clock: clock.clone(),
        codec,
        identity,
        network: handle,
        database,
        workers: workers.clone(),
        keys: Arc::new(keys),
        signer,
        beacon: beacon.clone(),
        telemetry,
        outcomes,
        builder_api: context.config.builder_api,
        graffiti,
        plural: AtomicBool::new(false),
        clients: Clients::new(inbox.0.clone()),
        inclusion: Inclusion::default(),
        exits: Arc::new(Mutex::new(exits)),
        introduction: PeerInfo {
            version: PEER_VERSION.into(),
            lock_hash: lock_hash.to_vec(),
            sent_at: None,
            started_at: Some(started),
            git_hash: "unknown".into(),
            builder_api: context.config.builder_api,
            nickname: context.config.nickname.clone(),
            client: "flotilla".into(),
        },
    });
    let api = bind_api(&config.validator_api, &parts, &lock).await?;
    let sender = inbox.0.clone();
    let shell = Shell::new(Arc::clone(&parts), engine, vote_log, events, inbox);
    let cluster = chores::Cluster {
        parts,
        inbox: sender,
        name,
        lock,
        builder_api: context.config.builder_api,
        lock_hash,
        signer: signing.kind.name(),
        opened,
        started_ms: started.as_millis(),
        heard: Mutex::new(BTreeMap::new()),
        health: Health::default(),
        client_activity: api
            .as_ref()
            .filter(|_| signing.kind != SignerKind::Builtin)
            .map(server::Server::activity),
        is_client_silent: AtomicBool::new(false),
        _held,
    };
    Ok(Started {
        cluster,
        shell,
        overrides,
        api,
    })
}

fn multiaddr(address: &std::net::SocketAddr) -> p2p::Multiaddr {
    let family = if address.is_ipv4() { "ip4" } else { "ip6" };
    let text = format!("/{family}/{}/tcp/{}", address.ip(), address.port());
    text.parse()
        .expect("an address and a port make a multiaddress")
}

async fn open_database(
    data: &std::path::Path,
    config: &ClusterConfig,
    signer: SignerKind,
    context: Context<'_>,
    validators: &[PublicKeyBytes],
) -> Result<(Database, slashing::OpenReport), StartError> {
    let now = context.chain.slot_at(context.clock.now());
    // S4: whether anything can have been signed before. If the beacon node does not say, assume that it has.
    let validators_active = match now.map(|slot| context.chain.epoch_of(slot)) {
        None => false,
        Some(epoch) => match context.beacon.validators(validators).await {
            Ok(found) => found
                .iter()
                .any(|validator| duties::is_active_in(validator, epoch)),
            Err(_) => true,
        },
    };
    let (folder, signer, change_signer) = (data.to_owned(), Some(signer), config.change_signer);
    let (genesis_validators_root, slots_per_epoch) = (
        context.chain.genesis_validators_root,
        context.chain.spec.slots_per_epoch,
    );
    let members = validators.iter().copied().collect();
    let opened = tokio::task::spawn_blocking(move || {
        // Before opening: the floors of an import decide what the doubts found there forbid.
        let imported = slashing::import_pending(&folder, genesis_validators_root, &members)?;
        let opened = Database::open(&Opening {
            folder: &folder,
            genesis_validators_root,
            now,
            slots_per_epoch,
            validators_active,
            signer,
            change_signer,
            share_epoch: ShareEpoch(0),
            machine: slashing::machine_id(),
        })?;
        Ok::<_, StartError>((imported, opened))
    })
    .await
    .map_err(|error| StartError::Stopped(format!("opening the slashing database: {error}")))?;
    let (imported, (database, report)) = opened?;
    if let Some(imported) = imported {
        tell_import(&imported);
    }
    for doubt in &report.doubts {
        warn!(%doubt, "slashing database");
    }
    if let Some(embargo) = report.embargo {
        warn!(
            after_epoch = embargo.epoch.0,
            exempt = report.exempt,
            "nothing is signed for this epoch, since the database may be older than the last signature (S4)"
        );
    }
    Ok((database, report))
}

fn tell_import(imported: &Imported) {
    let newest = imported.newest();
    info!(
        validators = imported.floors.len(),
        newest_target = newest.target.map(|epoch| epoch.0),
        newest_slot = newest.slot.map(|slot| slot.0),
        file = slashing::IMPORTED_FILE_NAME,
        "imported the history of earlier signers: nothing at or below it is signed again"
    );
    if imported.absent > 0 || imported.foreign > 0 {
        warn!(
            absent = imported.absent,
            foreign = imported.foreign,
            "the imported history lacks validators of this cluster, or has others, which are left out"
        );
    }
}

async fn open_signer(
    folder: Folder,
    config: &ClusterConfig,
    builtin: BTreeSet<PublicKeyBytes>,
    workers: &Workers,
) -> Result<Signer, StartError> {
    let passwords = match &config.password_file {
        Some(path) => Passwords::File(path.clone()),
        None => Passwords::Beside,
    };
    let mut shares = tokio::task::spawn_blocking(move || folder.shares(&passwords))
        .await
        .map_err(|error| StartError::Stopped(format!("opening keystores: {error}")))??;
    shares
        .warnings
        .iter()
        .for_each(|warning| warn!(%warning, "keystores"));
    // S7: with the others a validator client signs.
    shares
        .secrets
        .retain(|validator, _| builtin.contains(validator));
    info!(
        shares = shares.secrets.len(),
        "built-in signer holds our key shares"
    );
    Ok(Signer::new(shares.secrets, workers.clone()))
}

/// Starts what goes on beside duties. Dropping the set ends it at once.
fn spawn_chores(
    running: &[Arc<chores::Cluster>],
    beacon: &BeaconNode,
    clock: &Clock,
    chain: &Arc<Chain>,
    ready: watch::Sender<Readiness>,
    status: watch::Sender<Status>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (node, time, facts) = (beacon.clone(), clock.clone(), Arc::clone(chain));
    tasks.spawn(chores::every_slot(
        running.to_vec(),
        node,
        time,
        facts,
        ready,
        status,
    ));
    let (node, time, facts) = (beacon.clone(), clock.clone(), Arc::clone(chain));
    tasks.spawn(chores::follow_head(running.to_vec(), node, time, facts));
    for cluster in running.iter().cloned() {
        tasks.spawn(health::keep_watch(Arc::clone(&cluster)));
        tasks.spawn(inclusion::every_epoch(Arc::clone(&cluster)));
        tasks.spawn(chores::ask_peers(cluster));
    }
    tasks
}
