//! COMMAND: the table describes itself.

mod describe;
mod keys;
mod syntax;

use super::reply_help;
use crate::{
    Call, Command, Failure, Flags,
    data::glob::{self, Case},
    table,
};

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[Command::new("command", -1, ANYTIME, "server", "2.8.13", "Describes commands.", all)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    Command::new("count", 2, ANYTIME, "server", "2.8.13", "Counts the commands.", count),
    Command::new("docs", -2, ANYTIME, "server", "7.0.0", "Tells what commands do.", docs),
    Command::new("getkeys", -3, ANYTIME, "server", "2.8.13", "Tells the keys of a command.", keys::getkeys),
    Command::new(
        "getkeysandflags",
        -3,
        ANYTIME,
        "server",
        "7.0.0",
        "Tells the keys of a command, and what it does with them.",
        keys::getkeys_and_flags,
    ),
    Command::new("help", 2, ANYTIME, "server", "5.0.0", "Lists the subcommands.", help),
    Command::new("info", -2, ANYTIME, "server", "2.8.13", "Describes the named commands.", info),
    Command::new("list", -2, ANYTIME, "server", "7.0.0", "Lists the commands' names.", list),
];

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "COMMAND",
        &[
            "(no subcommand)",
            "Return details about all commands.",
            "COUNT",
            "Return the number of commands.",
            "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
            "Return the names of all commands.",
            "INFO [<command-name> ...]",
            "Return details about the named commands, or all.",
            "DOCS [<command-name> ...]",
            "Return what the named commands, or all, do.",
            "GETKEYS <full-command>",
            "Return the keys of a full command.",
            "GETKEYSANDFLAGS <full-command>",
            "Return the keys of a full command and what it does with each.",
        ],
    );
    Ok(())
}

/// COMMAND, and COMMAND INFO without names.
fn all(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut reply = call.reply();
    reply.array(table::rows().len());
    for row in table::rows() {
        describe::info(&mut reply, row);
    }
    Ok(())
}

fn count(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().integer(table::rows().len() as i64);
    Ok(())
}

fn info(call: &mut Call<'_>) -> Result<(), Failure> {
    let names = &call.args[2..];
    if names.is_empty() {
        return all(call);
    }
    let mut reply = call.session.reply();
    reply.array(names.len());
    for name in names {
        match by_full_name(name) {
            Some(row) => describe::info(&mut reply, row),
            None => reply.null_array(),
        }
    }
    Ok(())
}

/// COMMAND DOCS [name ...]: unknown names are left out.
fn docs(call: &mut Call<'_>) -> Result<(), Failure> {
    let names = &call.args[2..];
    let rows: Vec<&'static Command> = if names.is_empty() {
        table::rows().to_vec()
    } else {
        names.iter().filter_map(|name| by_full_name(name)).collect()
    };
    let mut reply = call.session.reply();
    reply.map(rows.len());
    for row in rows {
        reply.bulk(table::full_name(row).as_bytes());
        describe::docs(&mut reply, row);
    }
    Ok(())
}

/// COMMAND LIST [FILTERBY (MODULE name|ACLCAT category|PATTERN pattern)].
fn list(call: &mut Call<'_>) -> Result<(), Failure> {
    let all = table::numbered().iter().copied();
    let names: Vec<&'static str> = match call.args[2..] {
        [] => all.map(table::full_name).collect(),
        [filter, kind, value] if filter.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Vec::new(),
                b"aclcat" => all
                    .filter(|row| {
                        describe::categories(row)
                            .iter()
                            .any(|name| value.eq_ignore_ascii_case(name.as_bytes()))
                    })
                    .map(table::full_name)
                    .collect(),
                b"pattern" => all
                    .map(table::full_name)
                    .filter(|name| glob::matches(value, name.as_bytes(), Case::Insensitive))
                    .collect(),
                _ => return Err(Failure::Syntax),
            }
        }
        _ => return Err(Failure::Syntax),
    };
    let mut reply = call.reply();
    reply.array(names.len());
    for name in names {
        reply.bulk(name.as_bytes());
    }
    Ok(())
}

/// `get`, or `config|get` for a subcommand.
pub(crate) fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|&byte| byte == b'|') {
        None => table::lookup(name),
        Some(bar) => table::subcommand(table::lookup(&name[..bar])?, &name[bar + 1..]),
    }
}
