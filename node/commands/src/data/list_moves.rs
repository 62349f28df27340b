//! Lists: elements moved from one to another, and taken from the first of several that has any.

use rejoin_keyspace::Key;

use super::access::{as_list, inspect};
use super::arguments::{decimal, integer, is};
use super::lists::{Side, push_elements, reply_end, take};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const MOVE: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: KeySpec::TWO,
    element: 0,
    group: "list",
    since: "1.2.0",
    summary: "",
    handler: rpoplpush,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "rpoplpush", summary: "Moves the last element to the beginning of another list", ..MOVE },
    Command {
        name: "lmove",
        arity: 5,
        since: "6.2.0",
        summary: "Moves an element from one end of a list to one of another",
        handler: lmove,
        ..MOVE
    },
    Command {
        name: "lmpop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Takes elements from the first list that has any",
        handler: lmpop,
        ..MOVE
    },
];

/// `RPOPLPUSH source destination`
fn rpoplpush(call: &mut Call<'_>) -> Result<(), Failure> {
    if !move_element(call, Side::Right, Side::Left)? {
        call.reply().null();
    }
    Ok(())
}

/// `LMOVE source destination LEFT | RIGHT LEFT | RIGHT`
fn lmove(call: &mut Call<'_>) -> Result<(), Failure> {
    let (from, to) = (Side::parse(call.args[3])?, Side::parse(call.args[4])?);
    if !move_element(call, from, to)? {
        call.reply().null();
    }
    Ok(())
}

/// Moves an element from the list at the first argument to that at the second and replies with it; `false` if there is
/// no list to take it from.
pub(super) fn move_element(call: &mut Call<'_>, from: Side, to: Side) -> Result<bool, Failure> {
    let (source, destination) = (call.key(1), call.key(2));
    let element = inspect(call, source, |entry, _| {
        let Some(list) = as_list(entry)? else { return Ok(None) };
        let place = if from == Side::Left { 0 } else { list.len() - 1 };
        Ok(list.get(place).map(<[u8]>::to_vec))
    })?;
    let Some(element) = element else { return Ok(false) };
    inspect(call, destination, |entry, _| as_list(entry).map(drop))?;
    // Pushed first where it is one list: popped first it might be gone, and its expiry with it.
    if source.bytes == destination.bytes {
        rotate(call, source, from, to, &element)?;
    } else {
        push_elements(call, destination, to, &[&element])?;
        take(call, source, from, 1)?;
    }
    call.reply().bulk(&element);
    Ok(true)
}

/// Moves an element within one list.
fn rotate(call: &mut Call<'_>, key: Key<'_>, from: Side, to: Side, element: &[u8]) -> Result<(), Failure> {
    push_elements(call, key, to, &[element])?;
    let limits = super::access::list_limits(call);
    let mut list = call.db_mut().list_mut(key, limits).ok_or(Failure::WrongType)?;
    let last = list.view().len() - 1;
    let place = match (from, to) {
        (Side::Left, Side::Left) => 1,
        (Side::Left, Side::Right) => 0,
        (Side::Right, Side::Left) => last,
        (Side::Right, Side::Right) => last - 1,
    };
    list.remove(place, 1);
    list.shrink();
    drop(list);
    call.event(EventClasses::LIST, from.pop_event(), key.bytes);
    Ok(())
}

/// What LMPOP and BLMPOP ask for, from `numkeys` on.
pub(super) struct Wanted<'a> {
    pub(super) keys: &'a [&'a [u8]],
    pub(super) side: Side,
    pub(super) count: usize,
}

impl<'a> Wanted<'a> {
    /// `numkeys key ... LEFT | RIGHT [COUNT count]`
    pub(super) fn parse(args: &'a [&'a [u8]]) -> Result<Self, Failure> {
        let numkeys = at_least_one(args[0], "ERR numkeys should be greater than 0")?;
        let (keys, options) = args[1..].split_at_checked(numkeys).ok_or(Failure::Syntax)?;
        let (side, options) = options.split_first().ok_or(Failure::Syntax)?;
        let side = Side::parse(side)?;
        let count = match options {
            [] => 1,
            [option, count, rest @ ..] if is(option, "COUNT") => {
                let count = at_least_one(count, "ERR count should be greater than 0")?;
                if !rest.is_empty() {
                    return Err(Failure::Syntax);
                }
                count
            }
            _ => return Err(Failure::Syntax),
        };
        Ok(Self { keys, side, count })
    }
}

fn at_least_one(argument: &[u8], refusal: &'static str) -> Result<usize, Failure> {
    let number = integer(argument).ok().and_then(|number| usize::try_from(number).ok());
    number.filter(|&number| number > 0).ok_or(Failure::text(refusal))
}

/// `LMPOP numkeys key ... LEFT | RIGHT [COUNT count]`: logged as the pop that it comes to.
fn lmpop(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = Wanted::parse(&call.args[1..])?;
    if !pop_first(call, &wanted)? {
        call.reply().null_array();
    }
    Ok(())
}

/// Takes elements from the first list that has any and replies with its key and them; `false` if there is none.
pub(super) fn pop_first(call: &mut Call<'_>, wanted: &Wanted<'_>) -> Result<bool, Failure> {
    for bytes in wanted.keys {
        let key = call.engine.keyspace.key(bytes);
        let taken = inspect(call, key, |entry, reading| {
            let Some(list) = as_list(entry)? else { return Ok(0) };
            let taken = list.len().min(wanted.count);
            let mut reply = reading.session.reply();
            reply.array(2);
            reply.bulk(bytes);
            reply.array(taken);
            reply_end(reading.session, list, wanted.side, taken);
            Ok(taken)
        })?;
        if taken > 0 {
            take(call, key, wanted.side, taken)?;
            call.propagate(&[wanted.side.pop_name(), bytes, decimal(&mut itoa::Buffer::new(), taken as i64)]);
            return Ok(true);
        }
    }
    Ok(false)
}
