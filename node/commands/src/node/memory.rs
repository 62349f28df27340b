//! MEMORY: what keys occupy.

use rejoin_protocol::number::parse_i64;

use super::reply_help;
use crate::{Call, Command, Failure, Flags, KeySpec};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[Command::new("memory", -2, Flags::empty(), "server", "4.0.0", "Commands on memory.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
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
            "USAGE <key> [SAMPLES <count>]",
            "Return the bytes that <key> and its value occupy. The count is exact: samples are accepted and not needed.",
        ],
    );
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
