//! INFO memory. `used_memory` is what the keyspace counts for itself plus clients' buffers; `used_memory_rss` is the
//! operating system's figure.

use super::{Lines, Source};
use crate::session::client::memory as client_memory;

/// What is told in several places, in bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Figures {
    /// The keyspace.
    pub(in crate::node) dataset: u64,
    /// Clients' buffers.
    pub(in crate::node) clients: u64,
    /// The log's part in memory.
    pub(in crate::node) hot_log: u64,
    /// All but the keyspace.
    pub(in crate::node) overhead: u64,
    /// All of it.
    pub(in crate::node) used: u64,
    /// The most it has been.
    pub(in crate::node) peak: u64,
    /// What the operating system counts for the process.
    pub(in crate::node) rss: u64,
}

impl Figures {
    pub(in crate::node) fn of(source: &Source<'_>) -> Self {
        let engine = source.engine;
        let process = &engine.status.process;
        let dataset = engine.keyspace.bytes_used() as u64;
        let clients: u64 = source.sessions().map(client_memory).sum();
        let hot_log = engine.log_bytes();
        let overhead = clients + hot_log;
        let used = dataset + overhead;
        let peak = engine.stats.memory_peak_bytes.max(dataset) + overhead;
        let rss = if process.rss_bytes == 0 { used } else { process.rss_bytes };
        Self { dataset, clients, hot_log, overhead, used, peak, rss }
    }
}

pub(super) fn memory(source: &Source<'_>, lines: &mut Lines<'_>) {
    let engine = source.engine;
    let process = &engine.status.process;
    let Figures { dataset, clients, hot_log, overhead, used, peak, rss } = Figures::of(source);
    let percent = |part: u64, whole: u64| format!("{:.2}%", part as f64 * 100.0 / whole.max(1) as f64);
    let ratio = |a: u64, b: u64| format!("{:.2}", a as f64 / b.max(1) as f64);

    sized(lines, "used_memory", used);
    sized(lines, "used_memory_rss", rss);
    sized(lines, "used_memory_peak", peak);
    lines.add("used_memory_peak_perc", percent(used, peak));
    lines.add("used_memory_overhead", overhead);
    lines.add("used_memory_startup", 0);
    lines.add("used_memory_dataset", dataset);
    lines.add("used_memory_dataset_perc", percent(dataset, used));
    lines.add("allocator_allocated", used);
    lines.add("allocator_active", rss);
    lines.add("allocator_resident", rss);
    sized(lines, "total_system_memory", process.machine_bytes);
    sized(lines, "used_memory_lua", 0);
    lines.add("used_memory_vm_eval", 0);
    lines.add("used_memory_scripts_eval", 0);
    lines.add("number_of_cached_scripts", 0);
    lines.add("number_of_functions", 0);
    lines.add("number_of_libraries", 0);
    lines.add("used_memory_vm_functions", 0);
    sized(lines, "used_memory_vm_total", 0);
    lines.add("used_memory_functions", 0);
    sized(lines, "used_memory_scripts", 0);
    sized(lines, "maxmemory", engine.settings.maxmemory_bytes);
    lines.add("maxmemory_policy", engine.settings.maxmemory_policy.name());
    lines.add("allocator_frag_ratio", ratio(rss, used));
    lines.add("allocator_frag_bytes", rss as i64 - used as i64);
    lines.add("allocator_rss_ratio", "1.00");
    lines.add("allocator_rss_bytes", 0);
    lines.add("rss_overhead_ratio", "1.00");
    lines.add("rss_overhead_bytes", 0);
    lines.add("mem_fragmentation_ratio", ratio(rss, used));
    lines.add("mem_fragmentation_bytes", rss as i64 - used as i64);
    lines.add("mem_not_counted_for_evict", hot_log - engine.log_bytes_counted());
    lines.add("mem_replication_backlog", hot_log);
    lines.add("mem_total_replication_buffers", engine.status.log_memory_bytes.max(hot_log));
    // While we load, what the master writes waits in its log.
    lines.add("mem_replica_full_sync_buffer", 0);
    lines.add("mem_clients_slaves", 0);
    lines.add("mem_clients_normal", clients);
    lines.add("mem_cluster_links", 0);
    lines.add("mem_aof_buffer", 0);
    lines.add("mem_allocator", "jemalloc");
    lines.add("active_defrag_running", 0);
    let (pending, dropped) = engine.keyspace.drops();
    lines.add("lazyfree_pending_objects", pending);
    lines.add("lazyfreed_objects", dropped);
}

/// A figure in bytes and the same for people.
fn sized(lines: &mut Lines<'_>, name: &str, bytes: u64) {
    lines.add(name, bytes);
    lines.add(&format!("{name}_human"), human(bytes));
}

/// `1.50M`, as Redis writes it.
fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    for unit in ["K", "M", "G", "T"] {
        size /= 1024.0;
        if size < 1024.0 {
            return format!("{size:.2}{unit}");
        }
    }
    format!("{size:.2}T")
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn sizes_for_people() {
        assert_eq!(human(0), "0B");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(3 << 30), "3.00G");
    }
}
