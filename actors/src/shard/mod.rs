//! The shard: keyspace, log and client connections on one thread; the data plane, without actors.
//!
//! A connection is a task that reads and decodes ([`connection`]). The first connection with work wakes the one
//! flusher task; when that runs, every connection that had become readable has decoded its requests, and the turn
//! ([`turn`]) executes them together, appends the log once, and only then writes replies, one write per client.
//! What the control plane asks for comes through an inbox ([`inbox`]); the master's stream is one more task
//! ([`upstream`]); clocks stand in [`ticks`].
//!
//! Invariants:
//! * nobody but this thread touches the engine and the writing end of the log;
//! * no reply is written before the log has the bytes of the turn;
//! * while the node follows a master, the log takes the master's bytes and nothing else.

mod admission;
mod config_file;
pub(crate) mod connection;
mod descriptors;
pub(crate) mod effects;
pub(crate) mod execute;
mod failover;
mod history;
mod host;
pub(crate) mod inbox;
pub(crate) mod listener;
mod loading;
pub(crate) mod log_files;
pub mod metrics;
pub(crate) mod process;
mod recovery;
pub mod run;
mod saving;
mod shutdown;
pub(crate) mod ticks;
pub(crate) mod turn;
pub(crate) mod upstream;

pub(crate) use history::limits_of;

use std::{
    cell::RefCell,
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rejoin_commands::{Engine, node::status::SyncStatus};
use rejoin_persistence::{
    log::{HotLog, LogHandle},
    storage::Storage,
};
use rejoin_protocol::{ClientId, Offset, UnixMillis};
use rejoin_replication::Lineage;
use rejoin_transports::tls::TlsShared;
use slab::Slab;
use tokio::sync::Notify;

use crate::{
    control::ControlPlane,
    events::NodeEvents,
    links::{acks::AckBoard, ticker::TickerSignal, traffic::Traffic},
    live_settings::LiveSettings,
    messages::{links::FailoverFlag, shard::ShardMessage},
    shard::{
        connection::Connection, log_files::DiskLog, metrics::NodeMetrics, saving::BackgroundSave,
        shutdown::PendingShutdown, upstream::UpstreamStream,
    },
};

/// The shard, as its tasks share it.
pub type SharedShard = Rc<RefCell<Shard>>;

/// Keyspace, log and connections.
pub struct Shard {
    pub(crate) engine: Engine,
    pub(crate) log: HotLog,
    /// What readers of the log see.
    pub(crate) log_handle: LogHandle,
    /// The log's files, where it is kept on disk.
    pub(crate) disk: Option<DiskLog>,
    /// What was applied of the master's stream and is not in the log yet: whole commands, up to a border.
    pub(crate) unwritten: Vec<u8>,
    /// What was applied behind that border: the beginning of a transaction.
    pub(crate) tail: Vec<u8>,
    /// Replies that were held back may go, at the next tick.
    pub(crate) releases_held: bool,
    /// The stream's name and those that it continued; changes here first.
    pub(crate) lineage: Lineage,
    /// The stream came from a master that named it.
    pub(crate) has_masters_stream: bool,
    pub(crate) connections: Slab<Connection>,
    /// Where each client's connection lies: as many as there are connections.
    pub(crate) keys: HashMap<ClientId, usize>,
    /// Connections with decoded requests, in the order in which they came.
    pub(crate) ready: Vec<usize>,
    /// Wakes the flusher task.
    pub(crate) flusher: Option<Waker>,
    /// The flusher has been woken and has not run yet.
    pub(crate) flusher_is_woken: bool,
    pub(crate) next_client: u64,
    /// The master's stream, while this node follows one and is in sync.
    pub(crate) upstream: Option<UpstreamStream>,
    /// Counts changes of whom this node follows: what was begun for an older master is void.
    pub(crate) following: u64,
    pub(crate) control: ControlPlane,
    pub(crate) ticker: Arc<TickerSignal>,
    pub(crate) events: NodeEvents,
    /// Set when the node is to stop; tasks end when they see it.
    pub(crate) stopping: bool,
    /// The data is saved for good: the stream gets nothing more that a start from that file would not know.
    pub(crate) is_saved_for_good: bool,
    /// A shutdown that waits for replicas.
    pub(crate) shutdown: Option<PendingShutdown>,
    /// Where files are kept, relative to `dir`.
    pub(crate) storage: Arc<dyn Storage>,
    /// The other end of the inbox, for threads that report.
    pub(crate) reports: tokio::sync::mpsc::WeakSender<ShardMessage>,
    /// A save that runs in the background.
    pub(crate) save: Option<BackgroundSave>,
    /// Counts saves: each has a number.
    pub(crate) saves_begun: u64,
    /// Counts sets of files of the log: each has a number.
    pub(crate) sets_begun: u64,
    /// How encrypted connections are made.
    pub(crate) tls: Arc<TlsShared>,
    /// Clients whose TLS handshake runs.
    pub(crate) handshakes: usize,
    /// When a client that speaks HTTP was last warned of.
    pub(crate) http_refused_at: Option<Instant>,
    /// What replicas acknowledge.
    pub(crate) acks: Arc<AckBoard>,
    /// The links were told that somebody waits for it.
    pub(crate) awaits_acks: bool,
    /// Tells the stream from the master that more is on disk.
    pub(crate) durable_moved: Rc<Notify>,
    /// How the `Master` has brought replicas in step, as it told last.
    pub(crate) syncs_told: SyncStatus,
    /// It was told what `client-output-buffer-limit replica` means here: with the first replica, and when it is set.
    pub(crate) has_told_replica_limit: bool,
    /// Counts failovers: each has a number.
    pub(crate) failovers_begun: u64,
    /// Who is to take our place, while that is known.
    pub(crate) failover_target: Option<(String, u16)>,
    /// Whether the target has answered; the last failover's.
    pub(crate) failover_flag: Arc<FailoverFlag>,
    /// Settings of replication, for those who keep to them.
    pub(crate) live_settings: tokio::sync::watch::Sender<LiveSettings>,
    /// Bytes to and from other nodes, counted by the links.
    pub(crate) traffic: Arc<Traffic>,
    /// What metrics were registered, where somebody wants them.
    pub(crate) metrics: Option<NodeMetrics>,
    /// The thresholds of small collections, for those who load some.
    pub(crate) limits: tokio::sync::watch::Sender<rejoin_keyspace::Limits>,
    /// Random bytes for replication ids.
    pub(crate) random_id: fn() -> [u8; 20],
}

/// The time, in milliseconds since the Unix epoch.
#[must_use]
pub fn unix_now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl Shard {
    /// The last byte of the stream that is applied and logged.
    #[must_use]
    pub(crate) fn offset(&self) -> Offset {
        self.engine.log.offset()
    }

    /// Tells the engine what time it is.
    pub(crate) fn set_clock(&mut self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = i64::try_from(since.as_micros()).unwrap_or(i64::MAX);
        self.engine.now = UnixMillis::new(micros / 1000);
        self.engine.now_micros = micros;
    }

    /// Takes a connection out of the shard.
    pub(crate) fn remove_connection(&mut self, key: usize) -> Connection {
        let connection = self.connections.remove(key);
        self.keys.remove(&connection.client);
        connection
    }

    /// Wakes the flusher, unless it is awake.
    pub(crate) fn wake_flusher(&mut self) {
        if self.flusher_is_woken {
            return;
        }
        self.flusher_is_woken = true;
        if let Some(waker) = &self.flusher {
            waker.wake_by_ref();
        }
    }

    pub(crate) fn connection_of(&self, client: ClientId) -> Option<usize> {
        self.keys.get(&client).copied()
    }
}
