//! Lists: elements pushed, popped and read by their place.

use rejoin_keyspace::{Key, ListView};

use super::access::{as_list, inspect, list_limits, read_list, take_away_if_expired};
use super::arguments::{integer, is};
use crate::{Call, Command, Failure, Flags, KeySpec, Session, pubsub::events::EventClasses};

const READ: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::READONLY,
    keys: KeySpec::ONE,
    element: 0,
    group: "list",
    since: "1.0.0",
    summary: "",
    handler: llen,
    subcommands: &[],
    number: 0,
};

const PUSH: Command = Command {
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    handler: lpush,
    ..READ
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "lpush", summary: "Puts elements before the first of a list", ..PUSH },
    Command { name: "rpush", summary: "Puts elements behind the last of a list", handler: rpush, ..PUSH },
    Command {
        name: "lpushx",
        since: "2.2.0",
        summary: "Puts elements before the first of a list that exists",
        handler: lpushx,
        ..PUSH
    },
    Command {
        name: "rpushx",
        since: "2.2.0",
        summary: "Puts elements behind the last of a list that exists",
        handler: rpushx,
        ..PUSH
    },
    Command {
        name: "lpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        summary: "Takes elements from the beginning of a list",
        handler: lpop,
        ..READ
    },
    Command {
        name: "rpop",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        summary: "Takes elements from the end of a list",
        handler: rpop,
        ..READ
    },
    Command {
        name: "llen",
        flags: Flags::READONLY.union(Flags::FAST),
        summary: "Answers how many elements a list has",
        ..READ
    },
    Command { name: "lindex", arity: 3, summary: "Answers an element by its index", handler: lindex, ..READ },
    Command { name: "lrange", arity: 4, summary: "Answers a range of elements", handler: lrange, ..READ },
];

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Where the first element stands.
    Left,
    /// Where the last element stands.
    Right,
}

impl Side {
    /// `LEFT` or `RIGHT`.
    pub(super) fn parse(argument: &[u8]) -> Result<Self, Failure> {
        match argument {
            side if is(side, "LEFT") => Ok(Self::Left),
            side if is(side, "RIGHT") => Ok(Self::Right),
            _ => Err(Failure::Syntax),
        }
    }

    /// The event of a push here.
    fn push_event(self) -> &'static str {
        match self {
            Self::Left => "lpush",
            Self::Right => "rpush",
        }
    }

    /// The event of a pop here.
    pub(super) fn pop_event(self) -> &'static str {
        match self {
            Self::Left => "lpop",
            Self::Right => "rpop",
        }
    }

    /// The name of the command that pops here: what a pop with more words around it is logged as.
    pub(super) fn pop_name(self) -> &'static [u8] {
        match self {
            Self::Left => b"LPOP",
            Self::Right => b"RPOP",
        }
    }
}

/// `LPUSH key element ...`
fn lpush(call: &mut Call<'_>) -> Result<(), Failure> {
    push(call, Side::Left, false)
}

/// `RPUSH key element ...`
fn rpush(call: &mut Call<'_>) -> Result<(), Failure> {
    push(call, Side::Right, false)
}

/// `LPUSHX key element ...`
fn lpushx(call: &mut Call<'_>) -> Result<(), Failure> {
    push(call, Side::Left, true)
}

/// `RPUSHX key element ...`
fn rpushx(call: &mut Call<'_>) -> Result<(), Failure> {
    push(call, Side::Right, true)
}

fn push(call: &mut Call<'_>, side: Side, must_exist: bool) -> Result<(), Failure> {
    let key = call.key(1);
    if must_exist {
        if !inspect(call, key, |entry, _| Ok(as_list(entry)?.is_some()))? {
            call.reply().integer(0);
            return Ok(());
        }
    } else {
        take_away_if_expired(call, key);
    }
    let elements = &call.args[2..];
    let len = push_elements(call, key, side, elements)?;
    call.reply().integer(len as i64);
    Ok(())
}

/// Pushes one element behind the other; how many the list has now. Nothing expired may stand at `key`.
pub(super) fn push_elements(
    call: &mut Call<'_>,
    key: Key<'_>,
    side: Side,
    elements: &[&[u8]],
) -> Result<usize, Failure> {
    let limits = list_limits(call);
    let is_made = call.will_make(key);
    let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
    list.grow(elements.iter().map(|element| element.len()).sum(), elements.len());
    for element in elements {
        match side {
            Side::Left => list.push_front(element),
            Side::Right => list.push_back(element),
        }
    }
    let len = list.view().len();
    drop(list);
    call.wrote(key, is_made, EventClasses::LIST, side.push_event());
    Ok(len)
}

/// `LPOP key [count]`
fn lpop(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, Side::Left)
}

/// `RPOP key [count]`
fn rpop(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, Side::Right)
}

fn pop(call: &mut Call<'_>, side: Side) -> Result<(), Failure> {
    let count = match &call.args[2..] {
        [] => None,
        [count] => Some(positive(count, "ERR value is out of range, must be positive")?),
        _ => return Err(Failure::WrongArity(call.command.name.to_owned())),
    };
    let key = call.key(1);
    let found = inspect(call, key, |entry, reading| {
        let Some(list) = as_list(entry)? else {
            match count {
                Some(_) => reading.session.reply().null_array(),
                None => reading.session.reply().null(),
            }
            return Ok(0);
        };
        let taken = list.len().min(count.unwrap_or(1));
        if count.is_some() {
            reading.session.reply().array(taken);
        }
        reply_end(reading.session, list, side, taken);
        Ok(taken)
    })?;
    take(call, key, side, found)
}

/// A count that may be 0.
pub(super) fn positive(argument: &[u8], refusal: &'static str) -> Result<usize, Failure> {
    integer(argument).ok().and_then(|count| usize::try_from(count).ok()).ok_or(Failure::text(refusal))
}

/// Replies with the outermost `count` elements of an end, from outside to inside.
pub(super) fn reply_end(session: &mut Session, list: ListView<'_>, side: Side, count: usize) {
    let elements = match side {
        Side::Left => list.iter(),
        Side::Right => list.iter_back_from(list.len() - 1),
    };
    let mut reply = session.reply();
    elements.take(count).for_each(|element| reply.bulk(element));
}

/// Removes the outermost `count` elements of an end; nothing happens for 0.
pub(super) fn take(call: &mut Call<'_>, key: Key<'_>, side: Side, count: usize) -> Result<(), Failure> {
    if count == 0 {
        return Ok(());
    }
    let limits = list_limits(call);
    let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
    let begin = match side {
        Side::Left => 0,
        Side::Right => list.view().len() - count,
    };
    list.remove(begin, count);
    list.shrink();
    drop(list);
    call.removed_from(key, EventClasses::LIST, side.pop_event());
    Ok(())
}

/// `LLEN key`
fn llen(call: &mut Call<'_>) -> Result<(), Failure> {
    read_list(call, 1, |list, reading| {
        reading.session.reply().integer(list.map_or(0, |list| list.len()) as i64);
        Ok(())
    })
}

/// The place that an index means in a list of `len`: negative ones count from the end.
pub(super) fn place(index: i64, len: usize) -> Option<usize> {
    let from_begin = if index < 0 { index.checked_add_unsigned(len as u64)? } else { index };
    usize::try_from(from_begin).ok().filter(|&place| place < len)
}

/// `LINDEX key index`: for a missing key the index is not even read.
fn lindex(call: &mut Call<'_>) -> Result<(), Failure> {
    let index = call.args[2];
    read_list(call, 1, |list, reading| {
        let Some(list) = list else {
            reading.session.reply().null();
            return Ok(());
        };
        match place(integer(index)?, list.len()).and_then(|place| list.get(place)) {
            Some(element) => reading.session.reply().bulk(element),
            None => reading.session.reply().null(),
        }
        Ok(())
    })
}

/// The places from `begin` up to, not including, `end` that a range of indexes means; both may be negative.
pub(super) fn range(begin: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_begin = |index: i64| if index < 0 { (index + len).max(0) } else { index };
    let begin = from_begin(begin).min(len);
    let end = if end < 0 { end + len } else { end }.min(len - 1) + 1;
    if begin >= end { 0..0 } else { begin as usize..end as usize }
}

/// `LRANGE key start stop`
fn lrange(call: &mut Call<'_>) -> Result<(), Failure> {
    let (begin, end) = (integer(call.args[2])?, integer(call.args[3])?);
    read_list(call, 1, |list, reading| {
        let mut reply = reading.session.reply();
        let Some(list) = list else {
            reply.array(0);
            return Ok(());
        };
        let range = range(begin, end, list.len());
        reply.array(range.len());
        list.iter_from(range.start).take(range.len()).for_each(|element| reply.bulk(element));
        Ok(())
    })
}
