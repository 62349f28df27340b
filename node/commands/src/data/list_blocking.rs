//! Lists: pops and moves that wait until there is something to take.

use rejoin_keyspace::Entry;
use rejoin_protocol::UnixMillis;

use super::access::{as_list, inspect};
use super::list_moves::{Wanted, move_element, pop_first};
use super::lists::{Side, reply_end, take};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ROW: Command = Command {
    name: "",
    arity: -3,
    flags: Flags::WRITE.union(Flags::BLOCKING),
    keys: KeySpec { first: 1, last: -2, step: 1 },
    element: 0,
    group: "list",
    since: "2.0.0",
    summary: "",
    handler: blpop,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "blpop", summary: "Takes the first element of a list, or waits for one", ..ROW },
    Command {
        name: "brpop",
        summary: "Takes the last element of a list, or waits for one",
        handler: brpop,
        ..ROW
    },
    Command {
        name: "brpoplpush",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: KeySpec::TWO,
        since: "2.2.0",
        summary: "Moves the last element to the beginning of another list, or waits for one",
        handler: brpoplpush,
        ..ROW
    },
    Command {
        name: "blmove",
        arity: 6,
        flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::BLOCKING),
        keys: KeySpec::TWO,
        since: "6.2.0",
        summary: "Moves an element from one list to another, or waits for one",
        handler: blmove,
        ..ROW
    },
    Command {
        name: "blmpop",
        arity: -5,
        flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
        keys: KeySpec::NONE,
        since: "7.0.0",
        summary: "Takes elements from the first list that has any, or waits for some",
        handler: blmpop,
        ..ROW
    },
];

fn is_list(entry: &Entry) -> bool {
    as_list(Some(entry)).is_ok()
}

/// `BLPOP key ... timeout`
fn blpop(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, Side::Left)
}

/// `BRPOP key ... timeout`
fn brpop(call: &mut Call<'_>) -> Result<(), Failure> {
    pop(call, Side::Right)
}

/// Takes one element from the first list that has any; logged as the pop that it comes to.
fn pop(call: &mut Call<'_>, side: Side) -> Result<(), Failure> {
    let last = call.args.len() - 1;
    let (keys, until) = (&call.args[1..last], call.wait_deadline(call.args[last])?);
    for bytes in keys {
        let key = call.engine.keyspace.key(bytes);
        let is_there = inspect(call, key, |entry, reading| {
            let Some(list) = as_list(entry)? else { return Ok(false) };
            let mut reply = reading.session.reply();
            reply.array(2);
            reply.bulk(bytes);
            reply_end(reading.session, list, side, 1);
            Ok(true)
        })?;
        if is_there {
            take(call, key, side, 1)?;
            call.propagate(&[side.pop_name(), bytes]);
            return Ok(());
        }
    }
    if !call.wait_for_keys(keys, until, is_list) {
        call.reply().null_array();
    }
    Ok(())
}

/// `BRPOPLPUSH source destination timeout`
fn brpoplpush(call: &mut Call<'_>) -> Result<(), Failure> {
    let until = call.wait_deadline(call.args[3])?;
    let (source, destination) = (call.args[1], call.args[2]);
    if move_or_wait(call, Side::Right, Side::Left, until)? {
        call.propagate(&[b"RPOPLPUSH", source, destination]);
    }
    Ok(())
}

/// `BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout`
fn blmove(call: &mut Call<'_>) -> Result<(), Failure> {
    let args = call.args;
    let (from, to) = (Side::parse(args[3])?, Side::parse(args[4])?);
    let until = call.wait_deadline(args[5])?;
    if move_or_wait(call, from, to, until)? {
        call.propagate(&[b"LMOVE", args[1], args[2], args[3], args[4]]);
    }
    Ok(())
}

/// Whether something was moved.
fn move_or_wait(
    call: &mut Call<'_>,
    from: Side,
    to: Side,
    until: Option<UnixMillis>,
) -> Result<bool, Failure> {
    let source = call.args[1];
    let is_moved = move_element(call, from, to)?;
    if !is_moved && !call.wait_for_keys(&[source], until, is_list) {
        call.reply().null();
    }
    Ok(is_moved)
}

/// `BLMPOP timeout numkeys key ... LEFT | RIGHT [COUNT count]`
fn blmpop(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = Wanted::parse(&call.args[2..])?;
    let until = call.wait_deadline(call.args[1])?;
    if !pop_first(call, &wanted)? && !call.wait_for_keys(wanted.keys, until, is_list) {
        call.reply().null_array();
    }
    Ok(())
}
