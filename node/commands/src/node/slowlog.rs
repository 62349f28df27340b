//! SLOWLOG: the commands that took longest.

use rejoin_protocol::number::parse_i64;

use super::reply_help;
use crate::{Call, Command, Failure, Flags};

const ADMIN: Flags = Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE);
/// Entries that GET tells when it is not asked for a number.
const ENTRIES: usize = 10;

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[row("slowlog", -2, Flags::empty(), "2.2.12", "Commands on the slow log.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    row("get", -2, ADMIN, "2.2.12", "Tells the last slow commands.", get),
    row("help", 2, Flags::LOADING.union(Flags::STALE), "6.2.0", "Lists the subcommands.", help),
    row("len", 2, ADMIN, "2.2.12", "Counts the entries of the slow log.", len),
    row("reset", 2, ADMIN, "2.2.12", "Empties the slow log.", reset),
];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    handler: crate::Handler,
) -> Command {
    Command::new(name, arity, flags, "server", since, summary, handler)
}

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "Return the newest entries (default: 10, -1: all), each as id, time, microseconds, arguments, address, name.",
            "LEN",
            "Return how many entries there are.",
            "RESET",
            "Drop all entries.",
        ],
    );
    Ok(())
}

/// SLOWLOG GET [count]
fn get(call: &mut Call<'_>) -> Result<(), Failure> {
    let count = match call.args[2..] {
        [] => ENTRIES,
        [count] => match parse_i64(count) {
            Some(-1) => usize::MAX,
            Some(count @ 0..) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(Failure::text("ERR count should be greater than or equal to -1")),
        },
        _ => {
            return Err(Failure::repeating(
                "ERR unknown subcommand or wrong number of arguments for '",
                call.args[1],
                "'. Try SLOWLOG HELP.",
            ));
        }
    };
    let log = &call.engine.observed.slow_log;
    let mut reply = call.session.reply();
    reply.array(count.min(log.len()));
    for entry in log.entries().take(count) {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.at_seconds);
        reply.integer(entry.micros as i64);
        reply.array(entry.args.len());
        for arg in &entry.args {
            reply.bulk(arg);
        }
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

fn len(call: &mut Call<'_>) -> Result<(), Failure> {
    let len = call.engine.observed.slow_log.len();
    call.reply().integer(len as i64);
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.observed.slow_log.clear();
    call.reply().ok();
    Ok(())
}
