//! One command as COMMAND INFO and COMMAND DOCS show it.

use std::borrow::Cow;

use rejoin_protocol::resp::ReplyWriter;

use super::syntax::{Argument, Begin, Follow, KeySet, details};

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
    let details = details(table::full_name(row));
    reply.set(details.tips.len());
    for tip in &details.tips {
        reply.bulk(tip.as_bytes());
    }
    let key_sets = key_sets(row);
    reply.set(key_sets.len());
    for key_set in key_sets.iter() {
        describe_key_set(reply, key_set);
    }
    // Redis has two kinds of emptiness here.
    if row.subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(row.subcommands.len());
    }
    for subcommand in row.subcommands {
        info(reply, subcommand);
    }
}

/// The sets of keys of a command: as they are written down for it, else as its row has them.
pub(super) fn key_sets(row: &'static Command) -> Cow<'static, [KeySet]> {
    let known = &details(table::full_name(row)).keys;
    if !known.is_empty() || row.keys == KeySpec::NONE {
        return Cow::Borrowed(known);
    }
    // The last key counts from the first one there, and from the end when negative.
    let last = if row.keys.last < 0 { row.keys.last } else { row.keys.last - row.keys.first };
    Cow::Owned(vec![KeySet {
        flags: key_flags(row).iter().map(|flag| (*flag).to_owned()).collect(),
        begin: Begin::Index(row.keys.first.into()),
        follow: Follow::Range { last: last.into(), step: row.keys.step.into(), limit: 0 },
    }])
}

/// One set of keys, in the terms of Redis 7.
fn describe_key_set(reply: &mut ReplyWriter<'_>, key_set: &KeySet) {
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(key_set.flags.len());
    for flag in &key_set.flags {
        reply.simple(flag);
    }
    reply.bulk(b"begin_search");
    match &key_set.begin {
        Begin::Index(index) => search(reply, "index", &[("index", *index)]),
        Begin::Keyword { keyword, from } => {
            reply.map(2);
            reply.bulk(b"type");
            reply.bulk(b"keyword");
            reply.bulk(b"spec");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(*from);
        }
        Begin::Unknown => search(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match key_set.follow {
        Follow::Range { last, step, limit } => {
            search(reply, "range", &[("lastkey", last), ("keystep", step), ("limit", limit)]);
        }
        Follow::Numbered { number, first, step } => {
            search(reply, "keynum", &[("keynumidx", number), ("firstkey", first), ("keystep", step)]);
        }
        Follow::Unknown => search(reply, "unknown", &[]),
    }
}

/// One step of the search for keys: its kind and its numbers.
fn search(reply: &mut ReplyWriter<'_>, kind: &str, numbers: &[(&str, i64)]) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
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
    let details = details(table::full_name(row));
    let mut texts = vec![("summary", row.summary), ("since", row.since), ("group", row.group)];
    if !details.cost.is_empty() {
        texts.push(("complexity", &details.cost));
    }
    if let Some((version, replacement)) = &details.until {
        texts.extend([("deprecated_since", version.as_str()), ("replaced_by", replacement)]);
    }
    let others = [!details.flags.is_empty(), !details.args.is_empty(), !row.subcommands.is_empty()];
    reply.map(texts.len() + others.iter().filter(|is_there| **is_there).count());
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !details.flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.set(details.flags.len());
        details.flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !details.args.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, &details.args);
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

fn arguments(reply: &mut ReplyWriter<'_>, args: &[Argument]) {
    reply.array(args.len());
    for arg in args {
        argument(reply, arg);
    }
}

fn argument(reply: &mut ReplyWriter<'_>, arg: &Argument) {
    let named = [
        ("name", Some(arg.name.as_str())),
        ("type", Some(arg.kind)),
        ("token", arg.token.as_deref()),
        ("since", arg.since.as_deref()),
        ("deprecated_since", arg.until.as_deref()),
    ];
    let flags: Vec<&str> =
        [("optional", arg.optional), ("multiple", arg.multiple), ("multiple_token", arg.multiple_token)]
            .iter()
            .filter_map(|(name, is_set)| is_set.then_some(*name))
            .collect();
    let others = [arg.key_set.is_some(), !flags.is_empty(), !arg.parts.is_empty()];
    let texts = || named.iter().filter_map(|(name, text)| Some((name, (*text)?)));
    reply.map(texts().count() + others.iter().filter(|is_there| **is_there).count());
    for (name, text) in texts() {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if let Some(index) = arg.key_set {
        reply.bulk(b"key_spec_index");
        reply.integer(index);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !arg.parts.is_empty() {
        reply.bulk(b"arguments");
        arguments(reply, &arg.parts);
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
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
    ];
    let own = named.iter().filter(|(flag, _)| row.flags.contains(*flag)).map(|(_, name)| *name);
    own.chain(details(table::full_name(row)).row_flags.iter().map(String::as_str)).collect()
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
    categories.extend(details(table::full_name(row)).categories.iter().map(String::as_str));
    categories
}
