//! MEMORY STATS and MEMORY DOCTOR: the figures of INFO memory, as a map and in words.

use rejoin_protocol::{DbIndex, resp::ReplyWriter};

use crate::{
    Call, Failure,
    node::info::{Source, memory::Figures},
};

/// A slot of the tree: a tag and a pointer.
const SLOT_BYTES: usize = 8;
/// Below this there is nothing to diagnose.
const DIAGNOSED_BYTES_MIN: u64 = 5 << 20;

/// One entry of the map.
enum Figure {
    Bytes(u64),
    Difference(i64),
    Ratio(f64),
}

use Figure::{Bytes, Difference, Ratio};

/// MEMORY STATS. What this node does not tell apart (allocated and active, active and resident) is told as equal.
pub(super) fn stats(call: &mut Call<'_>) -> Result<(), Failure> {
    let engine = &*call.engine;
    let it = Figures::of(&Source { engine, asking: call.session });
    let databases = (0..engine.keyspace.database_count()).map(DbIndex::new);
    let databases: Vec<_> = databases
        .map(|index| (index, engine.keyspace.database(index)))
        .filter(|(_, database)| !database.is_empty())
        .map(|(index, database)| {
            (index, database.len() * SLOT_BYTES, database.expiry_bytes_used(), database.len())
        })
        .collect();
    let keys: usize = databases.iter().map(|(.., keys)| keys).sum();
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let ratio = it.rss as f64 / it.used.max(1) as f64;
    let before = [
        ("peak.allocated", Bytes(it.peak)),
        ("total.allocated", Bytes(it.used)),
        ("startup.allocated", Bytes(0)),
        ("replication.backlog", Bytes(it.hot_log)),
        ("clients.slaves", Bytes(0)),
        ("clients.normal", Bytes(it.clients)),
        ("cluster.links", Bytes(0)),
        ("aof.buffer", Bytes(0)),
        ("lua.caches", Bytes(0)),
        ("functions.caches", Bytes(0)),
    ];
    let after = [
        ("overhead.total", Bytes(it.overhead)),
        ("keys.count", Bytes(keys as u64)),
        ("keys.bytes-per-key", Bytes(it.dataset / keys.max(1) as u64)),
        ("dataset.bytes", Bytes(it.dataset)),
        ("dataset.percentage", Ratio(percent(it.dataset, it.used))),
        ("peak.percentage", Ratio(percent(it.used, it.peak))),
        ("allocator.allocated", Bytes(it.used)),
        ("allocator.active", Bytes(it.rss)),
        ("allocator.resident", Bytes(it.rss)),
        ("allocator-fragmentation.ratio", Ratio(ratio)),
        ("allocator-fragmentation.bytes", Difference(it.rss as i64 - it.used as i64)),
        ("allocator-rss.ratio", Ratio(1.0)),
        ("allocator-rss.bytes", Difference(0)),
        ("rss-overhead.ratio", Ratio(1.0)),
        ("rss-overhead.bytes", Difference(0)),
        ("fragmentation", Ratio(ratio)),
        ("fragmentation.bytes", Difference(it.rss as i64 - it.used as i64)),
    ];
    let mut reply = call.session.reply();
    reply.map(before.len() + databases.len() + after.len());
    before.into_iter().for_each(|(name, figure)| tell(&mut reply, name, figure));
    for (index, main, expires, _) in databases {
        reply.bulk(format!("db.{index}").as_bytes());
        reply.map(3);
        for (name, bytes) in [("main", main), ("expires", expires), ("slot-to-keys", 0)] {
            reply.bulk(format!("overhead.hashtable.{name}").as_bytes());
            reply.integer(bytes as i64);
        }
    }
    after.into_iter().for_each(|(name, figure)| tell(&mut reply, name, figure));
    Ok(())
}

fn tell(reply: &mut ReplyWriter<'_>, name: &str, figure: Figure) {
    reply.bulk(name.as_bytes());
    match figure {
        Bytes(bytes) => reply.integer(bytes as i64),
        Difference(bytes) => reply.integer(bytes),
        Ratio(ratio) => reply.double(ratio),
    }
}

/// MEMORY DOCTOR
pub(super) fn doctor(call: &mut Call<'_>) -> Result<(), Failure> {
    let it = Figures::of(&Source { engine: call.engine, asking: call.session });
    let text = diagnose(&it);
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

fn diagnose(it: &Figures) -> String {
    if it.used < DIAGNOSED_BYTES_MIN {
        return "There is too little data for a diagnosis.\n".to_owned();
    }
    let mut found = Vec::new();
    if it.peak > it.used / 2 * 3 {
        found.push(format!(
            "At its peak the memory in use was {} bytes, {} more than now. The allocator may keep part of that for itself.",
            it.peak,
            it.peak - it.used
        ));
    }
    if it.rss > it.used / 5 * 7 {
        found.push(format!(
            "The process occupies {} bytes for {} in use. Where that lasts, the memory is fragmented: a restart, or a \
             replica that takes over, compacts it.",
            it.rss, it.used
        ));
    }
    if it.clients > it.used / 4 {
        found.push(format!(
            "Clients' buffers hold {} bytes: some client does not read its replies. CLIENT LIST tells which (omem).",
            it.clients
        ));
    }
    if found.is_empty() {
        return "Nothing is unusual about the memory.\n".to_owned();
    }
    found.iter().map(|text| format!("- {text}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnosis_names_what_stands_out() {
        let healthy = Figures {
            dataset: 90 << 20,
            clients: 1 << 20,
            hot_log: 1 << 20,
            overhead: 2 << 20,
            used: 92 << 20,
            peak: 93 << 20,
            rss: 100 << 20,
        };
        assert_eq!(diagnose(&healthy), "Nothing is unusual about the memory.\n");
        assert!(diagnose(&Figures { used: 1 << 20, ..healthy }).contains("too little"));
        let sick = Figures { peak: 200 << 20, rss: 150 << 20, clients: 40 << 20, ..healthy };
        assert_eq!(diagnose(&sick).lines().count(), 3);
    }
}
