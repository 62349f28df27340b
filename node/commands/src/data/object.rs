//! OBJECT: how a value is held. What has no counterpart here (reference counts) answers what Redis would say.

use rejoin_keyspace::{AccessClock, Entry, SetForm, StringForm, Value};

use super::access::ask;
use crate::{Call, Command, Failure, Flags, KeySpec};

/// Redis shares the objects of small numbers, and reports a count that is never reached for them.
const SHARED_INTEGERS: i64 = 10_000;
const NOT_LRU: &str = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
const NOT_LFU: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";

const ROW: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::READONLY.union(Flags::NO_TOUCH),
    keys: KeySpec { first: 2, last: 2, step: 1 },
    element: 0,
    group: "generic",
    since: "2.2.3",
    summary: "",
    handler: encoding,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "object",
    arity: -2,
    flags: Flags::empty(),
    keys: KeySpec::NONE,
    summary: "Tells how values are held",
    subcommands: &[
        Command { name: "encoding", summary: "Answers the encoding of a value", ..ROW },
        Command {
            name: "freq",
            since: "4.0.0",
            summary: "Answers how often a key is used, on a logarithmic scale",
            handler: freq,
            ..ROW
        },
        Command {
            name: "help",
            arity: 2,
            flags: Flags::LOADING.union(Flags::STALE),
            keys: KeySpec::NONE,
            since: "6.2.0",
            summary: "Lists the subcommands",
            handler: help,
            ..ROW
        },
        Command {
            name: "idletime",
            summary: "Answers for how many seconds a key was not used",
            handler: idletime,
            ..ROW
        },
        Command {
            name: "refcount",
            summary: "Answers how many references a value has",
            handler: refcount,
            ..ROW
        },
    ],
    ..ROW
}];

/// Looks the key up and replies, or replies null for a missing one.
fn inspect_object(
    call: &mut Call<'_>,
    answer: impl FnOnce(&Entry, &mut crate::Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    ask(call, 2, |entry, reading| match entry {
        Some(entry) => answer(entry, reading.session),
        None => {
            reading.session.reply().null();
            Ok(())
        }
    })
}

/// `OBJECT ENCODING key`
fn encoding(call: &mut Call<'_>) -> Result<(), Failure> {
    inspect_object(call, |entry, session| {
        session.reply().bulk(encoding_name(entry).as_bytes());
        Ok(())
    })
}

/// As OBJECT ENCODING says it.
pub(crate) fn encoding_name(entry: &Entry) -> &'static str {
    match entry.value() {
        Value::Int(_) | Value::Str(_, StringForm::Int) => "int",
        Value::Str(_, StringForm::Embstr) => "embstr",
        Value::Str(_, StringForm::Raw) => "raw",
        Value::Hash(hash) if hash.is_packed() => "listpack",
        Value::Hash(_) => "hashtable",
        Value::Set(set) => match set.form() {
            SetForm::Integers => "intset",
            SetForm::Packed => "listpack",
            SetForm::Tree => "hashtable",
        },
        Value::SortedSet(set) if set.is_packed() => "listpack",
        Value::SortedSet(_) => "skiplist",
        Value::List(list) if list.is_packed() => "listpack",
        Value::List(_) => "quicklist",
    }
}

/// `OBJECT REFCOUNT key`
fn refcount(call: &mut Call<'_>) -> Result<(), Failure> {
    inspect_object(call, |entry, session| {
        session.reply().integer(reference_count(entry));
        Ok(())
    })
}

/// As OBJECT REFCOUNT says it.
pub(crate) fn reference_count(entry: &Entry) -> i64 {
    match entry.value() {
        Value::Int(0..SHARED_INTEGERS) => i64::from(i32::MAX),
        _ => 1,
    }
}

/// `OBJECT IDLETIME key`
fn idletime(call: &mut Call<'_>) -> Result<(), Failure> {
    answer_usage(call, |access, entry, is_lfu| match is_lfu {
        true => Err(Failure::text(NOT_LRU)),
        false => Ok(i64::from(access.idle_seconds(entry))),
    })
}

/// `OBJECT FREQ key`
fn freq(call: &mut Call<'_>) -> Result<(), Failure> {
    answer_usage(call, |access, entry, is_lfu| match is_lfu {
        true => Ok(i64::from(access.uses(entry))),
        false => Err(Failure::text(NOT_LFU)),
    })
}

/// Replies with a number about the use of a key, or with null for a missing one. `answer` is told whether the policy
/// counts uses.
fn answer_usage(
    call: &mut Call<'_>,
    answer: impl FnOnce(&AccessClock, &Entry, bool) -> Result<i64, Failure>,
) -> Result<(), Failure> {
    if !ask(call, 2, |entry, _| entry.is_some()) {
        call.reply().null();
        return Ok(());
    }
    let key = call.key(2);
    let is_lfu = call.engine.settings.maxmemory_policy.is_lfu();
    let Some(entry) = call.db().get(key) else { return Err(Failure::NoSuchKey) };
    let number = answer(call.engine.keyspace.access(), entry, is_lfu)?;
    call.reply().integer(number);
    Ok(())
}

/// `OBJECT HELP`
fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> <key>. Subcommands are:",
        "ENCODING <key>",
        "    How the value is held.",
        "FREQ <key>",
        "    How often the key is used, under an LFU policy.",
        "IDLETIME <key>",
        "    Seconds since the key was last used.",
        "REFCOUNT <key>",
        "    How many references the value has.",
        "HELP",
        "    This text.",
    ];
    let mut reply = call.reply();
    reply.array(LINES.len());
    for line in LINES {
        reply.simple(line);
    }
    Ok(())
}
