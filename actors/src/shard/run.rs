//! The shard's thread, from its start to its end.

use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};

use rejoin_commands::{Engine, MonotonicClock, Settings};
use rejoin_keyspace::{HashSeed, KeyspaceOptions};
use rejoin_persistence::{log::HotLog, storage::Storage};
use rejoin_protocol::{Offset, ReplicationId};
use rejoin_replication::Lineage;
use rejoin_transports::{
    Endpoint,
    tls::{TlsError, TlsShared},
};
use slab::Slab;
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, LocalSet},
};

use crate::{
    clock::Clock,
    control::ControlPlane,
    events::{NodeEvent, NodeEvents},
    links::{acks::AckBoard, ticker::TickerSignal, traffic::Traffic},
    live_settings::LiveSettings,
    messages::shard::ShardMessage,
    shard::{
        Shard, SharedShard, descriptors, execute,
        host::{self, ShardHost},
        inbox,
        listener::{self, CannotListen, Doors},
        loading,
        metrics::{MetricsRecorder, NodeMetrics},
        process, ticks, turn, unix_now, upstream,
    },
};

/// How long the last replies may take to leave when the node stops.
const LAST_REPLIES: Duration = Duration::from_millis(200);

/// What the shard begins with.
pub struct ShardSeed {
    /// The settings.
    pub settings: Settings,
    /// `port 0` is any port, not none.
    pub any_port: bool,
    /// How encrypted connections are made, shared with the links.
    pub tls: Arc<TlsShared>,
    /// The configuration file, for INFO.
    pub config_file: String,
    /// The stream's name.
    pub replid: ReplicationId,
    /// The writing end of the log; the stream stands at its end.
    pub log: HotLog,
    /// Where the control plane is.
    pub control: ControlPlane,
    /// Tells the links that the log has grown.
    pub ticker: Arc<TickerSignal>,
    /// Counts bytes to and from other nodes.
    pub traffic: Arc<Traffic>,
    /// What replicas acknowledge.
    pub acks: Arc<AckBoard>,
    /// Settings of replication, for those who keep to them.
    pub live_settings: watch::Sender<LiveSettings>,
    /// Where to report.
    pub events: NodeEvents,
    /// The node's clock.
    pub clock: Clock,
    /// Messages from the control plane.
    pub inbox: mpsc::Receiver<ShardMessage>,
    /// The other end of that inbox, for the disk's thread.
    pub reports: mpsc::WeakSender<ShardMessage>,
    /// Where files are kept.
    pub storage: Arc<dyn Storage>,
    /// Where metrics go, if anywhere.
    pub recorder: Option<MetricsRecorder>,
    /// `started` is answered when the data is loaded, not as soon as clients are let in.
    pub waits_for_load: bool,
    /// Random bytes.
    pub random: fn() -> [u8; 20],
}

/// Why clients cannot be served, in redis-server's words.
#[derive(Debug, Error)]
pub enum CannotServe {
    /// The runtime cannot be had.
    #[error("cannot start the shard: {0}")]
    Runtime(io::Error),
    /// An address cannot be listened at.
    #[error("Could not create server TCP listening socket {at}: bind: {error}")]
    Port {
        /// Which.
        at: Endpoint,
        /// Clients would speak TLS there.
        is_tls: bool,
        /// Why.
        error: io::Error,
    },
    /// The unix socket cannot be listened at.
    #[error("Failed opening Unix socket: bind: {0}")]
    UnixSocket(String),
    /// No TLS.
    #[error("{0}\nFailed to configure TLS. Check logs for more info.")]
    Tls(TlsError),
    /// What is on disk cannot be loaded.
    #[error("{0}")]
    Data(String),
    /// No port, no unix socket.
    #[error("Configured to not listen anywhere, exiting.")]
    Nowhere,
}

/// Runs the shard on this thread until it is told to stop. Reports the addresses it listens on, or why it cannot.
pub fn run(seed: ShardSeed, started: &std_mpsc::Sender<Result<Vec<SocketAddr>, CannotServe>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(CannotServe::Runtime(error)));
            return;
        }
    };
    let _guard = seed.events.guard("shard");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let mut seed = seed;
        let doors = match open_doors(&mut seed) {
            Ok(doors) => doors,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let addresses: Vec<SocketAddr> = doors.addresses().map(|(address, _)| address).collect();
        let (reports, storage) = (seed.reports.clone(), seed.storage.clone());
        let waits_for_load = seed.waits_for_load;
        let (shard, inbox, clock) = begin(seed);
        shard.borrow_mut().prepare_load();
        if let Err(error) = begin_to_serve(&shard, doors) {
            let _ = started.send(Err(CannotServe::UnixSocket(crate::words_of(&error))));
            return;
        }
        let events = shard.borrow().events.clone();
        spawn_guarded(&events, "flusher", turn::flush_forever(shard.clone()));
        spawn_guarded(&events, "ticks", ticks::tick_forever(shard.clone()));
        if !waits_for_load {
            let _ = started.send(Ok(addresses.clone()));
        }
        let (report, loading) = (started.clone(), shard.clone());
        spawn_guarded(&events, "loading", async move {
            let outcome = loading::load(&loading, storage, reports, !waits_for_load).await;
            if waits_for_load {
                let _ = report.send(outcome.map(|()| addresses).map_err(CannotServe::Data));
            } else if let Err(reason) = outcome {
                loading.borrow().events.report(NodeEvent::CannotLoad { reason });
            }
        });
        inbox::receive_until_stopped(shard.clone(), clock, inbox).await;
        tokio::time::sleep(LAST_REPLIES).await;
    });
}

/// A task whose panic is reported as the loss of the shard: the runtime would only drop it.
pub(super) fn spawn_guarded(
    events: &NodeEvents,
    part: &'static str,
    task: impl Future<Output = ()> + 'static,
) -> AbortHandle {
    let guard = events.guard(part);
    let task = tokio::task::spawn_local(async move {
        let _guard = guard;
        task.await;
    });
    task.abort_handle()
}

/// Everything that can be in the way of serving. Port 0 and a `maxclients` that the system does not give become what
/// they are.
fn open_doors(seed: &mut ShardSeed) -> Result<Doors, CannotServe> {
    let settings = &mut seed.settings;
    if let Err(most) = descriptors::make_room(settings.maxclients) {
        tracing::warn!(
            "maxclients has been reduced to {most} to compensate for low ulimit. If you need higher maxclients \
             increase 'ulimit -n'."
        );
        settings.maxclients = most;
    }
    host::configure_tls(settings, &seed.tls).map_err(CannotServe::Tls)?;
    let mut wanted = listener::wanted(settings);
    if settings.port == 0 && seed.any_port {
        wanted.extend(listener::wanted_at(settings, 0, false));
    }
    let mut doors = Doors::default();
    doors
        .change(&wanted, settings.tcp_backlog)
        .map_err(|CannotListen { at, is_tls, error }| CannotServe::Port { at, is_tls, error })?;
    doors.open_unix(settings).map_err(|error| CannotServe::UnixSocket(crate::words_of(&error)))?;
    if doors.is_empty() && !seed.any_port {
        return Err(CannotServe::Nowhere);
    }
    if let Some((address, _)) = doors.addresses().find(|(_, is_tls)| !is_tls) {
        settings.port = address.port();
    }
    Ok(doors)
}

/// Lets clients in, and gives the engine its world.
fn begin_to_serve(shard: &SharedShard, mut doors: Doors) -> io::Result<()> {
    let (events, tls) = {
        let shard = shard.borrow();
        (shard.events.clone(), shard.tls.clone())
    };
    doors.let_in(shard, &events)?;
    let host = ShardHost::new(Rc::downgrade(shard), events, doors, tls);
    shard.borrow_mut().engine.host = Box::new(host);
    Ok(())
}

/// The clock that commands are timed by: the processor's counter where it is steady (some 10 ns per look), the operating
/// system's clock elsewhere. It is calibrated here once per process, which takes a few milliseconds.
fn command_clock() -> MonotonicClock {
    let clock = quanta::Clock::new();
    Box::new(move || clock.delta_as_nanos(0, clock.raw()))
}

fn begin(seed: ShardSeed) -> (SharedShard, mpsc::Receiver<ShardMessage>, Clock) {
    let offset: Offset = seed.log.appended();
    let mut hash_seed = [0; 16];
    hash_seed.copy_from_slice(&(seed.random)()[..16]);
    let keyspace = KeyspaceOptions { databases: seed.settings.databases, seed: HashSeed::new(hash_seed) };
    let mut random_seed = [0; 8];
    random_seed.copy_from_slice(&(seed.random)()[..8]);
    let mut engine = Engine::new(seed.settings, keyspace, offset, u64::from_le_bytes(random_seed));
    engine.set_clock(command_clock());
    engine.now = unix_now();
    let status = &mut engine.status;
    status.replid = seed.replid;
    status.hot_budget = engine.settings.repl_backlog_bytes;
    status.run_id = ReplicationId::from_random((seed.random)()).to_string();
    status.started = unix_now();
    process::look(&mut status.process);
    status.tcp_port = engine.settings.port;
    status.config_file = seed.config_file;
    status.executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    engine.saving.last_saved = engine.status.started;
    engine.sessions.insert(upstream::master_session());
    engine.sessions.insert(execute::in_process_session());
    let shard = Shard {
        limits: tokio::sync::watch::Sender::new(engine.settings.limits()),
        engine,
        log_handle: seed.log.handle(),
        log: seed.log,
        disk: None,
        unwritten: Vec::new(),
        tail: Vec::new(),
        releases_held: false,
        lineage: Lineage::new(seed.replid),
        has_masters_stream: false,
        connections: Slab::new(),
        keys: HashMap::new(),
        ready: Vec::new(),
        flusher: None,
        flusher_is_woken: false,
        next_client: execute::FIRST_CLIENT,
        upstream: None,
        following: 0,
        control: seed.control,
        ticker: seed.ticker,
        events: seed.events,
        stopping: false,
        is_saved_for_good: false,
        shutdown: None,
        storage: seed.storage,
        reports: seed.reports,
        save: None,
        saves_begun: 0,
        sets_begun: 0,
        tls: seed.tls,
        handshakes: 0,
        http_refused_at: None,
        traffic: seed.traffic,
        acks: seed.acks,
        awaits_acks: false,
        durable_moved: Rc::default(),
        syncs_told: Default::default(),
        has_told_replica_limit: false,
        failovers_begun: 0,
        failover_target: None,
        failover_flag: Arc::default(),
        live_settings: seed.live_settings,
        metrics: seed.recorder.map(NodeMetrics::new),
        random_id: seed.random,
    };
    (Rc::new(RefCell::new(shard)), seed.inbox, seed.clock)
}
