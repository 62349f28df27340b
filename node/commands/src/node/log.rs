//! The log on disk, as clients see it: BGREWRITEAOF, the AOF lines of INFO, MISCONF.

use rejoin_protocol::{Offset, UnixMillis};

use crate::{
    Call, Command, Effect, Engine, Failure, Flags,
    node::info::{Lines, Source},
};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "bgrewriteaof",
    1,
    Flags::ADMIN.union(Flags::NOSCRIPT),
    "server",
    "1.0.0",
    "Writes a new base of the log, from which a start is quicker.",
    bgrewriteaof,
)];

/// How the log on disk is; written by the shard between turns.
#[derive(Clone, Debug, Default)]
pub struct LogStatus {
    /// It is written.
    pub is_on: bool,
    /// A base is being written since then.
    pub rewrite_began: Option<UnixMillis>,
    /// One is due as soon as what is in its way has ended.
    pub is_rewrite_scheduled: bool,
    /// Seconds that the last one took.
    pub last_rewrite_seconds: Option<u64>,
    /// The last one failed.
    pub has_rewrite_failed: bool,
    /// Bases written or tried.
    pub rewrites: u64,
    /// How many of them failed one after the other.
    pub rewrite_failures: u64,
    /// Why the log cannot be written at present: writes are refused meanwhile.
    pub write_error: Option<String>,
    /// Bytes of base and increments.
    pub bytes: u64,
    /// Bytes of the base.
    pub base_bytes: u64,
    /// Bytes that wait because the log cannot be written.
    pub waiting_bytes: u64,
    /// A sync is running.
    pub is_syncing: bool,
    /// Syncs that were due while another ran.
    pub delayed_syncs: u64,
    /// The last byte of the stream that survives a power loss.
    pub offset_synced: Offset,
    /// The last byte that a start after a power loss would have, base included; `None` while no start would.
    pub offset_durable: Option<Offset>,
    /// Bytes of the history on disk.
    pub history_bytes: u64,
    /// Files of it.
    pub history_files: usize,
}

/// BGREWRITEAOF.
fn bgrewriteaof(call: &mut Call<'_>) -> Result<(), Failure> {
    // Redis has one child at a time.
    let must_wait = call.engine.must_not_wait || call.engine.saving.running.is_some();
    let log = &mut call.engine.status.log;
    if log.rewrite_began.is_some() {
        return Err(Failure::text("ERR Background append only file rewriting already in progress"));
    }
    if !log.is_on {
        return Err(Failure::text(
            "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
        ));
    }
    if must_wait {
        log.is_rewrite_scheduled = true;
        log.rewrite_failures = 0;
        call.reply().simple("Background append only file rewriting scheduled");
        return Ok(());
    }
    call.engine.ask(Effect::RewriteLog);
    call.reply().simple("Background append only file rewriting started");
    Ok(())
}

impl Engine {
    /// The last byte of the stream that anybody can be sent: what waits for the disk is applied and not there yet.
    #[must_use]
    pub fn offset_visible(&self) -> Offset {
        let waiting = self.status.log.waiting_bytes;
        Offset::new(self.log.offset().get().saturating_sub(waiting))
    }

    /// The reply, without its `-`, to what may write while the log cannot be written.
    pub fn log_refusal(&self) -> Option<String> {
        let error = self.status.log.write_error.as_ref()?;
        Some(format!("MISCONF Errors writing to the AOF file: {error}"))
    }
}

/// The lines of INFO persistence on the log.
pub(super) fn persistence(source: &Source<'_>, lines: &mut Lines<'_>) {
    let (log, now) = (&source.engine.status.log, source.engine.now);
    let seconds = |seconds: Option<u64>| seconds.map_or(-1, u64::cast_signed);
    let running = log.rewrite_began.map(|began| now.get().saturating_sub(began.get()).max(0) as u64 / 1000);
    let status = |has_failed: bool| if has_failed { "err" } else { "ok" };
    lines.add("aof_enabled", u8::from(log.is_on));
    lines.add("aof_rewrite_in_progress", u8::from(log.rewrite_began.is_some()));
    lines.add("aof_rewrite_scheduled", u8::from(log.is_rewrite_scheduled));
    lines.add("aof_last_rewrite_time_sec", seconds(log.last_rewrite_seconds));
    lines.add("aof_current_rewrite_time_sec", seconds(running));
    lines.add("aof_last_bgrewrite_status", status(log.has_rewrite_failed));
    lines.add("aof_rewrites", log.rewrites);
    lines.add("aof_rewrites_consecutive_failures", log.rewrite_failures);
    lines.add("aof_last_write_status", status(log.write_error.is_some()));
    lines.add("aof_last_cow_size", 0);
    lines.add("module_fork_in_progress", 0);
    lines.add("module_fork_last_cow_size", 0);
    lines.add("repl_history_bytes", log.history_bytes);
    lines.add("repl_history_files", log.history_files);
    if log.is_on {
        lines.add("aof_current_size", log.bytes);
        lines.add("aof_base_size", log.base_bytes);
        lines.add("aof_pending_rewrite", 0);
        lines.add("aof_buffer_length", log.waiting_bytes);
        lines.add("aof_pending_bio_fsync", u8::from(log.is_syncing));
        lines.add("aof_delayed_fsync", log.delayed_syncs);
        lines.add("aof_fsynced_offset", log.offset_synced.get());
    }
}
