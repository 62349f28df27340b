//! Values change their key or database: RENAME, COPY, MOVE. A value is shared, never copied.

use rejoin_keyspace::{Entry, Key};
use rejoin_protocol::DbIndex;

use super::{
    access::{inspect, inspect_in, read},
    arguments::{database, is},
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const SAME_OBJECT: Failure =
    Failure::Text(std::borrow::Cow::Borrowed("ERR source and destination objects are the same"));

const ROW: Command = Command {
    name: "",
    arity: 3,
    flags: Flags::WRITE,
    keys: KeySpec::TWO,
    element: 0,
    group: "generic",
    since: "1.0.0",
    summary: "",
    handler: rename,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "rename", summary: "Gives a value another key, whatever that held", ..ROW },
    Command {
        name: "renamenx",
        flags: Flags::WRITE.union(Flags::FAST),
        summary: "Gives a value another key if that is missing",
        handler: renamenx,
        ..ROW
    },
    Command {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        since: "6.2.0",
        summary: "Puts the value of one key under another as well",
        handler: copy,
        ..ROW
    },
    Command {
        name: "move",
        flags: Flags::WRITE.union(Flags::FAST),
        keys: KeySpec::ONE,
        summary: "Moves a key to another database",
        handler: move_to_database,
        ..ROW
    },
];

/// `RENAME key newkey`
fn rename(call: &mut Call<'_>) -> Result<(), Failure> {
    let (from, to) = (call.key(1), call.key(2));
    let entry = source(call, from)?;
    if from.bytes != to.bytes {
        // What stood at the target may have expired: its deletion is logged before it is replaced.
        inspect(call, to, |_, _| ());
        put_in_place_of(call, from, entry, call.session.db, to, RENAMED);
    }
    call.reply().ok();
    Ok(())
}

/// `RENAMENX key newkey`
fn renamenx(call: &mut Call<'_>) -> Result<(), Failure> {
    let (from, to) = (call.key(1), call.key(2));
    let entry = source(call, from)?;
    let is_free = from.bytes != to.bytes && inspect(call, to, |entry, _| entry.is_none());
    if is_free {
        put_in_place_of(call, from, entry, call.session.db, to, RENAMED);
    }
    call.reply().integer(i64::from(is_free));
    Ok(())
}

fn source(call: &mut Call<'_>, key: Key<'_>) -> Result<Entry, Failure> {
    inspect(call, key, |entry, _| entry.cloned()).ok_or(Failure::NoSuchKey)
}

/// What happened to the key that a value had, and to the one that it has now.
type MoveEvents = (&'static str, &'static str);

const RENAMED: MoveEvents = ("rename_from", "rename_to");
const MOVED: MoveEvents = ("move_from", "move_to");

/// Puts `entry`, which stands at `from`, at `to` of database `db` instead.
fn put_in_place_of(
    call: &mut Call<'_>,
    from: Key<'_>,
    entry: Entry,
    db: DbIndex,
    to: Key<'_>,
    (event_from, event_to): MoveEvents,
) {
    call.engine.keyspace.database_mut(db).put_copy(to, &entry, entry.expiry());
    // Our handle must not make the old entry look as if a snapshot held it.
    drop(entry);
    call.db_mut().remove(from);
    call.changed(from);
    call.changed_in(db, to.bytes);
    call.engine.notify(db, EventClasses::NEW, "new", to.bytes);
    call.event(EventClasses::GENERIC, event_from, from.bytes);
    call.engine.notify(db, EventClasses::GENERIC, event_to, to.bytes);
}

/// `COPY source destination [DB destination-db] [REPLACE]`
fn copy(call: &mut Call<'_>) -> Result<(), Failure> {
    let (from, to) = (call.key(1), call.key(2));
    let (db, replaces) = parse_copy(call)?;
    if db == call.session.db && from.bytes == to.bytes {
        return Err(SAME_OBJECT);
    }
    let entry = read(call, 1, |entry, _| entry.cloned());
    let is_copied = match entry {
        None => false,
        Some(entry) => {
            let is_free = inspect_in(call, db, to, |entry, _| entry.is_none());
            if is_free || replaces {
                call.engine.keyspace.database_mut(db).put_copy(to, &entry, entry.expiry());
                call.changed_in(db, to.bytes);
                call.engine.notify(db, EventClasses::NEW, "new", to.bytes);
                call.engine.notify(db, EventClasses::GENERIC, "copy_to", to.bytes);
            }
            is_free || replaces
        }
    };
    call.reply().integer(i64::from(is_copied));
    Ok(())
}

fn parse_copy(call: &Call<'_>) -> Result<(DbIndex, bool), Failure> {
    let (mut db, mut replaces) = (call.session.db, false);
    let mut options = &call.args[3..];
    loop {
        options = match options {
            [] => return Ok((db, replaces)),
            [option, rest @ ..] if is(option, "REPLACE") => {
                replaces = true;
                rest
            }
            [option, argument, rest @ ..] if is(option, "DB") => {
                db = database(call, argument)?;
                rest
            }
            _ => return Err(Failure::Syntax),
        };
    }
}

/// `MOVE key db`
fn move_to_database(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let db = database(call, call.args[2])?;
    if db == call.session.db {
        return Err(SAME_OBJECT);
    }
    let entry = inspect(call, key, |entry, _| entry.cloned());
    let is_moved = match entry {
        Some(entry) if inspect_in(call, db, key, |entry, _| entry.is_none()) => {
            put_in_place_of(call, key, entry, db, key, MOVED);
            true
        }
        _ => false,
    };
    call.reply().integer(i64::from(is_moved));
    Ok(())
}
