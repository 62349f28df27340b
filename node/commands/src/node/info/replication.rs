//! INFO replication: what operators, Sentinel and exporters read of a node's place in replication.

use rejoin_protocol::UnixMillis;

use super::{Lines, Source};
use crate::Role;

pub(super) fn replication(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (engine, status) = (source.engine, &source.engine.status);
    let is_replica = engine.shown_role() == Role::Replica;
    lines.add("role", if is_replica { "slave" } else { "master" });
    if is_replica {
        upstream(source, lines);
    }
    lines.add("connected_slaves", status.replicas.len());
    if let Some(good) = engine.good_replicas() {
        lines.add("min_slaves_good_slaves", good);
    }
    for (index, replica) in status.replicas.iter().enumerate() {
        let is_online = replica.state == "online";
        let lag = if is_online { seconds_since(engine.now, replica.acked_at) } else { 0 };
        lines.add(
            &format!("slave{index}"),
            format_args!(
                "ip={},port={},state={},offset={},lag={lag}",
                replica.ip, replica.port, replica.state, replica.offset
            ),
        );
    }
    let offset = engine.offset_visible();
    let hot_bytes = offset.next().get().saturating_sub(status.hot_first.get());
    lines.add("master_failover_state", status.failover.info_name());
    lines.add("master_replid", status.replid);
    lines.add("master_replid2", status.replid2);
    lines.add("master_repl_offset", offset);
    match status.second_offset {
        Some(offset) => lines.add("second_repl_offset", offset),
        None => lines.add("second_repl_offset", -1),
    }
    // Ours: a Rejoin replica goes by it, and no stock server has it.
    let ancestors: Vec<String> =
        status.ancestors.iter().map(|(replid, last_valid)| format!("{replid}:{last_valid}")).collect();
    lines.add("master_ancestors", ancestors.join(","));
    lines.add("repl_backlog_active", 1);
    lines.add("repl_backlog_size", status.hot_budget);
    lines.add("repl_backlog_first_byte_offset", status.hot_first);
    lines.add("repl_backlog_histlen", hot_bytes);
    lines.add("sync_rewinds", status.rewinds);
    lines.add("lost_tails", status.lost_tails);
    lines.add("lost_tail_bytes", status.lost_tail_bytes);
}

/// What a replica says of the link to its master.
fn upstream(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (engine, settings) = (source.engine, &source.engine.settings);
    let Some(upstream) = &engine.status.upstream else { return };
    let is_up = upstream.state == "connected";
    let is_syncing = upstream.state == "sync";
    lines.add("master_host", &upstream.host);
    lines.add("master_port", upstream.port);
    lines.add("master_link_status", if is_up { "up" } else { "down" });
    lines.add(
        "master_last_io_seconds_ago",
        if is_up { seconds_since(engine.now, upstream.last_io) } else { -1 },
    );
    lines.add("master_sync_in_progress", u8::from(is_syncing));
    lines.add("slave_read_repl_offset", upstream.read_offset);
    lines.add("slave_repl_offset", engine.log.offset());
    if is_syncing {
        let total = upstream.sync_total_bytes;
        let read = upstream.sync_read_bytes;
        lines.add("master_sync_total_bytes", total.map_or(-1, |total| total as i64));
        lines.add("master_sync_read_bytes", read);
        lines.add("master_sync_left_bytes", total.map_or(-1, |total| total.saturating_sub(read) as i64));
        let percent = total.map_or(0.0, |total| read as f64 * 100.0 / total.max(1) as f64);
        lines.add("master_sync_perc", format_args!("{percent:.2}"));
        lines.add("master_sync_last_io_seconds_ago", seconds_since(engine.now, upstream.last_io));
    }
    if !is_up {
        let down = upstream.down_since.map_or(-1, |since| seconds_since(engine.now, since));
        lines.add("master_link_down_since_seconds", down);
    }
    lines.add("slave_priority", settings.replica_priority);
    lines.add("slave_read_only", u8::from(settings.replica_read_only));
    lines.add("replica_announced", u8::from(settings.is_on("replica-announced")));
}

fn seconds_since(now: UnixMillis, then: UnixMillis) -> i64 {
    now.get().saturating_sub(then.get()).max(0) / 1000
}
