//! SAVE, BGSAVE, LASTSAVE, and when the data is saved by itself. What is written, and where, is the shard's business; here
//! is who asks for it, what he is told, and what is counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rejoin_protocol::{ClientId, UnixMillis};

use crate::{
    Call, Command, Effect, Engine, Failure, Flags,
    blocking::end_skipping,
    dispatch::reply_error,
    session::{ReplyMode, Waiting},
    settings::SavePoint,
};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new("bgsave", -1, ADMIN, "server", "1.0.0", "Saves the data to disk in the background.", bgsave),
    Command::new(
        "lastsave",
        1,
        Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        "server",
        "1.0.0",
        "Tells when the data was last saved.",
        lastsave,
    ),
    Command::new(
        "save",
        1,
        ADMIN.union(Flags::NO_MULTI),
        "server",
        "1.0.0",
        "Saves the data to disk, and holds up everybody meanwhile.",
        save,
    ),
];

/// After a save that failed nothing is tried by itself for so long.
const RETRY_MILLIS: i64 = 5000;

/// Why writes are refused; word for word what clients look for.
pub(crate) const CANNOT_SAVE: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
    persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report \
    errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for \
    details about the RDB error.";

/// What is known of saves; the shard tells how they went.
#[derive(Debug, Default)]
pub struct Saving {
    /// The save that runs in the background.
    pub running: Option<RunningSave>,
    /// A BGSAVE is to begin as soon as nothing stands in its way.
    pub(crate) is_scheduled: bool,
    /// FLUSHALL: the file must be empty, too, before that is replied to.
    pub(crate) was_flushed: bool,
    /// When the data was last saved or, before that, when the node started.
    pub last_saved: UnixMillis,
    /// When a save in the background last began.
    pub(crate) last_tried: Option<UnixMillis>,
    /// The last save in the background failed, and none has succeeded since.
    pub has_failed: bool,
    /// How long the last save in the background took.
    pub(crate) last_seconds: Option<i64>,
    /// What writes copied while the last save in the background held the data.
    pub(crate) last_copied_bytes: u64,
    /// Keys that came out of the file at the start.
    pub keys_loaded: u64,
    /// Keys in it that had expired.
    pub keys_expired: u64,
}

/// A save that runs in the background.
#[derive(Debug)]
pub struct RunningSave {
    /// When it began.
    pub begun: UnixMillis,
    /// Changes that it contains, of those since the last save.
    pub changes: u64,
    /// Keys that it contains.
    pub keys: u64,
    /// How many of them are written; changed by the thread that writes.
    pub written: Arc<AtomicU64>,
    /// Bytes that writes have copied because it holds the data, when last looked at.
    pub(crate) copied_bytes: u64,
}

impl RunningSave {
    pub(crate) fn keys_written(&self) -> u64 {
        self.written.load(Relaxed)
    }
}

/// BGSAVE [SCHEDULE]
fn bgsave(call: &mut Call<'_>) -> Result<(), Failure> {
    let is_schedule = match &call.args[1..] {
        [] => false,
        [word] if word.eq_ignore_ascii_case(b"schedule") => true,
        _ => return Err(Failure::Syntax),
    };
    let in_exec = call.engine.in_exec;
    let is_rewriting = call.engine.status.log.rewrite_began.is_some();
    let saving = &mut call.engine.saving;
    if saving.running.is_some() {
        return Err(Failure::text("ERR Background save already in progress"));
    }
    // Where a transaction is half done, there is no image of the data yet.
    if is_rewriting || in_exec {
        if !is_schedule && !in_exec {
            return Err(Failure::text(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                 schedule a BGSAVE whenever possible.",
            ));
        }
        saving.is_scheduled = true;
        call.reply().simple("Background saving scheduled");
        return Ok(());
    }
    call.engine.ask(Effect::SaveInBackground);
    call.reply().simple("Background saving started");
    Ok(())
}

/// LASTSAVE
fn lastsave(call: &mut Call<'_>) -> Result<(), Failure> {
    let seconds = call.engine.saving.last_saved.get().div_euclid(1000);
    call.reply().integer(seconds);
    Ok(())
}

/// SAVE: the turn ends, and the reply comes when the file is in place.
fn save(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.engine.saving.running.is_some() {
        return Err(Failure::text("ERR Background save already in progress"));
    }
    let client = call.session.id;
    call.session.waiting = Some(Waiting::Disk);
    call.engine.ask(Effect::Save { client });
    Ok(())
}

impl Engine {
    /// FLUSHALL has emptied everything: the file is to be, too, where there is one.
    pub(crate) fn note_flush(&mut self) {
        self.saving.was_flushed = true;
    }

    /// Whether everything was deleted since this was asked last.
    pub fn take_flush(&mut self) -> bool {
        std::mem::take(&mut self.saving.was_flushed)
    }

    /// A save in the background begins now, with `keys` of which `written` counts those that are done.
    pub fn save_begun(&mut self, keys: u64, written: Arc<AtomicU64>) {
        let (begun, changes) = (self.now, self.stats.changes_since_save);
        self.stats.saves += 1;
        self.saving.last_tried = Some(begun);
        self.saving.is_scheduled = false;
        self.saving.running = Some(RunningSave { begun, changes, keys, written, copied_bytes: 0 });
    }

    /// As the clock ticks: how much writes have copied for the save that runs. When it ends nobody knows any more.
    pub fn note_copied(&mut self) {
        if let Some(running) = &mut self.saving.running {
            let copied = self.keyspace.bytes_copied_for_snapshots() as u64;
            running.copied_bytes = running.copied_bytes.max(copied);
        }
    }

    /// The save in the background has ended.
    pub fn save_ended(&mut self, succeeded: bool) {
        let Some(running) = self.saving.running.take() else { return };
        let saving = &mut self.saving;
        saving.last_seconds = Some((self.now.get() / 1000 - running.begun.get() / 1000).max(0));
        saving.last_copied_bytes = running.copied_bytes;
        saving.has_failed = !succeeded;
        if succeeded {
            saving.last_saved = self.now;
            self.stats.changes_since_save = self.stats.changes_since_save.saturating_sub(running.changes);
        }
    }

    /// The save in the background was called off, which says nothing of the disk.
    pub fn save_cancelled(&mut self) {
        if let Some(running) = self.saving.running.take() {
            self.saving.last_seconds = Some((self.now.get() / 1000 - running.begun.get() / 1000).max(0));
        }
    }

    /// All data was saved at once, and nothing has changed since.
    pub fn saved_now(&mut self) {
        self.saving.last_saved = self.now;
        self.saving.has_failed = false;
        self.stats.changes_since_save = 0;
    }

    /// Tells a client that waits for the disk how it went.
    pub fn answer_disk(&mut self, client: ClientId, outcome: Result<(), &str>) {
        let Some(session) = self.sessions.get_mut(client) else { return };
        if !matches!(session.waiting, Some(Waiting::Disk)) {
            return;
        }
        session.waiting = None;
        let is_muted = matches!(session.reply_mode, ReplyMode::Off | ReplyMode::Skipping);
        match outcome {
            _ if is_muted => {}
            Ok(()) => session.reply().ok(),
            Err(error) => reply_error(session, error.as_bytes()),
        }
        end_skipping(session);
        if let Err(error) = outcome {
            self.stats.count_error(format!("-{error}").as_bytes());
        }
        self.wake_client(client);
    }

    /// The save point that is reached, if one is and nothing stands in the way.
    #[must_use]
    pub fn save_point_reached(&self) -> Option<SavePoint> {
        if self.is_saving_barred() {
            return None;
        }
        let seconds = self.now.get() / 1000 - self.saving.last_saved.get() / 1000;
        self.settings.save_points.reached(self.stats.changes_since_save, seconds)
    }

    /// Whether a BGSAVE that was put off can begin.
    #[must_use]
    pub fn scheduled_save_is_due(&self) -> bool {
        self.saving.is_scheduled && !self.is_saving_barred()
    }

    fn is_saving_barred(&self) -> bool {
        let saving = &self.saving;
        let failed_lately = saving.has_failed
            && saving
                .last_tried
                .is_some_and(|tried| self.now.get() / 1000 - tried.get() / 1000 <= RETRY_MILLIS / 1000);
        self.loading.is_some()
            || saving.running.is_some()
            || self.status.log.rewrite_began.is_some()
            || failed_lately
    }

    /// Whether clients may not write because the last save failed.
    #[inline]
    pub(crate) fn refuses_writes_for_disk(&self) -> bool {
        self.saving.has_failed
            && self.settings.stop_writes_on_bgsave_error
            && !self.settings.save_points.is_empty()
    }
}
