//! Walking over keys, fields and members: KEYS, SCAN, RANDOMKEY, HSCAN, SSCAN, ZSCAN.
//!
//! A key that has expired is not shown; SCAN and KEYS leave its deletion to whoever deletes expired keys, so that a
//! walk over the keyspace writes nothing.

use std::str;

use rejoin_keyspace::{HashView, Key, ScanCursor};
use rejoin_protocol::number::{format_g17, format_score};
use rejoin_protocol::resp::ReplyWriter;

use super::{
    access::{read_hash, read_set, read_sorted_set},
    arguments::{integer, is},
    existence::type_name,
    glob::{Case, matches},
};
use crate::{Call, Command, Failure, Flags, KeySpec, Role};

/// How many entries SCAN looks at when it is not told.
const COUNT_DEFAULT: usize = 10;
/// How often RANDOMKEY tries again when it meets expired keys that it may not delete.
const RANDOM_TRIES_MAX: usize = 100;

const ROW: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::READONLY,
    keys: KeySpec::NONE,
    element: 0,
    group: "generic",
    since: "1.0.0",
    summary: "",
    handler: keys,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "keys", summary: "Answers all keys that match a pattern", ..ROW },
    Command {
        name: "scan",
        arity: -2,
        since: "2.8.0",
        summary: "Walks over the keys of the database, some at a time",
        handler: scan,
        ..ROW
    },
    Command { name: "randomkey", arity: 1, summary: "Answers any key", handler: randomkey, ..ROW },
    Command {
        name: "hscan",
        arity: -3,
        keys: KeySpec::ONE,
        element: 0,
        group: "hash",
        since: "2.8.0",
        summary: "Walks over the fields and values of a hash, some at a time",
        handler: hscan,
        ..ROW
    },
    Command {
        name: "sscan",
        arity: -3,
        keys: KeySpec::ONE,
        group: "set",
        since: "2.8.0",
        summary: "Walks over the members of a set, some at a time",
        handler: sscan,
        ..ROW
    },
    Command {
        name: "zscan",
        arity: -3,
        keys: KeySpec::ONE,
        group: "sorted-set",
        since: "2.8.0",
        summary: "Walks over the members and scores of a sorted set, some at a time",
        handler: zscan,
        ..ROW
    },
];

/// `KEYS pattern`
fn keys(call: &mut Call<'_>) -> Result<(), Failure> {
    let pattern = call.args[1];
    let database = call.engine.keyspace.database(call.session.db);
    let found: Vec<&[u8]> = database
        .iter()
        .filter(|entry| matches(pattern, entry.key(), Case::Sensitive) && !call.is_expired(entry.expiry()))
        .map(|entry| entry.key())
        .collect();
    let mut reply = call.session.reply();
    reply.array(found.len());
    for key in found {
        reply.bulk(key);
    }
    Ok(())
}

/// The options of SCAN and HSCAN.
struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    fn parse(mut args: &[&'a [u8]], knows_types: bool) -> Result<Self, Failure> {
        let mut options = Self { pattern: None, count: COUNT_DEFAULT, type_name: None };
        loop {
            args = match args {
                [] => return Ok(options),
                [option, pattern, rest @ ..] if is(option, "MATCH") => {
                    options.pattern = Some(pattern);
                    rest
                }
                [option, count, rest @ ..] if is(option, "COUNT") => {
                    let count = integer(count)?;
                    options.count =
                        usize::try_from(count).ok().filter(|&count| count > 0).ok_or(Failure::Syntax)?;
                    rest
                }
                [option, name, rest @ ..] if knows_types && is(option, "TYPE") => {
                    options.type_name = Some(name);
                    rest
                }
                _ => return Err(Failure::Syntax),
            };
        }
    }

    fn shows(&self, key: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| matches(pattern, key, Case::Sensitive))
    }
}

/// A cursor as C's `strtoul` reads it, which is what Redis gives it to: a sign is allowed, and nothing is 0.
fn parse_cursor(argument: &[u8]) -> Result<ScanCursor, Failure> {
    // Redis reads it with C's string functions, for which a zero is the end.
    let argument = argument.split(|byte| *byte == 0).next().unwrap_or_default();
    let (is_negative, digits) = match argument {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        [] => (false, b"0".as_slice()),
        digits => (false, digits),
    };
    let number = str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u64>().ok())
        .ok_or(Failure::text("ERR invalid cursor"))?;
    Ok(ScanCursor::new(if is_negative { number.wrapping_neg() } else { number }))
}

/// Replies with a cursor and the elements that a walk has collected.
fn reply_scan(reply: &mut ReplyWriter<'_>, next: ScanCursor, count: usize, elements: &[u8]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next.get()).as_bytes());
    reply.array(count);
    reply.raw(elements);
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn scan(call: &mut Call<'_>) -> Result<(), Failure> {
    let cursor = parse_cursor(call.args[1])?;
    let options = ScanOptions::parse(&call.args[2..], true)?;
    let (mut elements, mut count) = (Vec::new(), 0);
    let mut writer = ReplyWriter::new(&mut elements, call.session.version);
    let next = call.db().scan(cursor, options.count, &mut |entry| {
        let is_of_type = options.type_name.is_none_or(|name| is(name, type_name(entry)));
        if is_of_type && options.shows(entry.key()) && !call.is_expired(entry.expiry()) {
            writer.bulk(entry.key());
            count += 1;
        }
    });
    reply_scan(&mut call.reply(), next, count, &elements);
    Ok(())
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`: a packed hash is answered whole.
fn hscan(call: &mut Call<'_>) -> Result<(), Failure> {
    let cursor = parse_cursor(call.args[2])?;
    let args = call.args;
    read_hash(call, 1, |hash, reading| {
        let mut reply = reading.session.reply();
        let Some(hash) = hash else {
            reply_scan(&mut reply, ScanCursor::START, 0, &[]);
            return Ok(());
        };
        let options = ScanOptions::parse(&args[3..], false)?;
        let (mut elements, mut count) = (Vec::new(), 0);
        let mut writer = ReplyWriter::new(&mut elements, reply.version());
        let next = walk_hash(hash, cursor, options.count, &mut |field, value| {
            if options.shows(field) {
                writer.bulk(field);
                writer.bulk(value);
                count += 2;
            }
        });
        reply_scan(&mut reply, next, count, &elements);
        Ok(())
    })
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`: a set that is not a tree is answered whole.
fn sscan(call: &mut Call<'_>) -> Result<(), Failure> {
    let cursor = parse_cursor(call.args[2])?;
    let args = call.args;
    read_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        let Some(set) = set else {
            reply_scan(&mut reply, ScanCursor::START, 0, &[]);
            return Ok(());
        };
        let options = ScanOptions::parse(&args[3..], false)?;
        let (mut elements, mut count) = (Vec::new(), 0);
        let mut writer = ReplyWriter::new(&mut elements, reply.version());
        let next = set.scan(cursor, options.count, &mut |member| {
            if options.shows(member) {
                writer.bulk(member);
                count += 1;
            }
        });
        reply_scan(&mut reply, next, count, &elements);
        Ok(())
    })
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`: a packed sorted set is answered whole. Scores are texts in either
/// version of the protocol: of 17 digits where the sorted set is large, for Redis has two ways to write them.
fn zscan(call: &mut Call<'_>) -> Result<(), Failure> {
    let cursor = parse_cursor(call.args[2])?;
    let args = call.args;
    read_sorted_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        let Some(set) = set else {
            reply_scan(&mut reply, ScanCursor::START, 0, &[]);
            return Ok(());
        };
        let options = ScanOptions::parse(&args[3..], false)?;
        let format = if set.is_packed() { format_score } else { format_g17 };
        let (mut elements, mut count) = (Vec::new(), 0);
        let mut writer = ReplyWriter::new(&mut elements, reply.version());
        let next = set.scan(cursor, options.count, &mut |member, score| {
            if options.shows(member) {
                writer.bulk(member);
                writer.bulk(format(score).as_bytes());
                count += 2;
            }
        });
        reply_scan(&mut reply, next, count, &elements);
        Ok(())
    })
}

fn walk_hash<'a>(
    hash: HashView<'a>,
    cursor: ScanCursor,
    count: usize,
    visit: &mut dyn FnMut(&'a [u8], &'a [u8]),
) -> ScanCursor {
    if !hash.is_packed() {
        return hash.scan(cursor, count, visit);
    }
    for (field, value) in hash.iter() {
        visit(field, value);
    }
    ScanCursor::START
}

/// `RANDOMKEY`: expired keys that it meets are deleted on a master; a replica gives up after some tries and answers
/// one of them.
fn randomkey(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let rank = call.engine.random();
        let Some(entry) = call.db().random(rank).cloned() else {
            call.reply().null();
            return Ok(());
        };
        let may_answer_expired = call.engine.role == Role::Replica && tries == RANDOM_TRIES_MAX;
        if may_answer_expired || !call.is_expired(entry.expiry()) {
            call.reply().bulk(entry.key());
            return Ok(());
        }
        let key: Key<'_> = call.engine.keyspace.key(entry.key());
        call.expire_if_due(call.session.db, key);
    }
}
