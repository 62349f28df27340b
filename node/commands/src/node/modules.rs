//! MODULE: there are none, and none can be loaded.

use super::reply_help;
use crate::{Call, Command, Failure, Flags};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
/// Refused unless `enable-module-command` allows it.
const LOADS: Flags = ADMIN.union(Flags::PROTECTED);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[row("module", -2, Flags::empty(), "4.0.0", "Commands on modules.", help).with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    row("help", 2, Flags::LOADING.union(Flags::STALE), "5.0.0", "Lists the subcommands.", help),
    row("list", 2, ADMIN, "4.0.0", "Tells the modules that are loaded: none.", list),
    row("load", -3, LOADS, "4.0.0", "Loads a module; always refused.", load),
    row("loadex", -3, LOADS, "7.0.0", "Loads a module with settings; always refused.", load),
    row("unload", 3, LOADS, "4.0.0", "Unloads a module; always refused.", unload),
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
        "MODULE",
        &[
            "LIST",
            "Return the modules that are loaded: none.",
            "LOAD <path> [<arg> ...]",
            "Refused: this server has no modules.",
            "LOADEX <path> [CONFIG <name> <value> ...] [ARGS ...]",
            "Refused likewise.",
            "UNLOAD <name>",
            "Refused likewise.",
        ],
    );
    Ok(())
}

fn list(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().array(0);
    Ok(())
}

/// As it fails in Redis where there is no such file.
fn load(_: &mut Call<'_>) -> Result<(), Failure> {
    Err(Failure::text("ERR Error loading the extension. Please check the server logs."))
}

fn unload(_: &mut Call<'_>) -> Result<(), Failure> {
    Err(Failure::text("ERR Error unloading module: no such module with that name"))
}
