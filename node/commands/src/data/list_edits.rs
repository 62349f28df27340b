//! Lists: elements found, replaced and removed anywhere.

use rejoin_keyspace::Key;

use super::access::{as_list, inspect, list_limits, read_list};
use super::arguments::{integer, integer_between, is};
use super::lists::{place, positive, range};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const ZERO_RANK: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list";

const EDIT: Command = Command {
    name: "",
    arity: 4,
    flags: Flags::WRITE,
    keys: KeySpec::ONE,
    element: 0,
    group: "list",
    since: "1.0.0",
    summary: "",
    handler: ltrim,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "ltrim", summary: "Removes all elements outside of a range", ..EDIT },
    Command { name: "lrem", summary: "Removes elements by their value", handler: lrem, ..EDIT },
    Command {
        name: "lset",
        flags: Flags::WRITE.union(Flags::DENYOOM),
        summary: "Replaces an element by its index",
        handler: lset,
        ..EDIT
    },
    Command {
        name: "linsert",
        arity: 5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        since: "2.2.0",
        summary: "Puts an element before or behind another one",
        handler: linsert,
        ..EDIT
    },
    Command {
        name: "lpos",
        arity: -3,
        flags: Flags::READONLY,
        since: "6.0.6",
        summary: "Answers the indexes of elements by their value",
        handler: lpos,
        ..EDIT
    },
];

/// `LSET key index element`
fn lset(call: &mut Call<'_>) -> Result<(), Failure> {
    let (key, index, element, limits) = (call.key(1), call.args[2], call.args[3], list_limits(call));
    let place = inspect(call, key, |entry, _| {
        let list = as_list(entry)?.ok_or(Failure::NoSuchKey)?;
        // Redis cuts the index to 32 bits; a master that took a command so must find the same here.
        place(i64::from(integer(index)? as i32), list.len()).ok_or(Failure::IndexOutOfRange)
    });
    let mut list = match place {
        // Redis makes room for the new element before it sees that there is no old one.
        Err(Failure::IndexOutOfRange) | Ok(_) => {
            call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?
        }
        Err(failure) => return Err(failure),
    };
    list.grow(element.len(), 1);
    let place = place?;
    list.set(place, element);
    list.shrink();
    drop(list);
    call.changed(key);
    call.event(EventClasses::LIST, "lset", key.bytes);
    call.reply().ok();
    Ok(())
}

/// `LTRIM key start stop`
fn ltrim(call: &mut Call<'_>) -> Result<(), Failure> {
    let (begin, end) = (integer(call.args[2])?, integer(call.args[3])?);
    let (key, limits) = (call.key(1), list_limits(call));
    let len = inspect(call, key, |entry, _| Ok(as_list(entry)?.map_or(0, |list| list.len())))?;
    if len > 0 {
        let kept = range(begin, end, len);
        if kept.len() < len {
            let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
            list.remove(kept.end, len - kept.end);
            list.remove(0, kept.start);
            list.shrink();
            drop(list);
            call.removed_from(key, EventClasses::LIST, "ltrim");
        } else {
            // Nothing to log; a watch breaks all the same.
            let db = call.db_index();
            call.engine.key_changed(db, key.bytes);
            call.event(EventClasses::LIST, "ltrim", key.bytes);
        }
    }
    call.reply().ok();
    Ok(())
}

/// `LREM key count element`: all for a count of 0, from the end for a negative one.
fn lrem(call: &mut Call<'_>) -> Result<(), Failure> {
    let count = integer_between(call.args[2], -i64::MAX, i64::MAX)?;
    let (key, element) = (call.key(1), call.args[3]);
    let most =
        if count == 0 { usize::MAX } else { usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut places = inspect(call, key, |entry, _| {
        let Some(list) = as_list(entry)? else { return Ok(Vec::new()) };
        let last = list.len() - 1;
        Ok(if count < 0 {
            let found = list.iter_back_from(last).enumerate().filter(|(_, other)| *other == element);
            found.take(most).map(|(from_end, _)| last - from_end).collect()
        } else {
            let found = list.iter().enumerate().filter(|(_, other)| *other == element);
            found.take(most).map(|(place, _)| place).collect::<Vec<_>>()
        })
    })?;
    // The last first, so that the others stay where they are.
    places.sort_unstable_by(|one, other| other.cmp(one));
    remove_places(call, key, &places)?;
    call.reply().integer(places.len() as i64);
    Ok(())
}

/// Removes elements by their places, which descend; neighbours together.
fn remove_places(call: &mut Call<'_>, key: Key<'_>, places: &[usize]) -> Result<(), Failure> {
    if places.is_empty() {
        return Ok(());
    }
    let limits = list_limits(call);
    let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
    for neighbours in places.chunk_by(|one, next| *one == next + 1) {
        list.remove(neighbours[neighbours.len() - 1], neighbours.len());
    }
    list.shrink();
    drop(list);
    call.removed_from(key, EventClasses::LIST, "lrem");
    Ok(())
}

/// `LINSERT key BEFORE | AFTER pivot element`
fn linsert(call: &mut Call<'_>) -> Result<(), Failure> {
    let behind = match call.args[2] {
        side if is(side, "BEFORE") => 0,
        side if is(side, "AFTER") => 1,
        _ => return Err(Failure::Syntax),
    };
    let (key, pivot, element, limits) = (call.key(1), call.args[3], call.args[4], list_limits(call));
    let found = inspect(call, key, |entry, _| {
        let Some(list) = as_list(entry)? else { return Ok(None) };
        Ok(Some(list.iter().position(|other| other == pivot)))
    })?;
    let Some(found) = found else {
        call.reply().integer(0);
        return Ok(());
    };
    let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
    // Redis makes room before it looks for the pivot.
    list.grow(element.len(), 1);
    let Some(place) = found else {
        drop(list);
        call.reply().integer(-1);
        return Ok(());
    };
    list.insert(place + behind, element);
    let len = list.view().len();
    drop(list);
    call.changed(key);
    call.event(EventClasses::LIST, "linsert", key.bytes);
    call.reply().integer(len as i64);
    Ok(())
}

/// The options of LPOS.
struct Sought {
    /// Which match is the first to count, from the end if negative.
    rank: i64,
    /// How many matches to answer, 0 for all; without it one, and not as an array.
    count: Option<usize>,
    /// How many elements to look at, 0 for all.
    length_max: usize,
}

impl Sought {
    fn parse(mut args: &[&[u8]]) -> Result<Self, Failure> {
        let mut sought = Self { rank: 1, count: None, length_max: 0 };
        loop {
            args = match args {
                [] => return Ok(sought),
                [option, rank, rest @ ..] if is(option, "RANK") => {
                    sought.rank = integer_between(rank, -i64::MAX, i64::MAX)?;
                    if sought.rank == 0 {
                        return Err(Failure::text(ZERO_RANK));
                    }
                    rest
                }
                [option, count, rest @ ..] if is(option, "COUNT") => {
                    sought.count = Some(positive(count, "ERR COUNT can't be negative")?);
                    rest
                }
                [option, length, rest @ ..] if is(option, "MAXLEN") => {
                    sought.length_max = positive(length, "ERR MAXLEN can't be negative")?;
                    rest
                }
                _ => return Err(Failure::Syntax),
            };
        }
    }
}

/// `LPOS key element [RANK rank] [COUNT matches] [MAXLEN len]`
fn lpos(call: &mut Call<'_>) -> Result<(), Failure> {
    let (element, sought) = (call.args[2], Sought::parse(&call.args[3..])?);
    read_list(call, 1, |list, reading| {
        let mut places = Vec::new();
        if let Some(list) = list {
            let last = list.len() - 1;
            let elements = if sought.rank < 0 { list.iter_back_from(last) } else { list.iter() };
            let looked_at = if sought.length_max == 0 { usize::MAX } else { sought.length_max };
            let skipped = usize::try_from(sought.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
            let wanted = sought.count.map_or(1, |count| if count == 0 { usize::MAX } else { count });
            let found = elements.take(looked_at).enumerate().filter(|(_, other)| *other == element);
            let place = |at: usize| if sought.rank < 0 { last - at } else { at };
            places.extend(found.skip(skipped).take(wanted).map(|(at, _)| place(at)));
        }
        let mut reply = reading.session.reply();
        if sought.count.is_some() {
            reply.array(places.len());
        } else if places.is_empty() {
            reply.null();
        }
        places.iter().for_each(|&place| reply.integer(place as i64));
        Ok(())
    })
}
