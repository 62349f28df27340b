//! Commands on whole databases. Those that change one are logged even when it was empty: a replica's need not be.

use rejoin_protocol::{DbIndex, number::parse_i64};

use super::arguments::{existing_database, is};
use crate::{Call, Command, Engine, Failure, Flags, KeySpec};

const ROW: Command = Command {
    name: "",
    arity: -1,
    flags: Flags::WRITE,
    keys: KeySpec::NONE,
    element: 0,
    group: "server",
    since: "1.0.0",
    summary: "",
    handler: flushdb,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.union(Flags::FAST),
        summary: "Answers how many keys the database has",
        handler: dbsize,
        ..ROW
    },
    Command { name: "flushdb", summary: "Deletes all keys of the database", ..ROW },
    Command { name: "flushall", summary: "Deletes all keys of all databases", handler: flushall, ..ROW },
    Command {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.union(Flags::FAST),
        since: "4.0.0",
        summary: "Exchanges two databases",
        handler: swapdb,
        ..ROW
    },
];

/// `DBSIZE`
fn dbsize(call: &mut Call<'_>) -> Result<(), Failure> {
    let keys = call.db().len();
    call.reply().integer(keys as i64);
    Ok(())
}

/// `FLUSHDB [ASYNC | SYNC]`
fn flushdb(call: &mut Call<'_>) -> Result<(), Failure> {
    check_flush_mode(call)?;
    let count = clear(call.engine, call.session.db);
    call.changed_many(count);
    call.propagate_as_it_came();
    call.reply().ok();
    Ok(())
}

/// `FLUSHALL [ASYNC | SYNC]`
fn flushall(call: &mut Call<'_>) -> Result<(), Failure> {
    check_flush_mode(call)?;
    for index in 0..call.engine.keyspace.database_count() {
        let count = clear(call.engine, DbIndex::new(index));
        call.changed_many(count);
    }
    call.engine.note_flush();
    call.propagate_as_it_came();
    call.reply().ok();
    Ok(())
}

/// Both modes are the same here: a tree is given up at once and freed elsewhere.
fn check_flush_mode(call: &Call<'_>) -> Result<(), Failure> {
    match &call.args[1..] {
        [] => Ok(()),
        [mode] if is(mode, "ASYNC") || is(mode, "SYNC") => Ok(()),
        _ => Err(Failure::Syntax),
    }
}

/// Returns how many keys there were.
fn clear(engine: &mut Engine, db: DbIndex) -> u64 {
    let Engine { keyspace, watches, .. } = engine;
    let count = keyspace.database(db).len() as u64;
    if count == 0 {
        return 0;
    }
    watches.database_changed(db, |key| keyspace.database(db).get(keyspace.key(key)).is_some());
    keyspace.database_mut(db).clear();
    count
}

/// `SWAPDB index1 index2`
fn swapdb(call: &mut Call<'_>) -> Result<(), Failure> {
    let parse = |index: usize, refusal: &'static str| {
        parse_i64(call.args[index])
            .filter(|&number| i32::try_from(number).is_ok())
            .ok_or(Failure::text(refusal))
    };
    let first = parse(1, "ERR invalid first DB index")?;
    let second = parse(2, "ERR invalid second DB index")?;
    let (first, second) = (existing_database(call, first)?, existing_database(call, second)?);
    if first != second {
        swap(call.engine, first, second);
    }
    call.changed_something();
    call.reply().ok();
    Ok(())
}

/// Exchanges two databases; a watch breaks if its key was there before or is there now.
fn swap(engine: &mut Engine, first: DbIndex, second: DbIndex) {
    let Engine { keyspace, watches, blocked, .. } = engine;
    for db in [first, second] {
        blocked.database_changed(db);
        watches.database_changed(db, |key| {
            let key = keyspace.key(key);
            [first, second].into_iter().any(|db| keyspace.database(db).get(key).is_some())
        });
    }
    keyspace.swap(first, second);
}
