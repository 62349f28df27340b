//! Strings: reading them whole or in part, writing several at once, editing in place.

use rejoin_keyspace::{Key, Value};

use super::{
    access::{check_string_len, inspect, put_string, read, read_string, reply_string, string_bytes},
    arguments::integer,
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const READ: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 0,
    group: "string",
    since: "1.0.0",
    summary: "",
    handler: get,
    subcommands: &[],
    number: 0,
};

const WRITE: Command = Command { flags: Flags::WRITE.union(Flags::DENYOOM), ..READ };

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "get", summary: "Answers a string", ..READ },
    Command {
        name: "mget",
        arity: -2,
        keys: KeySpec::ALL,
        summary: "Answers the strings of several keys",
        handler: mget,
        ..READ
    },
    Command {
        name: "strlen",
        since: "2.2.0",
        summary: "Answers how many bytes a string has",
        handler: strlen,
        ..READ
    },
    Command {
        name: "getrange",
        arity: 4,
        flags: Flags::READONLY,
        since: "2.4.0",
        summary: "Answers a part of a string",
        handler: getrange,
        ..READ
    },
    Command {
        name: "substr",
        arity: 4,
        flags: Flags::READONLY,
        summary: "Answers a part of a string; the older name of GETRANGE",
        handler: getrange,
        ..READ
    },
    Command {
        name: "mset",
        arity: -3,
        keys: KeySpec::PAIRS,
        since: "1.0.1",
        summary: "Writes several strings at once",
        handler: mset,
        ..WRITE
    },
    Command {
        name: "msetnx",
        arity: -3,
        keys: KeySpec::PAIRS,
        since: "1.0.1",
        summary: "Writes several strings at once if none of the keys is there",
        handler: msetnx,
        ..WRITE
    },
    Command {
        name: "append",
        arity: 3,
        flags: WRITE.flags.union(Flags::FAST),
        since: "2.0.0",
        summary: "Adds bytes to the end of a string",
        handler: append,
        ..WRITE
    },
    Command {
        name: "setrange",
        arity: 4,
        since: "2.2.0",
        summary: "Writes over a part of a string",
        handler: setrange,
        ..WRITE
    },
];

/// `GET key`
fn get(call: &mut Call<'_>) -> Result<(), Failure> {
    read(call, 1, |entry, reading| match entry {
        Some(entry) => reply_string(reading.session, entry.value()),
        None => {
            reading.session.reply().null();
            Ok(())
        }
    })
}

/// `MGET key ...`: a key that holds no string answers as if it were missing.
fn mget(call: &mut Call<'_>) -> Result<(), Failure> {
    let keys = call.args.len() - 1;
    call.reply().array(keys);
    for index in 1..=keys {
        read(call, index, |entry, reading| {
            let found = entry.is_some_and(|entry| reply_string(reading.session, entry.value()).is_ok());
            if !found {
                reading.session.reply().null();
            }
        });
    }
    Ok(())
}

/// `STRLEN key`
fn strlen(call: &mut Call<'_>) -> Result<(), Failure> {
    read_string(call, 1, |bytes, reading| {
        reading.session.reply().integer(bytes.map_or(0, <[u8]>::len) as i64)
    })
}

/// `GETRANGE key start end`, both inclusive and counted from the end when negative.
fn getrange(call: &mut Call<'_>) -> Result<(), Failure> {
    let start = integer(call.args[2])?;
    let end = integer(call.args[3])?;
    read_string(call, 1, |bytes, reading| {
        let bytes = bytes.unwrap_or_default();
        reading.session.reply().bulk(part(bytes, start, end));
    })
}

fn part(bytes: &[u8], start: i64, end: i64) -> &[u8] {
    let len = bytes.len() as i64;
    // From the end, both are clamped below to the first byte: so a range before the string would be that byte.
    if start < 0 && end < 0 && start > end {
        return &[];
    }
    let from_start = |index: i64| if index < 0 { index.saturating_add(len).max(0) } else { index };
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end {
        return &[];
    }
    &bytes[start as usize..=end as usize]
}

/// The pairs of MSET and MSETNX, by the index of each key.
fn pairs(call: &Call<'_>) -> Result<impl Iterator<Item = usize> + use<>, Failure> {
    if call.args.len().is_multiple_of(2) {
        return Err(Failure::WrongArity(call.command.name.to_owned()));
    }
    Ok((1..call.args.len()).step_by(2))
}

/// `MSET key value ...`
fn mset(call: &mut Call<'_>) -> Result<(), Failure> {
    let pairs = pairs(call)?;
    put_pairs(call, pairs);
    call.reply().ok();
    Ok(())
}

fn put_pairs(call: &mut Call<'_>, pairs: impl Iterator<Item = usize>) {
    for index in pairs {
        let key = call.key(index);
        let is_made = call.will_make(key);
        put_string(call, key, call.args[index + 1], None);
        call.wrote(key, is_made, EventClasses::STRING, "set");
    }
}

/// `MSETNX key value ...`
fn msetnx(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut keys = pairs(call)?;
    let is_free = keys.all(|index| {
        let key = call.key(index);
        inspect(call, key, |entry, _| entry.is_none())
    });
    if is_free {
        let pairs = pairs(call)?;
        put_pairs(call, pairs);
    }
    call.reply().integer(i64::from(is_free));
    Ok(())
}

/// The length of the string at `key` before it is edited; `None` if the key is missing.
fn len_before_edit(call: &mut Call<'_>, key: Key<'_>) -> Result<Option<u64>, Failure> {
    inspect(call, key, |entry, _| {
        let Some(entry) = entry else { return Ok(None) };
        let len = match entry.value() {
            Value::Str(bytes, _) => bytes.len(),
            number => string_bytes(number, &mut itoa::Buffer::new())?.len(),
        };
        Ok(Some(len as u64))
    })
}

/// `APPEND key value`
fn append(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, suffix) = (call.key(1), call.args[2]);
    let is_made = call.will_make(key);
    let len = match len_before_edit(call, key)? {
        None => {
            put_string(call, key, suffix, None);
            suffix.len()
        }
        Some(len) => {
            check_string_len(call, len.saturating_add(suffix.len() as u64))?;
            call.db_mut().edit_string(key, |bytes| {
                bytes.extend_from_slice(suffix);
                bytes.len()
            })
        }
    };
    call.wrote(key, is_made, EventClasses::STRING, "append");
    call.reply().integer(len as i64);
    Ok(())
}

/// `SETRANGE key offset value`: what lies between the old end and the offset becomes zeros.
fn setrange(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, patch) = (call.key(1), call.args[3]);
    let offset =
        u64::try_from(integer(call.args[2])?).map_err(|_| Failure::text("ERR offset is out of range"))?;
    let len = len_before_edit(call, key)?;
    if patch.is_empty() {
        call.reply().integer(len.unwrap_or(0) as i64);
        return Ok(());
    }
    check_string_len(call, offset.saturating_add(patch.len() as u64))?;
    let offset = offset as usize;
    let is_made = call.will_make(key);
    let len = call.db_mut().edit_string(key, |bytes| {
        let end = offset + patch.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(patch);
        bytes.len()
    });
    call.wrote(key, is_made, EventClasses::STRING, "setrange");
    call.reply().integer(len as i64);
    Ok(())
}
