//! MODULE: there are none, and none can be loaded.

use super::reply_help;
use crate::{Call, Command, Failure, Flags};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[row("module", -2, Flags::empty(), "4.0.0", "Commands on modules.", help).with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    row("help", 2, Flags::LOADING.union(Flags::STALE), "5.0.0", "Lists the subcommands.", help),
    row("list", 2, ADMIN, "4.0.0", "Tells the modules that are loaded: none.", list),
    row("load", -3, ADMIN, "4.0.0", "Loads a module; always refused.", load),
    row("loadex", -3, ADMIN, "7.0.0", "Loads a module with settings; always refused.", load),
    row("unload", 3, ADMIN, "4.0.0", "Unloads a module; always refused.", unload),
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

/// As Redis refuses it without `enable-module-command`, and as it fails with that.
fn load(call: &mut Call<'_>) -> Result<(), Failure> {
    admit(call)?;
    Err(Failure::text("ERR Error loading the extension. Please check the server logs."))
}

fn unload(call: &mut Call<'_>) -> Result<(), Failure> {
    admit(call)?;
    Err(Failure::text("ERR Error unloading module: no such module with that name"))
}

fn admit(call: &Call<'_>) -> Result<(), Failure> {
    if call.engine.settings.get("enable-module-command").as_deref() == Some("yes") {
        return Ok(());
    }
    Err(Failure::text(
        "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a \
         local connection, otherwise you need to set this option in the configuration file, and then restart the server.",
    ))
}
