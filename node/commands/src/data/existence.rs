//! Whether keys are there, of what type, and deleting them.

use rejoin_keyspace::{Entry, Value};

use super::access::{read, take_away_if_expired};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const WRITE: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::WRITE,
    keys: KeySpec::ALL,
    element: 0,
    group: "generic",
    since: "1.0.0",
    summary: "",
    handler: del,
    subcommands: &[],
    number: 0,
};

const READ: Command = Command { flags: Flags::READONLY.union(Flags::FAST), handler: exists, ..WRITE };

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "del", summary: "Deletes keys", ..WRITE },
    Command {
        name: "unlink",
        flags: Flags::WRITE.union(Flags::FAST),
        since: "4.0.0",
        summary: "Deletes keys, and frees large values in the background",
        ..WRITE
    },
    Command {
        name: "exists",
        flags: READ.flags.union(Flags::NO_TOUCH),
        summary: "Counts which of the keys are there",
        ..READ
    },
    Command {
        name: "touch",
        since: "3.2.1",
        summary: "Counts which of the keys are there, and marks them as used",
        handler: touch,
        ..READ
    },
    Command {
        name: "type",
        arity: 2,
        flags: READ.flags.union(Flags::NO_TOUCH),
        keys: KeySpec::ONE,
        summary: "Answers the type of the value at a key",
        handler: type_of,
        ..READ
    },
];

/// The name of an entry's type, as TYPE answers it.
pub(super) fn type_name(entry: &Entry) -> &'static str {
    match entry.value() {
        Value::Int(_) | Value::Str(..) => "string",
        Value::Hash(_) => "hash",
        Value::Set(_) => "set",
        Value::SortedSet(_) => "zset",
        Value::List(_) => "list",
    }
}

/// `DEL key ...` and `UNLINK key ...`: large values are freed elsewhere in either case.
fn del(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut deleted = 0;
    for index in 1..call.args.len() {
        let key = call.key(index);
        take_away_if_expired(call, key);
        if call.db_mut().remove(key) {
            call.changed(key);
            call.event(EventClasses::GENERIC, "del", key.bytes);
            deleted += 1;
        }
    }
    call.reply().integer(deleted);
    Ok(())
}

/// `EXISTS key ...`: a key named twice counts twice.
fn exists(call: &mut Call<'_>) -> Result<(), Failure> {
    let count = (1..call.args.len()).filter(|&index| read(call, index, |entry, _| entry.is_some())).count();
    call.reply().integer(count as i64);
    Ok(())
}

/// `TOUCH key ...`: marks even for a client that otherwise leaves no marks (CLIENT NO-TOUCH).
fn touch(call: &mut Call<'_>) -> Result<(), Failure> {
    let spares_marks = std::mem::take(&mut call.session.no_touch);
    let outcome = exists(call);
    call.session.no_touch = spares_marks;
    outcome
}

/// `TYPE key`
fn type_of(call: &mut Call<'_>) -> Result<(), Failure> {
    read(call, 1, |entry, reading| reading.session.reply().simple(entry.map_or("none", type_name)));
    Ok(())
}
