//! Members removed from either end and answered: ZPOPMIN, ZPOPMAX, ZMPOP, and those that wait for some: BZPOPMIN,
//! BZPOPMAX, BZMPOP.

use rejoin_keyspace::{Entry, Key};
use rejoin_protocol::resp::RespVersion;

use super::super::access::as_sorted_set;
use super::super::arguments::{decimal, element_count, integer, is};
use super::{READ, ScoredMember, inspect_sorted_set, remove_members};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ROW: Command =
    Command { arity: -2, flags: Flags::WRITE.union(Flags::FAST), since: "5.0.0", handler: zpopmin, ..READ };

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command {
        name: "zpopmin",
        summary: "Removes the members with the lowest scores and answers them",
        ..ROW
    },
    Command {
        name: "zpopmax",
        summary: "Removes the members with the highest scores and answers them",
        handler: zpopmax,
        ..ROW
    },
    Command {
        name: "zmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Removes members from the first sorted set that is not empty and answers them",
        handler: zmpop,
        ..ROW
    },
    Command {
        name: "bzpopmin",
        summary: "Removes the member with the lowest score of a sorted set, or waits for one",
        ..BLOCKING
    },
    Command {
        name: "bzpopmax",
        summary: "Removes the member with the highest score of a sorted set, or waits for one",
        handler: bzpopmax,
        ..BLOCKING
    },
    Command {
        name: "bzmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Removes members from the first sorted set that is not empty, or waits for one",
        handler: bzmpop,
        ..ROW
    },
];

const BLOCKING: Command = Command {
    arity: -3,
    flags: Flags::WRITE.union(Flags::NOSCRIPT).union(Flags::BLOCKING).union(Flags::FAST),
    keys: KeySpec { first: 1, last: -2, step: 1 },
    handler: bzpopmin,
    ..ROW
};

/// Which end members are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lowest,
    Highest,
}

impl End {
    /// The command that removes from this end.
    fn pop_name(self) -> &'static [u8] {
        match self {
            Self::Lowest => b"ZPOPMIN",
            Self::Highest => b"ZPOPMAX",
        }
    }
}

/// `ZPOPMIN key [count]`
fn zpopmin(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, End::Lowest)
}

/// `ZPOPMAX key [count]`
fn zpopmax(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, End::Highest)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<(), Failure> {
    let (count, is_counted) = match &call.args[2..] {
        [] => (1, false),
        [count] => (element_count(count)?, true),
        _ => return Err(Failure::Syntax),
    };
    let key = call.key(1);
    let members = take(call, key, end, count)?.unwrap_or_default();
    let mut reply = call.reply();
    // In RESP3 a count, even of one, makes pairs.
    let is_nested = is_counted && reply.version() == RespVersion::Three;
    reply.array(if is_nested { members.len() } else { 2 * members.len() });
    for (member, score) in members {
        if is_nested {
            reply.array(2);
        }
        reply.bulk(&member);
        reply.double(score);
    }
    Ok(())
}

/// Takes up to `count` members out, those at the end first; `None` where there is no sorted set.
fn take(
    call: &mut Call<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<Vec<ScoredMember>>, Failure> {
    let taken = inspect_sorted_set(call, key, |set| {
        let own = |(member, score): (&[u8], f64)| (member.to_vec(), score);
        let count = count.min(set.len());
        match end {
            End::Lowest => set.range(0..count).map(own).collect::<Vec<_>>(),
            End::Highest => set.range(set.len() - count..set.len()).rev().map(own).collect(),
        }
    })?;
    if let Some(taken) = &taken
        && !taken.is_empty()
    {
        let members: Vec<&[u8]> = taken.iter().map(|(member, _)| member.as_slice()).collect();
        let event = if end == End::Lowest { "zpopmin" } else { "zpopmax" };
        remove_members(call, key, &members, event)?;
    }
    Ok(taken)
}

/// `ZMPOP numkeys key ... MIN|MAX [COUNT count]`; logged as ZPOPMIN or ZPOPMAX of the key that was found.
fn zmpop(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = Wanted::parse(&call.args[1..])?;
    if !pop_first(call, &wanted)? {
        call.reply().null_array();
    }
    Ok(())
}

/// `BZPOPMIN key ... timeout`
fn bzpopmin(call: &mut Call<'_>) -> Result<(), Failure> {
    pop_or_wait(call, End::Lowest)
}

/// `BZPOPMAX key ... timeout`
fn bzpopmax(call: &mut Call<'_>) -> Result<(), Failure> {
    pop_or_wait(call, End::Highest)
}

/// Takes one member from the first sorted set that has any; logged as the pop that it comes to.
fn pop_or_wait(call: &mut Call<'_>, end: End) -> Result<(), Failure> {
    let last = call.args.len() - 1;
    let (keys, until) = (&call.args[1..last], call.wait_deadline(call.args[last])?);
    for bytes in keys {
        let key = call.engine.keyspace.key(bytes);
        let Some(taken) = take(call, key, end, 1)? else { continue };
        let mut reply = call.reply();
        reply.array(3);
        reply.bulk(bytes);
        for (member, score) in &taken {
            reply.bulk(member);
            reply.double(*score);
        }
        call.propagate(&[end.pop_name(), bytes]);
        return Ok(());
    }
    if !call.wait_for_keys(keys, until, is_sorted_set) {
        call.reply().null_array();
    }
    Ok(())
}

/// `BZMPOP timeout numkeys key ... MIN|MAX [COUNT count]`
fn bzmpop(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = Wanted::parse(&call.args[2..])?;
    let until = call.wait_deadline(call.args[1])?;
    if !pop_first(call, &wanted)? && !call.wait_for_keys(wanted.keys, until, is_sorted_set) {
        call.reply().null_array();
    }
    Ok(())
}

fn is_sorted_set(entry: &Entry) -> bool {
    as_sorted_set(Some(entry)).is_ok()
}

/// Pops from the first sorted set that has members and replies; whether there was any. Logged as the pop of that one.
fn pop_first(call: &mut Call<'_>, wanted: &Wanted<'_, '_>) -> Result<bool, Failure> {
    let mut digits = itoa::Buffer::new();
    for bytes in wanted.keys {
        let key = call.engine.keyspace.key(bytes);
        let Some(members) = take(call, key, wanted.end, wanted.count)? else { continue };
        let mut reply = call.reply();
        reply.array(2);
        reply.bulk(key.bytes);
        reply.array(members.len());
        for (member, score) in &members {
            reply.array(2);
            reply.bulk(member);
            reply.double(*score);
        }
        let count = decimal(&mut digits, members.len() as i64);
        call.propagate(&[wanted.end.pop_name(), key.bytes, count]);
        return Ok(true);
    }
    Ok(false)
}

/// What ZMPOP asks for.
struct Wanted<'b, 'a> {
    keys: &'b [&'a [u8]],
    end: End,
    count: usize,
}

impl<'b, 'a> Wanted<'b, 'a> {
    /// `numkeys key ... MIN|MAX [COUNT count]`
    fn parse(args: &'b [&'a [u8]]) -> Result<Self, Failure> {
        let positive = |argument: &[u8], refusal: &'static str| {
            let number = integer(argument).ok().and_then(|number| usize::try_from(number).ok());
            number.filter(|&number| number > 0).ok_or(Failure::text(refusal))
        };
        let number = positive(args[0], "ERR numkeys should be greater than 0")?;
        let behind = number.checked_add(1).filter(|behind| *behind < args.len()).ok_or(Failure::Syntax)?;
        let end = match args[behind] {
            end if is(end, "MIN") => End::Lowest,
            end if is(end, "MAX") => End::Highest,
            _ => return Err(Failure::Syntax),
        };
        let count = match &args[behind + 1..] {
            [] => 1,
            [option, count, rest @ ..] if is(option, "COUNT") => {
                let count = positive(count, "ERR count should be greater than 0")?;
                if !rest.is_empty() {
                    return Err(Failure::Syntax);
                }
                count
            }
            _ => return Err(Failure::Syntax),
        };
        Ok(Self { keys: &args[1..behind], end, count })
    }
}
