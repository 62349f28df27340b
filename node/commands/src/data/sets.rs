//! Sets: members added, removed, moved and looked up.

use rejoin_keyspace::Key;

use super::access::{as_set, inspect, read_set, set_limits, take_away_if_expired};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const READ: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 2,
    group: "set",
    since: "1.0.0",
    summary: "",
    handler: sismember,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "sadd",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        summary: "Adds members to a set",
        handler: sadd,
        ..READ
    },
    Command {
        name: "srem",
        arity: -3,
        flags: Flags::WRITE.union(Flags::FAST),
        summary: "Removes members of a set",
        handler: srem,
        ..READ
    },
    Command {
        name: "smove",
        arity: 4,
        flags: Flags::WRITE.union(Flags::FAST),
        keys: KeySpec::TWO,
        element: 3,
        summary: "Moves a member from one set to another",
        handler: smove,
        ..READ
    },
    Command { name: "sismember", summary: "Answers whether a member is in a set", ..READ },
    Command {
        name: "smismember",
        arity: -3,
        since: "6.2.0",
        summary: "Answers which of some members are in a set",
        handler: smismember,
        ..READ
    },
    Command {
        name: "scard",
        arity: 2,
        element: 0,
        summary: "Answers how many members a set has",
        handler: scard,
        ..READ
    },
    Command {
        name: "smembers",
        arity: 2,
        flags: Flags::READONLY,
        element: 0,
        summary: "Answers all members of a set",
        handler: smembers,
        ..READ
    },
];

/// `SADD key member ...`
fn sadd(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, members) = (call.key(1), &call.args[2..]);
    take_away_if_expired(call, key);
    let limits = set_limits(call);
    let is_made = call.will_make(key);
    let mut set = call.db_mut().set_mut(key, limits).ok_or(Failure::WrongType)?;
    set.expect(members[0], members.len());
    let added = members.iter().filter(|member| set.add(member)).count();
    drop(set);
    if added > 0 {
        call.wrote(key, is_made, EventClasses::SET, "sadd");
    }
    call.reply().integer(added as i64);
    Ok(())
}

/// `SREM key member ...`: the key goes with its last member.
fn srem(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, members) = (call.key(1), &call.args[2..]);
    // Nothing is opened for writing that would stay as it is.
    let has_any = inspect(call, key, |entry, reading| {
        Ok(as_set(entry)?.is_some_and(|set| members.iter().any(|member| set.contains(reading.seed, member))))
    })?;
    let removed = if has_any { remove_members(call, key, members, "srem")? } else { 0 };
    call.reply().integer(removed as i64);
    Ok(())
}

/// Removes members of what is known to be a set; how many were there.
pub(super) fn remove_members<M: AsRef<[u8]>>(
    call: &mut Call<'_>,
    key: Key<'_>,
    members: &[M],
    event: &'static str,
) -> Result<usize, Failure> {
    let limits = set_limits(call);
    let mut set = call.db_mut().set_mut(key, limits).ok_or(Failure::WrongType)?;
    let removed = members.iter().filter(|member| set.remove(member.as_ref())).count();
    drop(set);
    call.removed_from(key, EventClasses::SET, event);
    Ok(removed)
}

/// `SMOVE source destination member`: a missing source is not told apart from a missing member, whatever the destination
/// holds.
fn smove(call: &mut Call<'_>) -> Result<(), Failure> {
    let (from, to, member) = (call.key(1), call.key(2), call.args[3]);
    let found =
        inspect(
            call,
            from,
            |entry, reading| Ok(as_set(entry)?.map(|set| set.contains(reading.seed, member))),
        );
    if matches!(found, Ok(None)) {
        call.reply().integer(0);
        return Ok(());
    }
    inspect(call, to, |entry, _| as_set(entry).map(drop))?;
    let is_there = found?.unwrap_or(false);
    if is_there && from.bytes != to.bytes {
        remove_members(call, from, &[member], "srem")?;
        let limits = set_limits(call);
        let is_made = call.will_make(to);
        let mut set = call.db_mut().set_mut(to, limits).ok_or(Failure::WrongType)?;
        let is_new = set.add(member);
        drop(set);
        if is_new {
            call.wrote(to, is_made, EventClasses::SET, "sadd");
        }
    }
    call.reply().integer(i64::from(is_there));
    Ok(())
}

/// `SISMEMBER key member`
fn sismember(call: &mut Call<'_>) -> Result<(), Failure> {
    let member = call.args[2];
    read_set(call, 1, |set, reading| {
        let is_there = set.is_some_and(|set| set.contains(reading.seed, member));
        reading.session.reply().integer(i64::from(is_there));
        Ok(())
    })
}

/// `SMISMEMBER key member ...`
fn smismember(call: &mut Call<'_>) -> Result<(), Failure> {
    let members = &call.args[2..];
    read_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        reply.array(members.len());
        for member in members {
            reply.integer(i64::from(set.is_some_and(|set| set.contains(reading.seed, member))));
        }
        Ok(())
    })
}

/// `SCARD key`
fn scard(call: &mut Call<'_>) -> Result<(), Failure> {
    read_set(call, 1, |set, reading| {
        reading.session.reply().integer(set.map_or(0, |set| set.len()) as i64);
        Ok(())
    })
}

/// `SMEMBERS key`
fn smembers(call: &mut Call<'_>) -> Result<(), Failure> {
    read_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        reply.set(set.map_or(0, |set| set.len()));
        set.iter().flat_map(|set| set.iter()).for_each(|member| reply.bulk(&member));
        Ok(())
    })
}
