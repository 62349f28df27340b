//! TIME, LASTSAVE, SHUTDOWN.

use crate::{Call, Command, Effect, Failure, Flags};

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new("time", 1, ANYTIME.union(Flags::FAST), "server", "2.6.0", "Tells the node's time.", time),
    Command::new(
        "lastsave",
        1,
        ANYTIME.union(Flags::FAST),
        "server",
        "1.0.0",
        "Tells when the data was last saved.",
        lastsave,
    ),
    Command::new(
        "shutdown",
        -1,
        ANYTIME.union(Flags::ADMIN).union(Flags::NOSCRIPT).union(Flags::NO_MULTI),
        "server",
        "1.0.0",
        "Stops the node.",
        shutdown,
    ),
];

/// TIME: seconds and microseconds, as exact as the turn's own time (a millisecond).
fn time(call: &mut Call<'_>) -> Result<(), Failure> {
    let now = call.now().get();
    let mut reply = call.reply();
    reply.array(2);
    reply.bulk_integer(now.div_euclid(1000));
    reply.bulk_integer(now.rem_euclid(1000) * 1000);
    Ok(())
}

/// LASTSAVE: nothing is saved yet, so it is when the node started, as with Redis before its first save.
fn lastsave(call: &mut Call<'_>) -> Result<(), Failure> {
    let started = call.engine.status.started.get().div_euclid(1000);
    call.reply().integer(started);
    Ok(())
}

/// SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]. There is no reply when it succeeds: the connection closes.
fn shutdown(call: &mut Call<'_>) -> Result<(), Failure> {
    let (mut save, mut nosave, mut now, mut force, mut abort) = (false, false, false, false, false);
    for option in &call.args[1..] {
        match option.to_ascii_lowercase().as_slice() {
            b"save" => save = true,
            b"nosave" => nosave = true,
            b"now" => now = true,
            b"force" => force = true,
            b"abort" => abort = true,
            _ => return Err(Failure::Syntax),
        }
    }
    if (abort && call.args.len() > 2) || (save && nosave) {
        return Err(Failure::Syntax);
    }
    if abort {
        // The turn ends with a shutdown, so none is in progress when a command runs.
        return Err(Failure::text("ERR No shutdown in progress."));
    }
    call.engine.ask(Effect::Shutdown { now: now || force });
    Ok(())
}
