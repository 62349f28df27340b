//! The settings, by the names of redis.conf: one table of rows, which CONFIG GET/SET, the configuration file and the
//! command line read.
//!
//! SKELETON: the fields that others use are fixed, the table comes.

/// All settings, typed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `port`.
    pub port: u16,
    /// `bind`.
    pub bind: Vec<String>,
    /// `dir`.
    pub dir: String,
    /// `logfile`; empty is stdout.
    pub logfile: String,
    /// `databases`.
    pub databases: u32,
    /// `maxclients`.
    pub maxclients: u32,
    /// `requirepass`; empty asks for none.
    pub requirepass: String,
    /// `masterauth`; empty gives none.
    pub masterauth: String,
    /// `masteruser`; empty gives none.
    pub masteruser: String,
    /// `replicaof`.
    pub replicaof: Option<(String, u16)>,
    /// `replica-read-only`.
    pub replica_read_only: bool,
    /// `replica-serve-stale-data`.
    pub replica_serve_stale_data: bool,
    /// `replica-announce-ip`.
    pub replica_announce_ip: String,
    /// `replica-announce-port`.
    pub replica_announce_port: u16,
    /// `replica-priority`.
    pub replica_priority: u32,
    /// `repl-backlog-size`, bytes.
    pub repl_backlog_bytes: u64,
    /// `repl-timeout`, seconds.
    pub repl_timeout_seconds: u64,
    /// `repl-ping-replica-period`, seconds.
    pub repl_ping_period_seconds: u64,
    /// `repl-diskless-sync-delay`, seconds.
    pub repl_diskless_sync_delay_seconds: u64,
    /// `client-output-buffer-limit replica`, hard limit in bytes; until the log has files, a replica that lags more
    /// than this is dropped. 0 is no limit.
    pub replica_lag_bytes_max: u64,
    /// `client-query-buffer-limit`, bytes.
    pub client_query_buffer_bytes_max: u64,
    /// `proto-max-bulk-len`, bytes.
    pub proto_bulk_bytes_max: u64,
    /// `hash-max-listpack-entries`.
    pub hash_listpack_entries_max: usize,
    /// `hash-max-listpack-value`.
    pub hash_listpack_value_max: usize,
    /// `timeout`, seconds; 0 is never.
    pub timeout_seconds: u64,
    /// `tcp-keepalive`, seconds; 0 is off.
    pub tcp_keepalive_seconds: u64,
    /// `tcp-backlog`.
    pub tcp_backlog: u32,
    /// `hz`.
    pub hz: u32,
    /// `loglevel`: debug, verbose, notice or warning.
    pub loglevel: String,
    /// `enable-debug-command`: yes, no or local.
    pub enable_debug_command: String,
    /// `shutdown-timeout`, seconds.
    pub shutdown_timeout_seconds: u64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
}
