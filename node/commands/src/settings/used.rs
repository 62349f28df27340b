//! The settings that the node acts on, each with its typed field.

use crate::pubsub::events::EventClasses;

use super::{
    ClientsMemory, MemoryPolicy, SavePoints, Settings,
    row::{Field, I32_MAX, I32_MIN, Kind, Row, choice, integer, memory, row, text, yes_no},
    value,
};

/// A field that is a number: any that fits the row's range fits the field.
macro_rules! number {
    ($field:ident) => {
        Field {
            read: |settings| settings.$field.to_string(),
            write: |settings, value| {
                if let Ok(number) = value.parse() {
                    settings.$field = number;
                }
            },
        }
    };
}

macro_rules! string {
    ($field:ident) => {
        Field {
            read: |settings| settings.$field.clone(),
            write: |settings, value| settings.$field = value.to_owned(),
        }
    };
}

macro_rules! flag {
    ($field:ident) => {
        Field {
            read: |settings| if settings.$field { "yes".to_owned() } else { "no".to_owned() },
            write: |settings, value| settings.$field = value == "yes",
        }
    };
}

const LIMIT_MAX: u64 = i64::MAX as u64;

/// Least hot log that Redis keeps, whatever is asked for.
const BACKLOG_BYTES_MIN: u64 = 16 << 10;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    integer("port", "6379", 0, 65535).typed(number!(port)),
    integer("tls-port", "0", 0, 65535).typed(number!(tls_port)),
    text("unixsocket", "").start_only().typed(string!(unixsocket)),
    row("unixsocketperm", "0", Kind::Octal(0, 0o777)).start_only().typed(Field {
        read: |settings| format!("{:o}", settings.unixsocketperm),
        write: |settings, value| {
            if let Ok(permissions) = u32::from_str_radix(value, 8) {
                settings.unixsocketperm = permissions;
            }
        },
    }),
    yes_no("protected-mode", "yes").typed(flag!(protected_mode)),
    row("bind", "* -::*", Kind::Words).typed(Field {
        read: |settings| settings.bind.join(" "),
        write: |settings, value| settings.bind = value.split_whitespace().map(str::to_owned).collect(),
    }),
    text("dir", ".").protected().typed(string!(dir)),
    row("dbfilename", "dump.rdb", Kind::FileName("dbfilename")).protected().typed(string!(dbfilename)),
    row("save", "3600 1 300 100 60 10000", Kind::SavePoints).typed(Field {
        read: |settings| settings.save_points.to_string(),
        write: |settings, value| settings.save_points = SavePoints::parse(value),
    }),
    yes_no("stop-writes-on-bgsave-error", "yes").typed(flag!(stop_writes_on_bgsave_error)),
    yes_no("rdbcompression", "yes").typed(flag!(rdb_compression)),
    yes_no("rdbchecksum", "yes").start_only().typed(flag!(rdb_checksum)),
    yes_no("rdb-save-incremental-fsync", "yes").typed(flag!(rdb_incremental_sync)),
    text("logfile", "").start_only().typed(string!(logfile)),
    integer("databases", "16", 1, I32_MAX).start_only().typed(number!(databases)),
    integer("maxclients", "10000", 1, u32::MAX as i64).typed(number!(maxclients)),
    text("requirepass", "").typed(string!(requirepass)),
    text("masterauth", "").typed(string!(masterauth)),
    text("masteruser", "").typed(string!(masteruser)),
    row("replicaof", "", Kind::HostPort).or("slaveof").start_only().typed(Field {
        read: |settings| {
            settings.replicaof.as_ref().map_or_else(String::new, |(host, port)| format!("{host} {port}"))
        },
        write: |settings, value| settings.replicaof = value::host_port(value),
    }),
    yes_no("replica-read-only", "yes").or("slave-read-only").typed(flag!(replica_read_only)),
    yes_no("replica-serve-stale-data", "yes")
        .or("slave-serve-stale-data")
        .typed(flag!(replica_serve_stale_data)),
    yes_no("replica-allow-empty-master", "no").typed(flag!(replica_allows_empty_master)),
    text("replica-announce-ip", "").or("slave-announce-ip").typed(string!(replica_announce_ip)),
    integer("replica-announce-port", "0", 0, 65535)
        .or("slave-announce-port")
        .typed(number!(replica_announce_port)),
    integer("replica-priority", "100", 0, I32_MAX).or("slave-priority").typed(number!(replica_priority)),
    memory("repl-backlog-size", "1048576", 1, LIMIT_MAX).typed(Field {
        read: |settings| settings.repl_backlog_bytes.to_string(),
        write: |settings, value| {
            if let Ok(bytes) = value.parse::<u64>() {
                settings.repl_backlog_bytes = bytes.max(BACKLOG_BYTES_MIN);
            }
        },
    }),
    integer("repl-timeout", "60", 1, I32_MAX).typed(number!(repl_timeout_seconds)),
    integer("repl-ping-replica-period", "10", 1, I32_MAX)
        .or("repl-ping-slave-period")
        .typed(number!(repl_ping_period_seconds)),
    // Redis waits 5 seconds so that several replicas share one fork. A snapshot costs us microseconds, and a replica
    // that comes later gets one of its own: waiting would only lengthen every full sync.
    integer("repl-diskless-sync-delay", "0", 0, I32_MAX).typed(number!(repl_diskless_sync_delay_seconds)),
    // Ours alone: each full sync reads the whole data set, so they are let in a few at a time.
    integer("repl-max-concurrent-full-syncs", "8", 1, 10_000).typed(number!(repl_full_syncs_max)),
    yes_no("repl-enforce-output-limit", "no").typed(flag!(repl_enforces_output_limit)),
    row(
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        Kind::OutputLimits,
    )
    .typed(Field {
        read: |settings| settings.client_output_limits.to_string(),
        write: |settings, value| {
            if let Ok(limits) = value.parse::<value::OutputLimits>() {
                // Classes that are not mentioned keep their limits.
                let limits = limits.or(&settings.client_output_limits);
                settings.client_output_limits = limits;
            }
        },
    }),
    row("notify-keyspace-events", "", Kind::EventClasses).typed(Field {
        read: |settings| settings.events.shown(),
        write: |settings, value| settings.events = EventClasses::parse(value).unwrap_or_default(),
    }),
    memory("client-query-buffer-limit", "1073741824", 1 << 20, LIMIT_MAX)
        .typed(number!(client_query_buffer_bytes_max)),
    memory("proto-max-bulk-len", "536870912", 1 << 20, LIMIT_MAX).typed(number!(proto_bulk_bytes_max)),
    integer("hash-max-listpack-entries", "512", 0, i64::MAX)
        .or("hash-max-ziplist-entries")
        .typed(number!(hash_listpack_entries_max)),
    memory("hash-max-listpack-value", "64", 0, LIMIT_MAX)
        .or("hash-max-ziplist-value")
        .typed(number!(hash_listpack_value_max)),
    integer("set-max-intset-entries", "512", 0, i64::MAX).typed(number!(set_intset_entries_max)),
    integer("set-max-listpack-entries", "128", 0, i64::MAX).typed(number!(set_listpack_entries_max)),
    memory("set-max-listpack-value", "64", 0, LIMIT_MAX).typed(number!(set_listpack_value_max)),
    integer("zset-max-listpack-entries", "128", 0, i64::MAX)
        .or("zset-max-ziplist-entries")
        .typed(number!(zset_listpack_entries_max)),
    memory("zset-max-listpack-value", "64", 0, LIMIT_MAX)
        .or("zset-max-ziplist-value")
        .typed(number!(zset_listpack_value_max)),
    integer("list-max-listpack-size", "-2", I32_MIN, I32_MAX)
        .or("list-max-ziplist-size")
        .typed(number!(list_listpack_size)),
    integer("timeout", "0", 0, I32_MAX).typed(number!(timeout_seconds)),
    integer("tcp-keepalive", "300", 0, I32_MAX).typed(number!(tcp_keepalive_seconds)),
    integer("tcp-backlog", "511", 0, I32_MAX).start_only().typed(number!(tcp_backlog)),
    integer("hz", "10", 0, I32_MAX).typed(Field {
        read: |settings| settings.hz.to_string(),
        write: |settings, value| {
            if let Ok(hz) = value.parse::<u32>() {
                settings.hz = hz.clamp(1, 500);
            }
        },
    }),
    choice("loglevel", "notice", &["debug", "verbose", "notice", "warning"]).typed(string!(loglevel)),
    choice("enable-debug-command", "no", &["no", "yes", "local"])
        .start_only()
        .typed(string!(enable_debug_command)),
    choice("enable-protected-configs", "no", &["no", "yes", "local"]).start_only(),
    // Ours alone.
    integer("metrics-port", "0", 0, 65535).start_only().typed(number!(metrics_port)),
    text("metrics-bind", "127.0.0.1").start_only().typed(string!(metrics_bind)),
    choice("log-format", "redis", &["redis", "json"]).start_only().typed(string!(log_format)),
    yes_no("rdb-skip-unsupported", "no").typed(flag!(rdb_skips_unsupported)),
    integer("slowlog-log-slower-than", "10000", -1, i64::MAX).typed(number!(slowlog_micros)),
    integer("slowlog-max-len", "128", 0, i64::MAX).typed(number!(slowlog_entries_max)),
    integer("latency-monitor-threshold", "0", 0, i64::MAX).typed(number!(latency_monitor_millis)),
    yes_no("latency-tracking", "yes").typed(flag!(latency_tracking)),
    row("latency-tracking-info-percentiles", "50 99 99.9", Kind::Percentiles).typed(Field {
        read: |settings| settings.latency_percentiles.join(" "),
        write: |settings, value| {
            settings.latency_percentiles = value.split_whitespace().map(str::to_owned).collect();
        },
    }),
    integer("shutdown-timeout", "10", 0, I32_MAX).typed(number!(shutdown_timeout_seconds)),
    memory("maxmemory", "0", 0, u64::MAX).typed(number!(maxmemory_bytes)),
    choice(
        "maxmemory-policy",
        "noeviction",
        &[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ],
    )
    .typed(Field {
        read: |settings| settings.maxmemory_policy.name().to_owned(),
        write: |settings, value| {
            if let Some(policy) = MemoryPolicy::parse(value) {
                settings.maxmemory_policy = policy;
            }
        },
    }),
    integer("maxmemory-samples", "5", 1, I32_MAX).typed(number!(maxmemory_samples)),
    integer("maxmemory-eviction-tenacity", "10", 0, 100).typed(number!(maxmemory_tenacity)),
    row("maxmemory-clients", "0", Kind::MemoryOrPercent).typed(Field {
        read: |settings| settings.maxmemory_clients.text(),
        write: |settings, value| {
            if let Some(limit) = ClientsMemory::parse(value) {
                settings.maxmemory_clients = limit;
            }
        },
    }),
    yes_no("replica-ignore-maxmemory", "yes")
        .or("slave-ignore-maxmemory")
        .typed(flag!(replica_ignore_maxmemory)),
    integer("lfu-log-factor", "10", 0, I32_MAX).typed(number!(lfu_log_factor)),
    integer("lfu-decay-time", "1", 0, I32_MAX).typed(number!(lfu_decay_minutes)),
    integer("min-replicas-to-write", "0", 0, I32_MAX)
        .or("min-slaves-to-write")
        .typed(number!(min_replicas_to_write)),
    integer("min-replicas-max-lag", "10", 0, I32_MAX)
        .or("min-slaves-max-lag")
        .typed(number!(min_replicas_max_lag_seconds)),
];

impl Default for Settings {
    fn default() -> Self {
        Self {
            port: 6379,
            tls_port: 0,
            unixsocket: String::new(),
            unixsocketperm: 0,
            protected_mode: true,
            bind: vec!["*".to_owned(), "-::*".to_owned()],
            dir: ".".to_owned(),
            dbfilename: "dump.rdb".to_owned(),
            save_points: SavePoints::default(),
            stop_writes_on_bgsave_error: true,
            rdb_compression: true,
            rdb_checksum: true,
            rdb_incremental_sync: true,
            logfile: String::new(),
            databases: 16,
            maxclients: 10_000,
            requirepass: String::new(),
            masterauth: String::new(),
            masteruser: String::new(),
            replicaof: None,
            replica_read_only: true,
            replica_serve_stale_data: true,
            replica_allows_empty_master: false,
            replica_announce_ip: String::new(),
            replica_announce_port: 0,
            replica_priority: 100,
            repl_backlog_bytes: 1 << 20,
            repl_timeout_seconds: 60,
            repl_ping_period_seconds: 10,
            repl_diskless_sync_delay_seconds: 0,
            repl_full_syncs_max: 8,
            repl_enforces_output_limit: false,
            client_output_limits: value::OutputLimits::default(),
            events: EventClasses::default(),
            client_query_buffer_bytes_max: 1 << 30,
            proto_bulk_bytes_max: 512 << 20,
            hash_listpack_entries_max: 512,
            hash_listpack_value_max: 64,
            set_intset_entries_max: 512,
            set_listpack_entries_max: 128,
            set_listpack_value_max: 64,
            zset_listpack_entries_max: 128,
            zset_listpack_value_max: 64,
            list_listpack_size: -2,
            timeout_seconds: 0,
            tcp_keepalive_seconds: 300,
            tcp_backlog: 511,
            log: super::LogSettings::default(),
            hz: 10,
            loglevel: "notice".to_owned(),
            enable_debug_command: "no".to_owned(),
            rdb_skips_unsupported: false,
            shutdown_timeout_seconds: 10,
            metrics_port: 0,
            metrics_bind: "127.0.0.1".to_owned(),
            log_format: "redis".to_owned(),
            slowlog_micros: 10_000,
            slowlog_entries_max: 128,
            latency_monitor_millis: 0,
            noteworthy_nanos: 10_000_000,
            latency_tracking: true,
            latency_percentiles: ["50", "99", "99.9"].map(str::to_owned).to_vec(),
            maxmemory_bytes: 0,
            maxmemory_policy: MemoryPolicy::NoEviction,
            maxmemory_samples: 5,
            maxmemory_tenacity: 10,
            maxmemory_clients: ClientsMemory::Bytes(0),
            replica_ignore_maxmemory: true,
            lfu_log_factor: 10,
            lfu_decay_minutes: 1,
            min_replicas_to_write: 0,
            min_replicas_max_lag_seconds: 10,
            active_expire: true,
            others: std::collections::BTreeMap::new(),
        }
    }
}
