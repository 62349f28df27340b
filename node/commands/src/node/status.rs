//! What INFO and ROLE tell: plain numbers that the shard keeps up to date.

use std::collections::BTreeMap;

use rejoin_protocol::{NextOffset, Offset, ReplicaId, ReplicationId, UnixMillis};

use super::log::LogStatus;

/// One replica, as the master sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its session.
    pub id: ReplicaId,
    /// Its address.
    pub ip: String,
    /// The port it serves on.
    pub port: u16,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: &'static str,
    /// The last offset it acknowledged.
    pub offset: Offset,
    /// The last offset that it has on disk, as far as it said (FACK); zero if it never did.
    pub offset_durable: Offset,
    /// When it last acknowledged.
    pub acked_at: UnixMillis,
}

/// The link to the master, as a replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamStatus {
    /// The master's host.
    pub host: String,
    /// The master's port.
    pub port: u16,
    /// Redis' name of the link's state for ROLE: `connect`, `connecting`, `sync`, `connected`.
    pub state: &'static str,
    /// When something last came.
    pub last_io: UnixMillis,
    /// When it went down, if it is down.
    pub down_since: Option<UnixMillis>,
    /// Bytes of a running full sync received so far.
    pub sync_read_bytes: u64,
    /// Bytes of a running full sync in all, when known.
    pub sync_total_bytes: Option<u64>,
    /// Offset of what was received, applied or not.
    pub read_offset: Offset,
}

/// How far FAILOVER is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailoverState {
    /// None is under way.
    #[default]
    None,
    /// No replica has everything yet.
    WaitingForSync,
    /// We ask the target to take over.
    InProgress,
}

impl FailoverState {
    /// INFO's word for it.
    #[must_use]
    pub fn info_name(self) -> &'static str {
        match self {
            Self::None => "no-failover",
            Self::WaitingForSync => "waiting-for-sync",
            Self::InProgress => "failover-in-progress",
        }
    }
}

/// The rungs of the resync ladder, as INFO names them.
pub const RUNG_NAMES: [&str; 6] = ["continue", "history", "rewind", "delta", "base", "snapshot"];

/// What one rung of the resync ladder has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RungStatus {
    /// Resyncs that took it.
    pub syncs: u64,
    /// Bytes that they moved.
    pub bytes: u64,
}

/// How replicas were brought in step: counters of INFO stats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncStatus {
    /// Full syncs served.
    pub full: u64,
    /// Partial syncs served.
    pub partial_ok: u64,
    /// Partial syncs refused.
    pub partial_err: u64,
    /// What each rung has cost, in the order of [`RUNG_NAMES`].
    pub rungs: [RungStatus; 6],
}

impl SyncStatus {
    /// Adds what has happened from `before` to `now`. CONFIG RESETSTAT sets these to zero, and nobody who counts.
    pub fn add_since(&mut self, before: &Self, now: &Self) {
        let add = |own: &mut u64, before: u64, now: u64| *own += now.saturating_sub(before);
        add(&mut self.full, before.full, now.full);
        add(&mut self.partial_ok, before.partial_ok, now.partial_ok);
        add(&mut self.partial_err, before.partial_err, now.partial_err);
        for (own, (before, now)) in self.rungs.iter_mut().zip(before.rungs.iter().zip(&now.rungs)) {
            add(&mut own.syncs, before.syncs, now.syncs);
            add(&mut own.bytes, before.bytes, now.bytes);
        }
    }
}

/// The node's place in replication and its identity.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The stream's name.
    pub replid: ReplicationId,
    /// The name of the stream it continued, or [`ReplicationId::NONE`].
    pub replid2: ReplicationId,
    /// The first byte at which `replid2` no longer holds; `None` shows as -1.
    pub second_offset: Option<NextOffset>,
    /// All names of streams that it continued, each with its last valid byte, newest first.
    pub ancestors: Vec<(ReplicationId, Offset)>,
    /// How often this node went back to where its stream had parted from its master's.
    pub rewinds: u64,
    /// Ends of streams that were given up so and are kept in files.
    pub lost_tails: u64,
    /// Bytes of these files.
    pub lost_tail_bytes: u64,
    /// Replicas.
    pub replicas: Vec<ReplicaStatus>,
    /// The master, if this node follows one.
    pub upstream: Option<UpstreamStatus>,
    /// FAILOVER; set by the command, moved on by the shard.
    pub failover: FailoverState,
    /// The first byte of the stream that is still in memory.
    pub hot_first: NextOffset,
    /// The log's memory budget in bytes (`repl_backlog_size`).
    pub hot_budget: u64,
    /// How replicas were brought in step.
    pub syncs: SyncStatus,
    /// 40 hex digits, random per start.
    pub run_id: String,
    /// When the node started.
    pub started: UnixMillis,
    /// The port it serves on.
    pub tcp_port: u16,
    /// The configuration file, or empty.
    pub config_file: String,
    /// The executable.
    pub executable: String,
    /// The log on disk.
    pub log: LogStatus,
    /// What the operating system says of the process.
    pub process: ProcessStatus,
}

/// What the operating system says of the process; refreshed now and then.
#[derive(Clone, Debug, Default)]
pub struct ProcessStatus {
    /// Its id.
    pub id: u32,
    /// `Linux 6.1.0 x86_64`.
    pub os: String,
    /// Resident memory in bytes; 0 when not known.
    pub rss_bytes: u64,
    /// Memory of the machine in bytes; 0 when not known.
    pub machine_bytes: u64,
    /// CPU time in the kernel, all threads, microseconds.
    pub cpu_sys_micros: u64,
    /// CPU time in user mode, all threads, microseconds.
    pub cpu_user_micros: u64,
    /// CPU time in the kernel, the shard's thread, microseconds.
    pub shard_cpu_sys_micros: u64,
    /// CPU time in user mode, the shard's thread, microseconds.
    pub shard_cpu_user_micros: u64,
}

impl Default for NodeStatus {
    fn default() -> Self {
        Self {
            replid: ReplicationId::NONE,
            replid2: ReplicationId::NONE,
            second_offset: None,
            ancestors: Vec::new(),
            rewinds: 0,
            lost_tails: 0,
            lost_tail_bytes: 0,
            replicas: Vec::new(),
            upstream: None,
            failover: FailoverState::None,
            hot_first: NextOffset::FIRST,
            hot_budget: 0,
            syncs: SyncStatus::default(),
            run_id: String::new(),
            started: UnixMillis::new(0),
            tcp_port: 0,
            config_file: String::new(),
            executable: String::new(),
            log: LogStatus::default(),
            process: ProcessStatus::default(),
        }
    }
}

/// Counters of INFO stats.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused over `maxclients`.
    pub connections_rejected: u64,
    /// Commands executed.
    pub commands_processed: u64,
    /// Bytes read from clients.
    pub net_input_bytes: u64,
    /// Bytes written to clients.
    pub net_output_bytes: u64,
    /// Keys deleted because they had expired.
    pub expired_keys: u64,
    /// Share of the volatile keys that had expired and were still there after the last cycle of active expiry, percent.
    pub expired_stale_percent: f64,
    /// Cycles of active expiry that ran out of time.
    pub expire_cycles_cut: u64,
    /// Time spent in active expiry.
    pub expire_cycle_nanos: u64,
    /// Keys evicted because memory was short.
    pub evicted_keys: u64,
    /// Clients closed because they took too much memory together.
    pub evicted_clients: u64,
    /// Lookups that found something.
    pub keyspace_hits: u64,
    /// Lookups that did not.
    pub keyspace_misses: u64,
    /// Error replies.
    pub error_replies: u64,
    /// Changes since the last save.
    pub changes_since_save: u64,
    /// Saves begun.
    pub saves: u64,
    /// Bytes read from the master and from replicas.
    pub net_repl_input_bytes: u64,
    /// Bytes written to the master and to replicas.
    pub net_repl_output_bytes: u64,
    /// Reads from clients' sockets.
    pub reads_processed: u64,
    /// Writes to clients' sockets.
    pub writes_processed: u64,
    /// The most that [`crate::Engine`]'s keyspace has occupied whenever it was looked at.
    pub memory_peak_bytes: u64,
    /// Clients closed because they were over `client-output-buffer-limit`.
    pub output_limit_disconnections: u64,
    /// Error replies by their first word, for INFO errorstats.
    pub errors_by_prefix: BTreeMap<String, u64>,
}

/// A first word that is longer is taken for a text without a prefix (Redis' number).
const ERROR_PREFIX_BYTES_MAX: usize = 31;
/// First words of errors that are counted apart; past that only the total grows, so that replies cannot fill memory.
const ERROR_PREFIXES_MAX: usize = 128;

impl Stats {
    /// Counts an error reply, `-` first.
    #[cold]
    pub(crate) fn count_error(&mut self, reply: &[u8]) {
        self.error_replies += 1;
        let text = reply.get(1..).unwrap_or_default();
        let end = text.iter().take(ERROR_PREFIX_BYTES_MAX).position(|&byte| byte == b' ');
        let word = end.map_or("ERR".into(), |end| String::from_utf8_lossy(&text[..end]));
        if let Some(count) = self.errors_by_prefix.get_mut(&*word) {
            *count += 1;
        } else if self.errors_by_prefix.len() < ERROR_PREFIXES_MAX {
            self.errors_by_prefix.insert(word.into_owned(), 1);
        }
    }
}
