//! The settings, by the names of redis.conf: one table of rows, which CONFIG GET/SET, the configuration file and the
//! command line read.
//!
//! It reads no file. What the node acts on has a typed field; the other names of Redis 7.0 are kept as text
//! (`stock`). Values are checked in one place (`value`), in Redis' words.

mod limits;
mod log;
mod policy;
mod rewrite;
mod row;
mod save_points;
mod stock;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]
mod tests;
mod used;
pub(crate) mod value;

use std::{collections::BTreeMap, sync::LazyLock};

pub use log::{LogSettings, SyncPolicy};
pub use policy::{ClientsMemory, MemoryPolicy};
pub use rewrite::SIGNATURE;
use row::{Access, Kind, Row};
pub use save_points::{SavePoint, SavePoints};
use thiserror::Error;
pub use value::{OutputLimit, OutputLimits};

use crate::pubsub::events::EventClasses;

/// All settings, typed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `port`.
    pub port: u16,
    /// `tls-port`; 0 is none.
    pub tls_port: u16,
    /// `unixsocket`; empty is none.
    pub unixsocket: String,
    /// `unixsocketperm`; 0 leaves what the umask gives.
    pub unixsocketperm: u32,
    /// `protected-mode`.
    pub protected_mode: bool,
    /// `bind`; `*` is every address, and a leading `-` means that it does not matter if this one is not there.
    pub bind: Vec<String>,
    /// `dir`.
    pub dir: String,
    /// `dbfilename`, within `dir`.
    pub dbfilename: String,
    /// `save`.
    pub save_points: SavePoints,
    /// `stop-writes-on-bgsave-error`.
    pub stop_writes_on_bgsave_error: bool,
    /// `rdbcompression`.
    pub rdb_compression: bool,
    /// `rdbchecksum`.
    pub rdb_checksum: bool,
    /// `rdb-save-incremental-fsync`.
    pub rdb_incremental_sync: bool,
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
    /// `replica-allow-empty-master`: an empty data set of the master takes the place of ours.
    pub replica_allows_empty_master: bool,
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
    /// `repl-max-concurrent-full-syncs`.
    pub repl_full_syncs_max: usize,
    /// `client-output-buffer-limit`, all classes.
    pub client_output_limits: OutputLimits,
    /// `notify-keyspace-events`.
    pub events: EventClasses,
    /// `repl-enforce-output-limit`: also the stock default of `client-output-buffer-limit replica` drops replicas that lag.
    pub repl_enforces_output_limit: bool,
    /// `client-query-buffer-limit`, bytes.
    pub client_query_buffer_bytes_max: u64,
    /// `proto-max-bulk-len`, bytes.
    pub proto_bulk_bytes_max: u64,
    /// `hash-max-listpack-entries`.
    pub hash_listpack_entries_max: usize,
    /// `hash-max-listpack-value`.
    pub hash_listpack_value_max: usize,
    /// `set-max-intset-entries`.
    pub set_intset_entries_max: usize,
    /// `set-max-listpack-entries`.
    pub set_listpack_entries_max: usize,
    /// `set-max-listpack-value`.
    pub set_listpack_value_max: usize,
    /// `zset-max-listpack-entries`.
    pub zset_listpack_entries_max: usize,
    /// `zset-max-listpack-value`.
    pub zset_listpack_value_max: usize,
    /// `list-max-listpack-size`: elements where positive, -1 to -5 for 4 to 64 KiB.
    pub list_listpack_size: i32,
    /// `timeout`, seconds; 0 is never.
    pub timeout_seconds: u64,
    /// `tcp-keepalive`, seconds; 0 is off.
    pub tcp_keepalive_seconds: u64,
    /// `tcp-backlog`.
    pub tcp_backlog: u32,
    /// The log on disk.
    pub log: LogSettings,
    /// `hz`.
    pub hz: u32,
    /// `loglevel`: debug, verbose, notice or warning.
    pub loglevel: String,
    /// `enable-debug-command`: yes, no or local.
    pub enable_debug_command: String,
    /// `rdb-skip-unsupported`: a file is loaded without what it holds that we do not have.
    pub rdb_skips_unsupported: bool,
    /// `shutdown-timeout`, seconds.
    pub shutdown_timeout_seconds: u64,
    /// `metrics-port`; 0 is off.
    pub metrics_port: u16,
    /// `metrics-bind`, one address.
    pub metrics_bind: String,
    /// `log-format`: redis or json.
    pub log_format: String,
    /// `slowlog-log-slower-than`, microseconds; negative is off.
    pub slowlog_micros: i64,
    /// `slowlog-max-len`.
    pub slowlog_entries_max: usize,
    /// `latency-monitor-threshold`, milliseconds; 0 is off.
    pub latency_monitor_millis: u64,
    /// The shortest time of a command that the slow log or the latency monitor wants to hear of.
    pub noteworthy_nanos: u64,
    /// `latency-tracking`.
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`, as they are shown.
    pub latency_percentiles: Vec<String>,
    /// `maxmemory`, bytes; 0 is no limit.
    pub maxmemory_bytes: u64,
    /// `maxmemory-policy`.
    pub maxmemory_policy: MemoryPolicy,
    /// `maxmemory-samples`.
    pub maxmemory_samples: u32,
    /// `maxmemory-eviction-tenacity`: how much of a turn eviction may take, 100 for as much as it needs.
    pub maxmemory_tenacity: u32,
    /// `maxmemory-clients`: bytes, or a share of `maxmemory`.
    pub maxmemory_clients: ClientsMemory,
    /// `replica-ignore-maxmemory`.
    pub replica_ignore_maxmemory: bool,
    /// `lfu-log-factor`.
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, minutes.
    pub lfu_decay_minutes: u32,
    /// `min-replicas-to-write`; 0 asks for none.
    pub min_replicas_to_write: usize,
    /// `min-replicas-max-lag`, seconds; 0 asks for none.
    pub min_replicas_max_lag_seconds: u64,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: bool,
    /// Settings without a field, by name, where they differ from their default.
    pub others: BTreeMap<&'static str, String>,
}

/// Why a setting was not taken. `Display` is what Redis says of it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SettingError {
    /// There is no setting of this name.
    #[error("Bad directive or wrong number of arguments{}", .0.map_or(String::new(), |name| format!(" (did you mean '{name}'?)")))]
    Unknown(Option<&'static str>),
    /// Too many or too few values.
    #[error("wrong number of arguments")]
    WrongCount,
    /// It can be set at the start alone.
    #[error("can't set immutable config")]
    Immutable,
    /// It can be changed only if `enable-protected-configs` says so.
    #[error("can't set protected config")]
    Protected,
    /// The same setting twice in one CONFIG SET.
    #[error("duplicate parameter")]
    Duplicate,
    /// Not text.
    #[error("argument is not valid UTF-8")]
    NotText,
    /// The value is none that it takes.
    #[error("{0}")]
    Invalid(String),
}

/// All names, aliases included, sorted.
static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut names: Vec<&'static str> = rows().flat_map(|row| [Some(row.name), row.alias]).flatten().collect();
    names.sort_unstable();
    names
});

fn rows() -> impl Iterator<Item = &'static Row> {
    used::ROWS.iter().chain(log::ROWS).chain(stock::ROWS)
}

fn find(name: &[u8]) -> Option<(&'static Row, &'static str)> {
    rows().find_map(|row| Some((row, row.spelling(name)?)))
}

impl Settings {
    /// The value of a setting as CONFIG GET shows it; `None` for an unknown name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        find(name.as_bytes()).map(|(row, _)| self.read(row))
    }

    /// All names, aliases included, sorted.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        &NAMES
    }

    /// Takes a directive of the configuration file or the command line: its values as they stood there. `save` and
    /// `client-output-buffer-limit` add to what earlier lines said.
    pub fn set(&mut self, name: &str, values: &[&str]) -> Result<(), SettingError> {
        let Some((row, _)) = find(name.as_bytes()) else { return Err(SettingError::Unknown(nearest(name))) };
        // `bind` alone is an address less than any: nothing is listened on.
        let may_be_empty = matches!(row.kind, Kind::Words);
        if (values.is_empty() && !may_be_empty) || (values.len() > 1 && !row.kind.takes_many()) {
            return Err(SettingError::WrongCount);
        }
        let value = values.join(" ");
        let mut canonical = row.kind.canonical(&value)?;
        if matches!(row.kind, Kind::SavePoints)
            && let Some(earlier) = self.save_points.earlier()
            && !canonical.is_empty()
        {
            canonical = format!("{earlier} {canonical}");
        }
        self.write(row, canonical);
        Ok(())
    }

    /// CONFIG SET: changes a setting that [`Self::check_changeable`] let pass.
    pub fn change(&mut self, name: &[u8], value: &[u8]) -> Result<(), SettingError> {
        let (row, _) = find(name).ok_or(SettingError::Unknown(None))?;
        let value = str::from_utf8(value).map_err(|_| SettingError::NotText)?;
        self.write(row, row.kind.canonical(value)?);
        Ok(())
    }

    /// Whether CONFIG SET may change this setting now; `is_local`: for a client on this machine. Returns the name as it
    /// is spelled in the table, which may be an alias.
    pub fn check_changeable(&self, name: &[u8], is_local: bool) -> Result<&'static str, SettingError> {
        let (row, spelling) = find(name).ok_or(SettingError::Unknown(None))?;
        match row.access {
            Access::Anytime => Ok(spelling),
            Access::StartOnly => Err(SettingError::Immutable),
            Access::Protected => match self.get("enable-protected-configs").as_deref() {
                Some("yes") => Ok(spelling),
                Some("local") if is_local => Ok(spelling),
                _ => Err(SettingError::Protected),
            },
        }
    }

    /// The names of settings whose values differ from those of `other`.
    #[must_use]
    pub fn changed_from(&self, other: &Self) -> Vec<&'static str> {
        rows().filter(|row| self.read(row) != other.read(row)).map(|row| row.name).collect()
    }

    /// How far a replica may lag before it is dropped: `client-output-buffer-limit replica` where an operator has set it.
    /// Its stock default counts as no limit, since a replica that lags costs us no memory, unless
    /// `repl-enforce-output-limit` says otherwise.
    #[must_use]
    pub fn replica_limit(&self) -> Option<OutputLimit> {
        let limit = self.client_output_limits.replica();
        let is_stock = limit == OutputLimits::default().replica();
        (!limit.is_none() && (!is_stock || self.repl_enforces_output_limit)).then_some(limit)
    }

    /// Whether a setting that takes yes and no is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).as_deref() == Some("yes")
    }

    /// The name of a setting under either of its names.
    #[must_use]
    pub fn canonical_name(name: &[u8]) -> Option<&'static str> {
        find(name).map(|(row, _)| row.name)
    }

    /// What follows from the settings of the slow log and the latency monitor.
    fn noteworthy_nanos(&self) -> u64 {
        let slow = u64::try_from(self.slowlog_micros).map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        let spike = match self.latency_monitor_millis {
            0 => u64::MAX,
            millis => millis.saturating_mul(1_000_000),
        };
        slow.min(spike)
    }

    fn read(&self, row: &Row) -> String {
        match row.field {
            Some(field) => (field.read)(self),
            None => self.others.get(row.name).map_or_else(|| row.default.to_owned(), Clone::clone),
        }
    }

    fn write(&mut self, row: &'static Row, canonical: String) {
        match row.field {
            Some(field) => (field.write)(self, &canonical),
            None => {
                self.others.insert(row.name, canonical);
            }
        }
        self.noteworthy_nanos = self.noteworthy_nanos();
    }
}

/// The known name that is nearest to a misspelled one, if any is near.
fn nearest(name: &str) -> Option<&'static str> {
    const EDITS_MAX: usize = 3;
    const BYTES_MAX: usize = 64;
    if name.len() > BYTES_MAX {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let (edits, nearest) =
        NAMES.iter().map(|known| (distance(name.as_bytes(), known.as_bytes()), *known)).min()?;
    (edits <= EDITS_MAX.min(name.len() / 2)).then_some(nearest)
}

/// Insertions, deletions and replacements between two words.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
