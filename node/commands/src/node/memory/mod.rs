//! MEMORY: what keys occupy, and where memory goes.

mod stats;

use rejoin_protocol::number::parse_i64;

use super::reply_help;
use crate::{Call, Command, Failure, Flags, KeySpec};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[Command::new("memory", -2, Flags::empty(), "server", "4.0.0", "Commands on memory.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    Command::new(
        "doctor",
        2,
        Flags::empty(),
        "server",
        "4.0.0",
        "Tells in words what is unusual about the memory.",
        stats::doctor,
    ),
    Command::new(
        "help",
        2,
        Flags::LOADING.union(Flags::STALE),
        "server",
        "4.0.0",
        "Lists the subcommands.",
        help,
    ),
    Command::new(
        "malloc-stats",
        2,
        Flags::empty(),
        "server",
        "4.0.0",
        "Tells the allocator's own figures.",
        malloc_stats,
    ),
    Command::new(
        "purge",
        2,
        Flags::empty(),
        "server",
        "4.0.0",
        "Asks the allocator to give memory back.",
        purge,
    ),
    Command::new("stats", 2, Flags::empty(), "server", "4.0.0", "Tells where memory goes.", stats::stats),
    Command::new(
        "usage",
        -3,
        Flags::READONLY,
        "server",
        "4.0.0",
        "Tells how many bytes a key occupies.",
        usage,
    )
    .with_keys(KeySpec { first: 2, last: 2, step: 1 }),
];

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "MEMORY",
        &[
            "DOCTOR",
            "Return in words what is unusual about the memory.",
            "MALLOC-STATS",
            "Return the allocator's own figures: not supported.",
            "PURGE",
            "Ask the allocator to give memory back: it does so by itself, a few seconds after memory was freed.",
            "STATS",
            "Return where memory goes.",
            "USAGE <key> [SAMPLES <count>]",
            "Return the bytes that <key> and its value occupy. The count is exact: samples are accepted and not needed.",
        ],
    );
    Ok(())
}

/// MEMORY MALLOC-STATS: what Redis answers where it does not know its allocator. The allocator is the program's affair.
fn malloc_stats(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().verbatim(b"Stats not supported for the current allocator");
    Ok(())
}

/// MEMORY PURGE: nothing is left to do, as with Redis on an allocator that needs no asking.
fn purge(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().ok();
    Ok(())
}

/// MEMORY USAGE key [SAMPLES count].
fn usage(call: &mut Call<'_>) -> Result<(), Failure> {
    for pair in call.args[3..].chunks(2) {
        let [option, count] = *pair else { return Err(Failure::Syntax) };
        if !option.eq_ignore_ascii_case(b"samples") {
            return Err(Failure::Syntax);
        }
        if parse_i64(count).ok_or(Failure::NotAnInteger)? < 0 {
            return Err(Failure::Syntax);
        }
    }
    let key = call.engine.keyspace.key(call.args[2]);
    let now = call.now();
    let entry = call.db().get(key).filter(|entry| entry.expiry().is_none_or(|at| at >= now));
    match entry.map(|entry| entry.bytes_used() as i64) {
        Some(bytes) => call.reply().integer(bytes),
        None => call.reply().null(),
    }
    Ok(())
}
