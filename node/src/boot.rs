//! What a node consists of, and how it starts and stops: every part is made and wired here and nowhere else.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rejoin_actors::{
    clock::Clock,
    control::{ControlPlane, ControlSeed},
    disk::FolderStorage,
    events::{NodeEvent, NodeEvents},
    links::{
        acks::AckBoard,
        run::{self as links, LinksSeed},
        ticker::TickerSignal,
        traffic::Traffic,
    },
    live_settings::LiveSettings,
    messages::{
        buffer_manager::SetBudget,
        links::{LINKS_INBOX_MAX, LinksMessage},
        shard::{SHARD_INBOX_MAX, ShardMessage},
    },
    shard::{
        metrics::MetricsRecorder,
        run::{self as shard, CannotServe, ShardSeed},
    },
};
use rejoin_commands::Settings;
use rejoin_persistence::{
    log::{HotLog, LogHandle},
    storage::Storage,
};
use rejoin_protocol::{ByteCount, Offset, ReplicationId};
use rejoin_transports::{
    Transport,
    tls::{TcpOrTls, TlsShared},
};
use thiserror::Error;
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};

/// How a node is to be.
pub struct NodeOptions {
    /// The settings, by the names of redis.conf.
    pub settings: Settings,
    /// The configuration file, for INFO; empty if there is none.
    pub config_file: String,
    /// How other nodes are reached; `None` is TCP, or TLS if `tls-replication` says so. Clients and stock replicas come
    /// by what `port`, `tls-port` and `unixsocket` say.
    pub transport: Option<Arc<dyn Transport>>,
    /// `port 0` is any port that is free, not none.
    pub any_port: bool,
    /// Where the node's metrics go, once a second; nowhere by default. Never the process-wide recorder: several nodes in one
    /// process have one each.
    pub recorder: Option<MetricsRecorder>,
    /// Where the node keeps its files; `None` is the folder `dir`.
    pub storage: Option<Arc<dyn Storage>>,
    /// [`Node::start`] returns when what is on disk is loaded, not as soon as clients are let in (who are told to wait).
    pub waits_for_load: bool,
}

impl NodeOptions {
    /// A node with these settings that reaches others as they say, and for which `port 0` is any port.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            config_file: String::new(),
            transport: None,
            any_port: true,
            recorder: None,
            storage: None,
            waits_for_load: true,
        }
    }
}

/// Why a node cannot start, or did not do what it was asked.
#[derive(Debug, Error)]
pub enum NodeError {
    /// Clients cannot be served.
    #[error(transparent)]
    CannotServe(CannotServe),
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    NoThread(io::Error),
    /// `dir` cannot be used.
    #[error("Can't chdir to '{dir}': {error}")]
    BadDir {
        /// The setting.
        dir: String,
        /// Why.
        error: io::Error,
    },
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

/// A running node. Dropping it without [`Node::shutdown`] stops it at once.
pub struct Node {
    addresses: Vec<SocketAddr>,
    log: LogHandle,
    shutdown_timeout: Duration,
    shard: async_mpsc::Sender<ShardMessage>,
    links: async_mpsc::Sender<LinksMessage>,
    control: ControlPlane,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts a node. When this returns, it serves (unless [`NodeOptions::waits_for_load`] says otherwise); what happens to it later comes as events.
    pub fn start(options: NodeOptions) -> Result<(Self, mpsc::Receiver<NodeEvent>), NodeError> {
        let NodeOptions { mut settings, config_file, transport, any_port, recorder, storage, waits_for_load } =
            options;
        let tls = Arc::new(TlsShared::default());
        let transport = transport.unwrap_or_else(|| Arc::new(TcpOrTls::new(tls.clone())));
        let (events, received) = NodeEvents::channel();
        let clock = Clock::start();
        let dir = std::path::absolute(&settings.dir)
            .and_then(std::fs::canonicalize)
            .map_err(|error| NodeError::BadDir { dir: settings.dir.clone(), error })?;
        settings.dir = dir.to_string_lossy().into_owned();
        let storage = storage.unwrap_or_else(|| Arc::new(FolderStorage::new(dir.clone())));
        let replid = ReplicationId::from_random(rand::random());
        let hot_log = HotLog::new(Offset::ZERO, ByteCount::new(settings.repl_backlog_bytes));
        let log = hot_log.handle();
        let ticker = Arc::new(TickerSignal::default());
        let traffic = Arc::new(Traffic::default());
        let acks = Arc::new(AckBoard::default());
        let live_settings = watch::Sender::new(LiveSettings::of(&settings));
        let (shard_sender, shard_inbox) = async_mpsc::channel(SHARD_INBOX_MAX);
        let (links_sender, links_inbox) = async_mpsc::channel(LINKS_INBOX_MAX);
        let shutdown_timeout = Duration::from_secs(settings.shutdown_timeout_seconds);

        let (control, control_thread) = ControlPlane::start(ControlSeed {
            replid,
            log: log.clone(),
            budget: SetBudget::of(&settings),
            storage: storage.clone(),
            log_folder: settings.log.folder.clone().into(),
            settings: live_settings.subscribe(),
            dir: dir.clone(),
            shard: shard_sender.clone(),
            links: links_sender.clone(),
            clock,
            events: events.clone(),
        })
        .map_err(NodeError::NoThread)?;
        let mut node = Self {
            addresses: Vec::new(),
            log: log.clone(),
            shutdown_timeout,
            shard: shard_sender,
            links: links_sender,
            control: control.clone(),
            threads: vec![control_thread],
        };

        let seed = LinksSeed {
            transport,
            log,
            ticker: ticker.clone(),
            traffic: traffic.clone(),
            acks: acks.clone(),
            settings: live_settings.subscribe(),
            clock,
            reports: control.links_reports(),
            events: events.clone(),
            inbox: links_inbox,
        };
        node.spawn("links", move || {
            if let Err(error) = links::run(seed) {
                tracing::error!(%error, "the links ended in an error");
            }
        })?;

        let (started, when_started) = mpsc::channel();
        let seed = ShardSeed {
            settings,
            any_port,
            tls,
            config_file,
            replid,
            log: hot_log,
            control,
            ticker,
            traffic,
            acks,
            live_settings,
            events,
            clock,
            inbox: shard_inbox,
            reports: node.shard.downgrade(),
            storage,
            recorder,
            waits_for_load,
            random: rand::random,
        };
        node.spawn("shard", move || shard::run(seed, &started))?;
        match when_started.recv() {
            Ok(Ok(addresses)) => node.addresses = addresses,
            Ok(Err(error)) => return Err(NodeError::CannotServe(error)),
            Err(_) => return Err(NodeError::Ended),
        }
        Ok((node, received))
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), NodeError> {
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(NodeError::NoThread)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Where clients are served; port 0 in the settings has become a real one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The last byte of the replication stream.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.log.visible()
    }

    /// Executes one command, as a client would send it, and returns its reply as RESP. Not from within an async
    /// runtime's thread: it blocks until the shard has had its turn.
    pub fn execute<A: Into<Vec<u8>>>(&self, args: impl IntoIterator<Item = A>) -> Result<Vec<u8>, NodeError> {
        let args = args.into_iter().map(Into::into).collect();
        let (answer, reply) = oneshot::channel();
        self.shard.blocking_send(ShardMessage::Execute { args, answer }).map_err(|_| NodeError::Ended)?;
        reply.blocking_recv().map_err(|_| NodeError::Ended)
    }

    /// Begins to leave, as SHUTDOWN does, and as `setting` says (`shutdown-on-sigterm`, `shutdown-on-sigint`): replicas
    /// get their time unless it says `now`, and SHUTDOWN ABORT calls it off. When the time has come,
    /// [`NodeEvent::ShutdownRequested`] says so.
    pub fn request_shutdown_as(&self, setting: &'static str) -> Result<(), NodeError> {
        self.shard.blocking_send(ShardMessage::Shutdown { setting }).map_err(|_| NodeError::Ended)
    }

    /// Stops the node without saving it (that is what SHUTDOWN and [`Node::request_shutdown_as`] do), in this order: clients are refused and the last turn is published; replicas get the time that
    /// `shutdown-timeout` gives to receive it (none if `now`); then links, actors and threads end.
    pub fn shutdown(mut self, now: bool) -> Result<(), NodeError> {
        let (answer, drained) = oneshot::channel();
        self.shard.blocking_send(ShardMessage::Drain { answer }).map_err(|_| NodeError::Ended)?;
        let offset = drained.blocking_recv().map_err(|_| NodeError::Ended)?;
        if !now {
            self.wait_for_replicas(offset)?;
        }
        self.stop_all();
        Ok(())
    }

    /// Waits until all replicas have acknowledged `offset`, for as long as `shutdown-timeout` allows.
    fn wait_for_replicas(&self, offset: Offset) -> Result<(), NodeError> {
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + self.shutdown_timeout;
        loop {
            let (answer, behind) = oneshot::channel();
            self.shard
                .blocking_send(ShardMessage::ReplicasBehind { offset, answer })
                .map_err(|_| NodeError::Ended)?;
            let behind = behind.blocking_recv().map_err(|_| NodeError::Ended)?;
            if behind == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                tracing::warn!(%offset, behind, "replicas did not acknowledge the last writes within shutdown-timeout");
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn stop_all(&mut self) {
        // Whoever does not listen any more has ended already.
        let _ = self.shard.try_send(ShardMessage::Stop);
        let _ = self.links.try_send(LinksMessage::Stop);
        self.control.stop();
        for thread in self.threads.drain(..) {
            // A panic was reported as an event when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop_all();
    }
}
