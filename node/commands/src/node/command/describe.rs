//! One command as COMMAND INFO and COMMAND DOCS show it.

use rejoin_protocol::resp::ReplyWriter;

use crate::{Command, Flags, KeySpec, table};

/// The ten elements of COMMAND INFO: name, arity, flags, first key, last key, step, categories, tips, key
/// specifications, subcommands.
pub(super) fn info(reply: &mut ReplyWriter<'_>, row: &'static Command) {
    let flags = flags(row);
    let categories = categories(row);
    reply.array(10);
    reply.bulk(table::full_name(row).as_bytes());
    reply.integer(i64::from(row.arity));
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
    for place in [row.keys.first, row.keys.last, row.keys.step] {
        reply.integer(i64::from(place));
    }
    reply.set(categories.len());
    for category in categories {
        reply.simple(&format!("@{category}"));
    }
    reply.array(0);
    if row.keys == KeySpec::NONE {
        reply.set(0);
    } else {
        reply.set(1);
        key_specification(reply, row);
    }
    reply.array(row.subcommands.len());
    for subcommand in row.subcommands {
        info(reply, subcommand);
    }
}

/// Where the keys stand, in the terms of Redis 7: search by index, then a range.
fn key_specification(reply: &mut ReplyWriter<'_>, row: &Command) {
    let flags = key_flags(row);
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(flags.len());
    for flag in flags {
        reply.simple(flag);
    }
    reply.bulk(b"begin_search");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"index");
    reply.bulk(b"spec");
    reply.map(1);
    reply.bulk(b"index");
    reply.integer(i64::from(row.keys.first));
    reply.bulk(b"find_keys");
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(b"range");
    reply.bulk(b"spec");
    reply.map(3);
    // The last key counts from the first one here, and from the end when negative.
    let last = if row.keys.last < 0 { row.keys.last } else { row.keys.last - row.keys.first };
    for (name, number) in [("lastkey", last), ("keystep", row.keys.step), ("limit", 0)] {
        reply.bulk(name.as_bytes());
        reply.integer(i64::from(number));
    }
}

/// What a command does with its keys.
pub(super) fn key_flags(row: &Command) -> &'static [&'static str] {
    match row.flags {
        // A name that a cluster places as it does keys.
        flags if flags.contains(Flags::PUBSUB) => &["not_key"],
        flags if flags.contains(Flags::WRITE) => &["RW", "access", "update"],
        _ => &["RO", "access"],
    }
}

/// The map of COMMAND DOCS.
pub(super) fn docs(reply: &mut ReplyWriter<'_>, row: &'static Command) {
    reply.map(if row.subcommands.is_empty() { 3 } else { 4 });
    for (name, text) in [("summary", row.summary), ("since", row.since), ("group", row.group)] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !row.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(row.subcommands.len());
        for subcommand in row.subcommands {
            reply.bulk(table::full_name(subcommand).as_bytes());
            docs(reply, subcommand);
        }
    }
}

fn flags(row: &Command) -> Vec<&'static str> {
    let named = [
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
    ];
    named.iter().filter(|(flag, _)| row.flags.contains(*flag)).map(|(_, name)| *name).collect()
}

/// The categories of ACL rules, without their `@`.
pub(super) fn categories(row: &Command) -> Vec<&'static str> {
    let mut categories = Vec::new();
    for (flag, name) in [
        (Flags::WRITE, "write"),
        (Flags::READONLY, "read"),
        (Flags::ADMIN, "admin"),
        (Flags::ADMIN, "dangerous"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::BLOCKING, "blocking"),
    ] {
        if row.flags.contains(flag) {
            categories.push(name);
        }
    }
    categories.push(if row.flags.contains(Flags::FAST) { "fast" } else { "slow" });
    match row.group {
        "generic" => categories.push("keyspace"),
        "transactions" => categories.push("transaction"),
        "server" => {}
        "sorted-set" => categories.push("sortedset"),
        // A flag says so already, of all but the container and its help.
        "pubsub" => {}
        group => categories.push(group),
    }
    categories
}
