//! Hashes: fields read, written and removed.

use rejoin_keyspace::{HashView, Key};

use super::access::{Reading, as_hash, hash_limits, inspect, read_hash, take_away_if_expired};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const READ: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 2,
    group: "hash",
    since: "2.0.0",
    summary: "",
    handler: hget,
    subcommands: &[],
    number: 0,
};

const WRITE: Command = Command {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    handler: hset,
    ..READ
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "hset", summary: "Writes fields of a hash", ..WRITE },
    Command {
        name: "hmset",
        summary: "Writes fields of a hash; HSET that answers OK",
        handler: hmset,
        ..WRITE
    },
    Command {
        name: "hsetnx",
        arity: 4,
        summary: "Writes a field of a hash if it is missing",
        handler: hsetnx,
        ..WRITE
    },
    Command {
        name: "hdel",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        summary: "Removes fields of a hash",
        handler: hdel,
        ..WRITE
    },
    Command { name: "hget", summary: "Answers a field of a hash", ..READ },
    Command { name: "hmget", arity: -3, summary: "Answers several fields of a hash", handler: hmget, ..READ },
    Command {
        name: "hgetall",
        arity: 2,
        flags: Flags::READONLY,
        summary: "Answers all fields of a hash with their values",
        handler: hgetall,
        ..READ
    },
    Command {
        name: "hkeys",
        arity: 2,
        flags: Flags::READONLY,
        summary: "Answers the names of all fields of a hash",
        handler: hkeys,
        ..READ
    },
    Command {
        name: "hvals",
        arity: 2,
        flags: Flags::READONLY,
        summary: "Answers the values of all fields of a hash",
        handler: hvals,
        ..READ
    },
    Command { name: "hlen", arity: 2, summary: "Answers how many fields a hash has", handler: hlen, ..READ },
    Command {
        name: "hstrlen",
        since: "3.2.0",
        summary: "Answers how many bytes a field's value has",
        handler: hstrlen,
        ..READ
    },
    Command { name: "hexists", summary: "Answers whether a hash has a field", handler: hexists, ..READ },
];

/// `HSET key field value ...`
fn hset(call: &mut Call<'_>) -> Result<(), Failure> {
    let added = set_pairs(call)?;
    call.reply().integer(added);
    Ok(())
}

/// `HMSET key field value ...`
fn hmset(call: &mut Call<'_>) -> Result<(), Failure> {
    set_pairs(call)?;
    call.reply().ok();
    Ok(())
}

/// Writes the pairs behind the key; how many fields are new.
fn set_pairs(call: &mut Call<'_>) -> Result<i64, Failure> {
    if !call.args.len().is_multiple_of(2) {
        return Err(Failure::WrongArity(call.command.name.to_owned()));
    }
    let (key, limits) = (call.key(1), hash_limits(call));
    take_away_if_expired(call, key);
    let is_made = call.will_make(key);
    let Some(mut hash) = call.engine.keyspace.database_mut(call.session.db).hash_mut(key, limits) else {
        return Err(Failure::WrongType);
    };
    let mut added = 0;
    for pair in call.args[2..].chunks_exact(2) {
        added += i64::from(hash.set(pair[0], pair[1]));
    }
    drop(hash);
    call.wrote(key, is_made, EventClasses::HASH, "hset");
    Ok(added)
}

/// Writes one field of what is known to be a hash or missing.
pub(super) fn set_field(
    call: &mut Call<'_>,
    key: Key<'_>,
    field: &[u8],
    value: &[u8],
    event: &'static str,
) -> Result<(), Failure> {
    let limits = hash_limits(call);
    let is_made = call.will_make(key);
    call.db_mut().hash_mut(key, limits).ok_or(Failure::WrongType)?.set(field, value);
    call.wrote(key, is_made, EventClasses::HASH, event);
    Ok(())
}

/// `HSETNX key field value`
fn hsetnx(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, field) = (call.key(1), call.args[2]);
    let is_there = inspect(call, key, |entry, reading| {
        Ok(as_hash(entry)?.is_some_and(|hash| hash.get(reading.seed, field).is_some()))
    })?;
    if !is_there {
        set_field(call, key, field, call.args[3], "hset")?;
    }
    call.reply().integer(i64::from(!is_there));
    Ok(())
}

/// `HDEL key field ...`: the key goes with its last field.
fn hdel(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, limits, fields) = (call.key(1), hash_limits(call), &call.args[2..]);
    // Nothing is opened for writing that would stay as it is.
    let has_any = inspect(call, key, |entry, reading| {
        Ok(as_hash(entry)?
            .is_some_and(|hash| fields.iter().any(|field| hash.get(reading.seed, field).is_some())))
    })?;
    let mut removed = 0;
    if has_any {
        let mut hash = call.db_mut().hash_mut(key, limits).ok_or(Failure::WrongType)?;
        removed = fields.iter().filter(|field| hash.remove(field)).count();
        drop(hash);
        call.removed_from(key, EventClasses::HASH, "hdel");
    }
    call.reply().integer(removed as i64);
    Ok(())
}

/// `HGET key field`
fn hget(call: &mut Call<'_>) -> Result<(), Failure> {
    let field = call.args[2];
    read_hash(call, 1, |hash, mut reading| {
        reply_field(&mut reading, hash, field);
        Ok(())
    })
}

/// `HMGET key field ...`
fn hmget(call: &mut Call<'_>) -> Result<(), Failure> {
    let fields = &call.args[2..];
    read_hash(call, 1, |hash, mut reading| {
        reading.session.reply().array(fields.len());
        for field in fields {
            reply_field(&mut reading, hash, field);
        }
        Ok(())
    })
}

fn reply_field(reading: &mut Reading<'_>, hash: Option<HashView<'_>>, field: &[u8]) {
    match hash.and_then(|hash| hash.get(reading.seed, field)) {
        Some(value) => reading.session.reply().bulk(value),
        None => reading.session.reply().null(),
    }
}

/// `HGETALL key`
fn hgetall(call: &mut Call<'_>) -> Result<(), Failure> {
    read_hash(call, 1, |hash, reading| {
        let mut reply = reading.session.reply();
        reply.map(hash.map_or(0, |hash| hash.len()));
        for (field, value) in hash.iter().flat_map(HashView::iter) {
            reply.bulk(field);
            reply.bulk(value);
        }
        Ok(())
    })
}

/// A field and its value.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// `HKEYS key`
fn hkeys(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_each(call, |(field, _)| field)
}

/// `HVALS key`
fn hvals(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_each(call, |(_, value)| value)
}

fn reply_each(call: &mut Call<'_>, of: for<'a> fn(Pair<'a>) -> &'a [u8]) -> Result<(), Failure> {
    read_hash(call, 1, |hash, reading| {
        let mut reply = reading.session.reply();
        reply.array(hash.map_or(0, |hash| hash.len()));
        for pair in hash.iter().flat_map(HashView::iter) {
            reply.bulk(of(pair));
        }
        Ok(())
    })
}

/// `HLEN key`
fn hlen(call: &mut Call<'_>) -> Result<(), Failure> {
    read_hash(call, 1, |hash, reading| {
        reading.session.reply().integer(hash.map_or(0, |hash| hash.len()) as i64);
        Ok(())
    })
}

/// `HSTRLEN key field`
fn hstrlen(call: &mut Call<'_>) -> Result<(), Failure> {
    let len = find_field(call, |value| value.map_or(0, <[u8]>::len))?;
    call.reply().integer(len as i64);
    Ok(())
}

/// `HEXISTS key field`
fn hexists(call: &mut Call<'_>) -> Result<(), Failure> {
    let is_there = find_field(call, |value| value.is_some())?;
    call.reply().integer(i64::from(is_there));
    Ok(())
}

fn find_field<R>(call: &mut Call<'_>, of: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Failure> {
    let field = call.args[2];
    read_hash(call, 1, |hash, reading| Ok(of(hash.and_then(|hash| hash.get(reading.seed, field)))))
}
