//! The sections that take a few lines each.

use rejoin_protocol::DbIndex;

use super::{Lines, Source};
use crate::{
    node::{saving::RunningSave, status::RUNG_NAMES},
    session::connection::REDIS_VERSION,
    table,
};

pub(super) fn server(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (engine, status) = (source.engine, &source.engine.status);
    let uptime_seconds = engine.now.get().saturating_sub(status.started.get()).max(0) / 1000;
    lines.add("redis_version", REDIS_VERSION);
    lines.add("rejoin_version", env!("CARGO_PKG_VERSION"));
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", 0);
    lines.add("redis_mode", "standalone");
    lines.add("os", &status.process.os);
    lines.add("arch_bits", usize::BITS);
    lines.add("monotonic_clock", "POSIX clock_gettime");
    lines.add("multiplexing_api", "epoll");
    lines.add("atomicvar_api", "rust-std");
    // No GCC has compiled this; Redis says the same where another compiler did.
    lines.add("gcc_version", "0.0.0");
    lines.add("process_id", status.process.id);
    lines.add("process_supervised", "no");
    lines.add("run_id", &status.run_id);
    lines.add("tcp_port", status.tcp_port);
    lines.add("server_time_usec", engine.now.get().saturating_mul(1000));
    lines.add("uptime_in_seconds", uptime_seconds);
    lines.add("uptime_in_days", uptime_seconds / 86_400);
    lines.add("hz", engine.settings.hz);
    lines.add("configured_hz", engine.settings.hz);
    lines.add("lru_clock", (engine.now.get() / 1000) & 0x00ff_ffff);
    lines.add("executable", &status.executable);
    lines.add("config_file", &status.config_file);
    lines.add("io_threads_active", 0);
}

pub(super) fn clients(source: &Source<'_>, lines: &mut Lines<'_>) {
    let engine = source.engine;
    let (input_max, output_max) = engine.buffer_peaks.recent();
    lines.add("connected_clients", source.sessions().count());
    lines.add("cluster_connections", 0);
    lines.add("maxclients", engine.settings.maxclients);
    lines.add("client_recent_max_input_buffer", input_max);
    lines.add("client_recent_max_output_buffer", output_max);
    lines.add("blocked_clients", engine.waiting.len());
    lines.add("tracking_clients", 0);
    lines.add("clients_in_timeout_table", engine.waiting.len());
}

pub(super) fn persistence(source: &Source<'_>, lines: &mut Lines<'_>) {
    let engine = source.engine;
    let (saving, now) = (&engine.saving, engine.now.get() / 1000);
    let copied = engine.keyspace.bytes_copied_for_snapshots();
    let running = saving.running.as_ref();
    lines.add("loading", u8::from(engine.loading.is_some()));
    lines.add("async_loading", 0);
    let peak = running.map_or(0, |running| running.copied_bytes).max(copied as u64);
    lines.add("current_cow_peak", peak);
    lines.add("current_cow_size", copied);
    lines.add("current_cow_size_age", 0);
    lines.add("current_fork_perc", "0.00");
    lines.add("current_save_keys_processed", running.map_or(0, RunningSave::keys_written));
    lines.add("current_save_keys_total", running.map_or(0, |running| running.keys));
    lines.add("rdb_changes_since_last_save", engine.stats.changes_since_save);
    lines.add("rdb_bgsave_in_progress", u8::from(running.is_some()));
    lines.add("rdb_last_save_time", saving.last_saved.get() / 1000);
    lines.add("rdb_last_bgsave_status", if saving.has_failed { "err" } else { "ok" });
    lines.add("rdb_last_bgsave_time_sec", saving.last_seconds.unwrap_or(-1));
    lines.add("rdb_current_bgsave_time_sec", running.map_or(-1, |running| now - running.begun.get() / 1000));
    lines.add("rdb_saves", engine.stats.saves);
    lines.add("rdb_last_cow_size", saving.last_copied_bytes);
    lines.add("rdb_last_load_keys_expired", saving.keys_expired);
    lines.add("rdb_last_load_keys_loaded", saving.keys_loaded);
    crate::node::log::persistence(source, lines);
    let Some(loading) = &engine.loading else { return };
    lines.add("loading_start_time", loading.begun.get() / 1000);
    lines.add("loading_total_bytes", loading.total_bytes);
    lines.add("loading_rdb_used_mem", 0);
    lines.add("loading_loaded_bytes", loading.loaded());
    lines.add("loading_loaded_perc", format_args!("{:.2}", loading.percent()));
    lines.add("loading_eta_seconds", loading.seconds_left(engine.now));
}

pub(super) fn stats(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (stats, status, rates) = (&source.engine.stats, &source.engine.status, &source.engine.rates);
    let kbps = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    lines.add("total_connections_received", stats.connections_received);
    lines.add("total_commands_processed", stats.commands_processed);
    lines.add("instantaneous_ops_per_sec", rates.commands.per_second());
    lines.add("total_net_input_bytes", stats.net_input_bytes);
    lines.add("total_net_output_bytes", stats.net_output_bytes);
    lines.add("total_net_repl_input_bytes", stats.net_repl_input_bytes);
    lines.add("total_net_repl_output_bytes", stats.net_repl_output_bytes);
    lines.add("instantaneous_input_kbps", kbps(rates.input_bytes.per_second()));
    lines.add("instantaneous_output_kbps", kbps(rates.output_bytes.per_second()));
    lines.add("instantaneous_input_repl_kbps", kbps(rates.repl_input_bytes.per_second()));
    lines.add("instantaneous_output_repl_kbps", kbps(rates.repl_output_bytes.per_second()));
    lines.add("rejected_connections", stats.connections_rejected);
    lines.add("sync_full", status.syncs.full);
    lines.add("sync_partial_ok", status.syncs.partial_ok);
    lines.add("sync_partial_err", status.syncs.partial_err);
    for (name, rung) in RUNG_NAMES.iter().zip(&status.syncs.rungs) {
        lines.add(&format!("sync_{name}"), rung.syncs);
        lines.add(&format!("sync_{name}_bytes"), rung.bytes);
    }
    lines.add("expired_keys", stats.expired_keys);
    lines.add("expired_stale_perc", format_args!("{:.2}", stats.expired_stale_percent));
    lines.add("expired_time_cap_reached_count", stats.expire_cycles_cut);
    lines.add("expire_cycle_cpu_milliseconds", stats.expire_cycle_nanos / 1_000_000);
    lines.add("evicted_keys", stats.evicted_keys);
    lines.add("evicted_clients", stats.evicted_clients);
    lines.add("total_eviction_exceeded_time", 0);
    lines.add("current_eviction_exceeded_time", 0);
    lines.add("keyspace_hits", stats.keyspace_hits);
    lines.add("keyspace_misses", stats.keyspace_misses);
    let pubsub = &source.engine.pubsub;
    lines.add("pubsub_channels", pubsub.channel_count());
    lines.add("pubsub_patterns", pubsub.pattern_count());
    lines.add("pubsubshard_channels", pubsub.shard_channel_count());
    for name in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ] {
        lines.add(name, 0);
    }
    lines.add("total_error_replies", stats.error_replies);
    lines.add("dump_payload_sanitizations", 0);
    lines.add("client_output_buffer_limit_disconnections", stats.output_limit_disconnections);
    lines.add("total_reads_processed", stats.reads_processed);
    lines.add("total_writes_processed", stats.writes_processed);
    for name in [
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
    ] {
        lines.add(name, 0);
    }
}

pub(super) fn cpu(source: &Source<'_>, lines: &mut Lines<'_>) {
    let process = &source.engine.status.process;
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    lines.add("used_cpu_sys", seconds(process.cpu_sys_micros));
    lines.add("used_cpu_user", seconds(process.cpu_user_micros));
    lines.add("used_cpu_sys_children", seconds(0));
    lines.add("used_cpu_user_children", seconds(0));
    lines.add("used_cpu_sys_main_thread", seconds(process.shard_cpu_sys_micros));
    lines.add("used_cpu_user_main_thread", seconds(process.shard_cpu_user_micros));
}

/// Commands that were asked for, with their subcommands' full names.
pub(super) fn commandstats(source: &Source<'_>, lines: &mut Lines<'_>) {
    for (command, stats) in source.engine.observed.commands() {
        if stats.calls + stats.rejected + stats.failed == 0 {
            continue;
        }
        let per_call = stats.nanos as f64 / 1000.0 / stats.calls.max(1) as f64;
        lines.add(
            &format!("cmdstat_{}", table::full_name(command)),
            format_args!(
                "calls={},usec={},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                stats.calls,
                stats.nanos / 1000,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

pub(super) fn latencystats(source: &Source<'_>, lines: &mut Lines<'_>) {
    let engine = source.engine;
    if !engine.settings.latency_tracking {
        return;
    }
    for (command, stats) in engine.observed.commands() {
        let Some(latencies) = stats.latencies() else { continue };
        let percentiles: Vec<String> = engine
            .settings
            .latency_percentiles
            .iter()
            .map(|percentile| {
                let nanos = latencies.value_at_percentile(percentile.parse().unwrap_or(0.0));
                format!("p{percentile}={:.3}", nanos as f64 / 1000.0)
            })
            .collect();
        let name = format!("latency_percentiles_usec_{}", table::full_name(command));
        lines.add(&name, percentiles.join(","));
    }
}

pub(super) fn errorstats(source: &Source<'_>, lines: &mut Lines<'_>) {
    for (prefix, count) in &source.engine.stats.errors_by_prefix {
        lines.add(&format!("errorstat_{prefix}"), format_args!("count={count}"));
    }
}

pub(super) fn cluster(_: &Source<'_>, lines: &mut Lines<'_>) {
    lines.add("cluster_enabled", 0);
}

/// Databases that have keys.
pub(super) fn keyspace(source: &Source<'_>, lines: &mut Lines<'_>) {
    let engine = source.engine;
    for index in 0..engine.keyspace.database_count() {
        let database = engine.keyspace.database(DbIndex::new(index));
        if database.is_empty() {
            continue;
        }
        let (keys, expires) = (database.len(), database.volatile_len());
        let average_ttl = database.average_ttl_millis(engine.now);
        lines.add(&format!("db{index}"), format_args!("keys={keys},expires={expires},avg_ttl={average_ttl}"));
    }
}
