//! TIME, SHUTDOWN.

use rejoin_protocol::UnixMillis;

use crate::{
    Call, Command, Effect, Engine, Failure, Flags, dispatch::reply_error, effect::Departure,
    node::pause::Pause, session::Waiting,
};

const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new("time", 1, ANYTIME.union(Flags::FAST), "server", "2.6.0", "Tells the node's time.", time),
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
        if !call.engine.abort_shutdown() {
            return Err(Failure::text("ERR No shutdown in progress."));
        }
        call.engine.ask(Effect::AbortShutdown);
        call.reply().ok();
        return Ok(());
    }
    if !call.engine.must_not_wait {
        call.session.waiting = Some(Waiting::Shutdown);
        call.engine.waiting.push(call.session.id);
    }
    // What is half loaded must not take the place of what it is loaded from.
    let saves = if call.engine.loading.is_some() { Some(false) } else { chosen(save, nosave) };
    call.engine.ask(Effect::Shutdown { how: Departure { now, saves, force } });
    Ok(())
}

fn chosen(save: bool, nosave: bool) -> Option<bool> {
    (save || nosave).then_some(save)
}

impl Engine {
    /// From now on a shutdown waits for replicas: no client may write.
    pub fn await_shutdown(&mut self) {
        self.shutdown_is_pending = true;
        self.pause_before_shutdown();
    }

    pub(crate) fn pause_before_shutdown(&mut self) {
        self.begin_pause(Pause { until: UnixMillis::new(i64::MAX), writes_only: true });
    }

    /// Calls off a shutdown that waits; whether there was one. Clients that asked for it are told.
    fn abort_shutdown(&mut self) -> bool {
        let was_pending = self.shutdown_is_pending;
        if was_pending {
            self.shutdown_failed();
        }
        was_pending
    }

    /// The node stays: clients that asked it to leave are told.
    pub fn shutdown_failed(&mut self) {
        if std::mem::take(&mut self.shutdown_is_pending) {
            self.pause = None;
        }
        for client in self.waiting.clone() {
            let Some(session) = self.sessions.get_mut(client) else { continue };
            if matches!(session.waiting, Some(Waiting::Shutdown)) {
                session.waiting = None;
                reply_error(session, b"ERR Errors trying to SHUTDOWN. Check logs.");
                self.stats.count_error(b"-ERR");
                self.waiting.retain(|&waiting| waiting != client);
                self.wake_client(client);
            }
        }
    }
}
