//! The node's metrics: what INFO tells, handed to a recorder once a second. Nothing is recorded per command.
//!
//! The recorder is the embedding program's, one for each node; without one nothing is done. Counters only grow, also when
//! CONFIG RESETSTAT has set the node's own to zero.

use std::{collections::HashMap, sync::Arc};

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use rejoin_commands::{Engine, Role};
use rejoin_protocol::DbIndex;

/// Where metrics go.
pub type MetricsRecorder = Arc<dyn Recorder + Send + Sync>;

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

type CounterRow = (&'static str, Unit, &'static str, fn(&Engine) -> u64);
type GaugeRow = (&'static str, Unit, &'static str, fn(&Engine) -> f64);

#[rustfmt::skip]
const COUNTERS: &[CounterRow] = &[
    ("rejoin_connections_total", Unit::Count, "Connections accepted.", |engine| engine.stats.connections_received),
    ("rejoin_connections_rejected_total", Unit::Count, "Connections refused over maxclients.", |engine| engine.stats.connections_rejected),
    ("rejoin_commands_total", Unit::Count, "Commands executed.", |engine| engine.stats.commands_processed),
    ("rejoin_error_replies_total", Unit::Count, "Error replies.", |engine| engine.stats.error_replies),
    ("rejoin_net_input_bytes", Unit::Bytes, "Bytes read from clients.", |engine| engine.stats.net_input_bytes),
    ("rejoin_net_output_bytes", Unit::Bytes, "Bytes written to clients.", |engine| engine.stats.net_output_bytes),
    ("rejoin_replication_input_bytes", Unit::Bytes, "Bytes read from the master and from replicas.", |engine| engine.stats.net_repl_input_bytes),
    ("rejoin_replication_output_bytes", Unit::Bytes, "Bytes written to the master and to replicas.", |engine| engine.stats.net_repl_output_bytes),
    ("rejoin_keyspace_hits_total", Unit::Count, "Lookups that found something.", |engine| engine.stats.keyspace_hits),
    ("rejoin_keyspace_misses_total", Unit::Count, "Lookups that did not.", |engine| engine.stats.keyspace_misses),
    ("rejoin_keys_expired_total", Unit::Count, "Keys deleted because they had expired.", |engine| engine.stats.expired_keys),
    ("rejoin_full_syncs_total", Unit::Count, "Full syncs served.", |engine| engine.status.syncs.full),
    ("rejoin_partial_syncs_total", Unit::Count, "Partial syncs served.", |engine| engine.status.syncs.partial_ok),
    ("rejoin_partial_syncs_refused_total", Unit::Count, "Partial syncs refused.", |engine| engine.status.syncs.partial_err),
    ("rejoin_sync_continue_total", Unit::Count, "Resyncs out of memory.", |engine| engine.status.syncs.rungs[0].syncs),
    ("rejoin_sync_continue_bytes", Unit::Bytes, "Bytes that resyncs out of memory moved.", |engine| engine.status.syncs.rungs[0].bytes),
    ("rejoin_sync_history_total", Unit::Count, "Resyncs out of retained files.", |engine| engine.status.syncs.rungs[1].syncs),
    ("rejoin_sync_history_bytes", Unit::Bytes, "Bytes that resyncs out of retained files moved.", |engine| engine.status.syncs.rungs[1].bytes),
    ("rejoin_sync_rewind_total", Unit::Count, "Resyncs by going back to a common offset (we did, as a replica).", |engine| engine.status.syncs.rungs[2].syncs),
    ("rejoin_sync_rewind_bytes", Unit::Bytes, "Bytes that resyncs by going back to a common offset (we did, as a replica) moved.", |engine| engine.status.syncs.rungs[2].bytes),
    ("rejoin_sync_delta_total", Unit::Count, "Resyncs by what differs.", |engine| engine.status.syncs.rungs[3].syncs),
    ("rejoin_sync_delta_bytes", Unit::Bytes, "Bytes that resyncs by what differs moved.", |engine| engine.status.syncs.rungs[3].bytes),
    ("rejoin_sync_base_total", Unit::Count, "Resyncs by a base that was there.", |engine| engine.status.syncs.rungs[4].syncs),
    ("rejoin_sync_base_bytes", Unit::Bytes, "Bytes that resyncs by a base that was there moved.", |engine| engine.status.syncs.rungs[4].bytes),
    ("rejoin_sync_snapshot_total", Unit::Count, "Resyncs by a snapshot.", |engine| engine.status.syncs.rungs[5].syncs),
    ("rejoin_sync_snapshot_bytes", Unit::Bytes, "Bytes that resyncs by a snapshot moved.", |engine| engine.status.syncs.rungs[5].bytes),
    ("rejoin_saves_total", Unit::Count, "Saves of dump.rdb begun.", |engine| engine.stats.saves),
    ("rejoin_log_rewrites_total", Unit::Count, "Bases of the log written or tried.", |engine| engine.status.log.rewrites),
    ("rejoin_log_delayed_syncs_total", Unit::Count, "Syncs of the log that were due while another ran.", |engine| engine.status.log.delayed_syncs),
    ("rejoin_cpu_microseconds", Unit::Microseconds, "CPU time of all threads.", |engine| engine.status.process.cpu_user_micros + engine.status.process.cpu_sys_micros),
    ("rejoin_shard_cpu_microseconds", Unit::Microseconds, "CPU time of the thread that executes commands.", |engine| engine.status.process.shard_cpu_user_micros + engine.status.process.shard_cpu_sys_micros),
];

#[rustfmt::skip]
const GAUGES: &[GaugeRow] = &[
    ("rejoin_uptime_seconds", Unit::Seconds, "Time since the start.", |engine| (engine.now.get() - engine.status.started.get()) as f64 / 1000.0),
    ("rejoin_is_master", Unit::Count, "1 for a master, 0 for a replica.", |engine| f64::from(u8::from(engine.role == Role::Master))),
    ("rejoin_clients", Unit::Count, "Clients connected.", |engine| engine.client_count() as f64),
    ("rejoin_clients_blocked", Unit::Count, "Clients that wait for keys or replicas.", |engine| engine.blocked_client_count() as f64),
    ("rejoin_dataset_bytes", Unit::Bytes, "Memory of all keys and values.", |engine| engine.keyspace.bytes_used() as f64),
    ("rejoin_snapshot_copied_bytes", Unit::Bytes, "Memory copied because running snapshots hold it.", |engine| engine.keyspace.bytes_copied_for_snapshots() as f64),
    ("rejoin_resident_bytes", Unit::Bytes, "Memory of the process.", |engine| engine.status.process.rss_bytes as f64),
    ("rejoin_is_loading", Unit::Count, "1 while the data is loaded at the start.", |engine| f64::from(u8::from(engine.loading.is_some()))),
    ("rejoin_loading_bytes", Unit::Bytes, "Bytes read of those that are loaded at the start.", |engine| engine.loading.as_ref().map_or(0, |loading| loading.loaded()) as f64),
    ("rejoin_is_saving", Unit::Count, "1 while dump.rdb is saved in the background.", |engine| f64::from(u8::from(engine.saving.running.is_some()))),
    ("rejoin_save_has_failed", Unit::Count, "1 if the last save of dump.rdb in the background failed.", |engine| f64::from(u8::from(engine.saving.has_failed))),
    ("rejoin_save_age_seconds", Unit::Seconds, "Time since the data was last saved to dump.rdb or loaded.", |engine| (engine.now.get() - engine.saving.last_saved.get()) as f64 / 1000.0),
    ("rejoin_changes_unsaved", Unit::Count, "Changes since dump.rdb was last saved.", |engine| engine.stats.changes_since_save as f64),
    ("rejoin_replicas", Unit::Count, "Replicas connected.", |engine| engine.status.replicas.len() as f64),
    ("rejoin_replication_offset_bytes", Unit::Bytes, "The last byte of the stream.", |engine| engine.offset_visible().get() as f64),
    ("rejoin_replication_lag_bytes", Unit::Bytes, "How far the replica that is furthest behind is behind.", replication_lag),
    ("rejoin_replication_history_bytes", Unit::Bytes, "Bytes of the stream from which a replica may continue.", |engine| engine.log.offset().next().get().saturating_sub(engine.status.hot_first.get()) as f64),
    ("rejoin_log_bytes", Unit::Bytes, "Bytes of the log's base and increments on disk.", |engine| engine.status.log.bytes as f64),
    ("rejoin_log_base_bytes", Unit::Bytes, "Bytes of the log's base on disk.", |engine| engine.status.log.base_bytes as f64),
    ("rejoin_log_unsynced_bytes", Unit::Bytes, "Bytes of the log that a power loss may take.", log_unsynced),
    ("rejoin_log_is_failing", Unit::Count, "1 while the log cannot be written and writes are refused.", |engine| f64::from(u8::from(engine.status.log.write_error.is_some()))),
    ("rejoin_master_link_is_up", Unit::Count, "1 for a replica that follows its master.", |engine| f64::from(u8::from(engine.status.upstream.as_ref().is_some_and(|upstream| upstream.state == "connected")))),
];

fn log_unsynced(engine: &Engine) -> f64 {
    let log = &engine.status.log;
    if log.is_on { engine.log.offset().since(log.offset_synced).get() as f64 } else { 0.0 }
}

fn replication_lag(engine: &Engine) -> f64 {
    let acknowledged = engine.status.replicas.iter().map(|replica| replica.offset).min();
    acknowledged.map_or(0, |offset| engine.log.offset().get().saturating_sub(offset.get())) as f64
}

/// A counter of the recorder, which follows one of ours.
struct Following {
    counter: Counter,
    last: u64,
}

impl Following {
    fn follow(&mut self, now: u64) {
        // Ours was set to zero, and has grown since.
        let grown = now.checked_sub(self.last).unwrap_or(now);
        self.last = now;
        if grown > 0 {
            self.counter.increment(grown);
        }
    }
}

/// What was registered with a recorder.
pub(crate) struct NodeMetrics {
    recorder: MetricsRecorder,
    counters: Vec<Following>,
    gauges: Vec<Gauge>,
    /// By the name of the counter and the full name of the command, or the prefix of the error.
    labelled: HashMap<(&'static str, String), Following>,
    /// Keys, and those that can expire.
    databases: HashMap<u32, (Gauge, Gauge)>,
}

impl NodeMetrics {
    pub(crate) fn new(recorder: MetricsRecorder) -> Self {
        let name = |name: &'static str| KeyName::from_const_str(name);
        for (counter, unit, text, _) in COUNTERS {
            recorder.describe_counter(name(counter), Some(*unit), (*text).into());
        }
        for (gauge, unit, text, _) in GAUGES {
            recorder.describe_gauge(name(gauge), Some(*unit), (*text).into());
        }
        for (counter, text) in [
            ("rejoin_command_calls_total", "Executions of a command."),
            ("rejoin_command_failures_total", "Executions of a command that replied with an error."),
            ("rejoin_command_rejections_total", "Requests for a command that were refused before execution."),
            ("rejoin_command_microseconds", "Time of a command's executions."),
            ("rejoin_errors_total", "Error replies by their first word."),
        ] {
            recorder.describe_counter(name(counter), Some(Unit::Count), text.into());
        }
        recorder.describe_gauge(name("rejoin_keys"), Some(Unit::Count), "Keys of a database.".into());
        recorder.describe_gauge(
            name("rejoin_keys_volatile"),
            Some(Unit::Count),
            "Keys of a database that have an expiry.".into(),
        );
        let counters = COUNTERS.iter().map(|(name, ..)| Following {
            counter: recorder.register_counter(&Key::from_static_name(name), &METADATA),
            last: 0,
        });
        let counters = counters.collect();
        let gauges =
            GAUGES.iter().map(|(name, ..)| recorder.register_gauge(&Key::from_static_name(name), &METADATA));
        let gauges = gauges.collect();
        Self { recorder, counters, gauges, labelled: HashMap::new(), databases: HashMap::new() }
    }

    /// Brings the recorder up to date.
    pub(crate) fn update(&mut self, engine: &Engine) {
        for (counter, (.., read)) in self.counters.iter_mut().zip(COUNTERS) {
            counter.follow(read(engine));
        }
        for (gauge, (.., read)) in self.gauges.iter().zip(GAUGES) {
            gauge.set(read(engine));
        }
        for totals in engine.command_totals() {
            for (name, value) in [
                ("rejoin_command_calls_total", totals.calls),
                ("rejoin_command_failures_total", totals.failed),
                ("rejoin_command_rejections_total", totals.rejected),
                ("rejoin_command_microseconds", totals.micros),
            ] {
                self.follow_labelled(name, "command", totals.name, value);
            }
        }
        for (prefix, count) in &engine.stats.errors_by_prefix {
            self.follow_labelled("rejoin_errors_total", "error", prefix, *count);
        }
        self.update_databases(engine);
    }

    fn follow_labelled(&mut self, name: &'static str, label: &'static str, value: &str, count: u64) {
        let recorder = &self.recorder;
        let following = self.labelled.entry((name, value.to_owned())).or_insert_with(|| {
            let key = Key::from_parts(name, vec![Label::new(label, value.to_owned())]);
            Following { counter: recorder.register_counter(&key, &METADATA), last: 0 }
        });
        following.follow(count);
    }

    /// Databases that have keys, or had some.
    fn update_databases(&mut self, engine: &Engine) {
        for index in 0..engine.keyspace.database_count() {
            let database = engine.keyspace.database(DbIndex::new(index));
            if database.is_empty() && !self.databases.contains_key(&index) {
                continue;
            }
            let recorder = &self.recorder;
            let (keys, volatile) = self.databases.entry(index).or_insert_with(|| {
                let gauge = |name: &'static str| {
                    let key = Key::from_parts(name, vec![Label::new("db", index.to_string())]);
                    recorder.register_gauge(&key, &METADATA)
                };
                (gauge("rejoin_keys"), gauge("rejoin_keys_volatile"))
            });
            keys.set(database.len() as f64);
            volatile.set(database.volatile_len() as f64);
        }
    }
}
