//! The data to disk: in the background (BGSAVE, save points) by the `Snapshotter`, from a snapshot that is taken here; at
//! once (SAVE, SHUTDOWN, FLUSHALL) on this thread.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_keyspace::Snapshot;
use rejoin_persistence::{
    rdb::{self, DecodeOptions, EncodeOptions, LocalFile, StreamPosition},
    rdb_file::{RdbFile, SaveError, SaveGuard},
    storage::{Open, Reader},
};
use rejoin_protocol::ClientId;

use crate::{
    background,
    messages::{
        shard::SnapshotTaken,
        snapshotter::{BeginSave, SaveEnded, SavePurpose},
    },
    shard::Shard,
};

/// A save that runs in the background.
#[derive(Debug)]
pub(crate) struct BackgroundSave {
    /// Its number; what an older one reports is late and ignored.
    number: u64,
    guard: Arc<SaveGuard>,
    temporary: PathBuf,
    /// Where the stream stands in it.
    position: Option<StreamPosition>,
}

impl Shard {
    /// BGSAVE.
    pub(crate) fn save_in_background(&mut self) {
        if self.engine.saving.running.is_some() {
            return;
        }
        self.saves_begun += 1;
        let number = self.saves_begun;
        let temporary = PathBuf::from(format!("temp-{}-{number}.rdb", std::process::id()));
        let (snapshot, file) = self.image(temporary.clone());
        tracing::info!(keys = snapshot.len(), "Background saving started");
        self.engine.save_begun(snapshot.len() as u64, file.written.clone());
        let guard = Arc::new(SaveGuard::default());
        let position = file.options.position;
        self.save = Some(BackgroundSave { number, guard: guard.clone(), temporary, position });
        let (purpose, storage) = (SavePurpose::Dump, self.storage.clone());
        if !self.control.begin_save(BeginSave { save: number, purpose, snapshot, file, storage, guard }) {
            self.save = None;
            tracing::warn!("Can't save in background: the control plane does not listen");
            self.engine.save_ended(false);
        }
    }

    /// All data as it is now, and how it is to become a file.
    fn image(&mut self, temporary: PathBuf) -> (Snapshot, RdbFile) {
        // What the log could not take has no place in the stream.
        let is_published = self.publish_log();
        let SnapshotTaken { snapshot, position, .. } = self.take_snapshot(0);
        let settings = &self.engine.settings;
        let policy = settings.maxmemory_policy;
        let about = LocalFile {
            created: self.engine.now,
            memory_used: self.engine.keyspace.bytes_used() as u64,
            is_aof_base: false,
            usage: policy.clock(settings.lfu_log_factor, settings.lfu_decay_minutes),
        };
        let options = EncodeOptions {
            compresses: settings.rdb_compression,
            omits_checksum: !settings.rdb_checksum,
            ..EncodeOptions::for_file(about, is_published.then_some(position))
        };
        let file = RdbFile {
            place: PathBuf::from(&settings.dbfilename),
            temporary,
            syncs_in_steps: settings.rdb_incremental_sync,
            options,
            written: Arc::default(),
        };
        (snapshot, file)
    }

    /// A save in the background has ended.
    pub(crate) fn end_save(&mut self, ended: SaveEnded) {
        let SaveEnded { save, purpose, outcome, took } = ended;
        if let SavePurpose::Base { set, task } = purpose {
            return self.note_base_written(set, task, outcome);
        }
        // Called off, and said so when that was done.
        if self.save.as_ref().is_none_or(|running| running.number != save) {
            return;
        }
        let position = self.save.take().and_then(|save| save.position);
        self.set_clock();
        match &outcome {
            Ok(bytes) => {
                self.note_saved(position);
                tracing::info!("DB saved on disk");
                tracing::info!(
                    bytes,
                    took_millis = took.as_millis() as u64,
                    "Background saving terminated with success"
                );
            }
            Err(error) => {
                tracing::warn!("{error}");
                tracing::warn!("Background saving error");
            }
        }
        self.engine.save_ended(outcome.is_ok());
    }

    /// Calls off a save in the background: what it holds is of no use any more, or will be written at once.
    pub(crate) fn cancel_save(&mut self) {
        let Some(save) = self.save.take() else { return };
        save.guard.cancel();
        // Its thread would do it, but may not come to it before the process ends.
        let _ = self.storage.remove(&save.temporary);
        self.engine.save_cancelled();
    }

    /// Saves all data, now. What fails is logged.
    pub(crate) fn save_now(&mut self) -> Result<(), SaveError> {
        let (snapshot, file) = self.image(PathBuf::from(format!("temp-{}.rdb", std::process::id())));
        let position = file.options.position;
        let outcome = file.write(&*self.storage, snapshot, &SaveGuard::default()).map(drop);
        self.set_clock();
        match &outcome {
            Ok(()) => {
                tracing::info!("DB saved on disk");
                self.note_saved(position);
                self.engine.saved_now();
            }
            Err(error) => tracing::warn!("{error}"),
        }
        outcome
    }

    /// SAVE.
    pub(crate) fn save_for(&mut self, client: ClientId) {
        self.engine.stats.saves += 1;
        let outcome = self.save_now();
        self.engine.answer_disk(client, outcome.map_err(|_| "ERR"));
        self.wake_woken();
    }

    /// After FLUSHALL, before that is replied to: what was deleted does not come back at the next start.
    pub(crate) fn save_after_flush(&mut self) {
        if !self.engine.take_flush() {
            return;
        }
        self.cancel_save();
        if !self.engine.settings.save_points.is_empty() {
            // What fails is logged; the data is deleted all the same, as it is with Redis.
            let _ = self.save_now();
        }
    }

    /// As the clock ticks: saves when a save point is reached, or when a BGSAVE that was put off can begin.
    pub(crate) fn tend_saves(&mut self) {
        self.engine.note_copied();
        if let Some(point) = self.engine.save_point_reached() {
            tracing::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
            self.save_in_background();
        } else if self.engine.scheduled_save_is_due() {
            self.save_in_background();
        }
    }

    /// DEBUG RELOAD.
    pub(crate) fn reload_for(&mut self, client: ClientId, saves: bool) {
        let outcome = if saves { self.save_now().map_err(|_| "ERR") } else { Ok(()) };
        let outcome = outcome.and_then(|()| {
            self.reload().map_err(|error| {
                tracing::warn!("{error}");
                "ERR Error trying to load the RDB dump, check server logs."
            })
        });
        if outcome.is_ok() {
            tracing::warn!("DB reloaded by DEBUG RELOAD");
        }
        self.engine.answer_disk(client, outcome);
        self.wake_woken();
    }

    /// Reads the file in the place of the data, which stays as it is if that fails.
    fn reload(&mut self) -> Result<(), rdb::RdbError> {
        let place = Path::new(&self.engine.settings.dbfilename);
        let file = self.storage.open(place, Open::Existing)?;
        let mut loaded = self.engine.empty_keyspace();
        let options = DecodeOptions {
            skips_unsupported: self.engine.settings.rdb_skips_unsupported,
            ..DecodeOptions::for_file(self.engine.settings.limits())
        };
        rdb::decode(&mut Reader::new(file, 0), &mut loaded, &options)?;
        let old = self.engine.replace_keyspace(loaded);
        background::reap(old);
        Ok(())
    }
}
