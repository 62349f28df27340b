//! The shard's thread, from its start to its end.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc as std_mpsc},
    time::Duration,
};

use rejoin_commands::{Engine, Settings};
use rejoin_keyspace::{HashSeed, KeyspaceOptions};
use rejoin_persistence::log::HotLog;
use rejoin_protocol::{Offset, ReplicationId};
use rejoin_transports::{Endpoint, tcp};
use slab::Slab;
use tokio::{net::TcpListener, sync::mpsc, task::LocalSet};

use crate::{
    clock::Clock,
    control::ControlPlane,
    events::NodeEvents,
    links::{ticker::TickerSignal, traffic::Traffic},
    messages::shard::ShardMessage,
    shard::{Shard, SharedShard, execute, inbox, listener, ticks, turn, unix_now, upstream},
};

/// How long the last replies may take to leave when the node stops.
const LAST_REPLIES: Duration = Duration::from_millis(200);

/// What the shard begins with.
pub struct ShardSeed {
    /// The settings.
    pub settings: Settings,
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
    /// Where to report.
    pub events: NodeEvents,
    /// The node's clock.
    pub clock: Clock,
    /// Messages from the control plane.
    pub inbox: mpsc::Receiver<ShardMessage>,
    /// Random bytes.
    pub random: fn() -> [u8; 20],
}

/// Runs the shard on this thread until it is told to stop. Reports the addresses it listens on, or why it cannot.
pub fn run(seed: ShardSeed, started: &std_mpsc::Sender<io::Result<Vec<SocketAddr>>>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let _guard = seed.events.guard("shard");
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let listeners = match listen(&seed.settings) {
            Ok(listeners) => listeners,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
        let (shard, inbox, clock) = begin(seed, &addresses);
        for listener in listeners {
            spawn_guarded(&shard, "listener", listener::accept_forever(shard.clone(), listener));
        }
        spawn_guarded(&shard, "flusher", turn::flush_forever(shard.clone()));
        spawn_guarded(&shard, "ticks", ticks::tick_forever(shard.clone()));
        let _ = started.send(Ok(addresses));
        let master = shard.borrow().engine.settings.replicaof.clone();
        if let Some((host, port)) = master {
            shard.borrow_mut().follow(host, port);
        }
        inbox::receive_until_stopped(shard.clone(), clock, inbox).await;
        tokio::time::sleep(LAST_REPLIES).await;
    });
}

/// A task whose panic is reported as the loss of the shard: the runtime would only drop it.
fn spawn_guarded(shard: &SharedShard, part: &'static str, task: impl Future<Output = ()> + 'static) {
    let guard = shard.borrow().events.guard(part);
    tokio::task::spawn_local(async move {
        let _guard = guard;
        task.await;
    });
}

fn listen(settings: &Settings) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for bind in &settings.bind {
        // Redis' "-": not an error if the address is not there.
        let (host, is_optional) = bind.strip_prefix('-').map_or((bind.as_str(), false), |host| (host, true));
        let at = Endpoint::new(host, settings.port);
        match tcp::listen(&at, settings.tcp_backlog.try_into().unwrap_or(i32::MAX))
            .and_then(TcpListener::from_std)
        {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_optional && is_absent(&error) => {}
            Err(error) => return Err(io::Error::new(error.kind(), format!("bind: {at}: {error}"))),
        }
    }
    if listeners.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            "none of the addresses in 'bind' can be listened on",
        ));
    }
    Ok(listeners)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(97 /* EAFNOSUPPORT */)
}

fn begin(seed: ShardSeed, addresses: &[SocketAddr]) -> (SharedShard, mpsc::Receiver<ShardMessage>, Clock) {
    let offset: Offset = seed.log.appended();
    let mut hash_seed = [0; 16];
    hash_seed.copy_from_slice(&(seed.random)()[..16]);
    let keyspace = KeyspaceOptions { databases: seed.settings.databases, seed: HashSeed::new(hash_seed) };
    let mut random_seed = [0; 8];
    random_seed.copy_from_slice(&(seed.random)()[..8]);
    let mut engine = Engine::new(seed.settings, keyspace, offset, u64::from_le_bytes(random_seed));
    engine.now = unix_now();
    let status = &mut engine.status;
    status.replid = seed.replid;
    status.hot_budget = engine.settings.repl_backlog_bytes;
    status.run_id = ReplicationId::from_random((seed.random)()).to_string();
    status.started = unix_now();
    status.tcp_port = addresses.first().map_or(engine.settings.port, SocketAddr::port);
    status.config_file = seed.config_file;
    status.executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    engine.sessions.insert(upstream::master_session());
    engine.sessions.insert(execute::in_process_session());
    let shard = Shard {
        limits: tokio::sync::watch::Sender::new(engine.settings.limits()),
        engine,
        log_handle: seed.log.handle(),
        log: seed.log,
        replid: seed.replid,
        has_masters_stream: false,
        connections: Slab::new(),
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
        http_refused_at: None,
        traffic: seed.traffic,
        random_id: seed.random,
    };
    (Rc::new(RefCell::new(shard)), seed.inbox, seed.clock)
}
