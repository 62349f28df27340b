//! What makes the log's files end, or go on elsewhere: another name of the stream, other data, CONFIG SET, the node's end.

use rejoin_commands::node::log::LogStatus;
use rejoin_persistence::files::{Before, LogFilesOptions, StreamPlace};
use rejoin_protocol::DbIndex;

use super::{Keeps, options_of, stream_name_of};
use crate::shard::{Shard, recovery, unix_now};

impl Shard {
    /// The log's bytes come from a master from here on, or are our own: a start as a master must know.
    pub(crate) fn note_followed(&mut self, is_followed: bool) {
        let Some(disk) = &mut self.disk else { return };
        match disk.files.set_followed(is_followed) {
            Ok(()) => {}
            Err(error) if disk.keeps == Keeps::History => self.give_up_history(&error),
            // The segment that begins next says it.
            Err(error) => self.note_log_failure(&error, 0),
        }
    }

    /// The stream goes on under another name from the present end of the log.
    pub(crate) fn rename_log(&mut self) {
        let (now, stream) = (self.engine.now, stream_name_of(&self.lineage));
        let Some(disk) = &mut self.disk else { return };
        match disk.files.rename_stream(stream, now) {
            Ok(()) => {}
            Err(error) if disk.keeps == Keeps::History => self.give_up_history(&error),
            // The next append tries again.
            Err(error) => self.note_log_failure(&error, 0),
        }
    }

    /// Our data was replaced: the log's files begin anew at the present offset, and what they held before serves a
    /// start until the new base is there.
    pub(crate) fn restart_log_files(&mut self) {
        let now = self.engine.now;
        let (offset, db) = (self.visible(), self.masters_db().unwrap_or(DbIndex::new(0)));
        let stream = stream_name_of(&self.lineage);
        let Some(mut disk) = self.disk.take() else { return };
        self.sets_begun += 1;
        disk.set = self.sets_begun;
        disk.call_off_base();
        self.engine.status.log.rewrite_began = None;
        (disk.base_began, disk.base_failed_at) = (None, None);
        (disk.bytes_ahead, disk.is_syncing, disk.needs_base, disk.is_stale) = (0, false, false, false);
        // It may have gone back.
        self.engine.status.log.offset_synced = offset;
        disk.offset_safe = offset;
        let place = StreamPlace { stream, offset, db, chain: 0 };
        let before = if disk.keeps == Keeps::All { Before::Base } else { Before::Elsewhere };
        match disk.files.begin_again(place, before, now) {
            Ok(()) if disk.keeps == Keeps::History => {
                let orphans = disk.files.take_orphans();
                disk.retire(orphans);
                self.disk = Some(disk);
            }
            Ok(()) => {
                self.disk = Some(disk);
                self.begin_base();
            }
            Err(error) if disk.keeps == Keeps::History => self.give_up_history(&error),
            Err(error) => {
                disk.is_stale = true;
                self.disk = Some(disk);
                self.note_log_failure(&error, 0);
            }
        }
    }

    /// CONFIG SET of what the log's files keep to.
    pub(crate) fn configure_log(&mut self) {
        let LogFilesOptions { segment_bytes, history, .. } =
            options_of(&self.engine.settings, &*self.storage);
        if self.engine.loading.is_some() {
            return;
        }
        let keeps_history = history.is_some();
        match &mut self.disk {
            Some(disk) if disk.keeps == Keeps::All => disk.files.configure(segment_bytes, history),
            Some(disk) if keeps_history => disk.files.configure(segment_bytes, None),
            Some(_) => self.end_files(),
            None if keeps_history => self.begin_history(),
            None => {}
        }
    }

    /// CONFIG SET appendonly.
    pub(crate) fn turn_log(&mut self, is_on: bool) {
        // What is set while the data is being loaded takes effect when it is there.
        if is_on == self.engine.status.log.is_on || self.engine.loading.is_some() {
            return;
        }
        self.publish_log();
        // What was kept as history alone is of no use behind other files: a stream without a gap is one set.
        self.end_files();
        if is_on {
            match recovery::begin_now(self) {
                Ok(disk) => {
                    self.disk = Some(disk);
                    self.engine.status.log.is_on = true;
                    self.begin_base();
                    return;
                }
                Err(error) => {
                    tracing::warn!("Unable to turn on AOF: {error}");
                    self.engine.settings.log.is_on = false;
                }
            }
        }
        self.engine.status.log = LogStatus::default();
        self.note_log_mended();
        if self.engine.settings.log.keeps_history {
            self.begin_history();
        }
    }

    /// The files end here, while the stream goes on.
    pub(super) fn end_files(&mut self) {
        if let Some(disk) = self.disk.take()
            && let Err(error) = disk.abandon(unix_now())
        {
            tracing::warn!("The log's files could not be ended in order: {}", crate::words_of(&error));
        }
    }

    /// The log's files end in order; nothing may be appended any more.
    pub(crate) fn close_log_files(&mut self) {
        if !self.publish_log() {
            tracing::error!("The log could not be written to its end");
        }
        if let Some(disk) = self.disk.take()
            && let Err(error) = disk.close(unix_now())
        {
            tracing::error!("The log's files could not be closed in order: {}", crate::words_of(&error));
        }
    }
}
